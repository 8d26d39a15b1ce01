"""Version vectors that stay short over restarts (docs/rules.md, VECTOR).

A vector maps an origin (one run of one broker) to the highest sequence held of it, gap-free. Every start makes a new
origin, so vectors would grow for ever. They do not, because the first op of an origin, `began`, carries the vector of
the file that the run started on, and `began` is only taken where all of that is held (TAKE). So whoever lists an
origin also holds what its `began` names, transitively: a short vector leaves those entries out. Nothing follows from a
broker's name: a cloned or rolled-back disk begins with its own vector and covers only that.

Origins have numbers, in the order in which they were taken here: what an origin implies has smaller numbers. All that an
origin implies, its *closure*, is a tree (`core.model.tree`) that shares nearly everything with those of the origins that its
`began` names, so a start costs a path of it. Only some closures are kept; the others are at most `_STEPS` joins away.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from operator import ge
from typing import Final

from newswire.core.model.tree import EMPTY, Tree

Vector = Mapping[str, int]  # origin -> highest sequence held, all below it held too; sequences count from 1

_STEPS: Final = 8  # an origin keeps its closure when the next kept ones are so many `began` away: 150 bytes an origin
_RECENT: Final = 512  # other closures that are kept for a while: vectors list the living runs and a few old ones


class FullVector(Vector):
    """Every origin that a vector covers something of, with how far. Never changes."""

    __slots__ = ("_lineage", "_others", "_tree")

    def __init__(self, lineage: Lineage, tree: Tree = EMPTY, others: Vector | None = None) -> None:
        """`others`: origins that are not known here, so that nothing follows from them."""
        self._lineage, self._tree, self._others = lineage, tree, others or {}

    def get(self, origin: str, default: int = 0) -> int:  # type: ignore[override]
        """How far `origin` is covered."""
        number = self._lineage.numbers.get(origin)
        if number is None:
            return self._others.get(origin, default)
        return self._tree.get(number) or default

    def holds(self, vector: Vector) -> bool:
        """Say whether who holds this holds all that `vector` lists, and so all that it implies."""
        return all(map(ge, map(self.get, vector), vector.values()))

    def join(self, other: FullVector) -> FullVector:
        """What either covers."""
        return FullVector(self._lineage, self._tree.join(other._tree))

    def beyond(self, other: FullVector) -> Iterator[tuple[int, int]]:
        """(number of an origin, how far `other` covers it) where this one covers more, in the order of the numbers."""
        return self._tree.beyond(other._tree)

    def raise_to(self, vector: Vector) -> FullVector:
        """Also what `vector` lists of known origins, but not what follows from it."""
        numbers, tree = self._lineage.numbers, self._tree
        entries = [(numbers[name], upto) for name, upto in vector.items() if name in numbers and tree.get(numbers[name]) < upto]
        return FullVector(self._lineage, tree.put(sorted(entries)), self._others) if entries else self

    def __getitem__(self, origin: str) -> int:
        sequence = self.get(origin)
        if not sequence:
            raise KeyError(origin)
        return sequence

    def __iter__(self) -> Iterator[str]:
        names = self._lineage.names
        yield from (names[number] for number, _ in self._tree.beyond(EMPTY))
        yield from self._others

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self._tree) or bool(self._others)


class Lineage:
    """What each known origin began with, and what follows from it. Owned by the state; grows by `began` ops only."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self._starts = array("Q", (0,))  # by number: where its entries stand in the two columns that follow
        self._named = array("I")  # numbers of the origins that a `began` names, from the highest down
        self._upto = array("Q")  # and how far
        self._steps = bytearray()  # by number: `began` to follow until all closures on the way are kept
        self._kept: dict[int, Tree] = {}
        self.forgotten = 0  # origins whose `began` was given up
        self._recent: OrderedDict[int, Tree] = OrderedDict()

    def __contains__(self, origin: str) -> bool:
        return origin in self.numbers

    def __len__(self) -> int:
        return len(self.names)

    def began(self, origin: str, vector: Vector) -> int:
        """Note the `began` vector of `origin`, once; all that it names is held here already (TAKE). Return its number."""
        if origin in self.numbers:
            return self.numbers[origin]
        number = self.numbers[origin] = len(self.names)
        self.names.append(origin)
        steps = 0
        for other, sequence in self._descending(vector):
            self._named.append(other)
            self._upto.append(sequence)
            steps = max(steps, self._steps[other] + 1)
        self._starts.append(len(self._named))
        self._steps.append(steps)
        if steps >= _STEPS:
            self._kept[number] = self._close(number)
            self._steps[number] = 0
        return number

    @property
    def version(self) -> int:
        """Another one whenever something follows from vectors that did not before, or the other way round."""
        return len(self.names) + self.forgotten

    def forget(self, origin: str) -> None:
        """Have nothing follow from `origin`, a known one: an operator gave up its `began`."""
        number = self.numbers[origin]
        start, end = self._starts[number], self._starts[number + 1]
        del self._named[start:end], self._upto[start:end]
        for later in range(number + 1, len(self._starts)):
            self._starts[later] -= end - start
        self._recent.clear()
        for at in sorted(self._kept):
            del self._kept[at]
            self._kept[at] = self._close(at)
        self._recent.clear()
        self.forgotten += 1

    def is_same(self, other: Lineage) -> bool:
        """Say whether the same follows from the same origins there, by the same numbers."""
        columns = (self.names, self._starts, self._named, self._upto)
        return columns == (other.names, other._starts, other._named, other._upto)

    def number(self, origin: str) -> int:
        """The number of `origin`, which is taken to have begun with nothing if it is new."""
        number = self.numbers.get(origin)
        return self.began(origin, {}) if number is None else number

    def named(self, number: int) -> Iterator[tuple[int, int]]:
        """What the `began` of an origin names: (number, sequence), from the highest number down."""
        part = slice(self._starts[number], self._starts[number + 1])
        return zip(self._named[part], self._upto[part], strict=True)

    def names_any(self, number: int) -> bool:
        """Say whether the `began` of an origin names others."""
        return self._starts[number] < self._starts[number + 1]

    def renew(self, vector: dict[str, int], origin: str) -> None:
        """Change the short vector of all that was held before the `began` of `origin` to that of all with it.

        What `began` implies beyond what it names was implied by another entry before, so it is not in the vector.
        """
        number = self.number(origin)
        for other, sequence in self.named(number):
            name = self.names[other]
            if vector.get(name, sequence + 1) <= sequence:
                del vector[name]
        vector[origin] = 1

    def covers(self, vector: Vector, origin: str, sequence: int) -> bool:
        """Say whether whoever holds `vector` holds the op (`origin`, `sequence`)."""
        if vector.get(origin, 0) >= sequence:
            return True
        number = self.numbers.get(origin)
        if number is None:
            return False
        listed = (self.numbers.get(other, -1) for other in vector)
        return any(self._closure(later).get(number) >= sequence for later in listed if later > number)

    def covers_all(self, vector: Vector, other: Vector) -> bool:
        """Say whether `vector` covers everything that `other` lists (and so all that it implies, where known)."""
        if vector is other:
            return True
        open_: dict[str, int] = {}
        for origin, sequence in other.items():
            if vector.get(origin, 0) < sequence:
                if origin not in self.numbers:
                    return False  # nothing that is known implies it
                open_[origin] = sequence
        if len(open_) < 2:
            return all(self.covers(vector, origin, sequence) for origin, sequence in open_.items())
        full = self.expand(vector)
        return all(full.get(origin) >= sequence for origin, sequence in open_.items())

    def join(self, *vectors: Vector) -> dict[str, int]:
        """The shortest vector that covers what any of `vectors` covers."""
        joined: dict[str, int] = {}
        for vector in vectors:
            for origin, sequence in vector.items():
                if joined.get(origin, 0) < sequence:
                    joined[origin] = sequence
        return self.shorten(joined)

    def shorten(self, vector: Vector) -> dict[str, int]:
        """Leave out what another listed origin implies. `began` vectors have no circles, so what is left implies it."""
        if len(vector) < 2:
            return dict(vector)
        short = self._unknown(vector)
        implied, before = EMPTY, -1
        for number, sequence in self._descending(vector):
            if before >= 0:
                implied = implied.join(self._closure(before))
            reached = implied.get(number)
            before = -1 if reached else number
            if reached < sequence:
                short[self.names[number]] = sequence
        return short

    def expand(self, vector: Vector) -> FullVector:
        """Every origin that `vector` covers something of, with how far: what a short vector says in full."""
        implied, beyond = EMPTY, list[tuple[int, int]]()
        for number, sequence in self._descending(vector):
            reached = implied.get(number)
            if not reached:
                implied = implied.join(self._closure(number))
            if reached < sequence:
                beyond.append((number, sequence))
        return FullVector(self, implied.put(beyond), self._unknown(vector))

    def tell(self, count: int, most_entries: int) -> dict[str, dict[str, int]]:
        """What the `count` youngest origins began with, and some older ones, each twice as far back.

        As many as name `most_entries` origins together.
        """
        vectors: dict[str, dict[str, int]] = {}
        entries = 0
        for number in self._looking_back(count):
            vectors[self.names[number]] = {self.names[other]: sequence for other, sequence in self.named(number)}
            entries += 1 + len(vectors[self.names[number]])
            if entries > most_entries:
                break
        return vectors

    def _looking_back(self, count: int) -> Iterator[int]:
        newest = len(self.names) - 1
        yield from range(newest, max(newest - count, -1), -1)
        back = 2 * count
        while 0 < back <= newest:
            yield newest - back
            back *= 2

    def _descending(self, vector: Vector) -> list[tuple[int, int]]:
        """The known entries by number, from the highest down: what implies another comes before it."""
        numbers = self.numbers
        return sorted(((numbers[name], sequence) for name, sequence in vector.items() if name in numbers), reverse=True)

    def _unknown(self, vector: Vector) -> dict[str, int]:
        return {origin: sequence for origin, sequence in vector.items() if origin not in self.numbers}

    def _closure(self, number: int) -> Tree:
        """What listing an origin implies: the join of its `began` vector and of all that follows from that."""
        closure = self._kept.get(number)
        if closure is not None:
            return closure
        closure = self._recent.get(number)
        if closure is not None:
            self._recent.move_to_end(number)
            return closure
        closure = self._recent[number] = self._close(number)
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return closure

    def _close(self, number: int) -> Tree:
        """Work out a closure from those of the origins that are named, each of which may need those of others."""
        closure, beyond = EMPTY, list[tuple[int, int]]()
        for other, sequence in self.named(number):
            reached = closure.get(other)
            if not reached:
                closure = closure.join(self._closure(other))
            if reached < sequence:
                beyond.append((other, sequence))
        return closure.put(beyond)
