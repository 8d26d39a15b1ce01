"""Which patterns match a topic, in time that depends on the topic's levels and on what matches, not on how many there are.

`PatternTrie` holds patterns that come and go, each with members: a topic walks down it, at each level to the level's own
name and to `*`. `PatternSet` is for patterns that stay, looked at for thousands of topics: an automaton over the trie,
made while it is used. What a topic's levels lead to is worked out once, so a further topic costs a look-up a level,
whatever `*.*.a.*` and `*.a.*.*` have in common. Topics alike end in the same `Match`, an object that is kept.

See docs/rules.md, MATCHING.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from typing import Final, Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)

_STATE_ENTRIES: Final = 50_000  # of one automaton, in nodes and names: beyond it, it is begun anew (4 MB)
_SETS_KEPT: Final = 1_024  # pattern sets kept beside those in use: users come back, and have several streams


class _Node(Generic[Member]):
    """A level of patterns. `members`: of patterns that end here; `rest`: of those that go on with `>`."""

    __slots__ = ("children", "members", "rest", "star")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Member]] = {}
        self.star: _Node[Member] | None = None
        self.members: dict[Member, None] = {}
        self.rest: dict[Member, None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no pattern needs this node."""
        return not (self.children or self.star or self.members or self.rest)


class PatternTrie(Generic[Member]):
    """Patterns that come and go, each with its members. One thread at a time."""

    def __init__(self) -> None:
        self.root: _Node[Member] = _Node()

    def put(self, pattern: str, member: Member) -> None:
        """Let `member` have what `pattern` matches."""
        node = self.root
        levels = pattern.split(".")
        rest = levels[-1] == ">"
        for level in levels[:-1] if rest else levels:
            node = _star(node) if level == "*" else node.children.setdefault(level, _Node())
        (node.rest if rest else node.members)[member] = None

    def remove(self, pattern: str, member: Member) -> None:
        """Undo `put`; what no pattern needs any more is gone."""
        path, node = [], self.root
        levels = pattern.split(".")
        rest = levels[-1] == ">"
        for level in levels[:-1] if rest else levels:
            child = node.star if level == "*" else node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        (node.rest if rest else node.members).pop(member, None)
        while path and node.is_empty:
            node, level = path.pop()
            if level == "*":
                node.star = None
            else:
                del node.children[level]

    def matching(self, topic: str) -> set[Member]:
        """The members of all patterns that match `topic`."""
        found: set[Member] = set()
        nodes = [self.root]
        for level in topic.split("."):
            below = []
            for node in nodes:
                found.update(node.rest)
                child = node.children.get(level)
                if child is not None:
                    below.append(child)
                if node.star is not None:
                    below.append(node.star)
            nodes = below
            if not nodes:
                break
        for node in nodes:
            found.update(node.members)
        return found


class Match:
    """What some topics match: `hits` are the indices of patterns, ascending. One object for topics alike."""

    __slots__ = ("hits", "next", "nodes", "other", "rest")

    def __init__(self, nodes: tuple[_Node[int], ...], rest: frozenset[int]) -> None:
        self.nodes, self.rest = nodes, rest
        self.hits: tuple[int, ...] = tuple(sorted(rest.union(*(node.members for node in nodes))))
        self.next: dict[str, Match | None] = dict.fromkeys(_names(nodes))  # by the next level, where a pattern names it
        self.other: Match | None = None  # by any other level

    @property
    def size(self) -> int:
        """How much it holds."""
        return 1 + len(self.nodes) + len(self.rest) + len(self.hits) + len(self.next)


class PatternSet:
    """Patterns that do not change. Any thread: what two work out at once comes out alike, and either may be kept."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        trie: PatternTrie[int] = PatternTrie()
        for index, pattern in enumerate(self.patterns):
            trie.put(pattern, index)
        self.steps = 0  # transitions worked out so far
        self._trie = trie
        self._begin()

    def match(self, topic: str) -> Match:
        """Which patterns match `topic`."""
        at = self._start
        for level in topic.split("."):
            at = at.next.get(level, at.other) or self._step(at, level)
        return at

    def _begin(self) -> None:
        self._kept: dict[tuple[tuple[_Node[int], ...], frozenset[int]], Match] = {}
        self._size = 0
        self._start = Match((self._trie.root,), frozenset())

    def _step(self, at: Match, level: str) -> Match:
        """Where `level` leads from `at`."""
        named = level in at.next
        nodes: list[_Node[int]] = []
        for node in at.nodes:
            if named and level in node.children:
                nodes.append(node.children[level])
            if node.star is not None:
                nodes.append(node.star)
        key = (tuple(nodes), at.rest.union(*(node.rest for node in at.nodes)))
        found = self._kept.get(key)
        if found is None:
            found = Match(*key)
            self._size += found.size
            if self._size > _STATE_ENTRIES:
                self._begin()
            found = self._kept.setdefault(key, found)
        self.steps += 1
        if named:
            at.next[level] = found
        else:
            at.other = found
        return found


@lru_cache(_SETS_KEPT)
def pattern_set(patterns: tuple[str, ...]) -> PatternSet:
    """The set of these patterns, one object for all that ask for them at a time."""
    return PatternSet(patterns)


def _star(node: _Node[Member]) -> _Node[Member]:
    if node.star is None:
        node.star = _Node()
    return node.star


def _names(nodes: Iterable[_Node[int]]) -> Iterator[str]:
    """The levels that patterns go on with by name."""
    for node in nodes:
        yield from node.children
