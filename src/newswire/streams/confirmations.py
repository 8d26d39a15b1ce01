"""What the other end has confirmed, and the cursors that follow from it (docs/rules.md, AUTO-ACK).

The kernel counts the bytes of a connection that the other end has not acknowledged (SIOCOUTQ). Those bytes may include
a response head that was written before the stream began, so `sent - SIOCOUTQ` is never too high.

A reset connection has thrown its bytes away and its count says nothing, so the count is believed only if the connection
still stands *after* it was read. Orderly closes by the other end (CLOSE_WAIT) still stand: what it confirmed before, it had.
"""

from __future__ import annotations

import fcntl
import itertools
import socket
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.event_ids import EventId
from newswire.streams.connections import Connection
from newswire.streams.schedule import NEVER, Schedule

LINUX: Final = sys.platform.startswith("linux")
_SLOTS_COUNT: Final = 20  # over which acknowledgements that come at once are spread
_SLOT_SECONDS: Final = limits.ACK_EVERY_SECONDS / _SLOTS_COUNT
_SIOCOUTQ: Final = 0x5411
_STANDING: Final = frozenset((1, 4, 5, 8))  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT (include/net/tcp_states.h)


def confirmed_bytes(sock: socket.socket, sent_bytes: int) -> int | None:
    """How many of `sent_bytes` the other end's kernel has; None: it cannot be known any more.

    Off Linux what was sent counts.
    """
    if not LINUX:
        return sent_bytes
    try:
        unacknowledged = int.from_bytes(fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4)), sys.byteorder)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            stands = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _STANDING
        else:
            stands = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        return max(sent_bytes - unacknowledged, 0) if stands else None
    except (OSError, ValueError):  # closed
        return None


class PendingAcks:
    """Acknowledgements on their way to the engine, which each stream has about every two seconds. Hub thread only.

    Each is an op on the disk of every broker. After one message for everybody all come at once, and what is published then
    would wait for all of them: so they are spread.

    One that the engine does not take now is offered again, unless a newer one of the same source has replaced it.
    """

    def __init__(self, post: Callable[[Sequence[Acknowledge]], bool]) -> None:
        self._post = post
        self._acks: dict[Hashable, Acknowledge] = {}
        self._schedule: Schedule[Hashable] = Schedule(_SLOT_SECONDS)
        self._slots = itertools.cycle(range(_SLOTS_COUNT))

    def __len__(self) -> int:
        return len(self._acks)

    @property
    def due(self) -> float:
        """When to `post` next; NEVER if there is nothing."""
        return self._schedule.next_due

    def offer(self, source: Hashable, user: str, event_id: EventId, now: float, account: str = "") -> None:
        """Have `event_id` acknowledged for `user` within three seconds; it replaces what `source` offered before."""
        self._acks[source] = Acknowledge(user, event_id, account=account)
        if source not in self._schedule:
            spread = next(self._slots) * _SLOT_SECONDS - limits.ACK_EVERY_SECONDS / 2
            self._schedule.put(source, now + limits.ACK_EVERY_SECONDS + spread)

    def hurry(self, source: Hashable, now: float) -> None:
        """Have what `source` offered, if it did, acknowledged at once: a stream has begun or ended."""
        if source in self._acks:
            self._schedule.put(source, now)

    def post(self, now: float) -> bool:
        """Hand what is due to the engine; False: it did not take all."""
        sources = []
        while (source := self._schedule.pop(now)) is not None:
            sources.append(source)
        for start in range(0, len(sources), limits.ACK_POST_REQUESTS):
            some = sources[start : start + limits.ACK_POST_REQUESTS]
            if not self._post([self._acks[source] for source in some]):
                for source in sources[start:]:
                    self._schedule.put(source, now + limits.ACK_EVERY_SECONDS)
                return False
            for source in some:
                del self._acks[source]
        return True

    def post_all(self) -> bool:
        """Hand everything to the engine; False: it did not take all."""
        return self.post(NEVER)


class Confirmations:
    """What the clients of streams have: asked of the kernel, and offered as acknowledgements. Hub thread only.

    It is asked again and again only where it changes something: for streams that send what may be acknowledged. Of the
    others it is asked when their silence is looked at.
    """

    def __init__(self, acks: PendingAcks) -> None:
        self._acks = acks
        self._watched: dict[Connection, None] = {}
        self._due = 0.0

    @property
    def due(self) -> float:
        """When to `check` next; NEVER if there is nothing."""
        return self._due if self._watched else NEVER

    def watch(self, conn: Connection) -> None:
        """Ask for `conn` from now on, if it has something to acknowledge."""
        if conn.stream.wants_confirmation:
            self._watched[conn] = None

    def remove(self, conn: Connection, now: float) -> None:
        """Ask for `conn` a last time."""
        self.check_one(conn, now)
        self._watched.pop(conn, None)
        self._acks.hurry(conn, now)

    def hurry(self) -> None:
        """Have the next `check` due at once."""
        self._due = 0.0

    def check(self, now: float) -> list[Connection]:
        """Ask for all that are watched. Those whose streams are done."""
        ends = []
        is_ending = False
        for conn in list(self._watched):
            self.check_one(conn, now)
            stream = conn.stream
            is_ending = is_ending or stream.is_ending
            if not stream.wants_confirmation:
                del self._watched[conn]
            if stream.is_done:
                ends.append(conn)
        self._due = now + (limits.CONFIRM_ENDING_SECONDS if is_ending else limits.CONFIRM_EVERY_SECONDS)
        return ends

    def check_one(self, conn: Connection, now: float) -> None:
        """Ask for `conn`."""
        stream = conn.stream
        total = confirmed_bytes(conn.sock, stream.sent_bytes)
        ack_id = stream.note_confirmed(total, now) if total is not None else None
        if ack_id is not None:
            self._acks.offer(conn, stream.order.user, ack_id, now, stream.account)
