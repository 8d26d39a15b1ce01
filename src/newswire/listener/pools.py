"""Threads for one kind of request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from waitress.task import ThreadedTaskDispatcher


class Pool(ThreadedTaskDispatcher):
    """Threads for one kind of request."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def start_new_thread(self, target: Callable[[int], object], thread_no: int) -> None:
        """Start a worker; daemon, as a stuck application must not keep the process."""
        threading.Thread(target=target, args=(thread_no,), name=f"{self.name}-{thread_no}", daemon=True).start()

    def add_task(self, task: Any) -> None:
        """Queue a channel (any thread); waitress's own logs a warning whenever one has to wait."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()
