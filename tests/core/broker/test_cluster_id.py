"""Brokers that start for the first time end in one cluster, whatever gets lost and whoever starts again (rules, CLUSTER ID)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from unittest.mock import patch

import pytest

from newswire.core.broker import events
from newswire.core.broker.broker import Broker
from newswire.core.broker.cluster_id import ClusterId
from newswire.core.broker.events import (
    Action,
    Answer,
    Answered,
    Append,
    Event,
    Failed,
    FixClusterId,
    Header,
    Now,
    Received,
    Send,
    Stored,
    Submitted,
)
from newswire.core.broker.values import Identity
from newswire.core.model import ops
from newswire.core.model.commands import Publish
from newswire.core.state.fold import State

SCHEDULES = 500
STEPS = 60  # a schedule, before all that hinders ends


class Node:
    """A broker and its disk, which is always fast and never fails."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.id, self.address = world, f"100{number}", f"10.0.0.{number}:1"
        self.peers: tuple[str, ...] = ()
        self.raws: list[bytes] = []
        self.named = ""
        self.run = 0
        self.broker: Broker | None = None

    def start(self) -> None:
        """Start, again or for the first time; what was under way to the former run is lost."""
        self.run += 1
        state = State()
        state.replay([(ops.decode(raw), place, len(raw)) for place, raw in enumerate(self.raws)])
        identity = Identity(self.id, self.address, f"{self.id}-r{self.run}", peers=self.peers)
        minted = f"{self.world.rng.getrandbits(64):016x}"
        self.broker = Broker(identity, state, self.named or minted, settled=bool(self.named))
        self._carry_out(self.broker.begin(self.world.now()))

    def put(self, event: Event) -> None:
        """Hand an event in."""
        if self.broker is not None:
            self._carry_out(self.broker.step(event, self.world.now()))

    def _carry_out(self, actions: Sequence[Action]) -> None:
        broker, todo = self.broker, list(actions)
        assert broker is not None
        while todo:
            stores, first = False, len(self.raws)
            for action in todo:
                if isinstance(action, FixClusterId):
                    assert not self.named, f"{self.id} was of {self.named}, and settles on {action.cluster}"
                    self.named, stores = action.cluster, True
                elif isinstance(action, Append):
                    self.raws += action.raws
                    stores = True
                elif isinstance(action, Send):
                    raws = [self.raws[place] for place, _ in action.places]
                    self.world.flights.append(Flight(self, action.address, action.header, raws))
                elif isinstance(action, Answer):
                    assert isinstance(action.reply_to, Flight)
                    raws = [self.raws[place] for place, _ in action.places]
                    action.reply_to.answer = (action.header, raws)
                    self.world.flights.append(action.reply_to)
            places = [(place, len(self.raws[place])) for place in range(first, len(self.raws))]
            todo = broker.step(Stored(places), self.world.now()) if stores else []

    def keys(self) -> set[str]:
        """What was published, and is here."""
        return {op.key for op in map(ops.decode, self.raws) if isinstance(op, ops.Published)}


class Flight:
    """A push on its way, then its answer on its way back."""

    def __init__(self, source: Node, address: str, header: Header, raws: list[bytes]) -> None:
        self.source, self.run, self.address, self.header, self.raws = source, source.run, address, header, raws
        self.answer: tuple[Header, list[bytes]] | None = None


