"""`/livez` and `/readyz`."""

from __future__ import annotations

import pytest

from newswire.core.model.forecasts import Outlook
from newswire.engine.seam import DiskFacts, HoleRow
from newswire.web.routes.trends import Nothing
from tests.kit.web_fakes import OTHER, Web


@pytest.fixture
def web() -> Web:
    return Web()


def test_alive_and_ready(web: Web) -> None:
    assert web.get("/livez") == {"message": "alive"}
    told = web.get("/readyz")
    assert told == {
        "message": "ready",
        "ready": True,
        "degraded": [],
        "warnings": [],
        "holes": [],
        "away": [],
        "streams": 0,
        "streams_limit": 20_000,
        "streams_configured": 20_000,
        "copies": 2,
        "peers": [{"id": "1002", "ip": OTHER, "is_primary": False, "state": "up", "lag": 0, "self": False, "seconds": 0.0}],
        "time": "2026-11-24T10:00:00.000Z",
        "version": "0.1",
    }
    disk = DiskFacts(free_bytes=7, reserve_bytes=3, log_bytes=9)
    web.engine.change_view(degraded=("1002 does not answer",), disk=disk, most_copies=1)
    sizes = {"disk_free_bytes": 7, "disk_reserve_bytes": 3, "ops_file_bytes": 9}
    assert web.get("/readyz") == {**told, "degraded": ["1002 does not answer"], **sizes, "copies": 1}
    head = web.client.head("/readyz")
    assert (head.status_code, head.data) == (200, b"")


class Foreseen(Nothing):
    """Something is foreseen."""

    outlook = Outlook(disk_full_seconds=(60, None), warnings=("a topic is unusually busy",))


def test_what_is_foreseen_is_told_beside_what_is_wrong() -> None:
    web = Web(measured=Foreseen())
    web.engine.change_view(warnings=("1002 is silent",), disk=DiskFacts(free_bytes=7, reserve_bytes=3, log_bytes=9))
    told = web.get("/readyz")
    assert (told["degraded"], told["warnings"]) == ([], ["1002 is silent", "a topic is unusually busy"])
    assert told["disk_full_seconds"] == [60, None]


@pytest.mark.parametrize(
    "changes", [{"serves": False, "why_not": "this broker is catching up: use another one"}, {"writable": False}]
)
def test_not_ready(web: Web, changes: dict[str, object]) -> None:
    web.engine.change_view(degraded=("1002 does not answer",), **changes)
    web.get("/readyz", "not-ready")
    response = web.client.get("/readyz")
    assert (response.status_code, response.json["ready"], response.json["degraded"]) == (503, False, ["1002 does not answer"])
    assert response.json["copies"] == 0, "of a publish taken now"
    assert web.get("/livez") == {"message": "alive"}


def test_readiness_lists_the_holes_of_all_brokers_and_who_is_away(web: Web) -> None:
    web.engine.change_view(holes=(HoleRow("1002", "1002-b", 5, 7, waiting=12),), away=("1003",))
    told = web.get("/readyz")
    hole = {"broker": "1002", "origin": "1002-b", "first": 5, "last": 7, "waiting": 12, "unreadable": False}
    assert (told["holes"], told["away"]) == ([hole], ["1003"])
