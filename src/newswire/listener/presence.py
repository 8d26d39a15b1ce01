"""Whether somebody still waits for an answer: what the kernel knows of a connection that nobody reads. Any thread.

Nothing is read, so that it shows behind unread input, and of a connection with TLS, too.
"""

from __future__ import annotations

import select
from typing import Protocol

_RESET = select.POLLHUP | select.POLLERR


class HasDescriptor(Protocol):
    """A connection."""

    _fileno: int | None


def has_left(connection: HasDescriptor) -> bool:
    """Say whether the client has closed his half: most that have will not read an answer."""
    return bool(_look_at(connection) & (select.POLLRDHUP | _RESET))


def is_reset(connection: HasDescriptor) -> bool:
    """Say whether nobody will read an answer."""
    return bool(_look_at(connection) & _RESET)


def _look_at(connection: HasDescriptor) -> int:
    fd = connection._fileno
    if fd is None:
        return _RESET
    look = select.poll()
    look.register(fd, select.POLLRDHUP)
    return next((events for _, events in look.poll(0)), 0)
