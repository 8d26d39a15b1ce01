"""The log as a broker knows it in memory: what stands at each offset, in 40 bytes a record.

An offset counts this broker's own records; other brokers have theirs in another order. The bytes of a record lie where
the engine put them (`place` and `length`, opaque here). Columns are arrays: a million records cost megabytes, not
objects. Written by the commit thread under the state lock, read under it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from newswire.core import limits
from newswire.core.vector import Lineage, Vector

_CHECKPOINT: Final = limits.CHECKPOINT_ROWS


class Log:
    """Columns by offset, and for each origin its offsets in sequence order."""

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.places = array("Q")
        self.lengths = array("I")
        self.origins = array("I")  # index into `names`
        self.sequences = array("I")
        self.topics = array("I")  # a visible message's topic index (messages.py), 0 for everything else
        self.times = array("Q")  # milliseconds
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self.offsets_of: list[array[int]] = []  # by origin number: the offset of each sequence, from 1
        self._vector: dict[str, int] = {}
        self._checkpoints: list[Vector] = [{}]
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

    def full_vector(self) -> dict[str, int]:
        """Every origin with its highest sequence."""
        return {name: len(offsets) for name, offsets in zip(self.names, self.offsets_of, strict=True)}

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
        self.offsets_of[number].append(offset)
        if sequence == 1:
            self._vector = self.lineage.shorten({**self._vector, origin: 1})
        else:
            self._vector[origin] = sequence
        if (offset + 1) % _CHECKPOINT == 0:
            self._checkpoints.append(dict(self._vector))
        return offset

    def add_run(
        self, origin: str, times: Sequence[int], topics: Sequence[int], places: Sequence[int], lengths: Sequence[int]
    ) -> None:
        """Append the next records of an origin that has begun, all at once: what recovery is made of."""
        count, start = len(places), len(self)
        number = self.number(origin)
        offsets = self.offsets_of[number]
        first = len(offsets) + 1
        self.places.extend(places)
        self.lengths.extend(lengths)
        self.origins.extend([number] * count)
        self.sequences.extend(range(first, first + count))
        self.topics.extend(topics)
        self.times.extend(times)
        offsets.extend(range(start, start + count))
        for mark in range((start // _CHECKPOINT + 1) * _CHECKPOINT, start + count + 1, _CHECKPOINT):
            self._checkpoints.append({**self._vector, origin: first + mark - start - 1})
        self._vector[origin] = first + count - 1

    def number(self, origin: str) -> int:
        """The number of `origin`, given at its first record."""
        number = self.numbers.get(origin)
        if number is None:
            number = self.numbers[origin] = len(self.names)
            self.names.append(origin)
            self.offsets_of.append(array("I"))
        return number

    def vector_at(self, offset: int) -> dict[str, int]:
        """The short vector of the first `offset` records."""
        if offset >= len(self):
            return dict(self._vector)
        mark = offset // _CHECKPOINT
        start, vector = self._looked_up
        if not mark * _CHECKPOINT <= start <= offset:
            start, vector = mark * _CHECKPOINT, self._checkpoints[mark]
        found = self.advance(dict(vector), start, offset)
        self._looked_up = (offset, dict(found))
        return found

    def advance(self, vector: dict[str, int], start: int, stop: int) -> dict[str, int]:
        """The vector at `stop`, given (and perhaps changing) the one at `start`."""
        names = self.names
        for number, sequence in zip(self.origins[start:stop], self.sequences[start:stop], strict=True):
            vector[names[number]] = sequence
            if sequence == 1:
                vector = self.lineage.shorten(vector)
        return vector

    def first_not_covered(self, full: Vector) -> int:
        """The offset of the first record that a full vector does not cover; the end for none."""
        first = len(self)
        for name, offsets in self.each_origin():
            has = full.get(name, 0)
            if has < len(offsets):
                first = min(first, offsets[has])
        return first

    def end_of(self, vector: Vector) -> int:
        """The offset from which on the records before it cover `vector`, which is of what is held."""
        offsets = (self.offsets_of[self.numbers[name]][sequence - 1] for name, sequence in vector.items())
        return max(offsets, default=-1) + 1

    def lacking(self, full: Vector, most_ops: int, most_bytes: int) -> list[int]:
        """Offsets, in log order, of the first ops that a broker with this full vector lacks: it can take them as they come."""
        rows: list[int] = []
        for name, offsets in zip(self.names, self.offsets_of, strict=True):
            has = full.get(name, 0)
            if has < len(offsets):
                rows.extend(offsets[has : has + most_ops])
        rows.sort()
        size = 0
        for count, row in enumerate(islice(rows, most_ops)):
            size += self.lengths[row]
            if size > most_bytes and count:
                return rows[:count]
        return rows[:most_ops]

    def count_lacking(self, full: Vector) -> int:
        """How many ops a broker with this full vector lacks."""
        return sum(
            len(offsets) - min(len(offsets), full.get(name, 0))
            for name, offsets in zip(self.names, self.offsets_of, strict=True)
        )

    def before(self, time: int) -> dict[str, int]:
        """The vector of what was stamped before `time` (ms): per origin, since each stamps in order."""
        stamp = self.times.__getitem__
        counts = ((name, bisect_left(offsets, time, key=stamp)) for name, offsets in self.each_origin())
        return self.lineage.shorten({name: count for name, count in counts if count})

    def each_origin(self) -> Iterator[tuple[str, array[int]]]:
        """Each origin with the offsets of its ops in sequence order."""
        return zip(self.names, self.offsets_of, strict=True)
