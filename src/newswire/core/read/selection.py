"""What a reader wants, worked out: which topics match, and from which sequence of each origin on its messages are due.

Made of a `Wanted` once, and kept with it, so that a page costs the rows that it looks at, not the patterns that it is
read for. What needs no state lock says so.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import merge
from itertools import islice
from typing import TypeAlias

from newswire.core import limits
from newswire.core.model.matching import Match, PatternSet, pattern_set
from newswire.core.model.vector import FullVector, Lineage, Vector
from newswire.core.read.pages import Wanted
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.core.state.op_index import MARKS, TOLD
from newswire.core.state.sparse import Offsets
from newswire.core.state.twins import Twin

_LEASTS_KEPT = 10_000  # (match, origin) pairs whose least sequence is kept; more are worked out again


Column: TypeAlias = tuple[Match[int], str, "array[int]"]  # of a topic: what it matches, an origin, its sequences there


class Reach:
    """How far vectors go in each origin. Vectors that list the same origins imply the same: that is worked out once."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._implied: dict[frozenset[str], FullVector] = {}

    def implied(self, vector: Vector) -> FullVector:
        """What follows from the origins that `vector` lists."""
        listed = frozenset(vector)
        full = self._implied.get(listed)
        if full is None:
            full = self._implied[listed] = self._lineage.expand(dict.fromkeys(listed, 0))
        return full

    def covers(self, vector: Vector, other: Vector) -> bool:
        """Say whether `vector` covers all that `other` lists."""
        return all(
            vector.get(origin, 0) >= sequence or self.implied(vector).get(origin) >= sequence
            for origin, sequence in other.items()
        )


class Stretch:
    """A copy of some rows of the log: what can be looked at without the state lock."""

    def __init__(self, state: State, start: int, stop: int) -> None:
        log = state.log
        self.start = start
        self.topics, self.origins, self.sequences = log.topics[start:stop], log.origins[start:stop], log.sequences[start:stop]
        self.topic_names, self.origin_names = state.messages.names, log.names  # these only grow


