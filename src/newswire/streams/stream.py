"""One stream: where it is, what is still to be sent, and what may be acknowledged. Pure: knows no socket and no clock.

A stream is a position to read on from and a queue of bytes. It receives pages that are encoded already (many streams
share them), and gives bytes to send. History and live are one thing: what follows the position.

Three byte counts only grow, and 0 <= confirmed <= sent <= written always holds: `written_bytes` into the queue,
`sent_bytes` to the kernel, `confirmed_bytes` by the kernel at the other end. An *ack point* ties byte counts to event
ids: when the bytes of a page up to an event are confirmed, the id there may be acknowledged (docs/rules.md, AUTO-ACK).
There is one for each page that holds an event, so an idle stream acknowledges nothing; a page without events only moves
the id of the last point on. An event before which a gap is pending gives no such id.

A REOPEN starts from `last_id`, the last id that was put into the queue: bytes that wait there belong to before, so
nothing is sent twice or lost. For that a page must not be taken from beyond a change of the user's subscriptions that
the stream has not been reopened for: its ids would speak for a subscription that was not read. The hub sees to it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final
from zlib import crc32

import msgspec

from newswire import sse
from newswire.core import limits
from newswire.core.model.event_ids import EventId
from newswire.core.model.results import Position, Start
from newswire.stream_order import StreamOrder
from newswire.streams import gzip_blocks
from newswire.streams.pages import EncodedPage, encoding_of

KEEPALIVE: Final = sse.comment(sse.KEEPALIVE)
_KEEPALIVE_CHUNK: Final = sse.chunk(KEEPALIVE)
_KEEPALIVE_BLOCK: Final = gzip_blocks.block(KEEPALIVE)


class AckPoint(msgspec.Struct, gc=False):
    """A page in the queue, from byte `start` on: what may be acknowledged when how many of its bytes are confirmed."""

    start: int
    page: EncodedPage
    ack_id: EventId | None

    @property
    def end(self) -> int:
        """Where the page ends."""
        return self.start + len(self.page.body)

    def ack_id_at(self, confirmed: int) -> EventId | None:
        """What may be acknowledged behind the last event that is confirmed as a whole."""
        count = bisect_right(self.page.ends, confirmed - self.start)
        return self.page.ack_ids[count - 1] if count else None


class Stream:
    """The state of one stream. Owned by the hub's thread. Times are in seconds, of one clock that never goes back."""

    def __init__(self, order: StreamOrder, chunked: bool, now: float, head: bytes = b"") -> None:
        """`head`: of the response, if it is still to be sent."""
        self.order = order
        self.users = order.users
        self._acks = order.ack == "auto"
        self.encoding = encoding_of(order, chunked)
        self._checksum = self._plain_bytes = 0  # of what is written, where it is compressed
        self.position = Position()
        self.account = ""  # whose the subscriptions are
        self.is_behind = False  # something may be due at `position`
        self.is_ending = False
        self.written_bytes = 0
        self.sent_bytes = 0
        self.confirmed_bytes = 0
        self.page_limit = limits.STREAM_PAGE_MESSAGES
        self._last_id = order.event_id
        self._queue: list[bytes] = []  # a list, as most are empty: an empty deque takes 600 bytes
        self._head_sent = 0  # bytes of the queue's first part that are sent
        self._is_full = False
        self._ack_points: list[AckPoint] = []
        self._last_ack_id: EventId | None = None
        self._quiet_since = now
        self._event_at = now  # of the last event, or the opening
        self._waiting_since = now  # for a confirmation
        self._end_at = now
        if head:
            self._put(head, now)
        if order.gzip:
            self._put(self._framed(gzip_blocks.HEAD), now)

    # -- where it is

    @property
    def last_id(self) -> EventId | None:
        """What a REOPEN starts from: the last id put into the queue, else what the client came with."""
        return self._last_id

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait in the queue."""
        return self.written_bytes - self.sent_bytes

    @property
    def unconfirmed_bytes(self) -> int:
        """Bytes, sent or not, that the other end has not confirmed."""
        return self.written_bytes - self.confirmed_bytes

    @property
    def wants_page(self) -> bool:
        """Whether it reads on: something may be due, and the queue, once it was full, has drained."""
        return self.is_behind and not self._is_full and not self.is_ending

    @property
    def ack_points_count(self) -> int:
        """How many pages wait to be confirmed."""
        return len(self._ack_points)

    @property
    def is_done(self) -> bool:
        """Whether a stream at its end has nothing left to send or to learn."""
        return self.is_ending and not self._ack_points and self.written_bytes == self.sent_bytes

    def idle_seconds(self, now: float) -> float:
        """For how long it has brought nothing: since its last event, or since it was opened."""
        return now - self._event_at

    def unconfirmed_seconds(self, now: float) -> float:
        """For how long the other end has confirmed nothing, though there is something to confirm."""
        return now - self._waiting_since if self.written_bytes > self.confirmed_bytes else 0.0

    # -- what comes in

    def open(self, start: Start) -> None:
        """Read on from here: at the start, and when the user's subscriptions or rights changed (REOPEN)."""
        self.position, self.account, self.is_behind = start.position, start.account, start.more
        self._last_id = start.event_id or self._last_id

    def receive(self, page: EncodedPage, now: float) -> None:
        """Take what is due at `position`."""
        self.position, self.is_behind = page.position, page.more
        if page.more or self.page_limit < limits.STREAM_PAGE_MESSAGES:
            # about as many as fit a round: large ones would be read again and again to be cut off
            count = len(page.ends)
            wide = count >= self.page_limit or not page.more or not count
            self.page_limit = min(self.page_limit * 2 if wide else count * 2, limits.STREAM_PAGE_MESSAGES)
        if page.body:
            self._last_id, self._event_at = page.last_id, now
            if page.plain:
                self._count(page.plain)
                page = msgspec.structs.replace(page, plain=b"")  # it is not kept until what was sent is confirmed
            if self._acks:
                self._ack_points.append(AckPoint(self.written_bytes, page, page.ack_id))
            self._put(page.body, now)
        elif self._ack_points and page.ack_id is not None:
            self._ack_points[-1].ack_id = page.ack_id

    def pass_on(self, page: EncodedPage, now: float) -> None:
        """Take a page that `is_all` and that the kernel has taken already: `receive` and `note_sent`, with nothing queued."""
        self.position, self.is_behind, self._last_id = page.position, False, page.last_id
        self._event_at = self._quiet_since = now
        if self.page_limit < limits.STREAM_PAGE_MESSAGES:
            self.page_limit = min(self.page_limit * 2, limits.STREAM_PAGE_MESSAGES)
        start = self.written_bytes
        if start == self.confirmed_bytes:
            self._waiting_since = now
        if self._acks:
            self._ack_points.append(AckPoint(start, page, page.ack_id))
        self.written_bytes = self.sent_bytes = start + len(page.body)

    def write(self, body: bytes, now: float) -> None:
        """Queue event blocks that are not news: the greeting, a comment, `moved`."""
        if self.encoding.gzip:
            self._count(body)
            body = gzip_blocks.block(body)
        self._put(self._framed(body), now)

    def end(self, now: float, body: bytes = b"") -> None:
        """Read no more, queue last words and, where framed, the last chunk."""
        if self.is_ending:
            return
        if body:
            self.write(body, now)
        if self.encoding.gzip:
            self._put(self._framed(gzip_blocks.end(self._checksum, self._plain_bytes)), now)
        if self.encoding.chunked:
            self._put(sse.chunk(b""), now)
        self.is_ending, self._end_at = True, now

    # -- what goes out

    def bytes_to_send(self) -> bytes | memoryview:
        """The next bytes for one `send`; empty when there are none. Small parts are joined up to what a socket takes."""
        if not self._queue:
            return b""
        head = self._queue[0]
        if len(self._queue) > 1 and len(head) - self._head_sent < limits.SOCKET_BUFFER_BYTES:
            count, size = 0, 0
            while count < len(self._queue) and size < limits.SOCKET_BUFFER_BYTES:
                size += len(self._queue[count])
                count += 1
            head = b"".join(self._queue[:count])
            self._queue[:count] = [head]
        return memoryview(head)[self._head_sent :] if self._head_sent else head

    def note_sent(self, count: int, now: float) -> None:
        """Note that the kernel took `count` bytes."""
        self.sent_bytes += count
        if count:
            self._quiet_since = now
        if self.sent_bytes == self.written_bytes:
            self._queue.clear()
            self._head_sent, self._is_full = 0, False
            return
        self._head_sent += count
        while self._head_sent >= len(self._queue[0]):
            self._head_sent -= len(self._queue.pop(0))

    def note_confirmed(self, total: int, now: float) -> EventId | None:
        """Note that the other end has `total` bytes of this stream; what to acknowledge now, if it is a new id."""
        total = min(total, self.sent_bytes)
        if total <= self.confirmed_bytes:
            return None
        self.confirmed_bytes, self._waiting_since = total, now
        ack_id: EventId | None = None
        count = 0
        for point in self._ack_points:
            if point.end > total:
                ack_id = point.ack_id_at(total) or ack_id
                break
            ack_id = point.ack_id or ack_id
            count += 1
        del self._ack_points[:count]
        if ack_id is None or ack_id == self._last_ack_id:
            return None
        self._last_ack_id = ack_id
        return ack_id

    # -- time

    def tick(self, now: float, wall: float = 0.0) -> bool:
        """Do what silence asks for; False: close it (stalled, or at its end and its last bytes do not leave).

        `wall`: seconds since 1970.
        """
        if self.is_ending:
            return now < self._end_at + limits.STREAM_LINGER_SECONDS
        if now - self._waiting_since >= limits.STREAM_STALL_SECONDS and self.unconfirmed_bytes:
            return False
        if not self._queue and now >= self._quiet_since + limits.KEEPALIVE_SECONDS:
            if self.order.wire is not None:
                self.write(self.order.wire.keepalive(",".join(self.order.topics), wall), now)
            elif self.encoding.gzip:
                self._count(KEEPALIVE)
                self._put(self._framed(_KEEPALIVE_BLOCK), now)
            else:
                self._put(_KEEPALIVE_CHUNK if self.encoding.chunked else KEEPALIVE, now)
        return True

    def next_deadline(self, now: float) -> float:
        """When to `tick` next; never more than a keepalive period away, so bytes that move meanwhile need no new one."""
        if self.is_ending:
            return self._end_at + limits.STREAM_LINGER_SECONDS
        due = self._quiet_since + limits.KEEPALIVE_SECONDS
        due = due if due > now else now + limits.KEEPALIVE_SECONDS
        stall = self._waiting_since + limits.STREAM_STALL_SECONDS
        return stall if stall < due and self.written_bytes > self.confirmed_bytes else due

    # -- inside

    def _framed(self, body: bytes) -> bytes:
        return sse.chunk(body) if self.encoding.chunked else body

    def _count(self, plain: bytes) -> None:
        """Take on the checksum by what is written compressed."""
        self._checksum = crc32(plain, self._checksum)
        self._plain_bytes += len(plain)

    def _put(self, body: bytes, now: float) -> None:
        if self.written_bytes == self.confirmed_bytes:
            self._waiting_since = now
        self._queue.append(body)
        self.written_bytes += len(body)
        self._quiet_since = now
        if self.written_bytes - self.sent_bytes > limits.SEND_BUFFER_BYTES:
            self._is_full = True
