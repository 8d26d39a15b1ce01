"""Which patterns match a topic, in time that depends on the topic's levels and on what matches, not on how many there are.

`PatternTrie` holds patterns that come and go, each with members: a topic walks down it, at each level to the level's own
name and to `*`. An `Automaton` walks for many topics: what a topic's levels lead to is worked out once and kept, so a
further topic costs a look-up a level, whatever `*.*.a.*` and `*.a.*.*` have in common. Topics alike end in the same `Match`.

See docs/rules.md, MATCHING.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from newswire.core.model.names import is_pattern

Member = TypeVar("Member", bound=Hashable)

_STATE_ENTRIES: Final = 20_000  # of one automaton, in nodes and names: beyond it, it is begun anew (2 MB)
_NAMES_LISTED: Final = 256  # by a match; where patterns go on with more names, each is looked for when it is met
_NOTHING: Final[dict[Any, Any]] = {}  # shared by all nodes that have none: most have one child or one member


class _Node(Generic[Member]):
    """A level of patterns. `members`: of patterns that end here; `rest`: of those that go on with `>`."""

    __slots__ = ("children", "members", "rest", "star")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Member]] = _NOTHING
        self.star: _Node[Member] | None = None
        self.members: dict[Member, None] = _NOTHING
        self.rest: dict[Member, None] = _NOTHING

    @property
    def is_empty(self) -> bool:
        """Whether no pattern needs this node."""
        return not (self.children or self.star or self.members or self.rest)

    def below(self, level: str) -> _Node[Member]:
        """The node that `level` of a pattern leads to, made where there is none."""
        if level == "*":
            if self.star is None:
                self.star = _Node()
            return self.star
        if self.children is _NOTHING:
            self.children = {}
        return self.children.setdefault(level, _Node())

    def put(self, member: Member, *, rest: bool) -> bool:
        """Add a member; say whether it is the first."""
        members = self.rest if rest else self.members
        if members:
            members[member] = None
            return False
        if rest:
            self.rest = {member: None}
        else:
            self.members = {member: None}
        return True


class PatternTrie(Generic[Member]):
    """Patterns that come and go, each with its members. `version` counts what no automaton has seen yet."""

    def __init__(self) -> None:
        self.root: _Node[Member] = _Node()
        self.version = 0

    def put(self, pattern: str, member: Member) -> None:
        """Let `member` have what `pattern` matches."""
        node = self.root
        levels = pattern.split(".")
        rest = levels[-1] == ">"
        for level in levels[:-1] if rest else levels:
            node = node.below(level)
        self.version += node.put(member, rest=rest)

    def remove(self, pattern: str, member: Member) -> None:
        """Undo `put`; what no pattern needs any more is gone. An automaton may go on to look at it: it is empty."""
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


class Match(Generic[Member]):
    """What some topics match. One object for topics alike. `sources`: the members, as the trie has them."""

    def __init__(self, nodes: tuple[_Node[Member], ...], above: frozenset[_Node[Member]]) -> None:
        """`nodes`: where the levels up to here lead; `above`: nodes on the way whose patterns take the rest, too."""
        self.nodes, self.above = nodes, above
        ends = [node.members for node in nodes if node.members]
        self.sources: list[Mapping[Member, None]] = [*ends, *(node.rest for node in above)]
        self.lists_names = sum(len(node.children) for node in nodes) <= _NAMES_LISTED
        # by the next level, where patterns name it: where the names are listed, all of them, with None until it is worked out
        names = (name for node in nodes for name in node.children)
        self.next: dict[str, Match[Member] | None] = dict.fromkeys(names) if self.lists_names else {}
        self.unnamed: Match[Member] | None = None  # by any other level
        self.other: Match[Member] | None = None  # the same, where `next` says which levels those are

    @cached_property
    def hits(self) -> frozenset[Member]:
        """The members, where they never change."""
        return frozenset().union(*self.sources)

    @property
    def size(self) -> int:
        """How much it holds."""
        return 1 + len(self.nodes) + len(self.sources) + len(self.next)


class Automaton(Generic[Member]):
    """Matches topics with the patterns of a trie; begun anew when a pattern is new, or when it has grown too large.

    Any thread, while the trie does not change: what two work out at once comes out alike, and either may be kept.
    """

    def __init__(self, trie: PatternTrie[Member]) -> None:
        self.steps = 0  # transitions worked out so far
        self._trie = trie
        self._begin()

    def match(self, topic: str) -> Match[Member]:
        """What `topic` matches."""
        if self._version != self._trie.version:
            self._begin()
        at = self._start
        for level in topic.split("."):
            at = at.next.get(level, at.other) or self._step(at, level)
        return at

    def _begin(self) -> None:
        self._version = self._trie.version
        self._kept: dict[tuple[tuple[_Node[Member], ...], frozenset[_Node[Member]]], Match[Member]] = {}
        self._size = 0
        self._start = Match((self._trie.root,), frozenset())

    def _step(self, at: Match[Member], level: str) -> Match[Member]:
        """Where `level` leads from `at`. What no pattern goes on from leads nowhere else: kept, it would be a circle."""
        if not at.nodes:
            return at
        has_name = level in at.next if at.lists_names else any(level in node.children for node in at.nodes)
        if not has_name and at.unnamed is not None:
            return at.unnamed
        nodes: list[_Node[Member]] = []
        for node in at.nodes:
            if has_name and level in node.children:
                nodes.append(node.children[level])
            if node.star is not None:
                nodes.append(node.star)
        key = (tuple(nodes), at.above.union(node for node in at.nodes if node.rest))
        match = self._kept.get(key)
        if match is None:
            match = Match(*key)
            self._size += match.size
            if self._size > _STATE_ENTRIES:
                self._begin()
            match = self._kept.setdefault(key, match)
        self.steps += 1
        self._size += 1
        if has_name:
            at.next[level] = match
        else:
            at.unnamed = match
            at.other = match if at.lists_names else None
        return match


class PatternSet:
    """Patterns that do not change; the hits of a match are their indices. Any thread, as with `Automaton`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self.is_wild = False  # whether topics can match that no pattern names
        self._indices: dict[str, dict[int, None]] = {}  # of patterns that are topics, by name
        self._named: dict[str, Match[int]] = {}  # what these topics match
        trie: PatternTrie[int] = PatternTrie()
        for index, pattern in enumerate(self.patterns):
            if is_pattern(pattern):
                self.is_wild = True
                trie.put(pattern, index)
            else:
                self._indices.setdefault(pattern, {})[index] = None
        self._automaton = Automaton(trie)

    @property
    def steps(self) -> int:
        """Transitions worked out so far."""
        return self._automaton.steps

    def match(self, topic: str) -> Match[int]:
        """Which patterns match `topic`."""
        if topic not in self._indices:
            return self._automaton.match(topic) if self.is_wild else _NO_MATCH
        match = self._named.get(topic)
        if match is None:
            match = Match((), frozenset())
            match.sources = [*self._automaton.match(topic).sources, self._indices[topic]]
            match = self._named.setdefault(topic, match)
        return match


_NO_MATCH: Final[Match[int]] = Match((), frozenset())
_in_use: Final[WeakValueDictionary[tuple[str, ...], PatternSet]] = WeakValueDictionary()


def pattern_set(patterns: tuple[str, ...]) -> PatternSet:
    """The set of these patterns, one object for all that have it in use: a user's streams, whatever else changes."""
    patterns_of = _in_use.get(patterns)
    if patterns_of is None:
        patterns_of = _in_use[patterns] = PatternSet(patterns)
    return patterns_of
