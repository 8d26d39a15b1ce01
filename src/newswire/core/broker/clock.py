"""The clocks of a broker: the one that anybody may set, the one that only runs, and retention's (docs/rules.md, CLOCK). Pure.

A stamp is what the wall clock says at that moment; order is the sequence. So stamps go back and forth when a clock is set,
and nothing that matters may stand on them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final, NamedTuple

from newswire.core import limits
from newswire.core.broker.events import Now
from newswire.core.broker.values import Identity
from newswire.core.state.fold import State

_APART: Final = int(limits.CLOCK_APART_SECONDS * 1000)
_STEP: Final = int(limits.CLOCK_STEP_SECONDS * 1000)
_SPAN: Final = int(limits.VOID_SPAN_SECONDS * 1000) + _STEP
_LIVED: Final = int(limits.CLOCK_TRUST_SECONDS * 1000)
_BLOCK_ROWS: Final = 1_024
_ROUNDING: Final = 2  # ms that two clocks may seem apart since both are read in whole ones
_STEPS_KEPT: Final = 16  # more in a day are no clock


class WallClock:
    """Whether the wall clock was set while this run lasts, or before it. Times of day in ms, `clock` in s (monotonic)."""

    def __init__(self, wall: int, clock: float, newest: int) -> None:
        """`newest`: what this broker stamped last, before this run; 0 for nothing."""
        self._apart = wall - int(clock * 1000)
        self._steps: list[tuple[float, int]] = []  # when it was set within the last `limits.KEY_SECONDS`, and by how much
        self._jump = (clock, wall - newest if newest - wall >= _APART else 0)

    def note(self, wall: int, clock: float) -> None:
        """Take the time of day."""
        step = wall - int(clock * 1000) - self._apart
        self._apart += step
        if abs(step) >= _APART:
            self._jump = (clock, step)
            self._steps.append((clock, step))
        if self._steps:
            self._steps = [(at, by) for at, by in self._steps[-_STEPS_KEPT:] if clock - at < limits.KEY_SECONDS]

    def shifts(self) -> tuple[int, ...]:
        """By how much (ms) other times are ahead of the time of day: those that it would be, had the clock not been set."""
        sums, shift = [0], 0
        for _, step in reversed(self._steps):
            shift -= step
            sums.append(shift)
        return tuple(sums)

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
        self.lasted = 0  # ms that have passed since the start, by the smaller of both: it never jumps
        self.latest = max(start, latest)  # ms: the latest time that it may be, by what any broker has lived through
        self._clock = self._steady_since = clock  # seconds
        self._lead = 0  # ms by which the wall clock went more than the other since they went apart last

    def advance(self, wall: int, clock: float, *, agreed: bool = True) -> int:
        """Take the time of day, and whether the other members agree to it; return retention's, in ms."""
        step, passed = wall - self._wall, int((clock - self._clock) * 1000)
        self._wall, self._clock = wall, self._clock + passed / 1000  # what is left of a ms counts the next time
        if abs(step - passed) > _STEP or not agreed:
            self._steady_since = clock
        self._lead += step - passed
        went = max(0, passed if abs(self._lead) <= _ROUNDING else min(step, passed))
        if abs(self._lead) > _ROUNDING:
            self._lead = 0
        self.now, self.lasted, self.latest = self.now + went, self.lasted + went, self.latest + max(0, passed)
        if self.now > wall + _ROUNDING:
            self.now = wall  # one that was ahead was set right: what is stamped from now on would be old at once
        if clock - self._steady_since >= limits.CLOCK_TRUST_SECONDS:
            self.now = self.latest = max(self.now, wall)
        return self.now

    def hold(self, until: int, latest: int) -> None:
        """Go back to `until`, if that is earlier; `latest`: as of the start."""
        self.now, self.latest = min(self.now, until), max(self.latest, latest)


class Clocks:
    """The clocks of one run. Commit thread only."""

    def __init__(self) -> None:
        self.wall_jump = 0  # ms by which this broker's clock was set within the last hour
        self.retention_behind = 0  # ms by which retention's clock is behind the wall clock
        self._are_apart = False  # this broker's clock and that of another one that it hears
        self.has_met = False  # what others have stamped is known: retention's clock may be gone by
        self._heard: Set[str] = frozenset()  # the brokers by whose stamps retention's clock was set

    def start(self, identity: Identity, state: State, now: Now) -> None:
        """Begin the run, on the state that it starts on."""
        lived = lived_until(state)
        start = now.wall if identity.trust_clock else start_of_clock(state, identity.id, now.wall, lived)
        latest = 0 if identity.trust_clock else latest_of(state, identity.id, lived)
        self._heard = lived.keys()
        self._began_at = self._now = now.wall
        self._settles_until = now.clock + limits.CLOCK_SETTLE_SECONDS
        self._wall = WallClock(now.wall, now.clock, newest_stamp(state, identity.id))
        self._retention = RetentionClock(start, latest, now.wall, now.clock)

    def meet(self, identity: Identity, state: State) -> None:
        """Hold retention's clock back for brokers of which this one had heard nothing when it began: its disk was new.

        Where there are some this looks at all stamps that are held: once in a run, before clients are served.
        """
        self.has_met = True
        if not identity.trust_clock and not _runs_by_broker(state).keys() <= self._heard:
            lived = lived_until(state)
            self._heard = lived.keys()
            start = start_of_clock(state, identity.id, self._retention.now, lived)
            self._retention.hold(start, latest_of(state, identity.id, lived))

    def part(self) -> None:
        """Serve no more: what others stamp meanwhile is known again when this broker serves the next time (`meet`)."""
        self.has_met = False

    def note(self, now: Now, *, agreed: bool) -> None:
        """Take the time of day, and whether the other members agree to it."""
        self._wall.note(now.wall, now.clock)
        self._now, self._are_apart = now.wall, not agreed
        self.wall_jump = self._wall.last_jump(now.clock)
        self.retention_behind = now.wall - self._retention.advance(now.wall, now.clock, agreed=agreed)
        if now.clock < self._settles_until:
            self._began_at = now.wall - self.lasted

    def shifts(self) -> tuple[int, ...]:
        """By how much (ms) other times are ahead of the time of day: see `WallClock.shifts`."""
        return self._wall.shifts()

    @property
    def retention(self) -> int:
        """Retention's time, in ms."""
        return self._retention.now

    @property
    def told(self) -> int:
        """The time of day, in ms, by this broker's clock as it was soon after its start, and by what has passed since.

        Retention's time where that is later, and where another broker's clock is apart from this one: then nobody knows which
        is wrong. Never later than the clock says now, as one that was ahead is set right some day.
        """
        return self.retention if self._are_apart else min(self._now, max(self.retention, self._began_at + self.lasted))

    @property
    def lasted(self) -> int:
        """How long this run has lasted by retention's clock, in ms; unlike that it never comes to the wall clock at once."""
        return self._retention.lasted

    @property
    def latest(self) -> int:
        """The latest time that it may be, in ms, by what any broker has lived through."""
        return self._retention.latest