class World:
    """Some brokers that were never started, and chance."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = Random(seed)
        self.clock = 0.0
        self.flights: list[Flight] = []
        self.cut: set[frozenset[str]] = set()
        self.published = 0
        self.nodes = [Node(self, number) for number in range(1, rng.randint(2, 4) + 1)]
        first = self.nodes[0].address
        star = rng.random() < 0.3  # all but the first are told of the first, and the first of nobody
        for node in self.nodes:
            others = tuple(other.address for other in self.nodes if other is not node)
            node.peers = others if not star else (first,) if node.address != first else ()
        self.star = star

    def now(self) -> Now:
        """The same clock everywhere."""
        return Now(self.clock, 1_700_000_000_000 + int(self.clock * 1000))

    def hinder(self) -> None:
        """A schedule in which everything may happen."""
        rng = self.rng
        for _ in range(STEPS):
            what = rng.random()
            node = rng.choice(self.nodes)
            if what < 0.5 and self.flights:
                for _ in range(rng.randint(1, 4)):
                    self._carry(lose=rng.random() < 0.1)
            elif what < 0.65:
                self.publish(node)
            elif what < 0.75:
                self._start(node)
            elif what < 0.85:
                self.cut = {
                    frozenset((one.address, other.address)) for one in self.nodes for other in self.nodes if rng.random() < 0.25
                }
            else:
                self.pass_time(rng.choice((0.0, 0.3, 1.0, 2.5, 6.0)))

    def _start(self, node: Node) -> None:
        """Start a broker. A first one that was told of nobody and lost what it was about to say is an empty disk: not again."""
        if node.broker is None or node.peers or not node.broker.state.log.holds_nothing:
            node.start()

    def publish(self, node: Node) -> None:
        """Publish, if the broker serves."""
        if node.broker is not None and node.broker.serves:
            self.published += 1
            node.put(Submitted(None, [Publish("news", "x", key=str(self.published))]))

    def pass_time(self, seconds: float) -> None:
        """Let time pass everywhere."""
        self.clock += seconds
        for node in self.nodes:
            node.put(events.Tick())

    def _carry(self, *, lose: bool) -> None:
        """Bring something to its end, in any order."""
        if not self.flights:
            return
        flight = self.flights.pop(self.rng.randrange(len(self.flights)))
        target = next(node for node in self.nodes if node.address == flight.address)
        if lose or target.broker is None or frozenset((flight.source.address, flight.address)) in self.cut:
            if flight.run == flight.source.run:
                flight.source.put(Failed(flight.address, flight.header.number, "down", "lost"))
        elif flight.answer is None:
            target.put(Received(flight, flight.header, flight.raws))
        elif flight.run == flight.source.run:
            flight.source.put(Answered(flight.address, *flight.answer))

    def heal(self) -> None:
        """Nothing hinders any more."""
        self.cut.clear()
        for node in self.nodes:
            if node.broker is None:
                node.start()
        for _ in range(80):
            for _ in range(40):
                self._carry(lose=False)
            self.pass_time(0.5)
            if self.wrong() == "":
                break

    def wrong(self) -> str:
        """What is not as it has to be in the end."""
        ids = {node.named for node in self.nodes}
        if len(ids) > 1 or (ids == {""} and self.published):
            return f"ids {ids}"
        keys = {str(number + 1) for number in range(self.published)}
        return "; ".join(f"{node.id} lacks {keys - node.keys()}" for node in self.nodes if node.keys() != keys)


def ends(seeds: range) -> Iterator[tuple[int, str]]:
    """What went wrong in which schedule."""
    for seed in seeds:
        world = World(seed)
        world.hinder()
        world.publish(world.nodes[0])
        world.heal()
        if world.wrong():
            yield seed, f"{'star' if world.star else 'all'} of {len(world.nodes)}: {world.wrong()}"


@pytest.mark.timeout(600)
def test_fresh_brokers_end_in_one_cluster_with_all_that_was_published() -> None:
    assert list(ends(range(SCHEDULES))) == []


def test_who_settles_as_soon_as_a_peer_was_met_founds_a_second_cluster() -> None:
    """The schedules find the rule that was there before, and each half of the one that is there."""

    def met(cluster: ClusterId, others: Mapping[str, str], agreed: Mapping[str, tuple[str, ...]]) -> bool:
        once = agreed or not cluster._me.peers
        return not (cluster.settled or cluster._settling) and (bool(once) or cluster._heard_settled)

    with patch.object(ClusterId, "_may_settle", met):
        assert next(ends(range(SCHEDULES)), None) is not None
