"""Reading the log for both engines: the plan under the state lock, the texts outside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from newswire.core import ops
from newswire.core.follow import Due, plan
from newswire.core.ops import Message
from newswire.core.reading import Page, Position, Wanted
from newswire.core.state import State
from newswire.engine.commit import Frames

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[bytes]]


def follow(state: State, lock: threading.Lock, frames: Frames, fetch: Fetch, at: Position, wanted: Wanted, limit: int) -> Page:
    """A page of what is due after `at`; `fetch` reads records by (place, length). Any thread."""
    with lock:
        planned = plan(state, at, wanted, limit)
    return planned.page(_texts(planned.dues, frames, fetch))


def _texts(dues: Sequence[Due], frames: Frames, fetch: Fetch) -> list[Message]:
    kept = {due.row: frames.get(due.row) for due in dues}
    missing = [due for due in dues if kept[due.row] is None]
    for due, raw in zip(missing, fetch([(due.place, due.length) for due in missing]) if missing else (), strict=True):
        op = ops.decode(raw)
        if not isinstance(op, Message):
            raise ValueError(f"the record at offset {due.row} is no message any more")
        kept[due.row] = op
    return [message for due in dues if (message := kept[due.row]) is not None]
