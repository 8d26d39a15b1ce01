"""`GET /openapi.json`: what the routes declare, for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from flask import Blueprint, Response, request

from newswire.config import ServiceSettings
from newswire.threads import NeedsThread, must_not_wait
from newswire.web import openapi, responses
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
            written.append(msgspec.json.encode(openapi.document(declared(), version=version, auth=settings.auth)) + b"\n")
        return responses.answer_encoded(written[0])

    return blueprint
