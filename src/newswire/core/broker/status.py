"""The cluster as one broker sees it (docs/http.md, Brokers): rows, who is primary, who serves."""

from __future__ import annotations

import msgspec

from newswire.core import limits
from newswire.core.broker.clock import span
from newswire.core.broker.cluster import Cluster
from newswire.core.broker.events import Now
from newswire.core.broker.replication import Peer, knows_all_of
from newswire.core.broker.values import BrokerStatus, ClusterStatus, HoleRow
from newswire.core.model.times import rfc3339
from newswire.core.state.holes import Hole

_REACHED = ("up", "catching-up")


def why_not(cluster: Cluster) -> str:
    """Why this broker does not serve clients now, in a sentence; "" when it does."""
    if cluster.leaving:
        return "this broker is leaving the cluster: use another one"
    if not cluster.began:
        return "this broker is starting: try again in a moment, or use another one"
    if _is_removed(cluster):
        return "this broker was removed from the cluster: use another one, or add it again"
    refused = [peer for peer in cluster.peers.values() if peer.state == "id-in-use" and not peer.caught_up]
    if refused:
        return refused[0].detail
    if cluster.catching_up:
        return f"this broker is catching up with {', '.join(sorted(cluster.catching_up))}: use that one for now"
    return ""


def why_behind(cluster: Cluster) -> str:
    """Why this broker gets no news now that another one could give its readers, in a sentence; "" when it gets all.

    A full disk takes nothing of what others bring: who reads here would wait in silence.
    """
    if cluster.writable:
        return ""
    ahead = [
        peer.id
        for peer in _others(cluster)
        if peer.state in _REACHED and peer.serves and peer.writable and not knows_all_of(cluster.state, peer)
    ]
    return f"the disk of this broker is full, and {ahead[0]} has what finds no room here: use that one for now" if ahead else ""


def _is_removed(cluster: Cluster) -> bool:
    members, me = cluster.state.members, cluster.identity.id
    return members.anybody() and members.ever(me) and me not in members


def view(cluster: Cluster, now: Now) -> ClusterStatus:
    """The whole snapshot."""
    reason = why_not(cluster)
    absent = away(cluster, now)
    return ClusterStatus(
        rows=_rows(cluster, now),
        serves=not reason,
        why_not=reason,
        why_behind=why_behind(cluster),
        writable=cluster.writable,
        most_copies=cluster.most_copies(),
        all_in_sync=not absent and not any(holes for _, holes in holes_of(cluster)),
        degraded=_degraded(cluster, now),
        holes=tuple(
            HoleRow(broker, hole.origin, hole.first, hole.last, hole.waiting, hole.unreadable)
            for broker, holes in holes_of(cluster)
            for hole in holes[: limits.HOLES_COUNT]
        ),
        away=tuple(peer.id or peer.address for peer in absent),
    )


def outline(cluster: Cluster, now: Now) -> tuple[object, ...]:
    """What others act upon of a view, cheaply: when it changes, the view is worked out anew at once.

    The rest, such as lags and seconds, may be a moment old.
    """
    return (
        why_not(cluster),
        cluster.writable,
        why_behind(cluster),
        cluster.state.holes,
        tuple(cluster.state.members.addresses.items()),
        [(peer.id, peer.address, peer.state, peer.in_sync, peer.serves, peer.primary, peer.holes) for peer in _others(cluster)],
        [peer.address for peer in away(cluster, now)],
    )


def away(cluster: Cluster, now: Now) -> list[Peer]:
    """The members that may know more than this broker."""
    return [peer for peer in _others(cluster) if not _knows_no_more(cluster, peer, now)]


def holes_of(cluster: Cluster) -> list[tuple[str, tuple[Hole, ...]]]:
    """By broker id, the holes of this broker and of the others as they last said."""
    return [(cluster.identity.id, cluster.state.holes), *((peer.id, peer.holes) for peer in _others(cluster))]


def _knows_no_more(cluster: Cluster, peer: Peer, now: Now) -> bool:
    """Say whether this broker holds all that `peer` may have told others it holds."""
    in_time = peer.in_sync and not peer.is_late(now.clock) and peer.is_fresh(now, cluster.identity.heartbeat)
    return in_time and knows_all_of(cluster.state, peer)


def is_primary(cluster: Cluster, now: Now) -> bool:
    """Say whether clients go to this broker first."""
    return any(row.self and row.is_primary for row in _rows(cluster, now))


def row_of(cluster: Cluster, broker: str, now: Now) -> BrokerStatus:
    """The row of one broker, also of one that is no member any more."""
    found = next((row for row in _rows(cluster, now) if row.id == broker), None)
    return found or BrokerStatus(broker, cluster.state.members.addresses.get(broker, ""), False, "down", 0)


def resolve(cluster: Cluster, name: str) -> str | None:
    """The broker id of the member called `name`, an id or an address; None for no member."""
    members = cluster.state.members
    if name in members:
        return name
    found = [member for member, address in members.addresses.items() if address == name and member in members]
    if name == cluster.identity.address and cluster.identity.id in members:
        return cluster.identity.id
    return found[0] if found else None


def _others(cluster: Cluster) -> list[Peer]:
    """The peers that matter: members, and those that may become members. One that left does not.

    Nor does one of which nothing is known but that somebody asked for it: it may be anybody's, or nobody's.
    """
    members = cluster.state.members
    chosen: dict[str, Peer] = {}
    for peer in cluster.peers.values():
        if peer.joins and not (members.whose(peer.address) or peer.address in (*cluster.identity.peers, *cluster.catching_up)):
            continue
        key = peer.id or members.whose(peer.address) or peer.address  # one that moved is still the same
        if key not in chosen or peer.in_sync:
            chosen[key] = peer
    return [peer for key, peer in chosen.items() if key in members or not members.ever(key)]


