"""How fast a log grows, and when its disk is full at this rate: a small record of sizes, and arithmetic over it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

_NOTE_SECONDS: Final = 60.0  # between two sizes that are kept
_CLOSE_SECONDS: Final = 3_600.0  # of the last hour all are kept, of what is older one an hour
_LONGEST_SECONDS: Final = 7 * 86_400.0  # a week has its quiet days in it
_LEAST_SECONDS: Final = 3_600.0  # what a shorter record says of a day is chance


class Growth:
    """The sizes of a log over the last week, some 230 of them. One thread."""

    def __init__(self) -> None:
        self._sizes: list[tuple[float, int]] = []  # (monotonic seconds, bytes), the oldest first

    def note(self, clock: float, size: int) -> None:
        """Keep what the log takes now, unless the last size is younger than a minute."""
        if self._sizes and clock - self._sizes[-1][0] < _NOTE_SECONDS:
            return
        self._sizes.append((clock, size))
        old = bisect_left(self._sizes, clock - _CLOSE_SECONDS, key=lambda one: one[0])
        if old > 2 and self._sizes[old - 1][0] - self._sizes[old - 3][0] < _CLOSE_SECONDS:
            del self._sizes[old - 2]
        if clock - self._sizes[0][0] > _LONGEST_SECONDS:
            del self._sizes[0]

    def rates(self) -> tuple[float, float] | None:
        """The least and the highest rate in bytes a second: of all of the record, its last half and its last quarter.

        None before there is an hour of it.
        """
        if not self._sizes:
            return None
        (start, _), (end, last) = self._sizes[0], self._sizes[-1]
        if end - start < _LEAST_SECONDS:
            return None
        rates = []
        for part in (1.0, 0.5, 0.25):
            at = bisect_left(self._sizes, end - (end - start) * part, key=lambda one: one[0])
            since, size = self._sizes[at]
            rates.append((last - size) / (end - since) if end > since else 0.0)
        return min(rates), max(rates)

    def full_in(self, room: int) -> tuple[float, float | None] | None:
        """In how many seconds `room` bytes are used up: at the earliest, and at the latest (None: perhaps never).

        None where the log does not grow, or too little is known.
        """
        rates = self.rates()
        if rates is None or rates[1] <= 0:
            return None
        least, most = rates
        return max(0, room) / most, max(0, room) / least if least > 0 else None
