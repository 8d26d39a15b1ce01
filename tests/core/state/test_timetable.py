"""What waits, and what ends that, whatever came first (docs/rules.md, SCHEDULE)."""

from __future__ import annotations

from itertools import permutations

import pytest

from newswire.core.model.ops import Began, Op, Published, Scheduled, Withdrawn
from newswire.core.read.reports import shown_row
from newswire.core.state.fold import State
from newswire.core.state.salvage import again
from newswire.core.state.timetable import release

FIRST = Scheduled("a1", 2, 1_000, topic="t", data="x", key="k", publisher="bob", due=61_000, delay=60_000, expires=71_000)
TWIN = Scheduled("b1", 2, 2_000, topic="t", data="x", key="k", publisher="bob", due=62_000, delay=60_000, expires=72_000)
OTHER = Scheduled("b1", 2, 2_000, topic="t", data="y", key="k", publisher="bob", due=62_000, delay=60_000)
BY_FIRST = Published("c1", 2, 61_000, topic="t", data="x", key="k", publisher="bob", again="a1.2")
BY_TWIN = Published("d1", 2, 62_000, topic="t", data="x", key="k", publisher="bob", again="b1.2")


def fold(*ops: Op) -> State:
    state = State()
    for origin in ("a1", "b1", "c1", "d1", "e1"):
        state.apply(Began(origin, 1, 0, broker=origin, vector={}), 0, 1, None)
    for op in ops:
        state.apply(op, 0, 1, None)
    return state


def waiting(state: State) -> list[str]:
    return sorted(op.data for op in state.messages.timetable.waiting.values())


def shown(state: State) -> int:
    return sum(map(bool, state.log.topics))


def test_it_waits_and_is_no_message() -> None:
    state = fold(FIRST)
    assert waiting(state) == ["x"]
    assert shown(state) == 0
    assert state.messages.names == [""]
    assert shown_row(state, "a1.2") is None


def test_what_is_published_says_the_same_names_it_and_lives_as_long_from_then_on() -> None:
    draft = release(FIRST)
    assert (draft.topic, draft.data, draft.key, draft.publisher, draft.again) == ("t", "x", "k", "bob", "a1.2")
    assert draft.expires - draft.time == 10_000


@pytest.mark.parametrize("order", list(permutations((FIRST, TWIN, BY_FIRST, BY_TWIN))))
def test_what_two_brokers_took_and_published_is_one_message_whatever_came_first(order: tuple[Op, ...]) -> None:
    state = fold(*order)
    assert waiting(state) == []
    assert shown(state) == 1
    for name in ("a1.2", "b1.2", "c1.2", "d1.2"):
        assert shown_row(state, name) is not None


@pytest.mark.parametrize("order", list(permutations((FIRST, TWIN))))
def test_what_two_brokers_took_waits_once(order: tuple[Op, ...]) -> None:
    assert waiting(fold(*order)) == ["x"]
    assert waiting(fold(*order, BY_TWIN)) == []


def test_another_text_under_its_key_waits_by_itself() -> None:
    assert waiting(fold(FIRST, OTHER)) == ["x", "y"]


@pytest.mark.parametrize("name", ["a1.2", "b1.2"])
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_what_is_withdrawn_under_either_id_is_never_shown(name: str, order: tuple[int, ...]) -> None:
    ops = (FIRST, TWIN, BY_TWIN, Withdrawn("e1", 2, 3_000, ids=(name,)))
    state = fold(*(ops[at] for at in order))
    assert (waiting(state), shown(state)) == ([], 0)


def test_what_waits_and_is_given_up_is_stored_again_and_what_is_over_is_not() -> None:
    (draft,) = again(fold(FIRST), FIRST)
    assert isinstance(draft, Scheduled)
    assert (draft.again, draft.due, draft.data) == ("a1.2", 61_000, "x")
    assert again(fold(FIRST, BY_FIRST), FIRST) == []
    assert again(fold(FIRST, Withdrawn("e1", 2, 3_000, ids=("a1.2",))), FIRST) == []


def test_one_that_was_stored_again_is_the_same_one() -> None:
    copy = Scheduled("b1", 2, 9_000, topic="t", data="x", due=61_000, delay=60_000, again="a1.2")
    assert waiting(fold(copy)) == ["x"]
    assert waiting(fold(copy, BY_FIRST)) == []
    assert release(copy).again == "a1.2"
