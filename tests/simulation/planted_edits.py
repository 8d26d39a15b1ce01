"""Bugs to plant in what is made of messages that are withdrawn or replaced (docs/rules.md, WITHDRAW): see `planted`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from newswire.core.broker.stager import Stager
from newswire.core.model.ops import split_op_id
from newswire.core.state.leave_out import LeaveOut
from newswire.core.state.withdrawals import Withdrawals

Patch = tuple[Any, str, Any]


def withdrawn_where_it_is_there() -> list[Patch]:
    """What is withdrawn or replaced before it comes is shown when it comes."""
    note = Withdrawals.note

    def only_here(part: Withdrawals, ids: Any) -> list[int]:
        return note(part, [name for name in ids if part._log.row(*split_op_id(name)) is not None])

    return [(Withdrawals, "note", only_here)]


def replaced_twice() -> list[Patch]:
    """Nobody looks whether what a message replaces is shown still: two take the place of one, and both are shown."""
    return [(Stager, "_check_replaced", lambda stager, requests, keys: None)]


def newer_goes_first() -> list[Patch]:
    """A compaction leaves out a message that was dropped, though what it replaces is there still."""
    is_named = LeaveOut._names_key

    def without(part: LeaveOut, row: int) -> bool:
        replacing, part.prefix.replacing = part.prefix.replacing, {}
        try:
            return is_named(part, row)
        finally:
            part.prefix.replacing = replacing

    return [(LeaveOut, "_names_key", without)]


EDITING: tuple[Callable[[], list[Patch]], ...] = (withdrawn_where_it_is_there, replaced_twice, newer_goes_first)
FOCUS_EDITING: dict[str, tuple[str, ...]] = {
    "withdrawn-where-it-is-there": ("partition", "one-way"),
    "newer-goes-first": ("retention", "crash"),
}
