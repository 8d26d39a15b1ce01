"""`/livez` and `/readyz`: is the process alive, and should clients be sent to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response

from newswire.engine.seam import ClusterStatus, Engine
from newswire.errors import NewswireError, StorageFull, Unavailable
from newswire.web.availability import why_not
from newswire.web.light import light
from newswire.web.responses import answer, problem
from newswire.web.routes.cluster import shown
from newswire.web.routes.losses import shown as hole_shown


def routes(engine: Engine, process: Callable[[], Mapping[str, Any]]) -> Blueprint:
    """The routes of health checks; they answer HEAD too, as load balancers like it.

    `process`: what is told of this process beside the view: its streams, its clock, its version.
    """
    blueprint = Blueprint("health", __name__)

    @blueprint.route("/livez", methods=["GET", "HEAD"])
    @light
    def livez() -> Response:
        return answer({"message": "alive"})

    @blueprint.route("/readyz", methods=["GET", "HEAD"])
    @light
    def readyz() -> Response:
        view = engine.describe()
        facts = {**condition(view), **process()}
        error = why_not_ready(view, facts)
        return answer({"message": "ready", "ready": True, **facts}) if error is None else problem(error)

    return blueprint


def condition(view: ClusterStatus) -> dict[str, Any]:
    """What an operator asks first. `copies`: of a publish taken now; `peers`: their rows."""
    facts: dict[str, Any] = {
        "degraded": list(view.degraded),
        "holes": [hole_shown(hole) for hole in view.holes],
        "away": list(view.away),
        "copies": view.most_copies if view.serves and view.writable else 0,
        "peers": [shown(row) for row in view.rows if not row.self],
    }
    if view.disk_free_bytes is not None:
        facts["disk_free_bytes"] = view.disk_free_bytes
    return facts


def why_not_ready(view: ClusterStatus, facts: Mapping[str, Any]) -> NewswireError | None:
    """What another broker would do better now, None when nothing: `degraded` alone takes no broker out of rotation."""
    facts = {"ready": False, **facts}
    if not view.serves:
        return Unavailable(why_not(view), **facts)
    if not view.writable:
        detail = "this broker cannot write to its disk: make room on it, and send clients to another broker meanwhile"
        return StorageFull(detail, code="not-ready", **facts)
    return None
