"""Who is woken by what: which users wait for a topic, and which streams each has. Pure; hub thread only.

All streams of a user want the same, so a topic is matched against users.
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
        self._patterns_of: dict[T, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._patterns_of)

    def put(self, member: T, patterns: Iterable[str]) -> None:
        """Let `member` wait for `patterns`, and for nothing else. What does not change costs next to nothing."""
        before, after = self._patterns_of.get(member, frozenset()), frozenset(patterns)
        self._patterns_of[member] = after
        for pattern in before - after:
            self._remove_one(pattern, member)
        for pattern in after - before:
            if is_pattern(pattern):
                self._by_pattern.put(pattern, member)
            else:
                self._by_topic.setdefault(pattern, set()).add(member)

    def remove(self, member: T) -> None:
        """Let `member` wait for nothing."""
        for pattern in self._patterns_of.pop(member, ()):
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


class Audience(Generic[T]):
    """The streams that are served, by user. A user is there for as long as one of its streams is."""

    def __init__(self) -> None:
        self._streams_of: dict[str, dict[T, None]] = {}
        self._index: PatternIndex[str] = PatternIndex()

    def __len__(self) -> int:
        """How many users there are."""
        return len(self._streams_of)

    def __iter__(self) -> Iterator[T]:
        for streams in self._streams_of.values():
            yield from streams

    def put(self, user: str, stream: T, patterns: Iterable[str]) -> None:
        """Have `stream`, and all others of `user`, woken by what matches `patterns`."""
        self._streams_of.setdefault(user, {})[stream] = None
        self._index.put(user, patterns)

    def remove(self, user: str, stream: T) -> None:
        """Have `stream` woken no more; nothing happens if it was not there."""
        streams = self._streams_of.get(user, {})
        streams.pop(stream, None)
        if not streams:
            self._streams_of.pop(user, None)
            self._index.remove(user)

    def of_user(self, user: str) -> list[T]:
        """The streams of `user`."""
        return list(self._streams_of.get(user, ()))

    def waiting(self, topics: Iterable[str]) -> Iterator[T]:
        """The streams of everybody who waits for one of `topics`."""
        for user in self._index.matching(topics):
            yield from self._streams_of.get(user, ())
