"""Pages for streams, made by hand."""

from __future__ import annotations

from newswire.core.model.coverage import Coverage, read, write
from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import Published
from newswire.core.model.results import Entry, GapEntry, Page, Position
from newswire.streams.pages import EncodedPage, Encoding, encode_page

ORIGIN = "1001-a"


class Place(Position, frozen=True):
    """A position that the test can read."""

    number: int


def entry(number: int, data: str = "x") -> Entry:
    message = Published(ORIGIN, number, 0, topic="news", data=data)
    return Entry(message, write(Coverage(message.id, {ORIGIN: number})), Place(number))


def gap(number: int, pending: int = 0) -> GapEntry:
    return GapEntry("news", 5, write(Coverage("", {ORIGIN: number})), Place(number), pending_gap=bool(pending))


def page(*entries: Entry | GapEntry, end: int = 100, more: bool = False, dropped: int = 0) -> Page:
    return Page(entries, Place(end), write(Coverage("", {ORIGIN: end})), more=more, pending_gap=bool(dropped))


def encoded(
    *entries: Entry | GapEntry, chunked: bool = False, end: int = 100, more: bool = False, dropped: int = 0
) -> EncodedPage:
    return encode_page(page(*entries, end=end, more=more, dropped=dropped), Encoding(as_json=False, chunked=chunked))


def number_of(event_id: EventId | None) -> int | None:
    return read(event_id).after[ORIGIN] if event_id else None
