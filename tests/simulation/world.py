"""Virtual time, chance, the network and the trace: everything a schedule shares. Nothing here knows a broker.

One heap of (time, number, call) is the whole of time; one `random.Random(seed)` is the whole of chance, so a seed gives
the same schedule for ever. What travels is handed over by reference, never copied: a vector that its sender still
changes would be a bug of the sender, and shows here as one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Set
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

import msgspec

FAR: Final = 2.0  # seconds after which a push that got no answer has failed (limits.PUSH_TIMEOUT_SECONDS)
WALL: Final = 1_700_000_000_000  # ms since 1970, when a schedule begins


class Violation(Exception):
    """A checker found that something happened that must not happen."""


def as_values(thing: Any) -> Any:
    """What an action says, without the names of its type and fields, so that a digest outlives a renaming.

    Who waits for an answer is not part of it.
    """
    match thing:
        case str() | int() | float() | None:
            return thing
        case bytes():
            return thing.decode(errors="replace")
        case msgspec.Struct():
            return [as_values(getattr(thing, name)) for name in thing.__struct_fields__]
        case Mapping():
            return sorted([key, as_values(value)] for key, value in thing.items())
        case Set():
            return sorted(map(as_values, thing))
        case list() | tuple():
            return [as_values(one) for one in thing]
        case Exception():
            return str(thing)
    return None


class World:
    """Time, chance and network of one schedule."""

    def __init__(self, seed: int, *, tracing: bool = False, digesting: bool = False) -> None:
        self.actions = hashlib.blake2b(digest_size=16) if digesting else None  # all that brokers did, in order
        self.seed = seed
        self.rng = Random(seed)
        self.now = 0.0
        self.steps = 0  # events that brokers were handed, ticks left out, pages read, requests made and faults
        self.faults: Counter[str] = Counter()  # kinds of faults that had an effect
        self.deeds: Counter[str] = Counter()  # what brokers did to their logs
        self.tracing = tracing
        self.lines: list[str] = []
        self.cut: set[tuple[str, str]] = set()  # (from, to): nothing travels
        self.loss = 0.0
        self.double = 0.0
        self.slow = 0.0  # chance that something travels for up to two seconds
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Have `call` called in `seconds`."""
        self._number += 1
        heappush(self._heap, (self.now + seconds, self._number, call, arguments))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until, heap = self.now + seconds, self._heap
        while heap and heap[0][0] <= until:
            self.now, _, call, arguments = heappop(heap)
            call(*arguments)
        self.now = until

    def say(self, who: str, what: str) -> None:
        """Add a line to the trace; callers ask `tracing` first."""
        self.lines.append(f"{self.now:9.4f} {who:<6} {what}")

    def note(self, who: str, action: Any) -> None:
        """Count an action of a broker into the digest."""
        if self.actions is not None:
            self.actions.update(json.dumps([who, as_values(action)]).encode())

    def between(self, low: float, high: float) -> float:
        """A number of seconds."""
        return low + (high - low) * self.rng.random()

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return probability > 0 and self.rng.random() < probability

    def travel(self, source: str, target: str, call: Callable[..., None], *arguments: Any) -> None:
        """Carry something over the network: later, twice, or never."""
        if self.chance(self.loss):
            self.faults["loss"] += 1
            return
        if self.chance(self.double):
            self.faults["double"] += 1
            self.after(self.delay(), self._arrive, source, target, call, arguments)
        self.after(self.delay(), self._arrive, source, target, call, arguments)

    def reach(self, target: str, arrive: Callable[[], None], lost: Callable[[], None]) -> None:
        """Carry a client's request: it arrives once, or is known here (not to the client) to be lost."""
        if self.chance(self.loss):
            self.faults["loss"] += 1
            lost()
        else:
            self.after(self.delay(), self._arrive_once, target, arrive, lost)

    def _arrive_once(self, target: str, arrive: Callable[[], None], lost: Callable[[], None]) -> None:
        if ("client", target) in self.cut:
            self.faults["partition"] += 1
            lost()
        else:
            arrive()

    def delay(self) -> float:
        """How long something travels."""
        if self.chance(self.slow):
            self.faults["delay"] += 1
            return self.between(0.01, 1.9)
        return self.between(0.0005, 0.005)

    def _arrive(self, source: str, target: str, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if (source, target) in self.cut:
            self.faults["partition"] += 1
        else:
            call(*arguments)
