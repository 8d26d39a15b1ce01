"""Which rows are due to a reader: those that match and that what is known does not cover, by row and by topic alike."""

from __future__ import annotations

from unittest.mock import patch

from newswire.core import limits
from newswire.core.model.ops import Began, Published
from newswire.core.read.pages import Wanted
from newswire.core.read.pieces import finish
from newswire.core.read.selection import Reach, Selection, Stretch
from newswire.core.state.fold import State

A, B = "1001-a", "1002-b"


def state_of(*topics: str) -> State:
    """B began on all of A: rows 0 and 1 are the two `began`, then a message a topic, of A where it stands `a:` first."""
    state = State()
    state.apply(Began(A, 1, 0, "1001", {}), 0, 0, None)
    state.apply(Began(B, 1, 0, "1002", {A: 1}), 0, 0, None)
    for name in topics:
        origin = A if name.startswith("a:") else B
        topic = name.removeprefix("a:")
        state.apply(Published(origin, state.log.held(origin) + 1, 0, topic=topic, data="x"), 0, 0, None)
    return state


def selection(state: State, *patterns: str, known: tuple[dict[str, int], ...] = ()) -> Selection:
    wanted = Wanted(patterns, tuple(tuple(sorted(vector.items())) for vector in known))
    return finish(Selection.of(state, wanted))


def due(state: State, selected: Selection, most: int = 100) -> list[int]:
    rows = selected.due_rows(Stretch(state, 0, len(state.log)), most)
    columns = selected.columns(state)
    if columns is not None:
        assert selected.rows_by_topic(state, columns, 0, most) == rows, "by topic it is the same"
    return rows


def test_rows_are_due_that_match_and_are_not_known() -> None:
    state = state_of("news", "tech", "a:news", "news")
    assert due(state, selection(state, "news")) == [2, 4, 5]
    assert due(state, selection(state, "news", known=({B: 2},))) == [4, 5]
    assert due(state, selection(state, "news", known=({A: 2, B: 2},))) == [5]
    assert due(state, selection(state, ">")) == [2, 3, 4, 5]
    assert due(state, selection(state, "none")) == []


def test_a_message_is_known_only_if_each_pattern_that_matches_it_knows_it() -> None:
    state = state_of("news", "tech")
    known = ({B: 3}, {B: 1})
    assert due(state, selection(state, "news", ">", known=known)) == [2, 3]
    assert due(state, selection(state, "tech", "news", known=known)) == [2]


def test_no_more_are_found_than_are_asked_for() -> None:
    state = state_of(*["news"] * 5)
    assert due(state, selection(state, "news"), most=2) == [2, 3]


def test_a_topic_in_another_part_of_the_rows_is_found_too() -> None:
    state = state_of(*["tech"] * 9, "news")
    with patch.object(limits, "CHECKPOINT_ROWS", 2):
        assert due(state, selection(state, "news")) == [11]


def test_what_follows_from_a_vector_is_known_as_well() -> None:
    state = state_of("a:news", "news")
    state.apply(Began("1003-c", 1, 0, "1003", {A: 2, B: 2}), 0, 0, None)
    assert due(state, selection(state, "news", known=({"1003-c": 1},))) == []
    reach = Reach(state.lineage)
    assert reach.covers({"1003-c": 1}, {A: 2, B: 2})
    assert not reach.covers({"1003-c": 1}, {A: 3})
    assert not reach.covers({B: 1}, {B: 2})


def test_it_is_worked_out_once_until_an_origin_is_new() -> None:
    state, wanted = state_of("news"), Wanted(("news",))
    first = finish(Selection.of(state, wanted))
    assert finish(Selection.of(state, wanted)) is first
    state.apply(Began("1003-c", 1, 0, "1003", {}), 0, 0, None)
    assert finish(Selection.of(state, wanted)) is not first


def test_many_topics_are_not_looked_at_one_by_one() -> None:
    state = state_of("one", "two", "three")
    with patch.object(limits, "PIECE_TOPICS", 2):
        assert selection(state, "one", "two", "three").columns(state) is None
        assert selection(state, "one", "two").columns(state) is not None
    assert selection(state, "*").columns(state) is None
