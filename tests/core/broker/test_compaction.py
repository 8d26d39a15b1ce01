"""When a log is written anew, and what is taken of what others hand over."""

from __future__ import annotations

from typing import Any, Final

import pytest

from newswire.core import limits
from newswire.core.broker.compaction import Compaction
from newswire.core.broker.events import (
    Compact,
    DropParts,
    Header,
    KeepPart,
    Now,
    Offer,
    Reply,
    Rewrite,
    RewriteFailed,
    Rewritten,
    Tick,
)
from newswire.core.broker.values import Identity, PeerFacts
from newswire.core.model.commands import Audit, Confirm, Publish, Subscribe
from newswire.core.model.ops import Audited, Began, Dropped, Joined, NotAnOp, Published, Void, decode, encode
from newswire.core.model.results import Compacted, Entry
from newswire.core.model.vector import FullVector, Lineage
from newswire.core.state.fold import State
from newswire.core.state.withdrawals import Ends, Moment
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork
from newswire.errors import NewswireError, Refused
from tests.kit.rewriting import rewrite

A = "1001-a"
GIB: Final = 2**30


NOW = 1_700_000_000_000
ENDS = Ends(entries=[], at=Moment(lasted=0, retention=NOW, until=NOW))


def at(clock: float) -> Now:
    return Now(clock, NOW)


def held(count: int = 3, *, members: tuple[str, ...] = ()) -> State:
    state = State()
    state.apply(Began(A, 1, 0, "1001"), 0, 9, None)
    for sequence in range(2, 2 + count):
        state.apply(Published(A, sequence, 0, topic="news", data="x"), sequence, 9, None)
    for number, broker in enumerate(members):
        state.apply(Joined(A, 2 + count + number, 0, broker=broker, address=f"10.0.0.{number}:1"), 0, 9, None)
    return state


def compaction(state: State, *, compacts: bool = True) -> Compaction:
    return Compaction(Identity("1001", "10.0.0.1:1", A, compacts=compacts), state)


def begin(part: Compaction, *peers: PeerFacts, wants_room: bool = False) -> list[Any]:
    return list(part.begin(peers, [], (0,), ENDS, at(0), wants_room=wants_room))


def peer(state: State, **facts: Any) -> PeerFacts:
    values = dict.fromkeys(PeerFacts.__struct_fields__) | {
        "id": "1002",
        "in_sync": True,
        "knows_voids": True,
        "lacks_void": False,
        "heard": 1.0,
        "writable": True,
        "away_seconds": 0.0,
    }
    return PeerFacts(**{**values, **facts})


def test_it_is_off_until_it_is_turned_on() -> None:
    (reply,) = compaction(held(), compacts=False).ask(Compact("ann"))
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, Refused)


def test_one_at_a_time_and_it_is_answered_when_the_state_was_taken_over() -> None:
    part = compaction(held())
    assert part.ask(Compact("ann")) == []
    assert part.wants_more
    (rewrite,) = begin(part)
    assert isinstance(rewrite, Rewrite)
    assert not part.wants_more
    (refusal,) = part.ask(Compact("ben"))
    assert isinstance(refusal, Reply)
    assert refusal.reply_to == "ben"
    job = rewrite.job
    job.bytes_before, job.bytes_after, job.rows_after = 100, 40, 2
    assert part.take_over(Rewritten(job)) == ([], job)
    assert part.finish(job)[-1] == Reply("ann", Compacted(100, 40, 4, 2))
    assert part.take_over(Rewritten(job)) == ([], None), "it is over"


def test_a_void_spans_a_32nd_of_the_time_of_retention_or_what_is_older_than_that() -> None:
    seconds = [-9_000, -4_000, -3_100, -3_010, -2_990, -100, 0]  # since now; what is old was stamped 3,200 before
    state, raws = State(), dict[int, bytes]()
    messages = [Published(A, at, NOW + ago * 1_000, topic="news", data="x") for at, ago in enumerate(seconds, 2)]
    for op in (Began(A, 1, 0, "1001"), *messages, Dropped(A, 9, NOW, topic="news", vector={A: 8})):
        raws[op.sequence] = encode(op)
        state.apply(op, op.sequence, 9, None)
    part = Compaction(Identity("1001", "10.0.0.1:1", A, compacts=True, retention_seconds=3_200), state)
    part.ask(Compact("me"))
    (doing,) = begin(part)
    written = [op for op in map(decode, rewrite(doing.job, state, raws)) if isinstance(op, Void)]
    assert [(void.first, void.sequence) for void in written] == [(2, 3), (4, 5), (6, 6), (7, 9)]


