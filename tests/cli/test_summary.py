"""The cluster at one moment: who is asked, and what is made of the answers."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from rich.console import Console

from newswire.cli import output, summary
from newswire.client import Row
from newswire.core import limits
from newswire.errors import NoBroker
from tests.kit.fake_broker import DOWN, Fake
from tests.kit.waiting import PATIENCE_SECONDS

READY = {"ready": True, "copies": 2, "time": "2026-11-24T21:54:12.345Z"}


class Together(Fake):
    """Answers what rows there are only once as many such brokers are asked as `all_asked` waits for."""

    def __init__(self, all_asked: threading.Barrier) -> None:
        self.all_asked = all_asked
        super().__init__()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/list_replicas":
            self.all_asked.wait(PATIENCE_SECONDS)
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


@pytest.fixture
def fake(fake: Fake) -> Fake:
    """A broker that is ready, and knows no topic."""
    fake.answers |= {"/readyz": (200, READY), "/topics": (200, [])}
    return fake


def test_all_are_asked_at_once_and_the_primary_is_believed(pair: tuple[Fake, Fake]) -> None:
    one, other = pair
    found = summary.gather([other.address, one.address], 0, who={})
    assert [(broker.id, broker.role, broker.ready) for broker in found.brokers] == [
        ("1001", "primary", True),
        ("1002", "secondary", True),
    ]
    assert ("/topics", {}) in one.asked
    assert ("/topics", {}) not in other.asked
    assert (found.copies, len(found.topics), found.refusal) == (2, 1, "")


def test_a_broker_that_is_down_does_not_keep_others_from_being_shown(fake: Fake) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row(), fake.row(id="1002", ip=DOWN, is_primary=False) | {"self": False}])
    found = summary.gather([DOWN, fake.address], 0, who={})
    assert [(broker.address, broker.ready) for broker in found.brokers] == [(fake.address, True), (DOWN, None)]


def test_a_member_is_believed_rather_than_one_that_was_removed(pair: tuple[Fake, Fake]) -> None:
    one, other = pair
    one.answers["/list_replicas"] = (200, [one.row(state="down", is_primary=False)])
    other.answers["/list_replicas"] = (200, [other.row(id="1002")])
    found = summary.gather([one.address, other.address], 0, who={})
    assert ([broker.id for broker in found.brokers], found.refusal) == (["1002"], "")


def test_brokers_that_hang_are_told_apart_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_SIDE_SECONDS", 0.5)  # of a real clock, in which both are to be asked
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hung = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(NoBroker) as caught:
            summary.gather([hung, DOWN], 60, who={})
        assert "could serve" in caught.value.detail
        assert hung in caught.value.detail
    with pytest.raises(NoBroker) as caught:
        summary.gather([DOWN], 0, who={})
    assert "is there" in caught.value.detail


def test_status_combines_what_is_told() -> None:
    rows = [Row("1002", "b:2", False, "catching-up", 3), Row("1001", "a:1", True, "up", 0)]
    made = summary.combine(
        rows,
        {"a:1": {"ready": True, "degraded": [], "streams": 4}, "b:2": {"ready": False, "detail": "starting", "degraded": []}},
        [{"topic": "old", "messages": 1, "last": "2026-01-01"}, {"topic": "new", "messages": 1, "last": "2026-02-01"}],
    )
    assert [(b.id, b.ready, b.streams, b.notes) for b in made.brokers] == [
        ("1001", True, 4, ()),
        ("1002", False, None, ("starting",)),
    ]
    assert [t["topic"] for t in made.topics] == ["new", "old"]
    assert made.copies == 1
    assert summary.row_line(rows[0]) == "b:2  broker 1002, secondary, catching-up, lacks 3 operations"


@pytest.mark.parametrize(
    ("told", "ahead"),
    [
        ("1970-01-01T00:16:40Z", 0.0),  # between the question and the answer
        ("1970-01-01T00:16:50Z", 9.0),
        ("1970-01-01T00:16:30.500+00:00", -9.5),
        ("soon", None),
        (None, None),
    ],
)
def test_a_clock_is_compared_with_the_one_here(told: object, ahead: float | None) -> None:
    assert summary.clock_ahead(told, 1000.0, 1001.0) == ahead


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (81_620_393_984, "81 GB"), (5_000_000_000_000_000, "5,000 TB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert summary._size(count) == shown


def test_healthy_brokers_are_a_table_on_80_columns() -> None:
    one = {"address": "127.0.0.1:5053", "state": "up", "lag": 0, "copies": 2, "streams": 1_000, "version": "0.1.0"}
    rows = tuple(
        summary.BrokerSummary(id=broker, role=role, ready=True, disk_free_bytes=999 * 10**9, clock_seconds=0.0, **one)
        for broker, role in (("1001", "primary"), ("1002", "secondary"))
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(output.rendered(summary.as_tables(summary.Status(rows, 2, ())), console.width))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.startswith("Broker  Address")


@pytest.mark.parametrize(
    ("conditions", "copies"),
    [
        ([{"ready": True, "copies": 2}, {"ready": True, "copies": 1}], 2),
        ([{"ready": False, "copies": 0}, {"ready": True, "copies": 1}], 1),
        ([{"ready": False, "copies": 0}, {"ready": False, "copies": 0}], 0),
        ([{"ready": False, "copies": 0}, None], 0),
        ([None, None], 2),
        ([{"ready": True}, {"ready": True}], 2),
    ],
    ids=["both well", "one full", "both full", "one full, one silent", "both silent", "of a version that does not say"],
)
def test_what_a_publish_would_get_is_what_the_broker_says_that_takes_it(conditions: list[Any], copies: int) -> None:
    rows = [Row("1001", "a:1", is_primary=True, state="up", itself=True), Row("1002", "b:1", state="up")]
    made = summary.combine(rows, dict(zip(("a:1", "b:1"), conditions, strict=True)), [])
    assert made.copies == copies
