"""What a compaction leaves out of a log (docs/rules.md, COMPACT). Pure; decides from copies, beside whoever changes the state.

Each rule looks only at ops that the base covers, stays true whatever comes later, and blames only something later in one total
order, of which the last is never left out; or it demands that what it protects is void itself. So what brokers compact each by
itself may be merged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from newswire.core import limits
from newswire.core.model.names import SIGN_IN, SIGN_IN_FAILED
from newswire.core.model.ops import (
    Acknowledged,
    Began,
    Confirmed,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    OpId,
    Published,
    Scheduled,
    Subscribed,
    Unsubscribed,
    UsersRemoved,
    Withdrawn,
    split_op_id,
)
from newswire.core.model.vector import FullVector, Lineage
from newswire.core.state.op_index import MARKS
from newswire.core.state.prefix import Base, Prefix

KEPT_SECONDS: Final = {SIGN_IN: limits.SIGN_INS_KEPT_SECONDS, SIGN_IN_FAILED: limits.FAILURES_KEPT_SECONDS}


class LeaveOut:
    """Marks rows of a prefix: `left[row]` is 1 for what goes."""

    def __init__(self, prefix: Prefix, base: Base, held: FullVector, now: Sequence[int], retention: int) -> None:
        """`base`: what may go at all. `held`: all that the prefix holds. `now`: what the time may be said to be (ms).

        `retention`: its clock (ms), 0 while that is not known.
        """
        self.prefix, self.base, self.held, self.now = prefix, base, held, now
        self._earliest = min([retention, *now])  # what the time is at least
        self.lineage = Lineage()  # one of its own: what follows from vectors is worked out beside the lock
        self.left = bytearray(prefix.cut)
        self._row_of: dict[OpId, int] = {}
        self._horizons: dict[str, FullVector] = {}
        self._shown_yet: set[str] = set()  # topics of which something stays that was dropped
        self._withdrawn: set[OpId] = set()
        self._withdrawn_at: dict[OpId, int] = {}  # ms: the newest stamp of an op that says so
        self._unpublished: set[int] = set()  # rows of messages that stay, since what scheduled them does, or is not here
        self._lost: dict[str, list[tuple[int, int]]] = {}

    def run(self) -> Iterator[None]:
        """Decide, in steps of some milliseconds."""
        yield from self._learn()
        self._leave_unreadable()
        self._leave_scheduled()
        self._leave_twins()  # what was replaced goes first, as it keeps what replaced it
        yield None
        yield from self._leave_messages()
        self._leave_drops()
        self._leave_withdrawals()
        yield None
        yield from self._leave_subscriptions()
        yield from self._leave_acks()
        self._leave_members()
        yield None
        yield from self._leave_audit()

    def _in_base(self, op: Op) -> bool:
        return op.sequence <= self.base.get(op.origin)

    def _learn(self) -> Iterator[None]:
        horizons: dict[str, dict[str, int]] = {}
        for count, (row, op) in enumerate(self.prefix.ops.items(), 1):
            self._row_of[op.id] = row
            if isinstance(op, Began):
                self.lineage.began(op.origin, op.vector)
            elif isinstance(op, Dropped) and self._in_base(op):
                horizons[op.topic] = self.lineage.join(horizons.get(op.topic, {}), op.vector)
            elif isinstance(op, Withdrawn) and self._in_base(op):
                self._withdrawn.update(op.ids)
                self._withdrawn_at.update({name: max(op.time, self._withdrawn_at.get(name, 0)) for name in op.ids})
            elif isinstance(op, Lost) and op.is_valid:
                if op.first == 1 and op.source in self.lineage:
                    self.lineage.forget(op.source)
                elif op.first == 1:
                    self.lineage.began(op.source, {})  # given up before it was seen: later ones name it all the same
                if self._in_base(op):
                    self._lost.setdefault(op.source, []).append((op.first, op.last))
            if count % limits.PIECE_OPS == 0:
                yield None
        for row, target in self.prefix.replacing.items():
            if self.prefix.sequences[row] <= self.base.get(self.prefix.origin_names[self.prefix.origins[row]]):
                self._withdrawn.add(target)
        self._horizons = {topic: self.lineage.expand(vector) for topic, vector in horizons.items()}

    def _leave_unreadable(self) -> None:
        """What was given up and cannot be read goes once all know that it was: whoever has it stored it again before."""
        prefix = self.prefix
        for row in prefix.unreadable:
            origin, sequence = prefix.origin_names[prefix.origins[row]], prefix.sequences[row]
            self.left[row] = sequence <= self.base.get(origin) and self._is_given_up(origin, sequence)

    # -- messages

    def _leave_messages(self) -> Iterator[None]:
        """A message goes when a drop in the base covers it, and with it its key, if that is not remembered any more."""
        prefix, left, twins = self.prefix, self.left, {row for rows in self.prefix.twins for row in rows}
        reaches: dict[tuple[int, int], tuple[int, int]] = {}
        columns = zip(prefix.topics, prefix.origins, prefix.sequences, strict=True)
        for row, (topic, number, sequence) in enumerate(columns):
            if row % limits.SCAN_ROWS == 0:
                yield None
            if topic in MARKS or row in twins:
                continue
            reach = reaches.get((topic, number))
            if reach is None:
                reach = reaches[topic, number] = self._reach(prefix.topic_names[topic], prefix.origin_names[number])
            if sequence > reach[0]:
                continue
            if sequence > reach[1] or self._names_key(row):
                self._shown_yet.add(prefix.topic_names[topic])
            else:
                left[row] = 1

    def _reach(self, topic: str, origin: str) -> tuple[int, int]:
        """Up to which sequence messages are dropped, and may go."""
        horizon = self._horizons.get(topic)
        dropped = horizon.get(origin) if horizon is not None else 0
        return dropped, min(dropped, self.base.get(origin))

    def _names_key(self, row: int) -> bool:
        target = self.prefix.replacing.get(row)
        if row in self.prefix.pinned or row in self._unpublished or (target is not None and not self._is_gone(target)):
            return True
        return bool(self.prefix.keyed[row]) and self._is_recent(self.prefix.times[row])

    def _is_recent(self, stamp: int) -> bool:
        return any(abs(now - stamp) <= limits.COMPACT_KEY_SECONDS * 1000 for now in self.now)

    def _leave_scheduled(self) -> None:
        """What waits stays; else it goes together with all that published it, and no sooner: it would be published again."""
        prefix = self.prefix
        group_of = {row: rows for rows in prefix.twins for row in rows}
        for row, op in prefix.ops.items():
            if isinstance(op, Scheduled) and self._in_base(op):
                self.left[row] = self._is_given_up(op.origin, op.sequence)
        going: list[tuple[Sequence[int], set[int]]] = []  # rows that schedule, and all that publish the same
        for rows, copies in prefix.scheduled:
            twins = {row for copy in copies for row in group_of.get(copy, (copy,))}
            if self._is_spent(rows, twins, group_of):
                going.append((rows, twins))
            else:
                self._unpublished |= twins
        for name, copies in prefix.copies.items():
            if self._may_come(name):
                self._unpublished.update(row for copy in copies for row in group_of.get(copy, (copy,)))
        before = -1
        while len(going) != before:  # what publishes two that are no twins is one message all the same
            before = len(going)
            self._unpublished |= {row for _, twins in going if not twins.isdisjoint(self._unpublished) for row in twins}
            going = [one for one in going if one[1].isdisjoint(self._unpublished)]
        for rows, _ in going:
            for row in rows:
                self.left[row] = 1

    def _is_spent(self, rows: Sequence[int], twins: Collection[int], group_of: Collection[int]) -> bool:
        """Say whether what these scheduled was withdrawn, or published and all of that may go.

        `group_of`: rows of messages that have twins.
        """
        prefix = self.prefix
        ops = [op for row in rows if isinstance(op := prefix.ops.get(row), Scheduled)]
        names = {name for op in ops for name in (op.id, op.again) if name}
        ends = [self._withdrawn_at[name] for name in names if name in self._withdrawn_at]
        if ends:
            self._withdrawn |= names
        if not (ends or twins) or len(ops) < len(rows) or not all(map(self._in_base, ops)):
            return False
        if any(row >= prefix.cut or self._names_key(row) for row in twins):
            return False
        if any(map(self._is_recent, [*ends, *(prefix.times[row] for row in twins)])):
            return False
        for row in twins:
            op = prefix.ops.get(row)
            if isinstance(op, Published) and row not in group_of:
                if not (self._in_base(op) and self._is_withdrawn(op)):
                    return False
            elif not self._may_go(row, self._topic_of(row)):
                return False
        return True

    def _leave_twins(self) -> None:
        """Twins go together: one that stayed alone would be shown again. What was withdrawn or given up goes, too."""
        prefix = self.prefix
        for rows in prefix.twins:
            name = next((self._topic_of(row) for row in rows if row < prefix.cut), "")
            if all(row < prefix.cut and self._may_go(row, name) and not self._names_key(row) for row in rows):
                for row in rows:
                    self.left[row] = 1
            else:
                self._shown_yet.add(name)
        twins = {row for rows in prefix.twins for row in rows}
        for row, op in prefix.ops.items():
            if isinstance(op, Published) and row not in twins and self._in_base(op):
                is_over = self._is_withdrawn(op) and not self._names_key(row)
                self.left[row] = is_over or self._is_given_up(op.origin, op.sequence)

    def _topic_of(self, row: int) -> str:
        op = self.prefix.ops.get(row)
        return op.topic if isinstance(op, Published) else self.prefix.topic_names[self.prefix.topics[row]]

    def _may_go(self, row: int, topic: str) -> bool:
        prefix, op = self.prefix, self.prefix.ops.get(row)
        if row in prefix.unreadable:
            return bool(self.left[row])
        if isinstance(op, Published) and self._is_withdrawn(op) and self._in_base(op):
            return True
        return prefix.sequences[row] <= self._reach(topic, prefix.origin_names[prefix.origins[row]])[1]

    def _is_withdrawn(self, op: Published) -> bool:
        return op.id in self._withdrawn or op.again in self._withdrawn

    def _is_given_up(self, origin: str, sequence: int) -> bool:
        return any(first <= sequence <= last for first, last in self._lost.get(origin, ()))

    def _is_gone(self, name: OpId) -> bool:
        """Say whether an op is void, and was not given up: else it might come once more."""
        return self.is_void(name) and not self._is_given_up(*split_op_id(name))

    def _leave_withdrawals(self) -> None:
        """One goes when all that it names is void, and nothing of that was given up: it might come once more.

        Copies of that, too. So does what was confirmed.
        """
        for row, op in self.prefix.ops.items():
            if isinstance(op, Withdrawn | Confirmed) and self._in_base(op):
                ids = op.ids if isinstance(op, Withdrawn) else (op.message,)
                self.left[row] = all(self._is_gone(name) and not self._has_copy(name) for name in ids)

    def _may_come(self, name: OpId) -> bool:
        """Say whether an op is not here: another broker may have it, and would publish it anew if nothing said that it was."""
        origin, sequence = split_op_id(name)
        return self.held.get(origin) < sequence

    def _has_copy(self, name: OpId) -> bool:
        return any(row >= self.prefix.cut or not self.left[row] for row in self.prefix.copies.get(name, ()))

    def _leave_drops(self) -> None:
        """A drop goes when all that it names is in the base, so that all of it is void, or later ones that stay cover it."""
        stay: dict[str, FullVector] = {}
        for op in self._newest_first(Dropped):
            assert isinstance(op, Dropped)
            covers = stay.get(op.topic)
            is_spent = self.base.holds(op.vector) and op.topic not in self._shown_yet
            if self._in_base(op) and (is_spent or (covers is not None and covers.holds(op.vector))):
                self.left[self._row_of[op.id]] = 1
            else:
                full = self.lineage.expand(op.vector)
                stay[op.topic] = covers.join(full) if covers is not None else full

    def _newest_first(self, kind: type[Op]) -> list[Op]:
        """The ops of a kind by (time, origin, sequence), the last one first: the order in which later ones are blamed."""
        ops = (op for op in self.prefix.ops.values() if isinstance(op, kind))
        return sorted(ops, key=lambda op: (op.time, op.origin, op.sequence), reverse=True)

    # -- subscriptions

    def is_void(self, name: OpId) -> bool:
        """Say whether an op is held and void, or goes now."""
        row = self._row_of.get(name, self.prefix.asking.get(name))
        if row is not None:
            return row < self.prefix.cut and bool(self.left[row])
        origin, sequence = split_op_id(name)
        return self.held.get(origin) >= sequence

    def _all_void(self, names: Collection[OpId]) -> bool:
        return all(map(self.is_void, names))

    def _leave_subscriptions(self) -> Iterator[None]:
        """One goes when an op in the base removed it and all that it replaces is void; an unsubscribe, when all it names is."""
        ops = [op for op in self.prefix.ops.values() if self._in_base(op)]
        self._removed = {name for op in ops if isinstance(op, Unsubscribed) for name in op.ids}
        self._removed |= {name for op in ops if isinstance(op, Subscribed) for name in op.replaces}
        accounts = {account for op in ops if isinstance(op, UsersRemoved) for account in op.accounts}
        self._removed |= {op.id for op in ops if isinstance(op, Subscribed) and op.account in accounts}
        todo: Sequence[Op] = [op for op in ops if isinstance(op, Subscribed) and op.id in self._removed]
        before = -1
        while len(todo) != before:
            before = len(todo)
            for op in todo:
                assert isinstance(op, Subscribed)
                if self._all_void(op.replaces):
                    self.left[self._row_of[op.id]] = 1
            todo = [op for op in todo if not self.left[self._row_of[op.id]]]
            yield None
        for op in ops:
            if isinstance(op, Unsubscribed) and self._all_void(op.ids):
                self.left[self._row_of[op.id]] = 1

    def _leave_acks(self) -> Iterator[None]:
        """One goes when each subscription that it names is dead, or has all of it by its start and by later acks that stay."""
        covers: dict[OpId, FullVector] = {}
        nothing = FullVector(self.lineage)
        for count, op in enumerate(self._newest_first(Acknowledged), 1):
            assert isinstance(op, Acknowledged)
            names = [name for name in op.ids if name not in self._removed and not self.is_void(name)]
            for name in names:
                if name not in covers:
                    made = self.prefix.ops.get(self._row_of.get(name, -1))
                    covers[name] = self.lineage.expand(made.since) if isinstance(made, Subscribed) else nothing
            if self._in_base(op) and all(covers[name].holds(op.vector) for name in names):
                self.left[self._row_of[op.id]] = 1
            else:
                full = self.lineage.expand(op.vector)
                for name in names:
                    covers[name] = covers[name].join(full)
            if count % limits.PIECE_SUBSCRIPTIONS == 0:
                yield None

    # -- members

    def _leave_members(self) -> None:
        """A membership goes when it ended, all that it replaces is void, and a later one of that broker stays."""
        ops = [op for op in self.prefix.ops.values() if self._in_base(op)]
        ended = {name for op in ops if isinstance(op, (Joined, Left)) for name in op.seen}
        lasts: Mapping[str, OpId] = {}
        for op in self._newest_first(Joined):
            assert isinstance(op, Joined)
            lasts = {op.broker: op.id, **lasts}
        joins = [op for op in ops if isinstance(op, Joined) and op.id in ended and lasts[op.broker] != op.id]
        before = -1
        while len(joins) != before:
            before = len(joins)
            for op in joins:
                if self._all_void(op.seen):
                    self.left[self._row_of[op.id]] = 1
            joins = [op for op in joins if not self.left[self._row_of[op.id]]]
        for op in ops:
            if isinstance(op, Left) and self._all_void(op.seen):
                self.left[self._row_of[op.id]] = 1

    # -- the audit trail

    def _leave_audit(self) -> Iterator[None]:
        """Who signed in, or failed to, is known for so long only. It is as old as the newest stamp up to it (RETENTION)."""
        for what, rows in self.prefix.sign_ins.items():
            yield from self._leave_old(rows, KEPT_SECONDS[what])

    def _leave_old(self, rows: Sequence[int], kept: int) -> Iterator[None]:
        prefix, newest, at = self.prefix, 0, 0
        latest = max(self.now, default=0) + limits.CLOCK_FUTURE_MILLISECONDS
        for row in rows:
            while at <= row:
                stop = min(row + 1, at + limits.SCAN_ROWS - at % limits.SCAN_ROWS)
                newest = max(newest, max((stamp for stamp in prefix.times[at:stop] if stamp <= latest), default=0))
                at = stop
                if at % limits.SCAN_ROWS == 0:
                    yield None
            is_known = prefix.sequences[row] <= self.base.get(prefix.origin_names[prefix.origins[row]])
            if is_known and newest + kept * 1000 <= self._earliest:
                self.left[row] = 1
