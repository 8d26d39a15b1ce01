"""What brokers say to each other: pushes, their answers, whose ops are taken (docs/rules.md, PUSH and CLUSTER ID)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.broker.cluster import Cluster
from newswire.core.broker.events import Answer, Answered, Failed, Header, HungUp, Now, Received, Send
from newswire.core.broker.membership import Membership
from newswire.core.broker.replication import Peer, holds_all_of, knows_all_of, understand
from newswire.core.model.ops import NotAnOp
from newswire.core.model.vector import FullVector
from newswire.errors import BadRequest, NewswireError, Refused

_STATE_OF: Final[Mapping[str, str]] = {
    # what a refusal (its code) makes of a peer
    "other-cluster": "other-cluster",
    "id-in-use": "id-in-use",
    "unauthenticated": "peer-auth-failed",
}
_CODE_OF: Final = {state: code for code, state in _STATE_OF.items()}


class Peering:
    """Both ends of every link of this broker. Commit thread only."""

    def __init__(self, cluster: Cluster, membership: Membership) -> None:
        self._cluster, self._membership = cluster, membership
        self._to_answer: list[tuple[object, Header]] = []

    # -- as the receiver of a push ------------------------------------------------------------------------------

    def received(self, event: Received, now: Now) -> None:
        """A push came: take what is next of its origin; it is answered when that is stored."""
        header = event.header
        refusal = self._objection(header, now)
        if refusal is None and not self._cluster.writable and event.raws:
            refusal = ("storage-full", "the disk of this broker is full")
        raws = event.raws if header.cluster == self._cluster.id else ()
        if refusal is None and not self._take_all(raws):
            refusal = ("bad-body", "the push holds something that is no operation")
        if refusal is not None:
            self._refuse(event.token, header, *refusal)
            return
        self._hear(header, now)
        self._to_answer.append((event.token, header))

    def answer(self) -> None:
        """After the sync: the vector, and ops that the pusher lacks and our own link to it cannot bring."""
        for token, header in self._to_answer:
            holds, ask = understand(self._cluster.state.lineage, header)
            answer = self._header(header.number, header.address, tell=header.ask, ask=ask)
            self._cluster.actions.append(Answer(token, answer, () if ask else self._rows_for(header, holds)))
        self._to_answer = []

    def unstored(self, error: NewswireError) -> None:
        """What was pushed could not be stored, for this reason."""
        for token, header in self._to_answer:
            self._refuse(token, header, error.code, error.detail)
        self._to_answer = []

    def _hear(self, header: Header, now: Now) -> None:
        peer = self._cluster.peers.get(header.address)
        if peer is None:
            return
        restarted = peer.origin != header.origin
        peer.met(header, self._cluster.state, now.clock)
        peer.ahead = header.wall - now.wall if header.wall else 0
        if restarted or peer.state not in ("up", "catching-up"):
            peer.next_at = now.clock  # it lives: say hello now, not at the next heartbeat

    def _rows_for(self, header: Header, holds: FullVector) -> Sequence[int]:
        peer = self._cluster.peers.get(header.address)
        if not header.want or (peer is not None and peer.in_sync):
            return ()
        log, most = self._cluster.state.log, min(header.want, limits.PUSH_OPS)
        rows = log.lacking(holds, most, limits.PUSH_BYTES)
        return rows if peer is None else peer.with_healing(self._cluster.state, rows, most, limits.PUSH_BYTES)

    def _refuse(self, token: object, header: Header, code: str, detail: str) -> None:
        answer = msgspec.structs.replace(self._header(header.number, header.address), code=code, detail=detail)
        self._cluster.actions.append(Answer(token, answer, ()))

    # -- as the pusher ------------------------------------------------------------------------------------------

    def push(self, now: Now) -> None:
        """Send what peers lack; not while something is staged: it can go along in a moment."""
        cluster = self._cluster
        for peer in cluster.peers.values():
            if cluster.began and not cluster.intake.staged and peer.is_due(cluster.state, now.clock):
                rows = peer.rows(cluster.state)
                peer.turn = cluster.turn
                number = peer.sending(cluster.state, rows, now, cluster.identity.heartbeat)
                want = limits.PUSH_OPS if cluster.writable else 0
                header = self._header(number, peer.address, tell=peer.tell, ask=peer.ask, want=want)
                cluster.actions.append(Send(peer.address, header, rows))

    def answered(self, event: Answered, now: Now) -> None:
        """The answer to the push in flight: the proof of a copy, and perhaps ops."""
        cluster, header = self._cluster, event.header
        peer = cluster.peers.get(event.address)
        if peer is None or not peer.in_flight or header.number != peer.number:
            return
        if header.broker == cluster.identity.id and header.origin == cluster.identity.origin:
            self._found_myself(peer)
            return
        code, detail = (header.code, header.detail) if header.code else self._objection(header, now) or ("", "")
        if not code and header.cluster == cluster.id and peer.turn == cluster.turn:
            peer.agreed_turn, peer.agreed = cluster.turn, header.told
        if not code and not self._take_all(event.raws if header.cluster == cluster.id else ()):
            code, detail = "bad-body", "the answer holds something that is no operation"
        if code:
            self._link_failed(peer, _STATE_OF.get(code, "down"), detail, now, code)
            return
        peer.answered(header, cluster.state, now.clock)
        peer.ahead = header.wall - now.wall if header.wall else 0
        self._go_on(peer, progress=bool(event.raws), now=now)

    def hung_up(self, event: HungUp, now: Now) -> None:
        """The peer closed its connection: say hello now, to find out at once whether it is dead."""
        peer = self._cluster.peers.get(event.address)
        if peer is not None and not peer.in_flight:
            peer.next_at = now.clock

    def failed(self, event: Failed, now: Now) -> None:
        """The push in flight got no usable answer."""
        peer = self._cluster.peers.get(event.address)
        if peer is not None and peer.in_flight and event.number == peer.number:
            self._link_failed(peer, event.state, event.detail, now, _CODE_OF.get(event.state, "unreachable"))

    def look_around(self, now: Now) -> None:
        """Note who is late and counts no more, and who has handed over what it held when first met after the start.

        Both count each other's copies before this broker serves: so the first publish has two, whichever of them takes it.
        """
        patient_until = self._cluster.started + limits.CATCH_UP_PATIENCE_SECONDS
        for peer in self._cluster.peers.values():
            if peer.is_late(now.clock):
                peer.in_sync = False
            if peer.in_sync and not peer.is_fresh(now, self._cluster.identity.heartbeat):
                peer.next_at = min(peer.next_at, now.clock)
            if peer.state in ("up", "catching-up"):
                peer.down_since = None
            elif peer.down_since is None and not peer.is_untried:
                peer.down_since = now.wall
            if peer.target is not None and holds_all_of(self._cluster.state, peer.target):
                peer.caught_up, peer.target = True, None
            if peer.caught_up and peer.in_sync and (peer.counts_us or now.clock >= patient_until):
                self._cluster.catching_up.discard(peer.address)

    def _go_on(self, peer: Peer, *, progress: bool, now: Now) -> None:
        """After a good answer: what it means for catching up, and for operators who wait for this broker."""
        if not peer.caught_up and peer.target is None:
            peer.target = peer.vector
        behind = not knows_all_of(self._cluster.state, peer)
        if progress and behind:
            peer.next_at = now.clock  # fetch the rest with the next answers
        elif peer.address in self._cluster.catching_up and behind:
            peer.next_at = min(peer.next_at, now.clock + limits.CATCH_UP_SECONDS)
        self._membership.met(peer, now)

    def _link_failed(self, peer: Peer, state: str, detail: str, now: Now, code: str) -> None:
        peer.failed(state, detail, now.clock, self._cluster.identity.heartbeat)
        if state != "id-in-use":
            self._cluster.catching_up.discard(peer.address)
        if code == "unreachable":
            detail += ": is a broker running there, and is this the address that it gives others (--advertise)?"
        self._membership.refused(peer, Refused(f"{peer.address}: {detail}", code=code))

    def _found_myself(self, peer: Peer) -> None:
        """A configured peer is this very broker under another name."""
        self._cluster.own_addresses.add(peer.address)
        self._membership.refused(peer, BadRequest("this address is the broker's own: name another one", code="bad-address"))
        if peer.address in self._cluster.peers:
            self._cluster.disconnect(peer)

    # -- both ---------------------------------------------------------------------------------------------------

    def _objection(self, header: Header, now: Now) -> tuple[str, str] | None:
        """Why no ops are exchanged with this sender (code, sentence); None when they are. May adopt its cluster id."""
        found = self._same_id(header, now)
        if found:
            return "id-in-use", f"broker id {header.broker} is in use at {found}: start the other one with another --id"
        cluster = self._cluster
        if header.cluster == cluster.id:
            cluster.heard_settled |= header.settled
            return None
        if cluster.yields_to(header):
            cluster.adopt(header, now)
            if header.settled or (cluster.holds_nothing and header.has_ops):
                self._membership.fetch_from(header.address, now)
            return None
        if not header.settled:
            return None  # it adopts ours from the answer
        return "other-cluster", (
            f"this broker belongs to another cluster ({cluster.id[:8]}, not {header.cluster[:8]}):"
            " to join it, start the other broker with an empty ops directory"
        )

    def _same_id(self, header: Header, now: Now) -> str:
        """Where another living process has the sender's broker id (H3); "" for nowhere."""
        identity = self._cluster.identity
        if header.broker == identity.id and header.origin != identity.origin:
            return identity.address
        silence = identity.heartbeat + limits.HEARTBEAT_GRACE_SECONDS
        for peer in self._cluster.peers.values():
            alive = peer.heard is not None and now.clock - peer.heard < silence
            if alive and peer.id == header.broker and peer.address != header.address and peer.origin != header.origin:
                return peer.address
        return ""

    def _take_all(self, raws: Sequence[bytes]) -> bool:
        try:
            for raw in raws:
                self._cluster.intake.take(raw)
        except NotAnOp:
            return False
        return True

    def _header(self, number: int, address: str, *, tell: int = 0, ask: int = 0, want: int = 0) -> Header:
        tell = min(tell, limits.ANCESTRY_MOST)
        began = self._cluster.state.lineage.tell(tell, limits.VECTOR_ENTRIES) if tell else {}
        cluster, identity = self._cluster, self._cluster.identity
        peer = cluster.peers.get(address)
        return Header(
            broker=identity.id,
            address=identity.address,
            origin=identity.origin,
            cluster=cluster.id,
            settled=cluster.settled,
            has_ops=not cluster.holds_nothing,
            told=cluster.told_names(),
            primary=identity.primary,
            serves=not status.why_not(cluster),
            number=number,
            vector=dict(cluster.state.vector),
            began=began,
            more=tell <= len(began) < min(len(cluster.state.lineage), limits.ANCESTRY_MOST),
            ask=ask,
            writable=cluster.writable,
            counts=peer is not None and peer.in_sync,
            want=want,
            holes=cluster.state.holes[: limits.HOLES_COUNT],
            waits=cluster.state.waits,
            wall=max(0, min(cluster.wall, limits.TIME_MILLISECONDS)),
        )
