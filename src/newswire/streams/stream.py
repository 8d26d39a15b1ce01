"""One stream: where it is, what it wants, what is still to be sent, and what may be acknowledged.

A stream is a place to read on from (`position`) and a queue of bytes. It receives pages, already encoded as
`Frames` (many streams share them), and gives bytes to send. History and live are one thing: what follows the position.

Three byte counts only grow, and 0 <= confirmed <= sent <= written always holds: `written` into the queue, `sent` to
the kernel, `confirmed` by the kernel at the other end. A **mark** ties byte counts to places: when the bytes up to
a mark are confirmed, its place may be acknowledged (docs/rules.md, AUTO-ACK). Marks are made only for pages that hold an
entry, so an idle stream acknowledges nothing; a page without entries only moves the place of the last mark on. A place
before which a gap is pending (`Page.pending_gap`) never becomes the place of a mark.

A REOPEN starts from `last_id`, the last id that was put into the queue: bytes that wait there belong to before, so
nothing is sent twice or lost. For that a page must not be taken from beyond a change of the user's subscriptions that
the stream has not been reopened for: its ids would speak for a subscription that was not read. The hub sees to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from newswire import sse
from newswire.core import limits
from newswire.core.model.event_ids import EventId
from newswire.core.model.results import Entry, Gap, Page, Position
from newswire.stream_order import StreamOrder

KEEPALIVE: Final = sse.comment(sse.KEEPALIVE)


class Frames(msgspec.Struct, frozen=True):
    """A page as it is sent to all streams at one place, and where they go on.

    `ends[i]` is where the i-th frame ends in `body`, `places[i]` what may be acknowledged from there on (None while a gap
    is pending), `place` the same for the whole. `last_id`: of the last frame.
    """

    body: bytes
    ends: tuple[int, ...]
    places: tuple[EventId | None, ...]
    place: EventId | None
    last_id: EventId | None
    position: Position
    more: bool


def write_frames(page: Page, *, as_json: bool, chunked: bool, most: int = limits.STREAM_ROUND_BYTES) -> Frames:
    """Encode `page`; all its frames are one chunk. It is cut behind the frame that reaches `most` bytes."""
    frames: list[bytes] = []
    ends: list[int] = []
    places: list[EventId | None] = []
    place: EventId | None = None
    size = 0
    for entry in page.entries:
        frames.append(_frame(entry, as_json))
        size += len(frames[-1])
        ends.append(size)
        told = not entry.pending_gap
        place = entry.event_id if told else place
        places.append(place)
        if size >= most and told:
            break
    head, body = _framed(frames, chunked)
    shifted = tuple(end + head for end in ends)
    last = page.entries[len(frames) - 1] if frames else None
    if last is not None and len(frames) < len(page.entries):
        return Frames(body, shifted, tuple(places), place, last.event_id, last.position, True)
    place = place if page.pending_gap else page.event_id
    last_id = last.event_id if last is not None else None  # a page ends with no gap that has none
    return Frames(body, shifted, tuple(places), place, last_id, page.position, page.more)


def _frame(entry: Entry | Gap, as_json: bool) -> bytes:
    if isinstance(entry, Gap):
        return sse.gap_event(entry.topic, entry.dropped, entry.event_id, entry.reason)
    return sse.message_event(entry.message, entry.event_id, as_json=as_json)


def _framed(frames: list[bytes], chunked: bool) -> tuple[int, bytes]:
    """The body of a round, and how many bytes stand before its first frame."""
    plain = b"".join(frames)
    if not chunked or not plain:
        return 0, plain
    body = sse.chunk(plain)
    return len(body) - len(plain) - 2, body


class _Mark:
    """Frames in the queue: the byte count before them, and what may be acknowledged when how much is confirmed."""

    __slots__ = ("_ends", "_places", "_start", "end", "place")

    def __init__(self, start: int, frames: Frames) -> None:
        self._start = start
        self._ends = frames.ends
        self._places = frames.places
        self.end = start + len(frames.body)
        self.place = frames.place

    def reached(self, confirmed: int) -> EventId | None:
        """The place of the last frame that is confirmed as a whole."""
        count = bisect_right(self._ends, confirmed - self._start)
        return self._places[count - 1] if count else None


class Stream:
    """The state of one stream. Knows no socket and no clock; owned by the hub's thread."""

    def __init__(self, order: StreamOrder, chunked: bool, now: float) -> None:
        self.order = order
        self.as_json = order.format == "json"
        self.chunked = chunked
        self.position = Position()
        self.behind = False  # something may be due at `position`
        self.ended = False
        self.written = 0
        self.sent_bytes = 0
        self.confirmed_bytes = 0
        self.page_limit = limits.STREAM_PAGE_MESSAGES
        self._last_id = order.event_id
        self._queue: deque[bytes] = deque()
        self._head_sent = 0  # bytes of the queue's first part that are sent
        self._full = False
        self._marks: deque[_Mark] = deque()
        self._acknowledged: EventId | None = None
        self._quiet_since = now
        self._waiting_since = now  # for a confirmation
        self._ended_at = now

    # -- where it is

    @property
    def last_id(self) -> EventId | None:
        """What a REOPEN starts from: the last id put into the queue, else what the client came with."""
        return self._last_id

    @property
    def unsent(self) -> int:
        """Bytes that wait in the queue."""
        return self.written - self.sent_bytes

    @property
    def unconfirmed(self) -> int:
        """Bytes, sent or not, that the other end has not confirmed."""
        return self.written - self.confirmed_bytes

    @property
    def hungry(self) -> bool:
        """Whether it reads on: something may be due, and the queue, once it was full, has drained."""
        return self.behind and not self._full and not self.ended

    @property
    def done(self) -> bool:
        """Whether an ended stream has nothing left to send or to learn."""
        return self.ended and not self.unsent and not self._marks

    # -- what comes in

    def open(self, position: Position) -> None:
        """Read on from here: at the start, and again when the user's subscriptions changed (REOPEN)."""
        self.position, self.behind = position, True

    def receive(self, frames: Frames, now: float) -> None:
        """Take what is due at `position`, encoded."""
        self.position, self.behind = frames.position, frames.more
        self._fit(len(frames.ends), frames.more)
        if frames.body:
            self._last_id = frames.last_id
            if self.order.ack == "auto":
                self._marks.append(_Mark(self.written, frames))
            self._put(frames.body, now)
        elif self._marks and frames.place is not None:
            self._marks[-1].place = frames.place

    def write(self, body: bytes, now: float) -> None:
        """Queue event blocks that are not news: the greeting, a comment, `moved`."""
        self._put(sse.chunk(body) if self.chunked else body, now)

    def end(self, now: float, body: bytes = b"") -> None:
        """Read no more, queue last words and, where framed, the last chunk."""
        if self.ended:
            return
        if body:
            self.write(body, now)
        if self.chunked:
            self._put(sse.chunk(b""), now)
        self.ended, self._ended_at = True, now

    # -- what goes out

    def bytes_to_send(self) -> memoryview:
        """The next bytes for one `send`; empty when there are none. Small parts are joined up to what a socket takes."""
        if not self._queue:
            return memoryview(b"")
        head = self._queue[0]
        if len(self._queue) > 1 and len(head) - self._head_sent < limits.SOCKET_BUFFER_BYTES:
            head = b"".join(self._few_parts())
            self._queue.appendleft(head)
        return memoryview(head)[self._head_sent :]

    def sent(self, count: int, now: float) -> None:
        """Note that the kernel took `count` bytes."""
        if count <= 0:
            return
        self.sent_bytes += count
        self._quiet_since = now
        self._head_sent += count
        while self._queue and self._head_sent >= len(self._queue[0]):
            self._head_sent -= len(self._queue.popleft())
        if not self._queue:
            self._full = False

    def confirmed(self, total: int, now: float) -> EventId | None:
        """Note that the other end has `total` bytes of this stream; the place to acknowledge now, if it is a new one."""
        total = min(total, self.sent_bytes)
        if total <= self.confirmed_bytes:
            return None
        self.confirmed_bytes, self._waiting_since = total, now
        place: EventId | None = None
        while self._marks and self._marks[0].end <= total:
            place = self._marks.popleft().place or place
        if self._marks:
            place = self._marks[0].reached(total) or place
        if place is None or place is self._acknowledged:
            return None
        self._acknowledged = place
        return place

    # -- time

    def tick(self, now: float) -> bool:
        """Do what silence asks for; False: close it (stalled, or ended and its last bytes do not leave)."""
        if self.ended:
            return now < self._ended_at + limits.STREAM_LINGER_SECONDS
        if self.unconfirmed and now >= self._waiting_since + limits.STREAM_STALL_SECONDS:
            return False
        if not self.unsent and now >= self._quiet_since + limits.KEEPALIVE_SECONDS:
            self.write(KEEPALIVE, now)
        return True

    def next_deadline(self, now: float) -> float:
        """When to `tick` next; never more than a keepalive period away, so bytes that move meanwhile need no new one."""
        if self.ended:
            return self._ended_at + limits.STREAM_LINGER_SECONDS
        due = self._quiet_since + limits.KEEPALIVE_SECONDS
        due = due if due > now else now + limits.KEEPALIVE_SECONDS
        return min(due, self._waiting_since + limits.STREAM_STALL_SECONDS) if self.unconfirmed else due

    # -- inside

    def _put(self, body: bytes, now: float) -> None:
        if not self.unconfirmed:
            self._waiting_since = now
        self._queue.append(body)
        self.written += len(body)
        self._quiet_since = now
        self._full = self._full or self.unsent > limits.SEND_BUFFER_BYTES

    def _few_parts(self) -> Iterator[bytes]:
        """Take parts from the front of the queue until they are more than a socket takes at once."""
        size = 0
        while self._queue and size < limits.SOCKET_BUFFER_BYTES:
            part = self._queue.popleft()
            size += len(part)
            yield part

    def _fit(self, frames: int, more: bool) -> None:
        """Ask for about as many messages as fit a round: large ones would be read again and again to be cut off."""
        wide = frames >= self.page_limit or not more or not frames
        self.page_limit = min(self.page_limit * 2 if wide else frames * 2, limits.STREAM_PAGE_MESSAGES)
