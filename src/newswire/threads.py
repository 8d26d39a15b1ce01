"""Threads of a broker, each of which is missed when it dies.

A broker one of whose threads has died looks well and is not: its streams stay open and silent, a peer is pushed to no more,
requests wait for a worker that is not there. So the death of any ends the process (`OnFatal`), and whatever watches the process
starts it again; nothing that was acknowledged is lost by it. What fails and can be done again does not kill its thread.

A thread that serves everybody (the listener's loop, the commit thread) must never wait for somebody: it says so with
`never_waits`, and what waits asks `check_may_wait` first, so that a mistake is an error and not a broker that stands still.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

_log: Final = logging.getLogger("newswire.threads")
_NEVER_WAITS: Final = "newswire_never_waits"  # attribute of a thread

OnFatal = Callable[[BaseException], None]
"""Ends the process, for this reason. The thread that dies calls it."""


class ThreadEnded(Exception):
    """A thread came to its end though nobody had asked it to."""


class MustNotWait(RuntimeError):
    """A thread that serves everybody was about to wait for one."""


class NeedsThread(BaseException):
    """What runs in a thread that never waits finds that it would: it changed nothing, and is to be run again in another.

    No Exception: what handles those in between must let it pass.
    """


def never_waits() -> None:
    """Promise that this thread waits for nobody."""
    setattr(threading.current_thread(), _NEVER_WAITS, True)


def must_not_wait() -> bool:
    """Say whether this thread promised to wait for nobody."""
    return getattr(threading.current_thread(), _NEVER_WAITS, False)


def check_may_wait(what: str) -> None:
    """Raise MustNotWait in a thread that promised not to. `what`: what is about to be waited for, or takes long."""
    if must_not_wait():
        raise MustNotWait(f"the thread {threading.current_thread().name} serves everybody and may not wait for {what}")


def supervise(main: Callable[..., object], name: str, on_fatal: OnFatal, *, may_end: Callable[[], bool]) -> threading.Thread:
    """A thread that runs `main` and is not started yet.

    Calls `on_fatal` when `main` raises, whatever it is, or returns while `may_end` says that nobody asked it to.
    """

    def run(*arguments: Any) -> None:
        try:
            main(*arguments)
            if not may_end():
                raise ThreadEnded(f"the thread {name} ended by itself")
        except BaseException as error:
            _log.critical("the thread %s died: %s", name, error or type(error).__name__, exc_info=True)
            on_fatal(error)

    return threading.Thread(target=run, name=name, daemon=True)


class Stumbles:
    """Counts the turns of a loop that failed in a row: one is logged and survived, a loop that only stumbles does nothing."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.in_a_row = 0
        self.count = 0  # in all

    def went_well(self) -> None:
        """Note a turn that did not fail."""
        self.in_a_row = 0

    def failed(self, error: Exception) -> None:
        """Note one that did. Raises `error` when it is the last that may."""
        self.in_a_row += 1
        self.count += 1
        if self.in_a_row >= self._most:
            raise error
