"""How often somebody may do something: a bucket of tokens for each, refilled with time. Pure: time is an argument."""

from __future__ import annotations

import math
from collections import OrderedDict

from newswire.core import limits


class Rate:
    """So many a second on average, a burst at once; 0: no limit. Constant time and bounded memory, one thread at a time."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when; longest unseen first

    def take(self, who: str, now: float) -> int:
        """Take one; returns 0, or in how many seconds there is one again. `now` in seconds."""
        if not self._per_second:
            return 0
        tokens, then = self._buckets.pop(who, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - then) * self._per_second)
        wait = 0 if tokens >= 1 else math.ceil((1 - tokens) / self._per_second)
        self._buckets[who] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > limits.RATE_CALLERS_COUNT:
            self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)
