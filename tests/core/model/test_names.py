"""Names: what is one, what matches what, and that a refusal names the rule (docs/http.md, Names)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model import names
from newswire.errors import BadRequest

LEVELS = st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True)
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize("topic", ["Google", "finance.closing", "a_b-c.1", "x" * limits.TOPIC_CHARS, "streams", "stream.x"])
def test_topics(topic: str) -> None:
    assert names.check_topic(topic) == topic
    assert names.check_pattern(topic) == topic


@pytest.mark.parametrize(
    "topic",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a/b",
        "ä",
        "a\n",
        "a*",
        "*",
        ">",
        "a.*",
        "x" * (limits.TOPIC_CHARS + 1),
        "stream",
        "v1",
    ],
)
def test_no_topics(topic: str) -> None:
    with pytest.raises(BadRequest) as refused:
        names.check_topic(topic)
    assert refused.value.code == "bad-topic"
    assert len(refused.value.detail) > 20, "a sentence that says what to do"


@pytest.mark.parametrize("pattern", ["*", ">", "a.*", "*.b", "a.>", "a.*.c", "*.>", "a.*.>"])
def test_patterns(pattern: str) -> None:
    assert names.check_pattern(pattern) == pattern
    assert names.is_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "a*", "*a", "a.>.b", ">.a", "a>", "**", "a..*", "ä.*", "publish"])
def test_no_patterns(pattern: str) -> None:
    with pytest.raises(BadRequest) as refused:
        names.check_pattern(pattern)
    assert refused.value.code == "bad-pattern"


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("news", ["news"], ["news.a", "New", "newss"]),
        ("*", ["news", "tech"], ["news.a"]),
        ("news.*", ["news.a", "news.b"], ["news", "news.a.b", "tech.a"]),
        ("*.a", ["news.a", "tech.a"], ["a", "news.b", "x.news.a"]),
        ("news.>", ["news.a", "news.a.b"], ["news", "newsy.a"]),
        (">", ["news", "news.a.b"], []),
        ("*.>", ["news.a", "news.a.b"], ["news"]),
        ("a.*.>", ["a.b.c", "a.b.c.d"], ["a.b", "b.b.c"]),
    ],
)
def test_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    assert [topic for topic in (*matching, *others) if names.matches(pattern, topic)] == matching


@given(TOPICS, st.data())
def test_a_star_in_any_level_and_a_tail_for_the_rest_match(topic: str, data: st.DataObject) -> None:
    levels = topic.split(".")
    at = data.draw(st.integers(0, len(levels) - 1))
    assert names.matches(".".join([*levels[:at], "*", *levels[at + 1 :]]), topic)
    assert names.matches(".".join([*levels[:at], ">"]), topic)
    assert not names.matches(f"{topic}.>", topic)
    assert not names.matches(f"{topic}.*", topic)


@pytest.mark.parametrize("name", ["Alice", "a.b@c-d_e", "x" * limits.USERNAME_CHARS])
def test_usernames(name: str) -> None:
    assert names.check_username(name) == name


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (names.check_username, ["", "a b", "a/b", "é", "a\n", "x" * (limits.USERNAME_CHARS + 1)]),
        (names.check_broker_id, ["", "10-01", "1001.", "a" * (limits.BROKER_ID_CHARS + 1), "1001\n"]),
        (names.check_address, ["", "host", "host:", "host:0", "host:65536", ":5053", "a b:1", "http://a:1", "h:1\n", "-a:1"]),
    ],
)
def test_refused_names(check: Callable[[str], str], bad: list[str]) -> None:
    for name in bad:
        with pytest.raises(BadRequest):
            check(name)


@pytest.mark.parametrize("address", ["127.0.0.1:5053", "broker-1.example:65535", "[::1]:5053", "a:1"])
def test_addresses(address: str) -> None:
    assert names.check_address(address) == address


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
