"""Reading the log for both engines: the plan in pieces under the state lock, the texts outside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from newswire.core import ops
from newswire.core.follow import Due, read_on
from newswire.core.ops import Message
from newswire.core.reading import Page, Position, Wanted
from newswire.engine.commit import Frames, Rounds

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[bytes]]


def follow(rounds: Rounds, fetch: Fetch, at: Position, wanted: Wanted, limit: int) -> Page:
    """A page of what is due after `at`; `fetch` reads records by (place, length). Any thread."""
    planned = rounds.query(lambda state: read_on(state, at, wanted, limit))
    return planned.page(_texts(planned.dues, rounds.frames, fetch))


def _texts(dues: Sequence[Due], frames: Frames, fetch: Fetch) -> list[Message]:
    kept = {due.row: frames.get(due.row) for due in dues}
    missing = [due for due in dues if kept[due.row] is None]
    for due, raw in zip(missing, fetch([(due.place, due.length) for due in missing]) if missing else (), strict=True):
        op = ops.decode(raw)
        if not isinstance(op, Message):
            raise ValueError(f"the record at offset {due.row} is no message any more")
        kept[due.row] = op
    return [message for due in dues if (message := kept[due.row]) is not None]
