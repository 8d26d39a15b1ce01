"""What a broker knows of itself and of the others: the data that peering, membership, receipts and the roster share.

Owned by the broker core; each of those changes its own part of it. Actions gather in `actions` until the step ends.
"""

from __future__ import annotations

from newswire.core import limits
from newswire.core.broker.events import Action, Connect, Disconnect, Done, Header, Now, Reply
from newswire.core.broker.replication import Peer
from newswire.core.broker.stager import Intake
from newswire.core.broker.values import BrokerStatus, Identity
from newswire.core.state.fold import State
from newswire.errors import NewswireError


class Cluster:
    """See above. `id`: of the cluster; `settled`: fixed for good, and on disk (rules, CLUSTER ID)."""

    def __init__(self, identity: Identity, state: State, id: str, *, settled: bool) -> None:
        self.identity, self.state, self.id, self.settled = identity, state, id, settled
        self.settling = False  # the id goes to the disk with the batch that gathers
        self.minted = not settled  # by this run: the id is nobody else's
        self.heard_settled = False  # another broker has settled on this id
        self.turn = 0  # how often this run has taken another's id
        self.intake = Intake(state, identity.origin, identity.subscriptions_per_user)
        self.peers: dict[str, Peer] = {}  # by address
        self.catching_up: set[str] = set()  # addresses of peers that may know more and have not handed it over
        self.own_addresses = {identity.address}
        self.started = 0.0  # on `Now.clock`
        self.began = False  # this run's `began` is on disk
        self.writable = True  # the disk has room
        self.leaving = False  # an operator asked this broker to leave
        self.damage = 0  # places in the ops file that were damaged at the start, and do not tell what was there
        self.wall = 0  # ms: the time of day of this step
        self.wall_jump = 0  # ms by which this broker's clock was set within the last hour
        self.retention_behind = 0  # ms by which retention's clock is behind the wall clock
        self.actions: list[Action] = []

    def told(self) -> set[str]:
        """The addresses of the others that this broker was told of: configured ones, and those of members."""
        members, me = self.state.members, self.identity.id
        joined = (address for broker, address in members.addresses.items() if broker in members and broker != me)
        return {*self.identity.peers, *joined} - self.own_addresses

    def told_names(self) -> tuple[str, ...]:
        """The ids of those; the address of one that has not answered yet. None any more when the id is settled."""
        if self.settled:
            return ()
        members = self.state.members
        names = {(self.peers[a].id if a in self.peers else "") or members.whose(a) or a for a in self.told()}
        if len(names) > limits.TOLD_COUNT:
            return ("...",)  # nobody has that name, so nobody founds a cluster on this
        return tuple(sorted(names))

    def is_told_of(self, broker: str, address: str) -> bool:
        """Say whether this broker was told of another one, by this address or by one under which it answers."""
        return address in self.told() or broker in self.told_names()

    def yields_to(self, header: Header) -> bool:
        """Say whether this broker takes the cluster id of the sender, which has another one, for its own.

        One that holds nothing takes anybody's. One that had to serve before ids were settled, an empty disk beside peers that
        were down, takes that of those it was told of: what it acknowledged meanwhile joins the rest.
        """
        knows = self.is_told_of(header.broker, header.address)
        if self.settled or self.settling or not (self.holds_nothing or knows):
            return False
        if header.settled or header.has_ops == self.holds_nothing:
            return header.settled or header.has_ops
        known = not {self.identity.id, self.identity.address}.isdisjoint(header.told)
        return header.cluster < self.id if knows == known else knows  # where one knows of the other, that one yields

    def adopt(self, header: Header, now: Now) -> None:
        """Take the cluster id of the sender, and let all others know soon."""
        self.id, self.heard_settled, self.minted = header.cluster, header.settled, False
        self.turn += 1
        for peer in self.peers.values():
            peer.next_at = now.clock

    @property
    def may_settle(self) -> bool:
        """Whether the id may be fixed: another has settled on it, or nobody can be about to settle on another one.

        That is when all of whom this broker was told have answered under it since it was taken, and were told of this broker,
        and of nobody of whom this one was not.
        """
        if self.settled or self.settling:
            return False
        told = self.told()
        if self.heard_settled or not told:
            return self.heard_settled or self.minted
        names, me = {*self.told_names(), self.identity.id}, self.identity.id
        agreed = [peer.agreed for address in told if (peer := self.peers.get(address)) and peer.agreed_turn == self.turn]
        return len(agreed) == len(told) and all(me in known and names.issuperset(known) for known in agreed)

    @property
    def holds_nothing(self) -> bool:
        """Whether there are no ops here but `began`."""
        return len(self.state.log) == len(self.state.log.names)

    def in_sync(self) -> dict[str, Peer]:
        """The peers whose copies count, by broker id: members (all, while nobody is one) that are in sync."""
        members = self.state.members
        anybody = members.anybody()
        return {
            peer.id: peer
            for peer in self.peers.values()
            if peer.in_sync and peer.id != self.identity.id and (not anybody or peer.id in members)
        }

    def most_copies(self) -> int:
        """The brokers that would hold a publish taken now: this one, and who is in sync and has room."""
        return 1 + sum(peer.writable for peer in self.in_sync().values())

    def connect(self, address: str, now: Now) -> Peer:
        """Open a link; its first push is due at once."""
        peer = self.peers[address] = Peer(address, now.clock, self.state.lineage)
        self.actions.append(Connect(address))
        return peer

    def disconnect(self, peer: Peer) -> None:
        """Close a link."""
        del self.peers[peer.address]
        self.catching_up.discard(peer.address)
        self.actions.append(Disconnect(peer.address))

    def reply(self, token: object | None, result: Done | BrokerStatus | NewswireError) -> None:
        """Tell whoever waits under `token`, if somebody does."""
        if token is not None:
            self.actions.append(Reply(token, result))
