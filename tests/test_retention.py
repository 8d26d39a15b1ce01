"""Retention: by age and count, in this log's order, and deaf to clocks that jump (DESIGN 5, RELIABILITY H9 and H20)."""

from __future__ import annotations

from newswire.core.ops import Began, Dropped, Message
from newswire.core.retention import RetentionClock, start_of_clock, to_drop
from newswire.core.state import State


def state_of(*stamps: tuple[str, int], topic: str = "news") -> State:
    """A log of messages: (origin, time stamp)."""
    state, made = State(), dict[str, int]()
    for origin, time in stamps:
        if origin not in made:
            state.apply(Began(origin, 1, time, origin[:4], {}), 0, 0, None)
            made[origin] = 1
        made[origin] += 1
        state.apply(Message(origin, made[origin], time, topic, "x"), 0, 0, None)
    return state


def left(state: State, before: int, most: int = 1_000) -> int:
    """How many messages are left after one look."""
    for topic, vector in to_drop(state, before, most):
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
    assert not state.messages.is_dropped(1, "1002-b", 3)
    assert not state.messages.is_dropped(1, "1001-a", 4)


def test_a_clock_years_behind_loses_nothing_that_it_has_just_stamped() -> None:
    state = state_of(("1001-a", 1_000_000), ("1002-b", 5), ("1002-b", 6), ("1001-a", 1_000_001))
    assert left(state, before=999_000) == 4
    assert left(state, before=1_000_001) == 1, "they go with what was taken just before them"


def test_the_retention_clock_takes_the_smaller_step() -> None:
    clock = RetentionClock(1_000, 5_000, 10.0)
    assert clock.advance(5_000 + 10_000_000, 11.0) == 2_000, "the wall clock jumped ahead"
    assert clock.advance(5_000, 12.0) == 2_000, "and back"
    assert clock.advance(5_500, 100.0) == 2_500, "the process was stopped meanwhile"


def test_a_run_begins_no_later_than_any_member_s_newest_stamp() -> None:
    assert start_of_clock(State(), 77) == 77
    state = state_of(("1001-a", 9_000_000), ("1002-b", 50), ("1002-b", 60))
    assert start_of_clock(state, 9_000_001) == 60
    assert start_of_clock(state, 40) == 40
