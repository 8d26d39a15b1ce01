"""What the fold keeps of subscriptions: which are alive, which are awake, how far each is delivered (DESIGN 4).

A subscription is named by its op's id and ends only when an op names it (observed-remove). One that was made while the
same user already had one for the pattern *follows* that one: it is asleep while any that it follows is alive, and takes
over when an unsubscribe taken elsewhere meanwhile ends those. Ops come in any order: a removal or a cursor may come
before its subscription.
"""

from __future__ import annotations

import msgspec

from newswire.core.ops import Acknowledged, OpId, Subscribed, Unsubscribed
from newswire.core.vector import Lineage, Vector


class Subscription(msgspec.Struct, frozen=True):
    """One that is held and not removed. `since`: nothing that this covers is due. `time` in ms, for display."""

    id: OpId
    origin: str
    sequence: int
    user: str
    pattern: str
    since: Vector
    follows: tuple[OpId, ...]
    time: int


class Subscriptions:
    """All subscriptions and cursors. The commit thread writes, under the state lock."""

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.alive: dict[OpId, Subscription] = {}
        self.removed: set[OpId] = set()
        self.cursors: dict[OpId, Vector] = {}  # of alive ones, and of those whose own op has yet to come
        self._of_user: dict[str, dict[OpId, Subscription]] = {}

    def subscribed(self, op: Subscribed) -> set[str]:
        """APPLY sub; return the users whose subscriptions may have changed."""
        changed = self._remove(op.replaces)
        if op.id not in self.removed:
            made = Subscription(op.id, op.origin, op.sequence, op.user, op.pattern, op.since, op.follows, op.time)
            self.alive[op.id] = made
            self._of_user.setdefault(op.user, {})[op.id] = made
            changed.add(op.user)
        return changed

    def unsubscribed(self, op: Unsubscribed) -> set[str]:
        """APPLY unsub(ids); return the users whose subscriptions changed."""
        return self._remove(op.ids)

    def acknowledged(self, op: Acknowledged) -> None:
        """APPLY ack(ids, D): cursor[i] := max(cursor[i], D)."""
        for name in op.ids:
            if name not in self.removed:
                old = self.cursors.get(name)
                self.cursors[name] = self.lineage.join(old, op.vector) if old else op.vector

    def alive_of(self, user: str) -> list[Subscription]:
        """alive(u): held and not removed, in the order of their ids."""
        return sorted(self._of_user.get(user, {}).values(), key=lambda sub: sub.id)

    def awake_of(self, user: str) -> list[Subscription]:
        """awake(u): alive and following none that is alive, in the order of their ids."""
        return [sub for sub in self.alive_of(user) if self.is_awake(sub)]

    def is_awake(self, sub: Subscription) -> bool:
        """Say whether `sub`, an alive one, follows none that is held and not removed."""
        return not any(name in self.alive for name in sub.follows)

    def cursor(self, sub: Subscription) -> Vector:
        """What was delivered to `sub` or lies before it."""
        done = self.cursors.get(sub.id)
        return self.lineage.join(sub.since, done) if done else sub.since

    def _remove(self, names: tuple[OpId, ...]) -> set[str]:
        changed = set()
        self.removed.update(names)
        for name in names:
            self.cursors.pop(name, None)
            gone = self.alive.pop(name, None)
            if gone is not None:
                changed.add(gone.user)
                mine = self._of_user[gone.user]
                del mine[name]
                if not mine:
                    del self._of_user[gone.user]
        return changed
