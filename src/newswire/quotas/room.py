"""Room: a bound for what all connections together hold, and who makes room when it is reached. Pure; one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Room(Generic[T]):
    """Bytes held, by holder. At the bound those go that hold most for longest, until an eighth is free."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._of: dict[T, int] = {}

    def hold(self, holder: T, size: int) -> None:
        """Note how many bytes `holder` holds now."""
        before = self._of.pop(holder, 0)
        if size:
            self._of[holder] = size
        self.held_bytes += size - before

    @property
    def is_full(self) -> bool:
        """Whether somebody has to make room."""
        return self.held_bytes > self.most_bytes

    def choose(self, seconds: Callable[[T], float | None]) -> list[T]:
        """Who makes room. `seconds`: for how long a holder has held, None for one that may not be touched."""
        heaviest = [
            (size * (1.0 + age), size, holder) for holder, size in self._of.items() if (age := seconds(holder)) is not None
        ]
        heaviest.sort(key=lambda row: row[0])
        chosen: list[T] = []
        over = self.held_bytes - self.most_bytes * 7 // 8
        while heaviest and over > 0:
            _, size, holder = heaviest.pop()
            chosen.append(holder)
            over -= size
        return chosen
