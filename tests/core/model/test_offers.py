"""The name that is offered in place of one that is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.offers import address_like, topic_like, username_like
from newswire.errors import BadRequest


@pytest.mark.parametrize(
    ("check", "refused", "offered"),
    [
        (names.check_username, "Jörg Müller", "joerg.mueller"),
        (names.check_username, "Jörg", "joerg"),
        (names.check_username, "Łukasz  Żółć", "lukasz.zolc"),
        (names.check_username, "François O'Neill", "francois.oneill"),
        (names.check_username, "ann smith@example.org", "ann.smith@example.org"),
        (names.check_username, "ann/bob", "annbob"),
        (names.check_topic, "my topic", "my-topic"),
        (names.check_topic, " news ", "news"),
        (names.check_topic, "finance/closing", "finance.closing"),
        (names.check_topic, "/Büro/3. Stock", "Buero.3.Stock"),
        (names.check_topic, "#general", "general"),
        (names.check_topic, "a..b.", "a.b"),
        (names.check_topic, "Größe", "Groesse"),
        (names.check_topic, "news!", "news"),
        (names.check_pattern, "my topic.*", "my-topic.*"),
        (names.check_pattern, "news/#", "news.>"),
        (names.check_pattern, "sensors/+/door", "sensors.*.door"),
        (names.check_address, "localhost", "localhost:5053"),
        (names.check_address, "http://10.0.0.7:5054/", "10.0.0.7:5054"),
        (names.check_address, "5054", "127.0.0.1:5054"),
    ],
)
def test_a_name_that_is_refused_is_explained_and_a_near_one_offered(
    check: Callable[[str], str], refused: str, offered: str
) -> None:
    with pytest.raises(BadRequest, match=f"`{re.escape(offered)}`") as raised:
        check(refused)
    assert ("ASCII" in raised.value.detail) == (not refused.isascii())
    assert check(offered) == offered


@pytest.mark.parametrize(
    ("check", "refused"),
    [
        (names.check_username, "新聞"),
        (names.check_topic, "🎉"),
        (names.check_topic, "publish "),
        (names.check_topic, "finance.*"),
        (names.check_pattern, ">.a"),
        (names.check_topic, "x" * 129),
        (names.check_address, ""),
        (names.check_address, "a b"),
    ],
)
def test_where_no_name_is_near_none_is_offered(check: Callable[[str], str], refused: str) -> None:
    with pytest.raises(BadRequest) as raised:
        check(refused)
    assert "would do" not in raised.value.detail
    assert "perhaps" not in raised.value.detail


@given(st.text(max_size=400))
def test_whatever_is_offered_would_do(text: str) -> None:
    for check in (names.check_topic, names.check_pattern, names.check_username):
        try:
            check(text)
        except BadRequest as error:
            for offered in re.findall("`([^`]*)` would do", error.detail):
                assert check(offered) == offered


def test_a_kept_word_offers_another() -> None:
    with pytest.raises(BadRequest, match="`publish-news` may"):
        names.check_topic("publish")


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("http://news.example.org:5053/stream", "news.example.org:5053"),
        ("news.example.org", "news.example.org:5053"),
        ("news.example.org:", "news.example.org:5053"),
        (":5054", "127.0.0.1:5054"),
        ("5054", "127.0.0.1:5054"),
    ],
)
def test_an_address_is_offered_without_scheme_and_path_and_with_a_port(text: str, offered: str) -> None:
    assert address_like(text, 5053) == offered


def test_what_is_too_long_is_offered_not_at_all_and_read_in_part() -> None:
    assert topic_like("ü" * (limits.TOPIC_CHARS // 2)) == "ue" * (limits.TOPIC_CHARS // 2)
    assert topic_like("ü" * limits.TOPIC_CHARS) == ""
    assert username_like(" " * 10_000 + "ann") == ""
