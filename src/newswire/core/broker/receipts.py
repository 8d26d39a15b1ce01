"""Receipts: who waits for what to be stored, and when it may be told (docs/rules.md, RECEIPT).

An op is told when it is synced here and covered by the last answer of every in-sync member; `copies` is 1 + their number.
"""

from __future__ import annotations

import msgspec

from newswire.core.broker import status
from newswire.core.broker.cluster import Cluster
from newswire.core.broker.events import Done, Now
from newswire.core.broker.replication import Peer, holds_all
from newswire.core.broker.stager import Decided
from newswire.core.broker.values import BrokerStatus
from newswire.errors import FewerCopies, NewswireError, Unknown


class Waiting(msgspec.Struct, frozen=True):
    """Somebody who waits for a receipt, or (`row_of` a broker) for a membership to be stored. `until` on `Now.clock`."""

    token: object
    decided: Decided
    count: int = 1
    copies: int = 1
    until: float = 0.0
    row_of: str = ""


class Receipts:
    """Those who wait. Commit thread only."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: list[Waiting] = []
        self._staged: list[Waiting] = []  # for what is not on disk yet

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, waiting: Waiting) -> None:
        """Tell when it is time; what is staged has to be stored first."""
        (self._staged if self._cluster.intake.staged else self._waiting).append(waiting)

    def stored(self) -> None:
        """What was staged is on disk."""
        self._waiting += self._staged
        self._staged = []

    def unstored(self, error: NewswireError) -> None:
        """What was staged is not in the log, for this reason."""
        for waiting in self._staged:
            self._cluster.reply(waiting.token, error)
        self._staged = []

    def settle(self, now: Now) -> None:
        """Answer those whose ops every in-sync member has synced, and those who have waited too long."""
        peers = list(self._cluster.in_sync().values())
        left = []
        for waiting in self._waiting:
            if all(holds_all(peer.proved, waiting.decided.need) for peer in peers):
                self._cluster.reply(waiting.token, self._result(waiting, 1 + len(peers), now))
            elif waiting.until and now.clock >= waiting.until:
                self._cluster.reply(waiting.token, _late())
            else:
                left.append(waiting)
                self._ask_for_proof(peers, waiting, now)
        self._waiting = left

    def _ask_for_proof(self, peers: list[Peer], waiting: Waiting, now: Now) -> None:
        """Push now, even nothing: a peer from which an op came has it, but has yet to say so in an answer.

        Once: a push that went out when the op was synced here has asked already.
        """
        need, lineage = waiting.decided.need, self._cluster.state.lineage
        for peer in peers:
            if not peer.in_flight and not holds_all(peer.proved, need) and not lineage.covers_all(peer.sent, need):
                peer.next_at = now.clock

    def _result(self, waiting: Waiting, copies: int, now: Now) -> Done | BrokerStatus | NewswireError:
        decided = waiting.decided
        if waiting.row_of:
            return status.row_of(self._cluster, waiting.row_of, now)
        if copies < waiting.copies:
            return _fewer(waiting, copies)
        ids = decided.ids or ("",)
        repeats = waiting.count - decided.stored
        return Done(ids[0], ids[-1], decided.stored, copies, repeats, decided.ids, decided.repeated)


def _fewer(waiting: Waiting, copies: int) -> FewerCopies:
    """What was asked for on more brokers: lost on the way, or, where nothing is stored anew, not there yet."""
    decided = waiting.decided
    on = f"on {copies} of the {waiting.copies} brokers asked for"
    told = f"stored {on}, the others were lost on the way" if decided.stored else f"stored before with this key, and now {on}"
    error = FewerCopies(f"{told}: retrying with the same key is safe", id=decided.ids[-1], copies=copies, ids=decided.ids)
    if not decided.stored and waiting.count == 1:
        error.extra["duplicate"] = True
    return error


def _late() -> Unknown:
    return Unknown("stored here, but another broker has not confirmed it in time: retry with the same key")
