"""Topics and their messages: one at a time or many, twins hidden, dropped ones counted."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.ops import Began, Dropped, Published
from newswire.core.state.fold import State
from newswire.core.state.message_run import run_of
from newswire.core.state.topic_index import TopicIndex

A, B = "1001-a", "1002-b"


def state_of(*messages: Published) -> State:
    state = State()
    for origin in (A, B):
        state.apply(Began(origin, 1, 0, origin[:4], {}), 0, 0, None)
    for op in messages:
        state.apply(op, 0, 0, None)
    return state


def message(
    sequence: int, topic: str = "news", *, origin: str = A, time: int = 0, key: str = "", expires: int = 0
) -> Published:
    return Published(origin, sequence, time, topic=topic, data="x", key=key, expires=expires)


def shown(state: State, topic: str = "news") -> dict[str, list[int]]:
    index = state.messages
    return {origin: list(sequences) for origin, sequences in index.sequences[index.numbers[topic]].items()}


def test_topics_are_numbered_as_they_come_and_stand_in_order_of_their_names() -> None:
    state = state_of(message(2, "tech"), message(3, "art"), message(4, "tech"))
    index = state.messages
    assert index.numbers == {"tech": 1, "art": 2}
    assert index.names_in_order() == ["art", "tech"]
    state.apply(message(5, "news"), 0, 0, None)
    assert index.names_in_order() == ["art", "news", "tech"]


def test_the_newest_row_of_a_topic_is_the_one_that_was_applied_last() -> None:
    state = state_of(message(2, time=9), message(3, "tech"), message(2, origin=B, time=5))
    assert state.messages.newest[state.messages.numbers["news"]] == 4


def test_a_twin_is_hidden_until_what_it_stands_for_is_void() -> None:
    state = state_of(message(2, key="k"), message(2, origin=B, key="k"))
    index, number = state.messages, state.messages.numbers["news"]
    assert shown(state) == {A: [2]}
    assert index.count(number) == 1
    index.hide(2)
    assert shown(state) == {B: [2]}
    assert (index.name(3), index.count(number), index.newest[number]) == ("1002-b.2", 1, 3)
    index.hide(3)
    assert (shown(state), index.count(number)) == ({}, 0)


def test_a_key_of_another_day_is_another_message() -> None:
    day = limits.KEY_SECONDS * 1000
    state = state_of(message(2, key="k"), message(3, key="k", time=day), message(4, key="k", time=2 * day + 1))
    assert shown(state) == {A: [2, 4]}


def test_what_retention_dropped_is_not_counted_under_any_of_its_names() -> None:
    state = state_of(message(2, key="k"), message(3), message(2, origin=B, key="k"), message(3, origin=B))
    index, number = state.messages, state.messages.numbers["news"]
    assert index.count(number) == 3
    state.apply(Dropped(A, 4, 0, "news", {B: 2}), 0, 0, None)  # who said so showed the twin
    assert index.is_dropped(number, 2)
    assert list(index.dropped_by_twin(number)) == [2]
    assert index.count(number) == 2
    state.apply(Dropped(A, 5, 0, "news", {A: 2, B: 2}), 0, 0, None)
    assert (list(index.dropped_by_twin(number)), index.count(number)) == ([], 2)


def test_what_a_drop_implies_is_dropped_when_what_it_names_has_begun_here() -> None:
    """Before that it may wait behind a hole: nobody here can know what follows from it, so more is shown, never less."""
    state = state_of(message(2), message(3), message(2, origin=B))
    index, number = state.messages, state.messages.numbers["news"]
    state.apply(Dropped(B, 3, 0, "news", {"1003-c": 1}), 0, 0, None)
    assert (index.work_out(number), index.totals.counts[number], index.is_dropped(number, 2)) == (True, 3, False)
    state.apply(Began("1003-c", 1, 0, "1003", {A: 2, B: 2}), 0, 0, None)
    assert index.work_out(number)
    assert [index.is_dropped(number, row) for row in (2, 3, 4)] == [True, False, True]
    assert index.totals.counts[number] == 1


def test_the_last_of_a_topic_is_not_of_a_clock_that_was_ahead_unless_there_is_no_other() -> None:
    state = state_of(message(2, time=5), message(2, origin=B, time=900))
    index, number = state.messages, state.messages.numbers["news"]
    assert (index.last(number, 1000), index.last(number, 10), index.last(number, 1)) == (900, 5, 900)


def test_what_is_known_of_a_topic_is_put_right_once() -> None:
    state = state_of(message(2), message(3))
    index, number = state.messages, state.messages.numbers["news"]
    state.apply(Dropped(A, 4, 0, "news", {A: 2}), 0, 0, None)
    assert index.work_out(number)
    assert index.totals.counts[number] == 1
    assert not index.work_out(number)


@given(st.lists(st.tuples(st.sampled_from(["news", "tech", "art"]), st.sampled_from(["", "", "k", "l"])), max_size=12))
def test_many_at_once_are_as_one_after_the_other(taken: list[tuple[str, str]]) -> None:
    """`take_run` says None, and has done nothing, where it cannot."""
    ops = [message(sequence, topic, key=key) for sequence, (topic, key) in enumerate(taken, 2)]
    single, many = state_of().messages, state_of().messages
    run = run_of(ops) if ops else None
    if run is None:
        keyed = [name for name in taken if name[1]]
        assert len(set(keyed)) < len(keyed) or len(keyed) < len(taken) or not ops
        return
    assert take_run(many, ops) == [single.take(op, at) for at, op in enumerate(ops, 2)]
    assert (many.names, many.sequences, many.newest) == (single.names, single.sequences, single.newest)
    if any(key for _, key in taken):
        assert many.take_run(run, 20) is None, "their keys are known"
        assert (many.names, many.sequences, many.newest) == (single.names, single.sequences, single.newest)


def take_run(index: TopicIndex, ops: Sequence[Published]) -> list[int]:
    run = run_of(ops)
    assert run is not None
    numbers = index.take_run(run, 2)
    assert numbers is not None
    return list(numbers)


@given(
    st.lists(st.tuples(st.sampled_from(["news", "tech"]), st.integers(0, 5), st.sampled_from([0, 9])), min_size=1, max_size=40),
    st.sampled_from([{}, {A: 4}, {A: 30}, {B: 3}]),
    st.booleans(),
)
def test_a_long_run_is_as_its_messages_one_after_the_other(
    taken: list[tuple[str, int, int]], horizon: dict[str, int], is_second: bool
) -> None:
    ops = [message(sequence, topic, time=time, expires=end) for sequence, (topic, time, end) in enumerate(taken, 2)]
    single, many = state_of().messages, state_of().messages
    for index in (single, many):
        if is_second:
            index.take(message(2, origin=B, time=3), 1)
        index.drop("news", horizon)
    assert take_run(many, ops) == [single.take(op, at) for at, op in enumerate(ops, 2)]
    assert (many.names, many.sequences, many.newest) == (single.names, single.sequences, single.newest)
    assert many.lifetimes.peek(50) == single.lifetimes.peek(50)
    assert (many.totals.counts, many.totals.unknown) == (single.totals.counts, single.totals.unknown)
    trusted = set(range(1, len(many.names))) - many.totals.unknown
    assert [many.totals.lasts[one] for one in trusted] == [single.totals.lasts[one] for one in trusted]
