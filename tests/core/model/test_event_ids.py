"""Event ids survive their text form, and nothing else is taken for one."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.event_ids import EventId, is_message_id, parse

LETTERS = "abcxyz0189"
ORIGINS = st.builds(
    "{}-{}".format, st.text(LETTERS + "ABCXYZ", min_size=1, max_size=16), st.text(LETTERS, min_size=1, max_size=16)
)
SEQUENCES = st.integers(1, 10**15)
VECTORS = st.dictionaries(ORIGINS, SEQUENCES, max_size=4)
MESSAGES = st.one_of(st.just(""), st.builds(lambda o, s: f"{o}.{s}", ORIGINS, SEQUENCES))


@given(st.builds(EventId, MESSAGES, VECTORS, VECTORS, st.booleans()))
def test_text_form(event_id: EventId) -> None:
    text = str(event_id)
    assert parse(text) == event_id
    assert quote(text, safe="") == text, "needs no escaping in a URL"


@given(st.text(max_size=200))
def test_any_other_text_is_none_or_reads_back(text: str) -> None:
    found = parse(text)
    assert found is None or parse(str(found)) == found


def test_refused() -> None:
    good = str(EventId("1001-a.1", {"1001-a": 1}))
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
        "x" * limits.EVENT_ID_CHARS * 2,
    ):
        assert parse(bad) is None, bad


def test_a_message_id_is_told_apart() -> None:
    assert is_message_id("1001-k3f9x2qa.57")
    assert not is_message_id("e~1001-k3f9x2qa.57~~")
