"""When something is to be done next: keepalives, ends, and how long the hub may wait. Pure: time is an argument, in seconds."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from newswire.core import limits

T = TypeVar("T", bound=Hashable)

NEVER: Final = math.inf
SLOT_SECONDS: Final = 0.25  # of the wheel, and so how late a keepalive may be: clients wait three periods of 5 s for one


class Schedule(Generic[T]):
    """A wheel: whatever is due within one slot stands together, so one of many costs as much as one of few.

    Nothing comes before its time, and nothing later than a slot after it.
    """

    def __init__(self, slot_seconds: float = SLOT_SECONDS) -> None:
        self._slot_seconds = slot_seconds
        self._slots: dict[int, dict[T, None]] = {}
        self._slot_of: dict[T, int] = {}
        self._numbers: list[int] = []  # a heap, of the keys of `_slots`

    def __len__(self) -> int:
        return len(self._slot_of)

    def put(self, item: T, due: float) -> None:
        """Have `item` come at `due`, and at no other time."""
        number = math.ceil(due / self._slot_seconds)
        if item in self._slot_of:
            self.remove(item)
        slot = self._slots.get(number)
        if slot is None:
            self._slots[number] = slot = {}
            heapq.heappush(self._numbers, number)
        slot[item] = None
        self._slot_of[item] = number

    def remove(self, item: T) -> None:
        """Have `item` not come."""
        number = self._slot_of.pop(item, None)
        if number is not None:
            del self._slots[number][item]

    def pop(self, now: float) -> T | None:
        """Take one whose time has come; None: there is none."""
        while self._numbers and self._numbers[0] * self._slot_seconds <= now:
            slot = self._slots[self._numbers[0]]
            if slot:
                item, _ = slot.popitem()
                del self._slot_of[item]
                return item
            del self._slots[heapq.heappop(self._numbers)]
        return None

    @property
    def next_due(self) -> float:
        """When to ask again; NEVER if there is nothing. Perhaps too early, where something was removed."""
        return self._numbers[0] * self._slot_seconds if self._numbers else NEVER


def select_timeout(now: float, *dues: float) -> float:
    """How long nothing has to be done unless something comes, when these are due. A keepalive period at most."""
    return max(0.0, min(min(dues, default=NEVER) - now, limits.KEEPALIVE_SECONDS))


def rest_seconds(work: float, age: float) -> float:
    """How long to rest after a round that took `work`, the oldest waiting message being `age` old."""
    return max(0.0, min(work, limits.REST_SECONDS - age))
