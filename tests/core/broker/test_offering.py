"""What is handed over to who is behind: voids, and ops that it lacks, part by part."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.broker.events import Offered
from newswire.core.broker.offering import Offers
from newswire.core.model.ops import Began, Op, Published, Void
from newswire.core.state.fold import State

A, TWO = "1001-a", "10.0.0.2:1"


def held() -> State:
    state, ops = State(), list[Op]()
    ops += [Began(A, 1, 0, "1001"), Published(A, 2, 0, topic="news", data="x"), Void(A, 5, 0, first=3)]
    ops += [Published(A, sequence, 0, topic="news", data="x") for sequence in (6, 7, 8)]
    state.replay([(op, place, 9) for place, op in enumerate(ops)])
    return state


def test_voids_and_what_is_lacking_go_in_parts_and_the_next_one_when_the_last_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUSH_OPS", 2)
    state = held()
    offers, holds = Offers("1001-run", state), state.lineage.expand({A: 2})
    assert offers.is_due(TWO, None, ("", -1))
    first, places = offers.next_part(TWO, "1002-b", holds, None, 1_000)
    assert first is not None
    assert (first.run, first.start, first.end, first.last, first.count, first.vector) == ("1002-b", 0, 4, 6, 2, {A: 8})
    assert places == [(2, 9), (3, 9)], "the void, and the first op that it lacks"
    assert not offers.is_due(TWO, None, (first.id, 0)), "it was tried"
    offered = Offered(first.id, first.end)
    assert offers.is_due(TWO, offered, (first.id, 0))
    last, places = offers.next_part(TWO, "1002-b", holds, offered, 1_000)
    assert last is not None
    assert (last.id, last.start, last.end, places) == (first.id, 4, 6, [(4, 9), (5, 9)])
    offered = Offered(last.id, last.end)
    assert not offers.is_due(TWO, offered, (last.id, 4))
    assert offers.next_part(TWO, "1002-b", holds, offered, 1_000) == (None, ()), "it has all of it"


def test_voids_that_wait_behind_damage_come_last() -> None:
    """What ended by an op that is void may be in one of those."""
    state = held()
    state.replay([(Void(A, 12, 0, first=10), 10, 9), (Void(A, 13, 0, first=13), 11, 9)])
    offers, holds = Offers("1001-run", state), state.lineage.expand({A: 8})
    first, places = offers.next_part(TWO, "1002-b", holds, None, 1_000)
    assert first is not None
    assert (first.end, first.last, places) == (6, 8, [(2, 9)])
    last, places = offers.next_part(TWO, "1002-b", holds, Offered(first.id, first.end), 1_000)
    assert last is not None
    assert (last.end, last.last, places, last.count) == (8, 8, [(10, 9), (11, 9)], 2)


def test_voids_in_part_of_a_batch_go_with_those_that_wait() -> None:
    """The rest of the batch cannot be read here, and who is behind may have all of it."""
    state, batch = held(), f"{A}b1"
    parts = [
        Began(batch, 1, 0, "1001", {A: 8}, batch=4),
        Published(batch, 2, 0, topic="news", data="x"),
        Void(batch, 3, 0, first=3),
    ]
    state.replay([(op, place, 9) for place, op in enumerate(parts, 10)])
    assert state.open_batches.extents == {batch: 3}
    offers, holds = Offers("1001-run", state), state.lineage.expand({A: 8})
    first, _ = offers.next_part(TWO, "1002-b", holds, None, 1_000)
    assert first is not None
    last, places = offers.next_part(TWO, "1002-b", holds, Offered(first.id, first.end), 1_000)
    assert last is not None
    assert (last.end, last.last, places) == (7, 7, [(12, 9)])


def test_another_run_or_another_log_begins_anew() -> None:
    state = held()
    offers, holds = Offers("1001-run", state), state.lineage.expand({A: 2})
    first, _ = offers.next_part(TWO, "1002-b", holds, None, 1_000)
    assert first is not None
    offered = Offered(first.id, first.end)
    again, _ = offers.next_part(TWO, "1002-c", holds, offered, 1_000)
    assert again is not None
    assert (again.start, again.run) == (0, "1002-c")
    state.generation += 1
    anew, _ = offers.next_part(TWO, "1002-c", holds, Offered(again.id, again.end), 1_000)
    assert anew is not None
    assert (anew.start, anew.id) != (0, again.id)
    offers.end(TWO)
    assert offers.is_due(TWO, Offered(anew.id, anew.end), (anew.id, 0))
