"""Event ids survive their text form, and nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.event_ids import is_message_id, parse
from newswire.core.model.ops import SEQUENCE_MOST


def test_the_text_is_all_that_is_seen_of_it() -> None:
    text = "e~1001-k3f9x2qa.57~1001-k3f9x2qa.57_1002-p04hd2aa.3~1001-k3f9x2qa.60"
    event_id = parse(text)
    assert event_id is not None
    assert (str(event_id), event_id.of_page) == (text, False)
    assert event_id.__struct_fields__ == ("text",)


def test_a_page_shows_a_place_without_what_is_for_streams_only() -> None:
    event_id = parse("e~1001-a.57~1001-a.57_1002-b.3~1001-a.60")
    assert event_id is not None
    shown = event_id.for_page()
    assert (str(shown), shown.of_page) == ("p~1001-a.57~1001-a.57_1002-b.3~", True)
    assert parse(str(shown)) == shown


@given(st.text(max_size=200))
def test_any_other_text_is_none_or_reads_back(text: str) -> None:
    found = parse(text)
    assert found is None or parse(str(found)) == found


def test_refused() -> None:
    good = "e~1001-a.1~1001-a.1~"
    assert parse(good) is not None
    for bad in (
        good + "\n",
        " " + good,
        good[1:],
        good.replace("~", "|"),
        "1001-a.1",
        "",
        "e~~~~",
        "e~1001-a.0~~",
        f"e~~1001-a.{SEQUENCE_MOST + 1}~",
        f"e~~~1001-a.{SEQUENCE_MOST + 1}",
        "x" * limits.EVENT_ID_CHARS * 2,
    ):
        assert parse(bad) is None, bad


def test_a_message_id_is_told_apart() -> None:
    assert is_message_id("1001-k3f9x2qa.57")
    assert not is_message_id("e~1001-k3f9x2qa.57~~")
