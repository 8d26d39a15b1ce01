"""Long batches of which not all is here: in no vector, log or page, and of no effect before that (docs/rules.md, BATCH)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from msgspec import structs

from newswire.core import limits
from newswire.core.model.ops import Began, Op
from newswire.core.state.holes import Voids
from newswire.core.state.op_index import OpIndex, OpRecord


class OpenBatches:
    """Their parts, by origin in the order in which they began. The commit thread writes, under the state lock."""

    def __init__(self, log: OpIndex, voids: Voids) -> None:
        self._log, self._voids = log, voids
        self.of: dict[str, list[OpRecord]] = {}
        self.to_apply: list[OpRecord] = []  # of batches of which all is here now: before anything else

    def extent(self, origin: str) -> int:
        """How far `origin` is here: in the log, or in a long batch that is not whole."""
        parts = self.of.get(origin)
        return parts[-1][0].sequence if parts else self._log.held(origin)

    @property
    def extents(self) -> dict[str, int]:
        """How far long batches are here that are not whole, by origin; of many those that began last."""
        return {origin: self.extent(origin) for origin in list(self.of)[-limits.OPEN_BATCHES_COUNT :]}

    def records(self) -> Iterator[OpRecord]:
        """All parts, batch by batch."""
        return (part for parts in self.of.values() for part in parts)

    def take(self, op: Op, place: int, length: int) -> bool:
        """Keep `op` apart if it is of a long batch; the last one has all of it applied. False: it is of none."""
        parts = self.of.get(op.origin)
        if parts is None:
            if not isinstance(op, Began) or op.batch < 2:
                return False
            parts = self.of[op.origin] = []
        parts.append((op, place, length))
        if self._voids.reach(op.origin, op.sequence) >= cast(Began, parts[0][0]).batch:
            self.release(op.origin)
        return True

    def release(self, origin: str) -> None:
        """Have all that is here of a batch applied next: its `began` is no other than that of a run from now on."""
        (began, place, length), *rest = self.of.pop(origin)
        self.to_apply += [(structs.replace(began, batch=0), place, length), *rest]

    def pop_whole(self) -> list[OpRecord]:
        """What is to be applied now, since all of its batch is here."""
        records, self.to_apply = self.to_apply, []
        return records

    def cut(self, place: int, own: str) -> list[OpRecord]:
        """Take off the part whose record lies at `place`, and all behind it; none of `own`, a batch that goes on here."""
        for origin, parts in self.of.items():
            index = next((index for index, (_, at, _) in enumerate(parts) if at == place), None)
            if index is not None and origin != own:
                self.of[origin], rest = parts[:index], parts[index:]
                if not index:
                    del self.of[origin]
                return rest
        return []

    def forget_unfinished(self, broker: str) -> None:
        """START of `broker`: what is left of a batch is nothing when its own broker did not finish it.

        That is so when that broker went on without it: another origin of it is held that began later, and so does not name it.
        Of its own a broker knows that as soon as it starts. Of all others what is here may be the only copy.
        """
        for origin, parts in list(self.of.items()):
            began = cast(Began, parts[0][0])
            same = (name for name in self._log.names if name.partition("-")[0] == began.broker)
            if began.broker == broker or any(not self._log.lineage.covers(began.vector, name, 1) for name in same):
                del self.of[origin]
