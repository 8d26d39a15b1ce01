"""Keys: what each names, how long, how many; what stands for a content (docs/rules.md, KEY)."""

from __future__ import annotations

from typing import NoReturn
from unittest.mock import patch

import msgspec
import pytest

from newswire.core import limits
from newswire.core.broker.key_lookup import KeyLookup
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Began, Op, Published, Scheduled
from newswire.core.state import keys
from newswire.core.state.fold import State
from newswire.core.state.keys import OFFSET_MASK, Keys, Use, content, contents, fingerprint, fingerprints

HERE = "1001-a"
DAY = limits.KEY_SECONDS * 1000
FULL = Publish(
    "news", "x", key="k", publisher="Ann", title="T", priority=3, tags=("a", "b"), click="https://example.org", expires=60
)


def message(request: Publish, time: int = 1_000) -> Published:
    expires = time + request.expires * 1000 if request.expires else 0
    fields = {name: getattr(request, name) for name in Published.__struct_fields__ if hasattr(request, name)}
    return Published(HERE, 2, time, **(fields | {"expires": expires}))


def scheduled(request: Publish, time: int = 1_000) -> Scheduled:
    fields = {name: getattr(request, name) for name in Scheduled.__struct_fields__ if hasattr(request, name)}
    due = request.at or time + request.delay
    return Scheduled(
        HERE, 2, time, **(fields | {"due": due, "expires": due + request.expires * 1000 if request.expires else 0})
    )


def store(state: State, *ops: Op) -> None:
    for op in ops:
        assert state.takes(op, {})
        state.apply(op, len(state.log), 1, None)


def message_of(number: int, time: int = 0) -> Published:
    return Published(HERE, number + 2, time, topic="news", data="x", key=f"k{number}")


def test_a_request_and_the_op_that_schedules_it_have_one_content_that_no_other_time_has() -> None:
    times = ({"at": 5_000}, {"at": 6_000}, {"delay": 5_000}, {"delay": 6_000})
    later = [msgspec.structs.replace(FULL, **when) for when in times]
    for request in later:
        assert content(request) == content(scheduled(request)) == content(scheduled(request, 77))
    assert len({content(request) for request in (*later, FULL)}) == 5


def test_a_request_and_the_op_that_it_became_have_one_content() -> None:
    for request in (FULL, Publish("news", "x")):
        assert content(request) == content(message(request)) == contents([message(request)])[0]
        assert content(request) == contents([message(request, 77), message(FULL)])[0], "whenever it was taken"


def test_names_that_join_to_one_text_are_two_keys() -> None:
    named = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("", "abc", "d"), ("abc", "", "d")]
    assert len({fingerprint(*names) for names in named}) == len(named)


@pytest.mark.parametrize("field", ["data", "title", "priority", "tags", "click", "expires"])
def test_every_field_that_a_publisher_gives_is_content(field: str) -> None:
    empty = Publish("news", "")
    other = Publish(**{name: getattr(empty if name == field else FULL, name) for name in FULL.__struct_fields__})
    assert content(other) != content(FULL)


def test_a_key_has_the_uses_that_were_noted() -> None:
    held = Keys()
    mark = fingerprint("Ann", "news", "k")
    assert held.uses(mark) == []
    held.note(mark, 5, 7)
    held.note(mark, 2**64 - 1, 9)
    assert held.uses(mark) == [Use(5, 7), Use(2**64 - 1, 9)]
    assert fingerprints(["Ann"], ["news"], ["k"]) == [mark]


class Unwalked(dict[int, int]):
    """A generation of a million keys: nobody goes through it for one that moves."""

    def items(self) -> NoReturn:
        raise AssertionError


def test_what_moves_is_found_where_it_is_and_nothing_else_is_looked_at() -> None:
    held = Keys()
    held._generations = [Unwalked()]
    held.note(1, 5, 70)
    held.note(1, 6, 80)
    held.move(70, 71)
    held.move(71, 72)
    held.move(80, None)
    assert held.uses(1) == [Use(5, 72)]
    held.note(1, 7, 90)
    assert held.uses(1) == [Use(5, 72), Use(7, 90)]
    assert {72, 90} <= {entry & OFFSET_MASK for entries in held.entries() for entry in entries}


def test_the_oldest_keys_are_forgotten_by_count_and_a_key_with_all_its_uses() -> None:
    with patch.object(keys, "_GENERATION_KEYS", 10):
        held = Keys()
        held.note(1, 11, 11)
        for number in range(100, 125):
            held.note(number, number, number)
        held.note(1, 12, 12)
        for number in range(200, 225):
            held.note(number, number, number)
        assert held.uses(1) == [Use(11, 11), Use(12, 12)], "both are as new as the newest"
        for number in range(300, 340):
            held.note(number, number, number)
        assert held.uses(1) == []
        assert sum(map(len, held._generations)) <= 50


@pytest.mark.parametrize("by_the_column", [False, True], ids=["as they come", "after a start"])
def test_the_newest_are_known_whatever_their_number_and_older_ones_are_forgotten(by_the_column: bool) -> None:
    """With 40 in place of a million: at each moment the newest 40, at most a quarter more."""
    with patch.object(keys, "_GENERATION_KEYS", 10):
        for count in range(40, 75):
            ops = [Began(HERE, 1, 0, "1001"), *(message_of(number) for number in range(count))]
            state = State()
            if by_the_column:
                for start in range(0, len(ops), 7):
                    state.replay([(op, at, 1) for at, op in enumerate(ops[start : start + 7], start)])
            else:
                store(state, *ops)
            lookup = KeyLookup(state)
            known = [bool(lookup.stores_nothing([Publish("news", "x", key=f"k{number}")], 0)) for number in range(count)]
            assert all(known[-40:]), count
            assert sum(known) <= 50
            assert sorted(known) == known, "the oldest are forgotten first"


@pytest.mark.parametrize("by_the_column", [False, True], ids=["as they come", "after a start"])
@pytest.mark.parametrize(("age", "is_known"), [(-DAY - 1, False), (-DAY, True), (0, True), (DAY, True), (DAY + 1, False)])
def test_a_key_is_known_for_a_day_and_not_a_moment_longer(age: int, is_known: bool, by_the_column: bool) -> None:
    """Also for one whose stamp is ahead, by a clock that was."""
    ops, state = [Began(HERE, 1, 0, "1001"), message_of(0, time=2 * DAY)], State()
    if by_the_column:
        state.replay([(op, at, 1) for at, op in enumerate(ops)])
    else:
        store(state, *ops)
    lookup = KeyLookup(state)
    assert lookup.stores_nothing([Publish("news", "x", key="k0")], 2 * DAY + age) == is_known
    assert lookup.stores_nothing([Publish("news", "y", key="k0")], 2 * DAY + age) == is_known, "refused"


def test_of_a_key_that_is_used_again_and_again_the_newest_uses_are_kept() -> None:
    held = Keys()
    for number in range(limits.KEY_USES_COUNT + 5):
        held.note(1, number, number)
    assert [use.offset for use in held.uses(1)] == list(range(5, limits.KEY_USES_COUNT + 5))


def test_a_run_with_one_known_key_or_a_key_twice_is_not_noted() -> None:
    held = Keys()
    held.note(3, 0, 0)
    assert not held.note_run([1, 2, 3], [0, 0, 0], 10)
    assert not held.note_run([1, 1], [0, 0], 10)
    assert held.uses(1) == []
    assert held.note_run([1, 2], [8, 9], 10)
    assert held.uses(2) == [Use(9, 11)]
