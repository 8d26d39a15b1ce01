from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core.access import Rights, overlap
from newswire.core.model.names import matches

LETTERS = ("a", "b", "other")  # as levels of topics: two that patterns name, and one that none does
TOPICS = [".".join(levels) for length in range(1, 6) for levels in itertools.product(LETTERS, repeat=length)]
# every pattern of up to four levels; topics of one level more tell all of them apart
PATTERNS = [
    ".".join((*levels, *rest))
    for length in range(4)
    for levels in itertools.product(("a", "b", "*"), repeat=length)
    for rest in ((), (">",))
    if levels or rest
]
MATCHED = {pattern: frozenset(topic for topic in TOPICS if matches(pattern, topic)) for pattern in PATTERNS}
patterns = st.sampled_from(PATTERNS)


def test_a_pattern_contains_just_those_whose_topics_it_matches() -> None:
    """All pairs, against all topics."""
    for outer, inner in itertools.product(PATTERNS, repeat=2):
        assert Rights(publish=(outer,)).covers("publish", inner) == (MATCHED[inner] <= MATCHED[outer]), (outer, inner)


def test_the_overlap_of_two_patterns_is_one_pattern() -> None:
    for one, other in itertools.product(PATTERNS, repeat=2):
        both = overlap(one, other)
        assert MATCHED.get(both, frozenset()) == MATCHED[one] & MATCHED[other], (one, other)
        assert both == "" or both in MATCHED


@given(st.lists(patterns, max_size=4), st.lists(patterns, max_size=3), st.sampled_from(TOPICS))
def test_a_token_may_do_what_its_user_and_its_patterns_allow(granted: list[str], narrower: list[str], topic: str) -> None:
    rights = Rights(publish=tuple(granted), subscribe=tuple(granted))
    token = rights.narrow(tuple(narrower), None)
    assert token.may("publish", topic) == (
        rights.may("publish", topic) and any(matches(pattern, topic) for pattern in narrower)
    )
    assert token.may("subscribe", topic) == rights.may("subscribe", topic)
    assert rights.narrow(None, None) is rights


@given(st.lists(patterns, max_size=4), patterns)
def test_a_subscription_is_covered_by_one_grant_and_read_as_far_as_any_goes(granted: list[str], pattern: str) -> None:
    rights = Rights(subscribe=tuple(granted))
    assert rights.covers("subscribe", pattern) == any(MATCHED[pattern] <= MATCHED[one] for one in granted)
    readable = {topic for part in rights.parts(pattern) for topic in MATCHED[part]}
    assert readable == {topic for topic in MATCHED[pattern] if rights.may("subscribe", topic)}
    if rights.covers("subscribe", pattern):
        assert rights.parts(pattern) == (pattern,)


def test_an_admin_may_everything_and_a_narrow_token_of_one_is_no_admin() -> None:
    admin = Rights(admin=True)
    assert admin.may("publish", "a")
    assert admin.covers("subscribe", ">")
    assert admin.parts("a.>") == ("a.>",)
    token = admin.narrow(("a.>",), None)
    assert token == Rights(publish=("a.>",), subscribe=(">",))
    assert not token.may("publish", "b")


@pytest.mark.parametrize(("topic", "seen"), [("mine", True), ("news.a", True), ("secret", False)])
def test_a_topic_is_seen_by_who_may_publish_or_read_there(topic: str, seen: bool) -> None:
    assert Rights(publish=("mine",), subscribe=("news.>",)).may_see(topic) == seen
    assert not Rights().may_see(topic)


def test_what_reads_publishes_nothing_and_is_no_admin_s() -> None:
    assert Rights(admin=True).reading == Rights(subscribe=(">",))
    assert Rights(publish=("a",), subscribe=("b", "c.>")).reading == Rights(subscribe=("b", "c.>"))
