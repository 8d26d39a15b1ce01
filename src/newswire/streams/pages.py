"""Pages as bytes: what is encoded once and sent to all streams at one position. Pure, but for the engine that reads.

A thousand streams at one place read one page and send the same bytes object. What is shared lasts for one round: the
next one is at another place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import msgspec

from newswire import sse
from newswire.core import limits
from newswire.core.model.event_ids import EventId
from newswire.core.model.results import Entry, GapEntry, Page, Position, WithdrawalEntry
from newswire.ntfy import NtfyWire
from newswire.stream_order import StreamOrder
from newswire.streams import gzip_blocks

NextPage = Callable[[Position, int], Page]


class Encoding(NamedTuple):
    """How events are written for a stream: as JSON or text, in chunks (RFC 9112, 7.1) or as they are, compressed or not.

    `wire`: in the shapes of ntfy's, for its readers.
    """

    as_json: bool
    chunked: bool
    gzip: bool = False
    wire: NtfyWire | None = None

    def event(self, entry: Entry | GapEntry | WithdrawalEntry) -> bytes:
        """An event as bytes; none where its reader does not want it."""
        if isinstance(entry, WithdrawalEntry):
            return sse.withdrawn_event(entry) if self.wire is None else self.wire.withdrawal(entry)
        if isinstance(entry, GapEntry):
            if self.wire is not None:
                return self.wire.gap(entry.topic, entry.dropped, entry.reason)
            return sse.gap_event(entry.topic, entry.dropped, entry.event_id, entry.reason)
        if self.wire is not None:
            return self.wire.message(entry.message, entry.event_id)
        return sse.message_event(entry.message, entry.event_id, as_json=self.as_json)


def encoding_of(order: StreamOrder, chunked: bool) -> Encoding:
    """The encoding of a stream, one object for all streams of `GET /stream` that are alike."""
    if order.wire is not None:
        return Encoding(True, chunked, wire=order.wire)
    return _encoding(order.format == "json", chunked, order.gzip)


@cache
def _encoding(as_json: bool, chunked: bool, gzip: bool) -> Encoding:
    return Encoding(as_json, chunked, gzip)


class EncodedPage(msgspec.Struct, frozen=True):
    """A page as it is sent to all streams at one position, and where they go on.

    `ends[i]` is where the i-th event ends in `body`, `ack_ids[i]` what may be acknowledged from there on (None while a gap
    is pending), `ack_id` the same for the whole page. `last_id`: of the last event. `moved`: see `Page`.
    `plain`: the events, where `body` has them compressed; each ends where the body does then, as nobody can read a part of it.
    `is_all`: these are events, and nothing is due behind them; not of what is compressed, or for ntfy's readers.
    """

    body: bytes
    ends: tuple[int, ...]
    ack_ids: tuple[EventId | None, ...]
    ack_id: EventId | None
    last_id: EventId | None
    position: Position
    more: bool
    moved: bool = False
    plain: bytes = b""
    is_all: bool = False


_CHUNK_END: Final = b"\r\n"


def encode_page(page: Page, encoding: Encoding, most: int = limits.STREAM_ROUND_BYTES) -> EncodedPage:
    """Encode `page`; all its events are one chunk. It is cut behind the event that reaches `most` bytes."""
    blocks: list[bytes] = []
    ends: list[int] = []
    ack_ids: list[EventId | None] = []
    size = 0
    for entry in page.entries:
        blocks.append(encoding.event(entry))
        size += len(blocks[-1])
        if blocks[-1]:  # else its reader does not want it
            ends.append(size)
            ack_ids.append(entry.event_id if not entry.pending_gap else ack_ids[-1] if ack_ids else None)
        if size >= most and not entry.pending_gap:
            break
    plain = body = b"".join(blocks)
    if encoding.gzip and body:
        body = gzip_blocks.block(plain)
        size = len(body)
        ends = [size] * len(ends)
    if encoding.chunked and body:
        body = sse.chunk(body)
        head = len(body) - len(_CHUNK_END) - size
        ends = [end + head for end in ends]
    last = page.entries[len(blocks) - 1] if blocks else None
    cut = last if len(blocks) < len(page.entries) else None
    end = page if cut is None else cut
    more = cut is not None or page.more
    return EncodedPage(
        body=body,
        ends=tuple(ends),
        ack_ids=tuple(ack_ids),
        ack_id=end.event_id if not end.pending_gap else ack_ids[-1] if ack_ids else None,
        last_id=last.event_id if last is not None else None,  # a page ends with no gap that has none
        position=end.position,
        more=more,
        moved=page.moved,
        plain=plain if encoding.gzip else b"",
        is_all=bool(body) and not (more or page.moved or encoding.gzip or encoding.wire is not None),
    )


_NOTHING: Final = (
    Position(),
    Encoding(as_json=False, chunked=False),
    EncodedPage(body=b"", ends=(), ack_ids=(), ack_id=None, last_id=None, position=Position(), more=False),
)


class SharedPages:
    """Reads and encodes once for all streams at equal position and encoding. Hub thread only."""

    def __init__(self, next_page: NextPage) -> None:
        self._next_page = next_page
        self._pages: dict[Position, Page] = {}
        self._encoded: dict[tuple[Position, Encoding], EncodedPage] = {}
        self.last = _NOTHING  # position, encoding, page: what was got last in this round
        self._begun: Position | None = None  # where a stream began last
        self._size = 0
        self.read_count = 0
        self.encoding_count = 0

    def start_round(self) -> None:
        """Forget the last round: what is due may have grown."""
        self._pages.clear()
        self._encoded.clear()
        self.last = _NOTHING
        self._size = 0

    def share(self, position: Position) -> Position:
        """`position`, where a stream begins; one object for those that begin at one place one after the other."""
        if self._begun != position:
            self._begun = position
        return self._begun

    def get(self, position: Position, encoding: Encoding, limit: int) -> EncodedPage:
        """What is due at `position`; read with `limit` if nobody has read it yet. Raises what the engine raises."""
        last = self.last
        if last[0] is position and last[1] is encoding:
            return last[2]  # most streams stand where the one before them stood
        page = self._encoded.get((position, encoding))
        if page is None:
            whole = self._pages.get(position)
            if whole is None:
                whole = self._pages[position] = self._next_page(position, limit)
                self.read_count += 1
            page = encode_page(whole, encoding)
            self.encoding_count += 1
            if self._size > limits.ROUND_CACHE_BYTES:
                self.start_round()
            self._encoded[position, encoding] = page
            self._size += len(page.body) + len(page.plain)
        self.last = (position, encoding, page)
        return page
