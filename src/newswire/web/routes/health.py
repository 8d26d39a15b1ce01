"""`/livez` and `/readyz`: is the process alive, and should clients be sent to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from flask import Blueprint, Response

from newswire.core.model.forecasts import Outlook
from newswire.engine.seam import ClusterStatus, Engine, HoleRow
from newswire.errors import NewswireError, StorageFull, Unavailable
from newswire.web.availability import why_not
from newswire.web.responses import Confirmation, answer, problem
from newswire.web.route import PUBLIC, Route, Success
from newswire.web.routes.cluster import ShownBroker, shown


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What `/readyz` says of a broker; a problem has the same beside its own members."""

    message: str
    ready: bool
    degraded: list[str]
    warnings: list[str]
    holes: tuple[HoleRow, ...]
    away: list[str]
    copies: int
    peers: list[ShownBroker]
    streams: int
    streams_limit: int
    streams_configured: int
    time: str
    version: str
    disk_free_bytes: int | msgspec.UnsetType = msgspec.UNSET
    disk_reserve_bytes: int | msgspec.UnsetType = msgspec.UNSET
    ops_file_bytes: int | msgspec.UnsetType = msgspec.UNSET
    disk_full_seconds: list[int | None] | msgspec.UnsetType = msgspec.UNSET


LIVEZ: Final = Route(
    method="GET",
    path="/livez",
    words="Is the process alive?",
    rights=(PUBLIC,),
    answers=(Success(Confirmation),),
    takes_head=True,
    is_light=True,
    is_lenient=True,
)
READYZ: Final = Route(
    method="GET",
    path="/readyz",
    words="Should clients be sent to this broker?",
    rights=(PUBLIC,),
    answers=(Success(Readiness),),
    codes=("not-ready",),
    takes_head=True,
    is_light=True,
    is_lenient=True,
)


def routes(
    engine: Engine,
    process: Callable[[], Mapping[str, Any]],
    degraded: Callable[[ClusterStatus], list[str]],
    outlook: Callable[[], Outlook],
) -> Blueprint:
    """The routes of health checks; they answer HEAD too, as load balancers like it.

    `process`: what is told of this process beside the view: its streams, its clock, its version; `degraded`: what is wrong;
    `outlook`: what is foreseen.
    """
    blueprint = Blueprint("health", __name__)

    @LIVEZ.on(blueprint)
    def livez() -> Response:
        return answer(Confirmation("alive"))

    @READYZ.on(blueprint)
    def readyz() -> Response:
        view = engine.describe()
        facts = {"degraded": degraded(view), **condition(view, outlook()), **process()}
        error = why_not_ready(view, facts)
        return answer({"message": "ready", "ready": True, **facts}) if error is None else problem(error)

    return blueprint


def condition(view: ClusterStatus, outlook: Outlook) -> dict[str, Any]:
    """What an operator asks first. `copies`: of a publish taken now; `peers`: their rows."""
    facts: dict[str, Any] = {
        "warnings": [*view.warnings, *outlook.warnings],
        "holes": view.holes,
        "away": list(view.away),
        "copies": view.most_copies if view.serves and view.writable else 0,
        "peers": [shown(row) for row in view.rows if not row.self],
    }
    if (disk := view.disk) is not None:
        facts["disk_free_bytes"], facts["disk_reserve_bytes"] = disk.free_bytes, disk.reserve_bytes
        facts["ops_file_bytes"] = disk.log_bytes
        if outlook.disk_full_seconds is not None:
            facts["disk_full_seconds"] = list(outlook.disk_full_seconds)
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
