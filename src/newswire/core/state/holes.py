"""Holes: ops that a broker knows to exist and cannot read, and ranges that were given up (docs/rules.md, HOLE).

A disk forgets. What stands behind a damaged record waits until another broker has brought that record; where none can,
an operator gives it up (`salvage`). The fold says here what it cannot take, and asks what goes on: nothing is applied here.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Annotated

import msgspec
from msgspec import Meta

from newswire.core import limits
from newswire.core.model.ops import SEQUENCE_MOST, Began, Lost, Op, Origin, Published, Void
from newswire.core.model.vector import Vector
from newswire.core.state.op_index import OpIndex, OpRecord

_Sequence = Annotated[int, Meta(ge=1, le=SEQUENCE_MOST)]
_Count = Annotated[int, Meta(ge=0, le=SEQUENCE_MOST)]


class Hole(msgspec.Struct, frozen=True, order=True):
    """Ops of `origin`, `first` to `last`, that a broker lacks. `waiting`: how many it keeps, unread, behind them.

    `unreadable`: it holds them, and its disk does not give their records back any more.
    """

    origin: Origin
    first: _Sequence
    last: _Sequence
    waiting: _Count = 0
    unreadable: bool = False

    def __str__(self) -> str:
        return f"{self.origin}.{self.first}" + (f" to {self.last}" if self.last > self.first else "")


class Voids:
    """The ranges that were given up, by origin, ascending; they may overlap. The commit thread writes, under the state lock."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[int, int]]] = {}

    def __bool__(self) -> bool:
        return bool(self.of)

    def add(self, origin: str, first: int, last: int) -> None:
        """Give up a range; one more time changes nothing."""
        insort(self.of.setdefault(origin, []), (first, last))

    def reach(self, origin: str, highest: int) -> int:
        """How far `origin` reaches without a gap when its ops up to `highest` are there."""
        for first, last in self.of.get(origin, ()):
            if first <= highest + 1:
                highest = max(highest, last)
        return highest

    def has(self, origin: str, sequence: int) -> bool:
        """Say whether an op is given up."""
        return any(first <= sequence <= last for first, last in self.of.get(origin, ()))


