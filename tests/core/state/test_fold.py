"""The fold: any order, any repetition, any interleaving of three origins gives the same state (docs/rules.md, APPLY)."""

from __future__ import annotations

from random import Random
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from newswire.core.model import ops
from newswire.core.model.ops import (
    Acknowledged,
    BareOp,
    Began,
    Confirmed,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    Published,
    Scheduled,
    Subscribed,
    Unsubscribed,
    Void,
    Withdrawn,
)
from newswire.core.model.vector import Vector
from newswire.core.read.counts import subscriptions_of, topics
from newswire.core.state.fold import State
from newswire.core.state.op_index import GIVEN_UP
from newswire.core.state.timetable import release
from tests.kit.accounts import account_draft, seen

ORIGINS = ("1001-a", "1002-b", "1001-c")
TOPICS = ("news", "news.local", "tech")


class Origin:
    """One run: it holds what it made and took, and makes ops about what it holds."""

    def __init__(self, name: str) -> None:
        self.name, self.state, self.made = name, State(), list[Op]()

    def make(self, draft: Op) -> None:
        op = ops.with_place(draft, self.name, len(self.made) + 1, 1_000 + len(self.made))
        self.made.append(op)
        self.state.apply(op, 0, 0, None)

    def take(self, other: Origin) -> None:
        for op in other.made:
            if self.state.takes(op, {}):
                self.state.apply(op, 0, 0, None)


def world(seed: int) -> list[Origin]:
    """Three origins that act and hear of each other at random; the third begins on what the others held."""
    chance = Random(seed)
    first, second, third = (Origin(name) for name in ORIGINS)
    for origin in (first, second):
        origin.make(Began("", 0, 0, origin.name[:4], {}))
    origins = [first, second]
    for step in range(chance.randint(1, 25)):
        origin = chance.choice(origins)
        if step == 8:
            third.take(first)
            third.take(second)
            third.make(Began("", 0, 0, "1001", dict(third.state.vector)))
            origins.append(third)
        other = chance.choice(origins)
        if other is not origin and chance.random() < 0.4:
            origin.take(other)
        else:
            origin.make(draft(origin.state, chance))
    return origins


def draft(state: State, chance: Random) -> Op:
    """An op that this state could lead to, or one that names what is not there."""
    ids = [*sorted(state.subscriptions.alive), "1009-zz.7"]
    some, more = (tuple(chance.sample(ids, chance.randint(0, min(2, len(ids))))) for _ in range(2))
    vector, topic, broker = dict(state.vector), chance.choice(TOPICS), chance.choice(("1001", "1002"))
    if chance.random() < 0.4:
        return account_draft(state.accounts, chance)
    message = f"{chance.choice(ORIGINS)}.{chance.randint(2, 9)}"
    account = chance.choice(("", *sorted(state.accounts.users), "1009-zz.7"))
    return chance.choice(
        (
            Published("", 0, 0, topic=topic, data=str(chance.random()), key=chance.choice(("", "k1", "k2"))),
            Published("", 0, 0, topic=topic, data="x", confirm=60, escalate=chance.choice(("", "late"))),
            Published("", 0, 0, topic="news", data="y", key="k4", confirm=60, escalate="late"),
            Published("", 0, 0, topic="late", data=str(chance.random()), about=message),
            Scheduled("", 0, 0, topic=topic, data="later", due=9, key=chance.choice(("", "k3"))),
            *(release(op) for op in state.messages.timetable.waiting.values()),
            Confirmed("", 0, 0, message, "Alice", account),
            Subscribed("", 0, 0, "Alice", chance.choice((*TOPICS, "news.*", ">")), vector, some, more, account),
            Unsubscribed("", 0, 0, some),
            Acknowledged("", 0, 0, some, vector),
            Dropped("", 0, 0, topic, vector),
            Withdrawn("", 0, 0, (message,)),  # held here or not, a message or not
            Joined("", 0, 0, broker, f"127.0.0.1:{broker}", state.members.ids(broker)),
            Left("", 0, 0, broker, state.members.ids(broker)),
        )
    )


def test_each_type_of_op_is_among_the_drafts() -> None:
    """`Began` is made by `world`; `Lost` takes back what others did, `Void` is no draft: they have tests of their own."""
    kinds = {type(draft(State(), Random(seed))) for seed in range(400)}
    assert kinds == set(get_args(ops.KnownOp)) - {Began, Lost, Void}, (
        "a new type: draft it here, and name what it leaves in `digest`"
    )


SEEDS = st.integers(0, 2**32)


