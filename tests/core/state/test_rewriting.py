"""A log that is written anew: the state that follows from it, places in it, and what another broker handed over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs

from newswire.core import limits
from newswire.core.broker.retention import to_drop
from newswire.core.model.ops import (
    Acknowledged,
    Began,
    Dropped,
    Lost,
    NotAnOp,
    Op,
    Published,
    Subscribed,
    Unsubscribed,
    Void,
    decode,
    encode,
)
from newswire.core.read.counts import subscriptions_of, topics
from newswire.core.read.scan import Due, DueGap, plan
from newswire.core.read.start import open_stream
from newswire.core.state.fold import State
from newswire.core.state.prefix import Base
from newswire.core.state.rewriting import Rewriting
from tests.kit.rewriting import rewrite

A, B = "1001-a", "1002-b"


def message(sequence: int, origin: str = A, topic: str = "news") -> Published:
    return Published(origin, sequence, 0, topic=topic, data=str(sequence))


HISTORY: list[Op] = [
    Began(A, 1, 0, "1001"),
    Subscribed(A, 2, 0, user="ann", pattern="news", since={}),
    *(message(sequence) for sequence in range(3, 9)),
    Dropped(A, 9, 0, topic="news", vector={A: 6}),
    message(10),
]


class Log:
    """A state and the records that it was folded from."""

    def __init__(self, ops: Sequence[Op]) -> None:
        self.state, self.raws = State(), list[bytes]()
        for op in ops:
            self.add(op)

    def add(self, op: Op) -> tuple[Op, int, int]:
        raw = encode(op)
        self.raws.append(raw)
        entry = (op, len(self.raws) - 1, len(raw))
        self.state.apply(*entry, None)
        return entry

    def job(self) -> Rewriting:
        return Rewriting(self.state, Base([self.state.log.full]))


def texts(state: State) -> list[str]:
    opening = open_stream(state, "ann", None)
    assert opening is not None
    page = plan(state, opening.position, opening.wanted, 100)
    sequences = [state.log.sequences[item.row] for item in page.items if isinstance(item, Due)]
    return [str(sequence) for sequence in sequences] + [f"gap {gap.dropped}" for gap in page.items if isinstance(gap, DueGap)]


def test_what_is_left_out_is_one_void_and_everything_else_is_as_it_was() -> None:
    log = Log(HISTORY)
    job = log.job()
    written = rewrite(job, log.state, log.raws)
    voids = [op for op in map(decode, written) if isinstance(op, Void)]
    assert [(void.first, void.sequence, void.messages) for void in voids] == [(3, 6, {"news": (4, 6)}), (9, 9, {})]
    assert job.state.vector == log.state.vector
    assert texts(job.state) == texts(log.state) == ["7", "8", "10", "gap 4"]
    assert topics(job.state) == topics(log.state)
    assert subscriptions_of(job.state, "ann") == subscriptions_of(log.state, "ann")
    assert len(job.state.log) == len(written) == len(log.raws) - 3


def test_a_start_reads_the_same_and_compacting_once_more_changes_nothing() -> None:
    log = Log(HISTORY)
    written = rewrite(log.job(), log.state, log.raws)
    again = State()
    again.replay([(decode(raw), place, len(raw)) for place, raw in enumerate(written)])
    assert texts(again) == texts(log.state)
    assert rewrite(Rewriting(again, Base([again.log.full])), again, written) == written


def test_voids_that_touch_become_one() -> None:
    log = Log([*HISTORY, Dropped(A, 11, 0, topic="news", vector={A: 8})])
    once = Log(HISTORY)
    written = rewrite(once.job(), once.state, once.raws)
    state = State()
    raws = [*written, encode(Dropped(A, 11, 0, topic="news", vector={A: 8}))]
    state.replay([(decode(raw), place, len(raw)) for place, raw in enumerate(raws)])
    twice = rewrite(Rewriting(state, Base([state.log.full])), state, raws)
    assert [decode(raw) for raw in twice] == [decode(raw) for raw in rewrite(log.job(), log.state, log.raws)]
    assert decode(twice[2]) == Void(A, 9, 0, first=3, messages={"news": (6, 8)}, of=2)


def test_where_a_record_of_a_void_is_missing_no_void_counts_and_what_they_stand_for_is_missing() -> None:
    """What one of them stands for may be what ended that which another broker brings: it would live here, and nowhere else."""
    log = Log(HISTORY)
    written = rewrite(log.job(), log.state, log.raws)
    for damaged in (place for place, raw in enumerate(written) if isinstance(decode(raw), Void)):
        rest = [(decode(raw), place, len(raw)) for place, raw in enumerate(written) if place != damaged]
        state = State()
        state.replay(rest)
        assert state.lacks_voids
        state = State(without_voids=True)
        state.replay(rest)
        state.revive(None)
        assert [(hole.first, hole.last) for hole in state.holes.all] == [(3, 6), (9, 9)]
        for op in HISTORY[2:6], HISTORY[8:9]:
            state.apply_all([(one, 100 + one.sequence, 9) for one in op], None)
            state.revive(None)
        assert not state.holes.all
        assert texts(state) == texts(log.state)


def test_without_any_void_and_with_all_of_them_none_is_missing() -> None:
    log = Log(HISTORY)
    written = [(decode(raw), place, len(raw)) for place, raw in enumerate(rewrite(log.job(), log.state, log.raws))]
    for records in (written, [entry for entry in written if not isinstance(entry[0], Void)]):
        state = State()
        state.replay(records)
        assert not state.lacks_voids


def test_a_run_whose_first_op_was_given_up_and_left_out_begins_with_a_void() -> None:
    ops = [Void(A, 2, 0, first=1, of=1), message(3), Began(B, 1, 0, "1002", vector={A: 3}), Lost(B, 2, 0, source=A)]
    state = State()
    state.replay([(op, at, 9) for at, op in enumerate(ops)])
    state.revive(None)
    assert not state.holes.waiting
    assert dict(state.log.full) == {A: 3, B: 2}


def test_the_messages_of_many_topics_are_several_voids() -> None:
    ops: list[Op] = [Began(A, 1, 0, "1001")]
    count = limits.VOID_TOPICS + 1
    ops += [message(2 + at, topic=f"t{at}") for at in range(count)]
    ops += [Dropped(A, 2 + count + at, 0, topic=f"t{at}", vector={A: 2 + at}) for at in range(count)]
    log = Log(ops)
    voids = [decode(raw) for raw in rewrite(log.job(), log.state, log.raws)][1:]
    assert [len(void.messages) for void in voids if isinstance(void, Void)] == [limits.VOID_TOPICS, 1]


def test_messages_of_many_topics_that_come_by_turns_leave_an_entry_a_topic() -> None:
    """Each void has room for so many topics: closed where it is full, it stands for hardly more messages than that."""
    count = limits.VOID_TOPICS + 44
    raws, state = [encode(Began(A, 1, 0, "1001"))], State()
    for month in range(3):
        state = State()
        state.replay([(decode(raw), place, len(raw)) for place, raw in enumerate(raws)])
        first = state.log.held(A) + 1
        ops: list[Op] = [message(first + at, topic=f"t{at * 7 % count}") for at in range(4 * count)]
        last = first + len(ops) - 1
        ops += [Dropped(A, last + 1 + at, 0, topic=f"t{at}", vector={A: last}) for at in range(count)]
        raws += map(encode, ops)
        state.replay([(op, len(raws) - len(ops) + at, 9) for at, op in enumerate(ops)])
        raws = rewrite(Rewriting(state, Base([state.log.full])), state, raws)
        voids = [op for op in map(decode, raws) if isinstance(op, Void)]
        assert sum(len(void.messages) for void in voids) == count
        assert all(void.first <= at <= void.sequence for void in voids for _, at in void.messages.values())
        assert sum(messages for void in voids for messages, _ in void.messages.values()) == 4 * count * (month + 1)


def test_what_is_stored_meanwhile_comes_behind_and_places_there_move_with_it() -> None:
    log = Log(HISTORY)
    opening = open_stream(log.state, "ann", None)
    assert opening is not None
    old = plan(log.state, opening.position, opening.wanted, 1).position
    end = plan(log.state, opening.position, opening.wanted, 100).position
    job = log.job()
    job.tail.append(log.add(message(11)))
    rewrite(job, log.state, log.raws)
    assert job.state.succeed(log.state, job.cut, job.cut_after, adopts=False) == (True, True)
    assert job.state.lineage is log.state.lineage
    page = plan(job.state, end, opening.wanted, 100)
    assert [job.state.log.sequences[item.row] for item in page.items if isinstance(item, Due)] == [11]
    assert not page.moved
    assert plan(job.state, old, opening.wanted, 100).moved, "what stood there was written anew"
    assert not plan(log.state, end, opening.wanted, 100).moved, "who reads the old log reads on"


def test_what_of_a_long_batch_waited_behind_damage_is_part_of_it_where_that_is_taken_now() -> None:
    old, new = State(), State()
    waited, forgotten = f"{A}b1", f"{A}b2"
    old.holes.waiting[waited] = {1: (Began(waited, 1, 0, "1001", batch=3), 0, 1)}
    new.open_batches.of = {origin: [(Began(origin, 1, 0, "1001", batch=3), 0, 1)] for origin in (waited, forgotten)}
    new.succeed(old, 0, 0, adopts=True)
    assert list(new.open_batches.of) == [waited]


def test_what_began_the_origins_is_kept_only_where_it_is_the_same() -> None:
    """What was handed over gives up a `began`: by the old lineage who lists that run would still hold what it named."""
    history = [Began(A, 1, 0, "1001"), message(2), Began(B, 1, 0, "1002", {A: 2})]
    old, new, other = State(), State(), State()
    for state, ops in ((old, history), (new, [*history, Lost(A, 3, 0, source=B)]), (other, history)):
        state.replay([(op, place, 9) for place, op in enumerate(ops)])
    assert other.succeed(old, 3, 3, adopts=True)[1]
    assert other.lineage is old.lineage
    assert not new.succeed(old, 3, 3, adopts=True)[1]
    assert dict(new.lineage.expand({B: 1})) == {B: 1}
    assert dict(old.lineage.expand({B: 1})) == {A: 2, B: 1}


OFFERED = [
    encode(Began(B, 1, 0, "1002")),
    encode(Void(B, 4, 0, first=2, messages={"news": (2, 4)})),
    encode(message(5, B)),
    encode(Void(A, 8, 0, first=7, messages={"news": (2, 8)})),
]


def adopt(log: Log, parts: Sequence[Sequence[bytes]], vector: dict[str, int]) -> Rewriting:
    voids = [op for part in parts for raw in part if isinstance(op := decode(raw), Void)]
    job = Rewriting(log.state, Base(()), (), voids, vector)
    rewrite(job, log.state, log.raws, parts)
    return job


def test_what_was_handed_over_is_adopted_and_void_at_either_is_void() -> None:
    log = Log(HISTORY)
    job = adopt(log, [OFFERED[:2], OFFERED[2:]], {A: 8, B: 5})
    assert job.state.vector == {A: 10, B: 5}
    assert [job.state.log.is_void(A, sequence) for sequence in (6, 7, 8, 9, 10)] == [False, True, True, False, False]
    assert [job.state.log.is_void(B, sequence) for sequence in (1, 2, 4, 5)] == [False, True, True, False]
    assert job.state.log.void_vector == {A: 8, B: 4}
    assert texts(job.state) == ["10", "5", "gap 6", "gap 2"]
    assert job.state.succeed(log.state, job.cut, job.cut_after, adopts=True) == (False, False)


def test_what_waits_here_is_not_written_twice() -> None:
    log = Log(HISTORY)
    late = message(4, B)
    raw = encode(late)
    log.raws.append(raw)
    log.state.holes.wait((late, len(log.raws) - 1, len(raw)))
    job = Rewriting(log.state, Base(()), (), (), {B: 5})
    handed = [Began(B, 1, 0, "1002"), *(message(number, B) for number in (2, 3, 4, 5))]
    written = rewrite(job, log.state, log.raws, [[encode(op) for op in handed]])
    assert job.state.vector == {A: 10, B: 5}
    assert not job.state.holes.waiting
    assert written.count(raw) == 1


def test_less_than_was_offered_is_refused() -> None:
    with pytest.raises(ValueError, match="less than what was offered"):
        adopt(Log(HISTORY), [OFFERED[:2]], {A: 8, B: 5})
    with pytest.raises(ValueError, match="has a hole"):
        adopt(Log(HISTORY), [[OFFERED[0], encode(message(3, B))]], {B: 1})


def test_an_op_that_is_void_at_the_other_goes_with_what_ended_it() -> None:
    log = Log([Began(A, 1, 0, "1001"), Subscribed(A, 2, 0, user="ann", pattern="news")])
    job = adopt(log, [[encode(Void(A, 3, 0, first=2))]], {A: 3})
    assert not job.state.subscriptions.alive


def test_where_voids_overlap_the_second_begins_behind_the_first() -> None:
    own = Log([*HISTORY])
    first = rewrite(own.job(), own.state, own.raws)
    log = Log([])
    log.raws = list(first)
    log.state.replay([(decode(raw), place, len(raw)) for place, raw in enumerate(first)])
    job = adopt(log, [[encode(Void(A, 7, 0, first=5, messages={"news": (3, 7)}))]], {A: 7})
    assert [(void.first, void.sequence, void.messages) for void in job.state.log.voids()] == [
        (3, 6, {"news": (4, 6)}),
        (7, 7, {"news": (1, 7)}),
        (9, 9, {}),
    ]


def test_voids_that_overlap_otherwise_than_those_here_stand_in_order() -> None:
    own = [Began(A, 1, 0, "1001"), Void(A, 10, 0, first=2), Void(A, 20, 0, first=11), Void(A, 40, 0, first=21), message(41)]
    log = Log([])
    log.raws = [encode(op) for op in own]
    log.state.replay([(op, place, 9) for place, op in enumerate(own)])
    offered = [Void(A, 15, 0, first=5), Void(A, 22, 0, first=16), Void(A, 35, 0, first=30), Void(A, 50, 0, first=41)]
    job = adopt(log, [[encode(op) for op in offered]], {A: 50})
    ranges = [(void.first, void.sequence) for void in job.state.log.voids()]
    assert ranges == [(2, 10), (11, 15), (16, 20), (21, 22), (23, 40), (41, 50)]


DAY = 86_400_000


@pytest.mark.parametrize("busy", [A, B])
def test_retention_goes_on_though_the_log_is_compacted_each_day(busy: str) -> None:
    """Messages of one broker, what another one has readers confirm: all of that is void but the last, and stands first."""
    log = Log([Began(A, 1, 0, "1001"), Began(B, 1, 0, "1002"), Subscribed(A, 2, 0, user="ann", pattern="news", since={})])
    last = {A: 2, B: 1}

    def place(origin: str) -> int:
        last[origin] += 1
        return last[origin]

    for day in range(1, 41):
        for at in range(day * DAY, (day + 1) * DAY, DAY // 8):
            log.add(structs.replace(message(place(A)), time=at))
            log.add(Acknowledged(busy, place(busy), at + 1, ids=(f"{A}.2",), vector={A: last[A]}))
        before = (day + 1 - 10) * DAY
        for topic, vector in to_drop(log.state, before, 1_000_000):
            log.add(Dropped(A, place(A), (day + 1) * DAY - 1, topic, vector))
        job = Rewriting(log.state, Base([log.state.log.full]), old=before, span=DAY)
        raws = rewrite(job, log.state, log.raws)
        log.state, log.raws = State(), []
        for raw in raws:
            log.add(decode(raw))
    assert 80 <= log.state.messages.count(1) <= 96, "of ten days, and of one more where a void stands before them"
    assert len(list(log.state.log.voids())) < 100


def test_what_ends_a_subscription_that_is_void_is_not_remembered() -> None:
    log = Log([Began(A, 1, 0, "1001"), Subscribed(A, 2, 0, user="ann", pattern="news"), Unsubscribed(A, 3, 0, ids=(f"{A}.2",))])
    job = log.job()
    rewrite(job, log.state, log.raws)
    late = State()
    late.replay([(op, at, 9) for at, op in enumerate([Began(A, 1, 0, "1001"), Void(A, 3, 0, first=2)])])
    late.apply(Unsubscribed(A, 4, 0, ids=(f"{A}.2",)), 9, 9, None)
    assert not late.subscriptions.removed


UNREADABLE: list[Op] = [
    Began(B, 1, 0, "1002"),
    message(2, B),
    Acknowledged(B, 3, 0, ids=(f"{A}.2",), vector={A: 3}),
    message(4, B),
]


@pytest.mark.parametrize("sequence", [1, 2, 3])
@pytest.mark.parametrize("adopts", [False, True])
def test_what_was_given_up_and_cannot_be_read_is_left_out_unread(sequence: int, adopts: bool) -> None:
    log = Log([*HISTORY, *UNREADABLE, Lost(A, 11, 0, source=B, first=sequence, last=sequence)])
    row = log.state.log.row(B, sequence)
    assert row is not None
    log.state.holes.miss(row)
    log.raws[row] = b"damaged"
    assert not log.state.holes.all
    before = texts(log.state)
    if adopts:
        job = adopt(log, [[encode(Began("1003-c", 1, 0, "1003"))]], {"1003-c": 1})
    else:
        job = log.job()
        rewrite(job, log.state, log.raws)
    assert job.state.log.is_void(B, sequence)
    assert job.state.extent(B) == 4
    assert [text for text in texts(job.state) if "gap" not in text] == [text for text in before if "gap" not in text]


def test_what_cannot_be_read_stays_while_a_member_does_not_know_that_it_was_given_up() -> None:
    log = Log([*HISTORY, *UNREADABLE])
    told = log.state.log.full
    log.add(Lost(A, 11, 0, source=B, first=2, last=2))
    log.state.holes.miss(row := len(HISTORY) + 1)
    log.raws[row] = b"damaged"
    with pytest.raises(NotAnOp):
        rewrite(Rewriting(log.state, Base([told])), log.state, log.raws)


def test_so_many_rewritings_are_remembered_and_a_place_of_before_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOVES_COUNT", 2)
    state = State()
    for shift in (1, 10, 100):
        state, old = State(), state
        state.succeed(old, 1_000, 1_000 - shift, adopts=False)
    assert state.generation == 3
    assert len(state.moved) == 2
    assert [state.find_offset(5_000, generation) for generation in range(4)] == [None, 4_890, 4_900, 5_000]
    assert state.find_offset(999, 2) is None, "it was written anew"
