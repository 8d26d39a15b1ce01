"""Withdrawn messages are not shown, read or counted, whatever came first and becomes of twins (docs/rules.md, EXPIRY)."""

from __future__ import annotations

import pytest

from newswire.core.broker.stager import Stager
from newswire.core.model.ops import Acknowledged, Dropped, Lost, Published, Void, Withdrawn, with_place
from newswire.core.read.counts import topics
from newswire.core.state.salvage import again, blindly
from tests.core.state.test_twins import HERE, Side, apart, meet


def shown(side: Side) -> list[str]:
    """The messages that a stream of Alice gets; the counts must be the same."""
    ids = side.read("alice")
    assert side.unread("alice") == (0, len(ids))
    assert sum(row.messages for row in topics(side.state)) == len(ids)
    assert sum(map(len, side.state.messages.sequences[1].values())) == len(ids)
    return ids


def test_it_is_taken_out_of_its_topic_and_nothing_is_told() -> None:
    here, there = apart()
    ids = [here.publish(text, key="") for text in "abcd"]
    here.make(Withdrawn("", 0, 0, (ids[1], ids[3], "1009-x.7")))
    assert shown(here) == [ids[0], ids[2]]
    meet(here, there)
    assert shown(there) == [ids[0], ids[2]]
    here.make(Withdrawn("", 0, 0, tuple(ids)))
    assert shown(here) == []


def test_what_is_no_message_is_not_withdrawn() -> None:
    here, _ = apart()
    name = here.publish("a", key="")
    here.make(Withdrawn("", 0, 0, (f"{HERE}.1", f"{HERE}.2")))
    assert shown(here) == [name]
    assert "alice" in {sub.user for sub in here.state.subscriptions.alive.values()}


def test_one_that_comes_before_its_message_hides_it_when_it_comes() -> None:
    here, there = apart()
    name = f"{there.name}.{len(there.made) + 1}"
    here.make(Withdrawn("", 0, 0, (name,)))
    assert there.publish("late", key="") == name
    there.publish("later", key="")
    here.hear(there)
    assert shown(here) == [f"{there.name}.{len(there.made)}"]


def test_a_run_that_is_replayed_by_the_column_stays_withdrawn() -> None:
    here, there = apart()
    ids = [there.publish(text, key="") for text in "abc"]
    here.make(Withdrawn("", 0, 0, (ids[1],)))
    here.state.replay([(op, 0, 1) for op in there.made[-3:]])
    assert shown(here) == [ids[0], ids[2]]


def test_a_twin_that_comes_later_is_hidden_too_and_a_retry_is_known() -> None:
    here, there = apart()
    first, second = here.publish("x"), there.publish("x")
    here.make(Withdrawn("", 0, 0, (first,)))
    meet(here, there)
    assert shown(here) == shown(there) == []
    there.make(Withdrawn("", 0, 0, (second,)))
    meet(here, there)
    assert shown(here) == shown(there) == []
    assert here.publish("x")  # a third, which a broker took that knew of neither
    meet(here, there)
    assert shown(here) == shown(there) == []


def test_what_is_withdrawn_under_the_id_of_a_hidden_twin_is_hidden() -> None:
    here, there = apart()
    here.publish("x")
    second = there.publish("x")
    meet(here, there)
    here.make(Withdrawn("", 0, 0, (second,)))
    meet(here, there)
    assert shown(here) == shown(there) == []
    assert here.state.messages.dropped_by_twin(1) == ()


def test_a_twin_of_what_was_withdrawn_and_given_up_is_shown_again() -> None:
    """Who never had what was given up cannot know that they are twins."""
    here, there = apart()
    first, second = here.publish("x"), there.publish("x")
    here.make(Withdrawn("", 0, 0, (first,)))
    meet(here, there)
    there.make(Lost("", 0, 0, here.name, 3, 3))
    meet(here, there)
    assert first == f"{HERE}.3"
    assert shown(here) == shown(there) == [second]
    there.make(Withdrawn("", 0, 0, (second,)))
    assert shown(there) == []


def test_what_was_stored_again_is_withdrawn_under_its_first_id() -> None:
    here, there = apart()
    first = here.publish("x", key="")
    for late in (False, True):
        copy = Published("", 0, 0, topic="news", data="x", again=first)
        if late:
            here.make(copy)
            here.make(Withdrawn("", 0, 0, (first,)))
        else:
            there.make(Withdrawn("", 0, 0, (first,)))
            there.make(copy)
            assert shown(there) == []
    meet(here, there)
    assert shown(here) == shown(there) == []


@pytest.mark.parametrize("is_late", [False, True])
def test_what_stored_again_what_is_void_is_withdrawn_under_its_first_id(is_late: bool) -> None:
    here, there = apart()
    name = f"{there.name}.{len(there.made) + 1}"
    here.state.replay([(Void(there.name, len(there.made) + 1, 0, first=len(there.made) + 1), 0, 1)])
    copy, withdrawal = Published("", 0, 0, topic="news", data="x", again=name), Withdrawn("", 0, 0, (name,))
    for op in (withdrawal, copy) if is_late else (copy, withdrawal):
        here.make(op)
    assert shown(here) == []
    assert list(here.state.messages.withdrawals.names()).count(name) == 1


def test_what_is_withdrawn_is_not_stored_again_and_all_that_is_withdrawn_is_said_again() -> None:
    here, _ = apart()
    name = here.publish("x", key="")
    here.make(Withdrawn("", 0, 0, (name, "1009-x.7")))
    message, withdrawal = here.made[-2:]
    assert again(here.state, message) == []
    (draft,) = again(here.state, withdrawal)
    assert isinstance(draft, Withdrawn)
    assert draft.ids == (name, "1009-x.7")
    assert Withdrawn("", 0, 0, (name, "1009-x.7")) in blindly(here.state, [])
    assert not any(isinstance(one, (Acknowledged, Dropped)) for one in blindly(here.state, []))


def test_what_is_stored_again_lives_as_long_as_before() -> None:
    """Its time begins anew by the clock of whoever stores it; a retry under its key says the same."""
    here, _ = apart()
    here.make(Published("", 0, 0, topic="news", data="x", key="k", expires=60_000), time=5_000_000)
    (draft,) = again(here.state, here.made[-1])
    op = with_place(draft, "1003-c", 2, 9)
    assert isinstance(op, Published)
    assert (op.expires, op.time) == (60_009, 9)
    assert Stager(here.state, "1003-c", 10).stamp(draft, 9) == with_place(draft, "1003-c", 1, 9)
