"""Which cluster a broker is of: how one id is found among brokers that start for the first time (docs/rules.md, CLUSTER ID)."""

from __future__ import annotations

from collections.abc import Mapping

from newswire.core import limits
from newswire.core.broker.events import FixClusterId, Header, Now, Offered
from newswire.core.broker.values import Announcement, Identity
from newswire.core.model.balance import Load
from newswire.errors import Refused


class ClusterId:
    """The id of the cluster, and whether it is fixed for good, and on disk (`settled`). Commit thread only.

    `peer_ids`, here: the others of whom this broker was told, by configuration or by an op: address -> id; the address again
    while the id is unknown.
    """

    def __init__(self, identity: Identity, id: str, *, settled: bool) -> None:
        self._me, self.id, self.settled = identity, id, settled
        self.turn = 0  # how often this run has taken another's id
        self._settling = False  # the id goes to the disk with the batch that gathers
        self._minted = not settled  # by this run: the id is nobody else's
        self._heard_settled = False  # another broker has settled on this id
        self._settle_at = 0.0  # not before: there was no room

    def names(self, peer_ids: Mapping[str, str]) -> tuple[str, ...]:
        """Of whom this broker was told, as its headers say it. Of nobody any more when the id is settled."""
        if self.settled:
            return ()
        if len(names := set(peer_ids.values())) > limits.TOLD_COUNT:
            return ("...",)  # nobody has that name, so nobody founds a cluster on this
        return tuple(sorted(names))

    def announce(
        self, peer_ids: Mapping[str, str], offered: Offered | None, *, serves: bool, writable: bool, wall: int, load: Load
    ) -> Announcement:
        """What headers say now."""
        return Announcement(
            cluster=self.id,
            settled=self.settled,
            turn=self.turn,
            told=self.names(peer_ids),
            serves=serves,
            writable=writable,
            wall=wall,
            load=load,
            offered=offered,
        )

    def take(self, header: Header, peer_ids: Mapping[str, str], *, has_ops: bool) -> bool:
        """Take what another broker says; True if its id was taken for our own. `has_ops`: this one holds more than `began`.

        Raises Refused (`other-cluster`): no ops are exchanged with that one.
        """
        if header.cluster == self.id:
            self._heard_settled |= header.settled
        elif self._yields_to(header, peer_ids, has_ops=has_ops):
            self.id, self._heard_settled, self._minted = header.cluster, header.settled, False
            self.turn += 1
            return True
        elif header.settled:
            raise Refused(
                f"broker {self._me.id} is of cluster {self.id[:8]}, and broker {header.broker} of {header.cluster[:8]}:"
                " one whose messages nobody wants joins the other when it is started with an empty ops directory",
                code="other-cluster",
            )
        return False  # of this cluster, or it adopts our id from the answer

    def _yields_to(self, header: Header, peer_ids: Mapping[str, str], *, has_ops: bool) -> bool:
        """Say whether this broker takes the id of the sender, which has another one, for its own.

        One that holds nothing takes anybody's. One that had to serve before ids were settled, an empty disk beside peers that
        were down, takes that of those it was told of: what it acknowledged meanwhile joins the rest.
        """
        knows = header.address in peer_ids or header.broker in self.names(peer_ids)
        if self.settled or self._settling or not (knows or not has_ops):
            return False
        if header.settled or header.has_ops != has_ops:
            return header.settled or header.has_ops
        knows_us = not {self._me.id, self._me.address}.isdisjoint(header.told)
        return header.cluster < self.id if knows == knows_us else knows  # where one knows of the other, that one yields

    def settle(self, peer_ids: Mapping[str, str], agreed: Mapping[str, tuple[str, ...]], now: Now) -> list[FixClusterId]:
        """Have the id fixed with the batch that gathers, if it may be.

        `agreed`: who has answered under it since it was taken: address -> of whom that one was told.
        """
        if not self._may_settle(peer_ids, agreed) or now.clock < self._settle_at:
            return []
        self._settling = True
        return [FixClusterId(self.id)]

    def _may_settle(self, peer_ids: Mapping[str, str], agreed: Mapping[str, tuple[str, ...]]) -> bool:
        """Say whether another has settled on this id, or nobody can be about to settle on another one.

        That is when all of whom this broker was told have answered under it since it was taken, and were told of this broker,
        and of nobody of whom this one was not.
        """
        if self.settled or self._settling:
            return False
        if self._heard_settled or not peer_ids:
            return self._heard_settled or self._minted
        names, me = {*self.names(peer_ids), self._me.id}, self._me.id
        others = [agreed[address] for address in peer_ids if address in agreed]
        return len(others) == len(peer_ids) and all(me in ids and names.issuperset(ids) for ids in others)

    def store(self) -> bool:
        """The batch is on disk; True if the id is settled by that."""
        settles, self._settling = self._settling, False
        self.settled |= settles
        return settles

    def fail(self, now: Now, *, named: bool) -> bool:
        """The batch is not on disk; True if the segment that names the id is all the same (`named`)."""
        self._settle_at = now.clock + limits.PUSH_AGAIN_SECONDS
        settles, self._settling = self._settling and named, False
        self.settled |= settles
        return settles