def _rows(cluster: Cluster, now: Now) -> tuple[BrokerStatus, ...]:
    me = cluster.identity
    behind = why_not(cluster) or why_behind(cluster)
    mine = "up" if not behind else "down" if cluster.leaving or _is_removed(cluster) else "catching-up"
    starters = {me.id} if me.primary else set()
    rows = [BrokerStatus(me.id, me.address, False, mine, 0, self=True)]
    for peer in _others(cluster):
        if peer.primary:
            starters.add(peer.id)
        rows.append(_row(cluster, peer, now))
    living = [row.id for row in rows if row.state == "up"]
    first = min([name for name in living if name in starters] or living, key=_order, default=None)
    rows = [msgspec.structs.replace(row, is_primary=row.id == first) for row in rows]
    return tuple(sorted(rows, key=lambda row: _order(row.id)))


def _row(cluster: Cluster, peer: Peer, now: Now) -> BrokerStatus:
    state = peer.state
    if state in _REACHED:
        state = "up" if peer.in_sync and peer.serves else "catching-up"
    lag = cluster.state.log.count_lacking(peer.holds)
    heard = None if peer.heard is None else round(now.clock - peer.heard, 1)
    broker = peer.id or cluster.state.members.whose(peer.address)
    return BrokerStatus(broker, peer.address, False, state, lag, detail=peer.detail, seconds=heard, down_since=peer.down_since)


def _order(name: str) -> tuple[int, str]:
    return len(name), name


def _name_of(cluster: Cluster, peer: Peer) -> str:
    broker = peer.id or cluster.state.members.whose(peer.address)
    return f"broker {broker}, {peer.address}," if broker else peer.address


def clocks_apart(cluster: Cluster) -> list[Peer]:
    """The peers that are reached and whose clock differs from this broker's by `limits.CLOCK_APART_SECONDS` or more."""
    apart = limits.CLOCK_APART_SECONDS * 1000
    return [peer for peer in _others(cluster) if peer.state in _REACHED and abs(peer.ahead) >= apart]


def latest(cluster: Cluster) -> int:
    """The latest time, in ms, that it may be by the clock of any broker that was heard of."""
    return cluster.wall + max([0, *(peer.ahead for peer in cluster.peers.values())])


def _clocks(cluster: Cluster, now: Now) -> list[str]:
    """What is wrong with clocks."""
    reasons = [
        f"the clock of {peer.id} is {span(peer.ahead)} {'ahead of' if peer.ahead > 0 else 'behind'} this broker's: use NTP"
        for peer in clocks_apart(cluster)
    ]
    if cluster.wall_jump:
        way = "ahead" if cluster.wall_jump > 0 else "back"
        reasons.append(
            f"the clock of this broker was set {span(cluster.wall_jump)} {way} within the last hour: see that it is right"
        )
    if cluster.retention_behind >= cluster.identity.retention_seconds * 1000 and is_primary(cluster, now):
        reasons.append(
            f"nothing is dropped for its age: the clock of this broker is {span(cluster.retention_behind)} ahead of what the"
            " brokers have run through; if it is right, restart this one with --trust-clock, or wait a week"
        )
    return reasons


def _degraded(cluster: Cluster, now: Now) -> tuple[str, ...]:
    others = _others(cluster)
    reasons = [f"{peer.address}: {peer.state}: {peer.detail}" for peer in others if peer.state not in (*_REACHED, "down")]
    copies = cluster.most_copies()
    gets = f"a publish gets {copies} {'copy' if copies == 1 else 'copies'}"
    for peer in others:
        if peer.state == "down" and peer.down_since is not None:
            reasons.append(f"{_name_of(cluster, peer)} is down since {rfc3339(peer.down_since)} ({peer.detail}): {gets}")
        elif peer.state in _REACHED and not peer.writable:
            reasons.append(f"the disk of {_name_of(cluster, peer)} is full: {gets}")
    stale = [peer.address for peer in others if not peer.caught_up and not peer.is_untried]
    reasons += [f"may be stale: {name} has not been met since the start" for name in stale]
    reasons += _clocks(cluster, now)
    if not cluster.writable:
        where = " at another broker" if why_behind(cluster) else ""
        reasons.append(f"the disk is full: publishing is refused, streams go on{where}")
    for broker, holes in holes_of(cluster):
        reasons += [_hole_reason(cluster, broker, hole) for hole in holes[: limits.HOLES_SHOWN_COUNT]]
        if len(holes) > limits.HOLES_SHOWN_COUNT:
            reasons.append(f"broker {broker} has {len(holes) - limits.HOLES_SHOWN_COUNT} more holes like these")
    if cluster.damage and not cluster.state.holes and not (others and all(peer.caught_up for peer in others)):
        reasons.append(
            f"the ops file is damaged in {cluster.damage} place{'' if cluster.damage == 1 else 's'}, and what was there cannot"
            " be told: another broker that has it brings it"
        )
    if len(cluster.state.vector) > limits.VECTOR_ALARM_ENTRIES:
        reasons.append(
            f"the vector has {len(cluster.state.vector)} entries, more than {limits.VECTOR_ALARM_ENTRIES}:"
            " it is shortened when there is room on the disk"
        )
    return tuple(reasons)


def _hole_reason(cluster: Cluster, broker: str, hole: Hole) -> str:
    whose = "the ops file" if broker == cluster.identity.id else f"broker {broker}: its ops file"
    behind = f", {hole.waiting} more wait behind it" if hole.waiting else ""
    lack = "cannot be read" if hole.unreadable else "is missing"
    return (
        f"{whose} is damaged: {hole} {lack}{behind}; another broker that has it brings it by itself, and if none has,"
        " `newswire accept-loss` shows what would be given up"
    )
