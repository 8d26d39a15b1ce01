"""What the fold keeps of subscriptions: which are alive, which are awake, how far each is delivered (docs/rules.md, SUBSCRIBE).

A subscription is named by its op's id and ends only when an op names it (observed-remove). One that was made while the
same user already had one for the pattern *follows* that one: it is asleep while any that it follows is alive, and takes
over when an unsubscribe taken elsewhere meanwhile ends those. Ops come in any order: a removal or a cursor may come
before its subscription.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from newswire.core.model.ops import Acknowledged, OpId, Subscribed, Unsubscribed
from newswire.core.model.vector import Lineage, Vector


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
    account: OpId


class _OneUser:
    """What one user has, by pattern. The rest is worked out when asked for, and kept until it changes."""

    __slots__ = ("alive", "awake", "by_pattern", "patterns")

    def __init__(self) -> None:
        self.by_pattern: dict[str, tuple[Subscription, ...]] = {}
        self.alive: tuple[Subscription, ...] | None = None
        self.awake: tuple[Subscription, ...] | None = None
        self.patterns: tuple[str, ...] | None = None

    def put(self, pattern: str, subs: tuple[Subscription, ...]) -> None:
        """Let these be all that there are for `pattern`."""
        if subs:
            self.by_pattern[pattern] = subs
        else:
            del self.by_pattern[pattern]
        self.alive = self.awake = self.patterns = None


class Subscriptions:
    """All subscriptions and cursors. The commit thread writes, under the state lock.

    Of subscriptions that were acknowledged together the cursor is one object, so that what is worked out of a cursor is
    worked out once for all of them (docs/rules.md, QUERIES).
    """

    def __init__(self, lineage: Lineage, is_void: Callable[[OpId], bool] = lambda name: False) -> None:
        """`is_void`: whether an op is held and was compacted, so that nothing needs to be kept of it."""
        self.lineage, self._is_void = lineage, is_void
        self.alive: dict[OpId, Subscription] = {}
        self.removed: set[OpId] = set()
        self.cursors: dict[OpId, Vector] = {}  # of alive ones, `since` included; and of those whose own op has yet to come
        self._of_user: dict[tuple[str, OpId], _OneUser] = {}  # by name and account
        self._of_account: dict[OpId, set[str]] = {}  # the names under which it has something: one, unless somebody made that up
        self._ended: set[OpId] = set()  # accounts that were removed

    def subscribed(self, op: Subscribed) -> set[str]:
        """APPLY sub; return the users whose subscriptions may have changed."""
        changed = self._remove(op.replaces)
        if op.account in self._ended:
            self._remove((op.id,))
        if op.id not in self.removed:
            sub = Subscription(
                id=op.id,
                origin=op.origin,
                sequence=op.sequence,
                user=op.user,
                pattern=op.pattern,
                since=op.since,
                follows=op.follows,
                time=op.time,
                account=op.account,
            )
            self.alive[op.id] = sub
            mine = self._of_user.setdefault((op.user, op.account), _OneUser())
            if op.account:
                self._of_account.setdefault(op.account, set()).add(op.user)
            mine.put(op.pattern, (*mine.by_pattern.get(op.pattern, ()), sub))
            early = self.cursors.get(op.id)
            if early is not None:
                self.cursors[op.id] = self.lineage.join(op.since, early)
            changed.add(op.user)
        return changed

    def unsubscribed(self, op: Unsubscribed) -> set[str]:
        """APPLY unsub(ids); return the users whose subscriptions changed."""
        return self._remove(op.ids)

    def end_account(self, account: OpId) -> set[str]:
        """APPLY user_removed: all that hangs on the account ends, also what comes later; return the users of whom it was."""
        self._ended.add(account)
        names = self._of_account.pop(account, set())
        return self._remove(tuple(sub.id for name in names for sub in self.alive_of(name, account)))

    def acknowledged(self, op: Acknowledged) -> None:
        """APPLY ack(ids, D): cursor[i] := max(cursor[i], D)."""
        joined: dict[int, tuple[Vector, Vector]] = {}  # by identity: a cursor before, held here so that it stays one, and after
        whole = self.lineage.shorten(op.vector)
        full = self.lineage.expand(whole)
        for name in op.ids:
            if name in self.removed:
                continue
            sub = self.alive.get(name)
            if sub is None and self._is_void(name):
                continue
            before = self.cursors.get(name) or (sub.since if sub else {})
            pair = joined.get(id(before))
            if pair is None:
                covered = all(full.get(origin) >= sequence for origin, sequence in before.items())
                pair = joined[id(before)] = (before, whole if covered else self.lineage.join(before, whole))
            self.cursors[name] = pair[1]

    def forget_void(self) -> None:
        """Forget what was said of subscriptions that turned out to be void: what replays a compacted log may meet it first."""
        self.removed = {name for name in self.removed if not self._is_void(name)}
        for name in [name for name in self.cursors if name not in self.alive and self._is_void(name)]:
            del self.cursors[name]

    def alive_of(self, user: str, account: OpId = "") -> Sequence[Subscription]:
        """alive(u): held and not removed, in the order of their ids."""
        mine = self._of_user.get((user, account))
        if mine is None:
            return ()
        if mine.alive is None:
            subs = [sub for same in mine.by_pattern.values() for sub in same]
            mine.alive = tuple(sorted(subs, key=lambda sub: sub.id))
        return mine.alive

    def awake_of(self, user: str, account: OpId = "") -> Sequence[Subscription]:
        """awake(u): alive and following none that is alive, in the order of their ids."""
        mine = self._of_user.get((user, account))
        if mine is None:
            return ()
        if mine.awake is None:
            mine.awake = tuple(sub for sub in self.alive_of(user, account) if self.is_awake(sub))
        return mine.awake

    def patterns_of(self, user: str, account: OpId = "") -> tuple[str, ...]:
        """What `user` is registered for, in order; () for nobody known."""
        mine = self._of_user.get((user, account))
        if mine is None:
            return ()
        if mine.patterns is None:
            mine.patterns = tuple(sorted({sub.pattern for sub in self.awake_of(user, account)}))
        return mine.patterns

    def count_patterns(self, user: str, account: OpId = "") -> int:
        """For how many patterns something is alive of `user`."""
        mine = self._of_user.get((user, account))
        return 0 if mine is None else len(mine.by_pattern)

    def with_pattern(self, user: str, pattern: str, account: OpId = "") -> Sequence[Subscription]:
        """What is alive of `user` for exactly this pattern, in the order of their ids."""
        mine = self._of_user.get((user, account))
        return () if mine is None else sorted(mine.by_pattern.get(pattern, ()), key=lambda sub: sub.id)

    def is_awake(self, sub: Subscription) -> bool:
        """Say whether `sub`, an alive one, follows none that is held and not removed."""
        return not any(name in self.alive for name in sub.follows)

    def cursor(self, sub: Subscription) -> Vector:
        """What was delivered to `sub` or lies before it."""
        return self.cursors.get(sub.id) or sub.since

    def _remove(self, names: tuple[OpId, ...]) -> set[str]:
        changed = set()
        self.removed.update(name for name in names if name in self.alive or not self._is_void(name))
        for name in names:
            self.cursors.pop(name, None)
            gone = self.alive.pop(name, None)
            if gone is not None:
                changed.add(gone.user)
                mine = self._of_user[gone.user, gone.account]
                mine.put(gone.pattern, tuple(sub for sub in mine.by_pattern[gone.pattern] if sub.id != name))
                if not mine.by_pattern:
                    del self._of_user[gone.user, gone.account]
        return changed
