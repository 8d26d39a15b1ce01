"""How many messages a second this broker takes, measured while it takes fewer. Pure.

The utilization law: the share of a processor in use is the rate times what one request costs (Denning and Buzen, *The
Operational Analysis of Queueing Network Models*, 1978). A line through minutes of rate and share gives what a message costs as
messages come now, in whatever batches, to however many streams; the limit is where the line reaches one processor, as one
interpreter has no more. A disk or a network that is slower than that shows in the time of commits, not here.
"""

from __future__ import annotations

from typing import Final

_KEEP: Final = 0.998  # of what is known, each minute: half of it is six hours old
_LEAST_MINUTES: Final = 10.0  # of what is known
_LEAST_RATE: Final = 5.0  # messages a second by which minutes differ: else what else goes on is all that is seen
_LEAST_FIT: Final = 0.5  # of the variance of the share that the rate explains


class Capacity:
    """A line through minutes, the newer ones counting more. One thread."""

    def __init__(self) -> None:
        self._count = self._x = self._y = self._xx = self._xy = self._yy = 0.0

    def take(self, rate: float, share: float) -> None:
        """A minute with so many messages a second, in which this process used this share of a processor."""
        for name, value in (
            ("_count", 1.0), ("_x", rate), ("_y", share), ("_xx", rate * rate), ("_xy", rate * share), ("_yy", share * share)
        ):  # fmt: skip
            setattr(self, name, _KEEP * getattr(self, name) + value)

    def limit(self) -> float | None:
        """Messages a second at which a processor is busy; None where that cannot be told yet."""
        count = self._count
        if count < _LEAST_MINUTES:
            return None
        x, y = self._x / count, self._y / count
        spread_x, spread_y = self._xx / count - x * x, self._yy / count - y * y
        together = self._xy / count - x * y
        if spread_x < _LEAST_RATE**2 or spread_y <= 0 or together <= 0 or together**2 < _LEAST_FIT * spread_x * spread_y:
            return None
        cost = together / spread_x
        return max(0.0, (1 - (y - cost * x)) / cost)
