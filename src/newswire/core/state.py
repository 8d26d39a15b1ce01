"""The fold: a broker's state is nothing but the ops it holds, applied in any order (DESIGN 1).

`apply` is total, commutative and idempotent as long as each op is `takes`-able: two brokers that hold the same ops hold
the same state. What differs between them is only their log: its order, and which of two messages with one key is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from newswire.core.log import Log
from newswire.core.members import Members
from newswire.core.messages import Messages, fingerprint
from newswire.core.ops import Acknowledged, Began, Dropped, Joined, Left, Message, Op, Subscribed, Unsubscribed
from newswire.core.subscriptions import Subscription, Subscriptions
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
        self.messages = Messages(self.lineage)
        self.subscriptions = Subscriptions(self.lineage)
        self.members = Members()

    @property
    def vector(self) -> Vector:
        """Everything held, as a short vector."""
        return self.log.vector

    def replay(self, batch: Iterable[tuple[Op, int, int]]) -> int:
        """Apply recovered (op, place, length); return how many could not be taken, because damage hides what is before."""
        left_out = 0
        held = self.log.held
        for op, place, length in batch:
            if op.sequence == held(op.origin) + 1 and (op.sequence > 1 or self.takes(op, {})):
                self.apply(op, place, length, None)
            elif op.sequence > held(op.origin):
                left_out += 1
        return left_out

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
            topic = self._message(op, changes)  # type: ignore[arg-type]  # narrowed by type() above, for speed
        elif kind is Began:
            self.lineage.began(op.origin, op.vector)  # type: ignore[attr-defined]
        self.log.add(op.origin, op.sequence, op.time, topic, place, length)
        if kind is not Message and kind is not Began:
            users = self._other(op)
            if changes is not None:
                changes.users |= users

    def patterns_of(self, user: str) -> tuple[str, ...]:
        """What `user` is registered for; () for nobody known."""
        return tuple(sorted({sub.pattern for sub in self.subscriptions.awake_of(user)}))

    def subscriptions_of(self, user: str) -> list[SubscriptionRow]:
        """A row a pattern. Where brokers took two at once for one pattern, the one that is further behind."""
        rows: dict[str, SubscriptionRow] = {}
        for sub in self.subscriptions.awake_of(user):
            row = self._row(sub)
            if sub.pattern not in rows or rows[sub.pattern].unread < row.unread:
                rows[sub.pattern] = row
        return [rows[pattern] for pattern in sorted(rows)]

    def topics(self) -> list[TopicRow]:
        """Every topic that has messages."""
        messages = self.messages
        rows = (TopicRow(name, messages.count(number), messages.last[number]) for name, number in messages.numbers.items())
        return sorted((row for row in rows if row.messages), key=lambda row: row.topic)

    def _message(self, op: Message, changes: Changes | None) -> int:
        """APPLY msg: its topic's number, 0 where (publisher, topic, key) is in this log already: twins of a retry."""
        messages = self.messages
        if op.key:
            mark = fingerprint(op.publisher, op.topic, op.key)
            if messages.keys.find(mark) is not None:
                return 0
            messages.keys.note(mark, len(self.log), op.time)
        number = messages.number(op.topic)
        messages.add(number, op.origin, op.sequence, op.time)
        if changes is not None:
            changes.topics.add(op.topic)
        return number

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

    def _row(self, sub: Subscription) -> SubscriptionRow:
        cursor = self.subscriptions.cursor(sub)
        counts = [self.messages.count_after(number, cursor, sub.since) for number in self.messages.matching(sub.pattern)]
        return SubscriptionRow(sub.pattern, sub.time, sum(done for done, _ in counts), sum(left for _, left in counts))
