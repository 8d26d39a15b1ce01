"""What a broker knows of itself and of the others: the data that peering, membership, receipts and the roster share.

Owned by the broker core; each of those changes its own part of it. Actions gather in `actions` until the step ends.
"""

from __future__ import annotations

import msgspec

from newswire.core import limits
from newswire.core.events import Action, Connect, Disconnect, Done, Now, Reply
from newswire.core.intake import Intake
from newswire.core.members import Row
from newswire.core.replication import Peer
from newswire.core.state import State
from newswire.errors import NewswireError


class Identity(msgspec.Struct, frozen=True):
    """Who this broker is in this run. `origin` is minted by the shell at every start and never continued (H1)."""

    id: str
    address: str
    origin: str
    primary: bool = False
    peers: tuple[str, ...] = ()
    heartbeat: float = limits.HEARTBEAT_SECONDS
    retention_seconds: float = limits.RETENTION_SECONDS
    retention_messages: int = limits.RETENTION_MESSAGES
    subscriptions_per_user: int = limits.SUBSCRIPTIONS_PER_USER
    trust_clock: bool = False  # an operator says that the clock is right: retention begins at it


class Cluster:
    """See above. `id`: of the cluster; `settled`: fixed for good, since more than `began` ops are held."""

    def __init__(self, identity: Identity, state: State, id: str, *, settled: bool) -> None:
        self.identity, self.state, self.id, self.settled = identity, state, id, settled
        self.intake = Intake(state, identity.origin, identity.subscriptions_per_user)
        self.peers: dict[str, Peer] = {}  # by address
        self.catching_up: set[str] = set()  # addresses of peers that may know more and have not handed it over
        self.own_addresses = {identity.address}
        self.started = 0.0  # on `Now.clock`
        self.met = False  # a peer of this cluster, in this run
        self.began = False  # this run's `began` is on disk
        self.writable = True  # the disk has room
        self.leaving = False  # an operator asked this broker to leave
        self.damage = 0  # places in the ops file that were damaged at the start, and do not tell what was there
        self.wall = 0  # ms: the time of day of this step
        self.wall_jump = 0  # ms by which this broker's clock was set within the last hour
        self.retention_behind = 0  # ms by which retention's clock is behind the wall clock
        self.actions: list[Action] = []

    def may_adopt(self, address: str) -> bool:
        """Whether this broker may take the cluster id of the one at `address` for its own.

        One that holds nothing takes anybody's. One that had to serve before it ever met a peer, an empty disk beside
        peers that were down, takes that of the peers it was told of: what it acknowledged meanwhile joins the rest.
        """
        return not self.settled and (self.holds_nothing or address in self.identity.peers)

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

    def reply(self, token: object | None, result: Done | Row | NewswireError) -> None:
        """Tell whoever waits under `token`, if somebody does."""
        if token is not None:
            self.actions.append(Reply(token, result))