def test_one_that_failed_is_told() -> None:
    part = compaction(held())
    part.ask(Compact("ann"))
    (rewrite,) = begin(part)
    (reply,) = part.fail(RewriteFailed(rewrite.job, "no room"))
    assert isinstance(reply, Reply)
    assert "no room" in str(reply.result)
    assert part.fail(RewriteFailed(rewrite.job, "no room")) == []


WEEK = limits.COMPACT_AWAY_SECONDS
AWAY: Final = {"in_sync": False, "away_seconds": 9.0}
OLD: Final = {"knows_voids": False}


@pytest.mark.parametrize(
    ("facts", "why_not", "with_word", "wants_room"),
    [
        ({}, "", True, True),
        ({"in_sync": False}, "not in sync", True, True),
        (AWAY, "not in sync", True, True),
        ({**AWAY, "heard": None, **OLD}, "not in sync", True, True),
        ({**AWAY, "away_seconds": WEEK - 1}, "not in sync", True, True),
        ({**AWAY, "away_seconds": WEEK}, "", True, True),
        ({"lacks_void": True, "in_sync": False}, "is being handed", False, False),
        ({"lacks_void": True, "in_sync": False, "writable": False}, "not in sync", True, True),  # it can take nothing
        ({**AWAY, "lacks_void": True}, "not in sync", True, True),  # it went while it was handed that
        (OLD, "upgrade", False, False),
        ({**AWAY, **OLD, "away_seconds": WEEK}, "upgrade", True, False),
    ],
)
def test_whom_it_waits_for(facts: dict[str, Any], why_not: str, with_word: bool, wants_room: bool) -> None:
    """An operator, or a disk that has little room, has it go on without who is away: but for an old one, which cannot adopt."""
    state = held(members=("1001", "1002"))
    part = compaction(state)
    part.ask(Compact("ann"))
    (doing,) = begin(part, peer(state, **facts))
    assert isinstance(doing, Rewrite) == (not why_not)
    assert why_not in str(getattr(doing, "result", ""))
    part = compaction(state)
    part.ask(Compact("ann", even_if_away=True))
    assert isinstance(begin(part, peer(state, **facts))[0], Rewrite) == with_word
    part = compaction(state)
    part.ask(Compact("ann"))
    assert isinstance(begin(part, peer(state, **facts), wants_room=True)[0], Rewrite) == wants_room


def test_it_waits_for_a_member_to_whom_there_is_no_link() -> None:
    part = compaction(held(members=("1001", "1002")))
    part.ask(Compact("ann"))
    (reply,) = begin(part)
    assert "not in sync" in str(reply.result)


def test_by_itself_when_enough_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 2)
    state = held(6)
    part = compaction(state)
    part.tick(Tick(), at(0))
    assert not part.wants_more
    state.apply(Dropped(A, 8, 0, topic="news", vector={A: 6}), 9, 9, None)
    part.tick(Tick(), at(1))
    assert not part.wants_more, "it looks at times"
    part.tick(Tick(), at(limits.COMPACT_LOOK_SECONDS + 1))
    assert part.wants_more


def test_others_prove_first_what_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they have not proved would stay. In need nobody is waited for."""
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 5)
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part = compaction(held(9, members=("1001", "1002")))
    monkeypatch.setattr(part, "_count_dead", lambda now: 9)
    first = limits.COMPACT_LOOK_SECONDS
    proved = first + limits.HEARTBEAT_SECONDS + limits.HEARTBEAT_GRACE_SECONDS
    for clock in (first, first + limits.HEARTBEAT_SECONDS, proved - 0.1):
        part.tick(Tick(), at(clock))
        assert not part.wants_more
    part.tick(Tick(), at(proved))
    assert part.wants_more
    (_rewrite,) = begin(part, peer(part.state))


def test_need_waits_for_nobody_also_where_one_waits_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a heartbeat is."""
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 5)
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part = compaction(held(9, members=("1001", "1002")))
    monkeypatch.setattr(part, "_count_dead", lambda now: 9)
    first = limits.COMPACT_LOOK_SECONDS
    part.tick(Tick(), at(first))
    part.tick(Tick(size=10 * GIB, room=10 * GIB), at(first + 1))
    assert not part.wants_more, "what would stay still fits, and others are about to prove what was dropped"
    part.tick(Tick(wants_room=True), at(first + 2))
    assert part.wants_more
    begin(part, peer(part.state), wants_room=True)
    assert part._due_at is None


