"""`/livez` and `/readyz`: is the process alive, and should clients be sent to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from newswire.engine.seam import Engine, View
from newswire.errors import NewswireError, StorageFull, Unavailable
from newswire.web.answers import answer, problem
from newswire.web.gate import why_not


def routes(engine: Engine, streams: Callable[[], int], most_streams: int) -> Blueprint:
    """The routes of health checks; they answer HEAD too, as load balancers like it.

    `streams`: how many are open here; `most_streams`: how many there may be.
    """
    blueprint = Blueprint("health", __name__)

    @blueprint.route("/livez", methods=["GET", "HEAD"])
    def livez() -> Response:
        return answer({"message": "alive"})

    @blueprint.route("/readyz", methods=["GET", "HEAD"])
    def readyz() -> Response:
        view = engine.describe()
        error = why_not_ready(view)
        if error is not None:
            return problem(error)
        told = {"message": "ready", "ready": True, "degraded": list(view.degraded), "streams": streams()}
        return answer({**told, "streams_limit": most_streams})

    return blueprint


def why_not_ready(view: View) -> NewswireError | None:
    """What another broker would do better now, None when nothing: `degraded` alone takes no broker out of rotation."""
    known: dict[str, Any] = {"ready": False, "degraded": list(view.degraded)}
    if not view.serves:
        return Unavailable(why_not(view), **known)
    if not view.writable:
        detail = "this broker cannot write to its disk: make room on it, and send clients to another broker meanwhile"
        return StorageFull(detail, code="not-ready", **known)
    return None
