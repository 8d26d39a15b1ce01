"""What an event id says, below the seam: the vectors in its text (docs/rules.md, EVENT ID)."""

from __future__ import annotations

from typing import Final

import msgspec

from newswire.core.model.event_ids import EventId
from newswire.core.model.vector import Vector

_KEPT: Final = "coverage"  # with an event id, so that streams at one place share one object, and cursors do


class Coverage(msgspec.Struct, frozen=True, gc=False):
    """How far the holder of an event id was sent news.

    `message`: the one that it stands behind, "" where it is behind none. `after`: D, what the broker that sent it held up to
    there. `opened`: K, what that broker held when the stream was opened; left out where D covers it.
    """

    message: str
    after: Vector
    opened: Vector = {}

    def __str__(self) -> str:
        return str(write(self))


def write(coverage: Coverage) -> EventId:
    """The event id that a stream shows for it."""
    event_id = EventId(f"e~{coverage.message}~{_write(coverage.after)}~{_write(coverage.opened)}")
    event_id.__dict__[_KEPT] = coverage
    return event_id


def read(event_id: EventId) -> Coverage:
    """What it says. Vectors as they stand there: nothing is known yet of what they name."""
    coverage: Coverage | None = event_id.__dict__.get(_KEPT)
    if coverage is None:
        _, message, after, opened = event_id.text.split("~")
        coverage = event_id.__dict__[_KEPT] = Coverage(message, _read(after), _read(opened))
    return coverage


def _write(vector: Vector) -> str:
    if len(vector) == 1:  # most are, and each message that is read has one
        ((origin, sequence),) = vector.items()
        return f"{origin}.{sequence}"
    return "_".join(f"{origin}.{sequence}" for origin, sequence in sorted(vector.items()))


def _read(text: str) -> Vector:
    entries = (entry.partition(".") for entry in text.split("_")) if text else ()
    return {origin: int(sequence) for origin, _, sequence in entries}
