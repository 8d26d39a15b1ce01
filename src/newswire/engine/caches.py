"""What was stored last, in memory, by place: decoded messages for streams, records as they were written for links.

A place names one record for as long as the process runs, also when a log was rewritten meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from newswire.core import limits

T = TypeVar("T")


class _Batch(NamedTuple, Generic[T]):
    """What was stored together: place and length of each record, ascending; what is kept of each; bytes."""

    places: Sequence[tuple[int, int]]
    items: Sequence[T]
    size: int


class Newest(Generic[T]):
    """The newest of what was stored, in the batches in which it was: that costs the same for many as for one.

    Batches come in the order of their places; where one does not, those before it are forgotten. The commit thread adds, anyone
    reads: lists that a reader may have grow, and are never shortened.
    """

    def __init__(self, most_bytes: int, most_count: int) -> None:
        self._most_bytes, self._most_count = most_bytes, most_count
        self._forget()

    def _forget(self) -> None:
        self._kept: tuple[list[int], list[_Batch[T] | None]] = [], []  # first places, and batches, None for one that has left
        self._left = self._bytes = self._count = 0

    def add(self, places: Sequence[tuple[int, int]], items: Sequence[T], size: int) -> None:
        """Take what is kept of the records at these (place, length), `size` bytes together; the oldest batches leave."""
        if not places:
            return
        firsts, _ = self._kept
        if firsts and places[0][0] <= firsts[-1]:
            self._forget()
        firsts, batches = self._kept
        batches.append(_Batch(places, items, size))
        firsts.append(places[0][0])
        self._bytes += size
        self._count += len(places)
        while self._bytes > self._most_bytes or self._count > self._most_count:
            oldest, batches[self._left] = batches[self._left], None
            self._left += 1
            if oldest is not None:
                self._bytes -= oldest.size
                self._count -= len(oldest.places)
        if self._left > len(batches) // 2:
            self._kept = firsts[self._left :], batches[self._left :]
            self._left = 0

    def get(self, place: int) -> T | None:
        """What is kept of the record at `place`, if it is here."""
        batch, at = self._find(place)
        return None if batch is None else batch.items[at]

    def get_all(self, places: Sequence[tuple[int, int]]) -> list[T] | None:
        """What is kept of the records at these (place, length); None if not all of them are here."""
        items: list[T] = []
        while len(items) < len(places):
            rest = places[len(items) : len(items) + limits.PIECE_OPS]
            batch, at = self._find(rest[0][0])
            if batch is None:
                return None
            run = batch.places[at : at + len(rest)]
            count = len(run) if run == rest[: len(run)] else 1
            items += batch.items[at : at + count]
        return items

    def _find(self, place: int) -> tuple[_Batch[T] | None, int]:
        """The batch that has the record at `place`, None if that is not here, and where in it."""
        firsts, batches = self._kept
        number = bisect_right(firsts, place) - 1
        batch = batches[number] if number >= 0 else None
        if batch is None:
            return None, 0
        at = bisect_left(batch.places, (place,))
        return (batch, at) if at < len(batch.places) and batch.places[at][0] == place else (None, 0)
