"""A log that is written anew beside the one in use: what of it stays, and the state that follows from that (COMPACT, ADOPT).

The core begins one and takes its state over when it is finished. In between a thread of the shell runs it: it reads records,
writes what `pieces` says, and hands back where that lies. The state is folded from what is written, as a start would fold it,
so what is in memory afterwards is what the files say. What is stored meanwhile lies behind the rewritten part, and comes last.

Nothing here is called under the state lock but `survey`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from msgspec import structs

from newswire.core import limits
from newswire.core.model.ops import Void, decode, encode
from newswire.core.model.vector import Vector
from newswire.core.state.fold import State
from newswire.core.state.keys import OFFSET_MASK
from newswire.core.state.leave_out import LeaveOut
from newswire.core.state.op_index import GIVEN_UP, MARKS, SILENT, VOID, WITHDRAWN, OpRecord
from newswire.core.state.prefix import Base, Prefix
from newswire.core.state.timetable import groups_of
from newswire.core.state.withdrawals import ROW_BITS, ROW_MASK, Ages, Ends


class Rewriting:
    """One rewriting. `adopts`: it takes in what another broker handed over, and leaves nothing out by itself."""

    def __init__(
        self,
        state: State,
        base: Base,
        now: Sequence[int] = (),
        offered: Collection[Void] = (),
        offered_vector: Vector | None = None,
        ends: Ends | None = None,
        *,
        old: int = limits.TIME_MILLISECONDS,
        span: int = 0,
    ) -> None:
        """Begin, under the state lock: nothing is staged, and nothing waits to be applied.

        `base`: what may be left out; `now`: what the time may be said to be (ms). `offered`: the voids that were handed over,
        with `offered_vector`, what their broker holds. `ends`: of what is in the log now. What is left out is one void where
        it was stamped within `span` ms, or before `old` (ms).
        """
        self.state = State()
        self.adopts = offered_vector is not None
        self.stopped = False  # the core wants it no more: the shell ends it, and says that it failed
        self.bytes_before = self.bytes_after = 0  # of the log, by the shell
        self.rows_before = len(state.log)
        self.rows_after = 0
        self.cut_after = 0  # rows of the new log that stand for those before `cut`
        self.tail: deque[OpRecord] = deque()  # what was stored since, in the order of the file: the core appends
        self._offered_vector: Vector = offered_vector or {}
        self.ends: list[int] = []  # when `check` is through: of all messages before `cut_after` that have a time, ascending
        self._ends_before = ends
        self._vector, self._held, self._base, self._now = dict(state.vector), state.log.full, base, now
        self._old, self._span = old, span
        self._prefix = Prefix(len(state.log))
        self._left = bytearray(len(state.log))
        self._loose: list[OpRecord] = [*state.open_batches.records(), *state.holes.records()]
        self._waiting = {(op.origin, op.sequence) for op, _, _ in self._loose if not isinstance(op, Void)}
        self._loose_voids = [op for op, _, _ in self._loose if isinstance(op, Void)]
        self._void_messages: Mapping[int, Mapping[str, tuple[int, int]]] = state.log.void_messages
        self._offered = offered
        self._ranges: Mapping[str, Sequence[Void]] = {}  # ADOPT: void here or there, by origin
        self._firsts: Mapping[int, int] = {}  # by row of a void, the first op in it
        self._written: dict[str, int] = {}  # of `_ranges`, by origin: how many
        self._voids_count = 0  # in the new log
        self._handed: dict[str, int] = {}  # ops; voids may wait, as they did there
        self._takes_handed = False

    @property
    def cut(self) -> int:
        """How many rows of the log are written anew."""
        return self._prefix.cut

    # -- what stays

    def survey(self, state: State) -> Generator[Callable[[], Any] | None, Any, None]:
        """Copy what is needed to decide: `core.read.pieces`, under the state lock."""
        log, prefix, cut = state.log, self._prefix, self._prefix.cut
        prefix.places = log.places[:cut]
        yield None
        prefix.times = log.times[:cut]
        yield None
        prefix.lengths, prefix.origins = log.lengths[:cut], log.origins[:cut]
        yield None
        prefix.sequences, prefix.topics = log.sequences[:cut], log.topics[:cut]
        prefix.origin_names, prefix.topic_names = log.names, state.messages.names  # these only grow
        scheduled, prefix.copies = dict(state.messages.timetable.names), state.messages.copies()
        twins = state.messages.twins.rows()
        prefix.twins = [rows for rows in twins if rows[0] not in scheduled]
        unreadable = [row for row in log.unreadable if row < cut]
        prefix.unreadable = frozenset(
            row for row in unreadable if state.voids.has(log.names[log.origins[row]], log.sequences[row])
        )
        yield None
        if self.adopts:
            self._ranges = yield lambda: _by_origin([*log.voids(), *self._loose_voids, *self._offered])
            given_up = ((log.names[log.origins[row]], log.sequences[row]) for row in prefix.unreadable)
            single = sum(not self._is_in_void(*name) for name in given_up)
            self._voids_count = sum(map(len, self._ranges.values())) + single
            return
        same = [rows for rows in twins if rows[0] in scheduled]
        prefix.scheduled = yield partial(groups_of, scheduled, same, prefix.copies)
        self._firsts = yield log.void_firsts
        prefix.asking = {notice.id: row for row, notice in state.messages.notices.of.items()}
        prefix.pinned = frozenset(state.messages.notices.pinned())
        prefix.replacing = {row: one.target for row, one in state.messages.replacements.of.items()}
        prefix.sign_ins = {what: rows[: bisect_left(rows, cut)] for what, rows in state.sign_ins.items()}
        prefix.keyed = bytearray(cut)
        for entries in state.messages.keys.entries():
            yield partial(_mark, prefix.keyed, entries)

    def to_look_at(self) -> Iterator[list[tuple[int, int]]]:
        """Place and length of the records that `look` is to be given, some at a time, in order."""
        for rows in _cut(self._rows_to_look_at(), limits.RECALL_OPS):
            self._asked = rows
            yield [(self._prefix.places[row], self._prefix.lengths[row]) for row in rows]

    def _rows_to_look_at(self) -> Iterator[int]:
        if not self.adopts:
            prefix = self._prefix
            passed = bytearray(prefix.cut)
            for row in chain(prefix.unreadable, *prefix.sign_ins.values()):
                passed[row] = 1
            yield from (row for row, topic in enumerate(prefix.topics) if topic in (0, GIVEN_UP, WITHDRAWN) and not passed[row])

    def look(self, raws: Iterable[bytes]) -> None:
        """Take the records that `to_look_at` named last."""
        self._prefix.ops.update(zip(self._asked, map(decode, raws), strict=True))

    def choose(self) -> Iterator[None]:
        """Decide what is left out, in steps of some milliseconds."""
        if self.adopts:
            return
        retention = self._ends_before.at.retention if self._ends_before is not None else 0
        choice = LeaveOut(self._prefix, self._base, self._held, self._now, retention)
        yield from choice.run()
        self._left = choice.left
        self._prefix.ops.clear()

    # -- what is written

    def pieces(self) -> Iterator[list[tuple[int, int] | bytes]]:
        """What to write, in order and some at a time: place and length of a record that stays, or a record that is new."""
        prefix = self._prefix
        piece: list[tuple[int, int] | bytes] = []
        size = 0
        for entry in self._entries():
            part = self._record(entry) if isinstance(entry, Void) else (prefix.places[entry], prefix.lengths[entry])
            size += part[1] if isinstance(part, tuple) else len(part)
            piece.append(part)
            if len(piece) >= limits.PIECE_OPS or size >= limits.PUSH_BYTES:
                yield piece
                piece, size = [], 0
        for op, place, length in self._loose:  # kept apart: of no effect before the rest is there
            if isinstance(op, Void):
                piece += map(self._record, self._next_voids(op.origin, op.sequence))
            elif not self._is_in_void(op.origin, op.sequence):
                piece.append((place, length))
        yield piece
        self._takes_handed = True

    def _entries(self) -> Iterator[int | Void]:
        """The new log: rows of the old one, and voids, each where the first of its ops stood."""
        if self.adopts:
            yield from self._merged()
            return
        entries: list[int | _Growing] = []
        growing: dict[int, _Growing] = {}  # by origin number, if its last entry is a void
        stamps: dict[int, int] = {}  # by origin number, of its last row
        prefix = self._prefix
        for row, (number, sequence, topic) in enumerate(zip(prefix.origins, prefix.sequences, prefix.topics, strict=True)):
            is_void, time = topic in (VOID, SILENT), prefix.times[row]
            since, stamps[number] = stamps.get(number, 0) if is_void else time, time
            if not (is_void or self._left[row]):
                growing.pop(number, None)
                entries.append(row)
                continue
            first = self._firsts[row] if is_void else sequence
            messages: Mapping[str, tuple[int, int]] = self._void_messages.get(row, {})
            if topic not in MARKS:
                messages = {prefix.topic_names[topic]: (1, sequence)}
            void = growing.get(number)
            if void is None or void.last != first - 1 or not self._is_near(void.since, time):
                void = growing[number] = _Growing(prefix.origin_names[number], first, since)
                entries.append(void)
            void.grow(sequence, time, messages)
        parts: list[Sequence[int | Void]] = [(entry,) if isinstance(entry, int) else entry.voids() for entry in entries]
        self._voids_count = sum(map(len, parts)) - sum(isinstance(entry, int) for entry in entries)
        yield from chain.from_iterable(parts)

    def _is_near(self, since: int, time: int) -> bool:
        """Whether a void may last from `since` to `time` (ms).

        What stands behind it is as old as its last op, by which a log that is compacted each day would never be old enough.
        """
        return time < self._old or abs(time - since) <= self._span

    def _merged(self) -> Iterator[int | Void]:
        """ADOPT: void at either is void, and so is what was given up and cannot be read."""
        prefix = self._prefix
        for row, (number, sequence) in enumerate(zip(prefix.origins, prefix.sequences, strict=True)):
            origin = prefix.origin_names[number]
            yield from self._next_voids(origin, sequence)
            if self._is_in_void(origin, sequence):
                continue
            yield Void(origin, sequence, prefix.times[row], first=sequence) if row in prefix.unreadable else row

    def _record(self, void: Void) -> bytes:
        return encode(structs.replace(void, of=self._voids_count))

    def _next_voids(self, origin: str, sequence: int) -> Iterator[Void]:
        """The voids that begin up to this op and have yet to be written. They are now."""
        voids, count = self._ranges.get(origin, ()), self._written.get(origin, 0)
        while count < len(voids) and voids[count].first <= sequence:
            yield voids[count]
            count += 1
            self._written[origin] = count

    def _is_in_void(self, origin: str, sequence: int) -> bool:
        voids = self._ranges.get(origin, ())
        at = bisect_right(voids, sequence, key=attrgetter("first")) - 1
        return at >= 0 and sequence <= voids[at].sequence

    def merge(self, raws: Iterable[bytes]) -> list[bytes]:
        """Of records that were handed over those that are to be written: what is not here yet, nor waits. Behind `pieces`."""
        rest: list[bytes] = []
        for raw in raws:
            op = decode(raw)
            rest += map(self._record, self._next_voids(op.origin, op.sequence))
            if not self._is_in_void(op.origin, op.sequence):
                self._handed[op.origin] = max(op.sequence, self._handed.get(op.origin, 0))
                if op.sequence > self.state.extent(op.origin) and (op.origin, op.sequence) not in self._waiting:
                    rest.append(raw)
        return rest

    def take(self, raws: Sequence[bytes], places: Sequence[tuple[int, int]]) -> None:
        """Fold what was written, which lies there."""
        self.state.replay([(decode(raw), place, length) for raw, (place, length) in zip(raws, places, strict=True)])

    def check(self) -> str:
        """Why what was written must not be used, in a sentence; "" if it may. Before it is made to count."""
        state = self.state
        state.revive(None)
        state.subscriptions.forget_void()
        state.messages.notices.forget_void(state.messages.copies().keys())
        self.cut_after = self.rows_after = len(state.log)
        self._find_ends()
        if state.lacks_voids:
            return "what was written does not say all that is void"
        if not self.adopts:
            same = dict(state.log.full) == dict(self._held) and not state.holes.waiting
            return "" if same else "what was written does not hold what the log held"
        if not (state.log.holds(self._vector) and state.log.holds(self._offered_vector)):
            return "what was handed over is less than what was offered"
        if any(state.extent(origin) < sequence for origin, sequence in self._handed.items()):
            return "what was handed over has a hole"
        return ""

    def _find_ends(self) -> None:
        """Find when each message that has a time is over, by where it stands now. What was not held is left as it is."""
        prefix, log, before = self._prefix, self.state.log, self._ends_before
        if before is None:
            return
        ends: dict[int, int] = {}  # by row, in ms that the run has lasted
        for entry in before.entries:
            row = entry & ROW_MASK
            if row < prefix.cut:
                now_at = log.row(prefix.origin_names[prefix.origins[row]], prefix.sequences[row])
                if now_at is not None:
                    ends[now_at] = entry >> ROW_BITS
        ages = Ages(log)
        for row, lifetime in self.state.messages.take_lifetimes().all():
            if row not in ends and log.sequences[row] > self._held.get(log.names[log.origins[row]]):
                self.state.messages.lifetimes.add(row, lifetime)  # it was handed over, and comes when this counts
                continue
            while row not in ends:
                if (end := ages.end(row, lifetime, before.at)) is not None:
                    ends[row] = end
        self.ends = sorted(end << ROW_BITS | row for row, end in ends.items())

    def catch_up(self) -> bool:
        """Fold some of what was stored meanwhile; False: hardly anything is left, which the core folds when it takes over."""
        count = min(len(self.tail), limits.PIECE_OPS)
        self.state.replay([self.tail.popleft() for _ in range(count)])
        return len(self.tail) > limits.PIECE_OPS


class _Growing:
    """A void that goes on with each next op of its origin that is left out. `since`: no later than the stamp of the first."""

    def __init__(self, origin: str, first: int, since: int) -> None:
        self.origin, self.first, self.last, self.since, self.time = origin, first, first - 1, since, 0
        self.messages: dict[str, tuple[int, int]] = {}

    def grow(self, last: int, time: int, messages: Mapping[str, tuple[int, int]]) -> None:
        self.last, self.time = last, time
        for topic, (count, sequence) in messages.items():
            self.messages[topic] = (count + self.messages.get(topic, (0, 0))[0], sequence)

    def voids(self) -> list[Void]:
        """It, cut into as many as have room for its topics: each of these is counted where the last message of it is.

        So there is one entry a topic, however many messages it had: cut where they fill up, a log of more topics than one void
        may have would keep an entry for nearly each message that ever was.
        """
        topics = sorted(self.messages.items(), key=lambda entry: entry[1][1])
        first, voids = self.first, list[Void]()
        for at in range(0, max(len(topics), 1), limits.VOID_TOPICS):
            part = topics[at : at + limits.VOID_TOPICS]
            last = part[-1][1][1] if at + limits.VOID_TOPICS < len(topics) else self.last
            voids.append(Void(origin=self.origin, sequence=last, time=self.time, first=first, messages=dict(part)))
            first = last + 1
        return voids


def _mark(marks: bytearray, entries: Iterable[int]) -> None:
    for entry in entries:
        if (offset := entry & OFFSET_MASK) < len(marks):
            marks[offset] = 1


def _cut(rows: Iterator[int], most: int) -> Iterator[list[int]]:
    while part := list(islice(rows, most)):
        yield part


def _by_origin(voids: Iterable[Void]) -> dict[str, list[Void]]:
    """What is void by any of these, by origin and ascending; none overlap.

    Where two do, each part is counted by the one that begins first; what the other has beyond is at most so many.
    """
    ranges: dict[str, list[Void]] = {}
    for void in sorted(voids, key=lambda one: (one.origin, one.first, -one.sequence)):
        mine = ranges.setdefault(void.origin, [])
        last = mine[-1].sequence if mine else 0
        if void.first > last:
            mine.append(void)
        elif void.sequence > last:
            rest = void.sequence - last
            messages = {name: (min(count, rest), at) for name, (count, at) in void.messages.items() if at > last}
            mine.append(structs.replace(void, first=last + 1, messages=messages))
    return ranges
