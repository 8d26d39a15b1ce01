"""What SUBSCRIBE, UNSUBSCRIBE and ACK mean as ops (docs/rules.md), by what is returned."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from newswire.core import limits
from newswire.core.broker.drafts import draft_all, draft_ops
from newswire.core.model.commands import Acknowledge, Confirm, Publish, Request, Subscribe, Unsubscribe, Withdraw
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import NO_PLACE, Acknowledged, Began, Op, Published, Subscribed, Unsubscribed, Withdrawn
from newswire.core.state.fold import State
from newswire.errors import NotFound, Refused

A = "1001-a"


def state_of(*ops: Op) -> State:
    state = State()
    for op in (Began(A, 1, 0, "1001", {}), *ops):
        state.apply(op, 0, 0, None)
    return state


def draft(state: State, request: Request, most: int = 10) -> list[Op]:
    return draft_ops(state, request, 5_000, most)


def subscribed(sequence: int, pattern: str = "news", *, held: int = 1, follows: tuple[str, ...] = ()) -> Subscribed:
    return Subscribed(A, sequence, 0, "Ann", pattern, {A: held}, follows)


def test_a_publish_is_made_when_it_is_stamped() -> None:
    assert draft(state_of(), Publish("news", "x")) == []


def test_a_subscription_begins_where_the_broker_is_or_at_a_time() -> None:
    state = state_of(Published(A, 2, 1_000, topic="news", data="x"), Published(A, 3, 2_000, topic="news", data="y"))
    assert draft(state, Subscribe("Ann", "news")) == [Subscribed(**NO_PLACE, user="Ann", pattern="news", since={A: 3})]
    assert draft(state, Subscribe("Ann", "news", 1_500)) == [Subscribed(**NO_PLACE, user="Ann", pattern="news", since={A: 2})]


def test_one_that_is_there_is_said_again_where_its_cursor_stands() -> None:
    """So an unsubscribe that another broker takes meanwhile does not win over it."""
    state = state_of(subscribed(2), subscribed(3, follows=(f"{A}.2",)))
    (op,) = draft(state, Subscribe("Ann", "news", 0))
    assert op == Subscribed(**NO_PLACE, user="Ann", pattern="news", since={A: 1}, follows=(f"{A}.2",), replaces=(f"{A}.3",))


def test_a_sleeping_one_that_owes_what_the_new_one_does_not_is_not_replaced() -> None:
    state = state_of(subscribed(2, held=2), subscribed(3, held=1, follows=(f"{A}.2",)))
    (op,) = draft(state, Subscribe("Ann", "news"))
    assert isinstance(op, Subscribed)
    assert (op.since, op.replaces) == ({A: 2}, ())


def test_one_pattern_too_many_is_refused_and_one_that_is_there_is_not() -> None:
    state = state_of(subscribed(2), subscribed(3, "tech"))
    with pytest.raises(Refused) as refused:
        draft(state, Subscribe("Ann", "art"), most=2)
    assert refused.value.code == "too-many"
    assert draft(state, Subscribe("Ann", "tech"), most=2)
    assert draft(state, Subscribe("Bob", "art"), most=2)


def test_what_is_withdrawn_is_so_under_the_id_before_it_though_that_one_is_not_here() -> None:
    """Another broker that published what was scheduled, apart from this one, takes its own back by that."""
    state = state_of(Published(A, 2, 0, topic="news", data="x", again="1002-b.7"))
    (op,) = draft(state, Withdraw("1001-a.2", topic="news"))
    assert isinstance(op, Withdrawn)
    assert op.ids == ("1001-a.2", "1002-b.7")


def test_an_unsubscribe_names_all_that_are_seen() -> None:
    state = state_of(subscribed(2), subscribed(3, follows=(f"{A}.2",)), subscribed(4, "tech"))
    (op,) = draft(state, Unsubscribe("Ann", "news"))
    assert isinstance(op, Unsubscribed)
    assert sorted(op.ids) == [f"{A}.2", f"{A}.3"]
    with pytest.raises(NotFound) as missing:
        draft(state, Unsubscribe("Ann", "art"))
    assert missing.value.code == "no-subscription"


def test_what_comes_by_a_pattern_ends_with_the_pattern_and_the_refusal_names_it() -> None:
    state = state_of(subscribed(2, "team.>"), subscribed(3, "*.red"), subscribed(4, "news"))
    with pytest.raises(
        NotFound, match=r"no subscription to team\.red itself: it comes by \*\.red and team\.>, which"
    ) as missing:
        draft(state, Unsubscribe("Ann", "team.red"))
    assert missing.value.code == "no-subscription"
    with pytest.raises(NotFound, match="lists what there is"):
        draft(state, Unsubscribe("Ann", "other.blue"))


def test_an_acknowledgement_of_many_subscriptions_is_several_ops() -> None:
    state = state_of(*(subscribed(n, f"news.{n}") for n in (2, 3, 4)), Published(A, 5, 0, topic="news.2", data="x"))
    event_id = write(Coverage(f"{A}.5", {A: 5}, {}))
    with patch.object(limits, "ACK_SUBSCRIPTIONS", 2):
        ops = draft(state, Acknowledge("Ann", event_id))
    assert [len(op.ids) for op in ops if isinstance(op, Acknowledged)] == [2, 1]
    assert {op.vector[A] for op in ops if isinstance(op, Acknowledged)} == {5}


def test_acknowledgements_of_many_users_that_show_one_id_are_one_op() -> None:
    anns, bobs = subscribed(2), Subscribed(A, 3, 0, "Bob", "news", {A: 1})
    state = state_of(anns, bobs, subscribed(4, "tech"), Published(A, 5, 0, topic="news", data="x"))
    here, before = write(Coverage("", {A: 5}, {})), write(Coverage("", {A: 4}, {}))
    acks = [
        Acknowledge("Ann", here, "news"),
        Acknowledge("Bob", here),
        Acknowledge("Bob", here),
        Acknowledge("Ann", before, "tech"),
    ]
    drafts = draft_all(state, acks, 5_000, 10)
    assert [len(draft) for draft in drafts] == [2, 0, 0, 0]
    assert drafts[0] == [
        Acknowledged(**NO_PLACE, ids=(anns.id, bobs.id), vector={A: 5}),
        Acknowledged(**NO_PLACE, ids=(f"{A}.4",), vector={A: 4}),
    ]


@pytest.mark.parametrize("confirm", [0, 60])
def test_where_rights_are_asked_for_who_is_no_reader_of_a_message_is_told_of_none(confirm: int) -> None:
    state = state_of(Published(A, 2, 1, topic="news", data="x", confirm=confirm))
    with pytest.raises(NotFound, match="none for user ann"):
        draft(state, Confirm("ann", f"{A}.2", "1001-a.9"))
    with pytest.raises(Refused):
        draft(state, Confirm("ann", f"{A}.2", ""))
