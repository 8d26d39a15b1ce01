"""While others publish, long batches are stored one at a time, with rests between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from newswire.errors import Unavailable
from newswire.threads import check_may_wait


class Turn:
    """Who takes it has half of the time at most while others publish, and all of it while nobody does. Any thread."""

    def __init__(
        self,
        wait_seconds: float,
        rest_seconds: float,
        quiet_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`wait_seconds`: how long somebody waits for the turn; `rest_seconds`: the longest rest after one.

        `quiet_seconds`: how long after `note_other` others still count as publishing; `clock`: seconds.
        """
        self._lock = threading.Lock()
        self._wait_seconds, self._rest_seconds, self._quiet_seconds = wait_seconds, rest_seconds, quiet_seconds
        self._clock, self._sleep = clock, sleep
        self._rested_at = 0.0
        self._other_at = -quiet_seconds

    def note_other(self) -> None:
        """Somebody publishes who takes no turn."""
        self._other_at = self._clock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the turn, if others publish. Raises Unavailable when it does not come. Threads that may wait."""
        check_may_wait("the turn of long batches")
        if self._clock() - self._other_at >= self._quiet_seconds:
            yield
            return
        if not self._lock.acquire(timeout=self._wait_seconds):
            raise Unavailable("too many batches wait at this broker: nothing was stored, try again or send smaller ones")
        try:
            rest = self._rested_at - self._clock()
            if rest > 0.0:
                self._sleep(rest)
            start = self._clock()
            try:
                yield
            finally:
                now = self._clock()
                self._rested_at = now + min(now - start, self._rest_seconds)
        finally:
            self._lock.release()
