"""Messages that wait for their time: which ops say so, and what is to be published then (docs/rules.md, SCHEDULE). Pure.

The commit thread writes, under the state lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from newswire.core.model.message import MessageFields
from newswire.core.model.ops import NO_PLACE, OpId, Published, Scheduled


class Timetable:
    """All ops that schedule a message, by the row of the op. Of those that wait the whole op: it is published from here."""

    def __init__(self) -> None:
        self.names: dict[int, tuple[OpId, ...]] = {}  # the id of the op, and that from before it was stored again
        self.rows: dict[OpId, list[int]] = {}  # by each of these ids
        self.waiting: dict[int, Scheduled] = {}  # one of each message: the first of its twins here; `wait` and `end` write it
        self.rows_of: dict[str, dict[int, None]] = {}  # by publisher, the rows of what waits
        self.bytes = 0  # of the texts of what waits, in UTF-8
        self.news: list[int] = []  # rows of what waits since somebody looked, who takes them out
        self.ops: dict[int, Scheduled] = {}  # what may wait once more, since it was not published nor withdrawn yet

    def add(self, op: Scheduled, row: int) -> None:
        """Note `op`, which stands at `row`."""
        self.names[row] = (op.id, op.again) if op.again else (op.id,)
        self.ops[row] = op
        for name in self.names[row]:
            self.rows.setdefault(name, []).append(row)

    def wait(self, row: int) -> None:
        """Have what the op at `row` scheduled wait, unless that is over."""
        op = self.ops.get(row)
        if op is None or row in self.waiting:
            return
        self.waiting[row] = op
        self.rows_of.setdefault(op.publisher, {})[row] = None
        self.bytes += text_bytes(op)
        self.news.append(row)

    def end(self, row: int, *, is_over: bool) -> None:
        """Have it wait no more; `is_over`: never again."""
        if is_over:
            self.ops.pop(row, None)
        op = self.waiting.pop(row, None)
        if op is None:
            return
        rows = self.rows_of[op.publisher]
        del rows[row]
        if not rows:
            del self.rows_of[op.publisher]
        self.bytes -= text_bytes(op)

    def remove(self, row: int) -> None:
        """Forget the op at `row`: it is void."""
        self.end(row, is_over=True)
        for name in self.names.pop(row):
            self.rows[name].remove(row)
            if not self.rows[name]:
                del self.rows[name]


def groups_of(
    names: Mapping[int, Sequence[OpId]], twins: Iterable[Sequence[int]], copies: Mapping[OpId, Sequence[int]]
) -> list[tuple[list[int], list[int]]]:
    """Of each message that was scheduled the rows of the ops that say so, and of those that published it, ascending.

    `names`: by row, the ids of each such op; `twins`: rows of those that are one message; `copies`: by id, what published it.
    """
    group: dict[int, list[int]] = {}
    first_of: dict[OpId, int] = {}

    def join(row: int, other: int) -> None:
        mine, theirs = sorted((group.setdefault(row, [row]), group.setdefault(other, [other])), key=len)
        if mine is not theirs:
            theirs += mine
            group.update(dict.fromkeys(mine, theirs))

    for row, ids in names.items():
        group.setdefault(row, [row])
        for name in ids:
            join(row, first_of.setdefault(name, row))
    for first, *others in twins:
        for row in others:
            join(first, row)
    whole = {id(rows): sorted(rows) for rows in group.values()}.values()
    return [(rows, sorted({copy for row in rows for name in names[row] for copy in copies.get(name, ())})) for rows in whole]


def text_bytes(message: MessageFields) -> int:
    """How much room its texts take, in UTF-8, more or less: what is long of it."""
    return len(message.data.encode()) + len(message.title.encode())


def release(op: Scheduled) -> Published:
    """What is published when the time has come; it lives as long as it was to live from then on."""
    fields = {name: getattr(op, name) for name in MessageFields.__struct_fields__}
    lives = op.expires - op.due if op.expires else 0
    return Published(**NO_PLACE, **{**fields, "expires": lives, "again": op.first_id})


def same_again(op: Scheduled) -> Scheduled:
    """The same, to be stored under another id (LOST)."""
    return msgspec.structs.replace(op, **NO_PLACE, again=op.first_id)
