"""Pages as bytes, and what streams share of them within a round."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from newswire import sse
from newswire.core import limits
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import Published
from newswire.core.model.results import Entry, Page, Position
from newswire.ntfy import NtfyWire
from newswire.streams.pages import EncodedPage, Encoding, SharedPages, encode_page
from tests.kit.page_fakes import Place, encoded, entry, gap, number_of, page


class ReaderPlace(Position, frozen=True):
    """A position that the test can read. `reader`: whose wishes it stands for."""

    number: int
    reader: str = ""


class Shelf:
    """An engine's `next_page` that counts: one message of `size` at every place."""

    def __init__(self, size: int = 1) -> None:
        self.asked: list[tuple[ReaderPlace, int]] = []
        self.size = size

    def next_page(self, at: Position, limit: int) -> Page:
        assert isinstance(at, ReaderPlace)
        self.asked.append((at, limit))
        message = Published("a", at.number + 1, 0, topic="t", data="x" * self.size)
        after, event_id = ReaderPlace(at.number + 1, at.reader), write(Coverage(message.id, {"a": at.number + 1}))
        return Page((Entry(message, event_id, after),), after, event_id, more=False)


def get(pages: SharedPages, number: int = 0, reader: str = "", as_json: bool = False, chunked: bool = True) -> EncodedPage:
    return pages.get(ReaderPlace(number, reader), Encoding(as_json, chunked), 10)


def test_streams_at_one_place_share_a_page_and_the_very_bytes() -> None:
    shelf = Shelf()
    pages = SharedPages(shelf.next_page)
    bodies = {id(get(pages, 7).body) for _ in range(500)}
    assert (len(bodies), len(shelf.asked), pages.read_count, pages.encoding_count) == (1, 1, 1, 1)


def test_formats_and_framings_share_the_page_but_not_the_bytes() -> None:
    shelf = Shelf()
    pages = SharedPages(shelf.next_page)
    bodies = {get(pages, as_json=j, chunked=c).body for j in (True, False) for c in (True, False) for _ in range(9)}
    assert (len(bodies), len(shelf.asked), pages.encoding_count) == (4, 1, 4)


def test_other_places_and_other_wishes_are_read_apart() -> None:
    shelf = Shelf()
    pages = SharedPages(shelf.next_page)
    for number, reader in ((1, ""), (2, ""), (1, "of another")):
        get(pages, number, reader)
    assert len(shelf.asked) == 3


def test_a_new_round_reads_again() -> None:
    shelf = Shelf()
    pages = SharedPages(shelf.next_page)
    get(pages)
    pages.start_round()
    get(pages)
    assert len(shelf.asked) == 2


def test_what_a_round_keeps_is_bounded() -> None:
    shelf = Shelf(size=limits.ROUND_CACHE_BYTES // 2)
    pages = SharedPages(shelf.next_page)
    for offset in (0, 1, 2, 3, 0):
        get(pages, offset)
    assert len(shelf.asked) == 5  # the first place was forgotten, and read again


def test_frames_say_where_each_ends_and_where_to_go_on() -> None:
    made = encoded(entry(1), entry(2, "yy"))
    assert made.body == sse.message_event(entry(1).message, entry(1).event_id, as_json=False) + sse.message_event(
        entry(2, "yy").message, entry(2).event_id, as_json=False
    )
    assert made.ends[1] == len(made.body)
    assert made.body[: made.ends[0]].endswith(b"data: x\n\n")
    assert (made.position, made.more) == (Place(100), False)
    assert (number_of(made.ack_id), number_of(made.last_id)) == (100, 2)


def test_all_frames_of_a_page_are_one_chunk() -> None:
    plain, chunked = encoded(entry(1), entry(2)), encoded(entry(1), entry(2), chunked=True)
    assert chunked.body == sse.chunk(plain.body)
    assert chunked.body[: chunked.ends[0]].endswith(b"data: x\n\n")
    assert chunked.body[chunked.ends[1] :] == b"\r\n"


def test_a_page_without_entries_is_no_bytes_also_where_chunked() -> None:
    assert encoded(chunked=True).body == b""


def test_a_large_page_is_cut_and_goes_on_behind_its_last_frame() -> None:
    big = page(*(entry(n, "x" * 1000) for n in range(1, 9)))
    cut = encode_page(big, Encoding(as_json=False, chunked=False), most=2500)
    assert len(cut.ends) == 3
    assert (cut.position, cut.more) == (Place(3), True)
    assert (number_of(cut.ack_id), number_of(cut.last_id)) == (3, 3)


def test_one_frame_larger_than_the_limit_is_sent_whole() -> None:
    cut = encode_page(page(entry(1, "x" * 10_000)), Encoding(as_json=False, chunked=False), most=100)
    assert len(cut.ends) == 1
    assert not cut.more


def test_a_page_is_never_cut_between_two_gaps() -> None:
    cut = encode_page(page(gap(4, pending=7), gap(4), entry(5)), Encoding(as_json=False, chunked=False), most=1)
    assert len(cut.ends) == 2
    assert cut.position == gap(4).position


@pytest.mark.parametrize(
    ("of", "encoding", "is_all"),
    [
        (page(entry(1), gap(4, pending=7)), Encoding(as_json=True, chunked=True), True),
        (page(), Encoding(as_json=False, chunked=False), False),
        (page(entry(1), more=True), Encoding(as_json=False, chunked=False), False),
        (page(entry(1), entry(2, "x" * limits.STREAM_ROUND_BYTES), entry(3)), Encoding(as_json=False, chunked=False), False),
        (msgspec.structs.replace(page(entry(1)), moved=True), Encoding(as_json=False, chunked=False), False),
        (page(entry(1)), Encoding(as_json=False, chunked=False, gzip=True), False),
        (page(entry(1)), Encoding(as_json=True, chunked=False, wire=NtfyWire("json")), False),
    ],
    ids=["events and a gap", "nothing", "more is due", "it is cut", "the log is another one", "compressed", "by another wire"],
)
def test_a_page_is_all_that_is_due_where_a_stream_needs_nothing_but_its_bytes(
    of: Page, encoding: Encoding, is_all: bool
) -> None:
    assert encode_page(of, encoding).is_all == is_all


def test_a_compressed_page_is_made_once_and_ends_as_a_whole() -> None:
    shelf = Shelf(size=2_000)
    pages = SharedPages(shelf.next_page)
    made = {id(pages.get(ReaderPlace(7), Encoding(as_json=False, chunked=True, gzip=True), 10).body): None for _ in range(50)}
    assert (len(made), pages.encoding_count) == (1, 1)
    plain = encode_page(page(entry(1), entry(2, "y" * 900), gap(4, pending=7)), Encoding(as_json=False, chunked=False))
    packed = encode_page(page(entry(1), entry(2, "y" * 900), gap(4, pending=7)), Encoding(False, False, gzip=True))
    assert packed.plain == plain.body
    assert zlib.decompressobj(-15).decompress(packed.body) == plain.body
    assert packed.ends == (len(packed.body),) * len(plain.ends), "nobody can read a part of it"
    assert (packed.ack_ids, packed.ack_id, packed.last_id) == (plain.ack_ids, plain.ack_id, plain.last_id)
    framed = encode_page(page(entry(1), entry(2)), Encoding(False, True, gzip=True))
    assert framed.body[framed.ends[0] :] == b"\r\n"
    empty = encode_page(page(), Encoding(False, True, gzip=True))
    assert (empty.body, empty.plain, empty.ends) == (b"", b"", ())
