"""Version vectors that stay short over restarts (DESIGN 4, `covers`).

A vector maps an origin (one run of one broker) to the highest sequence held of it, gap-free. Every start makes a new
origin, so vectors would grow for ever. They do not, because the first op of an origin, `began`, carries the vector of
the file that the run started on, and `began` is only taken where all of that is held (`TAKE`). So whoever lists an
origin also holds what its `began` names, transitively: a short vector leaves those entries out. Nothing follows from a
broker's name: a cloned or rolled-back disk begins with its own vector and covers only that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

Vector = Mapping[str, int]  # origin -> highest sequence held, all below it held too; sequences count from 1

_CLOSURES = 512  # origins whose closure is kept: vectors list the living runs and a few old ones


class Lineage:
    """What each known origin began with, and what follows from it. Owned by the state; grows by `began` ops only."""

    def __init__(self) -> None:
        self._began: dict[str, dict[str, int]] = {}
        self._closures: OrderedDict[str, dict[str, int]] = OrderedDict()

    def __contains__(self, origin: str) -> bool:
        return origin in self._began

    def __len__(self) -> int:
        return len(self._began)

    def began(self, origin: str, vector: Vector) -> None:
        """Note the `began` vector of `origin`; all that it names is held here already (`TAKE`)."""
        self._began[origin] = dict(vector)

    def closure(self, origin: str) -> Mapping[str, int]:
        """What listing `origin` implies: the join of its `began` vector and of all that follows from that."""
        found = self._closures.get(origin)
        if found is not None:
            self._closures.move_to_end(origin)
            return found
        if origin not in self._began:
            return {}  # not known here yet, so nothing may follow from it; not kept, since that can change
        reach: dict[str, int] = {}
        seen: set[str] = {origin}
        todo = [origin]
        while todo:
            for named, sequence in self._began.get(todo.pop(), {}).items():
                if reach.get(named, 0) < sequence:
                    reach[named] = sequence
                if named not in seen:
                    seen.add(named)
                    todo.append(named)
        self._closures[origin] = reach
        if len(self._closures) > _CLOSURES:
            self._closures.popitem(last=False)
        return reach

    def covers(self, vector: Vector, origin: str, sequence: int) -> bool:
        """Say whether whoever holds `vector` holds the op (`origin`, `sequence`)."""
        if vector.get(origin, 0) >= sequence:
            return True
        return any(listed != origin and self.closure(listed).get(origin, 0) >= sequence for listed in vector)

    def covers_all(self, vector: Vector, other: Vector) -> bool:
        """Say whether `vector` covers everything that `other` lists (and so all that it implies, where known)."""
        return vector is other or all(self.covers(vector, origin, sequence) for origin, sequence in other.items())

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
        return {
            origin: sequence
            for origin, sequence in vector.items()
            if not any(listed != origin and self.closure(listed).get(origin, 0) >= sequence for listed in vector)
        }

    def expand(self, vector: Vector) -> dict[str, int]:
        """Every origin that `vector` covers something of, with how far: what a short vector says in full."""
        full = dict(vector)
        for listed in vector:
            for origin, sequence in self.closure(listed).items():
                if full.get(origin, 0) < sequence:
                    full[origin] = sequence
        return full

    def knows(self, origins: Iterable[str]) -> bool:
        """Say whether the `began` of every one of `origins` is held, so that what follows from them is known."""
        return all(origin in self._began for origin in origins)
