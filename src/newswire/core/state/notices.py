"""Messages that ask to be confirmed, and who has confirmed them (docs/rules.md, CONFIRM). Pure.

The commit thread writes, under the state lock. Ops come in any order: a confirmation may come before its message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from newswire.core.model.ops import Confirmed, OpId, Published, split_op_id
from newswire.core.state.op_index import OpIndex

_WORDS_CHARS = 80  # of a message without a title, where it is named


class Addressee(NamedTuple):
    """A user by name and account: one whose name was taken again is another."""

    user: str
    account: OpId


class AskingMessage(NamedTuple):
    """A message that asks to be confirmed. `until`: ms since 1970, by its own stamp; `words`: what it is called."""

    id: OpId
    again: OpId
    until: int
    seconds: int
    escalate: str
    words: str
    priority: int


class Notices:
    """All that ask, by the row of the op, and what was confirmed, by the id that was named then."""

    def __init__(self, log: OpIndex) -> None:
        self._log = log
        self.of: dict[int, AskingMessage] = {}
        self._confirmed: dict[OpId, dict[Addressee, int]] = {}
        self._escalations: dict[OpId, int] = {}  # by the message that it is about, the row of the first

    def note(self, op: Published, row: int) -> None:
        """Take up a message that asks for something, or that is about one that did."""
        if op.confirm:
            words = op.title or next((line for line in op.data.splitlines() if line.strip()), "")
            self.of[row] = AskingMessage(
                id=op.id,
                again=op.again,
                until=op.time + op.confirm * 1000,
                seconds=op.confirm,
                escalate=op.escalate,
                words=words if len(words) <= _WORDS_CHARS else f"{words[: _WORDS_CHARS - 1]}…",
                priority=op.priority,
            )
        if op.about:
            self._escalations.setdefault(op.about, row)

    def confirm(self, op: Confirmed) -> None:
        """APPLY confirmed: the first time counts, by the stamp, wherever it was."""
        readers, reader = self._confirmed.setdefault(op.message, {}), Addressee(op.user, op.account)
        time = op.made or op.time
        readers[reader] = min(time, readers.get(reader, time))

    def confirmed(self, ids: Iterable[OpId]) -> dict[Addressee, int]:
        """Who has confirmed a message that has all of these ids, and when (ms since 1970)."""
        times: dict[Addressee, int] = {}
        for name in ids:
            for reader, time in self._confirmed.get(name, {}).items():
                times[reader] = min(time, times.get(reader, time))
        return times

    def escalations(self, names: Iterable[OpId]) -> list[int]:
        """The rows of messages about one that has these ids."""
        return [self._escalations[name] for name in names if name in self._escalations]

    def escalation(self, names: Iterable[OpId], row: int) -> int:
        """The first of these rows; `row`, if there is none yet."""
        return min(self.escalations(names), default=row)

    def move(self, row: int, to: int | None) -> None:
        """The message at `row` is given up, and shown at `to`; None: nowhere."""
        for name in [name for name, first in self._escalations.items() if first == row]:
            if to is None:
                del self._escalations[name]
            else:
                self._escalations[name] = to

    def forget_void(self, copies: Collection[OpId]) -> None:
        """Forget what was said of messages that are void, and not stored again. `copies`: the first ids of what was."""
        for name in [name for name in self._confirmed if self._log.is_void(*split_op_id(name)) and name not in copies]:
            del self._confirmed[name]

    def is_escalated(self, ids: Iterable[OpId]) -> bool:
        """Say whether a message about one that has all of these ids was published."""
        return any(name in self._escalations for name in ids)

    def pinned(self) -> Iterator[int]:
        """Rows of messages that must stay while what they are about is there: else it would be escalated once more."""
        for name, row in self._escalations.items():
            if not self._log.is_void(*split_op_id(name)):
                yield row

    def confirmations(self) -> Iterator[tuple[OpId, Addressee, int]]:
        """All that was confirmed: message, reader, time."""
        for name, readers in self._confirmed.items():
            for reader, time in readers.items():
                yield name, reader, time
