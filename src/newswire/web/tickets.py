"""Tickets: what opens one stream, once, within 30 seconds, so that no address holds a credential that is good for longer.

They live in this broker's memory alone: one that was given out here is of use here.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from newswire.core import limits

T = TypeVar("T")


class Tickets(Generic[T]):
    """Tickets that were given out and not used yet, each for a value. Any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[bytes, tuple[float, T]] = OrderedDict()  # by digest: until when, what for; oldest first

    def give(self, value: T) -> str:
        """A new ticket for `value`."""
        ticket = secrets.token_urlsafe(limits.TOKEN_BYTES)
        now = self._clock()
        with self._lock:
            while self._open and (len(self._open) >= limits.TICKETS_COUNT or next(iter(self._open.values()))[0] <= now):
                self._open.popitem(last=False)
            self._open[_digest(ticket)] = (now + limits.TICKET_SECONDS, value)
        return ticket

    def take(self, ticket: str) -> T | None:
        """What the ticket is for; None if it was used, is too old, or is none. It is used then."""
        with self._lock:
            until, value = self._open.pop(_digest(ticket), (0.0, None))
        return value if self._clock() < until else None


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
