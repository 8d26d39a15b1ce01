"""What the fold keeps of messages: topics, who published what where, retention's horizons, publishers' keys.

Kept per message: one sequence number in the array of its (topic, origin), and for a while a hash of its key and of its
content. The text stays on disk. What retention dropped stays counted, so `index` and `unread` stay exact.

Longer than other rooms: what is shown, what is a twin of what, and what waits are one decision over the same columns.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from newswire.core import limits
from newswire.core.model.ops import OpId, Published, Scheduled, Withdrawn, op_id, split_op_id
from newswire.core.model.vector import Vector
from newswire.core.state.keys import Keys, content, fingerprint
from newswire.core.state.message_run import MessageRun
from newswire.core.state.notices import Notices
from newswire.core.state.op_index import MARKS, TOLD, OpIndex
from newswire.core.state.replacements import Replacements, Telling
from newswire.core.state.timetable import Timetable
from newswire.core.state.totals import Totals
from newswire.core.state.twins import Twin, Twins
from newswire.core.state.withdrawals import Lifetimes, Withdrawals


class TopicVoid(NamedTuple):
    """Of a topic, so many messages of an origin that are void, the last of them `last`; `row`: where the void stands."""

    row: int
    origin: str
    last: int
    messages: int


class TopicIndex:
    """Topics by number (from 1) and each one's visible messages by origin. Commit thread writes, under the state lock."""

    def __init__(self, log: OpIndex) -> None:
        self.log, self.lineage = log, log.lineage
        self.names: list[str] = [""]
        self.numbers: dict[str, int] = {}
        self.sequences: list[dict[str, array[int]]] = [{}]  # by topic number: origin -> sequences, ascending
        self.newest = array("I", (0,))  # by topic number: offset of the message that was applied last
        self.totals = Totals()
        self.horizons: dict[str, dict[str, int]] = {}  # by topic: what retention has dropped; also of topics not seen yet
        self.keys = Keys()
        self.twins = Twins()
        self.voids: dict[int, list[TopicVoid]] = {}  # by topic number, by offset: voids with messages of it
        self._by_twin: dict[int, tuple[Vector, int, list[int]]] = {}  # see `dropped_by_twin`, and what it was worked out for
        self._in_order: list[str] = []
        self.withdrawals = Withdrawals(log)
        self.lifetimes = Lifetimes()
        self.notices = Notices(log)
        self.replacements = Replacements()
        self.tellings: dict[int, Telling] = {}  # by row, ascending: withdrawals of which readers are told
        self._telling_rows: dict[int, list[int]] = {}  # by topic number, the same rows
        self.last_told: dict[int, dict[str, int]] = {}  # by topic number: by origin, the sequence of the last of these
        self._again: dict[OpId, int] = {}  # by its first id, the row at which a message that was stored again is shown
        self._copies: dict[OpId, list[int]] = {}  # and the rows of all that stored it again
        self._first_of: dict[int, OpId] = {}  # by each of these rows, the first id
        self.timetable = Timetable()

    def take_lifetimes(self) -> Lifetimes:
        """What nobody has asked for yet of messages that have a time; it is forgotten here."""
        lifetimes, self.lifetimes = self.lifetimes, Lifetimes()
        return lifetimes

    def number(self, topic: str) -> int:
        """The number of `topic`, given at its first message."""
        number = self.numbers.get(topic)
        if number is None:
            number = self.numbers[topic] = len(self.names)
            self.names.append(topic)
            self.sequences.append({})
            self.newest.append(0)
            self.totals.begin()
        return number

    def names_in_order(self) -> list[str]:
        """All topics by name. Any thread, without the state lock; sorted anew only as far as topics are new."""
        names = self._in_order
        newcomers = self.names[len(names) + 1 :]
        if newcomers:
            newcomers.sort()
            names = self._in_order = sorted(names + newcomers)  # two runs: they are merged
        return names

    def take(self, op: Published, offset: int) -> int:
        """APPLY msg, at `offset`: the number of its topic, 0 for what stays hidden: a twin of one in this log, or withdrawn."""
        number = self.numbers.get(op.topic) or self.number(op.topic)
        is_withdrawn = bool(self.withdrawals) and self.withdrawals.meet(op, offset)
        if op.expires:
            self.lifetimes.note(op, offset)
        shown_at = self._note_names(op, offset)
        if op.confirm or op.about:
            self.notices.note(op, offset)
        if op.confirm and (op.again or shown_at != offset):
            self._join_escalations([op.id, op.again, *(self.ids(shown_at) if shown_at != offset else ())])
        if op.replaces and op.replaces != op.id:
            self.replacements.note(op, offset)
            self.withdraw((op.replaces,))
        if op.again:
            self._settle_scheduled(op.again)
        if shown_at != offset:
            self.twins.add(number, self._twin(shown_at), Twin(op.origin, op.sequence, offset))
            self.totals.forget(number)
            if is_withdrawn:
                self._settle(number, shown_at)
            return 0
        if is_withdrawn:
            return 0
        self._add(number, op)
        self.newest[number] = offset
        return number

    def take_scheduled(self, op: Scheduled, row: int) -> None:
        """APPLY scheduled, at `row`: it waits, unless it was published or withdrawn, or is the twin of one that is here."""
        self.timetable.add(op, row)
        if self.withdrawals:
            self.withdrawals.meet(op, row)
        first = self._first_under_key(op, row) if op.key else row
        if first != row:
            self.twins.add(0, self._twin(first), self._twin(row))
        self._settle_scheduled(op.id)

    def scheduled_names(self, name: OpId) -> list[OpId]:
        """All ids of what was scheduled under this one; [] where nothing was, as far as is known here."""
        return list(dict.fromkeys(one for row in self._scheduled_rows(name) for one in self.timetable.names[row]))

    def waiting_as(self, name: OpId) -> Scheduled | None:
        """What waits to be published that was scheduled under this id, or a twin of it."""
        waiting = self.timetable.waiting
        return next((waiting[row] for row in self._scheduled_rows(name) if row in waiting), None)

    def _scheduled_rows(self, name: OpId) -> list[int]:
        """The rows of all ops that scheduled the same as the one of this id, ascending: twins, and what was stored again."""
        rows, todo = set[int](), list(self.timetable.rows.get(name, ()))
        while todo:
            row = todo.pop()
            if row not in rows:
                rows.add(row)
                todo += [twin.row for twin in self.twins.of(self.twins.first_row(row))]
                todo += [other for one in self.timetable.names[row] for other in self.timetable.rows[one]]
        return sorted(rows)

    def copies(self) -> dict[OpId, Sequence[int]]:
        """By first id the rows of all messages that were stored again or scheduled. Rows are only added, also later."""
        return dict(self._copies)

    def row_of_release(self, name: OpId) -> int | None:
        """The row at which what was scheduled under this id is shown, once it is published."""
        return next((self._again[one] for one in self.scheduled_names(name) if one in self._again), None)

    def earlier_ids(self, row: int) -> list[OpId]:
        """The ids under which the message shown at `row` was scheduled, or stored first; what they name may not be here."""
        rows = [twin.row for twin in self.twins.of(row)] or [row]
        firsts = {first for at in rows if (first := self._first_of.get(at))}
        return list(dict.fromkeys(name for first in sorted(firsts) for name in self.scheduled_names(first) or [first]))

    def _settle_scheduled(self, name: OpId) -> None:
        """Have what was scheduled under this id wait; or not, since it was published or withdrawn, under any of its ids."""
        names = self.scheduled_names(name)
        if not names:
            return
        first, *others = self._scheduled_rows(name)
        if self.is_spent(names):
            for row in (first, *others):
                self.timetable.end(row, is_over=True)
            rest = [one for one in names if not self.withdrawals.has(one)]
            if 0 < len(rest) < len(names):
                self.withdraw(rest)
            return
        self.timetable.wait(first)
        for row in others:
            self.timetable.end(row, is_over=False)

    def is_withdrawn(self, name: OpId) -> bool:
        """Say whether the message of this id is withdrawn, and not replaced."""
        return self.withdrawals.has(name) and self.replacements.row_of_newer(name) is None

    def is_spent(self, names: Iterable[OpId]) -> bool:
        """Say whether what was scheduled under these ids was published or withdrawn."""
        return any(one in self._again or self.withdrawals.has(one) for one in names)

    def _hide_scheduled(self, row: int) -> None:
        """What the op at `row` scheduled is given up; a twin of it waits from now on, or what was stored again."""
        others = [at for at in self._scheduled_rows(self.timetable.names[row][0]) if at != row]
        rest = [twin.row for twin in self.twins.of(row) if twin.row != row]
        is_first = self.twins.first_row(row) == row
        self.timetable.remove(row)
        self.twins.remove(row)
        if is_first:
            self.keys.move(row, rest[0] if rest else None)
        for other in others:
            self._settle_scheduled(self.timetable.names[other][0])

    def _note_names(self, op: Published, offset: int) -> int:
        """Note the key of `op` and its first id; return the row at which the message is shown, `offset` for a new one."""
        if op.again:
            self._copies.setdefault(op.again, []).append(offset)
            self._first_of[offset] = op.again
            if op.again in self._again:
                return self._again[op.again]
        shown_at = offset
        if op.about:
            shown_at = self.twins.first_row(self.notices.escalation(self._names_of(op.about), offset))
        elif op.key:
            shown_at = self._first_under_key(op, offset)
        if op.again:
            self._again[op.again] = shown_at
        return shown_at

    def _first_under_key(self, op: Published | Scheduled, row: int) -> int:
        """KEY: the row of the op that said the same under the key of `op` within a day; else `row`, which it names now."""
        mark, content_hash = fingerprint(op.publisher, op.topic, op.key), content(op)
        uses = (use.offset for use in self.keys.uses(mark) if use.content == content_hash)
        first = next((at for at in uses if self.is_same_day(at, op.time)), row)
        if first == row:
            self.keys.note(mark, content_hash, row)
        return first

    def take_run(self, run: MessageRun, offset: int) -> list[int] | None:
        """`take` many, the first at `offset`: the numbers of their topics.

        None, and nothing done, where one needs another that is in the log: its key is known. Also where some may be withdrawn.
        """
        if self.withdrawals.is_ahead_of(run.origin):
            return None
        if run.marks and not self.keys.note_run(run.marks, run.contents, offset):
            return None
        for at, milliseconds in run.lifetimes:
            self.lifetimes.add(offset + at, milliseconds)
        numbers = [self.numbers.get(name) or self.number(name) for name in run.names]
        rows_of: list[list[int]] = [[] for _ in numbers]  # by topic: where in the run its messages stand
        for row, at in enumerate(run.topics):
            rows_of[at].append(row)
        for name, number, rows in zip(run.names, numbers, rows_of, strict=True):
            by_origin = self.sequences[number]
            column = by_origin.get(run.origin)
            if column is None:
                column = by_origin[run.origin] = array("I")
            column.extend([run.first + row for row in rows])
            self.totals.add_run(number, [run.times[row] for row in rows], is_first_origin=len(by_origin) == 1)
            self._see_horizon(number, name, run.origin, run.first + rows[0])
            self.newest[number] = offset + rows[-1]
        return [numbers[at] for at in run.topics]

    def take_void(self, origin: str, messages: Mapping[str, tuple[int, int]], offset: int) -> None:
        """Note the messages in a void at `offset`: they stay counted."""
        for topic, (count, last) in messages.items():
            number = self.number(topic)
            self.voids.setdefault(number, []).append(TopicVoid(row=offset, origin=origin, last=last, messages=count))
            self.newest[number] = max(self.newest[number], offset)

    def void_rows(self, number: int, start: int) -> list[int]:
        """The rows from `start` on of voids with messages of a topic, ascending."""
        voids = self.voids.get(number, ())
        return [void.row for void in voids[bisect_left(voids, start, key=itemgetter(0)) :]]

    def _join_escalations(self, names: Iterable[OpId]) -> None:
        """Make one message of those about a message that turns out to have these ids: who published one knew of one id."""
        first, *others = sorted({self.twins.first_row(row) for row in self.notices.escalations(names)}) or [0]
        for row in others:
            self._join(first, row)

    def _join(self, first: int, row: int) -> None:
        """Make twins of the messages that stand at these rows: that at `first` stays."""
        number = self._number_at(first) or self._number_at(row)
        rows = [twin.row for twin in self.twins.of(row)] or [row]
        self._show(number, row, yes=False)
        for at in rows:
            self.twins.remove(at)
        for at in rows:
            self.twins.add(number, self._twin(first), self._twin(at))
        self.notices.move(row, first)
        self._again.update({name: first for name, shown_at in self._again.items() if shown_at == row})
        self.totals.forget(number)
        self._settle(number, first)

    def _number_at(self, row: int) -> int:
        return self.log.topics[row] or self.twins.topic_of(row)

    def hide(self, row: int) -> None:
        """Take out what the op at `row` published: it is void. A twin of it is shown from now on, if there is one."""
        if row in self.timetable.names:
            self._hide_scheduled(row)
            return
        log, first = self.log, self.twins.first_row(row)
        number = log.topics[row] or self.twins.topic_of(row)
        if number in TOLD or not (number or self.withdrawals.has_row(row)):
            return
        rest = [twin.row for twin in self.twins.of(first) if twin.row != row]
        self._show(number, first, yes=False)
        self.twins.remove(row)
        if first == row:
            heir = rest[0] if rest else None
            self.keys.move(row, heir)
            self.notices.move(row, heir)
            names = {name for at in (row, *rest) if (name := self._first_of.get(at))}
            for name in [name for name in names if self._again.get(name) == row]:
                if heir is not None:
                    self._again[name] = heir
                else:
                    del self._again[name]
        if rest:
            self._settle(number, rest[0])

    def withdraw(self, ids: Iterable[OpId]) -> None:
        """APPLY withdrawn(ids): the messages that these published, or that were stored again for them, are shown no more."""
        ids, log, gone = list(ids), self.log, dict[tuple[int, int], list[int]]()
        rows = self.withdrawals.note(ids)
        for copy in (row for name in ids for row in self._copies.get(name, ())) if self._copies else ():
            self.withdrawals.mark(copy)
            rows.append(copy)
        for first in map(self.twins.first_row, rows):
            number = log.topics[first]
            if number not in MARKS:
                log.topics[first] = 0
                gone.setdefault((number, log.origins[first]), []).append(log.sequences[first])
        for (number, origin), sequences in gone.items():
            self._take_out(number, log.names[origin], sequences)
        for name in ids if self.timetable.names else ():
            self._settle_scheduled(name)

    def tell(self, op: Withdrawn, row: int) -> None:
        """Note that readers of the topic of `op`, which stands at `row`, are told there what was withdrawn."""
        number = self.number(op.topic)
        self.tellings[row] = Telling(number=number, id=op.ids[0] if op.ids else "", original=op.original)
        self.last_told.setdefault(number, {})[op.origin] = op.sequence
        self._telling_rows.setdefault(number, []).append(row)

    def told_rows(self, numbers: Collection[int], start: int, most: int) -> list[int]:
        """The first rows from `start` on, `most` a topic, where readers of these topics are told of withdrawals."""
        rows_of = self._telling_rows
        fewer, others = (numbers, rows_of) if len(numbers) <= len(rows_of) else (rows_of, numbers)
        each = (rows_of[number] for number in fewer if number in others)
        firsts = ((rows, bisect_left(rows, start)) for rows in each)
        return [row for rows, first in firsts for row in rows[first : first + most]]

    def _settle(self, number: int, row: int) -> None:
        """Show the message whose first op stands at `row`, or not: it is withdrawn under the id of any of its twins."""
        rows = [twin.row for twin in self.twins.of(row)] or [row]
        self._show(number, row, yes=not any(map(self.withdrawals.has_row, rows)))

    def _show(self, number: int, row: int, *, yes: bool) -> None:
        """Have the op at `row` shown under its topic, or not."""
        log = self.log
        if yes == bool(log.topics[row]):
            return
        log.topics[row] = number if yes else 0
        origin, sequence = log.names[log.origins[row]], log.sequences[row]
        if yes:
            self.twins.changes += 1
            self.totals.forget(number)
            self.sequences[number][origin] = array("I", sorted([*self.sequences[number].get(origin, ()), sequence]))
            self.newest[number] = max(self.newest[number], row)
        else:
            self._take_out(number, origin, [sequence])

    def _take_out(self, number: int, origin: str, sequences: Iterable[int]) -> None:
        """Take these out of a topic's column, which is made anew: queries may look at the old one."""
        self.twins.changes += 1
        self.totals.forget(number)
        column, rest, start = self.sequences[number][origin], array("I"), 0
        for stop in sorted(bisect_left(column, sequence) for sequence in sequences):
            rest += column[start:stop]
            start = stop + 1
        rest += column[start:]
        self.sequences[number][origin] = rest
        if not rest:
            del self.sequences[number][origin]

    def name(self, row: int) -> OpId:
        """The id of the message that is shown at `row`."""
        at = self.name_row(row)
        return op_id(self.log.names[self.log.origins[at]], self.log.sequences[at])

    def original(self, row: int) -> OpId:
        """The first of the messages that were replaced one by the next up to that which is shown at `row`; itself, for none."""
        rows = [twin.row for twin in self.twins.of(row)] or [row]
        return next((one.original for at in rows if (one := self.replacements.of.get(at))), self.name(row))

    def ids(self, row: int) -> list[OpId]:
        """All ids of the message that is shown at `row`: of its twins, and from before they were stored again."""
        rows, log = [twin.row for twin in self.twins.of(row)] or [row], self.log
        own = [op_id(log.names[log.origins[one]], log.sequences[one]) for one in rows]
        return own + [notice.again for one in rows if (notice := self.notices.of.get(one)) and notice.again]

    def _names_of(self, name: OpId) -> list[OpId]:
        """`name`, and all other ids that the message has here."""
        row = self._again.get(name, self.log.row(*split_op_id(name)))
        return [name] if row is None else [name, *self.ids(self.twins.first_row(row))]

    def name_row(self, row: int) -> int:
        """The row whose op names the message that is shown at `row`: the smallest of its twins."""
        twins = self.twins.of(row)
        return min(twins).row if twins else row

    def _twin(self, row: int) -> Twin:
        return Twin(self.log.names[self.log.origins[row]], self.log.sequences[row], row)

    def is_same_day(self, offset: int, time: int) -> bool:
        """Say whether the message at `offset` was stamped within `limits.KEY_SECONDS` of `time` (ms), before or after."""
        return abs(self.log.times[offset] - time) <= limits.KEY_SECONDS * 1000

    def _add(self, number: int, op: Published) -> None:
        by_origin = self.sequences[number]
        if op.origin in by_origin:
            by_origin[op.origin].append(op.sequence)
        else:
            by_origin[op.origin] = array("I", (op.sequence,))
        self.totals.add(number, op.time, is_first_origin=len(by_origin) == 1)
        self._see_horizon(number, op.topic, op.origin, op.sequence)

    def _see_horizon(self, number: int, topic: str, origin: str, sequence: int) -> None:
        horizon = self.horizons.get(topic)
        if horizon is not None and not 0 < horizon.get(origin, 0) < sequence:
            self.totals.forget(number)  # it may be dropped already

    def drop(self, topic: str, vector: Vector) -> None:
        """APPLY dropped(topic, V): horizon[topic] := max(horizon, V)."""
        self.horizons[topic] = self.lineage.join(self.horizons.get(topic, {}), vector)
        if topic in self.numbers:
            self.totals.forget(self.numbers[topic])

    def is_dropped(self, number: int, row: int) -> bool:
        """Say whether retention removed the message that is shown at `row`, under the id of any of its twins."""
        horizon = self.horizons.get(self.names[number])
        twins = self.twins.of(row) or (self._twin(row),)
        return horizon is not None and any(self.lineage.covers(horizon, twin.origin, twin.sequence) for twin in twins)

    def dropped_by_twin(self, number: int) -> Sequence[int]:
        """The rows, ascending, of the messages of a topic that retention removed, but not under the id that is shown first."""
        horizon = self.horizons.get(self.names[number])
        if horizon is None or not self.twins.in_topic(number):
            return ()
        entry = self._by_twin.get(number)
        if entry is None or entry[0] is not horizon or entry[1] != self.twins.changes:
            full = self.lineage.expand(horizon)
            rows = [
                first.row
                for first, *twins in self.shown_twins(number)
                if full.get(first.origin, 0) < first.sequence
                and any(full.get(twin.origin, 0) >= twin.sequence for twin in twins)
            ]
            entry = self._by_twin[number] = (horizon, self.twins.changes, sorted(rows))
        return entry[2]

    def shown_twins(self, number: int) -> list[Sequence[Twin]]:
        """The messages of a topic that are shown and have twins: of each its ops, the one that is shown first."""
        return [twins for twins in self.twins.in_topic(number) if self.log.topics[twins[0].row]]

    def work_out(self, number: int) -> bool:
        """Put right what `totals` says of a topic; False where it was right."""
        version = self.lineage.version
        if self.totals.is_known(number, self.horizons.get(self.names[number]), version):
            return False
        self.totals.set(number, self.count(number), self.last(number, limits.TIME_MILLISECONDS), version)
        return True

    def last(self, number: int, latest: int) -> int:
        """The newest time stamp of a topic's messages, in ms: of each origin that of the last one (rules, CLOCK).

        One later than `latest` is of a clock that was ahead, and counts only where there is no other.
        """
        log = self.log
        rows = (log.row(origin, sequences[-1]) for origin, sequences in self.sequences[number].items())
        times = [log.times[self.name_row(row)] for row in rows if row is not None]
        return max([time for time in times if time <= latest] or times, default=0)

    def count(self, number: int) -> int:
        """How many messages of a topic retention has left."""
        columns = self.sequences[number]
        total, horizon = sum(map(len, columns.values())), self.horizons.get(self.names[number])
        if horizon is None:
            return total
        full = self.lineage.expand(horizon)
        dropped = sum(bisect_right(sequences, full.get(origin, 0)) for origin, sequences in columns.items())
        return total - dropped - len(self.dropped_by_twin(number))