def fold(batches: list[list[Op]], order: Any) -> State:
    """Fold the origins' ops, the next one from wherever `order` points; ops that cannot be taken yet come again later."""
    state = State()
    todo = [list(batch) for batch in batches]
    while any(todo):
        ready = [batch for batch in todo if batch and state.takes(batch[0], {})]
        batch = ready[order(len(ready))]
        op = batch.pop(0)
        state.apply(op, 0, 0, None)
        assert not state.takes(op, {}), "what is held is not taken again"
    return state


def digest(state: State) -> dict[str, object]:
    """Everything that must be equal; a log's order, and which of two twins is hidden, may differ."""

    def full(vector: Vector) -> dict[str, int]:
        return state.lineage.expand(vector)

    subs = state.subscriptions
    return {
        "held": dict(sorted(state.log.full.items())),
        "vector": full(state.vector),
        "alive": {
            name: (sub.user, sub.pattern, full(subs.cursor(sub)), subs.is_awake(sub)) for name, sub in subs.alive.items()
        },
        "removed": subs.removed,
        "accounts": seen(state.accounts),
        "members": {broker: sorted(held) for broker, held in state.members.of.items() if held},
        "addresses": state.members.addresses,
        "horizons": {topic: full(vector) for topic, vector in state.messages.horizons.items()},
        "withdrawn": sorted(state.messages.withdrawals.names()),
        "confirmed": sorted(state.messages.notices.confirmations()),
        "waiting": sorted(min(state.messages.scheduled_names(op.id)) for op in state.messages.timetable.waiting.values()),
        "notices": sorted(state.messages.notices.of.values()),
        "shown": sorted(state.messages.name(row) for row, topic in enumerate(state.log.topics) if topic not in (0, GIVEN_UP)),
    }


@settings(max_examples=60)
@given(SEEDS)
def test_any_order_gives_the_same_state(seed: int) -> None:
    origins, chance = world(seed), Random(seed)
    batches = [origin.made for origin in origins]
    reference = fold(batches, lambda n: 0)
    shuffled = fold(batches, chance.randrange)
    assert digest(reference) == digest(shuffled)
    for origin in origins:  # and what they became on the way, once each has heard all
        for other in (*origins, *origins, *origins):
            origin.take(other)
        assert digest(origin.state) == digest(reference)


@settings(max_examples=60)
@given(SEEDS)
def test_the_log_s_vectors_are_what_its_prefixes_hold(seed: int) -> None:
    origins = world(seed)
    state = fold([origin.made for origin in origins], lambda n: n - 1)
    held: dict[str, int] = {}
    for offset in range(len(state.log)):
        assert state.lineage.expand(state.log.vector_at(offset)) == held
        held[state.log.names[state.log.origins[offset]]] = state.log.sequences[offset]
    assert state.lineage.expand(state.vector) == held


@settings(max_examples=60)
@given(SEEDS)
def test_every_prefix_of_a_log_can_be_taken(seed: int) -> None:
    """What a push sends, in log order, of what a peer lacks: the peer can take all of it (docs/rules.md, PUSH)."""
    origins, chance = world(seed), Random(seed)
    state = fold([origin.made for origin in origins], chance.randrange)
    peer = chance.choice(origins).state
    by_id = {op.id: op for origin in origins for op in origin.made}
    for row in state.log.lacking(state.lineage.expand(peer.vector), 1_000, 1_000_000):
        op = by_id[ops.op_id(state.log.names[state.log.origins[row]], state.log.sequences[row])]
        assert peer.takes(op, {})
        peer.apply(op, 0, 0, None)
    assert state.log.count_lacking(state.lineage.expand(peer.vector)) == 0


def test_only_the_next_of_an_origin_is_taken() -> None:
    state = State()
    began = Began("1001-a", 1, 0, "1001", {})
    assert not state.takes(Published("1001-a", 1, 0, topic="t", data="x"), {}), "an origin begins with `began`"
    assert not state.takes(Began("1002-b", 1, 0, "1002", {"1001-a": 1}), {}), "all that it names must be held"
    assert state.takes(began, {})
    state.apply(began, 0, 0, None)
    assert not state.takes(began, {})
    assert not state.takes(Published("1001-a", 3, 0, topic="t", data="x"), {}), "a gap must not hide under a maximum"
    assert state.takes(Published("1001-a", 3, 0, topic="t", data="x"), {"1001-a": 2}), "what is staged counts"
    assert state.takes(Began("1002-b", 1, 0, "1002", {"1001-a": 1}), {})


