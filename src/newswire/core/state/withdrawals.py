"""Which messages were withdrawn, and which have a time: what `withdrawn` ops and `expires` say (docs/rules.md, EXPIRY). Pure.

The commit thread writes, under the state lock; what a log that is written anew has is its thread's, until that log counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from itertools import compress
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.model.ops import OpId, Published, Scheduled, op_id, split_op_id
from newswire.core.state.op_index import OpIndex

ROW_BITS: Final = 32  # of an entry that names a row in its low bits
ROW_MASK: Final = (1 << ROW_BITS) - 1


class Withdrawals:
    """What was named so far: rows of the log, and ops that are not held here.

    A byte a record, and only from the first withdrawal on; of an op that is not held yet, or void, its name: a copy of that,
    stored under another id, may still come.
    """

    def __init__(self, log: OpIndex) -> None:
        self._log = log
        self._rows = bytearray()
        self._ahead: dict[str, set[int]] = {}  # by origin
        self._void: set[OpId] = set()

    def __bool__(self) -> bool:
        return bool(self._rows or self._ahead or self._void)

    def note(self, ids: Iterable[OpId]) -> list[int]:
        """Note that these are withdrawn; return the rows of those that are held."""
        rows: list[int] = []
        for name in ids:
            origin, sequence = split_op_id(name)
            row = self._log.row(origin, sequence)
            if row is None and self._log.is_void(origin, sequence):
                self._void.add(name)
            elif row is None:
                self._ahead.setdefault(origin, set()).add(sequence)
            else:
                self.mark(row)
                rows.append(row)
        return rows

    def mark(self, row: int) -> None:
        """Note that the op at `row` is withdrawn."""
        if row >= len(self._rows):
            self._rows.extend(bytes(max(row + 1, len(self._log)) - len(self._rows)))
        self._rows[row] = 1

    def has_row(self, row: int) -> bool:
        """Say whether the op at `row` is withdrawn."""
        return row < len(self._rows) and bool(self._rows[row])

    def has(self, name: OpId) -> bool:
        """Say whether the op of this name is withdrawn, held or not."""
        origin, sequence = split_op_id(name)
        row = self._log.row(origin, sequence)
        if row is not None:
            return self.has_row(row)
        return sequence in self._ahead.get(origin, ()) or name in self._void

    def meet(self, op: Published | Scheduled, row: int) -> bool:
        """Say whether `op`, which comes to stand at `row`, was withdrawn before, under its own id or its first."""
        ahead = self._ahead.get(op.origin, set())
        if op.sequence in ahead:
            ahead.remove(op.sequence)
            if not ahead:
                del self._ahead[op.origin]
            self.mark(row)
        elif op.again and self.has(op.again):
            self.mark(row)
        return self.has_row(row)

    def is_ahead_of(self, origin: str) -> bool:
        """Whether something of `origin` is withdrawn that is not held."""
        return origin in self._ahead

    def names(self) -> Iterator[OpId]:
        """All that is withdrawn, once each."""
        log = self._log
        for row in compress(range(len(self._rows)), self._rows):
            yield op_id(log.names[log.origins[row]], log.sequences[row])
        for origin, sequences in self._ahead.items():
            for sequence in sorted(sequences):
                at = log.row(origin, sequence)
                if at is None or not self.has_row(at):  # else it is no message, and was named again when it was held
                    yield op_id(origin, sequence)
        yield from sorted(self._void)


class Lifetimes:
    """Messages that have a time, from when they are applied until somebody asks for them: 12 bytes each."""

    def __init__(self) -> None:
        self._rows = array("I")
        self._milliseconds = array("Q")
        self._taken = 0

    def __bool__(self) -> bool:
        return self._taken < len(self._rows)

    def note(self, op: Published, row: int) -> None:
        """Remember `op`, which has a time and stands at `row`."""
        self.add(row, max(0, op.expires - op.time))

    def add(self, row: int, milliseconds: int) -> None:
        """Remember a message at `row` that has so many ms."""
        self._rows.append(row)
        self._milliseconds.append(milliseconds)

    def peek(self, most: int) -> list[tuple[int, int]]:
        """The next `most`: row and lifetime in ms."""
        span = slice(self._taken, self._taken + most)
        return list(zip(self._rows[span], self._milliseconds[span], strict=True))

    def pass_by(self, count: int) -> None:
        """Forget the next `count`."""
        self._taken += count
        if self._taken == len(self._rows):
            self._rows, self._milliseconds, self._taken = array("I"), array("Q"), 0

    def all(self) -> Iterator[tuple[int, int]]:
        """All that nobody has asked for: row and lifetime in ms."""
        return zip(self._rows[self._taken :], self._milliseconds[self._taken :], strict=True)

    def leave_out(self, rows: Collection[int]) -> None:
        """Forget what stands at one of `rows`."""
        rest = [(row, milliseconds) for row, milliseconds in self.all() if row not in rows]
        self._rows, self._milliseconds, self._taken = array("I"), array("Q"), 0
        for row, milliseconds in rest:
            self.add(row, milliseconds)


class Moment(msgspec.Struct, frozen=True):
    """A moment of a run, for what is as old as RETENTION says; in ms.

    `lasted`: how long the run has lasted; `retention`: what retention's clock says; `until`: later stamps are from the future.
    """

    lasted: int
    retention: int
    until: int


class Ends(msgspec.Struct, frozen=True):
    """When messages are over: of each the end, in ms that the run has lasted, and its row in the low `ROW_BITS` bits.

    Of those that have a time and are not among `entries` the end follows from the log, and from the moment `at`.
    """

    entries: list[int]
    at: Moment


class Ages:
    """How old the messages are that a run found: a walk through the log, with rows that ascend."""

    def __init__(self, log: OpIndex) -> None:
        self._log = log
        self._looked_until = 0  # offset: stamps before it were looked at
        self._newest = 0  # ms: the newest of these, none from the future

    def end(self, row: int, lifetime: int, at: Moment) -> int | None:
        """When the message at `row` is over, in ms that the run has lasted; None: ask again, a piece of the log was seen."""
        end = min(row + 1, self._looked_until + limits.SCAN_ROWS)
        stamps = self._log.times[self._looked_until : end]
        self._newest = max([self._newest, *(stamp for stamp in stamps if stamp <= at.until)])
        self._looked_until = max(end, self._looked_until)
        if self._looked_until <= row:
            return None
        if self._log.times[row] > at.until:
            return at.lasted + lifetime
        return at.lasted + min(lifetime, max(0, self._newest + lifetime - at.retention))