def test_what_is_worth_it_no_more_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 5)
    dead = iter((9, 0))
    part = compaction(held(9, members=("1001", "1002")))
    monkeypatch.setattr(part, "_count_dead", lambda now: next(dead))
    part.tick(Tick(), at(limits.COMPACT_LOOK_SECONDS))
    part.tick(Tick(size=10 * GIB, room=14 * GIB), at(limits.COMPACT_LOOK_SECONDS + 1))
    part.tick(Tick(), at(limits.COMPACT_LOOK_SECONDS + 8))
    assert not part.wants_more


def test_what_is_begun_for_another_reason_meanwhile_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 5)
    part = compaction(held(9, members=("1001", "1002")))
    monkeypatch.setattr(part, "_count_dead", lambda now: 9)
    part.tick(Tick(), at(limits.COMPACT_LOOK_SECONDS))
    part.ask(Compact("ann"))
    (rewrite,) = begin(part, peer(part.state))
    part.fail(RewriteFailed(rewrite.job, "it was stopped"))
    part.tick(Tick(), at(limits.COMPACT_LOOK_SECONDS * 2 - 1))
    assert not part.wants_more


@pytest.mark.parametrize(
    ("dead", "tick", "is_due", "is_tight"),
    [
        (5, Tick(), True, False),
        (4, Tick(), False, False),
        (4, Tick(size=10 * GIB, room=15 * GIB), False, False),
        (4, Tick(size=10 * GIB, room=10 * GIB), False, True),  # 6 would stay, and there is more than half as much again
        (4, Tick(size=10 * GIB, room=8 * GIB), True, True),  # later there is no room any more
        (1, Tick(size=10 * GIB, room=10 * GIB), True, True),
        (0, Tick(size=10 * GIB, room=10 * GIB), False, True),
        (4, Tick(wants_room=True), True, False),
        (4, Tick(wants_room=True, size=10 * GIB, room=6 * GIB), True, True),
    ],
)
def test_when_one_is_due(monkeypatch: pytest.MonkeyPatch, dead: int, tick: Tick, is_due: bool, is_tight: bool) -> None:
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 5)
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part = compaction(held(9))
    monkeypatch.setattr(part, "_count_dead", lambda now: dead)
    part.tick(tick, at(limits.COMPACT_LOOK_SECONDS))
    assert (part.wants_more, part.is_tight) == (is_due, is_tight)


@pytest.mark.parametrize(("seconds", "begins"), [(limits.COMPACT_LAST_AWAY_SECONDS - 1, False), (WEEK - 1, True)])
def test_at_the_last_chance_it_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch, seconds: float, begins: bool) -> None:
    """When the other is back there may be no room for what stays: then neither can free anything any more."""
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    state = held(9, members=("1001", "1002"))
    part = compaction(state)
    monkeypatch.setattr(part, "_count_dead", lambda now: 4)
    part.tick(Tick(size=10 * GIB, room=8 * GIB), at(limits.COMPACT_LOOK_SECONDS))
    assert part.wants_more
    assert bool(begin(part, peer(state, **{**AWAY, "away_seconds": seconds}))) is begins
    assert part.lacks_room is None


@pytest.mark.parametrize(
    ("rows_after", "has_proof", "seen"),
    [(5, True, [True, True]), (5, False, [True, True]), (10, False, [True, True]), (10, True, [True, False])],
)
def test_in_need_what_stayed_is_looked_at_again_if_much_went_or_others_had_not_proved_all(
    monkeypatch: pytest.MonkeyPatch, rows_after: int, has_proof: bool, seen: list[bool]
) -> None:
    """Else it stays for its keys."""
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part, due = compaction(held(9)), list[bool]()
    monkeypatch.setattr(part, "_count_dead", lambda now: 4)
    for clock in (1, 2):
        part.tick(Tick(wants_room=True), at(clock * limits.COMPACT_LOOK_SECONDS))
        due.append(part.wants_more)
        if part.wants_more:
            proofs = [part.state.log.full if has_proof else FullVector(Lineage())]
            (rewrite,) = part.begin([], proofs, (0,), ENDS, at(0), wants_room=True)
            assert isinstance(rewrite, Rewrite)
            rewrite.job.rows_before, rewrite.job.rows_after = 10, rows_after
            monkeypatch.setattr(part, "_count_dead", lambda now: 9)  # what died meanwhile is nothing that stays
            part.finish(rewrite.job)
            monkeypatch.setattr(part, "_count_dead", lambda now: 4)
    assert due == seen


