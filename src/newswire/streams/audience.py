"""Who is woken by what: which streams wait for a topic, and which depend on what a user may do. Pure; hub thread only.

Streams of a user mostly want the same (tokens may be narrower than their user), so a topic is matched against groups of those
that do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from newswire.core.model.matching import Automaton, Match, PatternTrie
from newswire.core.model.names import is_pattern

T = TypeVar("T", bound=Hashable)


class PatternIndex(Generic[T]):
    """Who waits for which topic: a topic costs its levels, and those who wait are looked up once."""

    def __init__(self) -> None:
        self._by_topic: dict[str, set[T]] = {}
        self._by_pattern: PatternTrie[T] = PatternTrie()
        self._automaton = Automaton(self._by_pattern)
        self._patterns_of: dict[T, tuple[str, ...]] = {}  # a tuple that a stream holds anyway: a set takes 216 bytes

    def __len__(self) -> int:
        return len(self._patterns_of)

    def put(self, member: T, patterns: Iterable[str]) -> None:
        """Let `member` wait for `patterns`, and for nothing else. What does not change costs next to nothing."""
        before, after = self._patterns_of.get(member, ()), tuple(patterns)
        self._patterns_of[member] = after
        for pattern in set(before).difference(after):
            self._remove_one(pattern, member)
        for pattern in set(after).difference(before):
            if is_pattern(pattern):
                self._by_pattern.put(pattern, member)
            else:
                self._by_topic.setdefault(pattern, set()).add(member)

    def remove(self, member: T) -> None:
        """Let `member` wait for nothing."""
        for pattern in set(self._patterns_of.pop(member, ())):
            self._remove_one(pattern, member)

    def matching(self, topics: Iterable[str]) -> set[T]:
        """Everybody who waits for one of `topics`."""
        members: set[T] = set()
        matches: set[Match[T]] = set()
        for topic in topics:
            members.update(self._by_topic.get(topic, ()))
            matches.add(self._automaton.match(topic))
        sources = {id(source): source for match in matches for source in match.sources}
        return members.union(*sources.values())

    def _remove_one(self, pattern: str, member: T) -> None:
        if is_pattern(pattern):
            self._by_pattern.remove(pattern, member)
            return
        members = self._by_topic[pattern]
        members.discard(member)
        if not members:
            del self._by_topic[pattern]


class _Group(Generic[T]):
    """The streams of a user that wait for the same."""

    __slots__ = ("key", "streams")

    def __init__(self, key: tuple[str, tuple[str, ...]]) -> None:
        self.key = key
        self.streams: dict[T, None] = {}


class Audience(Generic[T]):
    """The streams that are served. A user is there for as long as one of its streams is."""

    def __init__(self) -> None:
        self._group_of: dict[T, _Group[T]] = {}
        self._groups: dict[tuple[str, tuple[str, ...]], _Group[T]] = {}  # by user, and what these streams wait for
        self._index: PatternIndex[_Group[T]] = PatternIndex()
        self._depending: dict[str, dict[T, None]] = {}  # by user

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._group_of)

    def __iter__(self) -> Iterator[T]:
        return iter(self._group_of)

    def put(self, users: tuple[str, ...], stream: T, patterns: tuple[str, ...]) -> None:
        """Have `stream` woken by what matches `patterns`, and by nothing else.

        `users`: on whose subscriptions and rights it depends; the first is whose stream it is.
        """
        key, before = (users[0], patterns), self._group_of.get(stream)
        if before is not None and before.key == key:
            return
        if before is not None:
            self._leave(stream, before)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key)
            self._index.put(group, patterns)
        self._group_of[stream] = group
        group.streams[stream] = None
        for user in users:
            self._depending.setdefault(user, {})[stream] = None

    def remove(self, users: tuple[str, ...], stream: T) -> None:
        """Have `stream`, which was put with `users`, woken no more; nothing happens if it was not there."""
        group = self._group_of.pop(stream, None)
        if group is None:
            return
        self._leave(stream, group)
        for user in users:
            streams = self._depending.get(user, {})
            streams.pop(stream, None)
            if not streams:
                self._depending.pop(user, None)

    def of_user(self, user: str) -> list[T]:
        """The streams that depend on `user`."""
        return list(self._depending.get(user, ()))

    def users(self) -> list[str]:
        """All users on whom a stream depends."""
        return list(self._depending)

    def waiting(self, topics: Iterable[str]) -> Iterator[T]:
        """The streams that wait for one of `topics`."""
        for group in self._index.matching(topics):
            yield from group.streams

    def _leave(self, stream: T, group: _Group[T]) -> None:
        del group.streams[stream]
        if not group.streams:
            del self._groups[group.key]
            self._index.remove(group)
