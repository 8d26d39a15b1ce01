"""Bugs to plant in what compacts logs (docs/rules.md, COMPACT, OFFER, ADOPT): see `planted`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from newswire.core.broker.compaction import Compaction
from newswire.core.broker.events import Now
from newswire.core.broker.expiry import Expiry
from newswire.core.broker.peer import Peer
from newswire.core.broker.stager import Stager
from newswire.core.model.ops import Acknowledged, Joined, Left, Op, Void
from newswire.core.state import rewriting
from newswire.core.state.fold import State
from newswire.core.state.leave_out import LeaveOut
from newswire.core.state.op_index import OpIndex
from newswire.core.state.rewriting import Rewriting
from newswire.core.state.withdrawals import ROW_BITS, ROW_MASK
from tests.simulation.machine import Machine

Patch = tuple[Any, str, Any]


def voids_one_by_one() -> list[Patch]:
    """A void is pushed and taken by itself, like an op."""
    take, lacking = Stager.take, OpIndex.lacking

    def take_void(stager: Stager, op: Op, raw: bytes) -> bool:
        if not isinstance(op, Void):
            return take(stager, op, raw)
        takes = stager.state.takes(op, stager._held)
        if takes:
            stager._stage(op, raw)
        return takes

    def push_void(log: OpIndex, *bounds: Any) -> list[int]:
        return sorted(set(lacking(log, *bounds)))

    return [
        (Stager, "take", take_void),
        (OpIndex, "_is_op", lambda log, row: True),
        (OpIndex, "lacking", push_void),
        (Peer, "is_behind", lambda peer, state: False),
    ]


def base_in_parts() -> list[Patch]:
    """Each part of an offer is adopted when it comes."""
    take_part = Compaction.take_part

    def take_and_adopt(part: Compaction, *arguments: Any) -> Any:
        doing = take_part(part, *arguments)
        assert part._incoming is not None
        part._incoming.is_whole = True
        return doing

    def check(job: Rewriting) -> str:
        return "" if job.adopts and _finish(job) else whole(job)

    whole = Rewriting.check
    return [(Compaction, "take_part", take_and_adopt), (Rewriting, "check", check)]


def _finish(job: Rewriting) -> bool:
    """What `check` does beside checking."""
    job.state.revive(None)
    job.state.subscriptions.forget_void()
    job.cut_after = job.rows_after = len(job.state.log)
    job._find_ends()
    return True


def own_ops_stay() -> list[Patch]:
    """Who adopts keeps its own ops that are void at the other."""
    is_in_void, next_voids, merged = Rewriting._is_in_void, Rewriting._next_voids, Rewriting._merged

    def keep(job: Rewriting) -> Iterator[int | Void]:
        own = rewriting._by_origin(job._own)  # type: ignore[attr-defined]
        ranges, job._ranges = job._ranges, own
        yield from merged(job)
        job._ranges, job._written = ranges, {}

    def survey(job: Rewriting, state: State) -> Any:
        job._own = list(state.log.voids())  # type: ignore[attr-defined]
        return (yield from surveyed(job, state))

    def is_new(job: Rewriting, origin: str, sequence: int) -> bool:
        return not job._takes_handed or job.state.log.held(origin) < sequence

    def in_new_void(job: Rewriting, origin: str, sequence: int) -> bool:
        return is_in_void(job, origin, sequence) and is_new(job, origin, sequence)

    def new_voids(job: Rewriting, origin: str, sequence: int) -> Iterator[Void]:
        return (void for void in next_voids(job, origin, sequence) if is_new(job, origin, void.sequence))

    surveyed = Rewriting.survey
    return [
        (Rewriting, "survey", survey),
        (Rewriting, "_merged", keep),
        (Rewriting, "_is_in_void", in_new_void),
        (Rewriting, "_next_voids", new_voids),
    ]


def acks_by_any_other() -> list[Patch]:
    """An acknowledgement goes when any other covers it."""

    def leave(choice: LeaveOut) -> Iterator[None]:
        acks = [op for op in choice._newest_first(Acknowledged) if isinstance(op, Acknowledged)]
        for op in acks:
            others = [other for other in acks if other is not op and set(op.ids) <= set(other.ids)]
            full = [choice.lineage.expand(other.vector) for other in others]
            if choice._in_base(op) and any(one.holds(op.vector) for one in full):
                choice.left[choice._row_of[op.id]] = 1
        yield None

    return [(LeaveOut, "_leave_acks", leave)]


def gap_counts_lost() -> list[Patch]:
    """A void does not say how many messages are in it."""
    voids = rewriting._Growing.voids

    def silent(growing: Any) -> list[Void]:
        growing.messages = {}
        return voids(growing)

    return [(rewriting._Growing, "voids", silent)]


def delivered_is_left_out() -> list[Patch]:
    """Messages go when they are everywhere, dropped or not."""

    def reach(choice: LeaveOut, topic: str, origin: str) -> tuple[int, int]:
        return choice.base.get(origin), choice.base.get(origin)

    return [(LeaveOut, "_reach", reach)]


def membership_forgotten() -> list[Patch]:
    """All of a broker's memberships go when they ended."""

    def leave(choice: LeaveOut) -> None:
        ops_in_base = [op for op in choice.prefix.ops.values() if choice._in_base(op)]
        ended = {name for op in ops_in_base if isinstance(op, (Joined, Left)) for name in op.seen}
        for op in ops_in_base:
            if (isinstance(op, Joined) and op.id in ended) or isinstance(op, Left):
                choice.left[choice._row_of[op.id]] = 1

    return [(LeaveOut, "_leave_members", leave)]


