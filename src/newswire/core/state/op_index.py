"""The log as a broker knows it in memory: what stands at each offset, in 40 bytes a record.

An offset counts this broker's own records; other brokers have theirs in another order. The bytes of a record lie where
the engine put them (`place` and `length`, opaque here). Columns are arrays: a million records cost megabytes, not
objects. Written by the commit thread under the state lock, read under it.

Longer than other rooms: the columns, and all that is asked of them, must agree.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Final

from newswire.core import limits
from newswire.core.model.ops import Lost, Op, Void
from newswire.core.model.vector import FullVector, Lineage, Vector
from newswire.core.state.sparse import Offsets, SparseOffsets

# What stands for a topic in rows that are no messages, beside 0
GIVEN_UP: Final = 2**32 - 1  # of a `lost` op: readers of any topic are told there
VOID: Final = 2**32 - 2  # of a void with messages: readers of their topics are told there
SILENT: Final = 2**32 - 3  # of a void without
WITHDRAWN: Final = 2**32 - 4  # of a `withdrawn` of which readers of its topic are told there
MARKS: Final = frozenset((0, GIVEN_UP, VOID, SILENT, WITHDRAWN))
TOLD: Final = frozenset((GIVEN_UP, VOID, WITHDRAWN))  # readers are told of something there
_CHECKPOINT: Final = limits.CHECKPOINT_ROWS

OpRecord = tuple[Op, int, int]  # an op, and place and length of its record


class OpIndex:
    """Columns by offset, and for each origin its offsets in sequence order."""

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.places = array("Q")
        self.lengths = array("I")
        self.origins = array("I")  # index into `names`
        self.sequences = array("I")
        self.topics = array("I")  # a visible message's topic index (messages.py), 0 for everything else
        self.times = array("Q")  # milliseconds
        self.names, self.numbers = lineage.names, lineage.numbers
        self.offsets_of: list[Offsets] = []  # by origin number: the offset of each sequence, from 1
        self.given_up: list[tuple[int, Lost]] = []  # the rows of `lost` ops, ascending
        self.void_reach: dict[str, int] = {}  # of origins with voids: the last void op
        self.void_messages: dict[int, Mapping[str, tuple[int, int]]] = {}  # by offset of a void: see `ops.Void`
        self._begun_at = array("Q")  # by origin number: the stamp of its first op, 0 where that is void
        self._falls: dict[int, list[int]] = {}  # by origin number: after how many records a stamp lies before the last one
        self._vector: dict[str, int] = {}
        self._full = FullVector(lineage)  # what `_vector` covers, but for what grew since:
        self._grown: dict[str, int] | None = {}  # by origin; None: an origin began, work it out anew
        self._checkpoints: list[Vector] = [{}]
        self._filled: set[int] = set()  # numbers of origins of which some ops are void
        self._own: dict[int, array[int]] = {}  # by number of an origin of which something was given up: its own records
        self._jumps: dict[int, dict[str, int]] = {}  # by offset: origins that reach further there, over what was given up
        self._lacking: dict[
            int, tuple[FullVector, int, int]
        ] = {}  # by identity: (holds, length of the log, how many it lacked)
        self._void_vector: Vector | None = {}  # None: work it out anew
        self.unreadable: dict[int, None] = {}  # offsets whose record the disk does not give back, as far as known
        self._looked_up: tuple[int, Vector] = (0, {})  # the vector that was asked for last: live streams stand at one place

    def __len__(self) -> int:
        return len(self.places)

    @property
    def vector(self) -> Vector:
        """The vector of everything in the log, short."""
        return self._vector

    def held(self, origin: str) -> int:
        """The highest sequence of `origin` in the log, 0 for none."""
        number = self.numbers.get(origin)
        return 0 if number is None else len(self.offsets_of[number])

    @property
    def holds_nothing(self) -> bool:
        """Whether there are no ops here but `began`."""
        return len(self.places) == len(self.names)

    def holds(self, vector: Vector) -> bool:
        """Say whether all that `vector` lists is in the log, and so all that it implies."""
        return all(self.held(origin) >= sequence for origin, sequence in vector.items())

    @property
    def full(self) -> FullVector:
        """Every origin with its highest sequence."""
        if self._grown is None:
            self._full = self.lineage.expand(self._vector)
        elif self._grown:
            self._full = self._full.raise_to(self._grown)
        self._grown = {}
        return self._full

    def add(self, origin: str, sequence: int, time: int, topic: int, place: int, length: int) -> int:
        """Append one record, whose `began` (if it is one) the lineage knows already; return its offset."""
        offset = len(self.places)
        number = self.number(origin)
        self.places.append(place)
        self.lengths.append(length)
        self.origins.append(number)
        self.sequences.append(sequence)
        self.topics.append(topic)
        self.times.append(time)
        self._note_fall(number, time)
        self.offsets_of[number].append(offset)
        if number in self._own:
            self._own[number].append(offset)
        if sequence == 1:
            self._begun_at[number] = time
            self.lineage.renew(self._vector, origin)
            self._grown = None
        else:
            self._vector[origin] = sequence
            if self._grown is not None:
                self._grown[origin] = sequence
        if (offset + 1) % _CHECKPOINT == 0:
            self._checkpoints.append(dict(self._vector))
        return offset

    def add_run(
        self, origin: str, times: Sequence[int], topics: Sequence[int], places: Sequence[int], lengths: Sequence[int]
    ) -> None:
        """Append the next records of an origin that has begun, all at once: what recovery is made of."""
        count, start = len(places), len(self)
        number = self.number(origin)
        offsets, records = self.offsets_of[number], self._records_of(number)
        first = len(offsets) + 1
        self.places.extend(places)
        self.lengths.extend(lengths)
        self.origins.extend(array("I", (number,)) * count)
        self.sequences.extend(range(first, first + count))
        self.topics.extend(topics)
        self.times.extend(times)
        stamps = [*(self.times[row] for row in records[-1:]), *times]
        if sorted(stamps) != stamps:
            falls = (at for at, (one, next_one) in enumerate(pairwise(stamps), len(records) or 1) if next_one < one)
            self._falls.setdefault(number, []).extend(falls)
        offsets.extend(range(start, start + count))
        if number in self._own:
            self._own[number].extend(range(start, start + count))
        for mark in range((start // _CHECKPOINT + 1) * _CHECKPOINT, start + count + 1, _CHECKPOINT):
            self._checkpoints.append({**self._vector, origin: first + mark - start - 1})
        self._vector[origin] = first + count - 1
        if self._grown is not None:
            self._grown[origin] = first + count - 1

    def add_void(self, op: Void, place: int, length: int) -> int:
        """Append a void, which begins right behind what is held of its origin or in it; return its offset."""
        number, origin = self.number(op.origin), op.origin
        offsets = self.offsets_of[number]
        count = op.sequence - len(offsets)
        if not offsets:
            self._grown = None
        if isinstance(offsets, array):
            offsets = self.offsets_of[number] = SparseOffsets(offsets)
        self._filled.add(number)
        self.void_reach[origin] = op.sequence
        self._void_vector = None
        row = len(self.places)
        self._note_fall(number, op.time)
        offsets.add_void(row, count)
        if number in self._own:
            self._own[number].append(row)
        for column, value in (
            (self.places, place),
            (self.lengths, length),
            (self.origins, number),
            (self.sequences, op.sequence),
            (self.topics, VOID if op.messages else SILENT),
            (self.times, op.time),
        ):
            column.append(value)
        if op.messages:
            self.void_messages[row] = op.messages
        self._vector[origin] = op.sequence
        if self._grown is not None:
            self._grown[origin] = op.sequence
        if (row + 1) % _CHECKPOINT == 0:
            self._checkpoints.append(dict(self._vector))
        return row

    def go_on_with(self, lineage: Lineage) -> None:
        """Have another lineage, which says the same: what is known by it elsewhere stays right."""
        self.lineage, self.names, self.numbers = lineage, lineage.names, lineage.numbers
        self._full, self._grown, self._lacking = FullVector(lineage), None, {}

    @property
    def void_vector(self) -> Vector:
        """What lists the last void op of each origin, short: who holds all of that holds every void op."""
        if self._void_vector is None:
            self._void_vector = self.lineage.shorten(self.void_reach)
        return self._void_vector

    def is_void(self, origin: str, sequence: int) -> bool:
        """Say whether an op is held here and was compacted."""
        number = self.numbers.get(origin)
        if number is None or not 0 < sequence <= self.void_reach.get(origin, 0):
            return False
        return self.topics[self.offsets_of[number][sequence - 1]] in (VOID, SILENT)

    def has_void(self, origin: str, first: int, last: int) -> bool:
        """Say whether some op of this range was compacted."""
        if origin not in self.void_reach:
            return False
        offsets = self.offsets_of[self.numbers[origin]]
        return isinstance(offsets, SparseOffsets) and offsets.has_void(first, last)

    def void_firsts(self) -> dict[int, int]:
        """By offset of a void, the first op in it. They change no more."""
        offsets = (self.offsets_of[self.numbers[origin]] for origin in self.void_reach)
        return {row: first for one in offsets if isinstance(one, SparseOffsets) for first, _, row in one.voids()}

    def voids(self) -> Iterator[Void]:
        """All voids, as records. They change no more."""
        for origin in self.void_reach:
            offsets = self.offsets_of[self.numbers[origin]]
            for first, last, row in offsets.voids() if isinstance(offsets, SparseOffsets) else ():
                messages = self.void_messages.get(row, {})
                yield Void(origin=origin, sequence=last, time=self.times[row], first=first, messages=messages)

    def fill(self, origin: str, last: int) -> None:
        """Have `origin` reach `last`, from the newest record on: what of it is no record is void, and stands there."""
        number, row = self.number(origin), len(self) - 1
        offsets = self.offsets_of[number]
        if not offsets:
            self._grown = None
        if number not in self._own:
            self._own[number] = self._records_of(number)[:]
        offsets.extend([row] * (last - len(offsets)))
        self._filled.add(number)
        self._lacking = {}
        self._jumps.setdefault(row, {})[origin] = last
        self._vector[origin] = last
        if self._grown is not None:
            self._grown[origin] = last
        if (row + 1) % _CHECKPOINT == 0:
            self._checkpoints[-1] = dict(self._vector)

    def row(self, origin: str, sequence: int) -> int | None:
        """The offset of an op; None if it is not held, or void."""
        number = self.numbers.get(origin)
        if number is None or not 0 < sequence <= len(self.offsets_of[number]):
            return None
        row = self.offsets_of[number][sequence - 1]
        return row if self._is_at(row, number, sequence) else None

    def rows(self, origin: str, first: int, last: int) -> list[int]:
        """Offsets of what is held of a range and can be read, as many as one push carries."""
        number = self.numbers.get(origin)
        if number is None:
            return []
        offsets = self.offsets_of[number][first - 1 : min(last, first - 1 + limits.PUSH_OPS)]
        rows_there = (row for sequence, row in enumerate(offsets, first) if self._is_at(row, number, sequence))
        return [row for row in rows_there if row not in self.unreadable]

    def where(self, rows: Iterable[int]) -> list[tuple[int, int]]:
        """Place and length of the records at these offsets."""
        places, lengths = self.places, self.lengths
        return [(places[row], lengths[row]) for row in rows]

    def _is_at(self, row: int, number: int, sequence: int) -> bool:
        """Say whether an op stands at the offset that its origin has for it: a void one does not."""
        return (
            self.sequences[row] == sequence
            and self.origins[row] == number
            and not (number in self._filled and self.topics[row] in (VOID, SILENT))
        )

    def find_place(self, place: int) -> int | None:
        """The offset of the record at `place`; None for none, or none any more."""
        row = bisect_left(self.places, place)  # they ascend, but for those that were healed
        if self.places[row : row + 1] == array("Q", (place,)):
            return row
        try:
            return self.places.index(place)
        except ValueError:
            return None

    def forget_began(self, origin: str) -> None:
        """Have nothing follow from `origin` any more: its `began` is void. Vectors then list what they left out."""
        full = [dict(self.lineage.expand(vector)) for vector in (self._vector, *self._checkpoints)]
        self._void_vector = None
        self.lineage.forget(origin)
        self._vector, *marks = [self.lineage.shorten(vector) for vector in full]
        self._checkpoints = list(marks)
        self._grown, self._looked_up, self._lacking = None, (0, {}), {}

    def number(self, origin: str) -> int:
        """The number of `origin`, given at its first record."""
        number = self.lineage.number(origin)
        if number == len(self.offsets_of):
            self.offsets_of.append(array("I"))
            self._begun_at.append(0)
        return number

    def vector_at(self, offset: int) -> dict[str, int]:
        """The short vector of the first `offset` records."""
        if offset >= len(self):
            return dict(self._vector)
        mark = offset // _CHECKPOINT
        start, vector = self._looked_up
        if not mark * _CHECKPOINT <= start <= offset:
            start, vector = mark * _CHECKPOINT, self._checkpoints[mark]
        result = self.advance(dict(vector), start, offset)
        self._looked_up = (offset, dict(result))
        return result

    def advance(self, vector: dict[str, int], start: int, stop: int) -> dict[str, int]:
        """The vector at `stop`, given (and perhaps changing) the one at `start`."""
        names, jumps, origins, sequences = self.names, self._jumps, self.origins, self.sequences
        if stop - start == 1:  # from one message to the next
            steps: Iterable[tuple[int, int]] = ((origins[start], sequences[start]),)
        else:
            steps = zip(origins[start:stop], sequences[start:stop], strict=True)
        for row, (number, sequence) in enumerate(steps, start):
            if sequence == 1:
                self.lineage.renew(vector, names[number])
            else:
                vector[names[number]] = sequence
            if row in jumps:
                vector.update(jumps[row])
        return vector

    def first_not_covered(self, full: FullVector) -> int:
        """The offset of the first record that this does not cover; the end for none."""
        first = len(self)
        for number, has in self.full.beyond(full):
            offsets = self.offsets_of[number]
            if offsets[0] >= first:
                break  # origins stand in the order of their first records
            first = min(first, offsets[has])
        return first

    def end_of(self, vector: Vector) -> int:
        """The offset from which on the records before it cover `vector`, which is of what is held."""
        offsets = (self.offsets_of[self.numbers[name]][sequence - 1] for name, sequence in vector.items())
        return max(offsets, default=-1) + 1

    def lacking(self, holds: FullVector, most_ops: int, most_bytes: int) -> list[int]:
        """Offsets, in log order, of the first ops that a broker that holds so much lacks: it can take them as they come.

        Looks at no more origins than it takes ops from and a few: an origin stands in no record before its first.
        """
        ends = self._readable_ends(holds) if self.unreadable else {}
        rows: list[int] = []
        last = len(self)
        for number, has in self.full.beyond(holds):
            offsets = self.offsets_of[number]
            if offsets[0] > last:
                break
            part = offsets[has : min(has + most_ops, ends.get(number, len(offsets)))]
            if self.unreadable:  # what is left of it was given up, which the other knows
                part = array("I", (row for row in part if row not in self.unreadable))
            if has < self.void_reach.get(self.names[number], 0):  # what is behind a void is not taken before it
                part = array("I", takewhile(self._is_op, part))
            rows.extend(part)
            if len(rows) > 2 * most_ops:
                rows = sorted(rows)[:most_ops]
                last = rows[-1]
        return self.cut(sorted(set(rows) if self._jumps else rows)[:most_ops], most_bytes)

    def _is_op(self, row: int) -> bool:
        return self.topics[row] not in (VOID, SILENT)

    def _readable_ends(self, holds: FullVector) -> dict[int, int]:
        """How far a broker that holds so much can be brought, in the origins that what cannot be read here cuts short."""
        ends: dict[int, int] = {}
        for row in self.unreadable:
            number, sequence = self.origins[row], self.sequences[row]
            if holds.get(self.names[number]) < sequence and not self._is_known_void(holds, number, sequence):
                ends[number] = min(sequence - 1, ends.get(number, sequence))
        for number, has in self.full.beyond(holds) if ends else ():
            pairs = () if has else self.lineage.named(number)
            if any(ends.get(one, last) < last and holds.get(self.names[one]) < last for one, last in pairs):
                ends[number] = 0  # its `began` would not be taken
        return ends

    def _is_known_void(self, holds: FullVector, number: int, sequence: int) -> bool:
        """Whether who holds so much knows that an op was given up."""
        losses = (op for _, op in self.given_up if op.source == self.names[number] and op.first <= sequence <= op.last)
        return any(op.sequence <= holds.get(op.origin) for op in losses)

    def cut(self, rows: list[int], most_bytes: int) -> list[int]:
        """As many of these as one push carries: the first always, then by bytes, and by origins that begin."""
        size = begin = 0
        for count, row in enumerate(rows):
            size += self.lengths[row]
            begin += self.sequences[row] == 1
            if count and (size > most_bytes or begin > limits.PUSH_ORIGINS):
                return rows[:count]
        return rows

    def count_lacking(self, holds: FullVector) -> int:
        """How many ops a broker that holds so much lacks."""
        if not holds:
            return len(self)
        before, length, count = self._lacking.pop(id(holds), (holds, 0, 0))
        if length and before is holds and len(self) - length <= _CHECKPOINT:  # a broker that is away holds what it held
            since = zip(self.origins[length:], self.sequences[length:], strict=True)
            count += sum(holds.get(self.names[number]) < sequence for number, sequence in since)
        else:
            count = sum(len(self.offsets_of[number]) - has for number, has in self.full.beyond(holds))
        while len(self._lacking) >= limits.PEERS_COUNT:
            del self._lacking[next(iter(self._lacking))]
        self._lacking[id(holds)] = holds, len(self), count
        return count

    def before(self, time: int, now: int = limits.TIME_MILLISECONDS) -> dict[str, int]:
        """The vector of what was taken before `time` (ms), as far as stamps say it.

        Per origin: what stands before its first op that was stamped then or later. One from the future (of `now`, ms) is of a
        clock that was ahead: it was taken no earlier than what stands before it, and no later than what follows. Looks at the
        origins that began since, and at those that no later one implies.
        """
        short, implied = dict[str, int](), FullVector(self.lineage)
        numbers = self._begun(time, now)  # from the highest down: what an origin implies has smaller numbers
        while (number := next(numbers, None)) is not None:
            name = self.names[number]
            reached = implied.get(name)
            if reached < len(self.offsets_of[number]) and reached < (count := self._count_before(number, time, now)):
                short[name] = count
                if not reached and self.lineage.names_any(number):  # else nothing follows that is not implied yet
                    implied = implied.join(self.lineage.expand({name: count}))
                if len(short).bit_count() == 1:  # seldom enough, as it looks at all that is left
                    numbers = reversed(list(takewhile(number.__gt__, (n for n, _ in self.full.beyond(implied)))))
        return short

    def _begun(self, time: int, now: int) -> Iterator[int]:
        """The numbers of origins whose first stamp lies before `time`, or is from the future, from the highest down."""
        for stop in range(len(self._begun_at), 0, -_CHECKPOINT):
            start = max(0, stop - _CHECKPOINT)
            stamps = self._begun_at[start:stop]
            if min(stamps) < time or max(stamps) > now:
                yield from (stop - at for at, stamp in enumerate(reversed(stamps), 1) if stamp < time or stamp > now)

    def _count_before(self, number: int, time: int, now: int) -> int:
        records, stamp = self._records_of(number), self.times.__getitem__
        count = len(records)
        runs = list(pairwise([0, *self._falls.get(number, ()), count]))  # in each, stamps ascend
        for start, stop in runs:
            first = bisect_left(records, time, start, stop, key=stamp)
            if first < stop and stamp(records[first]) <= now:
                count = first
                break
        for start, stop in reversed(runs):
            if stop == count:  # what stands right before may be from the future
                count = bisect_right(records, now, start, stop, key=stamp)
        return self.sequences[records[count - 1]] if count else 0

    def _note_fall(self, number: int, time: int) -> None:
        """Note it if the next record of this origin was stamped before the last one."""
        records = self._records_of(number) if number in self._filled else self.offsets_of[number]
        if records and time < self.times[records[-1]]:
            self._falls.setdefault(number, []).append(len(records))

    def _records_of(self, number: int) -> array[int]:
        """The offsets of its own records in sequence order, a void's once."""
        own = self._own.get(number)
        if own is not None:
            return own
        offsets = self.offsets_of[number]
        return offsets if isinstance(offsets, array) else offsets.rows

    def each_origin(self) -> Iterator[tuple[str, array[int]]]:
        """Each origin with the offsets of its own records in sequence order, a void's once."""
        return ((name, self._records_of(number)) for number, name in enumerate(self.names))
