"""What streams share: pages and encoded bytes within a round, and the index of who waits for a topic.

A thousand streams at one place read one page and send the same bytes object; how many ask decides nothing but how often
that is looked up. Kept for one round only: the next one is at another place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from newswire.core import limits
from newswire.core.model.matching import Automaton, Match, PatternTrie
from newswire.core.model.names import is_pattern
from newswire.core.model.results import Page, Position
from newswire.streams.stream import Frames, Stream, write_frames

NextPage = Callable[[Position, int], Page]
Member = TypeVar("Member", bound=Hashable)


class Fanout:
    """Reads and encodes once for all streams at equal (position, format, framing). Hub thread only."""

    def __init__(self, next_page: NextPage) -> None:
        self._next_page = next_page
        self._pages: dict[Position, Page] = {}
        self._frames: dict[tuple[Position, bool, bool], Frames] = {}
        self._size = 0
        self.pages_read = 0
        self.pages_encoded = 0

    def start_round(self) -> None:
        """Forget the last round: what is due may have grown."""
        self._pages.clear()
        self._frames.clear()
        self._size = 0

    def frames(self, stream: Stream) -> Frames:
        """What is due to `stream` now, encoded for it. Raises what the engine raises."""
        key = (stream.position, stream.as_json, stream.chunked)
        found = self._frames.get(key)
        if found is None:
            page = self._page(stream.position, stream.page_limit)
            found = write_frames(page, as_json=stream.as_json, chunked=stream.chunked)
            self.pages_encoded += 1
            self._keep(key, found)
        return found

    def _page(self, at: Position, limit: int) -> Page:
        page = self._pages.get(at)
        if page is None:
            page = self._pages[at] = self._next_page(at, limit)
            self.pages_read += 1
        return page

    def _keep(self, key: tuple[Position, bool, bool], frames: Frames) -> None:
        if self._size > limits.ROUND_CACHE_BYTES:
            self.start_round()
        self._frames[key] = frames
        self._size += len(frames.body)


class Index(Generic[Member]):
    """Who waits for which topic: a topic costs its levels, and those who wait are looked up once. Hub thread only."""

    def __init__(self) -> None:
        self._exact: dict[str, set[Member]] = {}
        self._wild: PatternTrie[Member] = PatternTrie()
        self._automaton = Automaton(self._wild)
        self._of: dict[Member, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def put(self, member: Member, patterns: Iterable[str]) -> None:
        """Let `member` wait for `patterns`, and for nothing else. What does not change costs next to nothing."""
        before, after = self._of.get(member, frozenset()), frozenset(patterns)
        self._of[member] = after
        for pattern in before - after:
            self._forget(pattern, member)
        for pattern in after - before:
            if is_pattern(pattern):
                self._wild.put(pattern, member)
            else:
                self._exact.setdefault(pattern, set()).add(member)

    def remove(self, member: Member) -> None:
        """Let `member` wait for nothing."""
        for pattern in self._of.pop(member, ()):
            self._forget(pattern, member)

    def _forget(self, pattern: str, member: Member) -> None:
        if is_pattern(pattern):
            self._wild.remove(pattern, member)
            return
        waiting = self._exact[pattern]
        waiting.discard(member)
        if not waiting:
            del self._exact[pattern]

    def matching(self, topics: Iterable[str]) -> set[Member]:
        """Everybody who waits for one of `topics`."""
        found: set[Member] = set()
        matches: set[Match[Member]] = set()
        for topic in topics:
            found.update(self._exact.get(topic, ()))
            matches.add(self._automaton.match(topic))
        sources = {id(source): source for match in matches for source in match.sources}
        return found.union(*sources.values())
