"""The state lock: one holder at a time, and the commit thread goes first.

A plain lock goes to whoever is awake, so a query of many pieces would take it again before the commit thread, which slept,
could. Here a reader who gets the lock while the commit thread wants it gives it back at once, and waits at a gate that the
commit thread holds meanwhile. So that thread waits for one piece of a query at most, however many readers there are.

The other way round it is the same: a commit of many pieces makes way for the readers that wait, between two of them.

A thread that never waits (`threads`) tries for a moment: else what it runs is run again in a thread that may wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from newswire import threads
from newswire.core import limits


class StateLock:
    """`with lock:` for readers, any thread; `with lock.first():` for the commit thread, or whoever is the only writer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self.writer_waits = False
        self.readers_wait: set[int] = set()  # by thread

    def __enter__(self) -> None:
        if threads.must_not_wait():
            self._try()
            return
        me = threading.get_ident()
        self.readers_wait.add(me)
        while True:
            with self._gate:
                pass
            self._lock.acquire()
            if not self.writer_waits:
                break
            self._lock.release()
        self.readers_wait.discard(me)

    def _try(self) -> None:
        """Raise NeedsThread where the lock does not come at once."""
        until = time.monotonic() + limits.LIGHT_LOCK_SECONDS
        while self._lock.acquire(timeout=limits.LIGHT_LOCK_SECONDS):
            if not self.writer_waits:
                return
            self._lock.release()
            if time.monotonic() >= until:
                break
            time.sleep(0)
        raise threads.NeedsThread

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Hold the lock, before every reader that waits for it."""
        with self._gate:
            self.writer_waits = True
            self._lock.acquire()
            self.writer_waits = False
        try:
            yield
        finally:
            self._lock.release()

    def make_way(self) -> None:
        """Let those readers have a turn that wait now; give up after a few tries. The writer, holding nothing."""
        waiting = set(self.readers_wait)
        for _ in range(limits.MAKE_WAY_TRIES):
            if waiting.isdisjoint(self.readers_wait):
                break
            time.sleep(limits.MAKE_WAY_SECONDS)
