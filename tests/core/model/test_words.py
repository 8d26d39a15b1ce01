"""What is found by plain words."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.model.ops import Published
from newswire.core.model.words import folded, words_of
from newswire.errors import BadRequest

MESSAGE = Published(
    "1001-a", 2, 0, topic="ops.north", data="Kartenzahlung fällt aus\nseit 09:28", title="INCIDENT 7", tags=("zahlung", "Nord")
)


@pytest.mark.parametrize(
    "text",
    [
        "fällt",
        "FÄLLT AUS",
        "fa\u0308llt",
        "zahlung",
        "incident kartenzahlung",
        "ops.north",
        "nord  nord",
        "09:28\tseit",
        "ahlun",
    ],
)
def test_all_words_occur_in_text_title_tags_or_topic(text: str) -> None:
    assert words_of(text).are_in(MESSAGE)


@pytest.mark.parametrize("text", ["fallt", "incident süd", "aus seit!", "zahlung\u00a0x"])
def test_one_that_is_missing_hides_it(text: str) -> None:
    assert not words_of(text).are_in(MESSAGE)


def test_no_words_and_too_many_are_refused() -> None:
    for text in ("", " \t", "x" * (limits.SEARCH_CHARS + 1), " ".join(map(str, range(limits.SEARCH_WORDS_COUNT + 1)))):
        with pytest.raises(BadRequest, match="words of at most"):
            words_of(text)
    assert len(words_of("a " * 50).words) == 1


def test_case_is_folded_as_unicode_has_it() -> None:
    assert folded("STRASSE") == folded("straße")
    assert folded("ΣΊΣΥΦΟΣ") == folded("σίσυφος")
    assert len(folded("ﷺ" * 100)) == 100, "and makes nothing longer than it has to"
