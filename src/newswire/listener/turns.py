"""Turns: who has waited longest of the caller who was served longest ago. Pure; one thread at a time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class HasCaller(Protocol):
    """Something that somebody asked for."""

    @property
    def caller(self) -> str:
        """By whom."""


T = TypeVar("T", bound=HasCaller)


class Turns(Generic[T]):
    """A queue that takes from each caller in turn; of one caller, first come, first served. Every step takes constant time."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[T]] = OrderedDict()
        self._count = 0

    def append(self, item: T) -> None:
        """Queue."""
        waiting = self._of.get(item.caller)
        if waiting is None:
            self._of[item.caller] = deque((item,))
        else:
            waiting.append(item)
        self._count += 1

    def popleft(self) -> T:
        """Take the next. Raises IndexError when there is none."""
        if not self._of:
            raise IndexError("nobody waits")
        caller, waiting = self._of.popitem(last=False)
        item = waiting.popleft()
        if waiting:
            self._of[caller] = waiting
        self._count -= 1
        return item

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return (item for waiting in self._of.values() for item in waiting)
