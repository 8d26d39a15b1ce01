"""How streams are shared by the brokers of a cluster (docs/rules.md, SHARE). Pure: time, in seconds, and chance are arguments.

What a broker says of its streams travels with its heartbeats, so it is some seconds old where it is used. Therefore what is
decided by it is gentle: a new stream goes to any broker, only the more often the more room it has; a broker that has too many
gives some away each second, less and less, and the fewer the older what it knows is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from newswire.core import limits

_LEVEL: Final = 1.25  # times what the fullest broker has: up to there all are filled, so that it gets some, too
_BEGIN: Final = 0.15  # of an even share that any broker has too few or too many: streams are given away from there on,
_PATIENCE: Final = 3.0  # times the age of what is known: what is too many is not given away in less time
_END: Final = 0.03  # and until it is less


class Load(msgspec.Struct, frozen=True):
    """How many streams a broker serves, of how many it may; 0: it did not say. `age`: seconds ago."""

    streams: int = 0
    limit: int = 0
    age: float = 0.0


def are_many(loads: Collection[Load]) -> bool:
    """Say whether streams are spread: below it new ones go to the primary, which is where people look for them."""
    return len(loads) > 1 and sum(load.streams for load in loads) >= limits.SPREAD_STREAMS


def are_few(loads: Collection[Load]) -> bool:
    """Say whether all streams go to the primary; between few and many each stays where it is."""
    return sum(load.streams for load in loads) < limits.SPREAD_STREAMS // 2


def choose_seat(loads: Mapping[str, Load], chance: float) -> str:
    """The broker for a new stream, the more often one the more room it has; "" where none has room. `chance`: 0 to 1."""
    level = _LEVEL * max((load.streams / load.limit for load in loads.values() if load.limit), default=0.0)
    rooms = {
        name: level * load.limit - load.streams if level else float(load.limit)
        for name, load in loads.items()
        if load.streams < load.limit
    }
    return _choose(rooms, chance)


class Balance:
    """Which streams of one broker go elsewhere, step by step. One thread."""

    def __init__(self) -> None:
        self._gives = False
        self._credit = 0.0  # streams that may go now
        self._looked: float | None = None

    def choose(self, me: str, loads: Mapping[str, Load], most: int, chances: Iterator[float], now: float) -> Sequence[str]:
        """Where to send streams of broker `me` now, a name each, `most` at most. Asked about once a second.

        `loads`: of all brokers that serve and said how many they have, `me` among them.
        """
        passed = min(now - self._looked, 1.0) if self._looked is not None else 0.0
        self._looked = now
        counts = {name: load.streams for name, load in loads.items() if load.limit}
        evens = _even_shares(loads, counts)
        excess = counts[me] - evens[me] if me in counts else 0.0
        self._gives = excess >= 1 and self._is_due(loads, counts, evens)
        if not self._gives:
            self._credit = 0.0
            return ()
        seconds = max(limits.MOVE_SECONDS, _PATIENCE * max(load.age for load in loads.values()))
        self._credit += passed * min(limits.MOVE_STREAMS_PER_SECOND, excess / seconds)
        names: list[str] = []
        while self._credit >= 1 and len(names) < min(most, int(excess)):
            name = _choose({name: evens[name] - count for name, count in counts.items() if name != me}, next(chances))
            if not name:
                break
            self._credit -= 1
            counts[name] += 1
            names.append(name)
        self._credit = min(self._credit, 1.0)  # what could not be sent now is no reason for a crowd later
        return names

    def _is_due(self, loads: Mapping[str, Load], counts: Mapping[str, int], evens: Mapping[str, float]) -> bool:
        """Say whether streams are given away: some broker, not only this one, is far from its share."""
        if self._gives:
            return not are_few(loads.values()) and _distance(counts, evens) > _END
        return are_many(loads.values()) and _distance(counts, evens) > _BEGIN


def _even_shares(loads: Mapping[str, Load], counts: Mapping[str, int]) -> dict[str, float]:
    """What each would have if all had the same part of what they may have."""
    streams, limit = sum(counts.values()), sum(loads[name].limit for name in counts)
    return {name: streams * loads[name].limit / limit for name in counts}


def _distance(counts: Mapping[str, int], evens: Mapping[str, float]) -> float:
    """By which part of its share the broker that is farthest from it has too many or too few."""
    return max((abs(count - evens[name]) / max(evens[name], 1.0) for name, count in counts.items()), default=0.0)


def _choose(rooms: Mapping[str, float], chance: float) -> str:
    """One name, by these weights; those that have none are never chosen."""
    weights = {name: room for name, room in sorted(rooms.items()) if room > 0}
    at = chance * sum(weights.values())
    for name, weight in weights.items():
        at -= weight
        if at < 0:
            return name
    return next(reversed(weights), "")
