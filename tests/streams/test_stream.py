"""One stream without socket and clock: what it writes, what may be acknowledged, what silence asks for."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire import sse
from newswire.core import limits
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.event_ids import EventId
from newswire.core.model.results import Start
from newswire.stream_order import StreamOrder
from newswire.streams import gzip_blocks
from newswire.streams.pages import Encoding, encode_page
from newswire.streams.stream import KEEPALIVE, Stream
from tests.kit.page_fakes import ORIGIN, Place, encoded, entry, gap, number_of, page
from tests.kit.stream_fakes import Dechunker


def stream(*, ack: str = "auto", chunked: bool = False, event_id: EventId | None = None) -> Stream:
    made = Stream(StreamOrder("Alice", event_id, ack=ack), chunked, 0.0)
    made.open(Start(Place(0), ()))
    return made


def send_all(made: Stream, now: float = 0.0) -> bytes:
    out = b""
    while made.unsent_bytes:
        piece = bytes(made.bytes_to_send())
        made.note_sent(len(piece), now)
        out += piece
    return out


# -- sending


def test_bytes_come_out_as_they_went_in() -> None:
    made = stream()
    made.write(b"hello\n\n", 0.0)
    news = encoded(entry(1))
    made.receive(news, 0.0)
    assert send_all(made) == b"hello\n\n" + news.body
    assert made.unsent_bytes == 0
    assert bytes(made.bytes_to_send()) == b""


@given(
    st.lists(st.integers(1, 200_000), min_size=1, max_size=12),
    st.lists(st.integers(0, 200_000), min_size=1, max_size=30),
)
def test_nothing_is_lost_or_repeated_whatever_the_kernel_takes(sizes: list[int], takes: list[int]) -> None:
    made, out, expected = stream(), b"", b""
    for number, size in enumerate(sizes):
        part = bytes([65 + number]) * size
        expected += part
        made.write(part, 0.0)
        taken = bytes(made.bytes_to_send())[: takes[number % len(takes)]]
        made.note_sent(len(taken), 0.0)
        out += taken
        assert made.unsent_bytes == len(expected) - len(out)
    assert out + send_all(made) == expected


@pytest.mark.parametrize("ack", ["auto", "none"])
def test_a_page_that_is_passed_on_leaves_what_receiving_and_sending_it_leaves(ack: str) -> None:
    one, other = stream(ack=ack), stream(ack=ack)
    for now, news in ((1.0, encoded(entry(1), end=5)), (2.0, encoded(entry(6), entry(7), end=9)), (9.0, encoded(entry(12)))):
        one.receive(news, now)
        assert send_all(one, now) == news.body
        other.pass_on(news, now)
        assert vars(one) | {"_ack_points": None} == vars(other) | {"_ack_points": None}
        assert [(p.start, p.end, p.ack_id) for p in one._ack_points] == [(p.start, p.end, p.ack_id) for p in other._ack_points]
    assert [number_of(made.note_confirmed(10_000, 9.0)) for made in (one, other)] == [100 if ack == "auto" else None] * 2


def test_the_head_of_the_response_leaves_with_what_is_said_first() -> None:
    made = Stream(StreamOrder("Alice"), False, 0.0, b"HTTP/1.1 200 OK\r\n\r\n")
    made.open(Start(Place(0), (), more=False))
    made.write(b"hello\n\n", 0.0)
    assert bytes(made.bytes_to_send()) == b"HTTP/1.1 200 OK\r\n\r\nhello\n\n"
    assert not made.wants_page


def test_a_full_queue_reads_on_only_when_drained() -> None:
    made = stream()
    made.receive(encoded(entry(1), more=True), 0.0)
    assert made.wants_page
    made.write(b"x" * (limits.SEND_BUFFER_BYTES + 1), 0.0)
    assert made.is_behind
    assert not made.wants_page
    made.note_sent(limits.SEND_BUFFER_BYTES, 0.0)
    assert not made.wants_page
    send_all(made)
    assert made.wants_page


def test_the_end_is_the_last_chunk() -> None:
    made = stream(chunked=True)
    made.end(0.0, b": bye\n\n")
    made.end(0.0, b": again\n\n")
    assert send_all(made) == sse.chunk(b": bye\n\n") + b"0\r\n\r\n"
    assert made.is_done
    assert not made.wants_page


def test_the_end_of_an_unframed_stream_is_silent() -> None:
    made = stream()
    made.end(0.0)
    assert made.unsent_bytes == 0
    assert made.is_done


def test_an_ended_stream_is_done_when_its_news_are_confirmed() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 0.0)
    made.end(0.0)
    send_all(made)
    assert not made.is_done
    made.note_confirmed(made.written_bytes, 0.0)
    assert made.is_done


def test_large_messages_are_asked_for_in_smaller_pages_and_small_ones_in_full_again() -> None:
    made = stream()
    made.receive(encode_page(page(*(entry(n, "x" * 60_000) for n in range(1, 9))), Encoding(as_json=False, chunked=False)), 0.0)
    assert made.page_limit == 6  # three fitted
    for _ in range(8):
        made.receive(encoded(*(entry(n) for n in range(made.page_limit)), more=True), 0.0)
    assert made.page_limit == limits.STREAM_PAGE_MESSAGES


# -- acknowledging


def test_nothing_is_acknowledged_before_it_is_confirmed() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 0.0)
    send_all(made)
    assert made.note_confirmed(0, 0.0) is None
    assert made.note_confirmed(made.written_bytes - 1, 0.0) is None
    assert number_of(made.note_confirmed(made.written_bytes, 0.0)) == 100
    assert made.note_confirmed(made.written_bytes, 0.0) is None


def test_what_was_not_sent_is_not_confirmed_whatever_is_said() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 0.0)
    assert made.note_confirmed(10_000, 0.0) is None
    assert made.confirmed_bytes == 0


def test_a_page_confirmed_in_part_counts_up_to_its_last_whole_frame() -> None:
    made = stream()
    made.write(b"hello\n\n", 0.0)
    news = encoded(entry(1), entry(2), entry(3))
    made.receive(news, 0.0)
    send_all(made)
    assert number_of(made.note_confirmed(7 + news.ends[1] + 1, 0.0)) == 2
    assert made.note_confirmed(7 + news.ends[2] - 1, 0.0) is None
    assert number_of(made.note_confirmed(7 + news.ends[2], 0.0)) == 100


def test_the_newest_confirmed_place_is_acknowledged() -> None:
    made = stream()
    for end in (10, 20, 30):
        made.receive(encoded(entry(end - 1), end=end), 0.0)
    send_all(made)
    third = made.written_bytes - len(encoded(entry(29), end=30).body)
    assert number_of(made.note_confirmed(third, 0.0)) == 20
    assert number_of(made.note_confirmed(made.written_bytes, 0.0)) == 30


def test_an_idle_stream_acknowledges_nothing() -> None:
    made = stream()
    made.write(b": hello\n\n", 0.0)
    made.receive(encoded(end=50), 0.0)
    send_all(made)
    assert made.note_confirmed(made.written_bytes, 0.0) is None


def test_pages_without_entries_move_the_place_of_what_is_still_out() -> None:
    made = stream()
    made.receive(encoded(entry(1), end=10), 0.0)
    made.receive(encoded(end=20), 0.0)
    send_all(made)
    assert number_of(made.note_confirmed(made.written_bytes, 0.0)) == 20
    made.receive(encoded(end=30), 0.0)
    assert made.note_confirmed(made.written_bytes, 0.0) is None


def test_nothing_beyond_a_pending_gap_is_acknowledged() -> None:
    made = stream()
    made.receive(encoded(entry(1), entry(2), end=10, dropped=3), 0.0)
    made.receive(encoded(end=20, dropped=4), 0.0)
    send_all(made)
    assert number_of(made.note_confirmed(made.written_bytes, 0.0)) == 2


def test_a_gap_that_was_told_and_confirmed_is_acknowledged() -> None:
    made = stream()
    made.receive(encoded(gap(9), end=9), 0.0)
    send_all(made)
    assert number_of(made.note_confirmed(made.written_bytes, 0.0)) == 9


def test_between_two_gaps_nothing_is_acknowledged() -> None:
    made = stream()
    news = encoded(gap(9, pending=2), gap(9), end=9)
    made.receive(news, 0.0)
    send_all(made)
    assert made.note_confirmed(news.ends[0], 0.0) is None
    assert number_of(made.note_confirmed(news.ends[1], 0.0)) == 9


def test_a_client_that_acknowledges_itself_is_not_acknowledged_for() -> None:
    made = stream(ack="client")
    made.receive(encoded(entry(1)), 0.0)
    send_all(made)
    assert made.note_confirmed(made.written_bytes, 0.0) is None
    assert made.unconfirmed_bytes == 0


@given(st.data())
def test_a_place_is_never_acknowledged_before_its_bytes_are_confirmed(data: st.DataObject) -> None:
    made = stream(chunked=data.draw(st.booleans()))
    ends: dict[int, int] = {}  # message number -> byte count behind it
    number, acked, last = 0, 0, None
    for _ in range(data.draw(st.integers(1, 12))):
        entries = [entry(number + i + 1, "x" * data.draw(st.integers(0, 50))) for i in range(data.draw(st.integers(0, 3)))]
        number += len(entries)
        news = encoded(*entries, chunked=made.encoding.chunked, end=number)
        for i, end in enumerate(news.ends):
            ends[number - len(entries) + i + 1] = made.written_bytes + end
        made.receive(news, 0.0)
        made.note_sent(data.draw(st.integers(0, len(made.bytes_to_send()))), 0.0)
        name = made.note_confirmed(data.draw(st.integers(0, made.sent_bytes)), 0.0)
        found = number_of(name)
        if found is not None:
            assert name != last, "each place once"
            assert found >= acked, "the end of a page is a place behind its last message"
            last = name
            assert ends[found] <= made.confirmed_bytes
            acked = found
    send_all(made)
    found = number_of(made.note_confirmed(made.written_bytes, 0.0)) or acked
    assert found == number


# -- opening again


def test_a_stream_goes_on_from_the_last_id_it_queued() -> None:
    came_with = write(Coverage("", {ORIGIN: 1}))
    made = stream(event_id=came_with)
    assert made.last_id == came_with
    made.receive(encoded(entry(2), entry(3)), 0.0)
    made.receive(encoded(end=60), 0.0)
    assert made.last_id == entry(3).event_id
    assert made.unsent_bytes > 0
    made.open(Start(Place(3), ()))
    assert made.wants_page
    assert made.position == Place(3)


# -- time


def test_silence_is_broken_by_a_comment() -> None:
    made = stream(chunked=True)
    made.receive(encoded(entry(1), chunked=True), 10.0)
    send_all(made, 10.0)
    made.note_confirmed(made.written_bytes, 10.0)
    assert made.next_deadline(10.0) == 10.0 + limits.KEEPALIVE_SECONDS
    assert made.tick(14.9)
    assert not made.unsent_bytes
    assert made.tick(15.0)
    assert send_all(made, 15.0) == sse.chunk(KEEPALIVE)
    assert made.next_deadline(15.0) == 15.0 + limits.KEEPALIVE_SECONDS


def test_no_comment_is_queued_behind_bytes_that_do_not_leave() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 0.0)
    before = made.unsent_bytes
    assert made.tick(30.0)
    assert made.unsent_bytes == before
    assert made.next_deadline(30.0) == 30.0 + limits.KEEPALIVE_SECONDS


def test_a_stream_without_a_byte_confirmed_for_a_minute_is_closed() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 100.0)
    send_all(made, 100.0)
    made.note_confirmed(1, 130.0)
    assert made.tick(189.9)
    assert made.next_deadline(189.0) == 190.0
    assert not made.tick(190.0)


def test_a_stall_is_measured_from_when_bytes_went_out() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 0.0)
    send_all(made)
    made.note_confirmed(made.written_bytes, 1.0)
    made.write(b"x", 500.0)
    assert made.tick(559.0)
    assert not made.tick(560.0)


def test_keepalives_that_nobody_confirms_do_not_put_the_stall_off() -> None:
    made = stream()
    now = 0.0
    while made.tick(now):
        send_all(made, now)
        now = made.next_deadline(now)
        assert now < 100.0
    assert now == limits.KEEPALIVE_SECONDS + limits.STREAM_STALL_SECONDS


def test_an_ended_stream_lingers_only_for_a_while() -> None:
    made = stream()
    made.receive(encoded(entry(1)), 0.0)
    made.end(7.0)
    assert made.next_deadline(7.0) == 7.0 + limits.STREAM_LINGER_SECONDS
    assert made.tick(7.0)
    assert not made.tick(7.0 + limits.STREAM_LINGER_SECONDS)


@pytest.mark.parametrize("blocked", [True, False])
def test_deadlines_are_ahead_and_at_most_a_keepalive_away(blocked: bool) -> None:
    made, now, seen = stream(), 0.0, [0.0]
    made.write(b"x", now)
    if not blocked:
        send_all(made, now)
    while made.tick(now):
        now = made.next_deadline(now)
        seen.append(now)
    assert all(0 < later - sooner <= limits.KEEPALIVE_SECONDS for sooner, later in pairwise(seen))
    assert now == limits.STREAM_STALL_SECONDS


# -- compressed


def test_a_compressed_stream_is_whole_whatever_it_says() -> None:
    """Greeting, pages, silence and last words: one gzip with a right end."""
    for chunked in (False, True):
        made = Stream(StreamOrder("Alice", gzip=True), chunked, 0.0)
        made.open(Start(Place(0), ()))
        made.write(b"hello\n\n", 0.0)
        encoding = Encoding(as_json=False, chunked=chunked, gzip=True)
        pages = [encode_page(page(entry(n), entry(n + 1, "y" * 3_000)), encoding) for n in (1, 3)]
        for one in pages:
            made.receive(one, 0.0)
        sent = send_all(made)
        made.tick(limits.KEEPALIVE_SECONDS)
        made.end(limits.KEEPALIVE_SECONDS, b"moved\n\n")
        sent += send_all(made)
        body = Dechunker().feed(sent) if chunked else sent
        assert gzip.decompress(body) == b"hello\n\n" + pages[0].plain + pages[1].plain + KEEPALIVE + b"moved\n\n"


def test_of_a_compressed_page_nothing_is_acknowledged_before_all_of_it_is_there() -> None:
    made = Stream(StreamOrder("Alice", gzip=True), True, 0.0)
    made.open(Start(Place(0), ()))
    send_all(made)
    before = made.written_bytes
    news = encode_page(page(entry(1), entry(2, "y" * 900), entry(3)), Encoding(False, True, gzip=True))
    made.receive(news, 0.0)
    send_all(made)
    for confirmed in range(before, made.written_bytes - len(b"\r\n")):
        assert made.note_confirmed(confirmed, 0.0) is None
    assert [point.page.plain for point in made._ack_points] == [b""], "it does not take room until it is confirmed"
    assert made.note_confirmed(made.written_bytes, 0.0) == news.ack_id
    assert made.ack_points_count == 0


def test_a_stream_that_is_not_compressed_makes_no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> bytes:
        raise AssertionError

    for name in ("block", "end", "whole"):
        monkeypatch.setattr(gzip_blocks, name, fail)
    made = stream(chunked=True)
    made.write(b"hello\n\n", 0.0)
    made.receive(encode_page(page(entry(1)), Encoding(False, True)), 0.0)
    made.end(0.0, b"moved\n\n")
    assert send_all(made).endswith(b"0\r\n\r\n")
