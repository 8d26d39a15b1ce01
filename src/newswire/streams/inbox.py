"""What other threads leave for the hub: sockets, and what commits changed, merged. It wakes the hub's selector."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

from newswire.core.access import EVERYBODY
from newswire.engine.seam import Wake
from newswire.stream_order import StreamOrder


class Arrival(NamedTuple):
    """A socket that is to be served, with the head of the response that is sent first. `chunked`: as that says."""

    order: StreamOrder
    sock: socket.socket
    head: bytes
    chunked: bool


class Inbox:
    """What other threads leave for the hub. Every method but `take`: any thread, and it never waits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._writer, self._reader = socket.socketpair()
        self._writer.setblocking(False)
        self._reader.setblocking(False)
        self._is_awake = False  # a byte waits for the reader
        self._arrivals: list[Arrival] = []
        self._topics: set[str] = set()
        self._users: set[str] = set()
        self._serves = True
        self._since: float | None = None  # when the oldest waiting message came
        self.is_closed = False
        self.is_for_nobody = False  # the hub waits, and has no stream; set by its thread

    @property
    def reader(self) -> socket.socket:
        """What becomes readable when something waits."""
        return self._reader

    def put_arrival(self, arrival: Arrival) -> bool:
        """Leave a socket; False: nobody will take it."""
        with self._lock:
            if self.is_closed:
                return False
            self._arrivals.append(arrival)
            self._wake()
            return True

    def put_wake(self, wake: Wake) -> None:
        """Leave what a commit changed, merged with what waits.

        What a stream will read that is yet to come is there already, so topics wake nobody where there is none.
        """
        with self._lock:
            if self.is_closed or self._is_of_no_use(wake):
                return
            self._topics |= wake.topics
            self._users |= wake.users
            self._serves = wake.serves
            if wake.topics and self._since is None:
                self._since = self._clock()
            self._wake()

    def wake(self) -> None:
        """Wake the hub without leaving anything."""
        with self._lock:
            if not self.is_closed:
                self._wake()

    @property
    def has_changes(self) -> bool:
        """Whether a change of what somebody is subscribed to, or may read, waits. Hub thread."""
        return bool(self._users)

    def has_change_of(self, users: tuple[str, ...]) -> bool:
        """Whether a change of what these users are subscribed to, or may read, waits. Hub thread; a look-up is one step."""
        changed = self._users
        return bool(changed) and not changed.isdisjoint((*users, EVERYBODY))

    @property
    def arrivals_count(self) -> int:
        """How many sockets wait to be served."""
        return len(self._arrivals)

    def age(self) -> float:
        """How old the oldest message that waits is, in seconds."""
        since = self._since
        return 0.0 if since is None else self._clock() - since

    def take(self) -> tuple[list[Arrival], Wake]:
        """Take everything. Hub thread."""
        with self._lock:
            if self._is_awake:
                self._reader.recv(64)
                self._is_awake = False
            arrivals, self._arrivals = self._arrivals, []
            wake = Wake(frozenset(self._topics), frozenset(self._users), self._serves)
            self._topics, self._users, self._since = set(), set(), None
            return arrivals, wake

    def close(self) -> list[Arrival]:
        """Take no more; what nobody took."""
        with self._lock:
            self.is_closed = True
            self._writer.close()
            self._reader.close()
            return self._arrivals

    def _is_of_no_use(self, wake: Wake) -> bool:
        return self.is_for_nobody and not (self._arrivals or wake.users) and wake.serves == self._serves

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._writer.send(b"\0")
