"""Which messages take the place of others, and which withdrawals readers are told of (docs/rules.md, WITHDRAW). Pure.

The commit thread writes, under the state lock.
"""

from __future__ import annotations

from typing import NamedTuple

from newswire.core.model.ops import OpId, Published


class Replacement(NamedTuple):
    """What a message takes the place of, and the first of those that were replaced so, one by the next."""

    target: OpId
    original: OpId


class Telling(NamedTuple):
    """What readers of the topic `number` are told: the message `id` was withdrawn. `original`: as of that message."""

    number: int
    id: OpId
    original: OpId


class Replacements:
    """All messages that replace one, by the row of the op, and which they replace."""

    def __init__(self) -> None:
        self.of: dict[int, Replacement] = {}
        self._by: dict[OpId, int] = {}

    def note(self, op: Published, row: int) -> None:
        """Take up a message that replaces one."""
        self.of[row] = Replacement(op.replaces, op.original or op.replaces)
        self._by.setdefault(op.replaces, row)

    def row_of_newer(self, name: OpId) -> int | None:
        """The row of a message that replaces the one of this id; None where it was not replaced."""
        return self._by.get(name)
