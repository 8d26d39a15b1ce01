"""Two brokers with many starts behind them tell each other what they hold in few words (docs/rules.md, HAVE)."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from newswire.core import limits
from newswire.core.broker.events import Answered, Event, Header, Received
from newswire.core.broker.stager import Stager
from newswire.core.model import ops
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Began, Published
from newswire.core.state.fold import State
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork

ONE, TWO = "127.0.0.1:1", "127.0.0.1:2"
COMMON = 2_000


def starts(broker: str, count: int, before: dict[str, int], letter: str = "p") -> list[bytes]:
    """The records of so many runs of a broker, each with a message, of which the first begins on `before`."""
    raws = []
    for run in range(count):
        origin = f"{broker}-{letter}{run}"
        raws.append(ops.encode(Began(origin, 1, 0, broker, before)))
        raws.append(ops.encode(Published(origin, 2, 0, topic="news", data=origin)))
        before = {origin: 2}
    return raws


COMMON_RAWS = starts("1001", COMMON, {}, "c")
COMMON_VECTOR = {f"1001-c{COMMON - 1}": 2}


class Wire(MemoryNetwork):
    """Remembers what travels."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[Header] = []
        self.ops: list[bytes] = []

    def put(self, engine: MemoryEngine, event: Event) -> None:
        if isinstance(event, (Received, Answered)):
            self.headers.append(event.header)
            self.ops += event.raws
        super().put(engine, event)

    @property
    def entries(self) -> list[int]:
        """Of each header."""
        return [len(header.vector) + sum(1 + len(vector) for vector in header.began.values()) for header in self.headers]


def meet(one: list[bytes], other: list[bytes]) -> tuple[Wire, MemoryEngine, MemoryEngine]:
    """Start two brokers on these logs; let them talk."""
    wire, engines = Wire(), []
    for broker, address, peer, raws in (("1001", ONE, TWO, one), ("1002", TWO, ONE, other)):
        log = MemoryLog()
        log.raws = list(raws)
        engines.append(MemoryEngine(broker, address=address, peers=(peer,), network=wire, log=log))
    for _ in range(40):
        for engine in engines:
            for peer_ in engine.shell.broker.replication._peers.values():
                peer_.next_at = 0.0  # time stands still: a heartbeat is due
            engine.tick()
    return wire, *engines


def settled(one: MemoryEngine, other: MemoryEngine) -> bool:
    states = [engine.shell.broker.state for engine in (one, other)]
    in_sync = [engine.describe().most_copies for engine in (one, other)]
    return in_sync == [2, 2] and dict(states[0].log.full) == dict(states[1].log.full)


def test_many_starts_do_not_grow_what_travels() -> None:
    wire, one, other = meet(COMMON_RAWS, COMMON_RAWS)
    assert settled(one, other)
    assert max(wire.entries) < 60, f"{COMMON} starts are behind each"
    assert len(wire.ops) < 20
    at_rest = wire.entries[-1]
    for _ in range(3):  # and one more start is told at once
        wire.headers.clear()
        one = MemoryEngine("1001", address=ONE, peers=(TWO,), network=wire, log=one.log)
        for engine in (one, other, one, other):
            engine.tick()
        one.submit([Publish("news", "x")])
        assert settled(one, other)
        assert max(wire.entries) < 60
    assert at_rest <= 4


def test_a_broker_without_anything_meets_one_with_many_starts() -> None:
    wire, one, other = meet(COMMON_RAWS, [])
    assert settled(one, other)
    assert len(wire.ops) < len({*wire.ops}) + limits.PUSH_OPS / 10, "hardly anything travels twice"


def apart(one: int, other: int) -> tuple[list[bytes], list[bytes]]:
    """Two logs with a common past, and so many starts in a partition behind it."""
    return COMMON_RAWS + starts("1001", one, COMMON_VECTOR), COMMON_RAWS + starts("1002", other, COMMON_VECTOR)


