"""What is given up, and stored again by whoever has it (docs/rules.md, LOST)."""

from __future__ import annotations

from newswire.core.model import ops
from newswire.core.model.ops import Joined, Lost, Published, Subscribed, Unsubscribed
from newswire.core.state.salvage import again, owed
from tests.core.state.test_holes import A, B, began, fold, message, texts


def test_who_holds_what_others_gave_up_owes_it_until_it_is_stored_again() -> None:
    state = fold(began(), message(2), message(3), message(4), message(6))
    lost = Lost(B, 2, 0, A, 3, 6)
    debt = owed(state, lost, {})
    assert ([state.log.sequences[row] for row in debt.rows], [op.sequence for op in debt.waiting]) == ([3, 4], [6])
    assert not owed(state, lost, {A: {3, 4, 6}})
    (draft,) = again(state, message(3))
    assert (draft.again, draft.data) == (f"{A}.3", "text 3")  # type: ignore[attr-defined]


def test_a_message_that_was_stored_again_takes_the_place_of_the_first() -> None:
    state = fold(began(), message(2, key="k"), began(B))
    copy = Published(B, 2, 9, topic="news", data="text 2", key="k", again=f"{A}.2")
    state.apply(copy, 3, 10, None)
    assert texts(state) == [f"{B}.2"]
    state.apply(Lost(B, 3, 0, A, 2, 2), 4, 10, None)
    assert texts(state) == [f"{B}.2"]
    other = fold(began(), began(B), copy, Lost(B, 3, 0, A, 2, 2))
    assert texts(other) == texts(state)


def test_a_subscription_and_a_membership_that_were_stored_again_replace_themselves() -> None:
    state = fold(began(), Subscribed(A, 2, 0, "Ann", "news", {A: 1}), Joined(A, 3, 0, "1001", "10.0.0.1:1", ()), message(4))
    (sub,) = again(state, Subscribed(A, 2, 0, "Ann", "news", {A: 1}))
    assert isinstance(sub, Subscribed)
    assert (sub.since, sub.replaces) == ({A: 1}, (f"{A}.2",))
    (joined,) = again(state, Joined(A, 3, 0, "1001", "10.0.0.1:1", ()))
    assert isinstance(joined, Joined)
    assert joined.seen == (f"{A}.3",)
    state.apply(Unsubscribed(A, 5, 0, (f"{A}.2",)), 9, 10, None)
    assert again(state, Subscribed(A, 2, 0, "Ann", "news", {A: 1})) == [Unsubscribed("", 0, 0, (f"{A}.2",))]


def test_every_op_that_is_stored_again_can_be_read_back() -> None:
    lost = Lost(A, 3, 0, B, 5, 7)
    assert ops.decode(ops.encode(lost)) == lost
    copy = Published(A, 4, 0, topic="news", data="x", again=f"{B}.5")
    assert ops.decode(ops.encode(copy)) == copy
