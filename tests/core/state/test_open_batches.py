"""Long batches of which not all is here (docs/rules.md, BATCH)."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.model.ops import Began, Lost, Op, Void
from newswire.core.model.vector import Lineage
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole, Voids
from newswire.core.state.op_index import OpIndex
from newswire.core.state.open_batches import OpenBatches
from tests.core.state.test_holes import A, B, began, fold, message, texts


def start(count: int, origin: str = B) -> Began:
    """The first op of a batch of so many."""
    return Began(origin, 1, 0, origin.partition("-")[0], {A: 1}, batch=count)


def test_nothing_of_a_batch_is_to_be_applied_before_its_last_op_and_then_all_of_it() -> None:
    batches = OpenBatches(OpIndex(Lineage()), Voids())
    assert not batches.take(began(), 0, 10)
    assert not batches.take(message(2), 1, 10)
    ops: list[Op] = [start(3), message(2, origin=B), message(3, origin=B)]
    for place, op in enumerate(ops[:2]):
        assert batches.take(op, place, 10)
    assert (batches.extent(B), batches.extents, batches.to_apply) == (2, {B: 2}, [])
    assert [place for _, place, _ in batches.records()] == [0, 1]
    assert batches.take(ops[2], 2, 10)
    assert (batches.extent(B), batches.of) == (0, {})
    whole = batches.pop_whole()
    assert ([op.id for op, _, _ in whole], batches.to_apply) == ([op.id for op in ops], [])
    assert not batches.take(*whole[0]), "it counts from now on"


def test_a_batch_is_whole_without_what_of_it_was_given_up() -> None:
    state = fold(began(), start(4), message(2, origin=B), message(4, origin=B))
    assert (state.open_batches.extents, texts(state)) == ({B: 2}, [])
    state.replay([(Lost(A, 2, 0, B, 3, 3), 9, 10)])
    state.revive(None)
    assert texts(state) == [f"{B}.2", f"{B}.4"]
    assert (state.log.held(B), state.holes.all, state.open_batches.of) == (4, (), {})


def test_of_many_batches_those_that_began_last_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OPEN_BATCHES_COUNT", 2)
    state = fold(began(), *(start(4, f"1002-{name}") for name in "cde"))
    assert state.open_batches.extents == {"1002-d": 1, "1002-e": 1}


def test_a_part_of_a_long_batch_that_cannot_be_read_is_missing_and_what_is_behind_it_waits() -> None:
    state = fold(began(), start(5), message(2, origin=B), message(3, origin=B), message(4, origin=B))
    state.miss_apart(2, B)
    assert state.open_batches.extents == {B: 4}, "one that goes on at this broker"
    state.miss_apart(2, "")
    assert state.open_batches.extents == {B: 1}
    assert state.holes.all == (Hole(B, 2, 2, 2),)
    state.miss_apart(1, "")
    assert state.holes.all == (Hole(B, 1, 2, 2),)


def test_what_is_left_of_a_batch_whose_broker_went_on_without_it_is_forgotten_when_it_cannot_be_read() -> None:
    state = fold(began(), start(5), message(2, origin=B), began("1002-c"))
    state.miss_apart(1, "")
    assert not state.open_batches.of
    assert not state.holes.all


def test_a_void_behind_a_part_that_cannot_be_read_goes_on_when_that_is_there_again() -> None:
    state = State()
    state.replay(
        [(op, place, 10) for place, op in enumerate([began(), start(6), message(2, origin=B), Void(B, 5, 0, first=3)])]
    )
    state.miss_apart(2, "")
    assert state.holes.all == (Hole(B, 2, 2, 1),)
    state.replay([(message(2, origin=B), 8, 10), (message(6, origin=B), 9, 10)])
    assert texts(state) == [f"{B}.2", f"{B}.6"]
