"""Which messages retention drops: by age and by count, as `dropped` ops (DESIGN 5, Retention). Pure over the state."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import merge
from itertools import islice

from newswire.core.state import State
from newswire.core.vector import Vector


class RetentionClock:
    """A clock that advances by the smaller of wall and monotonic time: one that jumps a year deletes nothing (H20)."""

    def __init__(self, start: int, wall: int, clock: float) -> None:
        self.now, self._wall = start, wall  # ms
        self._clock = clock  # seconds

    def advance(self, wall: int, clock: float) -> int:
        """Take the time of day; return retention's, in ms."""
        self.now += max(0, min(wall - self._wall, int((clock - self._clock) * 1000)))
        self._wall, self._clock = wall, clock
        return self.now


def start_of_clock(state: State, wall: int) -> int:
    """Where a run's clock starts, in ms: no later than any member's newest stamp, its own included.

    One member whose clock is years ahead, at its start too, drops nothing that the others have just stamped. A member
    that is away holds the clock back: messages stay longer.
    """
    newest: dict[str, int] = {}
    for origin, offsets in state.log.each_origin():
        broker = origin.partition("-")[0]
        newest[broker] = max(newest.get(broker, 0), state.log.times[offsets[-1]])
    members = [stamp for broker, stamp in newest.items() if broker in state.members]
    stamps: list[int] = members or list(newest.values())
    return min([wall, *stamps])


def to_drop(state: State, before: int, most: int) -> list[tuple[str, Vector]]:
    """What is to be dropped now, a vector a topic: what was taken before `before` (ms), and the oldest over `most`.

    A message's age is that of the newest stamp up to it in this log: one that a clock years behind has stamped is as old as
    what was taken just before it (H9).
    """
    found: list[tuple[str, Vector]] = []
    cut = state.log.first_since(before)
    for name, number in state.messages.numbers.items():
        vector = state.lineage.join(_by_age(state, number, cut), _by_count(state, number, most))
        if vector and state.messages.count_covered(number, vector) > state.messages.count_covered(number, {}):
            found.append((name, vector))
    return found


def _by_age(state: State, number: int, cut: int) -> dict[str, int]:
    """What of a topic stands before the offset `cut`."""
    log, vector = state.log, {}
    for origin, sequences in state.messages.sequences[number].items():
        offsets = log.offsets_of[log.numbers[origin]]
        old = bisect_left(sequences, cut, key=lambda sequence, offsets=offsets: offsets[sequence - 1])  # type: ignore[misc]
        if old:
            vector[origin] = sequences[old - 1]
    return vector


def _by_count(state: State, number: int, most: int) -> dict[str, int]:
    """The oldest in log order, so that the newest `most` stay."""
    excess = state.messages.count(number) - most
    if excess <= 0:
        return {}
    log, messages = state.log, state.messages
    full = state.lineage.expand(messages.horizons.get(messages.names[number], {}))
    live = [
        [log.offsets_of[log.numbers[origin]][s - 1] for s in sequences[bisect_right(sequences, full.get(origin, 0)) :][:excess]]
        for origin, sequences in messages.sequences[number].items()
    ]
    return {log.names[log.origins[row]]: log.sequences[row] for row in islice(merge(*live), excess)}