class Selection:
    """A `Wanted` worked out for the state of one broker."""

    def __init__(self, patterns: PatternSet) -> None:
        self.patterns = patterns
        self.fruitless = 0  # rows that were looked at in vain since the last skip
        self.all_known: Vector = {}  # covers all that is known
        self._known: list[tuple[Vector, Vector]] = []  # vectors, and what follows from what they list
        self._which: list[int] = []  # by pattern: which of these
        self._least: dict[tuple[Match[int], str], int] = {}

    @classmethod
    def of(cls, state: State, wanted: Wanted) -> Pieces[Selection]:
        """The selection that `wanted` is, kept with it as long as no new origin is known of."""
        origins = state.lineage.version
        memo = wanted.worked_out
        if memo is not None and memo[0] == origins:
            selection: Selection = memo[1]
            return selection
        result = cls((yield partial(pattern_set, wanted.patterns)))
        yield from result._learn(state, wanted)
        wanted.keep(origins, result)
        return result

    def _learn(self, state: State, wanted: Wanted) -> Pieces[None]:
        numbers: dict[tuple[tuple[str, int], ...], int] = {}
        reach = Reach(state.lineage)
        for count, items in enumerate(wanted.known, 1):
            number = numbers.setdefault(items, len(numbers))
            if number == len(self._known):
                vector = dict(items)
                self._known.append((vector, reach.implied(vector)))
            self._which.append(number)
            if count % limits.PIECE_SUBSCRIPTIONS == 0:
                yield None
        self.all_known = state.lineage.join(*(vector for vector, _ in self._known))

    # -- without the lock ---------------------------------------------------------------------------------------

    def due_rows(self, rows: Stretch, most: int) -> list[int]:
        """The first `most` rows, as offsets, that match and are not known."""
        due: list[int] = []
        matches: dict[int, Match[int] | None] = dict.fromkeys(MARKS)
        for block in range(0, len(rows.topics), limits.CHECKPOINT_ROWS):
            topics = rows.topics[block : block + limits.CHECKPOINT_ROWS]
            hits = False
            for topic in set(topics):
                if topic not in matches:
                    match = self.patterns.match(rows.topic_names[topic])
                    matches[topic] = match if match.hits else None
                hits = hits or matches[topic] is not None or topic in TOLD
            if not hits:
                continue
            for index, topic in enumerate(topics, block):
                hit = matches[topic]
                if hit and self._known and rows.sequences[index] <= self.least(hit, rows.origin_names[rows.origins[index]]):
                    continue
                if hit is not None or topic in TOLD:
                    due.append(rows.start + index)
                    if len(due) >= most:
                        return due
        return due

    def least(self, match: Match[int], origin: str) -> int:
        """Up to which sequence of `origin` everything that matches so is known to every pattern that it matches."""
        if not self._known:
            return 0
        sequence = self._least.get((match, origin))
        if sequence is None:
            if len(self._least) >= _LEASTS_KEPT:
                self._least = {}
            vectors = (self._known[number] for number in {self._which[hit] for hit in match.hits})
            sequence = min(max(vector.get(origin, 0), implied.get(origin, 0)) for vector, implied in vectors)
            self._least[match, origin] = sequence
        return sequence

    def each_known(self) -> Iterator[tuple[str, Callable[[str], int]]]:
        """Each pattern, with how far each origin is known to its subscription."""
        for index, pattern in enumerate(self.patterns.patterns):
            vector, implied = self._known[self._which[index]] if self._known else ({}, {})
            yield pattern, lambda origin, vector=vector, implied=implied: max(vector.get(origin, 0), implied.get(origin, 0))  # type: ignore[misc]

    def knows(self, match: Match[int], twins: Sequence[Twin]) -> bool:
        """Whether each pattern that matches so knows a message under the id of one of its twins."""
        if not self._known:
            return False
        vectors = [self._known[number] for number in {self._which[hit] for hit in match.hits}]
        return all(
            any(max(vector.get(t.origin, 0), implied.get(t.origin, 0)) >= t.sequence for t in twins)
            for vector, implied in vectors
        )

    def active(
        self, names: Sequence[str], numbers: Iterable[int], newest: array[int], start: int
    ) -> list[tuple[int, Match[int]]]:
        """Of the topics `numbers` those that match and have something at offset `start` or later."""
        pairs = []
        for number in numbers:
            if newest[number] >= start:
                match = self.patterns.match(names[number])
                if match.hits:
                    pairs.append((number, match))
        return pairs

    # -- under it -----------------------------------------------------------------------------------------------

    def topics(self, state: State) -> Sequence[int]:
        """The numbers of all topics that may match, from which the others are to be told apart yet."""
        messages = state.messages
        if self.patterns.is_wild:
            return range(1, len(messages.names))
        return [messages.numbers[name] for name in dict.fromkeys(self.patterns.patterns) if name in messages.numbers]

    def columns(self, state: State) -> list[Column] | None:
        """The columns of all topics that match, if patterns are topics and there are few; else None."""
        if self.patterns.is_wild or len(self.patterns.patterns) > limits.PIECE_TOPICS:
            return None
        result: list[Column] = []
        for number in self.topics(state):
            by_origin = state.messages.sequences[number]
            if len(result) + len(by_origin) > limits.PIECE_TOPICS:
                return None
            match = self.patterns.match(state.messages.names[number])
            result += [(match, origin, sequences) for origin, sequences in by_origin.items()]
        return result

    def rows_by_topic(self, state: State, columns: Iterable[Column], start: int, most: int) -> list[int]:
        """The first `most` rows of these columns, as offsets, that stand at `start` or later and are not known."""
        log, runs = state.log, list[Iterator[int]]()
        for match, origin, sequences in columns:
            offsets = log.offsets_of[log.numbers[origin]]
            index = bisect_right(sequences, self.least(match, origin))
            index = bisect_left(sequences, start, index, key=lambda sequence, offsets=offsets: offsets[sequence - 1])  # type: ignore[misc]
            if index < len(sequences):
                runs.append(_offsets(offsets, sequences[index : index + most]))
        return list(islice(merge(*runs), most))


def void_rows(state: State, numbers: Iterable[int], start: int) -> list[int]:
    """The rows from `start` on of voids with messages of these topics, in no order."""
    messages = state.messages
    if not messages.voids:
        return []
    return [row for number in numbers if number in messages.voids for row in messages.void_rows(number, start)]


def _offsets(offsets: Offsets, sequences: Iterable[int]) -> Iterator[int]:
    return (offsets[sequence - 1] for sequence in sequences)
