"""Reading the log for both engines: the plan in pieces under the state lock, the texts outside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from newswire.core.model import ops
from newswire.core.model.ops import Message
from newswire.core.read.pages import Page, Position, Wanted
from newswire.core.read.scan import Due, read_on
from newswire.engine.group_commit import Frames, Rounds

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[bytes | None]]


def follow(rounds: Rounds, fetch: Fetch, at: Position, wanted: Wanted, limit: int) -> Page:
    """A page of what is due after `at`; `fetch` reads records by (place, length), None for one that it cannot. Any thread.

    A page ends before what cannot be read; the stream goes on when the core has healed that, or it was given up.
    """
    unreadable: frozenset[int] = frozenset()
    while True:
        planned = rounds.query(partial(read_on, at=at, wanted=wanted, limit=limit, unreadable=unreadable))
        texts = _texts(planned.dues, rounds.frames, fetch)
        bad = {due.row for due, text in zip(planned.dues, texts, strict=True) if text is None}
        if not bad:
            return planned.page([text for text in texts if text is not None])
        unreadable |= bad


def _texts(dues: Sequence[Due], frames: Frames, fetch: Fetch) -> list[Message | None]:
    kept = {due.row: frames.get(due.row) for due in dues}
    missing = [due for due in dues if kept[due.row] is None]
    for due, raw in zip(missing, fetch([(due.place, due.length) for due in missing]) if missing else (), strict=True):
        op = ops.decode(raw) if raw is not None else None
        if op is not None and not isinstance(op, Message):
            raise ValueError(f"the record at offset {due.row} is no message any more")
        kept[due.row] = op
    return [kept[due.row] for due in dues]
