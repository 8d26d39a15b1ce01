"""Holes: ops that a broker knows to exist and cannot read, and what an operator makes of them (docs/rules.md, HOLE and LOST).

A disk forgets. What stands behind a damaged record waits until another broker has brought that record; where none can,
an operator gives it up, and a `lost` op makes the range void everywhere: held, and of no effect. Whoever holds ops of such
a range after all stores what they mean again, under new ids, before it takes the `lost`: so equal vectors show the same,
and nothing is lost that a disk still has. Pure over the state.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from newswire.core import limits
from newswire.core.model.ops import (
    NO_PLACE,
    SEQUENCE_MOST,
    Acknowledged,
    Began,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    OpId,
    Origin,
    Published,
    Subscribed,
    Unsubscribed,
)
from newswire.core.model.vector import Vector

if TYPE_CHECKING:
    from newswire.core.state.fold import State


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


def find(state: State) -> tuple[Hole, ...]:
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


def _gaps(state: State, origin: str, last: int) -> Iterator[tuple[int, int]]:
    """The ranges up to `last` that are not held, do not wait and were not given up."""
    at = state.extent(origin) + 1
    there = [(sequence, sequence) for sequence in state.waiting.get(origin, ())]
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


class Owed(msgspec.Struct, frozen=True):
    """What of a range that others gave up is held here: offsets of records that can be read, ops that wait behind damage of our
    own, and sequences of ops that are no messages, whose records cannot be read, so that only their effect is left."""

    rows: tuple[int, ...] = ()
    waiting: tuple[Op, ...] = ()
    blind: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.waiting or self.blind)


def owed(state: State, op: Lost, finished_here: Mapping[str, set[int]]) -> Owed:
    """What of the range is held here and was not stored again yet. `finished_here`: by origin, the sequences that were."""
    if not op.is_valid:
        return Owed()
    log, finished = state.log, finished_here.get(op.source, frozenset[int]())
    sequences = range(op.first, min(op.last, log.held(op.source)) + 1)
    rows = [row for s in sequences if s not in finished and (row := log.row(op.source, s)) is not None]
    ops = sorted(state.waiting.get(op.source, {}).items())
    return Owed(
        tuple(row for row in rows if row not in log.unreadable),
        tuple(kept for s, (kept, _, _) in ops if op.first <= s <= op.last and s not in finished),
        tuple(log.sequences[row] for row in rows if row in log.unreadable and not log.topics[row]),
    )


def blindly(state: State, names: Iterable[OpId]) -> list[Op]:
    """Drafts that mean what these ops, whose records cannot be read, have left in the state: what they made, and all that any
    op has ended, moved or dropped here, theirs among it."""
    drafts: list[Op] = []
    subscriptions, members = state.subscriptions, state.members
    for name in names:
        sub = subscriptions.alive.get(name)
        if sub is not None:
            since = dict(subscriptions.cursor(sub))
            drafts.append(
                Subscribed(**NO_PLACE, user=sub.user, pattern=sub.pattern, since=since, follows=sub.follows, replaces=(name,))
            )
        for broker, joined in members.of.items():
            if name in joined:
                drafts.append(Joined(**NO_PLACE, broker=broker, address=joined[name].address, seen=(name,)))
    drafts += [Unsubscribed(**NO_PLACE, ids=ids) for ids in _parts(sorted(subscriptions.removed))]
    drafts += [Acknowledged(**NO_PLACE, ids=(name,), vector=dict(vector)) for name, vector in subscriptions.cursors.items()]
    drafts += [Dropped(**NO_PLACE, topic=topic, vector=dict(horizon)) for topic, horizon in state.messages.horizons.items()]
    drafts += [
        Left(**NO_PLACE, broker=broker, seen=ids) for broker in members.addresses for ids in _parts(sorted(members.ended))
    ]
    return drafts


def _parts(ids: Sequence[OpId]) -> list[tuple[OpId, ...]]:
    step = limits.ACK_SUBSCRIPTIONS
    return [tuple(ids[at : at + step]) for at in range(0, len(ids), step)]


def again(state: State, op: Op) -> list[Op]:
    """Drafts that mean what `op` means here, under new ids: where it is void they have its effect, else they change nothing."""
    match op:
        case Published():
            row = state.log.row(op.origin, op.sequence)
            if row is not None and not state.log.topics[row]:
                return []  # a twin is shown instead
            return [msgspec.structs.replace(op, **NO_PLACE, again=op.again or op.id)]
        case Subscribed():
            ends: list[Op] = [Unsubscribed(**NO_PLACE, ids=op.replaces)] if op.replaces else []
            if op.id in state.subscriptions.removed:
                return [*ends, Unsubscribed(**NO_PLACE, ids=(op.id,))]
            sub = state.subscriptions.alive.get(op.id)
            since = state.subscriptions.cursor(sub) if sub is not None else op.since
            return [
                *ends,
                Subscribed(
                    **NO_PLACE, user=op.user, pattern=op.pattern, since=dict(since), follows=op.follows, replaces=(op.id,)
                ),
            ]
        case Joined():
            leaves: list[Op] = [Left(**NO_PLACE, broker=op.broker, seen=op.seen)] if op.seen else []
            if op.id in state.members.of.get(op.broker, ()):
                return [*leaves, Joined(**NO_PLACE, broker=op.broker, address=op.address, seen=(op.id,))]
            return [*leaves, Left(**NO_PLACE, broker=op.broker, seen=(op.id,))]
        case Unsubscribed() | Acknowledged() | Dropped() | Left() | Lost():
            return [msgspec.structs.replace(op, **NO_PLACE)]
        case _:
            return []  # a `began` void: nothing follows from that origin any more
