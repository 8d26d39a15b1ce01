"""Bugs to plant in what is made of messages that ask to be confirmed (docs/rules.md, CONFIRM): see `planted`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from newswire.core.broker import escalation
from newswire.core.broker.clock import Clocks
from newswire.core.broker.escalation import Escalation
from newswire.core.broker.events import Now
from newswire.core.model.ops import Confirmed
from newswire.core.read.reports import Readership
from newswire.core.state.notices import Addressee, Notices

Patch = tuple[Any, str, Any]


def named_by_the_wall_clock() -> list[Patch]:
    """The time to confirm something is over when the time of day says so: a clock that is set ends it at once."""
    is_due = Escalation.is_due

    def by_the_wall(part: Escalation, clocks: Clocks, now: Now) -> bool:
        notices = part._state.messages.notices.of
        part._due = sorted((0 if notices[row].until <= now.wall else 2**53, row) for _, row in part._due)
        return is_due(part, clocks, now)

    return [(Escalation, "is_due", by_the_wall)]


def named_by_anybodys_stamp() -> list[Patch]:
    """What comes while a broker runs has as much time left as by its stamp and retention's clock: one was ahead for long."""
    is_due = Escalation.is_due

    def as_if_found(part: Escalation, clocks: Clocks, now: Now) -> bool:
        part._found = {notice.id for notice in part._state.messages.notices.of.values()}
        return is_due(part, clocks, now)

    return [(Escalation, "is_due", as_if_found)]


def named_though_confirmed() -> list[Patch]:
    """Who has confirmed a message under the id of a twin is named."""

    def by_one_id(readership: Readership) -> Sequence[Addressee]:
        messages = readership.state.messages
        confirmed = messages.notices.confirmed([messages.name(readership.row)])
        return sorted(reader for reader in readership.delivered if reader not in confirmed)

    return [(escalation, "missing_of", by_one_id)]


def late_are_told_twice() -> list[Patch]:
    """Two messages that name who has not confirmed the same one are two, as their texts differ."""
    return [(Notices, "escalation", lambda notices, names, row: row)]


def late_are_told_of_each_twin() -> list[Patch]:
    """Two messages that name who has not confirmed one under the ids of two of its twins are two."""
    by_any = Notices.escalation
    return [(Notices, "escalation", lambda notices, names, row: by_any(notices, names[:1], row))]


def late_are_forgotten() -> list[Patch]:
    """A compaction leaves out who was named, once that is dropped, while the message that he has not confirmed stays."""
    return [(Notices, "pinned", lambda notices: iter(()))]


def last_confirmation_counts() -> list[Patch]:
    """When somebody has confirmed something is what the op says that came last."""
    confirm = Notices.confirm

    def overwrite(notices: Notices, op: Confirmed) -> None:
        confirm(notices, op)
        notices._confirmed.get(op.message, {})[Addressee(op.user, op.account)] = op.time

    return [(Notices, "confirm", overwrite)]


CONFIRMING: tuple[Callable[[], list[Patch]], ...] = (
    named_by_the_wall_clock,
    named_by_anybodys_stamp,
    named_though_confirmed,
    late_are_told_twice,
    late_are_told_of_each_twin,
    late_are_forgotten,
    last_confirmation_counts,
)
FOCUS_CONFIRMING: dict[str, tuple[str, ...]] = {
    "named-by-the-wall-clock": ("wall", "wall-all"),
    "named-by-anybodys-stamp": ("wall", "wall-all"),
    "named-though-confirmed": ("partition", "one-way"),
    "late-are-told-twice": ("partition", "one-way"),
    "late-are-told-of-each-twin": ("partition", "one-way"),
    "late-are-forgotten": ("retention", "crash"),
    "last-confirmation-counts": ("partition", "one-way"),
}
