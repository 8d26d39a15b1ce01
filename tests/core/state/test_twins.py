"""Twins: one key and one content, taken by brokers that did not know of each other, are one message (docs/rules.md, TWINS)."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from newswire.core.broker.retention import to_drop
from newswire.core.model import ops
from newswire.core.model.coverage import Coverage
from newswire.core.model.ops import Began, Dropped, Op, Published, Subscribed, split_op_id
from newswire.core.model.vector import Vector
from newswire.core.read.counts import subscriptions_of, topics
from newswire.core.read.scan import Due, plan
from newswire.core.read.start import open_stream
from newswire.core.state.fold import State

HERE, THERE = "1001-a", "1002-b"
DAY = 86_400_000


class Side:
    """A broker: its log and what its origin made."""

    def __init__(self, name: str) -> None:
        self.name, self.state, self.made = name, State(), list[Op]()
        self.make(Began("", 0, 0, name[:4], {}))

    def make(self, draft: Op, time: int = 1_000) -> str:
        op = ops.with_place(draft, self.name, len(self.made) + 1, time)
        self.made.append(op)
        self.hold(op)
        return op.id

    def hold(self, op: Op) -> None:
        self.state.apply(op, len(self.state.log), 1, None)

    def hear(self, other: Side) -> None:
        for op in other.made:
            if self.state.takes(op, {}):
                self.hold(op)

    def publish(self, text: str, key: str = "k", time: int = 1_000) -> str:
        return self.make(Published("", 0, 0, topic="news", data=text, key=key), time)

    def subscribe(self, user: str, since: Vector | None = None) -> None:
        self.make(Subscribed("", 0, 0, user, "news", dict(self.state.vector) if since is None else since))

    def place(self) -> Coverage:
        return Coverage("", dict(self.state.vector), dict(self.state.vector))

    def read(self, user: str, event_id: Coverage | None = None) -> list[str]:
        """The messages that a stream of `user` gets."""
        opening = open_stream(self.state, user, event_id)
        assert opening is not None
        items = plan(self.state, opening.position, opening.wanted, 1_000).items
        return [item.coverage.message for item in items if isinstance(item, Due)]

    def unread(self, user: str) -> tuple[int, int]:
        (row,) = subscriptions_of(self.state, user)
        return row.index, row.unread


def meet(one: Side, other: Side) -> None:
    one.hear(other)
    other.hear(one)


def apart() -> tuple[Side, Side]:
    """Two brokers that know Alice and Bob and lose sight of each other."""
    here, there = Side(HERE), Side(THERE)
    meet(here, there)
    here.subscribe("alice")
    there.subscribe("bob")
    meet(here, there)
    return here, there


def test_both_brokers_show_one_message_under_the_smaller_id() -> None:
    for first in (0, 1):
        here, there = apart()
        sides = (here, there) if first else (there, here)
        stamps = (7, 5)
        ids = [side.publish("x", time=time) for side, time in zip((here, there), stamps, strict=True)]
        meet(*sides)
        for side in sides:
            assert side.read("alice") == side.read("bob") == ids[:1]
            (row,) = topics(side.state)
            assert (row.messages, row.last) == (1, stamps[0]), "the stamp is that of the id"
            assert side.unread("alice") == (0, 1)


def test_who_has_read_either_twin_does_not_get_the_other() -> None:
    here, there = apart()
    here.publish("x")
    there.publish("x")
    after_here, after_there = here.place(), there.place()
    meet(here, there)
    for side in (here, there):
        for place in (after_here, after_there):
            assert side.read("alice", place) == []


def test_who_is_between_two_twins_in_a_log_has_had_the_message() -> None:
    here, there = apart()
    there.publish("before")
    here.publish("x")
    there.publish("x")
    between = here.place()
    here.hear(there)
    assert here.read("alice", between) == [f"{THERE}.3"], "what came with the twin, and not the twin"


def test_two_contents_under_one_key_are_two_messages_and_both_stay() -> None:
    here, there = apart()
    one, other = here.publish("all well"), there.publish("FAILED")
    meet(here, there)
    for side in (here, there):
        assert sorted(side.read("alice")) == [one, other]
        assert topics(side.state)[0].messages == 2


def test_a_day_apart_they_are_two_messages() -> None:
    here, there = apart()
    one, other = here.publish("x", time=1_000), there.publish("x", time=1_001 + DAY)
    meet(here, there)
    assert sorted(here.read("alice")) == sorted(there.read("alice")) == [one, other]


def test_a_subscription_that_began_between_the_two_does_not_get_it() -> None:
    here, there = apart()
    here.publish("x")
    here.subscribe("cleo")
    there.publish("x")
    meet(here, there)
    for side in (here, there):
        assert side.read("cleo") == []
        assert side.unread("cleo") == (0, 0)


def test_what_retention_dropped_under_one_id_is_dropped_under_the_other() -> None:
    here, there = apart()
    for side in (here, there):
        side.publish("x")
    (drop,) = to_drop(there.state, 0, 0)
    there.make(Dropped("", 0, 0, *drop))
    meet(here, there)
    for side in (here, there):
        assert side.read("alice") == []
        assert side.state.messages.count(1) == 0
        assert to_drop(side.state, 0, 0) == []


def test_by_count_a_message_and_its_twin_are_one() -> None:
    here, there = apart()
    here.publish("old", "")
    for side in (here, there):
        side.publish("x")
    there.publish("new", "")
    meet(here, there)
    for side in (here, there):
        for topic, vector in to_drop(side.state, 0, 2):
            side.state.messages.drop(topic, vector)
        assert side.state.messages.count(1) == 2


def test_three_brokers_that_took_one_message() -> None:
    sides = [Side(f"100{number}-a") for number in (3, 1, 2)]
    for side in sides:
        side.subscribe(side.name[:4], {})
        side.publish("x")
    places = [side.place() for side in sides]
    for _ in range(2):
        for side in sides:
            for other in sides:
                side.hear(other)
    for side in sides:
        assert side.read("1001") == ["1001-a.3"]
        assert side.unread("1001") == (0, 1)
        assert [side.read("1001", Coverage("", place.after, {"1001-a": 2})) for place in places] == [[], [], []]


SEEDS = st.integers(0, 2**32)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_what_is_due_what_is_counted_and_what_is_named_agree_at_every_broker(seed: int) -> None:
    """From every place that a reader can be at, in any log: each message of which no twin is covered, once."""
    chance = Random(seed)
    sides = [Side(name) for name in ("1001-a", "1002-a", "1003-a")]
    for side in sides:
        side.subscribe(side.name[:4], {})
    places: list[Coverage] = []
    for _ in range(chance.randint(5, 40)):
        side = chance.choice(sides)
        if chance.random() < 0.25:
            side.hear(chance.choice(sides))
        else:
            side.publish(chance.choice("xy"), chance.choice(("", "k", "l")))
        places.append(side.place())
    for _ in range(2):
        for side in sides:
            for other in sides:
                side.hear(other)
    groups: dict[object, list[tuple[str, int]]] = {}
    for op in (op for side in sides for op in side.made if isinstance(op, Published)):
        groups.setdefault((op.key, op.data) if op.key else op.id, []).append((op.origin, op.sequence))
    for side in sides:
        assert sorted(side.read("1001"), key=split_op_id) == sorted(
            (f"{o}.{s}" for o, s in map(min, groups.values())), key=split_op_id
        )
        for place in chance.sample(places, min(8, len(places))):
            full = side.state.lineage.expand(place.after)
            due = [min(twins) for twins in groups.values() if all(full.get(o, 0) < s for o, s in twins)]
            known = Coverage("", place.after, {"1001-a": 2})
            assert sorted(map(split_op_id, side.read("1001", known))) == sorted(due)
            side.state.subscriptions.cursors["1001-a.2"] = place.after
            assert side.unread("1001") == (len(groups) - len(due), len(due))


def test_a_start_folds_twins_as_they_came() -> None:
    here, there = apart()
    for number in range(20):
        here.publish(f"text {number}", f"k{number}")
        there.publish(f"text {number}", f"k{number}")
    here.hear(there)
    state = State()
    logged = [(op, place, 1) for place, op in enumerate(_ops_of(here, there))]
    state.replay(logged)
    assert state.log.topics == here.state.log.topics
    assert [state.messages.name(row) for row, topic in enumerate(state.log.topics) if topic] == [
        here.state.messages.name(row) for row, topic in enumerate(here.state.log.topics) if topic
    ]


def _ops_of(side: Side, other: Side) -> list[Op]:
    """The ops of a log, in its order."""
    made = {op.id: op for op in (*side.made, *other.made)}
    log = side.state.log
    return [made[f"{log.names[number]}.{sequence}"] for number, sequence in zip(log.origins, log.sequences, strict=True)]