def twins_alone() -> list[Patch]:
    """Of twins each goes by itself."""
    learn = LeaveOut._learn

    def untwined(choice: LeaveOut) -> Iterator[None]:
        choice.prefix.twins = ()
        yield from learn(choice)

    return [(LeaveOut, "_learn", untwined)]


def old_log_removed_first() -> list[Patch]:
    """The old log is removed before the new one counts."""

    def replace(machine: Machine, job: Rewriting, start: int) -> Iterator[None]:
        disk, writing = machine.disk, dict(machine.writing)
        disk.commit({}, start)
        for _ in range(20):
            yield
        machine.writing = writing
        machine._commit_base(job, start)
        yield

    return [(Machine, "_replace_log", replace)]


def streams_go_on() -> list[Patch]:
    """Streams keep their place when something is put in front of it."""
    succeed = State.succeed

    def go_on(state: State, old: State, cut: int, cut_after: int, *, adopts: bool) -> tuple[bool, bool]:
        return succeed(state, old, cut, cut_after, adopts=False)

    return [(State, "succeed", go_on)]


def reset_and_fetch() -> list[Patch]:
    """Who adopts forgets its own, and takes what the other holds."""

    def check(job: Rewriting) -> str:
        return "" if job.adopts and _finish(job) else whole(job)

    def nothing(job: Rewriting) -> Iterator[int | Void]:
        yield from ()

    whole = Rewriting.check
    return [(Rewriting, "_merged", nothing), (Rewriting, "check", check)]


def left_out_though_a_member_lacks_it() -> list[Patch]:
    """What others have proved is not looked at, and who is behind is not handed anything."""
    return [(Peer, "is_behind", lambda peer, state: False)]


def away_by_the_wall_clock() -> list[Patch]:
    """For how long a broker has been away is what the time of day says: a clock that is set has it away for years."""

    def by_wall(peer: Peer, now: Now) -> float:
        return (now.wall - peer.down_since.wall) / 1000 if peer.down_since is not None else 0.0

    return [(Peer, "away_seconds", by_wall)]


def voids_count_in_part() -> list[Patch]:
    """Where a record of a void is damaged the others count: what one of those ended is brought back, and lives here alone."""
    return [(State, "lacks_voids", property(lambda state: False))]


def time_begins_anew() -> list[Patch]:
    """In a log that is written anew each message has its whole time once more."""
    become = Expiry.become

    def forget(expiry: Expiry, job: Rewriting, *, same_rows: bool) -> None:
        become(expiry, job, same_rows=same_rows)
        assert job._ends_before is not None
        lasted, shift = job._ends_before.at.lasted << ROW_BITS, 30_000 << ROW_BITS
        expiry._ends = sorted(max(entry, lasted + shift | entry & ROW_MASK) for entry in expiry._ends)

    return [(Expiry, "become", forget)]


def adopts_what_gives_up() -> list[Patch]:
    """A log in which others gave something up is adopted though that is held here: nobody stores it again."""
    return [(Compaction, "losses", property(lambda part: ()))]


def voids_span_all() -> list[Patch]:
    """What is compacted is one void, whenever it was stamped: it makes what stands behind it as new as its last operation."""
    return [(Rewriting, "_is_near", lambda job, since, time: True)]


COMPACTION: tuple[Callable[[], list[Patch]], ...] = (
    voids_one_by_one,
    base_in_parts,
    own_ops_stay,
    acks_by_any_other,
    gap_counts_lost,
    delivered_is_left_out,
    membership_forgotten,
    twins_alone,
    old_log_removed_first,
    streams_go_on,
    reset_and_fetch,
    left_out_though_a_member_lacks_it,
    away_by_the_wall_clock,
    voids_count_in_part,
    time_begins_anew,
    adopts_what_gives_up,
    voids_span_all,
)
FOCUS_COMPACTION: dict[str, tuple[str, ...]] = {
    "voids-one-by-one": ("partition", "disk-back"),
    "base-in-parts": ("partition", "disk-lost", "disk-back"),
    "own-ops-stay": ("partition", "disk-back", "crash"),
    "acks-by-any-other": ("partition", "one-way"),
    "gap-counts-lost": ("retention", "clients-cut"),
    "membership-forgotten": ("leave", "join", "crash"),
    "twins-alone": ("partition", "retention"),
    "old-log-removed-first": ("crash", "power", "power-all"),
    "streams-go-on": ("partition", "one-way", "disk-back"),
    "reset-and-fetch": ("partition", "one-way"),
    "left-out-though-a-member-lacks-it": ("partition", "disk-lost"),
    "away-by-the-wall-clock": ("partition", "wall"),
    "adopts-what-gives-up": ("give-up", "rot", "disk-lost"),
    "voids-count-in-part": ("rot", "disk-cloned", "crash", "partition"),
}
