"""What the other end has confirmed, and the cursors that follow from it (docs/rules.md, AUTO-ACK).

The kernel counts the bytes of a connection that the other end has not acknowledged (SIOCOUTQ). Those bytes may include
answers that were written before the stream began, so `sent - SIOCOUTQ` is never too high.

A reset connection has thrown its bytes away and its count says nothing, so the count is believed only if the connection
still stands *after* it was read. Orderly closes by the other end (CLOSE_WAIT) still stand: what it confirmed before, it had.
"""

from __future__ import annotations

import fcntl
import itertools
import socket
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Final, NamedTuple

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.event_ids import EventId
from newswire.streams.connections import Connection
from newswire.streams.schedule import NEVER, SLOT_SECONDS, Schedule

LINUX: Final = sys.platform.startswith("linux")
_SLOTS_COUNT: Final = 5  # over which acknowledgements that come at once are spread: one op each, and each is a sync
_SLOT_SECONDS: Final = limits.ACK_EVERY_SECONDS / _SLOTS_COUNT
_SIOCOUTQ: Final = 0x5411
_STANDING: Final = frozenset((1, 4, 5, 8))  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT (include/net/tcp_states.h)
_LAST_ACK: Final = slice(56, 60)  # tcpi_last_ack_recv, in ms, of struct tcp_info (include/uapi/linux/tcp.h)
_WRITTEN_WITHIN_SECONDS: Final = limits.KEEPALIVE_SECONDS + SLOT_SECONDS  # after a confirmation something more is written


class KernelReceipt(NamedTuple):
    """What the other end's kernel has of a stream, and how many seconds ago it last confirmed anything."""

    byte_count: int
    age: float


def ask_kernel(sock: socket.socket, sent_bytes: int) -> KernelReceipt | None:
    """How many of `sent_bytes` the other end's kernel has; None: it cannot be known any more.

    Off Linux what was sent counts, and off TCP it was confirmed just now.
    """
    if not LINUX:
        return KernelReceipt(sent_bytes, 0.0)
    try:
        unacknowledged = int.from_bytes(fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4)), sys.byteorder)
        age = _silent_seconds(sock)
        return None if age is None else KernelReceipt(max(sent_bytes - unacknowledged, 0), age)
    except (OSError, ValueError):  # closed
        return None


def _silent_seconds(sock: socket.socket) -> float | None:
    """How many seconds ago the other end last confirmed anything; None where the connection does not stand any more.

    Raises OSError where it is closed.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK.stop)
    except OSError:  # it is none of TCP; to ask of which family it is takes as long as all the rest
        return None if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else 0.0
    return int.from_bytes(info[_LAST_ACK], sys.byteorder) / 1000 if info[0] in _STANDING else None


class PendingAcks:
    """Acknowledgements on their way to the engine. Hub thread only.

    Those that the engine does not take now are offered again, unless a newer one of the same source has replaced them.
    """

    def __init__(self, post: Callable[[Sequence[Acknowledge]], bool]) -> None:
        self._post = post
        self._acks: dict[Hashable, Acknowledge] = {}
        self._due = 0.0

    def __len__(self) -> int:
        return len(self._acks)

    @property
    def due(self) -> float:
        """When to `post` next; NEVER if there is nothing."""
        return self._due if self._acks else NEVER

    def offer(self, source: Hashable, ack: Acknowledge) -> None:
        """Have it handed over with the next `post`; it replaces what `source` offered before."""
        self._acks[source] = ack

    def post(self, now: float) -> bool:
        """Hand all to the engine; False: it did not take all, and is asked again later."""
        while self._acks:
            some = list(itertools.islice(self._acks.items(), limits.ACK_POST_REQUESTS))
            if not self._post([ack for _, ack in some]):
                self._due = now + limits.ACK_EVERY_SECONDS
                return False
            for source, _ in some:
                del self._acks[source]
        self._due = 0.0
        return True


class Confirmations:
    """What the clients of streams have: asked of the kernel, and acknowledged. Hub thread only.

    Each acknowledgement is work for every broker, and so is each question. So a stream is asked for two seconds after it has
    sent what may be acknowledged: once for all that it has sent meanwhile. After one message for everybody that would be all
    streams at once, and what is published then would wait for all of them: so they are spread.
    """

    def __init__(self, acks: PendingAcks) -> None:
        self._acks = acks
        self._schedule: Schedule[Connection] = Schedule(_SLOT_SECONDS)
        self._slots = itertools.cycle(range(_SLOTS_COUNT))
        self._ack_ids: dict[Connection, EventId] = {}  # what is to be acknowledged when the time of the stream has come
        self._leavers: dict[Connection, None] = {}  # streams at their end, which close when all is confirmed
        self._leavers_due = 0.0

    @property
    def due(self) -> float:
        """When to `check` next; NEVER if there is nothing."""
        return min(self._schedule.next_due, self._leavers_due if self._leavers else NEVER)

    def watch(self, conn: Connection, now: float) -> None:
        """Ask for `conn`, which has something to acknowledge, within three seconds; soon if that ends it."""
        if not conn.is_watched:
            conn.is_watched = True
            spread = next(self._slots) * _SLOT_SECONDS - limits.ACK_EVERY_SECONDS / 2
            self._schedule.put(conn, now + limits.ACK_EVERY_SECONDS + spread)
        if conn.stream.ack_points_count % limits.ACK_POINTS_COUNT == 0:
            self.check_one(conn, now)
        if conn.stream.is_ending:
            self._leavers[conn] = None

    def remove(self, conn: Connection, now: float) -> None:
        """Ask for `conn` a last time, and have what it has acknowledged at once."""
        self.check_one(conn, now)
        self._acknowledge(conn)
        self._schedule.remove(conn)
        self._leavers.pop(conn, None)

    def check(self, now: float) -> list[Connection]:
        """Ask for those whose time has come, and have what they have acknowledged. Those whose streams are done."""
        while (conn := self._schedule.pop(now)) is not None:
            self.check_one(conn, now)
            self._acknowledge(conn)
            conn.is_watched = conn.stream.ack_points_count > 0
            if conn.is_watched:
                self._schedule.put(conn, now + limits.ACK_EVERY_SECONDS)
        if now < self._leavers_due:
            return []
        self._leavers_due = now + limits.CONFIRM_ENDING_SECONDS
        for conn in self._leavers:
            self.check_one(conn, now)
        return [conn for conn in self._leavers if conn.stream.is_done]

    def check_one(self, conn: Connection, now: float) -> None:
        """Ask for `conn`. What it confirmed counts from then, not from now; what is out since was written soon after."""
        confirmed = ask_kernel(conn.sock, conn.stream.sent_bytes)
        if confirmed is None:
            return
        at = min(now, now - confirmed.age + _WRITTEN_WITHIN_SECONDS)
        ack_id = conn.stream.note_confirmed(confirmed.byte_count, at)
        if ack_id is not None:
            self._ack_ids[conn] = ack_id

    def _acknowledge(self, conn: Connection) -> None:
        ack_id = self._ack_ids.pop(conn, None)
        if ack_id is not None:
            order = conn.stream.order
            self._acks.offer(conn, Acknowledge(order.user, ack_id, account=conn.stream.account, token=order.token))
