"""Bugs to plant in what is made of messages that are scheduled (docs/rules.md, SCHEDULE): see `planted`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from newswire.core.broker.clock import Clocks, RetentionClock
from newswire.core.model.ops import Published
from newswire.core.state.leave_out import LeaveOut
from newswire.core.state.topic_index import TopicIndex

Patch = tuple[Any, str, Any]


def published_by_the_wall_clock() -> list[Patch]:
    """What waits is published when the time of day says so: a clock that is set publishes it at once."""
    return [(Clocks, "told", property(lambda clocks: clocks._now))]


def published_though_clocks_are_apart() -> list[Patch]:
    """A broker that starts with a clock that is ahead publishes what waits, though another one's says that it is not due."""

    def by_the_start(clocks: Clocks) -> int:
        return min(clocks._now, max(clocks.retention, clocks._began_at + clocks.lasted))

    return [(Clocks, "told", property(by_the_start))]


def published_though_the_clock_was_set_right() -> list[Patch]:
    """A broker whose clock was ahead for long, and is set right, goes on with the time that it was."""

    advance = RetentionClock.advance

    def stays_ahead(clock: RetentionClock, wall: int, at: float, *, agreed: bool = True) -> int:
        before = clock.now
        advance(clock, wall, at, agreed=agreed)
        clock.now = max(clock.now, before)
        return clock.now

    def by_retention(clocks: Clocks) -> int:
        kept = clocks.retention
        return kept if clocks._are_apart else max(kept, min(clocks._now, clocks._began_at + clocks.lasted))

    return [(Clocks, "told", property(by_retention)), (RetentionClock, "advance", stays_ahead)]


def published_by_each() -> list[Patch]:
    """What two brokers publish of one scheduled message are two messages."""
    note = TopicIndex._note_names

    def alone(index: TopicIndex, op: Published, offset: int) -> int:
        if index.scheduled_names(op.again) if op.again else False:
            index._again.pop(op.again, None)
            op = msgspec.structs.replace(op, key="")
        return note(index, op, offset)

    return [(TopicIndex, "_note_names", alone)]


def published_though_withdrawn() -> list[Patch]:
    """What was withdrawn while it waited is published all the same."""

    def by_release_alone(index: TopicIndex, names: Iterable[str]) -> bool:
        return any(name in index._again for name in names)

    return [(TopicIndex, "is_spent", by_release_alone)]


def release_goes_first() -> list[Patch]:
    """A compaction leaves out what was published, once that is dropped, while the op that scheduled it stays: it waits anew."""
    leave = LeaveOut._leave_scheduled

    def without(part: LeaveOut) -> None:
        leave(part)
        for rows, _ in part.prefix.scheduled:
            for row in rows:
                if row < part.prefix.cut:
                    part.left[row] = 0
        part._unpublished.clear()

    return [(LeaveOut, "_leave_scheduled", without)]


TIMING: tuple[Callable[[], list[Patch]], ...] = (
    published_by_the_wall_clock,
    published_though_clocks_are_apart,
    published_though_the_clock_was_set_right,
    published_by_each,
    published_though_withdrawn,
    release_goes_first,
)
FOCUS_TIMING: dict[str, tuple[str, ...]] = {
    "published-by-the-wall-clock": ("wall", "wall-all"),
    "published-though-the-clock-was-set-right": ("wall", "wall-all"),
    "published-though-clocks-are-apart": ("wall", "crash"),
    "published-by-each": ("partition", "one-way"),
    "release-goes-first": ("retention", "crash"),
}
