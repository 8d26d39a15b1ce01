"""One stream without socket and clock: what it writes, what may be acknowledged, what silence asks for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire import sse
from newswire.core import limits
from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import Message
from newswire.core.model.results import Entry, Gap, Page, Position
from newswire.stream_order import StreamOrder
from newswire.streams.stream import KEEPALIVE, Frames, Stream, write_frames

ORIGIN = "1001-a"


class Place(Position, frozen=True):
    """A position that the test can read."""

    number: int


def entry(number: int, data: str = "x") -> Entry:
    message = Message(ORIGIN, number, 0, topic="news", data=data)
    return Entry(message, EventId(message.id, {ORIGIN: number}), Place(number))


def gap(number: int, pending: int = 0) -> Gap:
    return Gap("news", 5, EventId("", {ORIGIN: number}), Place(number), pending_gap=bool(pending))


def page(*entries: Entry | Gap, end: int = 100, more: bool = False, dropped: int = 0) -> Page:
    return Page(entries, Place(end), EventId("", {ORIGIN: end}), more=more, pending_gap=bool(dropped))


def frames(*entries: Entry | Gap, chunked: bool = False, end: int = 100, more: bool = False, dropped: int = 0) -> Frames:
    return write_frames(page(*entries, end=end, more=more, dropped=dropped), as_json=False, chunked=chunked)


def stream(*, ack: str = "auto", chunked: bool = False, event_id: EventId | None = None) -> Stream:
    made = Stream(StreamOrder("Alice", event_id, ack=ack), chunked, 0.0)
    made.open(Place(0))
    return made


def send_all(made: Stream, now: float = 0.0) -> bytes:
    out = b""
    while made.unsent:
        piece = bytes(made.bytes_to_send())
        made.sent(len(piece), now)
        out += piece
    return out


def place(event_id: EventId | None) -> int | None:
    return event_id.after[ORIGIN] if event_id else None


# -- frames


def test_frames_say_where_each_ends_and_where_to_go_on() -> None:
    made = frames(entry(1), entry(2, "yy"))
    assert made.body == sse.message_event(entry(1).message, entry(1).event_id, as_json=False) + sse.message_event(
        entry(2, "yy").message, entry(2).event_id, as_json=False
    )
    assert made.ends[1] == len(made.body)
    assert made.body[: made.ends[0]].endswith(b"data: x\n\n")
    assert (made.position, made.more) == (Place(100), False)
    assert (place(made.place), place(made.last_id)) == (100, 2)


def test_all_frames_of_a_page_are_one_chunk() -> None:
    plain, chunked = frames(entry(1), entry(2)), frames(entry(1), entry(2), chunked=True)
    assert chunked.body == sse.chunk(plain.body)
    assert chunked.body[: chunked.ends[0]].endswith(b"data: x\n\n")
    assert chunked.body[chunked.ends[1] :] == b"\r\n"


def test_a_page_without_entries_is_no_bytes_also_where_chunked() -> None:
    assert frames(chunked=True).body == b""


def test_a_large_page_is_cut_and_goes_on_behind_its_last_frame() -> None:
    big = page(*(entry(n, "x" * 1000) for n in range(1, 9)))
    cut = write_frames(big, as_json=False, chunked=False, most=2500)
    assert len(cut.ends) == 3
    assert (cut.position, cut.more) == (Place(3), True)
    assert (place(cut.place), place(cut.last_id)) == (3, 3)


def test_one_frame_larger_than_the_limit_is_sent_whole() -> None:
    cut = write_frames(page(entry(1, "x" * 10_000)), as_json=False, chunked=False, most=100)
    assert len(cut.ends) == 1
    assert not cut.more


def test_a_page_is_never_cut_between_two_gaps() -> None:
    cut = write_frames(page(gap(4, pending=7), gap(4), entry(5)), as_json=False, chunked=False, most=1)
    assert len(cut.ends) == 2
    assert cut.position == gap(4).position


# -- sending


def test_bytes_come_out_as_they_went_in() -> None:
    made = stream()
    made.write(b"hello\n\n", 0.0)
    news = frames(entry(1))
    made.receive(news, 0.0)
    assert send_all(made) == b"hello\n\n" + news.body
    assert made.unsent == 0
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
        made.sent(len(taken), 0.0)
        out += taken
        assert made.unsent == len(expected) - len(out)
    assert out + send_all(made) == expected


def test_a_full_queue_reads_on_only_when_drained() -> None:
    made = stream()
    made.receive(frames(entry(1), more=True), 0.0)
    assert made.hungry
    made.write(b"x" * (limits.SEND_BUFFER_BYTES + 1), 0.0)
    assert made.behind
    assert not made.hungry
    made.sent(limits.SEND_BUFFER_BYTES, 0.0)
    assert not made.hungry
    send_all(made)
    assert made.hungry


def test_the_end_is_the_last_chunk() -> None:
    made = stream(chunked=True)
    made.end(0.0, b": bye\n\n")
    made.end(0.0, b": again\n\n")
    assert send_all(made) == sse.chunk(b": bye\n\n") + b"0\r\n\r\n"
    assert made.done
    assert not made.hungry


def test_the_end_of_an_unframed_stream_is_silent() -> None:
    made = stream()
    made.end(0.0)
    assert made.unsent == 0
    assert made.done


def test_an_ended_stream_is_done_when_its_news_are_confirmed() -> None:
    made = stream()
    made.receive(frames(entry(1)), 0.0)
    made.end(0.0)
    send_all(made)
    assert not made.done
    made.confirmed(made.written, 0.0)
    assert made.done


def test_large_messages_are_asked_for_in_smaller_pages_and_small_ones_in_full_again() -> None:
    made = stream()
    made.receive(write_frames(page(*(entry(n, "x" * 60_000) for n in range(1, 9))), as_json=False, chunked=False), 0.0)
    assert made.page_limit == 6  # three fitted
    for _ in range(8):
        made.receive(frames(*(entry(n) for n in range(made.page_limit)), more=True), 0.0)
    assert made.page_limit == limits.STREAM_PAGE_MESSAGES


# -- acknowledging


def test_nothing_is_acknowledged_before_it_is_confirmed() -> None:
    made = stream()
    made.receive(frames(entry(1)), 0.0)
    send_all(made)
    assert made.confirmed(0, 0.0) is None
    assert made.confirmed(made.written - 1, 0.0) is None
    assert place(made.confirmed(made.written, 0.0)) == 100
    assert made.confirmed(made.written, 0.0) is None


def test_what_was_not_sent_is_not_confirmed_whatever_is_said() -> None:
    made = stream()
    made.receive(frames(entry(1)), 0.0)
    assert made.confirmed(10_000, 0.0) is None
    assert made.confirmed_bytes == 0


def test_a_page_confirmed_in_part_counts_up_to_its_last_whole_frame() -> None:
    made = stream()
    made.write(b"hello\n\n", 0.0)
    news = frames(entry(1), entry(2), entry(3))
    made.receive(news, 0.0)
    send_all(made)
    assert place(made.confirmed(7 + news.ends[1] + 1, 0.0)) == 2
    assert made.confirmed(7 + news.ends[2] - 1, 0.0) is None
    assert place(made.confirmed(7 + news.ends[2], 0.0)) == 100


def test_the_newest_confirmed_place_is_acknowledged() -> None:
    made = stream()
    for end in (10, 20, 30):
        made.receive(frames(entry(end - 1), end=end), 0.0)
    send_all(made)
    third = made.written - len(frames(entry(29), end=30).body)
    assert place(made.confirmed(third, 0.0)) == 20
    assert place(made.confirmed(made.written, 0.0)) == 30


def test_an_idle_stream_acknowledges_nothing() -> None:
    made = stream()
    made.write(b": hello\n\n", 0.0)
    made.receive(frames(end=50), 0.0)
    send_all(made)
    assert made.confirmed(made.written, 0.0) is None


def test_pages_without_entries_move_the_place_of_what_is_still_out() -> None:
    made = stream()
    made.receive(frames(entry(1), end=10), 0.0)
    made.receive(frames(end=20), 0.0)
    send_all(made)
    assert place(made.confirmed(made.written, 0.0)) == 20
    made.receive(frames(end=30), 0.0)
    assert made.confirmed(made.written, 0.0) is None


def test_nothing_beyond_a_pending_gap_is_acknowledged() -> None:
    made = stream()
    made.receive(frames(entry(1), entry(2), end=10, dropped=3), 0.0)
    made.receive(frames(end=20, dropped=4), 0.0)
    send_all(made)
    assert place(made.confirmed(made.written, 0.0)) == 2


def test_a_gap_that_was_told_and_confirmed_is_acknowledged() -> None:
    made = stream()
    made.receive(frames(gap(9), end=9), 0.0)
    send_all(made)
    assert place(made.confirmed(made.written, 0.0)) == 9


def test_between_two_gaps_nothing_is_acknowledged() -> None:
    made = stream()
    news = frames(gap(9, pending=2), gap(9), end=9)
    made.receive(news, 0.0)
    send_all(made)
    assert made.confirmed(news.ends[0], 0.0) is None
    assert place(made.confirmed(news.ends[1], 0.0)) == 9


def test_a_client_that_acknowledges_itself_is_not_acknowledged_for() -> None:
    made = stream(ack="client")
    made.receive(frames(entry(1)), 0.0)
    send_all(made)
    assert made.confirmed(made.written, 0.0) is None
    assert made.unconfirmed == 0


@given(st.data())
def test_a_place_is_never_acknowledged_before_its_bytes_are_confirmed(data: st.DataObject) -> None:
    made = stream(chunked=data.draw(st.booleans()))
    ends: dict[int, int] = {}  # message number -> byte count behind it
    number, acked = 0, 0
    for _ in range(data.draw(st.integers(1, 12))):
        entries = [entry(number + i + 1, "x" * data.draw(st.integers(0, 50))) for i in range(data.draw(st.integers(0, 3)))]
        number += len(entries)
        news = frames(*entries, chunked=made.chunked, end=number)
        for i, end in enumerate(news.ends):
            ends[number - len(entries) + i + 1] = made.written + end
        made.receive(news, 0.0)
        made.sent(data.draw(st.integers(0, len(made.bytes_to_send()))), 0.0)
        found = place(made.confirmed(data.draw(st.integers(0, made.sent_bytes)), 0.0))
        if found is not None:
            assert found > acked
            assert ends[found] <= made.confirmed_bytes
            acked = found
    send_all(made)
    found = place(made.confirmed(made.written, 0.0)) or acked
    assert found == number


# -- opening again


def test_a_stream_goes_on_from_the_last_id_it_queued() -> None:
    came_with = EventId("", {ORIGIN: 1})
    made = stream(event_id=came_with)
    assert made.last_id == came_with
    made.receive(frames(entry(2), entry(3)), 0.0)
    made.receive(frames(end=60), 0.0)
    assert made.last_id == entry(3).event_id
    assert made.unsent > 0
    made.open(Place(3))
    assert made.hungry
    assert made.position == Place(3)


# -- time


def test_silence_is_broken_by_a_comment() -> None:
    made = stream(chunked=True)
    made.receive(frames(entry(1), chunked=True), 10.0)
    send_all(made, 10.0)
    made.confirmed(made.written, 10.0)
    assert made.next_deadline(10.0) == 10.0 + limits.KEEPALIVE_SECONDS
    assert made.tick(14.9)
    assert not made.unsent
    assert made.tick(15.0)
    assert send_all(made, 15.0) == sse.chunk(KEEPALIVE)
    assert made.next_deadline(15.0) == 15.0 + limits.KEEPALIVE_SECONDS


def test_no_comment_is_queued_behind_bytes_that_do_not_leave() -> None:
    made = stream()
    made.receive(frames(entry(1)), 0.0)
    before = made.unsent
    assert made.tick(30.0)
    assert made.unsent == before
    assert made.next_deadline(30.0) == 30.0 + limits.KEEPALIVE_SECONDS


def test_a_stream_without_a_byte_confirmed_for_a_minute_is_closed() -> None:
    made = stream()
    made.receive(frames(entry(1)), 100.0)
    send_all(made, 100.0)
    made.confirmed(1, 130.0)
    assert made.tick(189.9)
    assert made.next_deadline(189.0) == 190.0
    assert not made.tick(190.0)


def test_a_stall_is_measured_from_when_bytes_went_out() -> None:
    made = stream()
    made.receive(frames(entry(1)), 0.0)
    send_all(made)
    made.confirmed(made.written, 1.0)
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
    made.receive(frames(entry(1)), 0.0)
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