@pytest.mark.parametrize("kind", ["sign-ins", "confirmations"])
def test_what_stays_for_good_is_not_written_anew_each_hour(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """More than half of a log may be what no compaction leaves out: who signed in, who has confirmed."""
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 20)
    seconds = 0.0
    engine = MemoryEngine("1001", primary=True, compacts=True, clock=lambda: Now(seconds, NOW + int(seconds * 1_000)))
    if kind == "sign-ins":
        for number in range(200):
            engine.submit([Audit("signed-in", f"u{number}")])
    else:
        for number in range(10):
            engine.submit([Subscribe(f"u{number}", "news")])
        for _ in range(20):
            name = engine.submit([Publish("news", "x", confirm=60)]).first
            for number in range(10):
                engine.submit([Confirm(f"u{number}", name)])
    for _ in range(3 * 24 * 6):
        seconds += 600
        engine.tick()
    assert engine.shell.broker.state.generation < 20


def test_that_there_is_no_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part = compaction(held(9))
    monkeypatch.setattr(part, "_count_dead", lambda now: 5)
    part.tick(Tick(size=10 * GIB, room=GIB), at(limits.COMPACT_LOOK_SECONDS))
    assert part.lacks_room is None, "what was replaced a moment ago may be there still"
    (rewrite,) = begin(part, wants_room=True)
    part.fail(RewriteFailed(rewrite.job, "no room"))
    part.tick(Tick(size=10 * GIB, room=GIB), at(2 * limits.COMPACT_LOOK_SECONDS))
    assert part.lacks_room == (5 * GIB, GIB)
    part.tick(Tick(size=10 * GIB, room=9 * GIB), at(3 * limits.COMPACT_LOOK_SECONDS))
    assert part.lacks_room is None


@pytest.mark.parametrize(("dead", "is_due"), [(9, False), (10, True)])
def test_without_room_a_quarter_more_has_to_be_dead_whatever_stayed_before(
    monkeypatch: pytest.MonkeyPatch, dead: int, is_due: bool
) -> None:
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part = compaction(held(19))
    part._stays_in_need = 4
    monkeypatch.setattr(part, "_count_dead", lambda now: 8)
    (rewrite,) = begin(part, wants_room=True)
    part.fail(RewriteFailed(rewrite.job, "no room"))
    part._again_at = 10 * limits.COMPACT_LOOK_SECONDS
    monkeypatch.setattr(part, "_count_dead", lambda now: dead)
    part.tick(Tick(wants_room=True, size=10 * GIB, room=GIB), at(limits.COMPACT_LOOK_SECONDS))
    assert part.wants_more == is_due


