"""What requests become: the decisions of `core.broker.stager` that need more than one broker's story to show."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newswire.core.broker.stager import Stager
from newswire.core.model import ops
from newswire.core.model.commands import Acknowledge, Confirm, Publish, Subscribe, Unsubscribe
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import Acknowledged, Began, Op, Published, Subscribed, Void
from newswire.core.state.fold import State
from newswire.errors import BadRequest, KeyReused

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


def stagers() -> tuple[Stager, Stager]:
    """Two brokers, each with a message under the key `stored` and one staged under the key `staged`."""
    result: list[Stager] = []
    for _ in range(2):
        state = State()
        intake = Stager(state, HERE, 10)
        store(state, Began(HERE, 1, 0, "1001"), Published(HERE, 2, 0, topic="a", data="x", key="stored"))
        intake.decide([Publish("a", "x", key="staged")], 0)
        result.append(intake)
    return result[0], result[1]


messages = st.builds(
    Publish,
    topic=st.sampled_from(["a", "b.c"]),
    data=st.sampled_from(["x", "", 'says "hi"', "ü\n"]),
    key=st.sampled_from(["", "k1", "k2", "stored", "staged"]),
    title=st.sampled_from(["", "T"]),
    priority=st.sampled_from([0, 5]),
    tags=st.sampled_from([(), ("sale",)]),
    expires=st.sampled_from([0, 0, 60]),
    publisher=st.sampled_from(["", "Ann"]),
)


@given(st.lists(messages, max_size=6), st.integers(-1, 10**15))
@example([Publish("a", "x", key="k1", expires=60)] * 2, -1)
@example([Publish("a", "x", key="k1", expires=60)] * 2, 10**15)
def test_a_batch_becomes_what_its_messages_become_one_after_the_other(batch: list[Publish], wall: int) -> None:
    single, many = stagers()
    try:
        staged = many.decide(batch, wall)
    except KeyReused:
        return  # it uses a key for two contents
    names = [single.decide([message], wall).ids[0] for message in batch]
    assert list(staged.ids) == names
    assert (many.staged, many.raws) == (single.staged, single.raws)
    assert many.raws == [ops.encode(op) for op in many.staged]
    again = Publish("a", "other", key="k1")
    assert many.keys.stores_nothing([again], wall) == single.keys.stores_nothing([again], wall)


def test_nobody_waits_for_what_stores_nothing() -> None:
    state = State()
    stager = Stager(state, HERE, 10)
    store(state, Began(HERE, 1, 0, "1001"))
    for request in (Subscribe("ann", "news"), Publish("news", "x", confirm=60), Confirm("ann", "1001-a.3")):
        stager.decide([request], 1_000)
        store(state, *stager.clear())
    assert stager.decide([Confirm("ann", "1001-a.3")], 1_000).ids == ()
    assert not stager.collides([Unsubscribe("ann", "news")])
    stager.decide([Subscribe("ann", "news")], 1_000)
    assert stager.collides([Unsubscribe("ann", "news")])


def test_a_batch_is_encoded_and_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State()
    intake = Stager(state, HERE, 10)
    store(state, Began(HERE, 1, 0, "1001"))
    monkeypatch.setattr(intake, "_stamp", None)  # what takes one by itself
    staged = intake.decide([Publish("a", str(number), key=str(number)) for number in range(100)], 0)
    assert [op.id for op in intake.staged] == list(staged.ids) == [f"{HERE}.{number}" for number in range(2, 102)]
    assert staged.required == {HERE: 101}


def test_what_no_reader_takes_is_refused_in_a_batch_too() -> None:
    _, intake = stagers()
    for bad in ("\ud800", "x" * 70_000):
        with pytest.raises(BadRequest):
            intake.decide([Publish("a", "good"), Publish("a", bad)], 0)
    assert [op.id for op in intake.staged] == [f"{HERE}.3"]


def run(origin: str, first: int, count: int) -> list[Op]:
    return [Published(origin, sequence, 0, topic="a", data=str(sequence)) for sequence in range(first, first + count)]


@pytest.mark.parametrize(
    ("brought", "taken"),
    [
        (run(THERE, 2, 3), 3),
        (run(THERE, 1, 3), 2),
        (run(THERE, 3, 3), 0),
        ([*run(THERE, 2, 2), *run(THERE, 5, 2)], 2),
        ([*run(THERE, 2, 2), Subscribed(THERE, 4, 0, "alice", ">"), *run(THERE, 5, 2)], 5),
        (run(HERE, 2, 3), 0),
        ([Began("1003-a", 1, 0, "1003"), *run("1003-a", 2, 3)], 4),
        (run("1003-a", 2, 3), 0),
    ],
)
def test_what_a_push_brings_is_taken_at_once_or_one_by_one_with_one_outcome(brought: list[Op], taken: int) -> None:
    single, many = (Stager(State(), HERE, 10) for _ in range(2))
    for intake in (single, many):
        store(intake.state, Began(HERE, 1, 0, "1001"), Began(THERE, 1, 0, "1002"))
    raws = [ops.encode(op) for op in brought]
    many.take_all(raws, "push")
    assert sum(single.take(op, raw) for op, raw in zip(brought, raws, strict=True)) == taken
    assert (many.staged, many.raws) == (single.staged, single.raws)


def test_a_run_of_messages_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Stager(State(), HERE, 10)
    store(intake.state, Began(THERE, 1, 0, "1002"))
    monkeypatch.setattr(intake, "take", None)
    intake.take_all([ops.encode(op) for op in run(THERE, 2, 100)], "push")
    intake.take_all([ops.encode(op) for op in run(THERE, 102, 100)], "push")
    assert len(intake.staged) == 200


def test_what_stands_before_something_that_is_no_operation_is_taken() -> None:
    intake = Stager(State(), HERE, 10)
    store(intake.state, Began(THERE, 1, 0, "1002"))
    with pytest.raises(BadRequest):
        intake.take_all([*(ops.encode(op) for op in run(THERE, 2, 2)), b"{}"], "push")
    assert len(intake.staged) == 2


@given(st.lists(messages, min_size=2, max_size=6))
def test_a_long_batch_of_new_messages_is_named_at_once_as_one_by_one(batch: list[Publish]) -> None:
    single, many = stagers()
    single._new_marks = lambda messages: None  # type: ignore[method-assign,assignment]
    try:
        named = single.name_batch(batch, 0)
    except KeyReused:
        return
    assert many.name_batch(batch, 0) == named


def test_what_a_void_stands_for_that_waits_behind_damage_is_not_taken() -> None:
    """What is missing is brought by a broker that has not compacted, and with it the originals of what is void here."""
    state, stands_for = State(), Void(THERE, 5, 0, first=3)
    state.replay([(Began(THERE, 1, 0, "1002"), 0, 1), (stands_for, 2, 1)])
    stager = Stager(state, HERE, 10)
    originals = [Published(THERE, sequence, 0, topic="news", data=str(sequence)) for sequence in range(2, 7)]
    assert [stager.take(op, ops.encode(op)) for op in originals] == [True, False, False, False, True]
