"""When the log is written anew, and what another broker hands over for that (docs/rules.md, COMPACT, OFFER, ADOPT).

Commit thread only. What is left out is decided by `core.state.leave_out`; the writing is a thread's of the shell.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice

from newswire.core import limits
from newswire.core.broker.events import (
    CatchUp,
    Compact,
    DropParts,
    Header,
    KeepPart,
    Now,
    Offer,
    Offered,
    Reply,
    Rewrite,
    RewriteFailed,
    Rewritten,
    Switched,
    Tick,
)
from newswire.core.broker.values import Identity, PeerFacts, ReplyTo
from newswire.core.model.ops import Lost, Op, Void, decode
from newswire.core.model.results import Compacted
from newswire.core.model.vector import FullVector
from newswire.core.state.fold import State
from newswire.core.state.leave_out import KEPT_SECONDS
from newswire.core.state.prefix import Base
from newswire.core.state.rewriting import Rewriting
from newswire.core.state.withdrawals import Ends
from newswire.errors import Refused

Doing = Reply | Rewrite | KeepPart | DropParts | CatchUp | Switched


class IncomingOffer:
    """An offer that is being handed over."""

    def __init__(self, broker: str, offer: Offer, now: Now) -> None:
        self.broker = broker
        self.id, self.last, self.vector = offer.id, offer.last, offer.vector
        self.end = 0
        self.is_whole = False
        self.voids: list[Void] = []
        self.losses: list[Lost] = []
        self.at = now.clock


class Compaction:
    """Begins rewritings, one at a time, and takes offers."""

    def __init__(self, identity: Identity, state: State) -> None:
        self._me, self.state = identity, state
        self.waits_for_members = True  # not where all that anybody has is in a log that brokers share
        self.job: Rewriting | None = None
        self._asked: Compact | None = None  # waits until nothing is staged
        self._reply_to: ReplyTo | None = None
        self._is_due = False
        self._due_at: float | None = None  # on `Now.clock`: when what was found to be worth it is due
        self._looked_at = 0.0  # the same
        self._again_at: float | None = 0.0  # the same; None: an hour from the next look on
        self._stays = 0  # rows that count as dead, and that the last one did not leave out
        self._stays_in_need = 0  # the same; 0 where much went, or where others had not proved all: more may go a moment later
        self._is_partial = False  # others had not proved all when the one that runs began
        self._rests = False  # the last one was of no use: the next look is not sooner than usual
        self._patience = limits.COMPACT_AGAIN_SECONDS  # until what the last one left counts as dead again
        self._all_again_at = 0.0  # on `Now.clock`: when it does
        self._dead_at_failure = 0  # rows: without room it is tried again when that has grown
        self._dead = 0  # rows, when the one that runs began
        self.lacks_room: tuple[int, int] | None = None  # bytes that one would write, and may: it was tried without room
        self._is_last_chance = False  # later there is no room for what stays
        self.is_tight = False  # there may soon be no room for what a compaction writes: what may go should be told soon
        self._least_rows = 0  # no sooner by itself: it was looked at, and little could go
        self._incoming: IncomingOffer | None = None

    @property
    def wants_more(self) -> bool:
        """Whether a rewriting is to begin as soon as nothing is staged."""
        adopts = self._incoming is not None and self._incoming.is_whole and self.job is None
        return adopts or (self.job is None and (self._asked is not None or self._is_due))

    @property
    def losses(self) -> Sequence[Lost]:
        """The `lost` ops of an offer that is whole and waits: what of their ranges is held is stored again first (LOST)."""
        incoming = self._incoming
        return incoming.losses if incoming is not None and incoming.is_whole and self.job is None else ()

    @property
    def adopted_losses(self) -> Sequence[Lost]:
        """The `lost` ops of the log that is being adopted."""
        return self._incoming.losses if self._incoming is not None and self.job is not None and self.job.adopts else ()

    @property
    def offered(self) -> Offered | None:
        """How much of an offer is here."""
        return Offered(self._incoming.id, self._incoming.end) if self._incoming is not None else None

    # -- when

    def ask(self, event: Compact) -> list[Doing]:
        """An operator wants it now."""
        if not self._me.compacts:
            return [Reply(event.reply_to, Refused("this broker does not compact", code="not-compacted"))]
        if self.job is not None or self._asked is not None:
            return [Reply(event.reply_to, Refused("the log is being written anew already", code="not-compacted"))]
        self._asked = event
        return []

    def tick(self, event: Tick, now: Now) -> list[Doing]:
        """Look at times whether so much is dead that it is worth it; give up an offer that does not go on."""
        incoming = self._incoming
        if incoming is not None and not (incoming.is_whole and self.job is not None):
            needs_it = self.state.holes.all or not self.state.log.holds(incoming.vector)
            if not needs_it or now.clock - incoming.at > limits.OFFER_PATIENCE_SECONDS:
                self._incoming = None
                return [DropParts()]
        self.is_tight = event.room is not None and event.room < event.size * limits.COMPACT_ROOM
        is_in_need = event.wants_room or self.is_tight
        every = limits.COMPACT_LOOK_SECONDS / (10 if is_in_need and not self._rests else 1)
        waits = self._due_at is not None and not is_in_need  # else it is seen that it cannot wait
        if self._due_at is not None and now.clock >= self._due_at:
            self._due_at, self._is_due = None, True
        elif self._me.compacts and self.job is None and not waits and now.clock - self._looked_at >= every:
            self._look(event, now)
        return []

    def _look(self, event: Tick, now: Now) -> None:
        """Decide whether one is due. What stays is written before what goes is free: there has to be room for it."""
        self._looked_at, self._rests = now.clock, False
        if self._again_at is None:
            self._again_at, self._all_again_at = now.clock + limits.COMPACT_AGAIN_SECONDS, now.clock + self._patience
        if now.clock >= self._again_at:  # what the last one left as it was is looked at again
            self._least_rows = self._stays_in_need = self._dead_at_failure = 0
        if now.clock >= self._all_again_at:
            self._stays = 0
        rows, count = len(self.state.log), self._count_dead(now)
        dead = max(0, count - self._stays_in_need)
        writes = event.size * (rows - dead) // max(rows, 1)  # bytes, about
        self._is_last_chance = event.room is not None and event.room < writes * limits.COMPACT_ROOM
        self.lacks_room = None
        if event.wants_room or self._is_last_chance:
            is_worth = dead >= limits.COMPACT_LOW_ROWS and dead >= rows * limits.COMPACT_LOW_SHARE
            has_room = event.room is None or event.room >= writes
            if is_worth and event.room is not None and not has_room and self._dead_at_failure:
                self.lacks_room = writes, event.room
            self._is_due, self._due_at = is_worth and (has_room or count * 4 >= self._dead_at_failure * 5), None
        else:
            dead = max(0, count - self._stays)
            is_worth = dead >= limits.COMPACT_LEAST_ROWS and dead >= rows * limits.COMPACT_SHARE
            is_due = is_worth and rows >= self._least_rows
            if is_due and self._others():
                # when they have proved what is held now: what they have not stays, though it was dropped
                self._due_at = self._due_at or now.clock + self._me.heartbeat + limits.HEARTBEAT_GRACE_SECONDS
            else:
                self._is_due, self._due_at = is_due, None

    def _others(self) -> list[str]:
        """The other members, by id."""
        return sorted(broker for broker, joined in self.state.members.of.items() if joined and broker != self._me.id)

    def _count_dead(self, now: Now) -> int:
        """How many rows may be of no use any more, about: some topics are looked at each time."""
        state = self.state
        totals = state.messages.totals
        for number in list(islice(totals.unknown, limits.COMPACT_LOOK_TOPICS)):
            state.messages.work_out(number)
        kept = len(state.account_rows) - self._count_old(now)
        live = sum(totals.counts) + 2 * len(state.subscriptions.alive) + len(state.log.names) + kept
        return max(0, len(state.log) - live)

    def _count_old(self, now: Now) -> int:
        """How many sign-ins, and failed ones, are old, about: stamps may go back."""
        until = {what: now.wall - seconds * 1000 for what, seconds in KEPT_SECONDS.items()}
        stamp = self.state.log.times.__getitem__
        return sum(bisect_right(rows, until[what], key=stamp) for what, rows in self.state.sign_ins.items())

    def begin(
        self,
        peers: Sequence[PeerFacts],
        proofs: Sequence[FullVector],
        shifts: Sequence[int],
        ends: Ends,
        now: Now,
        *,
        wants_room: bool,
    ) -> list[Doing]:
        """Begin what is wanted: nothing is staged, and all that is stored is applied."""
        incoming = self._incoming
        if incoming is not None and incoming.is_whole:
            self.job = Rewriting(self.state, Base(()), (), incoming.voids, incoming.vector, ends)
            self._reply_to = None
            return [Rewrite(self.job)]
        asked, self._asked, self._is_due, self._due_at = self._asked, None, False, None
        has_word = asked is not None and asked.even_if_away
        why_not = self._why_not(peers, has_word=has_word, wants_room=wants_room)
        reply_to = asked.reply_to if asked is not None else None
        if why_not:
            return [Reply(reply_to, Refused(why_not, code="not-compacted"))] if reply_to is not None else []
        self._reply_to = reply_to
        bases = [self.state.log.full, *proofs]
        self._dead = self._count_dead(now)
        self._is_partial = not all(proof.holds(self.state.vector) for proof in proofs)
        times, kept = [now.wall + shift for shift in shifts], int(self._me.retention_seconds * 1000)
        old, span = ends.at.retention - kept, min(kept // limits.VOID_SPANS_COUNT, int(limits.VOID_SPAN_SECONDS * 1000))
        self.job = Rewriting(self.state, Base(bases), times, ends=ends, old=old, span=span)
        return [Rewrite(self.job)]

    def _why_not(self, peers: Sequence[PeerFacts], *, has_word: bool, wants_room: bool) -> str:
        """Why nothing is compacted now, in a sentence; "" if it may. `has_word`: an operator waits for nobody who is away."""
        if self.state.holes.all or self._incoming is not None:
            return "something is missing here, or is being handed over: try again when that is done"
        if not self.waits_for_members:
            return ""
        known = {peer.id: peer for peer in peers}
        reasons = (
            self._why_wait(broker, known.get(broker), has_word=has_word, wants_room=wants_room) for broker in self._others()
        )
        return next(filter(None, reasons), "")

    def _why_wait(self, broker: str, peer: PeerFacts | None, *, has_word: bool, wants_room: bool) -> str:
        """Why a member is waited for, in a sentence; "" if its proof is here, or it is handed everything when it is back."""
        is_old = peer is not None and peer.heard is not None and not peer.knows_voids
        if peer is not None and peer.lacks_void and peer.knows_voids and peer.writable and not peer.away_seconds:
            return f"broker {broker} is being handed what it lacks: try again when it has that"
        if is_old and not (has_word and peer is not None and not peer.in_sync):
            return f"broker {broker} is of a version that cannot read a compacted log: upgrade it first"
        patience = min(self._me.away_seconds, limits.COMPACT_LAST_AWAY_SECONDS if self._is_last_chance else math.inf)
        if has_word or wants_room or (peer is not None and (peer.in_sync or peer.away_seconds >= patience)):
            return ""
        return f"broker {broker} is not in sync: what it lacks stays until it has it"

    # -- what becomes of it

    def take_over(self, event: Rewritten) -> tuple[list[Doing], Rewriting | None]:
        """The rewriting that is finished, whose state is to be taken over now."""
        job = self.job
        if job is None or event.job is not job:
            return [], None
        if len(job.tail) > limits.PIECE_OPS:
            return [CatchUp(job)], None
        job.catch_up()
        return [], job

    def finish(self, job: Rewriting) -> list[Doing]:
        """The state was taken over."""
        self.job, self._dead_at_failure, self.lacks_room = None, 0, None
        doing: list[Doing] = [Switched(job)]
        if job.adopts:
            self._incoming = None
            doing.append(DropParts())
        else:
            gone = job.rows_before - job.rows_after
            self._least_rows = len(self.state.log) * 5 // 4
            self._stays = max(0, self._dead - gone)  # not what died meanwhile: that may go the next time
            has_freed_much = gone * 10 > job.rows_before
            self._stays_in_need = 0 if has_freed_much or self._is_partial else self._stays
            self._rests = not has_freed_much
            longer = min(2 * self._patience, limits.COMPACT_AGAIN_MOST_SECONDS)  # else all is written each hour, for nothing
            self._patience = limits.COMPACT_AGAIN_SECONDS if has_freed_much or self._is_partial else longer
            self._again_at = None
        if self._reply_to is not None:
            doing.append(
                Reply(
                    self._reply_to,
                    Compacted(
                        bytes_before=job.bytes_before,
                        bytes_after=job.bytes_after,
                        rows_before=job.rows_before,
                        rows_after=job.rows_after,
                    ),
                )
            )
        self._reply_to = None
        return doing

    def fail(self, event: RewriteFailed) -> list[Doing]:
        """Nothing happened."""
        if event.job is not self.job or self.job is None:
            return []
        adopts, self.job = self.job.adopts, None
        error = Refused(f"nothing was compacted: {event.why}", code="not-compacted")
        doing: list[Doing] = [Reply(self._reply_to, error)] if self._reply_to is not None else []
        self._reply_to = None
        self._least_rows, self._again_at, self._rests = len(self.state.log) * 5 // 4, None, True
        self._dead_at_failure = self._dead
        if adopts:
            self._incoming = None
            doing.append(DropParts())
        return doing

    # -- what others hand over

    def takes(self, header: Header, now: Now) -> bool:
        """Whether the part of an offer that comes with a header is what is to come next."""
        offer, incoming = header.offer, self._incoming
        if offer is None or not self._me.compacts or offer.run != self._me.origin:
            return False
        if incoming is not None and incoming.id == offer.id:
            return offer.start == incoming.end and not incoming.is_whole
        if offer.start or (incoming is not None and incoming.is_whole):
            return False
        return incoming is None or incoming.broker == header.broker or now.clock - incoming.at > limits.OFFER_TURN_SECONDS

    def take_part(self, broker: str, offer: Offer, raws: Sequence[bytes], now: Now) -> list[Doing]:
        """Keep the next part of an offer of `broker`. Raises NotAnOp."""
        ops: list[Op] = [decode(raw) for raw in raws]
        first = self._incoming is None or self._incoming.id != offer.id
        incoming = IncomingOffer(broker, offer, now) if first or self._incoming is None else self._incoming
        self._incoming = incoming
        incoming.voids += [op for op in ops if isinstance(op, Void)]
        incoming.losses += [op for op in ops if isinstance(op, Lost)]
        incoming.end, incoming.at = offer.end, now.clock
        incoming.is_whole = offer.end >= offer.last
        doing: list[Doing] = [KeepPart(raws, first=first)]
        if incoming.is_whole and self.job is not None and not self.job.adopts:
            self.job.stopped = True  # the shell gives it up, unless it counts already
        return doing

    def become(self, state: State) -> None:
        """Go on with another state."""
        self.state = state
