"""The SSE format: what is written is read back the same, however it is cut on the way."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire import sse
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.event_ids import parse
from newswire.core.model.ops import Published

TEXT = st.text(st.characters(codec="utf-8"))


def read(*pieces: bytes) -> list[sse.Event]:
    reader = sse.EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def message(data: str = "Hello", **fields: object) -> Published:
    return Published("1001-abc", 7, 1_764_021_252_345, topic="Google", data=data, **fields)  # type: ignore[arg-type]


ID = write(Coverage("1001-abc.7", {"1001-abc": 7}, {"1002-xyz": 3}))


def test_an_event_is_its_fields_and_a_blank_line() -> None:
    assert sse.event("a\r\nb\rc\nd", id="7", name="gap", retry=1000) == (
        b"retry: 1000\nevent: gap\nid: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    )


def test_data_is_not_split_at_other_line_ends_of_unicode() -> None:
    text = "a\u2028b\x0bc\x0cd\x85e\u2029f\x1cg"
    assert sse.event(text).count(b"data:") == 1
    assert [event.data for event in read(sse.event(text))] == [text]


def test_a_publisher_cannot_write_fields() -> None:
    forged = "x\nid: 1\nevent: gap\n\ndata: y\r\rretry: 1\x00"
    (event,) = read(sse.event(forged, id="real"))
    assert (event.id, event.name, event.data) == ("real", "message", normal(forged))


@given(TEXT, st.lists(st.integers(0, 400), max_size=6))
def test_what_is_written_is_read_however_it_is_cut(text: str, cuts: list[int]) -> None:
    raw = sse.event("before") + sse.event(text, id="e~1", name="open") + sse.comment(text) + sse.event("after")
    edges = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    events = read(*(raw[a:b] for a, b in pairwise(edges)))
    assert [(event.data, event.id, event.name) for event in events] == [
        ("before", "", "message"),
        (normal(text), "e~1", "open"),
        ("after", "e~1", "message"),
    ]


@given(TEXT)
def test_line_ends_are_one_of_three_also_byte_by_byte(text: str) -> None:
    raw = sse.event(text) + sse.event("after")
    for end in (b"\r", b"\r\n"):
        changed = raw.replace(b"\n", end)
        whole, bytewise = read(changed), read(*(changed[i : i + 1] for i in range(len(changed))))
        assert [event.data for event in whole] == [event.data for event in bytewise] == [normal(text), "after"]


def test_an_empty_feed_between_cr_and_lf_adds_no_line() -> None:
    assert [event.data for event in read(b"data: a\r", b"", b"\ndata: b\r\n\r\n")] == ["a\nb"]


def test_a_long_line_in_many_pieces() -> None:
    data = "x" * 400_000
    raw = sse.event(data)
    assert [event.data for event in read(*(raw[i : i + 100] for i in range(0, len(raw), 100)))] == [data]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data\n\n", [("", "")]),
        (b"data:\ndata:\n\n", [("\n", "")]),
        (b"data:  two\n\n", [(" two", "")]),
        (b"\xef\xbb\xbfdata: bom\n\n", [("bom", "")]),
        (b"id: 1\n\ndata: a\n\n", [("a", "1")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("a", "1"), ("b", "")]),
        (b"id: 1\ndata: a\n\nid: x\0y\ndata: b\n\n", [("a", "1"), ("b", "1")]),
        (b": comment\ndata: a\n\n", [("a", "")]),
        (b"unknown: x\nDATA: x\ndata : x\n\n", []),
        (b"data: cut off", []),
        (b"data: \xff\xfe\n\n", [("\ufffd\ufffd", "")]),
    ],
)
def test_reading_as_the_html_standard_says(raw: bytes, expected: list[tuple[str, str]]) -> None:
    assert [(event.data, event.id) for event in read(raw)] == expected


def test_the_id_of_a_block_counts_once_the_block_is_whole() -> None:
    reader = sse.EventReader("5")
    reader.feed(b"id: 6\ndata: a\n")
    assert reader.last_event_id == "5"
    reader.feed(b"\n")
    assert reader.last_event_id == "6"


@pytest.mark.parametrize(
    ("value", "retry"), [(b"1000", 1000), (b"", None), (b"-1", None), (b"1.5", None), ("\u0661".encode(), None), (b"0", 0)]
)
def test_retry(value: bytes, retry: int | None) -> None:
    reader = sse.EventReader()
    reader.feed(b"retry: " + value + b"\n\n")
    assert reader.retry == retry


def test_a_retry_of_any_length_does_not_fail() -> None:
    reader = sse.EventReader()
    reader.feed(b"retry: " + b"9" * 10_000 + b"\n\n")
    assert reader.retry is not None


def test_a_comment_with_a_retry_dispatches_nothing() -> None:
    reader = sse.EventReader()
    assert reader.feed(sse.comment("later,\nplease", retry=5000)) == []
    assert reader.retry == 5000


def test_chunks() -> None:
    assert sse.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert sse.chunk(b"") == b"0\r\n\r\n"


def test_a_message_as_text() -> None:
    (event,) = read(sse.message_event(message("two\nlines"), ID, as_json=False))
    assert (event.data, event.id, event.name) == ("two\nlines", str(ID), "message")
    assert parse(event.id) == ID


def test_a_title_stands_before_the_data_or_instead_of_it() -> None:
    both, only = message("body", title="Title"), message("", title="Title")
    assert read(sse.message_event(both, ID, as_json=False))[0].data == "Title\nbody"
    assert read(sse.message_event(only, ID, as_json=False))[0].data == "Title"


def test_a_message_as_json_leaves_out_what_is_absent() -> None:
    (event,) = read(sse.message_event(message("two\nlines"), ID, as_json=True))
    assert json.loads(event.data) == {
        "id": "1001-abc.7",
        "event_id": str(ID),
        "topic": "Google",
        "data": "two\nlines",
        "time": "2025-11-24T21:54:12.345Z",
    }


def test_a_message_as_json_shows_all_fields() -> None:
    full = message(title="T", priority=4, tags=("a", "b"), click="https://example.org", publisher="Bob")
    shown = json.loads(read(sse.message_event(full, ID, as_json=True))[0].data)
    assert (shown["title"], shown["priority"], shown["tags"]) == ("T", 4, ["a", "b"])
    assert (shown["click"], shown["publisher"]) == ("https://example.org", "Bob")


def test_a_gap_names_the_topic_and_the_count() -> None:
    (event,) = read(sse.gap_event("Google", 12, ID))
    assert (event.name, event.id, json.loads(event.data)) == ("gap", str(ID), {"topic": "Google", "dropped": 12})


def test_the_last_comment_is_kept_unless_something_came_after_it() -> None:
    reader = sse.EventReader()
    assert reader.feed(b": why it ends\nretry: 5000\n\n") == []
    assert (reader.comment, reader.retry) == ("why it ends", 5000)
    reader.feed(sse.comment(sse.KEEPALIVE))
    assert reader.comment == ""
    reader.feed(b": a note\n\ndata: x\n\n")
    assert reader.comment == ""
