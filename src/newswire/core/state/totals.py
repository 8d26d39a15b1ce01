"""How many messages each topic has left, and when the last one came: columns by topic number, kept while ops are applied.

What one more message changes is known at once. What anything else changes (retention, twins, a message that came late) is
forgotten here, and worked out again where it is asked for. The commit thread writes; queries do, under the state lock.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import le

from newswire.core.model.vector import Vector


class Totals:
    """The columns, and which of their entries cannot be trusted."""

    def __init__(self) -> None:
        self.counts = array("I", (0,))
        self.lasts = array("Q", (0,))  # ms
        self.unknown: set[int] = set()  # topics whose entries are to be worked out
        self._versions: dict[int, int] = {}  # of topics of which something was dropped: for what version of the lineage

    def begin(self) -> None:
        """Add an empty topic."""
        self.counts.append(0)
        self.lasts.append(0)

    def add(self, number: int, time: int, *, is_first_origin: bool) -> None:
        """Count one more message, which is the last of its origin; `is_first_origin`: the topic has messages of no other."""
        self.counts[number] += 1
        if is_first_origin or time >= self.lasts[number]:
            self.lasts[number] = time
        else:
            self.unknown.add(number)  # the origin's last one may have been the newest

    def add_run(self, number: int, times: Sequence[int], *, is_first_origin: bool) -> None:
        """`add` many, in their order."""
        self.counts[number] += len(times)
        if is_first_origin or (times[0] >= self.lasts[number] and all(map(le, times, times[1:]))):
            self.lasts[number] = times[-1]
        else:
            self.unknown.add(number)

    def forget(self, number: int) -> None:
        """Have the topic worked out again."""
        self.unknown.add(number)

    def is_known(self, number: int, horizon: Vector | None, version: int) -> bool:
        """Say whether the entries of a topic are right; `horizon`: what of it was dropped; `version`: of the lineage now."""
        return number not in self.unknown and (horizon is None or self._versions.get(number) == version)

    def set(self, number: int, count: int, last: int, version: int) -> None:
        """Note what was worked out."""
        self.counts[number], self.lasts[number], self._versions[number] = count, last, version
        self.unknown.discard(number)