@pytest.mark.parametrize("count", [1, 7, 9, 40, 1_000])
def test_brokers_that_restarted_in_a_partition_understand_each_other(count: int) -> None:
    """With short vectors alone each names an origin that the other has never seen, and neither knows what to send."""
    wire, one, other = meet(*apart(count, count))
    assert settled(one, other)
    common = set(COMMON_RAWS)
    assert not [raw for raw in wire.ops if raw in common], "what both hold does not travel"
    assert len(wire.ops) < 3 * 4 * count + 20, "of each broker two a start, by pushes or by answers, or both at once"
    assert sum(wire.entries) < 800 + 60 * count


def test_more_starts_apart_than_are_ever_told_cost_repeats_and_no_halt() -> None:
    with patch.multiple(limits, ANCESTRY_MOST=64):
        wire, one, other = meet(*apart(600, 600))
    assert settled(one, other)
    assert max(wire.entries) < 64 * 2 + 60
    assert len([raw for raw in wire.ops if raw in set(COMMON_RAWS)]) < 3 * 4 * 600, "sent again are at most as many as are new"


def test_no_more_origins_begin_in_one_push_than_are_looked_up_in_time() -> None:
    with patch.multiple(limits, PUSH_ORIGINS=100):
        wire, one, other = meet(COMMON_RAWS, [])
        assert settled(one, other)
        intake = Stager(State(), "1003-x", 10)
        taken = [intake.take(ops.decode(raw), raw) for raw in COMMON_RAWS]
    assert sum(taken) == 200
    assert taken[199:201] == [True, False]
    assert max(len(header.began) for header in wire.headers) < 4_096


def test_a_vector_never_outgrows_what_a_began_can_carry() -> None:
    state = State()
    intake = Stager(state, "1003-x", 10)

    def begin(origin: str, vector: dict[str, int]) -> bool:
        began = Began(origin, 1, 0, "66", vector)
        taken = intake.take(began, ops.encode(began))
        for op in intake.clear():
            state.apply(op, 0, 0, None)
        return taken

    with patch.multiple(limits, VECTOR_ENTRIES=50):
        assert [begin(f"66-x{number}", {}) for number in range(60)] == [True] * 50 + [False] * 10
        assert begin("66-y", {"66-x0": 1}), "one that names an entry makes it no longer"
        assert not begin("66-z", {})
        assert begin("1001-a", dict(state.vector)), "and a start of a member makes it short"
        assert state.vector == {"1001-a": 1}
        assert begin("66-z", {})


def test_brokers_that_always_lose_their_disk_leave_a_short_vector() -> None:
    """Each start of a container without a volume names nothing, so its origin is implied by no other of its kind."""
    wire, one, other = meet(COMMON_RAWS[:100], [])
    for _ in range(200):
        other = MemoryEngine("1002", address=TWO, peers=(ONE,), network=wire)
        for engine in (other, one, other, one):
            engine.tick()
        one.submit([Publish("news", "x")])
    assert settled(one, other)
    assert len(one.shell.broker.state.vector) <= limits.VECTOR_SHORTEN_ENTRIES + 2
    assert max(map(len, (header.vector for header in wire.headers))) <= limits.VECTOR_SHORTEN_ENTRIES + 2
    state = one.shell.broker.state
    assert state.log.full.get(f"{one.shell.broker.identity.origin}v1") > 1, "it went on under another origin"
    again = State()
    again.replay([(ops.decode(raw), place, len(raw)) for place, raw in enumerate(one.log.raws)])
    assert dict(again.log.full) == dict(state.log.full)


def test_where_the_disk_is_full_the_origin_stays() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001"), 0, 0, None)
    intake = Stager(state, "1001-a", 10)
    for _ in range(2):
        intake.renew("1001", 0)
        assert intake.origin == "1001-av1"
        intake.unstored()
        assert intake.origin == "1001-a"
    assert intake.stamp(Published("", 0, 0, topic="news", data="x"), 0).id == "1001-a.2"
    intake.unstored()
    intake.renew("1001", 0)
    for op in intake.clear():
        state.apply(op, 0, 0, None)
    intake.stamp(Published("", 0, 0, topic="news", data="x"), 0)
    intake.unstored()
    assert intake.origin == "1001-av1"
    forged = Published("1001-a", 2, 0, topic="news", data="forged")
    assert not intake.take(forged, ops.encode(forged)), "the former one is its own, too"
