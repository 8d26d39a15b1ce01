"""Where a reader begins, and how far an acknowledgement moves his cursors."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import Acknowledged, Began, Lost, Op, Published, Subscribed
from newswire.core.model.vector import Vector
from newswire.core.read.start import acknowledged_by, open_page, open_stream, to_acknowledge
from newswire.core.state.fold import State
from tests.kit.lines import lines_of

HERE, BEFORE = "1001-b", "1001-a"
SUBSCRIPTIONS = 200


class Broker:
    """A state of two runs, of which the second began with all of the first."""

    def __init__(self) -> None:
        self.state = State()
        self.take(Began(BEFORE, 1, 0, "1001", {}))
        for _ in range(4):
            self.take(Published(BEFORE, self.state.log.held(BEFORE) + 1, 0, topic="news", data="x"))
        self.take(Began(HERE, 1, 0, "1001", dict(self.state.vector)))

    def take(self, op: Op) -> None:
        self.state.apply(op, len(self.state.log), 1, None)

    @property
    def next(self) -> int:
        return self.state.log.held(HERE) + 1

    def subscribe(self, pattern: str) -> None:
        self.take(Subscribed(HERE, self.next, 0, "Alice", pattern, {}))

    def acknowledge(self, after: Vector, pattern: str | None = None) -> int:
        """How many cursors it moves."""
        ack = Acknowledge("Alice", write(Coverage("", after, {HERE: self.next})), pattern)
        vector, ids = to_acknowledge(self.state, [ack])
        if ids:
            self.take(Acknowledged(HERE, self.next, 0, tuple(ids), vector))
        return len(ids)

    def cursors(self) -> list[Vector]:
        return [self.state.subscriptions.cursor(sub) for sub in self.state.subscriptions.alive_of("Alice")]


def test_an_acknowledgement_moves_what_is_behind_and_nothing_twice() -> None:
    broker = Broker()
    broker.subscribe("news")
    assert [broker.acknowledge({BEFORE: upto}) for upto in (3, 3, 2, 5)] == [1, 0, 0, 1]
    assert broker.cursors() == [{BEFORE: 5}]
    assert broker.acknowledge({HERE: 1}) == 1
    assert broker.acknowledge({BEFORE: 5}) == 0, "it follows from where the later run began"


def test_a_place_that_another_broker_is_ahead_at_is_taken_in_the_runs_that_go_on() -> None:
    state = Broker().state
    assert acknowledged_by(state, {HERE: 9}) == {HERE: 9}
    assert acknowledged_by(state, {BEFORE: 9}) == {BEFORE: 5}, "it is over: what is held of it is all of it"
    assert acknowledged_by(state, {BEFORE: 3, HERE: 9}) == {HERE: 9}


def test_made_up_origins_move_no_cursor() -> None:
    broker = Broker()
    broker.subscribe("news")
    for number in range(100):
        assert broker.acknowledge({f"1001-{number}{at}x": 9 for at in range(50)}) == 0
    assert broker.acknowledge({BEFORE: 2, "1009-x": 7}) == 1
    assert broker.cursors() == [{BEFORE: 2}]


def many_cursors() -> Broker:
    broker = Broker()
    for number in range(SUBSCRIPTIONS):
        broker.subscribe(f"news.{number}")
        broker.acknowledge({BEFORE: 1 + number % 4} | {f"1001-{number}{at}x": 9 for at in range(50)}, f"news.{number}")
    return broker


def test_a_long_id_costs_its_length_and_not_that_for_each_cursor() -> None:
    broker = many_cursors()

    def lines(after: Vector) -> int:
        ack = Acknowledge("Alice", write(Coverage("", after, {HERE: broker.next})))
        return lines_of(lambda: to_acknowledge(broker.state, [ack]))

    long = {BEFORE: 5} | {f"1001-{at}x": 9 for at in range(100)}
    assert lines(long) < lines({BEFORE: 5}) + 20 * 100
    assert broker.acknowledge(long) == SUBSCRIPTIONS


def test_nothing_begins_for_who_has_no_subscription() -> None:
    broker = Broker()
    assert open_stream(broker.state, "Alice", None) is None
    assert open_page(broker.state, "Alice", None, 0) is None


def begins(broker: Broker, after: Vector) -> tuple[int, bool]:
    """Where a stream of who knows this begins, and whether something may be due there."""
    opening = open_stream(broker.state, "Alice", Coverage("", after, {HERE: broker.next}))
    assert opening is not None
    return opening.position.offset, opening.more


def test_who_has_all_of_his_topics_begins_at_the_end() -> None:
    broker = Broker()
    broker.subscribe("news")
    broker.take(Published(HERE, broker.next, 0, topic="other", data="x"))
    end = len(broker.state.log)
    assert begins(broker, {BEFORE: 5}) == (end, False)
    assert begins(broker, {HERE: 1}) == (end, False), "what that run began with"
    assert begins(broker, {BEFORE: 4})[1]
    assert begins(broker, {BEFORE: 5, "1009-x": 7})[1], "what another broker gave him is due when it comes, and he has it"
    broker.take(Published(HERE, broker.next, 0, topic="news", data="x"))
    assert begins(broker, {BEFORE: 5})[1]


def test_patterns_and_what_is_missing_take_a_longer_look() -> None:
    broker = Broker()
    broker.subscribe("news")
    broker.subscribe("none.*")
    assert begins(broker, {BEFORE: 5})[1]
    other = Broker()
    other.subscribe("news")
    other.state.given_up.append((3, Lost(HERE, other.next, 0, source=BEFORE, first=4, last=4)))
    assert begins(other, {BEFORE: 5})[1]


def test_a_page_of_one_topic_begins_where_the_first_that_matches_does() -> None:
    broker = Broker()
    broker.subscribe("news.*")
    opening = open_page(broker.state, "Alice", "news.a", 0)
    assert opening is not None
    assert opening.wanted.patterns == ("news.a",)
    assert open_page(broker.state, "Alice", "tech", 0) is None


def test_a_stream_of_a_topic_that_hundreds_of_runs_published_to_looks_at_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start, and each long batch, is an origin, and leaves a void for ever: each stream that opens would pay for all."""
    broker = Broker()
    broker.subscribe("news")
    state = broker.state
    for number in range(limits.PIECE_TOPICS + 1):
        origin = f"1001-x{number}"
        broker.take(Began(origin, 1, 0, "1001", dict(state.vector)))
        broker.take(Published(origin, 2, 0, topic="news", data="x"))
    broker.take(Acknowledged(HERE, broker.next, 0, (f"{HERE}.2",), dict(state.vector)))
    looked_at: list[int] = []
    covers_all = state.lineage.covers_all

    def count(vector: Vector, other: Mapping[str, int]) -> bool:
        looked_at.append(len(other))
        return covers_all(vector, other)

    monkeypatch.setattr(state.lineage, "covers_all", count)
    opening = open_stream(state, "Alice", None)
    assert opening is not None
    assert opening.position.offset == len(state.log) - 1, "the acknowledgement itself"
    assert max(looked_at, default=0) <= limits.PIECE_TOPICS
