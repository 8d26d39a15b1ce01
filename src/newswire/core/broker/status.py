"""The cluster as one broker sees it (docs/http.md, Brokers): rows, who is primary, who serves. Pure functions."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from newswire.core import limits
from newswire.core.broker.events import Now
from newswire.core.broker.values import BrokerStatus, ClusterStatus, HoleRow, Identity, PeerFacts
from newswire.core.foresight.suspicion import SUSPICIOUS
from newswire.core.model import conditions
from newswire.core.model.balance import Load
from newswire.core.model.times import rfc3339, span
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole

_REACHED = ("up", "catching-up")


class Situation(msgspec.Struct, frozen=True):
    """All that the status of a broker follows from. Nothing of it is changed here."""

    identity: Identity
    state: State
    now: Now
    peers: Collection[PeerFacts]  # but for those of which nothing is known but that somebody asked for them
    why_not: str = ""  # clients are not served here now, in a sentence
    belongs: bool = True  # this broker was not removed, and is not leaving
    writable: bool = True
    most_copies: int = 1  # brokers that would hold a publish taken now
    lacks_room: tuple[int, int] | None = None  # bytes that a compaction which is due would write, and may
    load: Load = Load()  # of streams, here
    damage: int = 0  # places in the ops file that were damaged at the start, and do not tell what was there
    wall_jump: int = 0  # ms by which this broker's clock was set within the last hour
    retention_behind: int = 0  # ms by which retention's clock is behind the wall clock


def why_behind(situation: Situation) -> str:
    """Why this broker gets no news now that another one could give its readers, in a sentence; "" when it gets all.

    A full disk takes nothing of what others bring: who reads here would wait in silence.
    """
    if situation.writable:
        return ""
    ahead = [
        peer.id for peer in _others(situation) if peer.state in _REACHED and peer.serves and peer.writable and peer.has_more
    ]
    return f"the disk of this broker is full, and {ahead[0]} has what finds no room here: use that one for now" if ahead else ""


def view(situation: Situation) -> ClusterStatus:
    """The whole snapshot."""
    absent = away(situation)
    return ClusterStatus(
        rows=_rows(situation),
        serves=not situation.why_not,
        why_not=situation.why_not,
        why_behind=why_behind(situation),
        writable=situation.writable,
        most_copies=situation.most_copies,
        all_in_sync=not absent and not any(holes for _, holes in holes_of(situation)),
        degraded=_degraded(situation),
        warnings=_warnings(situation),
        holes=tuple(
            HoleRow(
                broker=broker,
                origin=hole.origin,
                first=hole.first,
                last=hole.last,
                waiting=hole.waiting,
                unreadable=hole.unreadable,
            )
            for broker, holes in holes_of(situation)
            for hole in holes[: limits.HOLES_COUNT]
        ),
        away=tuple(peer.id or peer.address for peer in absent),
    )


def outline(situation: Situation) -> tuple[object, ...]:
    """What others act upon of a view, cheaply: when it changes, the view is worked out anew at once.

    The rest, such as lags and seconds, may be a moment old.
    """
    others = _others(situation)
    return (
        situation.why_not,
        situation.writable,
        why_behind(situation),
        situation.load,
        [peer.load for peer in others],
        situation.state.holes.all,
        tuple(situation.state.members.addresses.items()),
        [(peer.id, peer.address, peer.state, peer.in_sync, peer.serves, peer.primary, peer.holes) for peer in others],
        [peer.address for peer in others if _may_know_more(peer)],
    )


def away(situation: Situation) -> list[PeerFacts]:
    """The members that may know more than this broker."""
    return [peer for peer in _others(situation) if _may_know_more(peer)]


def _may_know_more(peer: PeerFacts) -> bool:
    """Say whether `peer` may have told others that it holds what is not held here."""
    return not peer.current or peer.has_more


def holes_of(situation: Situation) -> list[tuple[str, tuple[Hole, ...]]]:
    """By broker id, the holes of this broker and of the others as they last said."""
    return [(situation.identity.id, situation.state.holes.all), *((peer.id, peer.holes) for peer in _others(situation))]


def is_primary(situation: Situation) -> bool:
    """Say whether clients go to this broker first."""
    return _choose_primary(situation, _others(situation)) == situation.identity.id


def row_of(situation: Situation, broker: str) -> BrokerStatus:
    """The row of one broker, also of one that is no member any more."""
    row = next((row for row in _rows(situation) if row.id == broker), None)
    return row or BrokerStatus(
        id=broker, ip=situation.state.members.addresses.get(broker, ""), is_primary=False, state="down", lag=0
    )


def _others(situation: Situation) -> list[PeerFacts]:
    """The peers that matter: members, and those that may become members. One that left does not."""
    members = situation.state.members
    chosen: dict[str, PeerFacts] = {}
    for peer in situation.peers:
        key = peer.id or members.whose(peer.address) or peer.address  # one that moved is still the same
        if key not in chosen or peer.in_sync:
            chosen[key] = peer
    return [peer for key, peer in chosen.items() if key in members or not members.ever(key)]


def _rows(situation: Situation) -> tuple[BrokerStatus, ...]:
    me, others = situation.identity, _others(situation)
    primary = _choose_primary(situation, others)
    state = "up" if not (situation.why_not or why_behind(situation)) else "catching-up" if situation.belongs else "down"
    mine = BrokerStatus(
        id=me.id,
        ip=me.address,
        is_primary=me.id == primary,
        state=state,
        lag=0,
        self=True,
        streams=situation.load.streams,
        streams_limit=situation.load.limit,
    )
    rows = [mine]
    rows += [_row(situation, peer, primary) for peer in others]
    return tuple(sorted(rows, key=lambda row: _order(row.id)))


def _choose_primary(situation: Situation, others: Collection[PeerFacts]) -> str | None:
    """The id of the broker to which clients go first: of those that are up one that was started as the primary, if there is."""
    me = situation.identity
    living = {_id_of(situation, peer): peer.primary for peer in others if _state_of(peer) == "up"}
    if not (situation.why_not or why_behind(situation)):
        living[me.id] = me.primary
    return min([name for name, is_started_so in living.items() if is_started_so] or living, key=_order, default=None)


def _state_of(peer: PeerFacts) -> str:
    """How a peer is shown: it is up when it is in sync and serves."""
    if peer.state in _REACHED:
        return "up" if peer.in_sync and peer.serves else "catching-up"
    return peer.state


def _id_of(situation: Situation, peer: PeerFacts) -> str:
    return peer.id or situation.state.members.whose(peer.address)


def _row(situation: Situation, peer: PeerFacts, primary: str | None) -> BrokerStatus:
    seconds = None if peer.heard is None else round(situation.now.clock - peer.heard, 1)
    broker = _id_of(situation, peer)
    return BrokerStatus(
        id=broker,
        ip=peer.address,
        is_primary=broker == primary,
        state=_state_of(peer),
        lag=situation.state.log.count_lacking(peer.holds),
        detail=peer.detail,
        seconds=seconds,
        down_since=peer.down_since,
        streams=peer.load.streams,
        streams_limit=peer.load.limit,
        phi=peer.phi,
    )


def _order(name: str) -> tuple[int, str]:
    return len(name), name


def _name_of(situation: Situation, peer: PeerFacts) -> str:
    broker = _id_of(situation, peer)
    return f"broker {broker}, {peer.address}," if broker else peer.address


def clocks_apart(situation: Situation) -> list[PeerFacts]:
    """The peers that are reached and whose clock differs from this broker's by `limits.CLOCK_APART_SECONDS` or more."""
    apart = limits.CLOCK_APART_SECONDS * 1000
    return [peer for peer in _others(situation) if peer.state in _REACHED and abs(peer.ahead) >= apart]


