"""Names: what is one, what matches what, and that a refusal names the rule (docs/http.md, Names)."""

from __future__ import annotations

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


@pytest.mark.parametrize("pattern", ["", "a*", "*a", "a.>.b", ">.a", "a>", "**", "a..*", "ä.*"])
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


@pytest.mark.parametrize("word", sorted(names.ROUTES))
def test_a_word_of_the_service_is_no_topic_to_publish_to_and_may_be_read(word: str) -> None:
    with pytest.raises(BadRequest) as refused:
        names.check_topic(word)
    assert refused.value.code == "bad-topic"
    assert word == "openapi.json" or names.check_pattern(word) == names.check_topic(f"{word}-news").removesuffix("-news")
