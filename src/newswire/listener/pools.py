"""Threads for one kind of request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waitress.task import ThreadedTaskDispatcher

from newswire.listener.turns import Turns
from newswire.threads import OnFatal, supervise


class Pool(ThreadedTaskDispatcher):
    """Threads for one kind of request."""

    def __init__(self, name: str, on_fatal: OnFatal, *, is_last: Callable[[Any], bool] = lambda task: False) -> None:
        """`is_last`: see `Turns`."""
        super().__init__()
        self.name, self._on_fatal = name, on_fatal
        self.queue: Turns[Any] = Turns(is_last)  # type: ignore[assignment]
        # so that a caller with a hundred connections waits as long as one with one

    def start_new_thread(self, target: Callable[[int], object], thread_no: int) -> None:
        """Start a worker; daemon, as a stuck application must not keep the process."""
        supervise(lambda: target(thread_no), f"{self.name}-{thread_no}", self._on_fatal, may_end=lambda: True).start()

    def count_of(self, caller: str) -> int:
        """How many requests of one caller wait. Any thread."""
        with self.lock:
            return self.queue.count_of(caller)

    def add_task(self, task: Any) -> None:
        """Queue a channel (any thread); waitress's own logs a warning whenever one has to wait."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()
