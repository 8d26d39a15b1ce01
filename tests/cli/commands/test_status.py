"""`newswire status`: who is asked, and what is made of the answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from newswire.cli import exits
from newswire.cli.commands import status
from newswire.cli.main import run
from newswire.core import limits
from newswire.errors import NoBroker
from tests.kit.fake_broker import DOWN, Fake

READY = {"ready": True, "copies": 2, "time": "2026-11-24T21:54:12.345Z"}


class Together(Fake):
    """Answers what rows there are only once as many such brokers are asked as `all_asked` waits for."""

    def __init__(self, all_asked: threading.Barrier) -> None:
        self.all_asked = all_asked
        super().__init__()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/list_replicas":
            self.all_asked.wait(20)
        super().answer(request)


@pytest.fixture
def pair() -> Iterator[tuple[Fake, Fake]]:
    """Two brokers that know each other, the first the primary; both must be asked before either answers."""
    barrier = threading.Barrier(2)
    one, other = Together(barrier), Together(barrier)
    rows = [one.row(), other.row(id="1002", is_primary=False)]
    for fake in (one, other):
        fake.answers["/list_replicas"] = (200, [row | {"self": row["ip"] == fake.address} for row in rows])
        fake.answers["/readyz"] = (200, READY)
        fake.answers["/topics"] = (200, [{"topic": "news", "messages": 3, "last": None}])
    yield one, other
    for fake in (one, other):
        fake.close()


def test_all_are_asked_at_once_and_the_primary_is_believed(pair: tuple[Fake, Fake]) -> None:
    one, other = pair
    found = status.gather([other.address, one.address], 0)
    assert [(broker.id, broker.role, broker.ready) for broker in found.brokers] == [
        ("1001", "primary", True),
        ("1002", "secondary", True),
    ]
    assert ("/topics", {}) in one.asked
    assert ("/topics", {}) not in other.asked
    assert (found.copies, len(found.topics), found.refusal) == (2, 1, "")


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    fake.answers["/readyz"] = (200, READY)
    fake.answers["/topics"] = (200, [])
    yield fake
    fake.close()


def test_a_broker_that_is_down_does_not_keep_others_from_being_shown(fake: Fake) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row(), fake.row(id="1002", ip=DOWN, is_primary=False) | {"self": False}])
    found = status.gather([DOWN, fake.address], 0)
    assert [(broker.address, broker.ready) for broker in found.brokers] == [(fake.address, True), (DOWN, None)]


def test_a_broker_that_was_removed_says_so_and_the_command_fails(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row(state="down", is_primary=False)])
    fake.answers["/readyz"] = (503, {"ready": False, "detail": "this broker was removed from the cluster"})
    fake.answers["/topics"] = (503, {"code": "not-ready", "detail": "removed"})
    assert run(["status", "--brokers", fake.address, "--json"]) == exits.FAILED
    told = capsys.readouterr()
    assert told.err == f"newswire: {fake.address}: this broker was removed from the cluster.\n"
    assert json.loads(told.out)["brokers"][0]["state"] == "down"


def test_a_member_is_believed_rather_than_one_that_was_removed(pair: tuple[Fake, Fake]) -> None:
    one, other = pair
    one.answers["/list_replicas"] = (200, [one.row(state="down", is_primary=False)])
    other.answers["/list_replicas"] = (200, [other.row(id="1002")])
    found = status.gather([one.address, other.address], 0)
    assert ([broker.id for broker in found.brokers], found.refusal) == (["1002"], "")


def test_brokers_that_hang_are_told_apart_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_SIDE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hung = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(NoBroker) as caught:
            status.gather([hung, DOWN], 60)
        assert "could serve" in caught.value.detail
        assert hung in caught.value.detail
    with pytest.raises(NoBroker) as caught:
        status.gather([DOWN], 0)
    assert "is there" in caught.value.detail


def test_a_time_that_is_none_is_a_wrong_option(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscribe"] = (400, {"code": "bad-time", "detail": "`from` must be a time"})
    assert run(["subscribe", "ann", "news", "--from", "yesterday", "--brokers", fake.address]) == exits.USAGE
    assert "`from` must be a time" in capsys.readouterr().err
