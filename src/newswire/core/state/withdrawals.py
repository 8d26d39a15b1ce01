"""Which messages were withdrawn, and which have a time: what `withdrawn` ops and `expires` say (docs/rules.md, EXPIRY). Pure.

The commit thread writes, under the state lock.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import compress

from newswire.core.model.ops import OpId, Published, op_id, split_op_id
from newswire.core.state.op_index import OpIndex


class Withdrawals:
    """What was named so far: rows of the log, and ops that are not held here.

    A byte a record, and only from the first withdrawal on; of an op that is not held yet, its name.
    """

    def __init__(self, log: OpIndex) -> None:
        self._log = log
        self._rows = bytearray()
        self._ahead: dict[str, set[int]] = {}  # by origin

    def __bool__(self) -> bool:
        return bool(self._rows or self._ahead)

    def note(self, ids: Iterable[OpId]) -> list[int]:
        """Note that these are withdrawn; return the rows of those that are held."""
        rows: list[int] = []
        for name in ids:
            origin, sequence = split_op_id(name)
            row = self._log.row(origin, sequence)
            if row is None and self._log.is_void(origin, sequence):
                continue
            if row is None:
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
        return sequence in self._ahead.get(origin, ()) if row is None else self.has_row(row)

    def meet(self, op: Published, row: int) -> bool:
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
