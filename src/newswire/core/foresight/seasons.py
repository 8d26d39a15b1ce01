"""An hourly series and what it will be: exponential smoothing with a season, and a band from its own errors. Pure.

This is the Holt-Winters method, additive and without a trend (Winters, 1960; Hyndman and Athanasopoulos, *Forecasting:
Principles and Practice*, 8.3), over the square roots of the values: those of counts vary alike, however large they are
(Anscombe, 1948). Three models run side by side: without a season, with one of a day, with one of a week. Each forecasts at
every hour what comes a day later, and notes how far it was off when that hour is there. The model that was off least is
asked, and its errors are the band: nine in ten of them lie within it.

The gains are those that `scripts/backtest` found best (docs/results.md, Forecasts).
"""

from __future__ import annotations

from array import array
from collections import deque
from math import sqrt
from typing import Final

from newswire.core.model.forecasts import Band

DAY_HOURS: Final = 24
WEEK_HOURS: Final = 7 * DAY_HOURS
HORIZON_HOURS: Final = DAY_HOURS  # the errors of a forecast are those of one a day ahead
_ERRORS: Final = 4 * WEEK_HOURS  # of one model that are kept: what was before a month is another service
_LEAST_ERRORS: Final = DAY_HOURS  # before that a model is not asked, unless none is better
_LEVEL_GAIN: Final = 0.01  # of an hour: a change is half learnt after three days
_SEASON_GAIN: Final = 0.2  # of an hour of the season: a change is half learnt after three of them
_SHARE: Final = 0.05  # of the errors that lie beyond each end of the band


class Seasons:
    """A series of hourly values. Some 35 kB and ten microseconds an hour. One thread."""

    def __init__(self) -> None:
        self._models = (_Smoothing(1), _Smoothing(DAY_HOURS), _Smoothing(WEEK_HOURS))

    def take(self, value: float) -> None:
        """Take the value of the next hour."""
        for model in self._models:
            model.take(sqrt(max(0.0, value)))

    @property
    def _best(self) -> _Smoothing | None:
        models = [model for model in self._models if len(model.errors) >= _LEAST_ERRORS]
        return min(models, key=_Smoothing.mean_error, default=None)

    def ahead(self, hours: int = HORIZON_HOURS) -> list[Band]:
        """The values of so many hours, from the next one on; [] before two days were seen."""
        model = self._best
        if model is None:
            return []
        low, high = model.band()
        middles = [model.ahead(hour) for hour in range(1, hours + 1)]
        return [Band(*(max(0.0, root) ** 2 for root in (middle + low, middle, middle + high))) for middle in middles]

    def error(self) -> float | None:
        """By what share of the usual value forecasts of a day ahead were off, on average; None before some were made."""
        model = self._best
        return None if model is None else model.relative_error()


class _Smoothing:
    """One model, over square roots."""

    def __init__(self, period: int) -> None:
        self._season = array("d", bytes(8 * period))
        self._level = 0.0
        self._count = 0  # of values
        self._made: deque[float] = deque()  # forecasts of the next hours
        self.errors: deque[float] = deque(maxlen=_ERRORS)  # what came less what was forecast
        self._off = self._usual = 0.0  # sums of values: by how much it was off, and what came

    def take(self, root: float) -> None:
        """Note the error of what was forecast for this hour, and learn from it."""
        if len(self._made) == HORIZON_HOURS:
            made = self._made.popleft()
            self.errors.append(root - made)
            self._off = 0.995 * self._off + abs(root**2 - max(0.0, made) ** 2)
            self._usual = 0.995 * self._usual + root**2
        place, turns = self._count % len(self._season), self._count // len(self._season)
        error = root - self._level - self._season[place]
        self._level += max(_LEVEL_GAIN, 1 / (self._count + 1)) * error
        if len(self._season) > 1:
            self._season[place] += max(_SEASON_GAIN, 1 / (turns + 1)) * error
        self._count += 1
        if self._count >= len(self._season):  # before that it has not seen one whole season
            self._made.append(self.ahead(HORIZON_HOURS))

    def ahead(self, hours: int) -> float:
        """The root of the value in so many hours."""
        return self._level + self._season[(self._count + hours - 1) % len(self._season)]

    def mean_error(self) -> float:
        """How far it was off, on average."""
        return sum(map(abs, self.errors)) / len(self.errors)

    def relative_error(self) -> float:
        """The same as a share of what came, lately."""
        return self._off / self._usual if self._usual else 0.0

    def band(self) -> tuple[float, float]:
        """The errors between which nine in ten lie."""
        errors = sorted(self.errors)
        cut = int(_SHARE * len(errors))
        return errors[cut], errors[-1 - cut]
