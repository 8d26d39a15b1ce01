"""/list_replicas, /add_replica and /remove_replica."""

from __future__ import annotations

import pytest

from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web()


def test_list_replicas(web: Web) -> None:
    assert web.get("/list_replicas") == [
        {"id": "1001", "ip": "127.0.0.1:5053", "is_primary": True, "state": "up", "lag": 0, "self": True},
        {"id": "1002", "ip": "10.0.0.2:5054", "is_primary": False, "state": "up", "lag": 0, "self": False, "seconds": 0.0},
    ]


def test_the_streams_of_a_broker_are_shown_where_it_says_how_many(web: Web) -> None:
    web.engine.note_load(0, 20_000)
    me, other = web.get("/list_replicas")  # type: ignore[misc]
    assert (me["streams"], me["streams_limit"]) == (0, 20_000)
    assert "streams" not in other


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
