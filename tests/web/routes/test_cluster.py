"""/list_replicas, /add_replica, /remove_replica, the peers' routes and the health checks."""

from __future__ import annotations

import pytest

from newswire.core import limits
from tests.kit.web_fakes import OTHER, Web


@pytest.fixture
def web() -> Web:
    return Web()


def test_list_replicas(web: Web) -> None:
    assert web.get("/list_replicas") == [
        {"id": "1001", "ip": "127.0.0.1:5053", "is_primary": True, "state": "up", "lag": 0, "self": True},
        {"id": "1002", "ip": "10.0.0.2:5054", "is_primary": False, "state": "up", "lag": 0, "self": False, "seconds": 0.0},
    ]


def test_add(web: Web) -> None:
    for options in ({"query_string": "broker_ip=127.0.0.1:5055"}, {"json": {"broker_ip": "127.0.0.1:5055"}}):
        told = web.post("/add_replica", **options)
        assert told["message"] == "Added broker 127.0.0.1:5055 (1003)"  # type: ignore[index]
        assert told["broker"]["id"] == "1003"  # type: ignore[index]


def test_remove_by_address_or_id(web: Web) -> None:
    for named in ("10.0.0.2:5054", "1002"):
        assert web.post(f"/remove_replica?broker_ip={named}")["message"] == "Removed broker 10.0.0.2:5054 (1002)"  # type: ignore[index]
    assert web.cluster.left == ["10.0.0.2:5054", "1002"]


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("/add_replica", "missing-field", "`broker_ip`"),
        ("/add_replica?broker_ip=", "bad-address", "HOST:PORT"),
        ("/add_replica?broker_ip=1002", "bad-address", "HOST:PORT"),
        ("/add_replica?broker_ip=http://127.0.0.1:5055", "bad-address", "HOST:PORT"),
        ("/add_replica?broker_ip=127.0.0.1:0", "bad-address", "HOST:PORT"),
        ("/add_replica?broker_ip=127.0.0.1:5999", "unreachable", "running"),
        ("/add_replica?broker_ip=127.0.0.1:6000", "other-cluster", "empty ops directory"),
        ("/add_replica?broker_ip=127.0.0.1:5055&force=1", "unknown-field", "`force`"),
        ("/remove_replica?broker_ip=127.0.0.1:5999", "no-broker", "/list_replicas"),
        ("/remove_replica?broker_ip=1009", "no-broker", "/list_replicas"),
        ("/remove_replica?broker_ip=a-b", "bad-field", "broker id"),
        ("/remove_replica?broker_ip=a:b", "bad-address", "HOST:PORT"),
    ],
)
def test_refused(web: Web, path: str, code: str, word: str) -> None:
    assert word in str(web.post(path, code))
    assert web.cluster.left == []


@pytest.mark.parametrize("path", ["/add_replica", "/remove_replica", "/replicate", "/heartbeat/receive"])
def test_without_a_cluster_there_is_nothing_to_change(path: str) -> None:
    Web(cluster=False).post(f"{path}?broker_ip=127.0.0.1:5055", "not-found")


# -- peers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/replicate", "/heartbeat/receive"])
def test_what_peers_send_goes_to_the_cluster_as_it_is(web: Web, path: str) -> None:
    body = b"\x00\xff" * limits.FORM_BYTES
    response = web.client.post(f"{path}?broker_ip=x", data=body, headers={"X-Newswire-Sender": "1002"})
    assert (response.status_code, response.data) == (200, b"vector")
    assert web.cluster.received == [(path, "1002", body)]


def test_a_peer_may_send_more_than_any_client_but_not_everything(web: Web) -> None:
    length = {"CONTENT_LENGTH": str(limits.PEER_BODY_BYTES + 1)}
    web.post("/replicate", "too-large", environ_overrides=length)
    assert web.cluster.received == []


# -- health -------------------------------------------------------------------------------------------------------
def test_alive_and_ready(web: Web) -> None:
    assert web.get("/livez") == {"message": "alive"}
    told = web.get("/readyz")
    assert told == {
        "message": "ready",
        "ready": True,
        "degraded": [],
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
    web.engine.change_view(degraded=("1002 does not answer",), disk_free_bytes=7, most_copies=1)
    assert web.get("/readyz") == {**told, "degraded": ["1002 does not answer"], "disk_free_bytes": 7, "copies": 1}
    head = web.client.head("/readyz")
    assert (head.status_code, head.data) == (200, b"")


@pytest.mark.parametrize(
    "changes", [{"serves": False, "why_not": "this broker is catching up: use another one"}, {"writable": False}]
)
def test_not_ready(web: Web, changes: dict[str, object]) -> None:
    web.engine.change_view(degraded=("1002 does not answer",), **changes)
    web.get("/readyz", "not-ready")
    response = web.client.get("/readyz")
    assert (response.status_code, response.json["ready"], response.json["degraded"]) == (503, False, ["1002 does not answer"])
    assert web.get("/livez") == {"message": "alive"}
