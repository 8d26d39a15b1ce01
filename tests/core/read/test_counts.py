"""Counts are those of looking at each message for each subscription, in pieces that do not grow with what there is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.access import Rights
from newswire.core.model.names import matches
from newswire.core.model.ops import Acknowledged, Began, Dropped, Op, Published, Subscribed
from newswire.core.model.results import SubscriptionRow, TopicRow
from newswire.core.read.counts import subscription_rows, subscriptions_of, topic_rows, topics
from newswire.core.read.pieces import Pieces, finish
from newswire.core.read.scan import read_on
from newswire.core.read.start import Recipient, open_stream, stream_opening
from newswire.core.state.fold import State
from tests.kit.lines import lines_of, longest_piece

TOPICS = ("news", "news.a", "news.b", "tech", "tech.a.b")
PATTERNS = ("news", "news.*", ">", "*", "tech.>", "*.a.*", "none")
ORIGINS = ("1001-a", "1002-b")


class Taker:
    """A state, and ops for it with the right coordinates."""

    def __init__(self) -> None:
        self.state = State()
        self.ops: list[Op] = []
        self.time = 0
        for origin in ORIGINS:
            self.take(Began(origin, 1, 0, origin[:4], {}))

    def take(self, op: Op) -> None:
        self.state.apply(op, len(self.ops), 1, None)
        self.ops.append(op)

    def next(self, origin: str) -> int:
        return self.state.log.held(origin) + 1

    def publish(self, origin: str, topic: str) -> None:
        self.take(Published(origin, self.next(origin), self.time, topic=topic, data="x"))

    def subscribe(self, origin: str, pattern: str) -> None:
        self.take(Subscribed(origin, self.next(origin), 0, "Alice", pattern, dict(self.state.vector)))

    def acknowledge(self, origin: str, vector: dict[str, int]) -> None:
        ids = tuple(sub.id for sub in self.state.subscriptions.alive_of("Alice"))
        self.take(Acknowledged(origin, self.next(origin), 0, ids, vector))

    def drop(self, origin: str, topic: str, vector: dict[str, int]) -> None:
        self.take(Dropped(origin, self.next(origin), 0, topic, vector))

    def expected(self) -> list[SubscriptionRow]:
        """Each message, looked at for each subscription."""
        state, covers, rows = self.state, self.state.lineage.covers, dict[str, SubscriptionRow]()
        for sub in state.subscriptions.awake_of("Alice"):
            index = unread = 0
            cursor = state.subscriptions.cursor(sub)
            for op in self.ops:
                if isinstance(op, Published) and matches(sub.pattern, op.topic):
                    done = covers(cursor, op.origin, op.sequence)
                    dropped = covers(state.messages.horizons.get(op.topic, {}), op.origin, op.sequence)
                    index += done and not covers(sub.since, op.origin, op.sequence)
                    unread += not done and not dropped
            if sub.pattern not in rows or rows[sub.pattern].unread < unread:
                rows[sub.pattern] = SubscriptionRow(sub.pattern, sub.time, index, unread)
        return [rows[pattern] for pattern in sorted(rows)]


STEP = st.tuples(
    st.sampled_from(["publish", "publish", "publish", "subscribe", "acknowledge", "drop"]),
    st.sampled_from(ORIGINS),
    st.sampled_from(TOPICS),
    st.sampled_from(PATTERNS),
    st.integers(1, 30),
    st.integers(1, 30),
)


def play(taker: Taker, steps: list[tuple[str, str, str, str, int, int]]) -> None:
    for what, origin, topic, pattern, one, other in steps:
        held = {name: taker.state.log.held(name) for name in ORIGINS}
        vector = {"1001-a": min(one, held["1001-a"]), "1002-b": min(other, held["1002-b"])}
        if what == "publish":
            taker.publish(origin, topic)
        elif what == "subscribe":
            taker.subscribe(origin, pattern)
        elif what == "acknowledge":
            taker.acknowledge(origin, vector)
        else:
            taker.drop(origin, topic, vector)


@settings(max_examples=150)
@given(st.lists(STEP, max_size=40))
def test_counts_are_those_of_looking_at_each_message_for_each_subscription(steps: list[Any]) -> None:
    taker = Taker()
    play(taker, steps)
    assert subscriptions_of(taker.state, "Alice") == taker.expected()


@settings(max_examples=100)
@given(st.lists(STEP, max_size=30), st.lists(STEP.filter(lambda step: step[0] != "drop"), max_size=20), st.data())
def test_counts_are_of_the_moment_when_the_query_began(before: list[Any], meanwhile: list[Any], data: st.DataObject) -> None:
    taker = Taker()
    play(taker, before)
    expected = taker.expected()
    piece = data.draw(st.integers(1, 5))
    with smaller_pieces(piece):
        assert with_changes(taker, subscription_rows(taker.state, Recipient("Alice")), meanwhile) == expected


def with_changes(taker: Taker, pieces: Pieces[Any], meanwhile: list[Any]) -> Any:
    """Run a query, and apply an op after each of its pieces."""
    beside, left = None, list(meanwhile)
    while True:
        try:
            beside = pieces.send(beside() if beside is not None else None)
        except StopIteration as end:
            return end.value
        play(taker, [left.pop()] if left else [])


class smaller_pieces:
    """Pieces of so many steps."""

    def __init__(self, size: int) -> None:
        self.names = ("PIECE_TOPICS", "PIECE_SUBSCRIPTIONS")
        self.size = size

    def __enter__(self) -> None:
        self.before = {name: getattr(limits, name) for name in self.names}
        for name in self.names:
            setattr(limits, name, self.size)

    def __exit__(self, *error: object) -> None:
        for name, value in self.before.items():
            setattr(limits, name, value)


def test_topics_that_were_dropped_whole_are_left_out_and_the_others_stand_in_order() -> None:
    taker = Taker()
    for topic in ("tech", "news", "gone"):
        taker.publish("1001-a", topic)
    taker.drop("1001-a", "gone", {"1001-a": 4})
    assert topics(taker.state) == [TopicRow("news", 1, 0), TopicRow("tech", 1, 0)]


def test_a_topic_is_as_new_as_the_last_message_of_any_origin_in_whatever_order_they_came() -> None:
    for order in (ORIGINS, ORIGINS[::-1]):
        taker = Taker()
        for origin in order:
            for time in {"1001-a": (900, 30), "1002-b": (20,)}[origin]:
                taker.take(Published(origin, taker.next(origin), time, topic="news", data="x"))
        assert topics(taker.state) == [TopicRow("news", 3, 30)], "its clock was set back to the right time"


@settings(max_examples=150)
@given(st.lists(st.tuples(STEP, st.integers(0, 9)), max_size=40))
def test_a_list_of_topics_is_the_same_however_often_it_was_asked_for_before(steps: list[tuple[Any, int]]) -> None:
    taker = Taker()
    for step, time in steps:
        taker.time = time
        play(taker, [step])
        topics(taker.state)
    other = Taker()
    for op in taker.ops[len(ORIGINS) :]:
        other.take(op)
    assert topics(taker.state) == topics(other.state)
    assert topics(taker.state, 4) == topics(other.state, 4)
    for number in range(1, len(other.state.messages.names)):
        other.state.messages.totals.forget(number)
    assert topics(taker.state) == topics(other.state)


def test_what_is_dropped_by_a_vector_that_says_more_once_a_broker_began_is_not_counted() -> None:
    taker = Taker()
    taker.publish("1001-a", "news")
    taker.take(Dropped("1002-b", taker.next("1002-b"), 0, "news", {"1003-c": 1}))
    assert topics(taker.state) == [TopicRow("news", 1, 0)]
    taker.take(Began("1003-c", 1, 0, "1003", {"1001-a": 2}))
    assert topics(taker.state) == []


def test_the_topics_that_nothing_happened_to_are_not_worked_out_again() -> None:
    state = crowded(1_000, 1).state
    topics(state)
    assert lines_of(lambda: topics(state)) < 25 * 1_000


def test_a_topic_is_not_newer_than_now_where_a_clock_was_ahead() -> None:
    taker = Taker()
    taker.take(Published("1001-a", taker.next("1001-a"), 10_000, topic="news", data="x"))
    assert topics(taker.state, 500) == [TopicRow("news", 1, 10_000)], "nothing better is known"
    taker.take(Published("1002-b", taker.next("1002-b"), 400, topic="news", data="x"))
    assert topics(taker.state, 500) == [TopicRow("news", 2, 400)]


# -- what a piece costs


WIDE = [".".join(levels) + ".*" for levels in product("a*", repeat=9)]  # 512 patterns, all of which match each topic


def crowded(topics: int, patterns: int) -> Taker:
    taker = Taker()
    for pattern in WIDE[:patterns]:
        taker.subscribe("1001-a", pattern)
    for number in range(topics):
        for origin in ORIGINS:
            taker.publish(origin, f"a.a.a.a.a.a.a.a.a.t{number}")
    return taker


PIECE_LINES = 12_000  # about a millisecond


def pieces_of(state: State) -> dict[str, Callable[[], Pieces[Any]]]:
    """Every query in pieces."""
    opening = open_stream(state, "Alice", None)
    assert opening is not None
    return {
        "GET /subscriptions": lambda: subscription_rows(state, Recipient("Alice")),
        "GET /topics": lambda: topic_rows(state, limits.TIME_MILLISECONDS, len),
        "opening a stream": lambda: stream_opening(state, Recipient("Alice"), None),
        "a page": lambda: read_on(state, opening.position, opening.wanted, 256),
    }


def test_no_piece_grows_with_topics_and_patterns() -> None:
    for count in (500, 3_000):
        state = crowded(count, 512).state
        lines = {what: longest_piece(query()) for what, query in pieces_of(state).items()}
        assert max(lines.values()) < PIECE_LINES, lines
        assert subscriptions_of(state, "Alice")[0].unread == 2 * count


def test_what_a_query_costs_does_not_multiply_topics_by_patterns() -> None:
    """Work is counted in lines, all pieces and what runs beside them: twice the patterns is not twice the work a topic."""
    few, many = (lines_of(lambda t=t: subscriptions_of(t.state, "Alice")) for t in (crowded(2_000, 64), crowded(2_000, 512)))
    assert many < 2 * few


def test_who_sees_nothing_takes_as_many_steps_as_who_sees_all() -> None:
    """Between two of them others go first: looking 50,000 names up in one go held publishes up for 0.4 s."""
    taker = Taker()
    for number in range(3 * limits.PIECE_TOPICS):
        taker.publish(ORIGINS[0], f"t{number}")
    for rights, count in ((Rights(), 0), (Rights(subscribe=(">",)), 3 * limits.PIECE_TOPICS)):
        parts: list[list[TopicRow]] = []
        finish(topic_rows(taker.state, limits.TIME_MILLISECONDS, parts.append, rights))
        assert len(parts) > 3
        assert sum(map(len, parts)) == count
