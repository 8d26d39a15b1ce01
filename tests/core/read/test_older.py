"""Reading back: what is due, the newest first, in pages of any size, at this broker or on at another (docs/rules.md, OLDER)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model.coverage import Coverage
from newswire.core.model.ops import Began, Dropped, Op, Published, Subscribed
from newswire.core.read.older import read_older
from newswire.core.read.pieces import finish
from newswire.core.read.scan import Due, Plan
from newswire.core.read.start import open_page
from newswire.core.state.fold import State

NOW = 1_000
A, B = "1001-a", "1002-b"


def state_of(*ops: Op) -> State:
    state = State()
    for op in (Began(A, 1, 0, "1001", {}), Began(B, 1, 0, "1002", {}), *ops):
        state.apply(op, len(state.log), 1, None)
    return state


def subscribed(sequence: int, pattern: str = ">") -> Subscribed:
    return Subscribed(A, sequence, 0, "Alice", pattern, {A: sequence - 1})


def message(origin: str, sequence: int, topic: str = "news") -> Published:
    return Published(origin, sequence, 100 + sequence, topic=topic, data="x")


def page(
    state: State,
    before: Coverage | int | None = None,
    topic: str | None = None,
    since: int = 0,
    limit: int = 100,
    scan: int = 100,
) -> Plan:
    opening = open_page(state, "Alice", topic, since)
    assert opening is not None
    return finish(read_older(state, opening.position, opening.wanted, before, NOW, limit, scan))


def names(plan: Plan) -> list[str]:
    return [item.coverage.message for item in plan.items if isinstance(item, Due)]


def read_back(state: State, topic: str | None = None, limit: int = 100, scan: int = 100) -> list[str]:
    """All of it, page after page."""
    found, before, more = list[str](), None, True
    while more:
        plan = page(state, before, topic, limit=limit, scan=scan)
        found, before, more = found + names(plan), plan.coverage, plan.more
    return found


MIXED = (
    message(A, 2),
    subscribed(3),
    message(B, 2, "tech"),
    message(A, 4),
    message(A, 5, "tech"),
    message(B, 3),
    message(A, 6),
)
BACK = [f"{A}.6", f"{B}.3", f"{A}.5", f"{A}.4", f"{B}.2", f"{A}.2"]


@given(st.integers(1, 8), st.integers(1, 12))
def test_pages_of_any_size_give_all_once_the_newest_first(limit: int, scan: int) -> None:
    state = state_of(*MIXED)
    assert read_back(state, limit=limit, scan=scan) == BACK
    news = [name for name in BACK if name not in (f"{A}.5", f"{B}.2")]
    assert read_back(state, "news", limit, scan) == news, "found by topic"


@given(st.integers(1, 5), st.permutations([message(A, 2), message(B, 2)]))
def test_a_page_goes_on_at_another_broker_whose_log_has_another_order(limit: int, first: list[Op]) -> None:
    here = state_of(*MIXED)
    there = state_of(
        message(B, 2, "tech"), message(B, 3), MIXED[0], MIXED[1], message(A, 4), message(A, 5, "tech"), message(A, 6)
    )
    head = page(here, limit=limit)
    rest, before, more = list[str](), head.coverage, True
    while more:
        plan = page(there, before, limit=2)
        rest, before, more = rest + names(plan), plan.coverage, plan.more
    assert sorted(names(head) + rest) == sorted(BACK)


def test_what_an_event_id_stands_behind_is_not_read_again() -> None:
    state = state_of(*MIXED)
    first = page(state, limit=2)
    assert isinstance(first.items[1], Due)
    assert names(page(state, first.items[1].coverage)) == BACK[2:]


def test_a_place_that_names_what_is_not_held_here_begins_anew() -> None:
    state = state_of(*MIXED)
    assert names(page(state, Coverage("", {"1003-c": 4}))) == BACK
    assert names(page(state, Coverage("", {A: 4, "1003-c": 4}))) == BACK
    assert names(page(state, Coverage("", {}))) == []


def test_before_and_since_a_time() -> None:
    state = state_of(*MIXED)
    assert names(page(state, 104)) == [f"{B}.3", f"{B}.2", f"{A}.2"]
    assert names(page(state, since=104)) == [f"{A}.6", f"{A}.5", f"{A}.4"]
    assert names(page(state, 106, since=104)) == [f"{A}.5", f"{A}.4"]


@pytest.mark.parametrize("topic", [None, "news"])
def test_what_retention_dropped_is_left_out(topic: str | None) -> None:
    state = state_of(*MIXED, Dropped(A, 7, 200, "news", {A: 4}))
    assert read_back(state, topic, limit=1) == [
        name for name in BACK if name not in (f"{A}.4", f"{A}.2") and (topic is None or name not in (f"{A}.5", f"{B}.2"))
    ]


def test_a_page_looks_at_no_more_rows_than_it_may() -> None:
    state = state_of(*MIXED)
    plan = page(state, scan=2)
    assert (names(plan), plan.more) == (BACK[:2], True)
