"""Between brokers: `/replicate` and `/heartbeat/receive` go to the cluster as they are, which alone knows their format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.engine.seam import ClusterAdmin
from newswire.errors import Unavailable
from newswire.web import request_fields
from newswire.web.deferred import STORE_CODES, DeferredResponse
from newswire.web.request_fields import Environ
from newswire.web.route import PEER, Route, Success

REPLICATE: Final = Route(
    method="POST",
    path="/replicate",
    words="Between brokers: takes operations.",
    rights=(PEER,),
    answers=(Success(media="application/octet-stream"),),
    codes=("bad-body", "unauthenticated", "other-cluster", "other-version", "id-in-use", *STORE_CODES),
    is_light=True,
)
HEARTBEAT: Final = replace(REPLICATE, path="/heartbeat/receive", words="Between brokers: a push without operations.")


class Headers(Mapping[str, str]):
    """The headers of a request by name, in any case; absent ones raise KeyError."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        value: str = self._environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"]
        return value

    def __iter__(self) -> Iterator[str]:
        return (key[5:].replace("_", "-").title() for key in self._environ if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def routes(cluster: ClusterAdmin) -> Blueprint:
    """The routes of peers. Their bodies may be far larger than any client's (docs/hazards.md, H15)."""
    blueprint = Blueprint("peers", __name__)

    @REPLICATE.on(blueprint)
    @HEARTBEAT.on(blueprint)
    def receive() -> Response:
        environ = request.environ
        body = request_fields.read_as_sent(environ, limits.PEER_BODY_BYTES)
        return DeferredResponse(
            partial(cluster.receive_later, request.path, Headers(environ), body),
            lambda reply: Response(reply.write(), reply.status, content_type="application/octet-stream"),
            seconds=limits.PUSH_TIMEOUT_SECONDS,
            late=lambda: Unavailable("the broker is too busy to take a push now: send it again"),
            reads=lambda reply: reply.reads,
        )

    return blueprint
