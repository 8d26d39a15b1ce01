"""Who is woken by a topic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model.names import matches
from newswire.streams.audience import Audience, PatternIndex


def test_a_topic_wakes_those_who_named_it_and_those_whose_pattern_matches() -> None:
    index: PatternIndex[str] = PatternIndex()
    index.put("exact", ("finance.closing",))
    index.put("star", ("finance.*", "other"))
    index.put("rest", (">",))
    index.put("none", ("finance",))
    assert index.matching(["finance.closing"]) == {"exact", "star", "rest"}
    assert index.matching(["other", "finance"]) == {"star", "rest", "none"}
    assert index.matching([]) == set()


def test_who_left_or_changed_is_not_woken_any_more() -> None:
    index: PatternIndex[str] = PatternIndex()
    index.put("a", ("x.*",))
    index.put("b", ("x.*",))
    assert index.matching(["x.y"]) == {"a", "b"}
    index.put("a", ("y",))
    index.remove("b")
    index.remove("b")
    assert index.matching(["x.y"]) == set()
    assert index.matching(["y"]) == {"a"}
    assert len(index) == 1


def test_each_stream_is_woken_by_what_it_waits_for() -> None:
    audience: Audience[str] = Audience()
    audience.put(("Alice",), "a1", ("news",))
    audience.put(("Alice",), "a2", ("news", "sport.*"))
    audience.put(("Alice",), "a3", ("news",))
    audience.put(("Bob",), "b1", ("other",))
    assert sorted(audience.waiting(["sport.x"])) == ["a2"]
    assert sorted(audience.waiting(["news", "other"])) == ["a1", "a2", "a3", "b1"]
    assert (audience.of_user("Alice"), audience.of_user("Eve")) == (["a1", "a2", "a3"], [])
    assert (sorted(audience), sorted(audience.users())) == (["a1", "a2", "a3", "b1"], ["Alice", "Bob"])
    audience.put(("Alice",), "a1", ("sport.*",))
    assert sorted(audience.waiting(["news"])) == ["a2", "a3"]
    assert sorted(audience.waiting(["sport.x"])) == ["a1", "a2"]


def test_a_stream_that_somebody_opened_for_another_depends_on_both() -> None:
    audience: Audience[str] = Audience()
    audience.put(("Alice", "admin"), "s", ("news",))
    assert audience.of_user("Alice") == audience.of_user("admin") == ["s"]
    audience.remove(("Alice", "admin"), "s")
    assert (audience.of_user("Alice"), audience.of_user("admin"), audience.users()) == ([], [], [])


def test_a_user_goes_with_the_last_stream() -> None:
    audience: Audience[str] = Audience()
    for stream in ("a1", "a2"):
        audience.put(("Alice",), stream, ("news",))
    audience.remove(("Alice",), "a1")
    assert list(audience.waiting(["news"])) == ["a2"]
    audience.remove(("Alice",), "a2")
    audience.remove(("Alice",), "a2")
    assert (list(audience.waiting(["news"])), len(audience), audience.users()) == ([], 0, [])


LEVEL = st.sampled_from(["a", "b", "*"])
LEVELS = st.lists(LEVEL, min_size=1, max_size=3).map(".".join)
PATTERN = st.one_of(st.just(">"), LEVELS, LEVELS.map(lambda levels: levels + ".>"))
TOPIC = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.lists(PATTERN, max_size=4), TOPIC), max_size=25))
def test_the_index_says_what_looking_at_every_member_says(steps: list[tuple[int, list[str] | None, str]]) -> None:
    index: PatternIndex[int] = PatternIndex()
    wanted: dict[int, list[str]] = {}
    for member, patterns, topic in steps:
        if patterns is None:
            index.remove(member)
            wanted.pop(member, None)
        else:
            index.put(member, tuple(patterns))
            wanted[member] = patterns
        expected = {who for who, mine in wanted.items() if any(matches(pattern, topic) for pattern in mine)}
        assert index.matching([topic]) == expected
