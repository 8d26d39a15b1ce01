"""What brokers say to each other: whom to push what and when, whose copies count (docs/rules.md, PUSH, HAVE, RECEIPT).

All that is known of peers is here, and only here it is changed; others get `PeerFacts`.

Longer than other rooms: whatever changes what is thought of a peer can be read in one place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.broker.events import WIRE, WIRE_LEAST, Answer, Connect, Disconnect, Header, Now, Offer, Send
from newswire.core.broker.offering import Offers, lacks_unreadable, lacks_void
from newswire.core.broker.peer import Peer, understand
from newswire.core.broker.values import Announcement, Identity, PeerFacts, ReplyTo
from newswire.core.model import times
from newswire.core.model.vector import FullVector, Vector
from newswire.core.state.fold import State
from newswire.errors import NewswireError, Refused

STATE_OF: Final[Mapping[str, str]] = {
    # what a refusal (its code) makes of a peer
    "other-cluster": "other-cluster",
    "id-in-use": "id-in-use",
    "other-version": "other-version",
    "unauthenticated": "peer-auth-failed",
}
CODE_OF: Final[Mapping[str, str]] = {  # what is said of a broker in such a state to who asks for it: he is authenticated
    state: state if code == "unauthenticated" else code for code, state in STATE_OF.items()
}
_REACHED: Final = ("up", "catching-up")


class Replication:
    """Both ends of every link of this broker. Commit thread only; reads the state, changes nothing of it."""

    def __init__(self, identity: Identity, state: State) -> None:
        self._me, self._state = identity, state
        self._peers: dict[str, Peer] = {}  # by address
        self._sources: set[str] = set()  # addresses of peers that may know more and have not handed it over
        self._to_answer: list[tuple[ReplyTo, Header]] = []
        self._patient_until = 0.0  # on `Now.clock`
        self._has_served = False  # in this run
        self._offers = Offers(identity.origin, state)

    # -- what others may know -----------------------------------------------------------------------------------

    @property
    def links(self) -> Collection[str]:
        """The addresses to which there are links."""
        return self._peers.keys()

    @property
    def sources(self) -> Collection[str]:
        """The addresses from which this broker fetches before it serves."""
        return self._sources

    def facts(self, now: Now) -> tuple[PeerFacts, ...]:
        """What is known of each peer."""
        counting, heartbeat = self._in_sync(), self._me.heartbeat
        return tuple(peer.facts(self._state, now, heartbeat, counts=peer in counting) for peer in self._peers.values())

    def ids(self) -> dict[str, str]:
        """The id of each peer by address, "" while it is unknown."""
        return {address: peer.id for address, peer in self._peers.items()}

    def in_sync(self) -> list[str]:
        """The ids of those whose copies count: members (all, while nobody is one) that are in sync."""
        return [peer.id for peer in self._in_sync()]

    def proofs(self) -> list[FullVector]:
        """What each broker whose copies count has surely synced."""
        return [peer.proof for peer in self._in_sync()]

    def copies(self) -> list[FullVector]:
        """What receipts wait for: `proofs`, and one of nothing of each that was in sync and is asked again what it holds."""
        return [peer.proof for peer in self._awaited()]

    def count_writable(self) -> int:
        """How many of the brokers that receipts wait for have room."""
        return sum(peer.writable for peer in self._awaited())

    def _in_sync(self) -> Iterable[Peer]:
        return self._counting(peer for peer in self._peers.values() if peer.in_sync)

    def _awaited(self) -> Iterable[Peer]:
        return self._counting(peer for peer in self._peers.values() if peer.in_sync or peer.asked_again)

    def _counting(self, peers: Iterable[Peer]) -> Iterable[Peer]:
        """Those whose copies count, one of each broker."""
        members = self._state.members
        anybody = members.anybody()
        return {peer.id: peer for peer in peers if peer.id != self._me.id and (not anybody or peer.id in members)}.values()

    def is_held_elsewhere(self) -> bool:
        """Say whether a broker whose copies count holds all that is held here, and lacks nothing that can be read here.

        And whether all that it held when this was so first is held here: it may have given up what is here.
        """
        state, found = self._state, False
        for peer in self._in_sync():
            if peer.proof.holds(state.vector) and not peer.can_be_healed(state):
                peer.last_news = peer.last_news or dict(peer.vector or {})
                found |= state.log.holds(peer.last_news)
        return found

    def has_met_anybody(self) -> bool:
        """Say whether a peer is in sync and has handed over all that it holds."""
        return any(peer.in_sync and not peer.has_more(self._state) for peer in self._peers.values())

    def why_not(self) -> str:
        """Why this broker serves nobody yet, in a sentence; "" where it may: nobody has its id, and all was fetched.

        Of two that have one id the one that serves is not stopped by the other, which came later (H3).
        """
        for peer in self._peers.values() if not self._has_served else ():
            if peer.state == "id-in-use" and not peer.caught_up:
                return peer.detail
        if self._sources:
            return f"this broker is catching up with {', '.join(sorted(self._sources))}: use that one for now"
        return ""

    def serve(self) -> None:
        """Note that this broker serves."""
        self._has_served = True

    def has_clocks_apart(self) -> bool:
        """Say whether the clock of any peer is far from ours."""
        apart = limits.CLOCK_APART_SECONDS * 1000
        return any(abs(peer.ahead) >= apart for peer in self._peers.values())

    def most_ahead(self) -> int:
        """By how many ms the clock of a peer is ahead of ours at most; 0 for none."""
        members = self._state.members
        return max([0, *(peer.ahead for peer in self._peers.values() if peer.id in members or not members.anybody())])

    def agreements(self, turn: int) -> dict[str, tuple[str, ...]]:
        """Who has answered under the cluster id of that turn: address -> of whom that one was told."""
        return {address: peer.agreed for address, peer in self._peers.items() if peer.agreed_turn == turn}

    def become(self, state: State, now: Now, *, goes_on: bool) -> None:
        """Go on with another state; `goes_on`: what follows from vectors is the same there."""
        self._state = state
        self._offers.become(state)
        for peer in self._peers.values():
            peer.look_up_rows(state)
            if not goes_on:
                peer.rebase(state.lineage, now.clock)

    # -- links --------------------------------------------------------------------------------------------------

    def start(self, addresses: Iterable[str], now: Now) -> list[Connect]:
        """Fetch from all these first, at a start."""
        self._patient_until = now.clock + limits.CATCH_UP_PATIENCE_SECONDS
        self._sources.update(addresses)
        return [self._connect(address, now) for address in addresses]

    def greet(self, address: str, now: Now) -> list[Connect]:
        """Push to `address` at once, over a new link if there is none."""
        if address not in self._peers:
            return [self._connect(address, now)]
        self._peers[address].next_at = now.clock
        return []

    def greet_all(self, now: Now) -> None:
        """Push to all at once: there is something that they should hear."""
        for peer in self._peers.values():
            peer.next_at = now.clock

    def fetch_from(self, address: str, now: Now) -> list[Connect]:
        """This broker holds nothing and has found a cluster that does: it serves when that at `address` has handed it over."""
        connects = []
        if address not in self._peers:
            if len(self._peers) >= limits.PEERS_COUNT:
                return []  # somebody names one cluster after another: no more threads for that
            connects.append(self._connect(address, now))
        self._sources.add(address)
        return connects

    def unlink(self, address: str) -> list[Disconnect]:
        """Close the link to `address`, if there is one."""
        self._sources.discard(address)
        return [Disconnect(address)] if self._peers.pop(address, None) is not None else []

    def _connect(self, address: str, now: Now) -> Connect:
        self._peers[address] = Peer(address, now.clock, self._state.lineage, self._me.heartbeat)
        return Connect(address)

    # -- as the receiver of a push ------------------------------------------------------------------------------

    @property
    def owes_answers(self) -> bool:
        """Whether a push waits for its answer."""
        return bool(self._to_answer)

    def check_sender(self, header: Header, now: Now) -> None:
        """Raise Refused if one of the two does not understand the other (`other-version`, WIRE).

        Also if another living process has the sender's broker id (`id-in-use`, H3).
        """
        for speaks, least, which in ((header.wire, WIRE_LEAST, header.broker), (WIRE, header.wire_least, self._me.id)):
            if speaks < least:
                detail = f"broker {which} speaks version {speaks} of what brokers say, and the other one none below {least}"
                raise Refused(f"{detail}: upgrade {which}", code="other-version")
        namesake = self._me.address if header.broker == self._me.id and header.origin != self._me.origin else ""
        silence = self._me.heartbeat + limits.HEARTBEAT_GRACE_SECONDS
        for peer in self._peers.values() if not namesake else ():
            alive = peer.heard is not None and now.clock - peer.heard < silence
            if alive and peer.id == header.broker and peer.address != header.address and peer.origin != header.origin:
                namesake = peer.address
                break
        if namesake:
            detail = f"broker id {header.broker} is in use at {namesake}: start the other one with another --id"
            raise Refused(detail, code="id-in-use")

    def hear(self, reply_to: ReplyTo, header: Header, now: Now) -> None:
        """Take what a push says, whose ops are staged; it is answered when they are stored (`answer`)."""
        self._to_answer.append((reply_to, header))
        peer = self._peers.get(header.address)
        if peer is None:
            return
        restarted = peer.origin != header.origin
        peer.hear(header, self._state, now)
        peer.pushed_at = now.clock
        if restarted or peer.state not in _REACHED:
            peer.next_at = now.clock  # it lives: say hello now, not at the next heartbeat

    def answer(self, announcement: Announcement) -> list[Answer]:
        """After the sync: the vector, and ops that the pusher lacks and our own link to it cannot bring."""
        answers = []
        for reply_to, header in self._to_answer:
            ask, offer, places = self._bring(header)
            answer = self._header(announcement, header.number, header.address, tell=header.ask, ask=ask, offer=offer)
            answers.append(Answer(reply_to, answer, places))
        self._to_answer = []
        return answers

    def _bring(self, header: Header) -> tuple[int, Offer | None, Sequence[tuple[int, int]]]:
        """Of how many origins to ask the pusher what they began with; the part of an offer and the records that it is brought.

        One that is in sync, and names no origin that is not known here, gets all by our own link.
        """
        peer, lineage = self._peers.get(header.address), self._state.lineage
        if peer is not None and peer.in_sync and all(origin in lineage for origin in header.vector):
            return 0, None, ()
        holds, ask = understand(lineage, header)
        if ask:
            return ask, None, ()
        rows = self._rows_for(header, holds.raise_to(header.parts))
        offer, part = self._part_for(header, holds)
        return 0, offer, [*self._state.log.where(rows), *part]

    def refuse(self, reply_to: ReplyTo, header: Header, error: NewswireError, announcement: Announcement) -> Answer:
        """The answer to a push whose ops are not taken."""
        answer = self._header(announcement, header.number, header.address)
        return Answer(reply_to, msgspec.structs.replace(answer, code=error.code, detail=error.detail), ())

    def fail_answers(self, error: NewswireError, announcement: Announcement) -> list[Answer]:
        """What was pushed could not be stored, for this reason."""
        answers = [self.refuse(reply_to, header, error, announcement) for reply_to, header in self._to_answer]
        self._to_answer = []
        return answers

    def _rows_for(self, header: Header, holds: FullVector) -> Sequence[int]:
        peer = self._peers.get(header.address)
        if not header.want or (peer is not None and peer.in_sync):
            return ()
        most = min(header.want, limits.PUSH_OPS)
        rows = self._state.log.lacking(holds, most, limits.PUSH_BYTES)
        return rows if peer is None else peer.with_healing(self._state, rows, most, limits.PUSH_BYTES)

    # -- what is handed over to who is behind (OFFER)

    def _part_for(self, header: Header, holds: FullVector) -> tuple[Offer | None, Sequence[tuple[int, int]]]:
        """The next part for a pusher to which there is no link that works."""
        peer = self._peers.get(header.address)
        is_reached = peer is not None and peer.state in _REACHED
        if is_reached or not (header.want and header.voids) or not lacks_void(self._state, holds, header.holes):
            return None, ()
        if lacks_unreadable(self._state, holds):
            return None, ()
        return self._offers.next_part(header.address, header.origin, holds, header.offered, limits.PUSH_BYTES)

    def _part_to_push(self, peer: Peer) -> tuple[Offer | None, Sequence[tuple[int, int]]]:
        if not peer.takes_ops or not peer.is_behind(self._state):
            self._offers.end(peer.address)
            return None, ()
        offer, places = self._offers.next_part(peer.address, peer.origin, peer.holds, peer.offered, peer.push_bytes)
        peer.part_tried = (offer.id, offer.start) if offer is not None else ("", -1)
        return offer, places

    def _is_part_due(self, peer: Peer) -> bool:
        """Whether a part goes out at once: one that was not tried, since the last one was taken."""
        is_idle = not peer.in_flight and peer.takes_ops and peer.is_behind(self._state)
        return is_idle and self._offers.is_due(peer.address, peer.offered, peer.part_tried)

    # -- as the pusher ------------------------------------------------------------------------------------------

    def is_due(self, now: Now, batch: str) -> bool:
        """Say whether a push should go out. `batch`: the origin of the long batch that is under way here, "" for none."""
        return any(
            peer.is_due(self._state, now.clock) or peer.parts_to_push(self._state, batch, now.clock) or self._is_part_due(peer)
            for peer in self._peers.values()
            if not peer.in_flight
        )

    def has_copied(self, batch: str, upto: int) -> bool:
        """Say whether every peer whose copies count has the ops of a long batch up to there."""
        peers = (peer for peer in self._in_sync() if peer.writable)
        return all(max(peer.parts.get(batch, 0), peer.holds.get(batch)) >= upto for peer in peers)

    def push(self, announcement: Announcement, now: Now, batch: str) -> list[Send]:
        """Send what peers lack, the next piece of the long batch `batch`, and heartbeats."""
        sends = []
        for peer in self._peers.values():
            parts = peer.parts_to_push(self._state, batch, now.clock)
            if parts or peer.is_due(self._state, now.clock) or self._is_part_due(peer):
                peer.tried = (batch, peer.parts.get(batch, 0)) if parts else ("", 0)  # what was not taken goes once more later
                rows = peer.rows(self._state)
                offer, part = (None, ()) if parts else self._part_to_push(peer)
                peer.turn = announcement.turn
                number = peer.note_push(self._state, rows, now, self._me.heartbeat)
                want = limits.PUSH_OPS if announcement.writable else 0
                header = self._header(announcement, number, peer.address, tell=peer.tell, ask=peer.ask, want=want, offer=offer)
                places = [*self._state.log.where(rows), *part]
                sends.append(Send(address=peer.address, header=header, places=places, parts=parts))
        return sends

    def awaits(self, address: str, number: int) -> bool:
        """Say whether push `number` to `address` is in flight."""
        peer = self._peers.get(address)
        return peer is not None and peer.in_flight and peer.number == number

    def agree(self, address: str, header: Header, pair: tuple[str, int]) -> None:
        """Note that the push in flight was answered under the cluster id that it named; `pair`: id and turn of ours now."""
        peer = self._peers[address]
        if (header.cluster, peer.turn) == pair:
            peer.agreed_turn, peer.agreed = peer.turn, header.told

    def take_answer(self, address: str, header: Header, now: Now, *, progress: bool) -> None:
        """Take the answer to the push in flight: the proof of a copy, and perhaps of `progress`, ops."""
        peer = self._peers[address]
        peer.take_answer(header, self._state, now)
        if not peer.caught_up and peer.target is None:
            peer.target = peer.vector
        behind = peer.has_more(self._state)
        if progress and behind:
            peer.next_at = now.clock  # fetch the rest with the next answers
        elif address in self._sources and behind:
            peer.next_at = min(peer.next_at, now.clock + limits.CATCH_UP_SECONDS)

    def fail(self, address: str, state: str, detail: str, now: Now) -> None:
        """The push in flight to `address` got no usable answer."""
        self._peers[address].fail(state, detail, now.clock, self._me.heartbeat)
        if state != "id-in-use":
            self._sources.discard(address)

    def hang_up(self, address: str, now: Now) -> None:
        """The peer closed its connection: say hello now, to find out at once whether it is dead."""
        peer = self._peers.get(address)
        if peer is not None and not peer.in_flight:
            peer.next_at = now.clock

    def ask_again(self, now: Now) -> None:
        """Less follows from vectors than was thought here: ask all what they hold."""
        for peer in self._peers.values():
            peer.ask_again(now.clock)

    def ask_for_proof(self, required: Vector, now: Now) -> None:
        """Push now, even nothing, to each whose copy of that counts: one from which an op came has yet to say that it has it.

        Once: a push that went out when the op was synced here has asked already.
        """
        for peer in self._in_sync() if required else ():
            if peer.in_flight:
                continue
            lacks = {origin: sequence for origin, sequence in required.items() if peer.proof.get(origin) < sequence}
            if lacks and not self._state.lineage.covers_all(peer.sent, lacks):
                peer.next_at = now.clock

    def look_around(self, now: Now) -> None:
        """Note who is late and counts no more, and who has handed over what it held when first met after the start.

        Both count each other's copies before this broker serves: so the first publish has two, whichever of them takes it.
        """
        for peer in self._peers.values():
            peer.suspicion.look(now.clock)
            if peer.is_late(now.clock):
                peer.in_sync = peer.asked_again = False
            if peer.in_sync and not peer.is_recent(now, self._me.heartbeat):
                peer.next_at = min(peer.next_at, now.clock)
            if peer.state in _REACHED:
                peer.down_since = None
            elif peer.down_since is None and not peer.is_untried:
                peer.down_since = now
            if peer.target is not None and self._state.log.holds(peer.target):
                peer.caught_up, peer.target = True, None
            if peer.caught_up and peer.in_sync and (peer.counts_us or now.clock >= self._patient_until):
                self._sources.discard(peer.address)

    # -- both ---------------------------------------------------------------------------------------------------

    def _header(
        self,
        announcement: Announcement,
        number: int,
        address: str,
        *,
        tell: int = 0,
        ask: int = 0,
        want: int = 0,
        offer: Offer | None = None,
    ) -> Header:
        tell = min(tell, limits.ANCESTRY_MOST)
        state, peer = self._state, self._peers.get(address)
        lineage: Mapping[str, Mapping[str, int]] = state.lineage.tell(tell, limits.VECTOR_ENTRIES) if tell else {}
        return Header(
            broker=self._me.id,
            address=self._me.address,
            origin=self._me.origin,
            cluster=announcement.cluster,
            settled=announcement.settled,
            has_ops=not state.log.holds_nothing,
            told=announcement.told,
            primary=self._me.primary,
            serves=announcement.serves,
            number=number,
            vector=dict(state.vector),
            began=lineage,
            more=tell <= len(lineage) < min(len(state.lineage), limits.ANCESTRY_MOST),
            ask=ask,
            writable=announcement.writable,
            counts=peer is not None and peer.in_sync,
            want=want,
            holes=state.holes.all[: limits.HOLES_COUNT],
            waits=state.holes.waits,
            parts=state.open_batches.extents,
            voids=self._me.compacts,
            packs=True,
            offer=offer,
            offered=announcement.offered,
            wall=times.stamp(announcement.wall),
            wire=WIRE,
            wire_least=WIRE_LEAST,
            streams=announcement.load.streams,
            streams_limit=announcement.load.limit,
        )
