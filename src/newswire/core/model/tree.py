"""Full vectors that share what they have in common: number -> sequence, as trees that never change.

A broker that has seen 100,000 runs compares and joins vectors of 100,000 entries, and most of those differ from each other
in a few. A tree holds the entries in leaves of `WIDTH`; a change copies one path, and `join` and `beyond` look only where
two trees are not the same object. So their cost is that of the difference. Absent is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from operator import is_
from typing import Any, Final

_BITS: Final = 4
WIDTH: Final = 1 << _BITS  # children of a node: 16 keep a path short, and a copy of it small
_MASK: Final = WIDTH - 1
_NO_CHILDREN: Final = (None,) * WIDTH
_NO_ENTRIES: Final = (0,) * WIDTH

_Node = tuple[Any, ...] | None  # a leaf: sequences; above: nodes; None: nothing below


class Tree:
    """A full vector by number. Equal parts of two are mostly the same objects."""

    __slots__ = ("_height", "_root")

    def __init__(self, height: int = 0, root: _Node = None) -> None:
        self._height, self._root = height, root

    def get(self, number: int) -> int:
        """The sequence of `number`, 0 for none."""
        shift, node = _BITS * self._height, self._root
        if number >> shift >= WIDTH:
            return 0
        while shift and node is not None:
            node = node[number >> shift & _MASK]
            shift -= _BITS
        return node[number & _MASK] if node is not None else 0

    def put(self, entries: Sequence[tuple[int, int]]) -> Tree:
        """The tree with these (number, sequence), in the order of their numbers, up or down."""
        if not entries:
            return self
        height, most = self._height, max(entries[0][0], entries[-1][0])
        while most >> _BITS * (height + 1):
            height += 1
        return Tree(height, put_below(_raised(self._root, height - self._height), height, entries))

    def join(self, other: Tree) -> Tree:
        """The greater of each entry. Where they are equal, the result is this one's part."""
        if other._root is None or other._root is self._root:
            return self
        if self._root is None:
            return other
        height = max(self._height, other._height)
        mine, others = _raised(self._root, height - self._height), _raised(other._root, height - other._height)
        return Tree(height, join_below(mine, others, height))

    def beyond(self, other: Tree) -> Iterator[tuple[int, int]]:
        """(number, the other's sequence) where this one has more, in the order of the numbers."""
        height = max(self._height, other._height)
        mine, others = _raised(self._root, height - self._height), _raised(other._root, height - other._height)
        return entries_beyond(mine, others, height, 0)

    def __bool__(self) -> bool:
        return self._root is not None


EMPTY: Final = Tree()


def put_below(node: _Node, height: int, entries: Sequence[tuple[int, int]]) -> _Node:
    """The node with these entries, of which only the digits below it count."""
    if height == 0:
        leaf = list(node or _NO_ENTRIES)
        for number, sequence in entries:
            leaf[number & _MASK] = sequence
        return tuple(leaf)
    children = list(node or _NO_CHILDREN)
    shift = _BITS * height
    if len(entries) == 1:
        index = entries[0][0] >> shift & _MASK
        children[index] = put_below(children[index], height - 1, entries)
        return tuple(children)
    for index, group in groupby(entries, lambda entry: entry[0] >> shift & _MASK):
        children[index] = put_below(children[index], height - 1, list(group))
    return tuple(children)


def join_below(mine: _Node, other: _Node, height: int) -> _Node:
    """`Tree.join` of two nodes."""
    if mine is other or other is None:
        return mine
    if mine is None:
        return other
    if height == 0:
        joined = tuple(map(max, mine, other))
        return mine if joined == mine else other if joined == other else joined
    joined = tuple(map(join_below, mine, other, repeat(height - 1)))
    return mine if all(map(is_, joined, mine)) else other if all(map(is_, joined, other)) else joined


def entries_beyond(mine: _Node, other: _Node, height: int, first: int) -> Iterator[tuple[int, int]]:
    """`Tree.beyond` of two nodes, of which the first entry has the number `first`."""
    if mine is other or mine is None:
        return
    if height == 0:
        for number, (more, has) in enumerate(zip(mine, other or _NO_ENTRIES, strict=True), first):
            if more > has:
                yield number, has
        return
    for index, (child, others) in enumerate(zip(mine, other or _NO_CHILDREN, strict=True)):
        yield from entries_beyond(child, others, height - 1, first + (index << _BITS * height))


def _raised(node: _Node, levels: int) -> _Node:
    """The same entries as a node of a higher tree."""
    for _ in range(levels if node is not None else 0):
        node = (node, *_NO_CHILDREN[1:])
    return node
