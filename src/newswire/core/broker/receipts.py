"""Receipts: who waits for what to be stored, and when it may be told (docs/rules.md, RECEIPT).

An op is told when it is synced here and covered by the last answer of every in-sync member, or of as many as were asked for;
`copies` is 1 + the number of those that cover it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import is_

import msgspec

from newswire.core.broker.events import Now, Reply
from newswire.core.broker.values import ReplyTo, Staged, TellStatus
from newswire.core.model.results import Receipt
from newswire.core.model.vector import FullVector, Vector
from newswire.errors import FewerCopies, NewswireError, NotEnoughCopies, Unknown


def check_copies(copies: int, most: int) -> None:
    """Raise NotEnoughCopies if more are asked for than there are brokers in sync with room, this one included."""
    if copies > most:
        raise NotEnoughCopies(
            f"{copies} copies were asked for, and {most} broker{'s are' if most > 1 else ' is'} in sync with room:"
            " nothing was stored; try again when the others are back, or ask for fewer",
            copies=most,
        )


class PendingReceipt(msgspec.Struct, frozen=True):
    """Somebody who waits for a receipt, or for the status of `broker` once it is stored. `until` on `Now.clock`."""

    reply_to: ReplyTo
    staged: Staged
    count: int = 1
    copies: int = 1
    until: float = 0.0
    broker: str = ""


class PendingReceipts:
    """Those who wait. Commit thread only.

    Who waits is looked at when he is new, when proofs are others, and when somebody's time is over: a step of the broker
    that changes nothing of this costs the same however many wait.
    """

    def __init__(self) -> None:
        self._staged: list[PendingReceipt] = []  # for what is not on disk yet
        self._new: list[PendingReceipt] = []  # not looked at yet
        self._waiting: list[PendingReceipt] = []  # not proved by all of
        self._proofs: Sequence[FullVector] = ()
        self._required: dict[str, int] = {}  # by those who wait, together
        self._until = math.inf  # when the first of them has waited too long

    def __len__(self) -> int:
        """How many wait for other brokers only: what they wait for is on disk here."""
        return len(self._waiting) + len(self._new)

    def wait_for_disk(
        self, reply_to: ReplyTo | None, staged: Staged, *, count: int = 1, copies: int = 1, until: float = 0.0, broker: str = ""
    ) -> None:
        """Tell `reply_to` when it is time; it has to be stored here first. None: nobody waits."""
        if reply_to is not None:
            pending = PendingReceipt(reply_to=reply_to, staged=staged, count=count, copies=copies, until=until, broker=broker)
            self._staged.append(pending)

    def wait_for_peers(self, reply_to: ReplyTo | None, staged: Staged, *, count: int, copies: int, until: float) -> None:
        """Tell `reply_to` when it is time; it is stored here already. None: nobody waits."""
        if reply_to is not None:
            pending = PendingReceipt(reply_to=reply_to, staged=staged, count=count, copies=copies, until=until)
            self._new.append(pending)

    def store(self) -> None:
        """What was staged is on disk."""
        self._new += self._staged
        self._staged = []

    def fail(self, error: NewswireError) -> list[Reply]:
        """What was staged is not in the log, for this reason."""
        replies = [Reply(pending.reply_to, error) for pending in self._staged]
        self._staged = []
        return replies

    def settle(self, proofs: Sequence[FullVector], now: Now) -> list[Reply | TellStatus]:
        """Answer those whose ops every in-sync member has synced, or as many as they asked for, and those who waited too long.

        `proofs`: what each in-sync member has surely synced; nothing of one that is asked again what it holds.
        """
        if now.clock >= self._until or len(proofs) != len(self._proofs) or not all(map(is_, proofs, self._proofs)):
            self._new = [*self._waiting, *self._new]
            self._waiting, self._proofs, self._required, self._until = [], proofs, {}, math.inf
        answers: list[Reply | TellStatus] = []
        for pending in self._new:
            required = pending.staged.required
            holders = sum(proof.holds(required) for proof in proofs)
            if holders == len(proofs) or 1 < pending.copies <= 1 + holders:
                answers.append(_answer(pending, 1 + holders))
            elif pending.until and now.clock >= pending.until:
                late = Unknown("stored here, but another broker has not confirmed it in time: retry with the same key")
                answers.append(Reply(pending.reply_to, late))
            else:
                self._waiting.append(pending)
                self._until = min(self._until, pending.until or math.inf)
                self._required |= {o: s for o, s in required.items() if self._required.get(o, 0) < s}
        self._new = []
        return answers

    @property
    def required(self) -> Vector:
        """What other brokers have to prove for those who were left to wait by `settle`."""
        return self._required


def _answer(pending: PendingReceipt, copies: int) -> Reply | TellStatus:
    staged = pending.staged
    if pending.broker:
        return TellStatus(pending.reply_to, pending.broker)
    if copies < pending.copies:
        return Reply(pending.reply_to, _fewer(pending, copies))
    ids = staged.ids or ("",)
    repeats = pending.count - staged.stored
    outcome = Receipt(
        first=ids[0],
        last=ids[-1],
        count=staged.stored,
        copies=copies,
        duplicates=repeats,
        ids=staged.ids,
        repeated=staged.repeated,
        due=staged.due,
        withdrawn=staged.withdrawn,
    )
    return Reply(pending.reply_to, outcome)


def _fewer(pending: PendingReceipt, copies: int) -> FewerCopies:
    """What was asked for on more brokers: lost on the way, or, where nothing is stored anew, not there yet."""
    ids, stores = pending.staged.ids, pending.staged.stored
    on = f"on {copies} of the {pending.copies} brokers asked for"
    outcome = f"stored {on}, the others were lost on the way" if stores else f"stored before with this key, and now {on}"
    error = FewerCopies(f"{outcome}: retrying with the same key is safe", id=ids[-1], copies=copies, ids=ids)
    if not stores and pending.count == 1:
        error.extra["duplicate"] = True
    return error