class Holes:
    """What is missing here, and what waits behind it. The commit thread writes, under the state lock."""

    def __init__(self, log: OpIndex, voids: Voids, extent: Callable[[str], int]) -> None:
        """`extent`: how far an origin is here."""
        self._log, self._voids, self._extent = log, voids, extent
        self.waiting: dict[str, dict[int, OpRecord]] = {}  # by origin, and by the first op that each record stands for
        self._voids_wait = False  # of several ops each
        self._suspects: dict[str, int] = {}  # origin -> a sequence that damage has hit, though nothing may wait behind it
        self._all: tuple[Hole, ...] = ()  # as they were when something had changed last; and what waited then:
        self._waits: dict[str, int] = {}
        self._topics: Counter[str] = Counter()
        self._has_changed = False

    # -- what is missing

    @property
    def all(self) -> tuple[Hole, ...]:
        """What is known to be missing, in order."""
        if self._has_changed or any(self._extent(hole.origin) >= hole.first for hole in self._all if not hole.unreadable):
            self._suspects = {origin: last for origin, last in self._suspects.items() if self._extent(origin) < last}
            self._all = tuple(sorted([*self._absent(), *self._unreadable()]))
            self._waits = {origin: max(op.sequence for op, _, _ in ops.values()) for origin, ops in self.waiting.items()}
            self._topics = Counter(op.topic for op, _, _ in self.records() if isinstance(op, Published))
            self._has_changed = False
        return self._all

    def _absent(self) -> Iterator[Hole]:
        """What lacks before something that waits, or that a `began` of it names, or at a damaged end."""
        waiting, lasts = self.waiting, dict(self._suspects)
        for origin, ops in waiting.items():
            for name, last in ((origin, max(ops)), *_start_vector(ops).items()):
                lasts[name] = max(last, lasts.get(name, 0))
        for origin, last in lasts.items():
            for first, end in self._gaps(origin, last):
                own = sum(sequence > end for sequence in waiting.get(origin, ()))
                behind = own or sum(len(ops) for ops in waiting.values() if origin in _start_vector(ops))
                yield Hole(origin=origin, first=first, last=end, waiting=behind)

    def _gaps(self, origin: str, last: int) -> Iterator[tuple[int, int]]:
        """The ranges up to `last` that are not here, do not wait and were not given up."""
        at = self._extent(origin) + 1
        there = [(first, op.sequence) for first, (op, _, _) in self.waiting.get(origin, {}).items()]
        for first, end in sorted([*there, *self._voids.of.get(origin, ())]):
            if first > last:
                break
            if first > at:
                yield at, first - 1
            at = max(at, end + 1)
        if at <= last:
            yield at, last

    def _unreadable(self) -> Iterator[Hole]:
        """What is in the log and cannot be read, and was not given up."""
        log = self._log
        names = sorted((log.names[log.origins[row]], log.sequences[row]) for row in log.unreadable)
        pairs = enumerate(name for name in names if not self._voids.has(*name))
        for (origin, _), group in groupby(pairs, lambda one: (one[1][0], one[1][1] - one[0])):
            sequences = [sequence for _, (_, sequence) in group]
            yield Hole(origin=origin, first=sequences[0], last=sequences[-1], unreadable=True)

    def lack(self, origin: str, sequence: int) -> None:
        """Note that an op that is not here is missing."""
        self._suspects[origin] = max(sequence, self._suspects.get(origin, 0))
        self._has_changed = True

    def suspect(self, names: Iterable[tuple[str, int]]) -> None:
        """Note that damage has hit ops so named: those of known origins that are not held are missing.

        What damaged bytes say may be wrong, so far beyond what is held it is not believed.
        """
        for origin, sequence in names:
            highest = max([self._extent(origin), *self.waiting.get(origin, ())])
            is_here = highest or origin in self._log.numbers
            if is_here and highest < sequence <= highest + limits.SUSPECT_OPS:
                self.lack(origin, sequence)

    def miss(self, row: int) -> None:
        """Note that the record at `row` of the log cannot be read."""
        self._log.unreadable[row] = None
        self._has_changed = True

    def is_missing(self, op: Op) -> bool:
        """Say whether `op` is held, its record cannot be read, and it was not given up."""
        row = self._log.row(op.origin, op.sequence) if self._log.unreadable else None
        return row is not None and row in self._log.unreadable and not self._voids.has(op.origin, op.sequence)

    def heal(self, op: Op, place: int, length: int) -> bool:
        """Have the row of `op` point at a good copy of its record; False if there is no such row."""
        log, row = self._log, self._log.row(op.origin, op.sequence)
        if row is None:
            return False
        log.places[row], log.lengths[row] = place, length
        log.unreadable.pop(row, None)
        self._has_changed = True
        return True

    # -- what waits behind it

    def wait(self, record: OpRecord) -> None:
        """Have wait what cannot be taken, unless it is here, or was given up."""
        op = record[0]
        if op.sequence > self._extent(op.origin) and not self._voids.has(op.origin, op.sequence):
            first = op.first if isinstance(op, Void) else op.sequence
            ops = self.waiting.setdefault(op.origin, {})
            if first in ops and ops[first][0].sequence > op.sequence:
                return  # it is in a void that waits, and that stands for more
            self._voids_wait |= first < op.sequence
            ops[first] = record
            self._has_changed = True

    def next_behind(self, origin: str, reach: int) -> OpRecord | None:
        """What waits of `origin` and goes on behind `reach`."""
        ops = self.waiting.get(origin, {})
        record = ops.get(reach + 1)
        if record is None and self._voids_wait:
            voids = (one for first, one in ops.items() if isinstance(one[0], Void) and first <= reach < one[0].sequence)
            record = next(voids, None)
        return record

    def drop(self, origin: str, last: int) -> None:
        """Have nothing of `origin` wait up to `last`: it is here."""
        rest = {first: record for first, record in self.waiting.pop(origin, {}).items() if record[0].sequence > last}
        if rest:
            self.waiting[origin] = rest
        self._has_changed = True

    def give_up(self, lost: Lost) -> None:
        """LOST: the range is void, so nothing of it is missing, or waits."""
        self._voids.add(lost.source, lost.first, lost.last)
        self._remove(lost.source, lambda first, op, _: lost.first <= first and op.sequence <= lost.last)
        self._has_changed = True

    def miss_waiting(self, place: int) -> None:
        """Note that the record there, if something waits in it, cannot be read."""
        for origin in list(self.waiting):
            for op in self._remove(origin, lambda _first, _op, at: at == place):
                self.lack(origin, op.sequence)

    def _remove(self, origin: str, goes: Callable[[int, Op, int], bool]) -> list[Op]:
        """Have wait no more what `goes`, asked for the first op that a record stands for, it, and its place; return these."""
        ops = self.waiting.get(origin, {})
        firsts = [first for first, (op, place, _) in ops.items() if goes(first, op, place)]
        result = [ops.pop(first)[0] for first in firsts]
        if not ops:
            self.waiting.pop(origin, None)
        return result

    def records(self) -> Iterator[OpRecord]:
        """All that waits."""
        return (record for ops in self.waiting.values() for record in ops.values())

    @property
    def waits(self) -> dict[str, int]:
        """The highest sequence that waits, by origin."""
        return self._waits if self.all else {}

    @property
    def topics(self) -> Counter[str]:
        """How many messages of which topic wait."""
        return self._topics if self.all else Counter()

    def losses(self) -> list[Lost]:
        """The `lost` ops that wait, of ranges that are not held. Two may wait for each other."""
        losses = (op for op, _, _ in self.records() if isinstance(op, Lost) and op.is_valid)
        return [op for op in losses if self._log.held(op.source) < op.first]


def _start_vector(ops: Mapping[int, OpRecord]) -> Vector:
    """The vector of the `began` among these ops of an origin."""
    first = ops.get(1)
    return first[0].vector if first is not None and isinstance(first[0], Began) else {}
