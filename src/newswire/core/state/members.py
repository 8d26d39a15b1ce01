"""Who belongs to the cluster: memberships as observed-remove sets, a row a broker for people (docs/rules.md, APPLY)."""

from __future__ import annotations

import msgspec

from newswire.core.model.ops import Joined, Left, OpId


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A broker as `GET /list_replicas` shows it. `lag`: ops that it lacks of what this broker holds."""

    id: str
    ip: str
    is_primary: bool
    state: str  # up | catching-up | down | peer-auth-failed | other-cluster | id-in-use
    lag: int
    self: bool = False
    detail: str = ""
    seconds: float | None = None  # since it was last heard
    down_since: int | None = None  # ms since 1970: since when it gives no usable answer


class HoleRow(msgspec.Struct, frozen=True):
    """A hole for people: ops of `origin`, `first` to `last`, that `broker` lacks; `waiting`: how many wait behind it there."""

    broker: str
    origin: str
    first: int
    last: int
    waiting: int = 0
    unreadable: bool = False  # it holds them, and its disk does not give them back


class View(msgspec.Struct, frozen=True):
    """A snapshot of the cluster as this broker sees it.

    `rows`: one a broker, this one included and marked `self`. `serves`: whether clients may be served here now, else
    `why_not` says why in a sentence. `why_behind`: why readers get all news at another broker only, "" if here, too.
    `most_copies`: brokers that would hold a publish taken now. `degraded`: what is wrong that another broker would not do
    better. `all_in_sync`: no member is away that may know more than this broker. `disk_free_bytes`: room on the disk of the
    ops file, None where there is none. `holes`: of all brokers; `away`: members that may have what is missing and cannot be
    asked.
    """

    rows: tuple[Row, ...]
    serves: bool
    why_not: str = ""
    why_behind: str = ""
    writable: bool = True
    most_copies: int = 1
    all_in_sync: bool = True
    degraded: tuple[str, ...] = ()
    disk_free_bytes: int | None = None
    holes: tuple[HoleRow, ...] = ()
    away: tuple[str, ...] = ()


class Members:
    """The memberships held: for each broker id the `joined` ops that no later op replaced. Commit thread only."""

    def __init__(self) -> None:
        self.of: dict[str, dict[OpId, Joined]] = {}
        self.addresses: dict[str, str] = {}  # last known address of every broker that ever joined
        self.ended: set[OpId] = set()
        self._joined_at: dict[str, tuple[int, OpId, str]] = {}  # address -> time, op and broker of the newest `joined` with it

    def joined(self, op: Joined) -> None:
        """APPLY joined(b, seen): member[b] += id, - seen."""
        self._end(op.broker, op.seen)
        self.addresses.setdefault(op.broker, op.address)
        newest = (op.time, op.id, op.broker)
        self._joined_at[op.address] = max(self._joined_at.get(op.address, newest), newest)
        if op.id not in self.ended:
            self.of.setdefault(op.broker, {})[op.id] = op
            self.addresses[op.broker] = max(self.of[op.broker].values(), key=lambda j: (j.time, j.id)).address

    def left(self, op: Left) -> None:
        """APPLY left(b, seen): member[b] - seen."""
        self._end(op.broker, op.seen)

    def ids(self, broker: str) -> tuple[OpId, ...]:
        """The memberships of `broker` seen now: what an op that replaces or ends them names."""
        return tuple(sorted(self.of.get(broker, ())))

    def __contains__(self, broker: str) -> bool:
        return bool(self.of.get(broker))

    def ever(self, broker: str) -> bool:
        """Say whether `broker` ever joined."""
        return broker in self.addresses

    def whose(self, address: str) -> str:
        """The broker that last joined with `address`, "" for none. It may have moved or left since."""
        return self._joined_at[address][2] if address in self._joined_at else ""

    def anybody(self) -> bool:
        """Say whether there is any member; while there is none, every broker serves."""
        return any(self.of.values())

    def _end(self, broker: str, seen: tuple[OpId, ...]) -> None:
        self.ended.update(seen)
        held = self.of.get(broker)
        if held:
            for name in seen:
                held.pop(name, None)
