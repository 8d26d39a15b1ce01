"""The clocks of a broker: the one that anybody may set, the one that only runs, and retention's (rules, CLOCK). Pure.

A stamp is what the wall clock says at that moment; order is the sequence. So stamps go back and forth when a clock is set,
and nothing that matters may stand on them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from newswire.core import limits
from newswire.core.state import State

_APART: Final = int(limits.CLOCK_APART_SECONDS * 1000)
_STEP: Final = int(limits.CLOCK_STEP_SECONDS * 1000)
_LIVED: Final = int(limits.CLOCK_TRUST_SECONDS * 1000)
_UNITS: Final = (("years", 365 * 86_400), ("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))


class WallClock:
    """Whether the wall clock was set while this run lasts, or before it. Times of day in ms, `clock` in s (monotonic)."""

    def __init__(self, wall: int, clock: float, newest: int) -> None:
        """`newest`: what this broker stamped last, before this run; 0 for nothing."""
        self._apart = wall - int(clock * 1000)
        self._jump = (clock, wall - newest if newest - wall >= _APART else 0)

    def note(self, wall: int, clock: float) -> None:
        """Take the time of day."""
        step = wall - int(clock * 1000) - self._apart
        self._apart += step
        if abs(step) >= _APART:
            self._jump = (clock, step)

    def last_jump(self, clock: float) -> int:
        """By how much (ms) the clock was set last, if that was within `limits.CLOCK_JUMP_SHOWN_SECONDS`, else 0."""
        at, step = self._jump
        return step if clock - at < limits.CLOCK_JUMP_SHOWN_SECONDS else 0


class RetentionClock:
    """A clock that advances by the smaller of wall and monotonic time: one that jumps a year deletes nothing (H20).

    It comes to the wall clock again when that has run steadily for `limits.CLOCK_TRUST_SECONDS`.
    """

    def __init__(self, start: int, latest: int, wall: int, clock: float) -> None:
        self.now, self._wall = start, wall  # ms
        self.latest = max(start, latest)  # ms: the latest time that it may be, by what any broker has lived through
        self._clock = self._steady_since = clock  # seconds

    def advance(self, wall: int, clock: float, *, agreed: bool = True) -> int:
        """Take the time of day, and whether the other members agree to it; return retention's, in ms."""
        step, passed = wall - self._wall, int((clock - self._clock) * 1000)
        self._wall, self._clock = wall, clock
        if abs(step - passed) > _STEP or not agreed:
            self._steady_since = clock
        went = max(0, min(step, passed))
        self.now, self.latest = self.now + went, self.latest + max(0, passed)
        if clock - self._steady_since >= limits.CLOCK_TRUST_SECONDS:
            self.now = max(self.now, wall)
            self.latest = max(self.now, self.latest)
        return self.now


def start_of_clock(state: State, wall: int) -> int:
    """Where retention's clock starts in a run, in ms: no later than what any member has lived through.

    One member whose clock is years ahead, at its start too, drops nothing that the others have just stamped. A member
    that is away holds the clock back: messages stay longer.
    """
    runs = _runs_by_broker(state)
    members = [found for broker, found in runs.items() if broker in state.members]
    return min([wall, *(_lived_until(state, found) for found in members or runs.values())])


def latest_lived(state: State) -> int:
    """The latest time, in ms, that any broker has lived through; 0 for an empty log."""
    return max((_lived_until(state, found) for found in _runs_by_broker(state).values()), default=0)


def newest_stamp(state: State, broker: str) -> int:
    """What `broker` stamped last, as far as it is held here, in ms; 0 for nothing."""
    return next(_stamps(state, _runs_by_broker(state).get(broker, ())), 0)


def span(milliseconds: int) -> str:
    """A length of time for people, in one unit."""
    seconds = abs(milliseconds) // 1000
    unit, size = next((unit, size) for unit, size in _UNITS if seconds >= 2 * size or size == 1)
    return f"{seconds // size} {unit}"


def _runs_by_broker(state: State) -> dict[str, list[Sequence[int]]]:
    """Of each broker the offsets of its ops, a sequence a run, in the order in which its runs were met."""
    runs: dict[str, list[Sequence[int]]] = {}
    for origin, offsets in state.log.each_origin():
        if offsets:
            runs.setdefault(origin.partition("-")[0], []).append(offsets)
    return runs


def _stamps(state: State, runs: Sequence[Sequence[int]]) -> Iterator[int]:
    """The stamps of a broker, the newest first."""
    times = state.log.times
    return (times[offset] for offsets in reversed(runs) for offset in reversed(offsets))


def _lived_until(state: State, runs: Sequence[Sequence[int]]) -> int:
    """A broker's newest stamp, less the steps of its clock behind which it has not gone on for `CLOCK_TRUST_SECONDS` yet.

    A step is what two ops that follow each other are apart, beyond an hour. Whether the clock was set or the broker was
    off does not show; either way what is held back is dropped a week later.
    """
    stamps = _stamps(state, runs)
    newest = later = next(stamps)
    lived = stepped = 0
    for stamp in stamps:
        passed, later = later - stamp, stamp
        went = max(-_STEP, min(passed, _STEP))
        stepped += passed - went
        lived += max(0, went)
        if lived >= _LIVED:
            break
    return newest - stepped
