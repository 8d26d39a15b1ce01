"""Turns: who has waited longest of the caller who was served longest ago. Pure; one thread at a time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class HasCaller(Protocol):
    """Something that somebody asked for."""

    @property
    def caller(self) -> str:
        """By whom."""


T = TypeVar("T", bound=HasCaller)


class Turns(Generic[T]):
    """A queue that takes from each caller in turn; of one caller, first come, first served. Every step takes constant time.

    What nobody seems to wait for any more goes last: it is taken when nothing else is there.
    """

    def __init__(self, is_last: Callable[[T], bool] = lambda item: False) -> None:
        """`is_last`: asked when it would be an item's turn."""
        self._of: OrderedDict[str, deque[T]] = OrderedDict()
        self._last: deque[T] = deque()
        self._is_last = is_last
        self._count = 0

    def append(self, item: T) -> None:
        """Queue."""
        waiting = self._of.get(item.caller)
        if waiting is None:
            self._of[item.caller] = deque((item,))
        else:
            waiting.append(item)
        self._count += 1

    def has(self, may: Callable[[str], bool]) -> bool:
        """Say whether a caller waits who `may` be served."""
        return any(map(may, self._of))

    def popleft(self, may: Callable[[str], bool] = lambda caller: True) -> T:
        """Take the next of a caller who `may` be served; others keep their turn. Raises IndexError when there is none."""
        while (caller := next(filter(may, self._of), None)) is not None:
            waiting = self._of.pop(caller)
            while waiting:
                item = waiting.popleft()
                if self._is_last(item):
                    self._last.append(item)
                    continue
                if waiting:
                    self._of[caller] = waiting
                self._count -= 1
                return item
        if not self._last:
            raise IndexError("nobody waits")
        self._count -= 1
        return self._last.popleft()

    def count_of(self, caller: str) -> int:
        """How many of one caller wait for their turn; what goes last not counted."""
        return len(self._of.get(caller, ()))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return (item for waiting in (*self._of.values(), self._last) for item in waiting)
