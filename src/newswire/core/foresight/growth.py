"""How fast a log grows, and when its disk is full: a small record of sizes, and arithmetic over it. Pure.

What a day added is one draw of what a day adds. So what the next `t` days add is `t` times the mean day of the record, give or
take `q * s * sqrt(t + t * t / n)`: there were `n` days, `s` is how they differ, `q` is Student's quantile (the prediction
interval of a sum of draws). The disk is full at the earliest where the upper end of that reaches the room, and at the latest
where the lower one does.

A record of less than two days knows no day: at its fastest rate is the earliest moment, at its slowest the latest, and of what
lies further off than twice the record it says no latest at all.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev
from typing import Final

_NOTE_SECONDS: Final = 60.0  # between two sizes that are kept
_CLOSE_SECONDS: Final = 3_600.0  # of the last hour all are kept, of what is older one an hour
_DAY: Final = 86_400.0
_LONGEST_SECONDS: Final = 7 * _DAY  # a week has its quiet days in it
_LEAST_SECONDS: Final = 3_600.0  # what a shorter record says of a day is chance
_REACH: Final = 2.0  # times the record: how far ahead a short one knows a latest moment
_MOST_DAYS: Final = 3_650.0  # what lies further off is never
_QUANTILES: Final = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94)  # Student's, 0.95, of 2 to 7 days


class Growth:
    """The sizes of a log over the last week, some 230 of them. One thread."""

    def __init__(self) -> None:
        self._sizes: list[tuple[float, int]] = []  # (seconds of a clock that only runs, bytes), the oldest first

    def note(self, clock: float, size: int) -> None:
        """Keep what the log takes now, unless the last size is younger than a minute."""
        if self._sizes and clock - self._sizes[-1][0] < _NOTE_SECONDS:
            return
        self._sizes.append((clock, size))
        old = bisect_left(self._sizes, clock - _CLOSE_SECONDS, key=lambda one: one[0])
        if old > 2 and self._sizes[old - 1][0] - self._sizes[old - 3][0] < _CLOSE_SECONDS:
            del self._sizes[old - 2]
        while clock - self._sizes[0][0] > _LONGEST_SECONDS + _CLOSE_SECONDS:  # several after a standstill
            del self._sizes[0]

    def full_in(self, room: int) -> tuple[float, float | None] | None:
        """In how many seconds `room` bytes are used up: at the earliest, and at the latest (None: perhaps never).

        None where the log does not grow, or too little is known.
        """
        if not self._sizes or self._sizes[-1][0] - self._sizes[0][0] < _LEAST_SECONDS:
            return None
        room = max(0, room)
        days = self._days()
        earliest, latest = self._by_days(room, days) if len(days) > 1 else self._by_rates(room)
        hour = self._rate(_CLOSE_SECONDS)
        if hour > 0 and room / hour < _DAY:  # something floods it: what days are like does not matter
            earliest = room / hour if earliest is None else min(earliest, room / hour)
        return None if earliest is None else (earliest, latest)

    def _days(self) -> list[int]:
        """What each of the last days added, in bytes; as many as the record has whole."""
        end, span = self._sizes[-1][0], self._sizes[-1][0] - self._sizes[0][0]
        marks = [self._size_at(end - day * _DAY) for day in range(int(span // _DAY) + 1)]
        return [int(later - earlier) for later, earlier in pairwise(marks)]

    def _size_at(self, clock: float) -> float:
        at = max(1, bisect_left(self._sizes, clock, key=lambda one: one[0]))
        (before, size), (after, grown) = self._sizes[at - 1], self._sizes[at]
        return size + (grown - size) * (clock - before) / (after - before)

    def _by_days(self, room: int, days: list[int]) -> tuple[float | None, float | None]:
        mean, spread = fmean(days), _QUANTILES[len(days) - 2] * stdev(days)

        def reaches(sign: int) -> float | None:
            """In how many seconds the upper (1) or lower (-1) end of the sum is at the room; None: not in ten years."""
            low, high = 0.0, _MOST_DAYS
            if mean * high + sign * spread * sqrt(high + high * high / len(days)) < room:
                return None
            for _ in range(40):
                half = (low + high) / 2
                if mean * half + sign * spread * sqrt(half + half * half / len(days)) < room:
                    low = half
                else:
                    high = half
            return high * _DAY

        return (reaches(1), reaches(-1)) if mean > 0 else (None, None)

    def _by_rates(self, room: int) -> tuple[float | None, float | None]:
        span = self._sizes[-1][0] - self._sizes[0][0]
        rates = [self._rate(span * part) for part in (1.0, 0.5, 0.25)]
        least, most = min(rates), max(rates)
        if most <= 0:
            return None, None
        latest = room / least if least > 0 else None
        return room / most, latest if latest is not None and latest <= _REACH * span else None

    def _rate(self, seconds: float) -> float:
        """Bytes a second over the last so many seconds."""
        end, last = self._sizes[-1]
        return (last - self._size_at(end - seconds)) / seconds
