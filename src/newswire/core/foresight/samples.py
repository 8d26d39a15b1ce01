"""What was measured lately, in rings of a fixed size: five seconds apart for an hour, a minute apart for a day. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from math import isnan, nan
from typing import Final

from newswire.core.model.forecasts import Series

SECONDS: Final = 5  # between two samples
RECENT_COUNT: Final = 720  # an hour of them
MINUTES_COUNT: Final = 1_440  # a day; with seven columns both rings take 140 kB


class Ring:
    """Rows of numbers, `step` seconds apart, the last `count` of them. One thread."""

    def __init__(self, names: tuple[str, ...], step: int, count: int) -> None:
        self._step, self._count = step, count
        self._times = array("Q")
        self._columns = {name: array("d") for name in names}

    def add(self, time: int, values: Mapping[str, float | None]) -> None:
        """Add a row at `time` (ms since 1970); what it lacks is unknown. The oldest goes where there are too many."""
        self._times.append(time)
        for name, column in self._columns.items():
            value = values.get(name)
            column.append(nan if value is None else value)
        if len(self._times) > self._count + self._count // 8:  # now and then, not at each row
            del self._times[: -self._count]
            for column in self._columns.values():
                del column[: -self._count]

    def last(self, rows: int) -> dict[str, float | None]:
        """The mean of each column over the last rows, of those that are known."""
        means: dict[str, float | None] = {}
        for name, column in self._columns.items():
            known = [value for value in column[-rows:] if not isnan(value)]
            means[name] = sum(known) / len(known) if known else None
        return means

    def series(self, since: int = -1) -> Series:
        """The rows later than `since` (ms since 1970)."""
        start = max(0, len(self._times) - self._count)
        while start < len(self._times) and self._times[start] <= since:
            start += 1
        return Series(
            step=self._step,
            times=list(self._times[start:]),
            columns={
                name: [None if isnan(value) else round(value, 3) for value in column[start:]]
                for name, column in self._columns.items()
            },
        )