def test_without_room_it_is_not_tried_again_before_more_is_dead_or_an_hour_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try writes until the disk is full."""
    monkeypatch.setattr(limits, "COMPACT_LOW_ROWS", 1)
    part, tick, seen = compaction(held(9)), Tick(wants_room=True, size=10 * GIB, room=GIB), list[bool]()
    for dead, clock in ((4, 0), (4, 60), (5, 120), (5, 180), (5, 200 + limits.COMPACT_AGAIN_SECONDS)):
        monkeypatch.setattr(part, "_count_dead", lambda now, dead=dead: dead)
        part.tick(tick, at(limits.COMPACT_LOOK_SECONDS + clock))
        seen.append(part.wants_more)
        if part.wants_more:
            (rewrite,) = begin(part, wants_room=True)
            part.fail(RewriteFailed(rewrite.job, "no room"))
    assert seen == [True, False, True, False, True]


def header(offer: Offer, broker: str = "1002") -> Header:
    return Header(broker, "10.0.0.2:1", "1002-b", "c", True, False, True, 1, {}, offer=offer)


def part_of(start: int, end: int, name: str = "x", run: str = A) -> Offer:
    return Offer(id=name, run=run, start=start, end=end, last=9, count=0, vector={"1002-b": 4})


def test_parts_of_an_offer_come_in_order_from_one_broker_and_then_the_log_is_written_anew() -> None:
    part = compaction(held())
    assert not part.takes(header(part_of(0, 4, run="1001-former")), at(0)), "it was meant for another run"
    assert not part.takes(header(part_of(4, 9)), at(0)), "not the first one"
    first, last = part_of(0, 4), part_of(4, 9)
    void = encode(Void("1002-b", 3, 0, first=2))
    assert part.takes(header(first), at(0))
    assert part.take_part("1002", first, [void], at(0)) == [KeepPart([void], first=True)]
    assert part.offered is not None
    assert (part.offered.id, part.offered.end) == ("x", 4)
    assert not part.takes(header(first), at(1)), "it is here"
    assert not part.takes(header(part_of(0, 4, "y"), "1003"), at(1)), "one hands over at a time"
    assert part.takes(header(part_of(0, 4, "y"), "1003"), at(limits.OFFER_TURN_SECONDS + 1)), "but not for ever"
    assert part.takes(header(last), at(1))
    assert part.take_part("1002", last, [], at(1)) == [KeepPart([], first=False)]
    assert part.wants_more
    (rewrite,) = begin(part)
    assert rewrite.job.adopts
    assert [type(one) for one in part.fail(RewriteFailed(rewrite.job, "a hole"))] == [DropParts]
    assert part.offered is None, "it is asked for anew"


def test_a_part_that_holds_no_operation_is_refused() -> None:
    with pytest.raises(NotAnOp):
        compaction(held()).take_part("1002", part_of(0, 4), [b"?"], at(0))


def test_an_offer_that_does_not_go_on_or_is_not_needed_any_more_is_forgotten() -> None:
    part = compaction(held())
    part.take_part("1002", part_of(0, 4), [], at(0))
    assert part.tick(Tick(), at(1)) == []
    assert part.tick(Tick(), at(limits.OFFER_PATIENCE_SECONDS + 1)) == [DropParts()]
    state = held()
    part = compaction(state)
    part.take_part("1002", part_of(0, 4), [], at(0))
    state.apply(Began("1002-b", 1, 0, "1002"), 20, 9, None)
    for sequence in (2, 3, 4):
        state.apply(Published("1002-b", sequence, 0, topic="news", data="x"), 20 + sequence, 9, None)
    assert part.tick(Tick(), at(1)) == [DropParts()]


# -- with brokers in memory


class Cluster:
    """Two brokers that keep three messages a topic, compact, and are served by one clock."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.network = MemoryNetwork()
        self.one = self.begin("1001", 1, MemoryLog())
        self.two = self.begin("1002", 2, MemoryLog())
        self.tick()
        self.one.submit([Subscribe("ann", "news", since=0)])

    def begin(self, broker: str, port: int, log: MemoryLog) -> MemoryEngine:
        return MemoryEngine(
            broker,
            address=f"127.0.0.1:{port}",
            peers=(f"127.0.0.1:{3 - port}",),
            primary=broker == "1001",
            network=self.network,
            log=log,
            clock=lambda: Now(self.clock, 1_700_000_000_000 + int(self.clock * 1000)),
            retention_messages=3,
            compacts=True,
        )

    def tick(self, seconds: float = limits.RETENTION_EVERY_SECONDS) -> None:
        """Let time pass, in steps that heartbeats can follow."""
        until = self.clock + seconds
        while self.clock < until:
            self.clock += 1.0
            self.one.tick()
            self.two.tick()

    def publish(self, count: int) -> None:
        for number in range(count):
            self.one.submit([Publish("news", str(number))])

    def compact(self, engine: MemoryEngine, *, even_if_away: bool = False) -> Any:
        results: list[Any] = []
        engine.compact_later(results.append, even_if_away=even_if_away)
        return results[0]


def shown(engine: MemoryEngine) -> list[str]:
    start = engine.open_page("ann", None, 0, 0)
    assert start is not None
    page = engine.next_page(start.position, 100)
    return [entry.message.data if isinstance(entry, Entry) else f"gap {entry.dropped}" for entry in page.entries]


