"""What a broker does about holes: it tells of them, stores again what others gave up, and gives up on an operator's word.

See `docs/rules.md`, HOLE and LOST. Commit thread only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.broker.cluster import Cluster
from newswire.core.broker.events import AcceptLoss, Now, Recall, Recalled, Unreadable
from newswire.core.broker.receipts import Receipts, Waiting
from newswire.core.broker.stager import Decided
from newswire.core.model.ops import Lost
from newswire.core.model.vector import Vector
from newswire.core.state.holes import Hole, owed
from newswire.errors import NewswireError, NotFound, Refused


class Losses:
    """Takes what the disk lost. `recall` comes at the end of each step."""

    def __init__(self, cluster: Cluster, receipts: Receipts) -> None:
        self._cluster, self._receipts = cluster, receipts
        self._state, self._intake = cluster.state, cluster.intake
        self._recalling = False

    # -- records that the disk does not give back -----------------------------------------------------------------

    def unreadable(self, event: Unreadable, now: Now) -> None:
        """Some records could not be read: peers are asked for them with the next header, at once."""
        for place in event.places:
            row = self._state.log.find_place(place)
            if row is not None:
                self._state.miss(row)
        for peer in self._cluster.peers.values():
            peer.next_at = now.clock

    # -- what others gave up and this broker holds ----------------------------------------------------------------

    def recall(self) -> None:
        """Ask for the records of what is to be stored again before a `lost` op can be taken."""
        wanted, self._intake.owed = self._intake.owed, []
        for op in wanted:
            if not self._recalling:
                self._recalling = True
                rows = owed(self._state, op, self._intake.again).rows
                self._cluster.actions.append(Recall(op, rows[: limits.RECALL_OPS]))

    def recalled(self, event: Recalled, now: Now) -> None:
        """Store again what was read, and what waits behind damage of our own."""
        self._recalling = False
        if not self._cluster.writable:
            return
        rest = owed(self._state, event.lost, self._intake.again)
        for op in (*event.ops, *rest.waiting[: limits.RECALL_OPS]):
            self._intake.store_again(op, now.wall)
        if rest.blind:
            self._intake.store_blindly(event.lost.source, rest.blind, now.wall)

    def unstored(self) -> None:
        """What was to be stored again found no room: later."""
        self._intake.again.clear()

    # -- the operator's word --------------------------------------------------------------------------------------

    def accept(self, event: AcceptLoss, now: Now) -> None:
        """LOST: make what is asked for void, if nobody can bring it."""
        try:
            holes = self._to_give_up(event, now)
        except NewswireError as error:
            self._cluster.reply(event.token, error)
            return
        for hole in holes:
            rest = owed(self._state, Lost("", 1, 0, hole.origin, hole.first, hole.last), self._intake.again)
            if rest.blind:
                self._intake.store_blindly(hole.origin, rest.blind, now.wall)
        ops = [
            self._intake.stamp(Lost("", 1, 0, hole.origin, first, min(hole.last, first + limits.LOST_OPS - 1)), now.wall)
            for hole in holes
            for first in range(hole.first, hole.last + 1, limits.LOST_OPS)
        ]
        count = sum(hole.last - hole.first + 1 for hole in holes)
        decided = Decided(tuple(op.id for op in ops), {ops[-1].origin: ops[-1].sequence})
        self._receipts.wait(Waiting(event.token, decided, count, until=event.until))

    def _to_give_up(self, event: AcceptLoss, now: Now) -> list[Hole]:
        """The holes, cut to what is asked for. Raises NotFound, Refused."""
        cluster = self._cluster
        why_not = status.why_not(cluster)
        if why_not:
            raise Refused(why_not, code="not-ready")
        known = [(cluster.identity.id, hole) for hole in self._state.holes]
        known += [(peer.id, hole) for peer in cluster.peers.values() for hole in peer.holes]
        cut = [(broker, part) for broker, hole in known if (part := _cut(hole, event)) is not None]
        if not cut:
            raise NotFound("nothing is missing there: GET /readyz lists the holes that brokers know of", code="no-hole")
        lost, standing, refusals = list[Hole](), list[Hole](), list[str]()
        for broker, hole in cut:
            refusal = self._why_not(broker, hole)
            if refusal:
                refusals.append(refusal)
            elif stands_on(cluster, hole):
                standing.append(hole)
            else:
                lost.append(hole)
        if not lost and standing:
            raise Refused(
                f"this run of broker {cluster.identity.id} began on {standing[0]}, so its word on that is not taken without it:"
                " give it up at another broker, or restart this one first",
                code="restart-first",
            )
        if not lost:
            raise Refused(refusals[0], code="not-lost")
        away = status.away(cluster, now)
        if away and not event.even_if_away:
            raise Refused(
                f"{', '.join(peer.id or peer.address for peer in away)} may hold what is missing and cannot be asked:"
                " bring it back, or remove it; if its disk is gone for good, repeat this with even_if_away=1",
                code="may-be-elsewhere",
            )
        return list({(hole.origin, hole.first, hole.last): hole for hole in lost}.values())

    def _why_not(self, broker: str, hole: Hole) -> str:
        """Why a hole of `broker` needs no giving up, or cannot be given up here and now, in a sentence; "" if it can."""
        own = broker == self._cluster.identity.id
        for name, peer in self._cluster.in_sync().items():
            if name != broker and can_bring(peer.holds or {}, peer.holes, peer.waits, hole):
                return f"broker {name} has of {hole}: it is fetched when it can be taken, wait a moment"
        if not own and can_bring(self._state.log.full, self._state.holes, self._state.waits, hole):
            return f"this broker has of {hole}: it is fetched when it can be taken, wait a moment"
        return ""


def stands_on(cluster: Cluster, hole: Hole) -> bool:
    """Say whether what this run stamps is taken only where the hole is filled, so that a `lost` op of it cannot close it."""
    origin, state = cluster.intake.origin, cluster.state
    if origin not in state.lineage:  # about to begin, on all that is held
        return state.log.held(hole.origin) >= hole.first
    return hole.origin == origin or state.lineage.covers({origin: 1}, hole.origin, hole.first)


def can_bring(full: Vector, holes: Iterable[Hole], waits: Mapping[str, int], hole: Hole) -> bool:
    """Say whether a broker that holds `full`, lacks `holes` and keeps what `waits` names has anything of `hole`."""
    own = [other for other in holes if other.origin == hole.origin]
    reach = max(full.get(hole.origin, 0), waits.get(hole.origin, 0))
    at = hole.first
    for other in sorted(own):
        if other.first <= at:
            at = max(at, other.last + 1)
    return at <= min(hole.last, reach)


def _cut(hole: Hole, event: AcceptLoss) -> Hole | None:
    """What of a hole is asked for; None for nothing."""
    first = max(hole.first, event.first or hole.first)
    last = min(hole.last, event.last or hole.last)
    if event.origin not in ("", hole.origin) or first > last:
        return None
    return msgspec.structs.replace(hole, first=first, last=last)
