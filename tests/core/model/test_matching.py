"""Patterns against topics: what the trie and the automaton say is what looking at each pattern says, at a bounded cost."""

from __future__ import annotations

import gc
import weakref
from itertools import product
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model import matching
from newswire.core.model.matching import Automaton, PatternSet, PatternTrie, pattern_set
from newswire.core.model.names import matches

LEVELS = st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(st.just(">"), LEVELS, LEVELS.map(lambda levels: levels + ".>"))
TOPICS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=6).map(".".join)
WIDE = [".".join(levels) for levels in product("a*", repeat=9)]  # 512 patterns that all match one topic


@given(st.lists(PATTERNS, max_size=12, unique=True), st.lists(TOPICS, max_size=12))
def test_the_automaton_says_what_each_pattern_says(patterns: list[str], topics: list[str]) -> None:
    found = PatternSet(patterns)
    for topic in topics:
        assert found.match(topic).hits == frozenset(i for i, pattern in enumerate(patterns) if matches(pattern, topic))


@given(st.lists(PATTERNS, max_size=8, unique=True), st.lists(TOPICS, max_size=8))
def test_an_automaton_that_is_begun_anew_says_the_same(patterns: list[str], topics: list[str]) -> None:
    with patch.object(matching, "_STATE_ENTRIES", 3):
        found = PatternSet(patterns)
        for topic in topics:
            assert found.match(topic).hits == frozenset(i for i, pattern in enumerate(patterns) if matches(pattern, topic))


@given(st.lists(st.tuples(st.booleans(), PATTERNS, st.integers(0, 3), TOPICS), max_size=30))
def test_the_trie_says_what_each_pattern_says_while_they_come_and_go(steps: list[tuple[bool, str, int, str]]) -> None:
    trie: PatternTrie[int] = PatternTrie()
    found = Automaton(trie)
    held: set[tuple[str, int]] = set()
    for put, pattern, member, topic in steps:
        (trie.put if put else trie.remove)(pattern, member)
        (held.add if put else held.discard)((pattern, member))
        assert set().union(*found.match(topic).sources) == {who for wanted, who in held if matches(wanted, topic)}
    for pattern, member in held:
        trie.remove(pattern, member)
    assert trie.root.is_empty, "nothing is left behind"


def test_a_further_topic_costs_nothing_to_work_out() -> None:
    found = PatternSet(WIDE)
    first = found.match(".".join("a" * 9))
    assert len(first.hits) == 512
    worked_out = found.steps
    ends = {found.match(".".join("a" * 8) + f".t{number}") for number in range(1_000)}
    assert len(ends) == 1, "topics alike are one"
    assert len(ends.pop().hits) == 256
    assert found.steps == worked_out + 1


def test_what_an_automaton_holds_is_bounded() -> None:
    found = PatternSet(WIDE)
    for levels in product("abc", repeat=9):
        found.match(".".join(levels))
        assert found._automaton._size <= matching._STATE_ENTRIES
    assert not found.match("a.a.a.a.a.a.a.a.a.a").hits


def test_members_of_a_pattern_that_is_known_come_and_go_at_no_cost() -> None:
    trie: PatternTrie[int] = PatternTrie()
    for pattern in WIDE:
        trie.put(pattern, 0)
    found = Automaton(trie)
    match = found.match(".".join("a" * 9))
    worked_out = found.steps
    for member in range(1, 100):
        trie.put(WIDE[member], member)
    assert found.match(".".join("a" * 9)) is match
    assert found.steps == worked_out
    assert set().union(*match.sources) == set(range(100))


def test_many_names_are_not_listed_anew_for_each_match() -> None:
    trie: PatternTrie[int] = PatternTrie()
    for number in range(matching._STATE_ENTRIES + 1):
        trie.put(f"user.u{number}.>", number)
    found = Automaton(trie)
    assert set().union(*found.match("user.u7.inbox").sources) == {7}
    assert set().union(*found.match("user.nobody.inbox").sources) == set()
    worked_out = found.steps
    found.match("user.u7.inbox")
    found.match("user.anybody.outbox")
    assert found.steps == worked_out


def test_equal_sets_in_use_are_one_object_and_nothing_is_left_of_what_nobody_uses() -> None:
    gc.disable()
    try:
        one = pattern_set(("a.*", "b", ">"))
        assert one is pattern_set(("a.*", "b", ">"))
        assert len(one.match("a.b.c.d.e").hits) == 1
        gone = weakref.ref(one)
        del one
        assert gone() is None, "without a circle, so without the garbage collector"
    finally:
        gc.enable()
