"""What the other end has confirmed, and the cursors that follow from it (docs/rules.md, AUTO-ACK).

The kernel counts the bytes of a connection that the other end has not acknowledged (SIOCOUTQ). Those bytes may include
a response head that was written before the stream began, so `sent - SIOCOUTQ` is never too high.

A reset connection has thrown its bytes away and its count says nothing, so the count is believed only if the connection
still stands *after* it was read. Orderly closes by the other end (CLOSE_WAIT) still stand: what it confirmed before, it had.
"""

from __future__ import annotations

import fcntl
import socket
import sys
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Final

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.event_ids import EventId

LINUX: Final = sys.platform.startswith("linux")
_SIOCOUTQ: Final = 0x5411
_STANDING: Final = frozenset((1, 4, 5, 8))  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT (include/net/tcp_states.h)


def confirmed(sock: socket.socket, sent: int) -> int | None:
    """How many of `sent` bytes the other end's kernel has; None: it cannot be known any more.

    Off Linux what was sent counts.
    """
    if not LINUX:
        return sent
    try:
        waiting = _unacknowledged(sock)
        return max(sent - waiting, 0) if _stands(sock) else None
    except (OSError, ValueError):  # closed
        return None


def _unacknowledged(sock: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4)), sys.byteorder)


def _stands(sock: socket.socket) -> bool:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _STANDING


class Acks:
    """Acknowledgements on their way to the engine. Hub thread only.

    One that the engine does not take now is offered again, unless a newer one of the same source has replaced it.
    """

    def __init__(self, post: Callable[[Sequence[Acknowledge]], bool]) -> None:
        self._post = post
        self._waiting: dict[Hashable, Acknowledge] = {}
        self.posted = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, source: Hashable, user: str, event_id: EventId) -> None:
        """Have `event_id` acknowledged for `user` with the next `post`; it replaces what `source` offered before."""
        self._waiting[source] = Acknowledge(user, event_id)

    def post(self) -> bool:
        """Hand everything to the engine; False: it did not take all."""
        while self._waiting:
            some = dict(islice(self._waiting.items(), limits.ACK_POST_REQUESTS))
            if not self._post(list(some.values())):
                return False
            self.posted += len(some)
            for source in some:
                del self._waiting[source]
        return True
