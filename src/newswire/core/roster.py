"""The cluster as one broker sees it, for people, health checks and clients: rows, who is primary, who serves (API.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from newswire.core import limits
from newswire.core.members import Row, View
from newswire.core.replication import Peer, holds_all_of

if TYPE_CHECKING:
    from newswire.core.broker import Broker
    from newswire.core.events import Now

_REACHED = ("up", "catching-up")


def why_not(broker: Broker) -> str:
    """Why `broker` does not serve clients now, in a sentence; "" when it does."""
    members = broker.state.members
    if broker.leaving:
        return "this broker is leaving the cluster: use another one"
    if not broker.began:
        return "this broker is starting: try again in a moment, or use another one"
    if members.anybody() and members.ever(broker.identity.id) and broker.identity.id not in members:
        return "this broker was removed from the cluster: use another one, or add it again"
    refused = [peer for peer in broker.peers.values() if peer.state == "id-in-use" and not peer.caught_up]
    if refused:
        return refused[0].detail
    if broker.catching_up:
        return f"this broker is catching up with {', '.join(sorted(broker.catching_up))}: use that one for now"
    return ""


def view(broker: Broker, now: Now) -> View:
    """The whole snapshot."""
    reason = why_not(broker)
    away = [peer for peer in _others(broker) if not _knows_no_more(broker, peer, now)]
    return View(
        rows=_rows(broker, now),
        serves=not reason,
        why_not=reason,
        writable=broker.writable,
        most_copies=1 + len(broker.in_sync()),
        all_in_sync=not away,
        degraded=_degraded(broker),
    )


def _knows_no_more(broker: Broker, peer: Peer, now: Now) -> bool:
    """Say whether this broker holds all that `peer` may have told others it holds."""
    return peer.in_sync and not peer.is_late(now.clock) and holds_all_of(broker.state, peer.holds or {})


def is_primary(broker: Broker, now: Now) -> bool:
    """Say whether clients go to this broker first."""
    return any(row.self and row.is_primary for row in _rows(broker, now))


def resolve(broker: Broker, name: str) -> str | None:
    """The broker id of the member called `name`, an id or an address; None for no member."""
    members = broker.state.members
    if name in members:
        return name
    found = [member for member, address in members.addresses.items() if address == name and member in members]
    if name == broker.identity.address and broker.identity.id in members:
        return broker.identity.id
    return found[0] if found else None


def _others(broker: Broker) -> list[Peer]:
    """The peers that matter: members, and those that may be (not reached yet, or nobody is a member)."""
    members = broker.state.members
    chosen: dict[str, Peer] = {}
    for peer in broker.peers.values():
        if not peer.id or peer.id in members or not members.anybody():
            key = peer.id or _id_of(broker, peer.address) or peer.address
            if key not in chosen or peer.in_sync:
                chosen[key] = peer
    return [peer for key, peer in chosen.items() if not (members.ever(key) and key not in members)]


def _id_of(broker: Broker, address: str) -> str:
    """The id of the broker that joined with `address`: known before its link has reached it."""
    return next((name for name, known in broker.state.members.addresses.items() if known == address), "")


def _rows(broker: Broker, now: Now) -> tuple[Row, ...]:
    me = broker.identity
    mine = "up" if not why_not(broker) else "catching-up" if not broker.leaving else "down"
    starters = {me.id} if me.primary else set()
    rows = [Row(me.id, me.address, False, mine, 0, self=True)]
    for peer in _others(broker):
        if peer.primary:
            starters.add(peer.id)
        rows.append(_row(broker, peer, now))
    living = [row.id for row in rows if row.state == "up"]
    first = min([name for name in living if name in starters] or living, key=_order, default=None)
    rows = [msgspec.structs.replace(row, is_primary=row.id == first) for row in rows]
    return tuple(sorted(rows, key=lambda row: _order(row.id)))


def _row(broker: Broker, peer: Peer, now: Now) -> Row:
    state = peer.state
    if state in _REACHED:
        state = "up" if peer.in_sync and peer.serves else "catching-up"
    lag = broker.state.log.count_lacking(peer.holds or {})
    heard = None if peer.heard is None else round(now.clock - peer.heard, 1)
    return Row(peer.id or _id_of(broker, peer.address), peer.address, False, state, lag, detail=peer.detail, seconds=heard)


def _order(name: str) -> tuple[int, str]:
    return len(name), name


def _degraded(broker: Broker) -> tuple[str, ...]:
    others = _others(broker)
    reasons = [f"{peer.address}: {peer.state}: {peer.detail}" for peer in others if peer.state not in (*_REACHED, "down")]
    stale = [peer.id or peer.address for peer in others if not peer.caught_up]
    reasons += [f"may be stale: {name} has not been met since the start" for name in stale]
    if not broker.writable:
        reasons.append("the disk is full: publishing is refused, streams go on")
    waiting = sum(map(len, broker.state.waiting.values()))
    if waiting:
        reasons.append(f"the ops file is damaged: {waiting} records wait until a peer has brought what is missing before them")
    elif broker.damage and not all(peer.caught_up for peer in others):
        reasons.append(f"the ops file is damaged in {broker.damage} places: what is missing has to come from a peer")
    if len(broker.state.vector) > limits.VECTOR_ALARM_ENTRIES:
        reasons.append(f"the vector has {len(broker.state.vector)} entries, more than {limits.VECTOR_ALARM_ENTRIES}")
    return tuple(reasons)
