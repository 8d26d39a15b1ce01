"""The offsets of one origin's ops where some are void: a void range is one entry, however many ops it stands for. Pure.

An origin without voids has a plain array, which is what streams and links read at the end of the log.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import TypeAlias, overload

Offsets: TypeAlias = "array[int] | SparseOffsets"


class SparseOffsets:
    """Like an `array` of the offset of each sequence, from 1: what is void has the offset of its void."""

    def __init__(self, rows: array[int]) -> None:
        """`rows`: the offsets of what is no void, up to the first one."""
        self.rows = rows  # an entry for each op that is not void, and one for each void
        self._starts = array("I")  # by void: index of the first op in it
        self._ends = array("I")  # and behind the last one
        self._at = array("I")  # and which entry of `rows` stands for it
        self._tail = self._shift = 0  # from this index on entries are so much further in front

    def __len__(self) -> int:
        return len(self.rows) + self._shift

    def append(self, row: int) -> None:
        """Add the next op."""
        self.rows.append(row)

    def extend(self, rows: array[int] | range | list[int]) -> None:
        """Add the next ops."""
        self.rows.extend(rows)

    def add_void(self, row: int, count: int) -> None:
        """Add a void of so many ops."""
        start = len(self)
        self._starts.append(start)
        self._ends.append(start + count)
        self._at.append(len(self.rows))
        self.rows.append(row)
        self._tail, self._shift = start + count, self._shift + count - 1

    def voids(self) -> Iterator[tuple[int, int, int]]:
        """Each void: first and last sequence, and its offset."""
        for start, end, at in zip(self._starts, self._ends, self._at, strict=True):
            yield start + 1, end, self.rows[at]

    def has_void(self, first: int, last: int) -> bool:
        """Say whether some op of this range is void."""
        at = bisect_right(self._starts, last - 1) - 1
        return at >= 0 and self._ends[at] >= first

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> array[int]: ...

    def __getitem__(self, index: int | slice) -> int | array[int]:
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            if start >= self._tail:
                return self.rows[start - self._shift : max(start, stop) - self._shift]
            return array("I", map(self._get, range(start, stop)))
        if index < 0:
            index += len(self)
        return self.rows[index - self._shift] if index >= self._tail else self._get(index)

    def _get(self, index: int) -> int:
        if index >= self._tail:
            return self.rows[index - self._shift]
        if index < 0:
            raise IndexError(index)
        number = bisect_right(self._starts, index) - 1
        if number < 0:
            return self.rows[index]
        return self.rows[self._at[number] + max(0, index + 1 - self._ends[number])]
