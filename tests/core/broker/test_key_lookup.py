"""Which message a key names: by what is stored, and by what is staged (docs/rules.md, PUBLISH and KEY)."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.broker.clock import WallClock
from newswire.core.broker.key_lookup import KeyLookup, mark_of, names_any
from newswire.core.broker.stager import Stager
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.ops import Began, Op
from newswire.core.read.counts import topics
from newswire.core.state.fold import State
from newswire.errors import KeyReused

HERE = "1001-a"
DAY = limits.KEY_SECONDS * 1000
FULL = Publish(
    "news", "x", key="k", publisher="Ann", title="T", priority=3, tags=("a", "b"), click="https://example.org", expires=60
)


def store(state: State, *ops: Op) -> None:
    for op in ops:
        assert state.takes(op, {})
        state.apply(op, len(state.log), 1, None)


def broker() -> tuple[State, Stager]:
    state = State()
    store(state, Began(HERE, 1, 0, "1001"))
    return state, Stager(state, HERE, 10)


def publish(state: State, intake: Stager, request: Publish, wall: int) -> str:
    """What a publish is answered with, after it is stored."""
    decided = intake.decide([request], wall)
    store(state, *intake.clear())
    return decided.ids[0]


def test_a_key_is_known_for_a_day_and_names_another_message_after_it() -> None:
    state, intake = broker()
    first = publish(state, intake, FULL, 5_000)
    assert publish(state, intake, FULL, 5_000 + DAY) == first
    second = publish(state, intake, FULL, 5_001 + DAY)
    assert second != first
    assert publish(state, intake, Publish("news", "other", key="k", publisher="Ann"), 5_002 + 2 * DAY) not in (first, second)
    assert topics(state)[0].messages == 3, "all three are shown"


def test_a_clock_that_jumps_makes_no_second_message_of_a_retry() -> None:
    state, intake = broker()
    first = publish(state, intake, FULL, 5_000)
    clock = WallClock(5_000, 1.0, 0)
    clock.note(6_000 + 3_650 * DAY, 2.0)
    clock.note(7_000 + 10 * DAY, 3.0)
    intake.keys.shifts = clock.shifts()
    assert intake.keys.shifts == (0, 3_640 * DAY, -10 * DAY)
    assert publish(state, intake, FULL, 7_000 + 10 * DAY) == first
    with pytest.raises(KeyReused):
        intake.decide([Publish("news", "other", key="k", publisher="Ann")], 7_000 + 10 * DAY)
    clock.note(6_999 + 11 * DAY, 2.999 + 86_400)
    assert len(clock.shifts()) == 2, "after a day it is the time of day alone that counts"
    clock.note(7_000 + 11 * DAY, 3.0 + 86_400)
    assert clock.shifts() == (0,)


def test_a_key_of_a_message_that_is_staged_is_known() -> None:
    _, intake = broker()
    name = intake.decide([FULL], 0).ids[0]
    again = intake.decide([FULL], 0)
    assert (again.ids, again.stored) == ((name,), 0)
    with pytest.raises(KeyReused) as refused:
        intake.decide([Publish("news", "other", key="k", publisher="Ann")], 0)
    assert refused.value.extra["id"] == name
    assert len(intake.staged) == 1


def test_a_key_names_a_message_until_that_is_staged_no_more() -> None:
    state, intake = broker()
    (key,) = intake.keys.look_up([FULL], 0)
    name = intake.decide([FULL], 0).ids[0]
    assert intake.keys.first_under(key) == name
    intake.unstored()
    assert intake.keys.first_under(key) == ""
    assert intake.keys.first_under(None) == ""
    assert state.log.held(HERE) == 1


def test_keys_are_all_new_or_looked_up_one_by_one() -> None:
    state, intake = broker()
    lookup = KeyLookup(state)
    assert lookup.new_marks([Publish("news", "x")]) == []
    new = [Publish("news", "x", key="a"), Publish("news", "x", key="b")]
    assert lookup.new_marks(new) == [mark_of(one) for one in new]
    assert lookup.new_marks([*new, new[0]]) is None, "one is there twice"
    assert lookup.new_marks([*new, Publish("news", "x")]) is None, "one has none"
    publish(state, intake, new[1], 0)
    assert lookup.new_marks(new) is None, "one is known"


def test_of_a_batch_the_line_is_named_whose_key_says_two_things() -> None:
    state, _ = broker()
    with pytest.raises(KeyReused, match="in the same batch") as refused:
        KeyLookup(state).look_up([Publish("news", "x", key="a"), Publish("news", "y", key="a")], 0)
    assert refused.value.extra["index"] == 1


def test_it_is_said_whether_a_request_has_one_of_some_keys() -> None:
    requests = [Subscribe("ann", "news"), Publish("news", "x"), Publish("news", "x", key="a")]
    assert names_any(requests, frozenset((mark_of(Publish("news", "other", key="a")),)))
    assert not names_any(requests, frozenset((mark_of(Publish("news", "x", key="b")),)))
    assert not names_any(requests, frozenset())
