"""What an event id says comes back from its text."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model.coverage import Coverage, read, write
from newswire.core.model.event_ids import parse

LETTERS = "abcxyz0189"
ORIGINS = st.builds(
    "{}-{}".format, st.text(LETTERS + "ABCXYZ", min_size=1, max_size=16), st.text(LETTERS, min_size=1, max_size=16)
)
SEQUENCES = st.integers(1, 10**15)
VECTORS = st.dictionaries(ORIGINS, SEQUENCES, max_size=4)
MESSAGES = st.one_of(st.just(""), st.builds(lambda o, s: f"{o}.{s}", ORIGINS, SEQUENCES))


@given(st.builds(Coverage, MESSAGES, VECTORS, VECTORS))
def test_text_form(coverage: Coverage) -> None:
    text = str(write(coverage))
    parsed = parse(text)
    assert parsed == write(coverage)
    assert parsed is not None
    assert read(parsed) == coverage
    assert read(parsed.for_page()) == Coverage(coverage.message, coverage.after)
    assert quote(text, safe="") == text, "needs no escaping in a URL"


def test_all_who_hold_one_event_id_share_its_vectors() -> None:
    """So cursors that are moved together are one object."""
    event_id = write(Coverage("1001-a.1", {"1001-a": 1}))
    parsed = parse(str(event_id))
    assert parsed is not None
    assert read(event_id).after is read(event_id).after
    assert read(parsed).after is read(parsed).after
