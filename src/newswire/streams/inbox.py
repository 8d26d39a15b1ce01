"""What other threads leave for the hub: sockets, and what commits changed, merged. It rings a bell that a selector hears."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from newswire.engine.seam import Woken
from newswire.stream_order import StreamOrder

Handed = tuple[StreamOrder, socket.socket, bool]  # the last: whether the response head said chunked


class Inbox:
    """What other threads leave for the hub. Every method but `take` and `drain`: any thread, at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._rung = False
        self._orders: list[Handed] = []
        self._topics: set[str] = set()
        self._users: set[str] = set()
        self._serves = True
        self._since: float | None = None  # when the oldest waiting message came
        self.closed = False

    @property
    def ear(self) -> socket.socket:
        """What becomes readable when something was left."""
        return self._ear

    def put_order(self, order: StreamOrder, sock: socket.socket, chunked: bool) -> bool:
        """Leave a socket; False: nobody will take it."""
        with self._lock:
            if self.closed:
                return False
            self._orders.append((order, sock, chunked))
            self._ring()
            return True

    def put_woken(self, woken: Woken) -> None:
        """Leave what a commit changed, merged with what waits."""
        with self._lock:
            if self.closed:
                return
            self._topics |= woken.topics
            self._users |= woken.users
            self._serves = woken.serves
            if woken.topics and self._since is None:
                self._since = self._clock()
            self._ring()

    def ring(self) -> None:
        """Wake the hub without leaving anything."""
        with self._lock:
            if not self.closed:
                self._ring()

    def changed(self, user: str) -> bool:
        """Whether a change of this user's subscriptions waits. Hub thread; a set is looked up in one step."""
        return user in self._users

    @property
    def orders(self) -> int:
        """How many sockets wait to be adopted."""
        return len(self._orders)

    def waited(self) -> float:
        """How old the oldest waiting message is, in seconds."""
        since = self._since
        return 0.0 if since is None else self._clock() - since

    def take(self) -> tuple[list[Handed], Woken]:
        """Take everything. Hub thread."""
        with self._lock:
            if self._rung:
                self._ear.recv(64)
                self._rung = False
            orders, self._orders = self._orders, []
            woken = Woken(frozenset(self._topics), frozenset(self._users), self._serves)
            self._topics, self._users, self._since = set(), set(), None
            return orders, woken

    def close(self) -> list[socket.socket]:
        """Take no more; the sockets that nobody adopted."""
        with self._lock:
            self.closed = True
            self._bell.close()
            self._ear.close()
            return [sock for _, sock, _ in self._orders]

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.send(b"\0")
