"""`GET /openapi.json`: what the routes declare, for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from flask import Blueprint, Response, request

from newswire.config import ServiceSettings
from newswire.threads import NeedsThread, must_not_wait
from newswire.web import openapi, responses
from newswire.web.content_coding import accepts_gzip, deflate
from newswire.web.route import SIGNED_IN, Route, Success

OPENAPI: Final = Route(
    method="GET",
    path="/openapi.json",
    words="This description.",
    rights=(SIGNED_IN,),
    answers=(Success(dict),),
    is_light=True,
)


def routes(settings: ServiceSettings, version: str, declared: Callable[[], Sequence[Route]]) -> Blueprint:
    """The route of the description. `declared`: all routes of the application; `version`: of newswire."""
    blueprint = Blueprint("openapi", __name__)
    written: list[bytes] = []

    @OPENAPI.on(blueprint)
    def description() -> Response:
        OPENAPI.read(request.environ)
        if not written:
            if must_not_wait():
                raise NeedsThread  # it is made once, in some milliseconds
            plain = msgspec.json.encode(openapi.document(declared(), version=version, auth=settings.auth)) + b"\n"
            written.extend((plain, b"".join(deflate([plain], level=9))))  # once: the loop would compress it for a millisecond
        takes_gzip = accepts_gzip(request.environ)
        response = responses.answer_encoded(written[takes_gzip])
        if takes_gzip:
            response.headers["Content-Encoding"] = "gzip"
        return response

    return blueprint