def lived_until(state: State) -> dict[str, int]:
    """By broker, the time (ms) that it has lived through: its newest stamp, less steps of its clock that have not lasted."""
    return {broker: _lived_until(state, runs) for broker, runs in _runs_by_broker(state).items()}


def start_of_clock(state: State, me: str, wall: int, lived: Mapping[str, int]) -> int:
    """Where retention's clock starts in a run of `me`, in ms: no later than what any member has lived through.

    Who was removed and comes back is a member again soon. One member whose clock is years ahead, at its start too, drops
    nothing that the others have just stamped. A member that is away holds the clock back: messages stay longer.
    """
    return min([wall, *_of_members(state, me, lived)])


def latest_of(state: State, me: str, lived: Mapping[str, int]) -> int:
    """The latest that it may be in a run of `me`, in ms, by what any member has lived through: nobody asks who was removed."""
    return max(_of_members(state, me, lived), default=0)


def _of_members(state: State, me: str, lived: Mapping[str, int]) -> list[int]:
    anybody = state.members.anybody()
    return [time for broker, time in lived.items() if not anybody or broker == me or broker in state.members]


def newest_stamp(state: State, broker: str) -> int:
    """What `broker` stamped last, as far as it is held here, in ms; 0 for nothing."""
    runs = _runs_by_broker(state).get(broker)
    return int(state.log.times[runs[-1].offsets[-1]]) if runs else 0


class _Run(NamedTuple):
    """A run of a broker, and the offsets of its ops."""

    origin: str
    offsets: Sequence[int]


def _runs_by_broker(state: State) -> dict[str, list[_Run]]:
    """Of each broker its runs, in the order in which they were met: mostly that of their beginnings."""
    runs: dict[str, list[_Run]] = {}
    for origin, offsets in state.log.each_origin():
        if offsets:
            runs.setdefault(origin.partition("-")[0], []).append(_Run(origin, offsets))
    return runs


def _lived_until(state: State, runs: Sequence[_Run]) -> int:
    """A broker's newest stamp, less the steps of its clock behind which it has not gone on for `CLOCK_TRUST_SECONDS` yet.

    A step is what two ops that follow each other are apart, beyond an hour. Of what a void stands for only the last stamp is
    known: it is as if its ops had been an hour apart, up to the day that it may span (COMPACT). Whether a clock was set or the
    broker was off does not show; either way what is held back is dropped a week later. A step back makes up for one ahead, but
    between runs of which nobody knows that one was before the other: what a disk had lost comes behind what was stored since.
    """
    newest: int = state.log.times[runs[-1].offsets[-1]]
    later = newest
    lived = stepped = 0
    behind = 0  # the sequence of the op that was looked at last, if it is of the same run
    for stamps, sequences, is_before in _blocks(state, runs):
        behind = behind if behind > sequences[-1] else 0
        if stamps == sorted(stamps) and stamps[-1] <= later <= stamps[0] + _STEP:
            stamps, sequences = stamps[:1], sequences[:1]  # no step among them
        for stamp, sequence in zip(reversed(stamps), reversed(sequences), strict=True):
            passed, later = later - stamp, stamp
            if passed < 0 and not is_before:
                passed = 0
            is_before = True
            most = min(max(behind - sequence, 1) * _STEP, _SPAN)
            behind = sequence
            went = max(-_STEP, min(passed, most))
            stepped += passed - went
            lived += max(0, went)
            if lived >= _LIVED:
                return newest - stepped
    return newest - stepped


def _blocks(state: State, runs: Sequence[_Run]) -> Iterator[tuple[list[int], list[int], bool]]:
    """The stamps of a broker in blocks, the newest first, with the sequences of the ops.

    And whether a block is surely before the one that came before it.
    """
    stamp, sequence, later = state.log.times.__getitem__, state.log.sequences.__getitem__, ""
    for origin, offsets in reversed(runs):
        is_before = not later or state.lineage.covers({later: 1}, origin, 1)
        for stop in range(len(offsets), 0, -_BLOCK_ROWS):
            rows = offsets[max(0, stop - _BLOCK_ROWS) : stop]
            yield list(map(stamp, rows)), list(map(sequence, rows)), is_before
            is_before = True
        later = origin
