"""What requests become: the decisions of `core.broker.stager` that need more than one broker's story to show."""

from __future__ import annotations

from newswire.core.broker.stager import Stager
from newswire.core.model.commands import Acknowledge, Subscribe
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import Acknowledged, Began, Op, Subscribed
from newswire.core.state.fold import State

HERE = "1001-a"
THERE = "1002-a"


def store(state: State, *ops: Op) -> None:
    for op in ops:
        assert state.takes(op, {})
        state.apply(op, len(state.log), 1, None)


def test_a_subscription_made_again_does_not_replace_one_that_still_owes_a_message() -> None:
    """The first one ended at the other broker, which this one can't know; an id from there speaks for the first alone."""
    state = State()
    intake = Stager(state, HERE, 10)
    store(state, Began(HERE, 1, 0, "1001"), Began(THERE, 1, 0, "1002"))
    store(state, Subscribed(HERE, 2, 0, "alice", ">", {HERE: 1, THERE: 1}))
    intake.decide([Subscribe("alice", ">")], 0)
    store(state, *intake.clear())  # .3 follows .2
    store(state, Subscribed(THERE, 2, 0, "bob", "x", {}))
    intake.decide([Acknowledge("alice", write(Coverage("", {HERE: 2, THERE: 2})))], 0)
    acknowledged = intake.clear()
    assert [op.ids for op in acknowledged if isinstance(op, Acknowledged)] == [("1001-a.2",)]
    store(state, *acknowledged)
    intake.decide([Subscribe("alice", ">")], 0)
    (again,) = intake.clear()
    assert isinstance(again, Subscribed)
    assert (again.follows, again.replaces) == (("1001-a.2",), ())


def test_a_subscription_made_again_replaces_a_sleeping_one_that_owes_nothing_more() -> None:
    state = State()
    intake = Stager(state, HERE, 10)
    store(state, Began(HERE, 1, 0, "1001"), Subscribed(HERE, 2, 0, "alice", ">", {HERE: 1}))
    for replaced in ((), ("1001-a.3",)):
        intake.decide([Subscribe("alice", ">")], 0)
        (again,) = intake.clear()
        assert isinstance(again, Subscribed)
        assert (again.follows, again.replaces) == (("1001-a.2",), replaced)
        store(state, again)
