"""Holes: ops that a broker knows to exist and cannot read, and ranges that were given up (docs/rules.md, HOLE).

A disk forgets. What stands behind a damaged record waits until another broker has brought that record; where none can,
an operator gives it up (`salvage`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from newswire.core.model.ops import SEQUENCE_MOST, Began, Op, Origin
from newswire.core.model.vector import Vector
from newswire.core.state.op_index import OpIndex

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
    """The ranges that were given up, by origin, ascending. The commit thread writes, under the state lock."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[int, int]]] = {}

    def __contains__(self, origin: str) -> bool:
        return origin in self._of

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, origin: str, first: int, last: int) -> None:
        """Give up a range; one more time changes nothing."""
        insort(self._of.setdefault(origin, []), (first, last))

    def ranges(self, origin: str) -> list[tuple[int, int]]:
        """What of `origin` was given up: ranges, ascending, which may overlap."""
        return self._of.get(origin, [])

    def reach(self, origin: str, highest: int) -> int:
        """How far `origin` reaches without a gap when its ops up to `highest` are there."""
        for first, last in self._of.get(origin, ()):
            if first <= highest + 1:
                highest = max(highest, last)
        return highest

    def has(self, origin: str, sequence: int) -> bool:
        """Say whether an op is given up."""
        return any(first <= sequence <= last for first, last in self._of.get(origin, ()))


class _Holder(Protocol):
    """What is looked at to find holes: the state, as far as it holds ops and knows of others."""

    log: OpIndex
    waiting: dict[str, dict[int, tuple[Op, int, int]]]
    suspects: dict[str, int]
    voids: Voids

    def extent(self, origin: str) -> int:
        """How far `origin` is here."""
        ...


def find(state: _Holder) -> tuple[Hole, ...]:
    """All holes, in order: what lacks before something that waits or at a damaged end, and what cannot be read."""
    suspects = dict(state.suspects)
    for origin, ops in state.waiting.items():
        suspects[origin] = max(suspects.get(origin, 0), max(ops))
        for name, sequence in _began(ops).items():
            suspects[name] = max(suspects.get(name, 0), sequence)
    ranges: list[Hole] = []
    for origin, last in suspects.items():
        for first, end in _gaps(state, origin, last):
            own = sum(sequence > end for sequence in state.waiting.get(origin, ()))
            behind = own or sum(len(ops) for ops in state.waiting.values() if origin in _began(ops))
            ranges.append(Hole(origin=origin, first=first, last=end, waiting=behind))
    unread: dict[str, list[int]] = {}
    for row in state.log.unreadable:
        origin, sequence = state.log.names[state.log.origins[row]], state.log.sequences[row]
        if not state.voids.has(origin, sequence):
            unread.setdefault(origin, []).append(sequence)
    for origin, sequences in unread.items():
        ranges += [Hole(origin, first, last, unreadable=True) for first, last in _ranges(sorted(sequences))]
    return tuple(sorted(ranges))


def _began(ops: Mapping[int, tuple[Op, int, int]]) -> Vector:
    """The vector of the `began` that waits among these ops of an origin."""
    first = ops.get(1)
    return first[0].vector if first is not None and isinstance(first[0], Began) else {}


def _gaps(state: _Holder, origin: str, last: int) -> Iterator[tuple[int, int]]:
    """The ranges up to `last` that are not held, do not wait and were not given up."""
    at = state.extent(origin) + 1
    there = [(first, op.sequence) for first, (op, _, _) in state.waiting.get(origin, {}).items()]
    for first, end in sorted([*there, *state.voids.ranges(origin)]):
        if first > last:
            break
        if first > at:
            yield at, first - 1
        at = max(at, end + 1)
    if at <= last:
        yield at, last


def _ranges(sequences: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges."""
    first = last = 0
    for sequence in sequences:
        if first and sequence == last + 1:
            last = sequence
            continue
        if first:
            yield first, last
        first = last = sequence
    if first:
        yield first, last
