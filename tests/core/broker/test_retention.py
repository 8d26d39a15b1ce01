"""Retention: by age and count, in this log's order, and deaf to clocks that jump (docs/rules.md, RETENTION)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.broker.events import Now
from newswire.core.broker.retention import Retention, Sweep, to_drop
from newswire.core.broker.values import Identity
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Acknowledged, Began, Dropped, Published, decode
from newswire.core.state.fold import State
from newswire.engine.memory import MemoryEngine
from tests.kit.timed_broker import TimedBroker

HOUR = 3_600_000


def state_of(*stamps: tuple[str, int], topic: str = "news") -> State:
    """A log of messages: (origin, time stamp)."""
    state, made = State(), dict[str, int]()
    for origin, time in stamps:
        if origin not in made:
            state.apply(Began(origin, 1, time, origin[:4], {}), 0, 0, None)
            made[origin] = 1
        made[origin] += 1
        state.apply(Published(origin, made[origin], time, topic=topic, data="x"), 0, 0, None)
    return state


def left(state: State, before: int, most: int = 1_000, until: int = limits.TIME_MILLISECONDS) -> int:
    """How many messages are left after one look."""
    for topic, vector in to_drop(state, before, most, until):
        state.messages.drop(topic, vector)
    return state.messages.count(1)


def test_what_is_older_is_dropped() -> None:
    assert left(state_of(("1001-a", 10), ("1001-a", 20), ("1001-a", 30)), before=25) == 1


def test_nothing_to_drop_is_no_op() -> None:
    state = state_of(("1001-a", 10))
    assert to_drop(state, 5, 10) == []
    state.apply(Dropped("1001-a", 3, 11, "news", {"1001-a": 2}), 0, 0, None)
    assert to_drop(state, 99, 10) == []


def test_the_newest_stay_over_two_origins() -> None:
    state = state_of(("1001-a", 1), ("1002-b", 2), ("1001-a", 3), ("1002-b", 4), ("1001-a", 5))
    assert left(state, before=0, most=2) == 2
    kept = [row for row, topic in enumerate(state.log.topics) if topic and not state.messages.is_dropped(topic, row)]
    assert [state.log.times[row] for row in kept] == [4, 5]


def test_a_clock_years_behind_loses_nothing_that_it_has_just_stamped() -> None:
    state = state_of(("1001-a", 1_000_000), ("1002-b", 5), ("1002-b", 6), ("1001-a", 1_000_001))
    assert left(state, before=999_000) == 4
    assert left(state, before=1_000_001) == 1, "they go with what was taken just before them"


def test_a_stamp_from_the_future_keeps_nothing() -> None:
    """One of a clock that was years ahead for a moment: it is as old as what was taken just after it."""
    state = state_of(("1001-a", 10), ("1001-a", 9_000_000), ("1001-a", 20), ("1001-a", 30))
    assert left(state, before=5, until=100) == 4
    assert left(state, before=15, until=100) == 3, "what comes next is not old, so this one is not"
    assert left(state, before=25, until=100) == 1


def test_a_clock_that_is_behind_says_nothing_of_what_one_that_was_ahead_has_stamped() -> None:
    state = state_of(("1001-a", 10), ("1001-a", 9_000_000), ("1002-b", 5), ("1001-a", 9_000_001), ("1002-b", 6), ("1001-a", 30))
    assert left(state, before=25, until=100) == 5, "what comes next and says something is not old"
    assert left(state, before=31, until=100) == 0


def test_what_was_taken_last_by_a_clock_that_is_ahead_stays() -> None:
    state = state_of(("1001-a", 10), ("1001-a", 20), ("1001-a", 9_000_000), ("1001-a", 9_000_001))
    assert left(state, before=50, until=100) == 2
    assert left(state, before=60, until=100) == 2


def test_many_stamps_from_the_future_are_passed_in_pieces() -> None:
    length = 2 * limits.SCAN_ROWS
    state = state_of(("1001-a", 10), *[("1001-a", 9_000_000)] * length, ("1001-a", 20), ("1001-a", 30))
    sweep, looks = Sweep(), 0
    for before, kept in ((5, length + 3), (15, length + 2), (25, 1)):
        sweep.begin(before, 100)
        while sweep.is_busy:
            for topic, vector in sweep.look(state, 10 * length):
                state.messages.drop(topic, vector)
            looks += 1
        assert state.messages.count(1) == kept
    assert looks > 6


def sweep_of(sweep: Sweep, state: State, before: int, most: int = 1_000) -> tuple[list[str], int]:
    """The topics that a sweep drops from, and in how many pieces."""
    found, pieces = list[str](), 0
    sweep.begin(before)
    while sweep.is_busy:
        for topic, vector in sweep.look(state, most):
            state.messages.drop(topic, vector)
            found.append(topic)
        pieces += 1
    return sorted(found), pieces


def many(topics: int, each: int = 1) -> State:
    """Topics t0, t1 ..., each message a millisecond later than the one before."""
    state, time = State(), 0
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    for round_ in range(each):
        for number in range(topics):
            time += 1
            state.apply(Published("1001-a", round_ * topics + number + 2, time, topic=f"t{number}", data="x"), 0, 0, None)
    return state


def test_a_sweep_looks_at_a_bounded_number_of_topics_at_a_time() -> None:
    found, pieces = sweep_of(Sweep(), many(2_000), before=1_001)
    assert len(found) == 1_000
    assert pieces > 2_000 * 2 // limits.PIECE_TOPICS, "a topic and an origin count two"


def test_a_further_sweep_looks_only_at_what_became_old_or_grew() -> None:
    state, sweep = many(2_000), Sweep()
    sweep_of(sweep, state, before=1_001)
    found, pieces = sweep_of(sweep, state, before=1_011)
    assert (len(found), pieces) == (10, 1)
    state.apply(Published("1001-a", 2_002, 5_000, topic="t5", data="x"), 0, 0, None)
    state.apply(Published("1001-a", 2_003, 5_000, topic="t1500", data="x"), 0, 0, None)
    assert sweep_of(sweep, state, before=1_011, most=1) == (["t1500"], 1), "all of t5 but one was dropped before"


def test_a_topic_far_over_its_count_costs_no_more() -> None:
    state, sweep = many(1, each=20_000), Sweep()
    assert sweep_of(sweep, state, before=0, most=3)[0] == ["t0"]
    assert state.messages.count(1) == 3


def test_what_was_found_and_not_stored_is_found_again() -> None:
    state, sweep = many(5), Sweep()
    sweep.begin(100)
    assert len(sweep.look(state, 1_000)) == 5
    sweep.forget()
    sweep.begin(100)
    assert len(sweep.look(state, 1_000)) == 5


@given(
    st.lists(st.tuples(st.sampled_from(["1001-a", "1002-b"]), st.sampled_from(["x", "y"]), st.integers(0, 20)), max_size=30),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
    st.integers(1, 6),  # the same in every sweep of a run: a topic that has not grown is not looked at again
)
def test_sweeps_drop_what_looking_at_each_message_says(taken: list[tuple[str, str, int]], sweeps: list[int], most: int) -> None:
    state, sweep, log, gone = State(), Sweep(), list[tuple[str, int, str, int]](), set[tuple[str, int]]()
    for origin in ("1001-a", "1002-b"):
        state.apply(Began(origin, 1, 0, origin[:4], {}), 0, 0, None)
    cuts = [len(taken) * (index + 1) // len(sweeps) for index in range(len(sweeps))]
    for index, (origin, topic, time) in enumerate(taken):
        sequence = state.log.held(origin) + 1
        state.apply(Published(origin, sequence, time, topic=topic, data="x"), 0, 0, None)
        log.append((origin, sequence, topic, time))
        for cut in cuts:
            if cut == index + 1:
                before = max(earlier for earlier, end in zip(sweeps, cuts, strict=True) if end <= cut)
                sweep_of(sweep, state, before, most)
                first = next((at for at, (*_, stamp) in enumerate(log) if stamp >= before), len(log))
                gone |= {(origin, sequence) for origin, sequence, _, _ in log[:first]}
                for topic in ("x", "y"):
                    kept = [(o, s) for o, s, t, _ in log if t == topic and (o, s) not in gone]
                    gone |= set(kept[: max(0, len(kept) - most)])
    for origin, sequence, topic, _ in log:
        row = state.log.offsets_of[state.log.numbers[origin]][sequence - 1]
        assert state.messages.is_dropped(state.messages.numbers[topic], row) == ((origin, sequence) in gone)


# -- by bytes ---------------------------------------------------------------------------------------------------------
def sized(*lengths: int, topic: str = "news") -> State:
    """A log of messages whose records have these lengths, an acknowledgement between any two."""
    state = State()
    state.apply(Began("1001-a", 1, 1, "1001", {}), 0, 500, None)
    for number, length in enumerate(lengths):
        state.apply(Published("1001-a", 2 * number + 2, 1, topic=topic, data="x"), 0, length, None)
        state.apply(Acknowledged("1001-a", 2 * number + 3, 1, ("1001-a.1",), {"1001-a": 1}), 0, 700, None)
    return state


def shown(state: State) -> int:
    return sum(state.messages.count(number) for number in range(1, len(state.messages.names)))


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(1, 4_000), st.integers(1, 7))
def test_the_newest_bytes_stay_and_no_more_than_asked(lengths: list[int], size: int, piece: int) -> None:
    state, kept = sized(*lengths), 0
    for length in reversed(lengths):
        if kept + length > size:
            break
        kept += length
    expected = next((n for n in range(len(lengths) + 1) if sum(lengths[len(lengths) - n :]) == kept), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SCAN_ROWS", piece)
        for topic, vector in to_drop(state, 0, 10_000, size=size):
            state.messages.drop(topic, vector)
    assert shown(state) == expected


def test_bytes_are_of_all_topics_together() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 1, "1001", {}), 0, 0, None)
    for sequence, topic in enumerate(("old", "news", "news"), 2):
        state.apply(Published("1001-a", sequence, 1, topic=topic, data="x"), 0, 100, None)
    assert to_drop(state, 0, 10_000, size=250) == [("old", {"1001-a": 2})]


def test_a_sweep_by_bytes_goes_on_where_the_last_one_ended() -> None:
    """What was let go is not weighed again: a sweep costs what stays."""
    state, sweep = sized(*[100] * 50), Sweep()
    for more in (0, 10, 10):
        first = 2 + 2 * (len(state.log) // 2)
        for number in range(more):
            state.apply(Published("1001-a", first + number, 1, topic="news", data="x"), 0, 100, None)
        sweep.begin(0, size=2_000)
        while sweep.is_busy:
            for topic, vector in sweep.look(state, 10_000):
                state.messages.drop(topic, vector)
        assert shown(state) == 20


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({}, limits.RETENTION_EVERY_SECONDS),
        ({"is_tight": True}, limits.RETENTION_TIGHT_SECONDS),
        ({"is_tight": True, "wants_room": True}, limits.RETENTION_LOW_SECONDS),
    ],
)
def test_it_looks_more_often_the_less_room_there_is(told: dict[str, bool], seconds: float) -> None:
    part = Retention(Identity("1001", "10.0.0.1:1", "1001-a"), sized(100))
    assert part.is_due(Now(100.0, 0), **told)
    while part.is_due(Now(100.0, 0), **told):
        part.drop(0, 0, Now(100.0, 0))
    assert not part.is_due(Now(99.9 + seconds, 0), **told)
    assert part.is_due(Now(100.1 + seconds, 0), **told)


def test_messages_of_many_topics_are_dropped_by_few_ops() -> None:
    """Looked at each minute, each message of a topic that has one an hour would be dropped by an op of its own."""
    seconds = 0.0
    engine = MemoryEngine(
        "1001",
        primary=True,
        retention_seconds=10 * 86_400.0,
        clock=lambda: Now(seconds, 1_700_000_000_000 + int(seconds * 1_000)),
    )
    for hour in range(20 * 24):
        seconds = hour * 3_600.0
        engine.submit([Publish("news", str(hour))])
        for _ in range(3):
            engine.tick()
    dropped = [op for op in map(decode, engine.log.raws) if isinstance(op, Dropped)]
    assert 100 <= len(dropped) <= 140


@pytest.mark.parametrize("again", [False, True], ids=["in-one-run", "started-again"])
@pytest.mark.parametrize("lived", [1, 8 * 24], ids=["an-hour", "8-days"])
@pytest.mark.parametrize("ahead", [2, 365], ids=["2-days", "a-year"])
def test_a_clock_that_was_ahead_and_is_set_right_drops_what_is_old_alone(ahead: int, lived: int, again: bool) -> None:
    broker = TimedBroker(shift=ahead * 24 * HOUR)
    pass_hours(broker, lived)
    broker.shift = 0
    if again:
        broker.restart()
    broker.take(Publish("news", "old"))
    pass_hours(broker, 29 * 24)
    assert broker.shown() == ["old"]
    broker.take(Publish("news", "fresh"))
    pass_hours(broker, 10 * 24)  # retention's clock may be a week behind
    assert broker.shown() == ["fresh"]


def pass_hours(broker: TimedBroker, hours: int) -> None:
    for _ in range(hours):
        broker.seconds += 3_600
        for _ in range(4):
            broker.engine.tick()
