"""Numbers that one thread counts and any thread reads (docs/operate.md, Metrics).

Each number has one owner, so nothing is locked where messages flow: counting takes a few hundred nanoseconds. Who reads may see
a number that is one behind another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # of waiting for a disk


class Distribution(msgspec.Struct, frozen=True):
    """How often what was observed was at most each of `bounds`, and in all; `total` is the sum of it."""

    bounds: tuple[float, ...] = SECONDS
    counts: tuple[int, ...] = (0,) * len(SECONDS)  # cumulative
    count: int = 0
    total: float = 0.0


class Histogram:
    """Counts observations by size. `observe`: its owner's thread only; `read`: any thread."""

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count `value`, which belongs to the first bound that is not below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def read(self) -> Distribution:
        """Return what was observed up to now."""
        *counts, count = accumulate(self._counts)
        return Distribution(bounds=self._bounds, counts=tuple(counts), count=count, total=self._total)
