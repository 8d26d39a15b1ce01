"""What a broker does about holes: it tells of them, stores again what others gave up, and gives up on an operator's word.

See `docs/rules.md`, HOLE and LOST. Commit thread only. `again`, here: by origin, the sequences that were stored again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from newswire.core import limits
from newswire.core.broker.events import AcceptLoss, Recall, Recalled, Unreadable
from newswire.core.broker.values import Identity, PeerFacts, Stamp, StoreAgain, StoreBlindly
from newswire.core.model.ops import NO_PLACE, Left, Lost, Op, OpId, Unsubscribed, op_id, split_op_id
from newswire.core.model.vector import Vector
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole
from newswire.core.state.salvage import owed
from newswire.errors import NotFound, Refused

Again = Mapping[str, set[int]]
Fact = Stamp | StoreAgain | StoreBlindly


class Losses:
    """Takes what the disk lost. `recall` comes at the end of each step."""

    def __init__(self, identity: Identity, state: State) -> None:
        self._me, self._state = identity, state
        self._recalling = False

    def become(self, state: State) -> None:
        """Go on with another state."""
        self._state = state

    # -- records that the disk does not give back -----------------------------------------------------------------

    def miss(self, event: Unreadable, batch: str) -> None:
        """Some records could not be read: peers are asked for them with the next header. `batch`: that goes on here, or ""."""
        for place in event.places:
            row = self._state.log.find_place(place)
            if row is not None:
                self._state.holes.miss(row)
            else:
                self._state.miss_apart(place, batch)

    # -- what others gave up and this broker holds ----------------------------------------------------------------

    def recall(self, debts: Sequence[Lost], again: Again) -> list[Recall]:
        """Ask for the records of what is to be stored again before the first of these `lost` ops can be taken."""
        if self._recalling or not debts:
            return []
        self._recalling = True
        rows = owed(self._state, debts[0], again).rows
        return [Recall(debts[0], self._state.log.where(rows[: limits.RECALL_OPS]))]

    def take(self, event: Recalled, again: Again, *, writable: bool) -> list[Fact]:
        """Store again what was read, and what waits behind damage of our own."""
        self._recalling = False
        if not writable:
            return []
        rest = owed(self._state, event.lost, again)
        facts: list[Fact] = [StoreAgain(op) for op in (*event.ops, *rest.waiting[: limits.RECALL_OPS])]
        if rest.blind:
            facts.append(StoreBlindly(event.lost.source, rest.blind))
        return facts

    # -- the operator's word --------------------------------------------------------------------------------------

    def accept(
        self, event: AcceptLoss, again: Again, peers: Sequence[PeerFacts], away: Sequence[PeerFacts], origin: str
    ) -> list[Fact]:
        """LOST: make what is asked for void, if nobody can bring it. `origin`: under which this broker stamps now.

        `away`: members that may know more than this broker. Raises NotFound, Refused.
        """
        holes = self._to_give_up(event, peers, away, origin)
        facts: list[Fact] = []
        again_of = {source: set(sequences) for source, sequences in again.items()}
        for hole in holes:
            rest = owed(self._state, Lost(**NO_PLACE, source=hole.origin, first=hole.first, last=hole.last), again_of)
            if rest.blind:
                again_of.setdefault(hole.origin, set()).update(rest.blind)
                facts.append(StoreBlindly(hole.origin, rest.blind))
        ops = [
            Lost(**NO_PLACE, source=hole.origin, first=first, last=min(hole.last, first + limits.LOST_OPS - 1))
            for hole in holes
            for first in range(hole.first, hole.last + 1, limits.LOST_OPS)
        ]
        count = sum(hole.last - hole.first + 1 for hole in holes)
        if ends := _ends(self._state):
            facts.append(Stamp(ends))
        return [*facts, Stamp(ops, event.reply_to, event.until, count=count)]

    def _to_give_up(self, event: AcceptLoss, peers: Sequence[PeerFacts], away: Sequence[PeerFacts], origin: str) -> list[Hole]:
        """The holes, cut to what is asked for. Raises NotFound, Refused."""
        holes = [(self._me.id, hole) for hole in self._state.holes.all]
        holes += [(peer.id, hole) for peer in peers for hole in peer.holes]
        cut = [(broker, part) for broker, hole in holes if (part := _cut(hole, event)) is not None]
        if not cut:
            raise NotFound("nothing is missing there: GET /readyz lists the holes that brokers know of", code="no-hole")
        lost, standing, refusals = list[Hole](), list[Hole](), list[str]()
        for broker, hole in cut:
            refusal = self._why_not(broker, hole, peers)
            if refusal:
                refusals.append(refusal)
            elif stands_on(self._state, origin, hole):
                standing.append(hole)
            else:
                lost.append(hole)
        if not lost and standing:
            raise Refused(
                f"this run of broker {self._me.id} began on {standing[0]}, so its word on that is not taken without it:"
                " give it up at another broker, or restart this one first",
                code="restart-first",
            )
        if not lost:
            raise Refused(refusals[0], code="not-lost")
        if away and not event.even_if_away:
            raise Refused(
                f"{', '.join(peer.id or peer.address for peer in away)} may hold what is missing and cannot be asked:"
                " bring it back, or remove it; if its disk is gone for good, repeat this with even_if_away=1",
                code="may-be-elsewhere",
            )
        return list({(hole.origin, hole.first, hole.last): hole for hole in lost}.values())

    def _why_not(self, broker: str, hole: Hole, peers: Sequence[PeerFacts]) -> str:
        """Why a hole of `broker` needs no giving up, or cannot be given up here and now, in a sentence; "" if it can."""
        others = [peer for peer in peers if peer.counts and peer.id != broker]
        for peer in others:
            holds = {hole.origin: max(peer.holds.get(hole.origin), peer.told.get(hole.origin, 0))}
            if can_bring(holds, peer.holes, peer.waits, hole):
                return f"broker {peer.id} has of {hole}: it is fetched when it can be taken, wait a moment"
            if peer.unclear:
                return f"broker {peer.id} has yet to say whether it has of {hole}: wait a moment"
        waits = {**self._state.open_batches.extents, **self._state.holes.waits}
        if broker != self._me.id and can_bring(self._state.log.full, self._state.holes.all, waits, hole):
            return f"this broker has of {hole}: it is fetched when it can be taken, wait a moment"
        return ""


def _ends(state: State) -> list[Op]:
    """What ends subscriptions and memberships that were compacted here, so had ended, and that others brought once more.

    Voids that do not count (COMPACT) said so; what ended them is among what is given up.
    """
    subs = _ignored(state, state.subscriptions.alive)
    pieces = (subs[at : at + limits.ACK_SUBSCRIPTIONS] for at in range(0, len(subs), limits.ACK_SUBSCRIPTIONS))
    ends: list[Op] = [Unsubscribed(**NO_PLACE, ids=tuple(piece)) for piece in pieces]
    for broker in state.members.of:
        if seen := _ignored(state, state.members.ids(broker)):
            ends.append(Left(**NO_PLACE, broker=broker, seen=tuple(seen)))
    return ends


def _ignored(state: State, ids: Iterable[OpId]) -> list[OpId]:
    """Those of `ids` for which a void stands that does not count. There may be many of both."""
    ranges = [(origin, *one) for origin, ranges in state.ignored.of.items() for one in ranges]
    names = sorted(map(split_op_id, ids)) if ranges else []
    within = (
        names[bisect_left(names, (origin, first)) : bisect_right(names, (origin, last))] for origin, first, last in ranges
    )
    return list(dict.fromkeys(op_id(*name) for part in within for name in part))


def stands_on(state: State, origin: str, hole: Hole) -> bool:
    """Say whether what is stamped under `origin` is taken only where the hole is filled, so that no `lost` of it closes it."""
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