def test_a_twin_of_a_key_is_hidden_once() -> None:
    state = State()
    for number, op in enumerate(
        (
            Began("1001-a", 1, 0, "1001", {}),
            Began("1002-b", 1, 0, "1002", {}),
            Published("1001-a", 2, 0, topic="news", data="x", key="key"),
            Published("1002-b", 2, 0, topic="news", data="x", key="key"),
            Published("1002-b", 3, 0, topic="tech", data="x", key="key"),
            Published("1002-b", 4, 0, topic="news", data="x", key="key", publisher="someone"),
        )
    ):
        state.apply(op, number, 1, None)
    assert [(row.topic, row.messages) for row in topics(state)] == [("news", 2), ("tech", 1)]


def test_a_run_in_which_a_key_comes_twice_is_read_back_as_it_was_taken() -> None:
    """A clock that was set makes a broker forget a key: it stamps the message again, and has to start on that."""
    for later, shown in ((60_000, 1), (2 * 86_400_000, 2)):
        batch: list[Op] = [
            Began("1001-a", 1, 0, "1001", {}),
            *(Published("1001-a", at, 0, topic="news", data=f"text {at}", key=f"k{at}") for at in (2, 3)),
            Published("1001-a", 4, later, topic="news", data="text 3", key="k3"),
            Published("1001-a", 5, later, topic="news", data="text 5", key="k5"),
        ]
        one, other = State(), State()
        one.replay([(op, place, 1) for place, op in enumerate(batch)])
        for place, op in enumerate(batch):
            other.apply(op, place, 1, None)
        assert digest(one) == digest(other)
        (row,) = topics(one)
        assert row.messages == 2 + shown


def test_an_unsubscribe_against_a_concurrent_subscribe() -> None:
    """Alice subscribes again at one broker while the other ends what it sees: the new one takes over where the old was."""
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    state.apply(Began("1002-b", 1, 0, "1002", {}), 0, 0, None)
    state.apply(Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}), 0, 0, None)
    state.apply(Subscribed("1001-a", 3, 0, "Alice", "news", {"1001-a": 2}, follows=("1001-a.2",)), 0, 0, None)
    assert [sub.id for sub in state.subscriptions.awake_of("Alice")] == ["1001-a.2"], "it sleeps while the old one lives"
    state.apply(Unsubscribed("1002-b", 2, 0, ("1001-a.2",)), 0, 0, None)
    assert [sub.id for sub in state.subscriptions.awake_of("Alice")] == ["1001-a.3"]
    assert state.patterns_of("Alice") == ("news",)


def test_a_cursor_that_comes_before_its_subscription_counts() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    state.apply(Began("1002-b", 1, 0, "1002", {}), 0, 0, None)
    state.apply(Acknowledged("1002-b", 2, 0, ("1001-a.2",), {"1001-a": 5}), 0, 0, None)
    state.apply(Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}), 0, 0, None)
    (sub,) = state.subscriptions.awake_of("Alice")
    assert state.subscriptions.cursor(sub) == {"1001-a": 5}


def test_index_and_unread_count_messages() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    for sequence in (2, 3):
        state.apply(Published("1001-a", sequence, sequence, topic="news", data="x"), 0, 0, None)
    state.apply(Subscribed("1001-a", 4, 9, "Alice", "news.*", {"1001-a": 3}), 0, 0, None)
    state.apply(Subscribed("1001-a", 5, 9, "Alice", "news", {"1001-a": 3}), 0, 0, None)
    for sequence in (6, 7, 8):
        state.apply(Published("1001-a", sequence, sequence, topic="news", data="x"), 0, 0, None)
    state.apply(Published("1001-a", 9, 9, topic="news.local", data="x"), 0, 0, None)
    state.apply(Acknowledged("1001-a", 10, 10, ("1001-a.5",), {"1001-a": 6}), 0, 0, None)
    rows = {row.topic: (row.index, row.unread) for row in subscriptions_of(state, "Alice")}
    assert rows == {"news": (1, 2), "news.*": (0, 1)}
    state.apply(Dropped("1001-a", 11, 11, "news", {"1001-a": 7}), 0, 0, None)
    rows = {row.topic: (row.index, row.unread) for row in subscriptions_of(state, "Alice")}
    assert rows == {"news": (1, 1), "news.*": (0, 1)}, "what retention dropped is neither delivered nor unread"


def test_an_op_of_a_later_version_is_kept_and_changes_nothing() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    later = ops.decode(b'{"op":"levitate","o":"1001-a","s":2,"t":3,"height":7}')
    assert type(later) is BareOp
    assert state.takes(later, {})
    state.apply(later, 7, 1, None)
    assert state.log.full == {"1001-a": 2}


@given(st.binary(max_size=300))
def test_decode_is_total(raw: bytes) -> None:
    try:
        op = ops.decode(raw)
    except ops.NotAnOp:
        return
    State().apply(op, 0, 0, None)
