"""Long batches are stored one at a time, with rests between them in which others publish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from newswire.errors import Unavailable


class Turn:
    """A lock that rests, after each use, for as long as that took: whoever uses it has half of the time at most. Any thread."""

    def __init__(
        self,
        wait_seconds: float,
        rest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`wait_seconds`: how long somebody waits for the lock; `rest_seconds`: the longest rest; `clock`: seconds."""
        self._lock = threading.Lock()
        self._wait_seconds, self._rest_seconds = wait_seconds, rest_seconds
        self._clock, self._sleep = clock, sleep
        self._began = 0.0
        self._rested_at = 0.0

    def __enter__(self) -> None:
        """Wait for the turn. Raises Unavailable when it does not come."""
        if not self._lock.acquire(timeout=self._wait_seconds):
            raise Unavailable("too many batches wait at this broker: nothing was stored, try again or send smaller ones")
        rest = self._rested_at - self._clock()
        if rest > 0.0:
            self._sleep(rest)
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        """Give the turn back."""
        now = self._clock()
        self._rested_at = now + min(now - self._began, self._rest_seconds)
        self._lock.release()