def _clocks(situation: Situation) -> list[str]:
    """What is wrong with clocks."""
    reasons = [
        conditions.CLOCKS_APART.say(peer=peer.id, span=span(peer.ahead), way="ahead of" if peer.ahead > 0 else "behind")
        for peer in clocks_apart(situation)
    ]
    if situation.wall_jump:
        way = "ahead" if situation.wall_jump > 0 else "back"
        reasons.append(conditions.CLOCK_SET.say(span=span(situation.wall_jump), way=way))
    if situation.retention_behind >= situation.identity.retention_seconds * 1000 and is_primary(situation):
        reasons.append(conditions.RETENTION_WAITS.say(span=span(situation.retention_behind)))
    return reasons


def _degraded(situation: Situation) -> tuple[str, ...]:
    """What is wrong, in the sentences of `core.model.conditions`."""
    others = _others(situation)
    reasons = [
        condition.say(peer=peer.address, why=peer.detail)
        for peer in others
        if (condition := conditions.OF_STATE.get(peer.state)) is not None
    ]
    copies = situation.most_copies
    gets = f"a publish gets {copies} {'copy' if copies == 1 else 'copies'}"
    for peer in others:
        name = _name_of(situation, peer)
        if peer.state == "down" and peer.down_since is not None:
            reasons.append(conditions.PEER_DOWN.say(peer=name, since=rfc3339(peer.down_since), why=peer.detail, copies=gets))
        if situation.identity.compacts and peer.away_seconds >= situation.identity.away_seconds:
            reasons.append(conditions.PEER_LONG_AWAY.say(peer=name, span=span(int(peer.away_seconds * 1000))))
        elif peer.state in _REACHED and peer.lacks_void and not peer.knows_voids:
            reasons.append(conditions.PEER_OLD.say(peer=name))
        elif peer.state in _REACHED and not peer.writable:
            reasons.append(conditions.PEER_DISK_FULL.say(peer=name, copies=gets))
        if peer.state in _REACHED and not peer.reaches_us:
            reasons.append(conditions.NOT_REACHED.say(peer=name, address=situation.identity.address))
    reasons += [conditions.STALE.say(peer=peer.address) for peer in others if not peer.caught_up and not peer.untried]
    reasons += _clocks(situation)
    if not situation.writable:
        reasons.append(conditions.DISK_FULL.say(where=" at another broker" if why_behind(situation) else ""))
    if situation.lacks_room is not None:
        writes, room = (f"{count // 2**20} MiB" for count in situation.lacks_room)
        reasons.append(conditions.DISK_CRAMPED.say(writes=writes, room=room))
    for broker, holes in holes_of(situation):
        reasons += [_hole_reason(situation, broker, hole) for hole in holes[: limits.HOLES_SHOWN_COUNT]]
        if len(holes) > limits.HOLES_SHOWN_COUNT:
            reasons.append(conditions.MORE_HOLES.say(broker=broker, count=len(holes) - limits.HOLES_SHOWN_COUNT))
    if situation.damage and not situation.state.holes.all and not (others and all(peer.caught_up for peer in others)):
        places = f"{situation.damage} place{'' if situation.damage == 1 else 's'}"
        reasons.append(conditions.DAMAGE.say(places=places))
    if len(situation.state.vector) > limits.VECTOR_ALARM_ENTRIES:
        reasons.append(conditions.LONG_VECTOR.say(count=len(situation.state.vector), most=limits.VECTOR_ALARM_ENTRIES))
    return tuple(reasons)


def _warnings(situation: Situation) -> tuple[str, ...]:
    """What may be wrong soon, in the same sentences."""
    return tuple(
        conditions.PEER_SUSPICIOUS.say(
            peer=_name_of(situation, peer), silence=f"{peer.silence[0]:.2g}", usual=f"{peer.silence[1]:.2g}", phi=peer.phi
        )
        for peer in _others(situation)
        if peer.phi >= SUSPICIOUS and peer.state in _REACHED
    )


def _hole_reason(situation: Situation, broker: str, hole: Hole) -> str:
    return conditions.HOLE.say(
        file="the ops file" if broker == situation.identity.id else f"broker {broker}: its ops file",
        hole=hole,
        lack="cannot be read" if hole.unreadable else "is missing",
        behind=f", {hole.waiting} more wait behind it" if hole.waiting else "",
    )
