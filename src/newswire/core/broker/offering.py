"""What is handed over to peers that are behind, and which part of it comes next (docs/rules.md, OFFER).

`replication` owns it. Commit thread only; reads the state.
"""

from __future__ import annotations

from collections.abc import Sequence

from newswire.core import limits
from newswire.core.broker.events import Offer, Offered
from newswire.core.model.ops import Void
from newswire.core.model.vector import FullVector
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole
from newswire.core.state.op_index import SILENT, VOID


class Offering:
    """What is handed over to one peer, frozen at one moment."""

    def __init__(self, name: str, run: str, state: State, holds: FullVector) -> None:
        self.id, self.run, self.generation = name, run, state.generation
        self._cut = len(state.log)
        records = [*state.open_batches.records(), *state.holes.records()]
        self._waiting = [(place, length) for op, place, length in records if isinstance(op, Void)]
        self.last = self._cut + len(self._waiting)
        self._holds, self.vector = holds, dict(state.vector)

    def records(self, state: State, start: int, most_bytes: int) -> tuple[Sequence[tuple[int, int]], int]:
        """Place and length of voids, and of ops that it lacks, from `start` on, as many as one push carries; where that ends.

        Those of rows of the log, then voids that wait, if only for the rest of a batch: in these may be what ended by an op
        that is void.
        """
        if start >= self._cut:
            voids = self._waiting[start - self._cut :][: limits.PUSH_OPS]
            return voids, start + len(voids)
        log, stop = state.log, min(self._cut, start + limits.SCAN_ROWS)
        columns = zip(log.origins[start:stop], log.sequences[start:stop], log.topics[start:stop], strict=True)
        rows = [
            row
            for row, (number, sequence, topic) in enumerate(columns, start)
            if topic in (VOID, SILENT) or (sequence > self._holds.get(log.names[number]) and row not in log.unreadable)
        ]
        part = log.cut(rows[: limits.PUSH_OPS], most_bytes)
        return log.where(part), rows[len(part)] if len(part) < len(rows) else stop


class Offers:
    """One offering for each peer that is behind, by its address."""

    def __init__(self, origin: str, state: State) -> None:
        """`origin`: of this run."""
        self._origin, self._state = origin, state
        self._of: dict[str, Offering] = {}
        self._count = 0

    def become(self, state: State) -> None:
        """Go on with another state: what is handed over begins anew."""
        self._state = state

    def end(self, address: str) -> None:
        """The peer there is not behind."""
        self._of.pop(address, None)

    def is_due(self, address: str, offered: Offered | None, tried: tuple[str, int]) -> bool:
        """Say whether another part is to go out than the one that was tried last (id, start)."""
        offer = self._of.get(address)
        if offer is None:
            return True
        start = offered.end if offered is not None and offered.id == offer.id else 0
        return start < offer.last and tried != (offer.id, start)

    def next_part(
        self, address: str, run: str, holds: FullVector, offered: Offered | None, most_bytes: int
    ) -> tuple[Offer | None, Sequence[tuple[int, int]]]:
        """The part behind what the peer has, and where its records lie; None: it has all. `run`: the origin of its run."""
        offer, state = self._of.get(address), self._state
        start = offered.end if offer is not None and offered is not None and offered.id == offer.id else 0
        if offer is None or not start or (offer.run, offer.generation) != (run, state.generation):
            self._count += 1
            name, start = f"{self._origin}.{self._count}", 0
            offer = self._of[address] = Offering(name, run, state, holds)
        if start >= offer.last:
            return None, ()
        places, end = offer.records(state, start, most_bytes)
        part = Offer(id=offer.id, run=run, start=start, end=end, last=offer.last, count=len(places), vector=offer.vector)
        return part, places


def lacks_void(state: State, holds: FullVector, holes: Sequence[Hole]) -> bool:
    """Say whether who holds so much, and lacks these, lacks something that is void here."""
    log = state.log
    if not log.void_reach:
        return False
    return not holds.holds(log.void_vector) or any(log.has_void(hole.origin, hole.first, hole.last) for hole in holes)


def lacks_unreadable(state: State, holds: FullVector) -> bool:
    """Say whether who holds so much lacks what cannot be read here, and was not given up: not all can be handed over."""
    log = state.log
    names = ((log.names[log.origins[row]], log.sequences[row]) for row in log.unreadable)
    return any(holds.get(origin) < sequence and not state.voids.has(origin, sequence) for origin, sequence in names)
