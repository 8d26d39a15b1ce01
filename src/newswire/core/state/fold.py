"""The fold: a broker's state is nothing but the ops it holds, applied in any order (docs/rules.md, APPLY).

`apply` is total, commutative and idempotent as long as each op is `takes`-able: two brokers that hold the same ops hold
the same state. What differs between them is only their log: its order, and at which of its twins' places a message stands.

What cannot be applied yet is kept by `holes` (behind damage) and `open_batches` (of a long batch that is not whole): they know
nothing of each other, and say what is to be applied next.

Longer than other rooms: what each operation does to a state is to be read in one place.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from newswire.core import limits
from newswire.core.model.names import SIGN_IN, SIGN_IN_FAILED
from newswire.core.model.ops import (
    AccountOp,
    Acknowledged,
    Audited,
    Began,
    Confirmed,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    Published,
    Scheduled,
    Subscribed,
    Unsubscribed,
    UsersRemoved,
    Void,
    Withdrawn,
    split_op_id,
)
from newswire.core.model.runs import count_run
from newswire.core.model.vector import Lineage, Vector
from newswire.core.state.accounts import Accounts
from newswire.core.state.holes import Holes, Voids
from newswire.core.state.members import Members
from newswire.core.state.message_run import MessageRun, run_of
from newswire.core.state.op_index import GIVEN_UP, WITHDRAWN, OpIndex, OpRecord
from newswire.core.state.open_batches import OpenBatches
from newswire.core.state.subscriptions import Subscriptions
from newswire.core.state.topic_index import TopicIndex

_SHORT_RUN: Final = 8  # messages: they go in one by one, as a column has its price, too


class Changes(msgspec.Struct):
    """What a batch changed for streams."""

    topics: set[str] = msgspec.field(default_factory=set)
    users: set[str] = msgspec.field(default_factory=set)


class State:
    """Everything a broker holds. `apply`: commit thread, under the state lock. Queries: any thread, under it."""

    def __init__(self, *, without_voids: bool = False) -> None:
        """`without_voids`: of what is replayed voids do not count (`lacks_voids`)."""
        self._without_voids = without_voids
        self.ignored = Voids()  # what those stand for: it was compacted here
        self._voids_read = self._voids_written = 0  # records of voids: replayed, and in all of the log
        self.lineage = Lineage()
        self.log = OpIndex(self.lineage)
        self.messages = TopicIndex(self.log)
        log = self.log  # nothing of a state refers to the state: an old one is freed without the garbage collector (COMPACT)
        self.subscriptions = Subscriptions(self.lineage, lambda name: log.is_void(*split_op_id(name)))
        self.members = Members()
        self.accounts = Accounts()
        self.account_rows: list[int] = []  # of ops for the audit trail that are about no message that was shown, ascending
        self.voids = Voids()
        self.open_batches = OpenBatches(log, self.voids)
        self.extent = self.open_batches.extent  # how far an origin is here
        self.holes = Holes(log, self.voids, self.extent)
        self.given_up = log.given_up
        self.sign_ins = {SIGN_IN: array("I"), SIGN_IN_FAILED: array("I")}  # rows, ascending, by what the audit trail says
        self.generation = 0  # how often the log was written anew in this run
        self.moved: tuple[tuple[int, int], ...] = ()  # by the last generations: from which offset on places moved, by how much

    @property
    def vector(self) -> Vector:
        """Everything held, as a short vector."""
        return self.log.vector

    def replay(self, batch: Sequence[OpRecord]) -> None:
        """Apply recovered (op, place, length); what cannot be taken, because damage hides what is before, waits.

        Most of a file is runs of messages of one origin: those go in by the column (300,000 records a second).
        """
        at = 0
        while at < len(batch):
            op, place, length = batch[at]
            highest = self.log.held(op.origin)
            run = count_run(batch, at, highest + 1) if highest else 0
            if run:
                self._apply_run(batch[at : at + run], None)
            elif isinstance(op, Void) and not self._counts(op):
                self.holes.lack(op.origin, op.sequence)
            elif self.takes(op, {}):
                self.apply(op, place, length, None)
                if self.holes.waiting:
                    self._revive_all(None)
            else:
                self.holes.wait(batch[at])
            if self.open_batches.to_apply:
                self._apply_whole(None)
            at += run or 1

    def _counts(self, void: Void) -> bool:
        """Note a void that is replayed; say whether it counts."""
        self._voids_read += 1
        self._voids_written = void.of
        if self._without_voids:
            self.ignored.add(void.origin, void.first, void.sequence)
        return not self._without_voids

    @property
    def lacks_voids(self) -> bool:
        """Whether some voids were replayed, and not all that the log had: none of them may count then (COMPACT).

        What one of those stands for, that others cannot be read, may be what ended that.
        """
        return 0 < self._voids_read < self._voids_written

    def revive(self, changes: Changes | None) -> None:
        """Apply what waited behind damage and can be taken now: a peer filled the hole, or a later record did."""
        self._revive_all(changes)
        self._apply_whole(changes)

    def _revive_all(self, changes: Changes | None) -> None:
        waiting, before = self.holes.waiting, -1
        while waiting and before != len(self.log):
            before = len(self.log)
            for origin in list(waiting):
                self._revive(origin, changes)

    def _revive(self, origin: str, changes: Changes | None) -> None:
        before = last = self.extent(origin)
        while not self.open_batches.to_apply:
            record = self.holes.next_behind(origin, self.reach(origin, {}))
            if record is None or not self.takes(record[0], {}):
                break
            self.apply(*record, changes)
            last = record[0].sequence
        last = max(last, self.extent(origin))
        if last > before:
            self.holes.drop(origin, last)

    def _apply_whole(self, changes: Changes | None) -> None:
        batch = self.open_batches.pop_whole()
        while batch:
            batch = self.apply_all(batch, changes)

    def succeed(self, old: State, cut: int, cut_after: int, *, adopts: bool) -> tuple[bool, bool]:
        """Take the place of `old`, whose rows from `cut` on are those from `cut_after` on here. Commit thread, under the lock.

        `adopts`: something else may stand right before them. Says whether places from there on stay, and whether vectors that
        are worked out stay right.
        """
        log, before = self.log, old.log
        parts = self.open_batches.of  # forgotten ones stay so; what waited behind damage may be part of one that is taken now
        for origin in parts.keys() - old.open_batches.of.keys() - old.holes.waiting.keys():
            del parts[origin]
        same_vectors = self.lineage.is_same(old.lineage)  # else a `began` that what was handed over gives up would still imply
        same_places = (
            not adopts
            and same_vectors
            and log.origins[cut_after:] == before.origins[cut:]
            and log.sequences[cut_after:] == before.sequences[cut:]
        )
        self.generation = old.generation + 1
        self.moved = (*old.moved, (cut if same_places else limits.NEVER_ROWS, cut - cut_after))[-limits.MOVES_COUNT :]
        if same_vectors:
            lineage = self.lineage = self.messages.lineage = self.subscriptions.lineage = old.lineage
            log.go_on_with(lineage)
        for row in before.unreadable:
            row_here = log.row(before.names[before.origins[row]], before.sequences[row])
            if row_here is not None and log.places[row_here] == before.places[row]:
                self.holes.miss(row_here)
        return same_places, same_vectors

    def find_offset(self, offset: int, generation: int) -> int | None:
        """Where an offset in the log of `generation` of this run is now; None if what stood there was written anew.

        None also for one of long ago: a reader that has not read since opens again.
        """
        since = self.generation - generation
        if since > len(self.moved):
            return None
        for cut, shift in self.moved[len(self.moved) - since :]:
            if offset < cut:
                return None
            offset -= shift
        return offset

    def forget_unfinished(self, broker: str) -> None:
        """START of `broker`: what is left of a batch is nothing when its own broker did not finish it.

        Where a record is missing, of whatever origin, it may be the rest of the batch, or of what says that it was whole.
        """
        if not self.holes.all:
            self.open_batches.forget_unfinished(broker)

    def miss_apart(self, place: int, own: str) -> None:
        """Note that the record there, of what waits or is kept apart, cannot be read. `own`: a batch that goes on here."""
        self.holes.miss_waiting(place)
        self.forget_unfinished("")
        if parts := self.open_batches.cut(place, own):
            self.holes.lack(parts[0][0].origin, parts[0][0].sequence)
            for part in parts[1:]:
                self.holes.wait(part)

    def replay_run(self, run: MessageRun, places: Sequence[int], lengths: Sequence[int]) -> bool:
        """`replay` a run whose records lie there; False, and nothing done, where one of its ops has to be looked at."""
        highest = self.log.held(run.origin)
        return 0 < highest == run.first - 1 and self._fold_run(run, places, lengths, None)

    def _apply_run(self, rows: Sequence[OpRecord], changes: Changes | None) -> None:
        """Apply a run, by the column if it is long enough to pay, and if none of it needs another."""
        run = run_of([cast(Published, op) for op, _, _ in rows]) if len(rows) >= _SHORT_RUN else None
        places, lengths = [place for _, place, _ in rows], [length for _, _, length in rows]
        if run is not None and self._fold_run(run, places, lengths, changes):
            return
        for op, place, length in rows:
            self.apply(op, place, length, changes)
        if self.holes.waiting:
            self._revive_all(changes)

    def _fold_run(self, run: MessageRun, places: Sequence[int], lengths: Sequence[int], changes: Changes | None) -> bool:
        """Apply a run by the column. False, and nothing done: its ops are to be applied one by one."""
        topics = self.messages.take_run(run, len(self.log))
        if topics is None:
            return False
        self.log.add_run(run.origin, run.times, topics, places, lengths)
        if changes is not None:
            changes.topics.update(run.names)
        if run.origin in self.voids.of:
            self._fill(run.origin)
        if self.holes.waiting:
            self._revive_all(changes)
        return True

    def apply_all(self, batch: Sequence[OpRecord], changes: Changes | None) -> list[OpRecord]:
        """Fold in (op, place, length) that `takes` accepted, in order; a run of messages goes in by the column.

        An op that is held already is a good copy of a record that could not be read. Returns what is to be applied next, before
        anything else: a long batch that became whole, and what stands behind its last op.
        """
        at = 0
        while at < len(batch):
            op, place, length = batch[at]
            highest = self.log.held(op.origin)
            run = count_run(batch, at, highest + 1) if highest else 0
            if run > 1:
                self._apply_run(batch[at : at + run], changes)
            elif op.sequence <= highest:
                if self.holes.heal(op, place, length) and changes is not None and isinstance(op, Published):
                    changes.topics.add(op.topic)
            else:
                self.apply(op, place, length, changes)
                if self.holes.waiting:
                    self._revive_all(changes)
            at += max(run, 1)
            if self.open_batches.to_apply:
                return [*self.open_batches.pop_whole(), *batch[at:]]
        return []

    def takes(self, op: Op, staged: Mapping[str, int]) -> bool:
        """TAKE: only the next of its origin; a `began` first, and only when all that it names is held.

        `staged`: origins of which more is about to be applied, with how far.
        """
        reach = self.reach(op.origin, staged)
        if isinstance(op, Void):
            return reach < op.sequence and op.first <= reach + 1
        if op.sequence != reach + 1:
            return False
        if op.sequence > 1:
            return not isinstance(op, Began)
        return isinstance(op, Began) and all(self.reach(origin, staged) >= sequence for origin, sequence in op.vector.items())

    def reach(self, origin: str, staged: Mapping[str, int]) -> int:
        """How far `origin` will be held when what is staged is applied."""
        held = staged.get(origin) or self.extent(origin)
        return self.voids.reach(origin, held) if origin in self.voids.of else held

    def apply(self, op: Op, place: int, length: int, changes: Changes | None) -> None:
        """Fold in one op that `takes` accepted; its record lies at `place`."""
        kind = type(op)
        if (op.origin in self.open_batches.of or kind is Began) and self.open_batches.take(op, place, length):
            return
        if kind is Void:
            self._void(cast(Void, op), place, length)
            return
        topic = 0
        if isinstance(op, Published):
            topic = self._message(op)
            if topic and changes is not None:
                changes.topics.add(op.topic)
        elif kind is Began:
            self.lineage.began(op.origin, cast(Began, op).vector)
        elif kind is Lost and cast(Lost, op).is_valid:
            topic = GIVEN_UP
        elif kind is Withdrawn and cast(Withdrawn, op).topic:
            topic = WITHDRAWN
        self.log.add(op.origin, op.sequence, op.time, topic, place, length)
        if kind is not Published and kind is not Began:
            users = self._other(op)
            if changes is not None:
                changes.users |= users
        if op.origin in self.voids.of:
            self._fill(op.origin)
        if topic == WITHDRAWN:
            self.messages.tell(cast(Withdrawn, op), len(self.log) - 1)
            if changes is not None:
                changes.topics.add(cast(Withdrawn, op).topic)
        if kind is Lost and changes is not None:
            changes.topics.update(self.messages.names[1:])  # whoever reads anything is told

    def _message(self, op: Published) -> int:
        """APPLY msg: one that was stored again takes the place of its first id; what was scheduled is no message yet."""
        row = self.log.row(*split_op_id(op.again)) if op.again else None
        if row is not None and row not in self.messages.timetable.names:
            self.messages.hide(row)
        return self.messages.take(op, len(self.log))

    def _lost(self, op: Lost) -> None:
        """LOST: the range is void: what of it is shown here was stored again before, by this broker (`salvage.owed`)."""
        self.given_up.append((len(self.log) - 1, op))
        self.holes.give_up(op)
        for part in self.open_batches.of.pop(op.source, ()):
            self.holes.wait(part)  # the batch is whole without the range
        for sequence in range(op.first, min(op.last, self.log.held(op.source)) + 1):
            if (row := self.log.row(op.source, sequence)) is not None:
                self.messages.hide(row)
        if op.first == 1 and self.log.held(op.source):
            self.log.forget_began(op.source)
        self._fill(op.source)

    def _void(self, op: Void, place: int, length: int) -> None:
        """COMPACT: what a compaction left of ops. Only a log that is read has such records: no void is taken by itself."""
        if op.origin not in self.lineage:
            self.lineage.began(op.origin, {})  # given up, and could not be read: nothing follows from it
        row = self.log.add_void(op, place, length)
        self.messages.take_void(op.origin, op.messages, row)
        if op.origin in self.voids.of:
            self._fill(op.origin)

    def _fill(self, origin: str) -> None:
        """Have `origin` reach over what was given up, behind the newest record."""
        last = self.voids.reach(origin, self.log.held(origin))
        if last > self.log.held(origin):
            if origin not in self.lineage:
                self.lineage.began(origin, {})
            self.log.fill(origin, last)

    def patterns_of(self, user: str, account: str = "") -> tuple[str, ...]:
        """What `user` is registered for; () for nobody known."""
        return self.subscriptions.patterns_of(user, account)

    def _other(self, op: Op) -> set[str]:
        """Fold in what is no message; return the users whose subscriptions changed."""
        if isinstance(op, Joined | Left | AccountOp) or (isinstance(op, Withdrawn) and op.by and not op.topic):
            self.account_rows.append(len(self.log) - 1)
            if isinstance(op, Audited) and op.what in self.sign_ins:
                self.sign_ins[op.what].append(len(self.log) - 1)
        match op:
            case Subscribed():
                return self.subscriptions.subscribed(op)
            case Unsubscribed():
                return self.subscriptions.unsubscribed(op)
            case Acknowledged():
                self.subscriptions.acknowledged(op)
            case Confirmed():
                self.messages.notices.confirm(op)
            case Dropped():
                self.messages.drop(op.topic, op.vector)
            case Scheduled():
                self.messages.take_scheduled(op, len(self.log) - 1)
            case Withdrawn():
                self.messages.withdraw(op.ids)
            case Joined():
                self.members.joined(op)
            case Left():
                self.members.left(op)
            case Lost() if op.is_valid:
                self._lost(op)
            case _ if isinstance(op, AccountOp):
                return self._access(op)
        return set()

    def _access(self, op: AccountOp) -> set[str]:
        """Fold in what is about users; return those whose rights may have changed."""
        users = set(self.accounts.take(op))
        if isinstance(op, UsersRemoved):
            users.update(*(self.subscriptions.end_account(account) for account in op.accounts))
        return users
