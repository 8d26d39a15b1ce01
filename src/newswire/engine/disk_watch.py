"""What is wrong with the disk of a log: slow or low (`core.model.conditions`). When it is full: `core.foresight.growth`. Pure.

Each begins at one bound and ends at another, so that what goes up and down about a bound makes two lines of the log.
"""

from __future__ import annotations

from typing import Final

from newswire.core import limits
from newswire.core.broker.values import DiskFacts
from newswire.core.model import conditions

_NEAR: Final = 8  # times the reserve is free, or less: more than what may be stored before the next look


class DiskWatch:
    """What the commit thread sees of its disk. That thread writes; `facts` and `reasons`: any thread."""

    def __init__(self, reserve: int) -> None:
        """`reserve`: bytes below which nothing is taken from clients."""
        self.reserve = reserve
        self.facts: DiskFacts | None = None  # as of the last look; None where there is no disk
        self.slow_syncs = 0  # since the start
        self._slow_until = 0.0  # on the clock of the rounds
        self._slow_count, self._longest = 0, 0.0  # of the time that is slow now
        self._is_low = False
        self.is_near = False  # to the reserve: room has to be looked at in every turn
        self.wants_room = False  # for a compaction: one that waits longer may find none

    def note_sync(self, seconds: float, clock: float) -> None:
        """Take what a sync took, which is over at `clock`."""
        if seconds < limits.SYNC_SLOW_SECONDS:
            return
        if clock >= self._slow_until:
            self._slow_count, self._longest = 0, 0.0
        self.slow_syncs += 1
        self._slow_count += 1
        self._longest = max(self._longest, seconds)
        self._slow_until = clock + limits.SYNC_CALM_SECONDS

    def look(self, free: int, size: int, clock: float) -> bool:
        """Take the room on the disk and the size of the log, in bytes; say whether clients' requests may be stored."""
        self.is_near = free < _NEAR * self.reserve
        self.wants_room = free < self.reserve + size // 2  # what stays has to be written before what goes is free
        low = conditions.low_water(free, size, self.reserve)
        self._is_low = free < (low + low // 8 if self._is_low else low)
        self.facts = DiskFacts(free_bytes=free, reserve_bytes=self.reserve, log_bytes=size, slow_syncs=self.slow_syncs)
        return free > self.reserve

    def reasons(self, clock: float) -> list[str]:
        """What is wrong, in sentences. A full disk is the core's to say, which refuses for it."""
        found, facts = list[str](), self.facts
        if clock < self._slow_until:
            found.append(conditions.DISK_SLOW.say(count=self._slow_count, longest=f"{self._longest:.1f}"))
        if facts is None:
            return found
        if self._is_low and facts.free_bytes > self.reserve:
            found.append(conditions.DISK_LOW.say(room=_mebibytes(facts.free_bytes), reserve=_mebibytes(self.reserve)))
        return found


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.{0 if count >= 100 * 2**20 else 1}f} MiB"
