"""Whose page is next: streams that a commit woke, and streams that catch up. Pure; hub thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from newswire.core import limits

T = TypeVar("T")


class Rounds(Generic[T]):
    """In a round each live one has its turn, then those that catch up have theirs until the time of the round is over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._live: dict[T, None] = {}  # woken: one page each in the next round
        self._catching_up: dict[T, None] = {}  # more is due behind their last page

    def __bool__(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._live or self._catching_up)

    @property
    def has_catching_up(self) -> bool:
        """Whether somebody catches up."""
        return bool(self._catching_up)

    def put_live(self, members: Iterable[T]) -> None:
        """Have `members` take their turns early in the next round; one that catches up stays where it is."""
        self._live.update(dict.fromkeys(members))

    def put_catching_up(self, member: T) -> None:
        """Have `member` take its turn when there is time."""
        self._catching_up[member] = None

    def remove(self, member: T) -> None:
        """Have `member` take no turn."""
        self._live.pop(member, None)
        self._catching_up.pop(member, None)

    def turns(self) -> Iterator[T]:
        """Those of one round, in order. Whoever is put during it waits for the next one."""
        live, self._live = self._live, {}
        for member in live:
            if member not in self._catching_up:
                yield member
        until = self._clock() + limits.ROUND_SECONDS
        for member in list(self._catching_up):
            if member in self._catching_up:
                del self._catching_up[member]
                yield member
            if self._clock() >= until:
                break
