"""Brokers join and leave at run time, by `joined` and `left` ops that tell all others (docs/rules.md, LEAVE and REMOVE)."""

from __future__ import annotations

from collections.abc import Iterable

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.broker.cluster import Cluster
from newswire.core.broker.events import Join, Leave, Now
from newswire.core.broker.receipts import Receipts, Waiting
from newswire.core.broker.replication import Peer, knows_all_of
from newswire.core.broker.stager import Decided
from newswire.core.model.ops import Joined, Left, Op
from newswire.errors import BadRequest, NewswireError, NotFound, Refused


class Membership:
    """Turns an operator's wish, or a first meeting, into ops, and keeps a link to every broker that ever joined."""

    def __init__(self, cluster: Cluster, receipts: Receipts) -> None:
        self._cluster, self._receipts = cluster, receipts
        self._me, self._members = cluster.identity, cluster.state.members

    # -- operators ----------------------------------------------------------------------------------------------

    def join(self, event: Join, now: Now) -> None:
        """ADD: say hello to the broker first; what it answers decides (`met`, `refused`)."""
        cluster, address = self._cluster, event.address
        if address in cluster.own_addresses:
            self._join_again(event, now)
            return
        if address not in cluster.peers and len(self._needed_links()) >= limits.PEERS_COUNT:
            detail = f"{limits.PEERS_COUNT} peers are the most: remove one first"
            cluster.reply(event.token, Refused(detail, code="too-many"))
            return
        peer = cluster.peers.get(address) or cluster.connect(address, now)
        peer.joins.append((event.token, event.until))
        peer.next_at = now.clock

    def leave(self, event: Leave, now: Now) -> None:
        """REMOVE, or LEAVE where it is this broker."""
        broker = status.resolve(self._cluster, event.broker)
        if broker is None:
            detail = f"{event.broker} is no broker of this cluster: GET /list_replicas lists them, with their addresses"
            self._cluster.reply(event.token, NotFound(detail, code="no-broker"))
            return
        if broker == self._me.id:
            if not self._cluster.in_sync():
                detail = "no other broker is in sync, so this one may not leave: its messages would be nowhere else"
                self._cluster.reply(event.token, Refused(detail, code="last-broker"))
                return
            if self._cluster.state.waiting:
                detail = "what waits behind damage here may be nowhere else, so this broker may not leave: close its hole first"
                self._cluster.reply(event.token, Refused(detail, code="last-broker"))
                return
            self._cluster.leaving = True
        op = self._cluster.intake.stamp(Left("", 0, 0, broker, self._members.ids(broker)), now.wall)
        self._receipts.wait(Waiting(event.token, _only(op), row_of=broker))

    # -- what links find ----------------------------------------------------------------------------------------

    def met(self, peer: Peer, now: Now) -> None:
        """A peer answered: whoever waits for it to join gets it."""
        joins, peer.joins = peer.joins, []
        for token, until in joins:
            self._add(peer, token, until, now)

    def refused(self, peer: Peer, error: NewswireError) -> None:
        """A peer cannot join, for this reason; a link that only this needed is closed."""
        joins, peer.joins = peer.joins, []
        for token, _ in joins:
            self._cluster.reply(token, error)
        if joins and peer.address not in self.wanted_links():
            self._cluster.disconnect(peer)

    def give_up(self, now: Now) -> None:
        """Refuse those that nobody could be met for in time: who only drips must not keep a link, nor others out."""
        for peer in list(self._cluster.peers.values()):
            if any(until and now.clock >= until for _, until in peer.joins):
                detail = f"{peer.address}: no whole answer in time: is a broker running there?"
                self.refused(peer, Refused(detail, code="unreachable"))

    def introduce(self, now: Now) -> None:
        """Become a member: once a peer has been met, if this broker never was one, or where its address changed."""
        cluster, me, members = self._cluster, self._me, self._members
        if cluster.leaving or not cluster.began or not cluster.writable or cluster.catching_up or cluster.intake.staged:
            return
        moved = me.id in members and members.addresses[me.id] != me.address
        met = any(peer.in_sync and knows_all_of(cluster.state, peer) for peer in cluster.peers.values())
        if moved or (met and not members.ever(me.id)):
            self._stamp(me.id, me.address, now)

    def fetch_from(self, address: str, now: Now) -> None:
        """This broker holds nothing and has found a cluster that does: serve when the one at `address` has handed it over."""
        if address not in self._cluster.peers:
            if len(self._cluster.peers) >= limits.PEERS_COUNT:
                return  # somebody names one cluster after another: no more threads for that
            self._cluster.connect(address, now)
        self._cluster.catching_up.add(address)

    # -- links --------------------------------------------------------------------------------------------------

    def wanted_links(self) -> list[str]:
        """Where to push to, at most `PEERS_COUNT`: who is needed, then who was removed, the last that joined first.

        A removed broker may come back with ops that nobody else has, so it is pushed to as well, while there is room.
        """
        needed = self._needed_links()
        members, me = self._members, self._me.id
        removed = (address for broker, address in reversed(members.addresses.items()) if broker not in members and broker != me)
        return list(dict.fromkeys((*needed, *self._others(removed))))[: limits.PEERS_COUNT]

    def _needed_links(self) -> list[str]:
        """Configured peers, whom this broker fetches from or is to add, and members."""
        cluster, members = self._cluster, self._members
        joining = (peer.address for peer in cluster.peers.values() if peer.joins)
        joined = (address for broker, address in members.addresses.items() if broker in members and broker != self._me.id)
        return self._others((*self._me.peers, *sorted(cluster.catching_up), *joining, *joined))

    def _others(self, addresses: Iterable[str]) -> list[str]:
        return [address for address in dict.fromkeys(addresses) if address not in self._cluster.own_addresses]

    def arrange_links(self, now: Now) -> None:
        """Open links to brokers that joined, close those to addresses that nobody has any more."""
        wanted = self.wanted_links()
        for peer in list(self._cluster.peers.values()):
            if peer.address not in wanted and not peer.joins:
                self._cluster.disconnect(peer)
        for address in wanted:
            if address not in self._cluster.peers:
                self._cluster.connect(address, now)

    # -- ops ----------------------------------------------------------------------------------------------------

    def _join_again(self, event: Join, now: Now) -> None:
        """This very broker is to be added: back, if it was removed."""
        if self._me.id in self._members or not self._members.anybody():
            detail = "this address is the broker's own: name another one"
            self._cluster.reply(event.token, BadRequest(detail, code="bad-address"))
            return
        op = self._stamp(self._me.id, self._me.address, now)
        self._receipts.wait(Waiting(event.token, _only(op), until=event.until, row_of=self._me.id))

    def _add(self, peer: Peer, token: object, until: float, now: Now) -> None:
        me, members = self._me, self._members
        if peer.id in members and members.addresses[peer.id] == peer.address and me.id in members:
            self._cluster.reply(token, status.row_of(self._cluster, peer.id, now))
            return
        if not members.ever(me.id) or not members.anybody():  # while nobody is a member all serve; who is asked stays
            self._stamp(me.id, me.address, now)
        op = self._stamp(peer.id, peer.address, now)
        self._receipts.wait(Waiting(token, _only(op), until=until, row_of=peer.id))

    def _stamp(self, broker: str, address: str, now: Now) -> Op:
        return self._cluster.intake.stamp(Joined("", 0, 0, broker, address, self._members.ids(broker)), now.wall)


def _only(op: Op) -> Decided:
    return Decided((op.id,), {op.origin: op.sequence})