def test_brokers_compact_each_by_itself_and_what_they_show_stays() -> None:
    cluster = Cluster()
    cluster.publish(20)
    cluster.tick()
    assert shown(cluster.one) == shown(cluster.two) == ["gap 17", "17", "18", "19"]
    before = len(cluster.one.log.raws)
    done = cluster.compact(cluster.one)
    assert isinstance(done, Compacted)
    assert done.bytes_after < done.bytes_before
    assert len(cluster.one.log.raws) < before / 2
    assert shown(cluster.one) == ["gap 17", "17", "18", "19"]
    cluster.publish(1)
    cluster.tick(2)
    assert shown(cluster.two) == [*shown(cluster.two)[:-1], "0"]
    assert isinstance(cluster.compact(cluster.two), Compacted)
    cluster.tick()
    assert shown(cluster.one) == shown(cluster.two) == ["gap 18", "18", "19", "0"]


def test_a_broker_that_starts_on_a_compacted_log_goes_on() -> None:
    cluster = Cluster()
    cluster.publish(10)
    cluster.tick()
    cluster.compact(cluster.one)
    cluster.one.close()
    cluster.one = cluster.begin("1001", 1, cluster.one.log)
    cluster.tick()
    assert shown(cluster.one) == ["gap 7", "7", "8", "9"]
    cluster.publish(1)
    assert shown(cluster.two)[-1] == "0"


def test_a_broker_that_lost_its_disk_is_handed_everything_and_serves() -> None:
    cluster = Cluster()
    cluster.publish(10)
    cluster.tick()
    cluster.compact(cluster.one)
    cluster.two.close()
    cluster.two = cluster.begin("1002", 2, MemoryLog())
    cluster.tick()
    assert cluster.two.describe().serves
    assert shown(cluster.two) == ["gap 7", "7", "8", "9"]
    assert cluster.one.submit([Publish("news", "two")]).copies == 2


def test_a_broker_that_was_away_adopts_what_the_other_compacted_meanwhile_and_keeps_its_own() -> None:
    cluster = Cluster()
    cluster.publish(4)
    cluster.network.cut("127.0.0.1:1", "127.0.0.1:2")
    cluster.tick(10)
    cluster.two.submit([Publish("news", "apart")])
    cluster.publish(10)
    cluster.tick()
    assert isinstance(cluster.compact(cluster.one), NewswireError), "what is away may lack it"
    assert isinstance(cluster.compact(cluster.one, even_if_away=True), Compacted)
    cluster.network.mend("127.0.0.1:1", "127.0.0.1:2")
    cluster.tick(20)
    assert "apart" in shown(cluster.one)
    assert sorted(shown(cluster.one)) == sorted(shown(cluster.two))
    assert cluster.one.submit([Publish("news", "both")]).copies == 2


def test_what_was_given_up_elsewhere_is_stored_again_before_the_log_in_which_that_stands_is_adopted() -> None:
    cluster = Cluster()
    cluster.publish(4)
    cluster.one.submit([Publish("alarms", "held by one broker alone")])
    cluster.publish(1)
    cluster.tick(2)
    cluster.network.cut("127.0.0.1:1", "127.0.0.1:2")
    cluster.one.close()
    damaged = MemoryLog()
    damaged.raws = [raw for raw in cluster.one.log.raws if b"alone" not in raw]
    cluster.one = cluster.begin("1001", 1, damaged)
    cluster.tick(10)
    assert cluster.one.accept_loss(even_if_away=True).count == 1
    cluster.publish(10)
    cluster.tick()
    assert isinstance(cluster.compact(cluster.one, even_if_away=True), Compacted)
    assert cluster.two.describe().holes == ()
    cluster.network.mend("127.0.0.1:1", "127.0.0.1:2")
    cluster.tick(20)
    for engine in (cluster.one, cluster.two):
        engine.submit([Subscribe("bob", "alarms", since=0)])
        start = engine.open_page("bob", None, 0, 0)
        assert start is not None
        entries = engine.next_page(start.position, 100).entries
        assert [entry.message.data for entry in entries if isinstance(entry, Entry)] == ["held by one broker alone"]
    assert sorted(shown(cluster.one)) == sorted(shown(cluster.two))
    assert cluster.one.submit([Publish("news", "both")]).copies == 2


def test_old_sign_ins_are_dead() -> None:
    """Else a log of nothing but these would never be compacted."""
    state, day = State(), 86_400_000
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    for sequence, what in enumerate(("sign-in-failed", "signed-in", "sign-in-failed", "reset-admin-password"), 2):
        state.apply(Audited("1001-a", sequence, sequence * day, what=what), 0, 0, None)
    part = compaction(state)
    dead = [part._count_dead(Now(0.0, days * day)) for days in (31, 32, 34, 368, 369, 999)]
    assert dead == [0, 1, 2, 2, 3, 3]
