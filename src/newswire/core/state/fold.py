"""The fold: a broker's state is nothing but the ops it holds, applied in any order (docs/rules.md, APPLY).

`apply` is total, commutative and idempotent as long as each op is `takes`-able: two brokers that hold the same ops hold
the same state. What differs between them is only their log: its order, and at which of its twins' places a message stands.

Longer than other rooms: whatever changes what is held can be read in one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from newswire.core import limits
from newswire.core.model.ops import (
    AccountOp,
    Acknowledged,
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
from newswire.core.state import holes
from newswire.core.state.accounts import Accounts
from newswire.core.state.holes import Hole, Voids
from newswire.core.state.members import Members
from newswire.core.state.message_run import MessageRun, run_of
from newswire.core.state.op_index import GIVEN_UP, WITHDRAWN, OpIndex
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
        self.account_rows: list[int] = []  # of the ops that are about users and members, ascending
        self.waiting: dict[str, dict[int, tuple[Op, int, int]]] = {}  # origin -> sequence -> what damage keeps apart
        self.open: dict[str, list[tuple[Op, int, int]]] = {}  # long batches of which not all is here: of no effect (BATCH)
        self._whole: set[str] = set()  # their origins, from the moment when all is here until that is applied
        self._released: list[tuple[Op, int, int]] = []  # what is to be applied for it
        self.suspects: dict[str, int] = {}  # origin -> a sequence that damage at its end may have held
        self.voids = Voids()
        self.given_up: list[tuple[int, Lost]] = []  # the rows of `lost` ops, ascending
        self._holes: tuple[Hole, ...] | None = ()
        self._waits: dict[str, int] = {}
        self._waiting_topics: Counter[str] = Counter()
        self._voids_wait = False
        self.generation = 0  # how often the log was written anew in this run
        self.moved: tuple[tuple[int, int], ...] = ()  # by the last generations: from which offset on places moved, by how much

    @property
    def vector(self) -> Vector:
        """Everything held, as a short vector."""
        return self.log.vector

    def replay(self, batch: Sequence[tuple[Op, int, int]]) -> None:
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
                self._lack(op)
            elif self.takes(op, {}):
                self.apply(op, place, length, None)
                if self.waiting:
                    self._revive_all(None)
            elif op.sequence > self.extent(op.origin) and not self.voids.has(op.origin, op.sequence):
                first = op.first if isinstance(op, Void) else op.sequence
                self._voids_wait |= first < op.sequence
                self.waiting.setdefault(op.origin, {})[first] = batch[at]
                self._holes = None
            if self._released:
                self._apply_released(None)
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
        self._apply_released(changes)

    def _revive_all(self, changes: Changes | None) -> None:
        before = -1
        while self.waiting and before != len(self.log):
            before = len(self.log)
            for origin in list(self.waiting):
                self._revive(origin, changes)

    def _apply_released(self, changes: Changes | None) -> None:
        batch, self._released = self._released, []
        while batch:
            batch = self.apply_all(batch, changes)

    def succeed(self, old: State, cut: int, cut_after: int, *, adopts: bool) -> tuple[bool, bool]:
        """Take the place of `old`, whose rows from `cut` on are those from `cut_after` on here. Commit thread, under the lock.

        `adopts`: something else may stand right before them. Says whether places from there on stay, and whether vectors that
        are worked out stay right.
        """
        log, before = self.log, old.log
        # what of a batch was forgotten stays so; what waited behind damage may be part of one that is taken now
        self.open = {origin: parts for origin, parts in self.open.items() if origin in old.open or origin in old.waiting}
        same_vectors = self.lineage.names == old.lineage.names
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
                self.miss(row_here)
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

    def extent(self, origin: str) -> int:
        """How far `origin` is here: in the log, or in a long batch that is not whole."""
        ops = self.open.get(origin)
        return ops[-1][0].sequence if ops else self.log.held(origin)

    @property
    def parts(self) -> dict[str, int]:
        """How far long batches are here that are not whole, by origin; of many those that began last."""
        return {origin: self.extent(origin) for origin in list(self.open)[-limits.OPEN_BATCHES_COUNT :]}

    def forget_unfinished(self, broker: str) -> None:
        """START of `broker`: what is left of a batch is nothing when its own broker did not finish it.

        That is so when that broker went on without it: another origin of it is held that began later, and so does not name it.
        Of its own a broker knows that as soon as it starts. Of all others what is here may be the only copy; and where a
        record is missing, of whatever origin, it may be the rest of the batch, or of what says that it was whole.
        """
        if self.holes:
            return
        for origin, batch in list(self.open.items()):
            began = cast(Began, batch[0][0])
            same = (name for name in self.log.names if name.partition("-")[0] == began.broker)
            if began.broker == broker or any(not self.lineage.covers(began.vector, name, 1) for name in same):
                del self.open[origin]

    @property
    def holes(self) -> tuple[Hole, ...]:
        """What is known to be missing here, in order."""
        if self._holes is None or any(self.extent(hole.origin) >= hole.first for hole in self._holes if not hole.unreadable):
            self.suspects = {origin: last for origin, last in self.suspects.items() if self.extent(origin) < last}
            self._holes = holes.find(self)
            self._waits = {origin: max(op.sequence for op, _, _ in ops.values()) for origin, ops in self.waiting.items()}
            ops_apart = (op for ops in self.waiting.values() for op, _, _ in ops.values())
            self._waiting_topics = Counter(op.topic for op in ops_apart if isinstance(op, Published))
        return self._holes

    @property
    def waiting_topics(self) -> Counter[str]:
        """How many messages of which topic wait behind damage."""
        return self._waiting_topics if self.holes else Counter()

    @property
    def waits(self) -> dict[str, int]:
        """The highest sequence that waits behind damage, by origin."""
        return self._waits if self.holes else {}

    def voids_waiting(self) -> list[tuple[int, int]]:
        """Place and length of the voids that wait behind damage."""
        entries = (entry for ops in self.waiting.values() for entry in ops.values())
        return [(place, length) for op, place, length in entries if isinstance(op, Void)]

    def losses_waiting(self) -> list[Lost]:
        """The `lost` ops that wait behind damage themselves, of ranges that are not held. Two may wait for each other."""
        ops_apart = (op for ops in self.waiting.values() for op, _, _ in ops.values())
        return [op for op in ops_apart if isinstance(op, Lost) and op.is_valid and self.log.held(op.source) < op.first]

    def suspect(self, names: Iterable[tuple[str, int]]) -> None:
        """Note that damage has hit ops so named: those of known origins that are not held are missing.

        What damaged bytes say may be wrong, so far beyond what is held it is not believed.
        """
        for origin, sequence in names:
            highest = max([self.extent(origin), *self.waiting.get(origin, ())])
            is_here = origin in self.log.numbers or origin in self.waiting or origin in self.open
            if is_here and highest < sequence <= highest + limits.SUSPECT_OPS:
                self.suspects[origin] = max(sequence, self.suspects.get(origin, 0))
        self._holes = None

    def miss(self, row: int) -> None:
        """Note that the record at `row` cannot be read."""
        self.log.unreadable[row] = None
        self._holes = None

    def miss_apart(self, place: int, own: str) -> None:
        """Note that the record there, of what waits or is kept apart, cannot be read. `own`: a batch that goes on here."""
        for origin, entries in list(self.waiting.items()):
            for first, (op, at, _) in list(entries.items()):
                if at == place:
                    del entries[first]
                    self._lack(op)
            if not entries:
                del self.waiting[origin]
        self.forget_unfinished("")
        for origin, parts in list(self.open.items()):
            index = next((index for index, (_, at, _) in enumerate(parts) if at == place), None)
            if index is None or origin == own:
                continue
            rest = {op.sequence: (op, at, length) for op, at, length in parts[index + 1 :]}
            if rest:
                self.waiting.setdefault(origin, {}).update(rest)
            self._lack(parts[index][0])
            del parts[index:]
            if not parts:
                del self.open[origin]

    def _lack(self, op: Op) -> None:
        self.suspects[op.origin] = max(op.sequence, self.suspects.get(op.origin, 0))
        self._holes = None

    def heal(self, op: Op, place: int, length: int, changes: Changes | None) -> None:
        """Have the row of `op`, whose record could not be read, point at a good copy."""
        row = self.log.row(op.origin, op.sequence)
        if row is None:
            return
        self.log.places[row], self.log.lengths[row] = place, length
        self.log.unreadable.pop(row, None)
        self._holes = None
        if isinstance(op, Published) and changes is not None:
            changes.topics.add(op.topic)

    def is_missing(self, op: Op) -> bool:
        """Say whether `op` is held, its record cannot be read, and it was not given up."""
        row = self.log.row(op.origin, op.sequence) if self.log.unreadable else None
        return row is not None and row in self.log.unreadable and not self.voids.has(op.origin, op.sequence)

    def _revive(self, origin: str, changes: Changes | None) -> None:
        ops, before = self.waiting.get(origin, {}), self.extent(origin)
        last = before
        while not self._released and (item := self._next_of(ops, self.reach(origin, {}))) and self.takes(item[0], {}):
            self.apply(*item, changes)
            last = item[0].sequence
        highest = max(last, self.extent(origin))
        if highest > before:
            self._holes = None
            rest = {first: entry for first, entry in ops.items() if entry[0].sequence > highest}
            self.waiting.pop(origin, None)
            if rest:
                self.waiting[origin] = rest

    def _next_of(self, ops: Mapping[int, tuple[Op, int, int]], reach: int) -> tuple[Op, int, int] | None:
        """What goes on behind `reach` of `ops`, which wait and are listed by the first op that each stands for."""
        item = ops.get(reach + 1)
        if item is None and self._voids_wait:
            voids = (entry for first, entry in ops.items() if isinstance(entry[0], Void) and first <= reach < entry[0].sequence)
            item = next(voids, None)
        return item

    def replay_run(self, run: MessageRun, places: Sequence[int], lengths: Sequence[int]) -> bool:
        """`replay` a run whose records lie there; False, and nothing done, where one of its ops has to be looked at."""
        highest = self.log.held(run.origin)
        return 0 < highest == run.first - 1 and self._fold_run(run, places, lengths, None)

    def _apply_run(self, rows: Sequence[tuple[Op, int, int]], changes: Changes | None) -> None:
        """Apply a run, by the column if it is long enough to pay, and if none of it needs another."""
        run = run_of([cast(Published, op) for op, _, _ in rows]) if len(rows) >= _SHORT_RUN else None
        places, lengths = [place for _, place, _ in rows], [length for _, _, length in rows]
        if run is not None and self._fold_run(run, places, lengths, changes):
            return
        for op, place, length in rows:
            self.apply(op, place, length, changes)
        if self.waiting:
            self._revive_all(changes)

    def _fold_run(self, run: MessageRun, places: Sequence[int], lengths: Sequence[int], changes: Changes | None) -> bool:
        """Apply a run by the column. False, and nothing done: its ops are to be applied one by one."""
        topics = self.messages.take_run(run, len(self.log))
        if topics is None:
            return False
        self.log.add_run(run.origin, run.times, topics, places, lengths)
        if changes is not None:
            changes.topics.update(run.names)
        if run.origin in self.voids:
            self._fill(run.origin)
        if self.waiting:
            self._revive_all(changes)
        return True

    def apply_all(self, batch: Sequence[tuple[Op, int, int]], changes: Changes | None) -> list[tuple[Op, int, int]]:
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
                self.heal(op, place, length, changes)
            else:
                self.apply(op, place, length, changes)
                if self.waiting:
                    self._revive_all(changes)
            at += max(run, 1)
            if self._released:
                released, self._released = self._released, []
                return [*released, *batch[at:]]
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
        return self.voids.reach(origin, held) if origin in self.voids else held

    def apply(self, op: Op, place: int, length: int, changes: Changes | None) -> None:
        """Fold in one op that `takes` accepted; its record lies at `place`."""
        kind = type(op)
        if (op.origin in self.open or kind is Began) and self._set_aside(op, place, length):
            return
        if kind is Void:
            self._void(cast(Void, op), place, length)
            return
        topic = 0
        if kind is Published:
            topic = self._message(cast(Published, op))
            if topic and changes is not None:
                changes.topics.add(cast(Published, op).topic)
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
        if op.origin in self.voids:
            self._fill(op.origin)
        if topic == WITHDRAWN:
            self.messages.tell(cast(Withdrawn, op), len(self.log) - 1)
            if changes is not None:
                changes.topics.add(cast(Withdrawn, op).topic)
        if kind is Lost and changes is not None:
            changes.topics.update(self.messages.names[1:])  # whoever reads anything is told

    def _set_aside(self, op: Op, place: int, length: int) -> bool:
        """BATCH: what is of a long batch has no effect before all of it is here; then all is released. False: it is none."""
        ops = self.open.get(op.origin)
        if ops is None:
            if not isinstance(op, Began) or op.batch < 2 or op.origin in self._whole:
                self._whole.discard(op.origin)
                return False
            ops = self.open[op.origin] = []
        ops.append((op, place, length))
        if self.reach(op.origin, {}) >= cast(Began, ops[0][0]).batch:
            self._whole.add(op.origin)
            self._released += self.open.pop(op.origin)
        return True

    def _message(self, op: Published) -> int:
        """APPLY msg: one that was stored again takes the place of its first id; what was scheduled is no message yet."""
        if op.again:
            row = self.log.row(*split_op_id(op.again))
            if row is not None and row not in self.messages.timetable.names:
                self.messages.hide(row)
        return self.messages.take(op, len(self.log))

    def _lost(self, op: Lost) -> None:
        """LOST: the range is void: what of it is shown here was stored again before, by this broker (`salvage.owed`)."""
        self.given_up.append((len(self.log) - 1, op))
        self.voids.add(op.source, op.first, op.last)
        for sequence in range(op.first, min(op.last, self.log.held(op.source)) + 1):
            row = self.log.row(op.source, sequence)
            if row is not None:
                self.messages.hide(row)
        waiting = self.waiting.setdefault(op.source, {})
        waiting.update({one[0].sequence: one for one in self.open.pop(op.source, ())})  # a batch: it is whole without these
        for sequence in [s for s in waiting if op.first <= s <= op.last]:
            del waiting[sequence]
        if not waiting:
            self.waiting.pop(op.source, None)
        if op.first == 1 and self.log.held(op.source):
            self.log.forget_began(op.source)
        self._fill(op.source)
        self._holes = None

    def _void(self, op: Void, place: int, length: int) -> None:
        """COMPACT: what a compaction left of ops. Only a log that is read has such records: no void is taken by itself."""
        if op.origin not in self.lineage:
            self.lineage.began(op.origin, {})  # given up, and could not be read: nothing follows from it
        row = self.log.add_void(op, place, length)
        self.messages.take_void(op.origin, op.messages, row)
        if op.origin in self.voids:
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
                self.account_rows.append(len(self.log) - 1)
                self.members.joined(op)
            case Left():
                self.account_rows.append(len(self.log) - 1)
                self.members.left(op)
            case Lost() if op.is_valid:
                self._lost(op)
            case _ if isinstance(op, AccountOp):
                return self._access(op)
        return set()

    def _access(self, op: AccountOp) -> set[str]:
        """Fold in what is about users; return those whose rights may have changed."""
        self.account_rows.append(len(self.log) - 1)
        users = set(self.accounts.take(op))
        if isinstance(op, UsersRemoved):
            users.update(*(self.subscriptions.end_account(account) for account in op.accounts))
        return users
