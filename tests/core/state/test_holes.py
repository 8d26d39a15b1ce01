"""What stands behind damage waits and is told; what is given up is void, and stored again (docs/rules.md, HOLE and LOST)."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from newswire.core.broker.events import Now, Unreadable
from newswire.core.broker.replication import Peer
from newswire.core.model import ops
from newswire.core.model.ops import Began, Lost, Op, Published, Subscribed, Void
from newswire.core.read.scan import DueGap, plan
from newswire.core.read.start import open_stream
from newswire.core.state.fold import Changes, State
from newswire.core.state.holes import Hole
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork
from newswire.errors import Refused

A, B = "1001-a", "1002-b"


def message(sequence: int, topic: str = "news", origin: str = A, **more: str) -> Published:
    return Published(origin, sequence, sequence, topic=topic, data=f"text {sequence}", **more)


def fold(*known: Op, waits: bool = False) -> State:
    state = State()
    state.replay([(op, place, 10) for place, op in enumerate(known)])
    state.revive(None)
    return state


def began(origin: str = A, vector: dict[str, int] | None = None) -> Began:
    return Began(origin, 1, 0, origin.partition("-")[0], vector or {})


def texts(state: State) -> list[str]:
    return sorted(
        f"{name}.{sequence}" for topics in state.messages.sequences for name, found in topics.items() for sequence in found
    )


def test_what_is_missing_before_something_that_waits_is_a_hole() -> None:
    state = fold(began(), message(2), message(5), message(6), message(9))
    assert state.holes.all == (Hole(A, 3, 4, 3), Hole(A, 7, 8, 1))
    assert state.holes.topics == {"news": 3}
    assert state.holes.waits == {A: 9}


def test_what_waits_and_cannot_be_read_is_missing() -> None:
    state = fold(began(), message(4), message(6))
    state.miss_apart(1, "")
    assert state.holes.all == (Hole(A, 2, 5, 1),)
    state.miss_apart(2, "")
    assert state.holes.all == (Hole(A, 2, 6),)
    assert not state.holes.waiting


def test_what_a_began_that_waits_names_is_a_hole() -> None:
    state = fold(began(), message(2), began(B, {A: 4}), message(2, origin=B))
    assert state.holes.all == (Hole(A, 3, 4, 2),)


def test_damaged_bytes_that_name_an_op_make_a_hole_unless_it_is_held_or_cannot_be() -> None:
    state = fold(began(), message(2))
    state.holes.suspect([(A, 2), (A, 4), ("1001-unknown", 3), (A, 2**31)])
    assert state.holes.all == (Hole(A, 3, 4),)
    state.apply(message(3), 9, 10, None)
    assert state.holes.all == (Hole(A, 4, 4),)
    state.apply(message(4), 10, 10, None)
    assert state.holes.all == ()


def test_what_waits_is_applied_when_the_hole_is_filled() -> None:
    """A record is lost to bit rot: what follows it, a later run that began on it too, comes back."""
    known: list[Op] = [began(), *map(message, (2, 3, 4)), began("1001-b", {A: 4}), message(2, origin="1001-b")]
    state = State()
    state.replay([(op, place, 1) for place, op in enumerate(known) if place != 2])
    state.revive(None)
    assert state.log.full == {A: 2}
    assert state.takes(known[2], {})
    state.apply(known[2], 9, 1, None)
    state.revive(None)
    assert state.log.full == {A: 4, "1001-b": 2}
    assert list(state.log.places) == [0, 1, 9, 3, 4, 5], "each record is read where it lies"
    assert not state.holes.waiting


def test_a_hole_that_is_filled_lets_go_what_waited_at_once() -> None:
    state = fold(began(), message(2), message(4), message(3), message(5))
    assert (state.holes.all, state.log.held(A)) == ((), 5)


def test_what_is_given_up_is_held_and_of_no_effect_and_what_waits_is_applied() -> None:
    lost = Lost(B, 2, 0, A, 3, 4)
    state = fold(began(), message(2), message(5), began(B), lost)
    assert (state.holes.all, state.log.held(A), state.vector) == ((), 5, {A: 5, B: 2})
    assert texts(state) == [f"{A}.2", f"{A}.5"]
    assert not state.takes(message(4), {})
    assert state.takes(message(6), {})
    again_read = fold(began(), message(2), message(5), began(B), lost)
    assert again_read.log.vector_at(len(again_read.log)) == state.log.vector_at(len(state.log))
    for row in range(len(state.log) + 1):  # a vector anywhere is that of the records before it
        rolled = State()
        assert state.log.vector_at(row) == state.log.advance({}, 0, row)
        assert rolled.holes.all == ()


def test_a_void_that_waits_and_stands_for_more_than_is_given_up_stays() -> None:
    state = State()
    known = [began(), Void(A, 8, 0, first=3, of=1), message(9), began(B), Lost(B, 2, 0, A, 2, 4)]  # 2 is missing
    state.replay([(op, place, 1) for place, op in enumerate(known)])
    assert state.holes.all == ()
    assert state.log.held(A) == 9


def test_the_same_ops_in_another_order_are_the_same_state() -> None:
    lost = Lost(B, 2, 0, A, 3, 4)
    one = fold(began(), message(2), message(5), began(B), lost)
    other = fold(began(B), began(), lost, message(2), message(5))
    assert (one.vector, texts(one)) == (other.vector, texts(other))


def test_a_range_that_nobody_would_make_means_nothing() -> None:
    for lost in (Lost(A, 3, 0, A, 9, 5), Lost(A, 3, 0, A, 5, 2**31)):
        state = fold(began(), message(2), lost)
        assert (state.log.held(A), bool(state.voids)) == (3, False)


def test_a_began_that_is_given_up_implies_nothing_any_more() -> None:
    state = fold(began(), message(2), began(B, {A: 2}), message(2, origin=B), began("1003-c"))
    assert state.vector == {B: 2, "1003-c": 1}
    state.apply(Lost("1003-c", 2, 0, B, 1, 1), 9, 10, None)
    assert state.vector == {A: 2, B: 2, "1003-c": 2}
    assert not state.lineage.covers({B: 2}, A, 1)
    assert state.log.full.get(A) == 2


def test_a_stream_tells_what_waits_once_and_what_was_given_up_once() -> None:
    subscribed = Subscribed(A, 2, 0, "Ann", ">", {A: 1})
    state = fold(began(), subscribed, message(3), message(5), message(6, "tech"), began(B))
    opening = open_stream(state, "Ann", None)
    assert opening is not None
    page = plan(state, opening.position, opening.wanted, 10)
    told = [(item.topic, item.dropped, item.reason) for item in page.items if isinstance(item, DueGap)]
    assert told == [("news", 1, "waiting"), ("tech", 1, "waiting")]
    assert page.items[-1].coverage is not None
    assert page.items[-1].coverage.after == {A: 3, B: 1}, "so what waits is delivered when it comes"
    assert plan(state, page.position, page.wanted, 10).items == ()
    state.apply(Lost(B, 2, 0, A, 4, 4), 9, 10, Changes())
    state.revive(None)
    page = plan(state, page.position, page.wanted, 10)
    shown = [(i.topic, i.dropped, i.reason) if isinstance(i, DueGap) else i.coverage.message for i in page.items]
    assert shown == [(">", 1, "lost"), f"{A}.5", f"{A}.6"]
    assert plan(state, page.position, page.wanted, 10).items == ()


def test_a_stream_waits_before_what_cannot_be_read_and_goes_on_when_it_is_healed() -> None:
    state = fold(began(), Subscribed(A, 2, 0, "Ann", ">", {A: 1}), message(3), message(4), message(5))
    row = state.log.row(A, 4)
    assert row is not None
    state.holes.miss(row)
    assert state.holes.all == (Hole(A, 4, 4, unreadable=True),)
    opening = open_stream(state, "Ann", None)
    assert opening is not None
    page = plan(state, opening.position, opening.wanted, 10)
    assert [i.reason if isinstance(i, DueGap) else i.coverage.message for i in page.items] == [f"{A}.3", "waiting"]
    assert (page.more, plan(state, page.position, page.wanted, 10).items) == (False, ())
    changes = Changes()
    state.apply_all([(message(4), 77, 10)], changes)
    assert (state.holes.all, changes.topics, state.log.places[row]) == ((), {"news"}, 77)
    page = plan(state, page.position, page.wanted, 10)
    assert [i.coverage.message for i in page.items if i.coverage] == [f"{A}.4", f"{A}.5"]


def test_what_cannot_be_read_and_what_began_behind_it_is_not_pushed() -> None:
    state = fold(began(), message(2), message(3), began(B, {A: 3}), message(2, origin=B), began("1003-c"))
    nobody = state.lineage.expand({})
    assert len(state.log.lacking(nobody, 100, 10_000)) == 6
    row = state.log.row(A, 3)
    assert row is not None
    state.holes.miss(row)
    assert state.log.lacking(nobody, 100, 10_000) == [0, 1, 5]
    state.replay([(op, place, 1) for place, op in enumerate((message(4), Lost("1003-c", 2, 0, A, 3, 3)), 6)])
    assert state.log.lacking(nobody, 100, 10_000) == [0, 1, 5, 7], "it would not be taken"
    who_knows = state.lineage.expand({"1003-c": 2})
    assert state.log.lacking(who_knows, 100, 10_000) == [0, 1, 3, 4, 6], "the rest is behind what is void there"


def test_find_is_quick_where_much_waits() -> None:
    """A hole costs what waits, not what the sequences span."""
    state = fold(began(), Published(A, 2**31, 0, topic="news", data="far"))
    assert state.holes.all == (Hole(A, 2, 2**31 - 1, 1),)


def test_two_losses_that_wait_for_each_other_are_said_once_more_at_a_start() -> None:
    """Each stands behind the hole that the other closes: both were taken, and then an early record of each was damaged."""
    one, other = Lost(B, 3, 0, A, 2, 2), Lost(A, 3, 0, B, 2, 2)
    known = [began("1003-c"), began(), began(B), other, one, message(4), message(4, origin=B)]
    assert fold(*known).holes.losses() == [other, one]
    log = MemoryLog()
    log.raws = [ops.encode(op) for op in known]
    engine = MemoryEngine("1003", log=log)
    assert engine.describe().holes == ()
    assert engine.shell.read(lambda state: (state.log.held(A), state.log.held(B), state.holes.waiting)) == (4, 4, {})


def test_what_waits_may_be_given_up_by_what_is_revived_before_it() -> None:
    state = fold(began(), began(B), message(4), message(3, origin=B), Lost(B, 4, 0, A, 3, 4), message(2, origin=B))
    assert (state.holes.waiting, state.vector) == ({}, {A: 1, B: 4})
    state.apply(message(2), 9, 10, None)
    assert state.log.held(A) == 4


def test_a_broker_that_keeps_something_behind_damage_does_not_leave() -> None:
    network = MemoryNetwork()
    log = MemoryLog()
    log.raws = [ops.encode(op) for op in (began("1001-x"), message(3, origin="1001-x"))]
    first = MemoryEngine("1001", network=network, log=log)
    first.join(MemoryEngine("1002", network=network).address)
    assert first.shell.read(lambda state: list(state.holes.waiting)) == ["1001-x"]
    with pytest.raises(Refused) as refused:
        first.leave("1001")
    assert refused.value.code == "last-broker"


def test_a_broker_that_leaves_first_hands_over_what_another_cannot_read() -> None:
    one, other = "127.0.0.1:5053", "127.0.0.1:5054"
    network, log, known = MemoryNetwork(), MemoryLog(), MemoryLog()
    log.raws = [ops.encode(op) for op in (began(), message(2), message(3))]
    known.raws = list(log.raws)
    leaver = MemoryEngine("1001", address=one, network=network, peers=(other,), log=log)
    stayer = MemoryEngine("1002", address=other, network=network, peers=(one,), log=known)
    for engine in (leaver, stayer, leaver, stayer):
        engine.tick()
    with patch.object(Peer, "with_healing", lambda peer, state, rows, most_ops, most_bytes: rows):
        network.put(stayer, Unreadable((2,)))
        leaver.leave("1001")
        leaver.tick()
        assert not leaver.exited
    later = Now(10.0, 1_700_000_010_000)
    for engine in (leaver, stayer):
        engine.shell.clock = lambda: later
    for engine in (leaver, stayer, leaver):
        engine.tick()
    assert stayer.describe().holes == ()
    assert leaver.exited


def test_what_cannot_be_pushed_is_not_tried_without_end() -> None:
    """1002 lacks A.3, which 1001 has and cannot read: pushes that carry nothing go out with heartbeats only."""
    one, other = "127.0.0.1:5053", "127.0.0.1:5054"
    network, log, known = MemoryNetwork(), MemoryLog(), MemoryLog()
    log.raws = [ops.encode(op) for op in (began(), message(2), message(3))]
    known.raws = log.raws[:2]
    first = MemoryEngine("1001", address=one, network=network, peers=(other,), log=log)
    first.network.put(first, Unreadable((2,)))
    second = MemoryEngine("1002", address=other, network=network, peers=(one,), log=known)
    pushes = first.shell.broker.replication._peers[other]
    before = pushes.number
    for engine in (first, second) * 10:
        engine.tick()
    assert pushes.number - before < 10
    assert pushes.barren is not None


@pytest.mark.parametrize("order", [1, -1])
def test_an_op_takes_no_place_of_a_void_that_waits_and_stands_for_more(order: int) -> None:
    """What was handed over was adopted, and the op taken meanwhile: both stand in the log, behind damage."""
    state = State()
    for place, op in enumerate([Void(A, 6, 0, first=3), message(3)][::order], 2):
        state.holes.wait((op, place, 1))
    state.apply_all([(op, place, 1) for place, op in enumerate([began(), message(2)])], None)
    state.revive(None)
    assert state.extent(A) == 6
    assert not state.holes.all
