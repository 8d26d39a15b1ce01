"""The fold: a broker's state is nothing but the ops it holds, applied in any order (DESIGN 1).

`apply` is total, commutative and idempotent as long as each op is `takes`-able: two brokers that hold the same ops hold
the same state. What differs between them is only their log: its order, and at which of its twins' places a message stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from newswire.core.log import Log
from newswire.core.members import Members
from newswire.core.messages import Messages
from newswire.core.ops import Acknowledged, Began, Dropped, Joined, Left, Message, Op, Subscribed, Unsubscribed
from newswire.core.subscriptions import Subscriptions
from newswire.core.vector import Lineage, Vector


class SubscriptionRow(msgspec.Struct, frozen=True):
    """A subscription for people: `since` in ms, `index` messages delivered, `unread` not yet."""

    topic: str
    since: int
    index: int
    unread: int


class TopicRow(msgspec.Struct, frozen=True):
    """A topic for people: messages that retention has left, time of the newest in ms."""

    topic: str
    messages: int
    last: int


class Changes(msgspec.Struct):
    """What a batch changed for streams."""

    topics: set[str] = msgspec.field(default_factory=set)
    users: set[str] = msgspec.field(default_factory=set)


class State:
    """Everything a broker holds. `apply`: commit thread, under the state lock. Queries: any thread, under it."""

    def __init__(self) -> None:
        self.lineage = Lineage()
        self.log = Log(self.lineage)
        self.messages = Messages(self.log)
        self.subscriptions = Subscriptions(self.lineage)
        self.members = Members()
        self.waiting: dict[str, dict[int, tuple[Op, int, int]]] = {}  # origin -> sequence -> what damage keeps apart

    @property
    def vector(self) -> Vector:
        """Everything held, as a short vector."""
        return self.log.vector

    def replay(self, batch: Sequence[tuple[Op, int, int]]) -> None:
        """Apply recovered (op, place, length); what cannot be taken, because damage hides what is before, waits.

        Most of a file is runs of messages of one origin: those go in by the column (300,000 records a second).
        """
        at = 0
        while at < len(batch):
            op, place, length = batch[at]
            held = self.log.held(op.origin)
            run = self._run(batch, at, held) if held else 0
            if run:
                self._replay_run(op.origin, batch[at : at + run])
            elif self.takes(op, {}):
                self.apply(op, place, length, None)
            elif op.sequence > held:
                self.waiting.setdefault(op.origin, {})[op.sequence] = batch[at]
            at += run or 1

    def revive(self, changes: Changes | None) -> None:
        """Apply what waited behind damage and can be taken now: a peer filled the hole, or a later record did."""
        before = -1
        while self.waiting and before != len(self.log):
            before = len(self.log)
            for origin in list(self.waiting):
                self._revive(origin, changes)

    def _revive(self, origin: str, changes: Changes | None) -> None:
        ops = self.waiting[origin]
        while (found := ops.get(self.log.held(origin) + 1)) and self.takes(found[0], {}):
            self.apply(*found, changes)
        if max(ops) <= self.log.held(origin):
            del self.waiting[origin]

    def _run(self, batch: Sequence[tuple[Op, int, int]], start: int, held: int) -> int:
        """How many from `start` on are messages of one origin, each the next."""
        origin, at = batch[start][0].origin, start
        for at in range(start, len(batch)):
            op = batch[at][0]
            held += 1
            if type(op) is not Message or op.sequence != held or op.origin != origin:
                return at - start
        return at + 1 - start

    def _replay_run(self, origin: str, run: Sequence[tuple[Op, int, int]]) -> None:
        messages = [cast(Message, op) for op, _, _ in run]
        topics = self.messages.take_run(messages, len(self.log))
        times, places = [op.time for op in messages], [place for _, place, _ in run]
        self.log.add_run(origin, times, topics, places, [length for _, _, length in run])

    def takes(self, op: Op, staged: Mapping[str, int]) -> bool:
        """TAKE: only the next of its origin; a `began` first, and only when all that it names is held.

        `staged`: origins of which more is about to be applied, with how far.
        """
        if op.sequence != (staged.get(op.origin) or self.log.held(op.origin)) + 1:
            return False
        if op.sequence > 1:
            return not isinstance(op, Began)
        return isinstance(op, Began) and all(
            (staged.get(origin) or self.log.held(origin)) >= sequence for origin, sequence in op.vector.items()
        )

    def apply(self, op: Op, place: int, length: int, changes: Changes | None) -> None:
        """Fold in one op that `takes` accepted; its record lies at `place`."""
        kind = type(op)
        topic = 0
        if kind is Message:
            topic = self.messages.take(cast(Message, op), len(self.log))
            if topic and changes is not None:
                changes.topics.add(cast(Message, op).topic)
        elif kind is Began:
            self.lineage.began(op.origin, cast(Began, op).vector)
        self.log.add(op.origin, op.sequence, op.time, topic, place, length)
        if kind is not Message and kind is not Began:
            users = self._other(op)
            if changes is not None:
                changes.users |= users

    def patterns_of(self, user: str) -> tuple[str, ...]:
        """What `user` is registered for; () for nobody known."""
        return self.subscriptions.patterns_of(user)

    def _other(self, op: Op) -> set[str]:
        """Fold in what is no message; return the users whose subscriptions changed."""
        match op:
            case Subscribed():
                return self.subscriptions.subscribed(op)
            case Unsubscribed():
                return self.subscriptions.unsubscribed(op)
            case Acknowledged():
                self.subscriptions.acknowledged(op)
            case Dropped():
                self.messages.drop(op.topic, op.vector)
            case Joined():
                self.members.joined(op)
            case Left():
                self.members.left(op)
        return set()
