"""Escaping: nothing hostile is left, nothing harmless is changed, JSON stays the same JSON."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire import escape

_ANY = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
_HOSTILE = st.text(
    alphabet=st.sampled_from("\x00\x07\x08\t\n\r\x1b[2J\x7f\x9b\u061c\u200e\u202e\u2066\u2069\u2028\ufeff\U000e0041ab"),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 新聞, 🎉", "plain, größer, 新聞, 🎉"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202edef", r"abc\u202edef"),
        ("a\nb\tc\r\n", r"a\x0ab\x09c\x0d\x0a"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\x7f", r"\x7f"),
    ],
)
def test_a_line_shows_what_it_hides(text: str, shown: str) -> None:
    assert escape.line(text) == shown


def test_a_block_keeps_its_lines() -> None:
    assert escape.block("one\r\ntwo\n\tthree\rfour\x1b") == "one\ntwo\n\tthree\\x0dfour\\x1b"


@given(_ANY | _HOSTILE)
def test_nothing_hostile_is_left(text: str) -> None:
    for shown, kept in ((escape.line(text), ""), (escape.block(text), "\n\t"), (escape.json(text), "\n\t")):
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in kept]
        assert not [
            c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        ]
        shown.encode()


@given(_ANY | _HOSTILE)
def test_escaping_twice_changes_nothing(text: str) -> None:
    assert escape.line(escape.line(text)) == escape.line(text)
    assert escape.block(escape.block(text)) == escape.block(text)


@given(st.dictionaries(_ANY | _HOSTILE, _ANY | _HOSTILE, max_size=4))
def test_json_stays_the_same_json(value: dict[str, str]) -> None:
    assert json.loads(escape.json(json.dumps(value, ensure_ascii=False))) == value
