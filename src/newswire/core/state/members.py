"""Who belongs to the cluster: memberships as observed-remove sets (docs/rules.md, APPLY)."""

from __future__ import annotations

from newswire.core.model.ops import Joined, Left, OpId


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
        joins = self.of.get(broker)
        if joins:
            for name in seen:
                joins.pop(name, None)
