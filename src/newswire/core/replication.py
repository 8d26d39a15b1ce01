"""What each peer has, what to push to it, and whether it is in sync (DESIGN 4, PUSH; DESIGN 5).

One push is in flight a link, the first one empty. A peer's vector is *replaced* by each answer, never merged: a disk
that went back must show (RELIABILITY H26). In sync is a peer whose last answer covered what was synced here when the
push was sent, and it stays so while each answer covers what its push brought, when there is more than one push can
carry: receipts wait for it then. A push that is late, failed or refused ends that at once. What a peer says in its own
pushes tells what to send to it, and is no proof of a copy (H19).
"""

from __future__ import annotations

from collections.abc import Sequence

from newswire.core import limits
from newswire.core.events import Header
from newswire.core.state import State
from newswire.core.vector import Vector


class Peer:
    """One link's side of the story. Owned by the broker core."""

    def __init__(self, address: str, clock: float) -> None:
        self.address = address
        self.id = ""  # "" until it answered or pushed
        self.origin = ""
        self.primary = False
        self.serves = False
        self.state = "down"
        self.detail = "not reached yet"
        self.in_sync = False
        self.writable = True  # as it last said; else it takes no ops
        self.counts_us = False  # as it last said: its receipts wait for our copy
        self.push_bytes = limits.PUSH_BYTES  # of one push: fewer over a line that does not carry so much in time
        self.holds: Vector | None = None  # in full, as it last said; None: not known, ask
        self.proved: Vector = {}  # in full, from its last answer: synced there
        self.heard: float | None = None
        self.number = 0
        self.in_flight = False
        self.sent_at = clock
        self.next_at = clock  # when to push next, even if there is nothing to push
        self.sent: Vector = {}  # what was synced here when the push in flight was sent
        self.brought: Vector = {}  # the ops that it carries: origin -> highest sequence
        self.tell_full = True
        self.ask_full = True
        self.target: Vector | None = None  # what the peer held when first met after the start
        self.caught_up = False  # all of `target` is held here
        self.joins: list[tuple[object, float]] = []  # operators' `Join`s that wait for the first answer

    def is_due(self, state: State, clock: float) -> bool:
        """Say whether a push should go out: there is something to push, or it is time to be heard."""
        if self.in_flight:
            return False
        if clock >= self.next_at:
            return True
        return bool(self.takes_ops and self.lacks_any(state))

    @property
    def takes_ops(self) -> bool:
        """Whether a push may carry ops: it is known what the peer holds, and it has room."""
        return self.state in ("up", "catching-up") and self.holds is not None and self.writable

    def lacks_any(self, state: State) -> bool:
        """Say whether the peer lacks an op held here, by what it last said."""
        holds = self.holds or {}
        return any(holds.get(name, 0) < len(offsets) for name, offsets in state.log.each_origin())

    def rows(self, state: State) -> list[int]:
        """Offsets of the ops to push. None before its vector is known: the first push is empty."""
        if self.holds is None or not self.takes_ops:
            return []
        return state.log.lacking(self.holds, limits.PUSH_OPS, self.push_bytes)

    def sending(self, state: State, rows: Sequence[int], clock: float, heartbeat: float) -> int:
        """Note that a push with the ops at `rows` goes out; return its number."""
        self.number += 1
        self.in_flight, self.sent_at, self.sent = True, clock, dict(state.vector)
        log = state.log
        self.brought = {log.names[log.origins[row]]: log.sequences[row] for row in rows}
        self.next_at = clock + heartbeat
        return self.number

    def is_late(self, clock: float) -> bool:
        """Say whether the push in flight has gone without an answer for too long to count as in sync."""
        return self.in_flight and clock - self.sent_at > limits.PUSH_TIMEOUT_SECONDS

    def met(self, header: Header, state: State, clock: float) -> None:
        """Take what the peer says of itself, in a push or an answer."""
        if self.origin and self.origin != header.origin:
            self.in_sync = False  # another run, perhaps on another disk
            self.target = None  # what the former run held may be nowhere any more
            self.tell_full = self.ask_full = True
        self.id, self.origin = header.broker, header.origin
        self.primary, self.serves = header.primary, header.serves
        self.writable, self.counts_us = header.writable, header.counts
        self.heard = clock
        self.holds = header.full if header.full is not None else expand(state, header.vector)
        if self.holds is None:
            self.ask_full = True
        if header.ask_full:
            self.tell_full = True

    def answered(self, header: Header, state: State, clock: float) -> None:
        """Take the answer to the push in flight."""
        self.in_flight = False
        self.tell_full = self.ask_full = False
        self.met(header, state, clock)
        counted = self.in_sync
        self.proved = self.holds or {}
        partly = self.in_sync and self.writable  # what it lacks yet is on its way; a full disk takes nothing
        self.in_sync = holds_all(self.proved, self.brought if partly else self.sent)
        self.state = "up" if self.in_sync and self.serves else "catching-up"
        self.detail = "" if self.writable else "its disk is full"
        self.push_bytes = min(limits.PUSH_BYTES, self.push_bytes * 2)
        if self.ask_full or self.tell_full or self.in_sync > counted:
            self.next_at = clock  # ask, tell, or say that its copies count from now on

    def failed(self, state: str, detail: str, clock: float, heartbeat: float) -> None:
        """The push in flight got no usable answer: not in sync from now on; it is tried again soon."""
        self.in_flight = self.in_sync = False
        if self.brought and clock - self.sent_at > limits.PUSH_TIMEOUT_SECONDS:
            self.push_bytes = max(limits.PUSH_LEAST_BYTES, self.push_bytes // 2)
        self.state, self.detail = state, detail
        self.tell_full = self.ask_full = True
        self.next_at = clock + min(heartbeat, limits.PUSH_AGAIN_SECONDS)


def expand(state: State, vector: Vector) -> Vector | None:
    """A short vector in full; None if an origin that it lists is not known here, so that what follows from it is not."""
    return state.lineage.expand(vector) if state.lineage.knows(vector) else None


def holds_all(full: Vector, vector: Vector) -> bool:
    """Say whether a broker that holds `full` (in full) holds all that `vector` lists, and so all that it implies."""
    return all(full.get(origin, 0) >= sequence for origin, sequence in vector.items())


def holds_all_of(state: State, full: Vector) -> bool:
    """Say whether all that a full vector names is held here."""
    return all(state.log.held(origin) >= sequence for origin, sequence in full.items())
