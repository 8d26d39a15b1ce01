"""What came, by topic: since a place in the log, and in the hours before now."""

from __future__ import annotations

from newswire.core.model.forecasts import ArrivalPlace
from newswire.core.model.ops import Began, Published
from newswire.core.read.arrivals import arrivals, past
from newswire.core.read.pieces import finish
from newswire.core.state.fold import State

HOUR = 3_600_000
NOW = 500_000 * HOUR + HOUR // 2
ORIGIN = "1001-abcd"


def state_with(*messages: tuple[str, int]) -> State:
    """A log with these messages: topic and stamp."""
    state = State()
    state.apply(Began(ORIGIN, 1, NOW, "1001", {}), 0, 100, None)
    publish(state, *messages)
    return state


def publish(state: State, *messages: tuple[str, int]) -> None:
    for topic, time in messages:
        place = len(state.log)
        op = Published(ORIGIN, state.log.held(ORIGIN) + 1, time, topic=topic, data="x")
        state.apply(op, place * 100, 100, None)


def test_nothing_came_before_the_first_place() -> None:
    state = state_with(("a", NOW), ("b", NOW))
    first = finish(arrivals(state, None, 0))
    assert (first.counts, first.place) == ({}, ArrivalPlace(state.generation, 3))
    publish(state, ("a", NOW), ("a", NOW), ("c", NOW))
    then = finish(arrivals(state, first.place, 0))
    assert then.counts == {"a": 2, "c": 1}
    assert finish(arrivals(state, then.place, 0)).counts == {}


def test_what_another_broker_had_for_long_did_not_come_now() -> None:
    state = state_with()
    place = finish(arrivals(state, None, 0)).place
    publish(state, ("a", NOW), ("a", NOW - HOUR))
    assert finish(arrivals(state, place, NOW - 600_000)).counts == {"a": 1}


def test_a_place_in_a_log_that_was_written_anew_is_its_end() -> None:
    state = state_with(("a", NOW))
    assert finish(arrivals(state, ArrivalPlace(state.generation + 1, 0), 0)).counts == {}


def test_the_past_is_told_by_the_hour() -> None:
    state = state_with(("a", NOW - 2 * HOUR), ("a", NOW - 2 * HOUR), ("b", NOW - 2 * HOUR), ("a", NOW), ("z", NOW + 5 * HOUR))
    told = finish(past(state, NOW))
    assert told.first == NOW // HOUR - 2
    assert told.hours == [{"a": 2, "b": 1}, {}, {"a": 1}]
    assert told.peaks == [3 / 60, 0, 1 / 60]
    assert told.sizes == [300, 300, 500]


def test_of_a_log_from_which_something_was_dropped_no_size_is_known() -> None:
    state = state_with(("a", NOW))
    state.messages.drop("a", {ORIGIN: 2})
    assert finish(past(state, NOW)).sizes == ()


def test_an_empty_log_has_no_past() -> None:
    told = finish(past(State(), NOW))
    assert (told.first, told.hours) == (NOW // HOUR, ())
