"""Which messages retention drops, as `dropped` ops: by age, count and bytes (docs/rules.md, RETENTION). Pure over the state."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from newswire.core import limits
from newswire.core.broker.events import Now
from newswire.core.broker.values import Identity, Stamp
from newswire.core.model.ops import NO_PLACE, Dropped
from newswire.core.model.vector import Vector
from newswire.core.read.selection import Reach
from newswire.core.state.fold import State
from newswire.core.state.op_index import MARKS
from newswire.core.state.sparse import Offsets


def to_drop(
    state: State, before: int, most: int, until: int = limits.TIME_MILLISECONDS, size: int = 0
) -> list[tuple[str, Vector]]:
    """All that one sweep finds."""
    sweep, vectors = Sweep(), list[tuple[str, Vector]]()
    sweep.begin(before, until, size)
    while sweep.is_busy:
        vectors += sweep.look(state, most)
    return vectors


class Sweep:
    """Looks for what is to be dropped, a piece at a time, so that no commit waits for it (docs/rules.md, RETENTION).

    Only topics are looked at that can have something: those of records that have become old since the last sweep, and those
    that have grown. Each record is passed twice in a run: when it is new and when it is old.

    A message's age is that of the newest stamp up to it in this log: one that a clock years behind has stamped is as old as
    what was taken just before it. Stamps from the future are of a clock that was ahead, and say nothing: what has one is
    as old as the next record whose stamp says something, which is no older than those before it. So the first record that is
    neither old nor from the future ends the old ones, less those from the future before it with none between that says
    something.

    Bytes are those of the records of messages that are shown. What stands before the newest `size` of them counts as old.
    """

    def __init__(self) -> None:
        self._before = self._until = 0  # ms: what was stamped before the one is old, after the other from the future
        self._old = 0  # offset: the records before it are old, and passed
        self._cut = 0  # offset: the records before it are old
        self._newest = 0  # ms: the newest stamp before it, but for those from the future
        self._ahead = 0  # offset: how far stamps were looked at
        self._newest_ahead = 0  # ms: as `_newest`, before that
        self._doubts = False  # whether there is one from the future right before that: how old it is, is not known
        self._seen = 0  # offset: the records before it are passed
        self._size = 0  # bytes of messages that may stay; 0: any number
        self._weighed: int | None = None  # offset: the records from there on are weighed; None: all are
        self._weight = 0  # their bytes
        self._topics: dict[int, None] = {}  # to look at, by number
        self.is_busy = False

    def begin(self, before: int, until: int = limits.TIME_MILLISECONDS, size: int = 0) -> None:
        """Start the next sweep: what was taken before `before` is to be dropped; it is `until` now (both ms).

        `size`: bytes of messages that stay; 0: any number.
        """
        self._before, self._until, self._size, self.is_busy = before, until, size, True
        self._ahead, self._weighed = self._cut, None
        self._newest_ahead, self._doubts = self._newest, False

    def forget(self) -> None:
        """Pass every record again, from the next sweep on: what was found was not stored."""
        self._old = self._cut = self._ahead = self._seen = self._newest = 0
        self._topics, self.is_busy = {}, False

    def look(self, state: State, most: int) -> list[tuple[str, Vector]]:
        """Do one piece; return what it found is to be dropped, a vector a topic, so that `most` messages a topic are left."""
        if self._weigh(state) or self._pass_old(state):
            return []
        topics = state.log.topics[self._seen : self._seen + limits.SCAN_ROWS]
        self._note(topics)  # of records that are new
        self._seen += len(topics)
        if len(topics) == limits.SCAN_ROWS:
            return []
        return self._look_at_topics(state, most)

    def _weigh(self, state: State) -> bool:
        """Weigh some records, from the newest on, until they are more than may stay; say whether there may be more."""
        if not self._size:
            return False
        if self._weighed is None:
            self._weighed, self._weight = len(state.log), 0
        start = max(self._cut, self._weighed - limits.SCAN_ROWS)
        topics, lengths = state.log.topics[start : self._weighed], state.log.lengths[start : self._weighed]
        sizes = [0 if topic in MARKS else length for topic, length in zip(topics, lengths, strict=True)]
        while sizes and self._weight + sizes[-1] <= self._size:
            self._weight += sizes.pop()
        self._weighed = start + len(sizes)
        if sizes:
            self._cut = self._ahead = self._weighed
        return not sizes and start > self._cut

    def _pass_old(self, state: State) -> bool:
        """Find some records that have become old, and pass some that were found; say whether there may be more."""
        more = self._old < self._cut or self._find_old(state)
        stop = min(self._cut, self._old + limits.SCAN_ROWS)
        self._note(state.log.topics[self._old : stop])
        self._old = stop
        return more or stop < self._cut

    def _find_old(self, state: State) -> bool:
        """Look at some stamps; say whether there may be more records that have become old."""
        times = state.log.times[self._ahead : self._ahead + limits.SCAN_ROWS]
        stop = old = len(times)
        if times and not self._doubts and (newest := max(times)) < self._before:
            self._newest_ahead = max(self._newest_ahead, newest)
        elif times:
            stop = next((at for at, stamp in enumerate(times) if self._before <= stamp <= self._until), stop)
            old = self._count_old(times[:stop])
        if old:
            self._cut, self._newest = self._ahead + old, self._newest_ahead
        self._ahead += stop
        return stop == limits.SCAN_ROWS

    def _count_old(self, times: Iterable[int]) -> int:
        """How many of these records, from the first on, are surely old: those that follow are from the future, or no newer."""
        old = 0
        for at, stamp in enumerate(times, 1):
            if stamp > self._until:
                self._doubts = True
                continue
            if stamp >= self._newest_ahead:
                self._newest_ahead, self._doubts = stamp, False
            if not self._doubts:
                old = at
        return old

    def _note(self, topics: Iterable[int]) -> None:
        self._topics.update(dict.fromkeys(topics))
        for number in MARKS:  # no messages
            self._topics.pop(number, None)

    def _look_at_topics(self, state: State, most: int) -> list[tuple[str, Vector]]:
        vectors, looked_at, reach = [], 0, Reach(state.lineage)
        while self._topics and looked_at < limits.PIECE_TOPICS:
            number, _ = self._topics.popitem()
            looked_at += 1 + len(state.messages.sequences[number]) + len(state.messages.twins.in_topic(number)) // 4
            vector = _look_at_topic(state, reach, number, self._old, most)
            if vector:
                vectors.append((state.messages.names[number], vector))
        self.is_busy = bool(self._topics)
        return vectors


class Retention:
    """When a run of this broker looks for what is to be dropped, and what it drops then. Commit thread only."""

    def __init__(self, identity: Identity, state: State) -> None:
        self._me, self._state = identity, state
        self._sweep = Sweep()
        self._due_at = 0.0  # on `Now.clock`: when the next sweep begins

    def is_due(self, now: Now, *, wants_room: bool = False, is_tight: bool = False) -> bool:
        """Say whether there is something to look at.

        It cannot wait where the disk is nearly full (`wants_room`), or soon has no room any more to compact (`is_tight`).
        """
        every = limits.RETENTION_EVERY_SECONDS
        wait = limits.RETENTION_LOW_SECONDS if wants_room else limits.RETENTION_TIGHT_SECONDS if is_tight else every
        return self._sweep.is_busy or now.clock >= self._due_at - every + wait

    def drop(self, time: int, latest: int, now: Now, *, in_need: bool = False) -> Stamp:
        """Look at one piece. `time`: retention's, in ms; `latest`: the latest that it may be anywhere.

        `in_need`: the disk has little room, so that what is old is dropped at once.
        """
        if not self._sweep.is_busy:
            self._due_at = now.clock + limits.RETENTION_EVERY_SECONDS
            kept, until = int(self._me.retention_seconds * 1000), latest + limits.CLOCK_FUTURE_MILLISECONDS
            old = time - kept
            if not in_need:  # by steps: else each message of a topic that has few would be dropped by an op of its own
                old -= old % max(1, kept // limits.RETENTION_STEPS_COUNT)
            self._sweep.begin(old, until, self._me.retention_bytes)
        drops = self._sweep.look(self._state, self._me.retention_messages)
        return Stamp([Dropped(**NO_PLACE, topic=topic, vector=vector) for topic, vector in drops])

    def become(self, state: State) -> None:
        """Go on with another state, whose log is another one."""
        self._state = state
        self._sweep.forget()

    def forget(self) -> None:
        """Look at everything again, from the next sweep on: what was to be dropped was not stored."""
        self._sweep.forget()


def _look_at_topic(state: State, reach: Reach, number: int, old: int, most: int) -> Vector:
    """What of a topic is to be dropped: what stands before the offset `old`, and in log order all but the newest `most`."""
    log, messages, vector = state.log, state.messages, dict[str, int]()
    horizon = messages.horizons.get(messages.names[number], {})
    implied = reach.implied(horizon) if horizon else {}
    columns = [
        (origin, log.offsets_of[log.numbers[origin]], sequences, max(horizon.get(origin, 0), implied.get(origin, 0)))
        for origin, sequences in messages.sequences[number].items()
    ]
    excess = messages.count(number) - most
    cut = max(old, _cut_by_count(columns, messages.dropped_by_twin(number), len(log), excess))
    for origin, offsets, sequences, dropped in columns:
        count = _count_before(offsets, sequences, cut)
        if count and sequences[count - 1] > dropped:
            vector[origin] = sequences[count - 1]
    return state.lineage.shorten(vector)


# an origin, its offsets by sequence, a topic's sequences, and up to which they are dropped
_Column: TypeAlias = tuple[str, "Offsets", Sequence[int], int]


def _cut_by_count(columns: Sequence[_Column], by_twin: Sequence[int], end: int, excess: int) -> int:
    """The offset before which at least `excess` messages stand that are not dropped, and no more than need be.

    `by_twin`: the rows of those that are dropped under the id of a twin only.
    """
    if excess <= 0:
        return 0
    dropped = [bisect_right(sequences, until) for _, _, sequences, until in columns]

    def count(cut: int) -> int:
        pairs = zip(columns, dropped, strict=True)
        rest = sum(max(0, _count_before(column[1], column[2], cut) - gone) for column, gone in pairs)
        return rest - bisect_left(by_twin, cut)

    return bisect_left(range(end), excess, key=count)


def _count_before(offsets: Offsets, sequences: Sequence[int], cut: int) -> int:
    """How many of these sequences stand before the offset `cut`."""
    return bisect_left(sequences, cut, key=lambda sequence: offsets[sequence - 1])
