"""What is known of one peer, what to push to it, and whether it is in sync (docs/rules.md, PUSH and HAVE).

One push is in flight a link, the first one empty. What a peer holds is what this run of it has said, in short vectors; of
another run nothing is kept: a disk that went back must show (docs/hazards.md, H26). Where a vector names origins that are not
known here, it is a lower bound until the peer has told what those began with. In sync is a peer whose last answer covered
what was synced here when the push was sent, and it stays so while each answer covers what its push brought, when there is
more than one push can carry: receipts wait for it then. A push that is late, failed or refused ends that at once. What a
peer says in its own pushes tells what to send to it, and is no proof of a copy (H19).

`replication` owns all of these, and nobody else sees one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from newswire.core import limits
from newswire.core.broker.events import Header, Now, Offered
from newswire.core.broker.offering import lacks_unreadable, lacks_void
from newswire.core.broker.values import PeerFacts
from newswire.core.foresight.suspicion import Suspicion
from newswire.core.model.balance import Load
from newswire.core.model.ops import Op, Void
from newswire.core.model.vector import FullVector, Lineage, Vector
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole


class Peer:
    """One peer, as one link to it knows it. Commit thread only."""

    def __init__(self, address: str, clock: float, lineage: Lineage, heartbeat: float = limits.HEARTBEAT_SECONDS) -> None:
        self.address = address
        self.id = ""  # "" until it answered or pushed
        self.origin = ""
        self.primary = False
        self.serves = False
        self.state = "down"
        self.detail = "not reached yet"
        self.in_sync = False
        self.asked_again = False  # what it holds, and it has yet to answer; it was in sync until then: receipts wait for it
        self.writable = True  # as it last said; else it takes no ops
        self.counts_us = False  # as it last said: its receipts wait for our copy
        self.push_bytes = limits.PUSH_BYTES  # of one push: fewer over a line that does not carry so much in time
        self.parts: Vector = {}  # as it last said: how far it has long batches that are not whole there
        self.tried: tuple[str, int] = ("", 0)  # the long batch of which a piece was pushed last, and how far it had it then
        self.vector: Vector | None = None  # as it last said: who holds what this lists holds all that the peer holds
        self.holds = self._nothing = FullVector(lineage)  # surely, of what is known here, by what this run of it said
        self.assumed = self._nothing  # that, and what was pushed and answered: not pushed again at once
        self.understood = False  # it is known what it lacks: all of it, or as well as it can say
        self.proof = self._nothing  # `holds` at its last answer: synced there
        self.heard: float | None = None
        self.pushed_at = clock  # when a push of it came last, or it was reached once more
        self.down_since: Now | None = None  # no usable answer since
        self.ahead = 0  # ms by which its clock was ahead of ours when it was heard; below 0: behind
        self.turn = 0  # of the cluster id (`Announcement.turn`) when the push in flight was sent
        self.agreed_turn = -1  # that of the last push that it answered under the same cluster id
        self.agreed: tuple[str, ...] = ()  # of whom it had been told then
        self.number = 0
        self.in_flight = False
        self.sent_at = clock
        self.sent_wall = 0
        self.said_at: Now | None = None  # when the push was sent that it answered last: its word is as old as that
        self.next_at = clock  # when to push next, even if there is nothing to push
        self.sent: Vector = {}  # what was synced here when the push in flight was sent
        self.cargo: Vector = {}  # the ops that it carries: origin -> highest sequence
        self.barren: tuple[int, int] | None = None  # what was here when nothing of it could be sent
        self.tell = self.ask = limits.ANCESTRY_FIRST  # origins: how many to tell in the next push, to ask for with it
        self.asked = 0  # with the push in flight
        self.target: Vector | None = None  # `vector` when the peer was first met after the start
        self.caught_up = False  # all of `target` is held here
        self.holes: tuple[Hole, ...] = ()  # as it last said
        self.waits: Vector = {}
        self.knows_voids = False  # it takes what was compacted
        self.load = Load()  # of streams, as it last said
        self.offered: Offered | None = None  # as it last said: how much it has of what is handed over
        self.part_tried = ("", -1)  # the offer of which a part was pushed last, and which
        self.to_heal: list[int] = []  # what is held and can be read here of its holes
        self.heal_at = clock  # not before: a push that was to heal them changed nothing
        self.suspicion = Suspicion(heartbeat)
        self.told: Vector = {}  # as it said: how far it holds origins that have not begun here
        self._explained: frozenset[str] = frozenset()  # those of them of which it said what they began with, or cannot say it
        self.last_news: Vector = {}  # what it held when it had all of what this broker, which leaves, holds
        self._listed: Vector = {}  # of the vector understood last: all known here, and with what follows from it in `holds`

    @property
    def is_untried(self) -> bool:
        """Whether no push has come to an end yet: nothing is known of it, not even that it is down."""
        return self.number == int(self.in_flight)

    def facts(self, state: State, now: Now, heartbeat: float, *, counts: bool) -> PeerFacts:
        """What others may know of it. `counts`: its copies do."""
        return PeerFacts(
            address=self.address,
            id=self.id,
            state=self.state,
            detail=self.detail,
            in_sync=self.in_sync,
            counts=counts,
            current=self.in_sync and not self.is_late(now.clock) and self.is_recent(now, heartbeat),
            has_more=self.has_more(state),
            caught_up=self.caught_up,
            untried=self.is_untried,
            serves=self.serves,
            primary=self.primary,
            writable=self.writable,
            holds=self.holds,
            holes=self.holes,
            waits={**self.parts, **self.waits},
            told=self.told,
            unclear=len(self._explained) < len(self.told),
            knows_voids=self.knows_voids,
            lacks_void=self._lacks_void(state),
            ahead=self.ahead,
            heard=self.heard,
            down_since=self.down_since.wall if self.down_since is not None else None,
            away_seconds=self.away_seconds(now),
            load=self.load,
            phi=self.suspicion.phi,
            silence=(self.suspicion.seconds, self.suspicion.usual),
            reaches_us=self.counts_us or now.clock - self.pushed_at < 2 * heartbeat + limits.PUSH_TIMEOUT_SECONDS,
        )

    def is_behind(self, state: State) -> bool:
        """Say whether it lacks something that is void here: ops alone do not bring it on (OFFER)."""
        return self.knows_voids and self._lacks_void(state) and not lacks_unreadable(state, self.holds)

    def _lacks_void(self, state: State) -> bool:
        return self.understood and lacks_void(state, self.holds, self.holes)

    def away_seconds(self, now: Now) -> float:
        """For how long it has given no usable answer, by the clock that nobody sets."""
        return now.clock - self.down_since.clock if self.down_since is not None else 0.0

    def has_more(self, state: State) -> bool:
        """Say whether it may hold what is not held here, by what it last said."""
        return self.vector is None or not state.log.holds(self.vector)

    def is_due(self, state: State, clock: float) -> bool:
        """Say whether a push should go out: there is something to push, or it is time to be heard."""
        if self.in_flight:
            return False
        if clock >= self.next_at:
            return True
        if not self.takes_ops:
            return False
        return (bool(self.to_heal) and clock >= self.heal_at) or (self.lacks_any(state) and self.barren != _size(state))

    @property
    def takes_ops(self) -> bool:
        """Whether a push may carry ops: it is known what the peer holds, and it has room."""
        return self.state in ("up", "catching-up") and self.understood and self.writable

    def lacks_any(self, state: State) -> bool:
        """Say whether there is an op here that the peer neither holds nor has answered for."""
        return not self.assumed.holds(state.vector) and not self._by_last_word().holds(state.vector)

    def _by_last_word(self) -> FullVector:
        """What is assumed, and what it listed last of origins that became known here since: a long batch, for one."""
        return self.assumed.raise_to(self.parts).raise_to(self.vector or {})

    def parts_to_push(self, state: State, origin: str, clock: float) -> list[tuple[int, int]]:
        """Place and length of the next ops of the long batch `origin` that it lacks, if its copies count (BATCH).

        None while one is on its way, nor at once again what it did not take. Else what it lacks of what is kept apart here: of
        batches that damage keeps from being whole at either of the two, or behind damage.
        """
        if self.in_flight or not (state.open_batches.of or state.holes.waiting) or not self.takes_ops:
            return []
        has = self.parts.get(origin, 0)
        if origin and self.in_sync and self.tried != (origin, has):
            return self._cut_piece(state.open_batches.of.get(origin, ())[has : has + limits.BATCH_PIECE_OPS])
        if clock < self.heal_at:
            return []
        found = self._cut_piece(self._parts_that_heal(state))
        if not found:
            self.heal_at = clock + limits.PUSH_AGAIN_SECONDS  # it is looked for in all that is kept apart
        return found

    def _parts_that_heal(self, state: State) -> list[tuple[Op, int, int]]:
        """What of the peer's holes is kept apart here: of a batch that is not whole, or behind damage."""
        found: list[tuple[Op, int, int]] = []
        for hole in self.holes:
            parts = state.open_batches.of.get(hole.origin, ())
            found += (part for part in parts if hole.first <= part[0].sequence <= hole.last and not isinstance(part[0], Void))
            waiting, sequence = state.holes.waiting.get(hole.origin, {}), hole.first
            while sequence <= hole.last and len(found) < limits.BATCH_PIECE_OPS and (part := waiting.get(sequence)):
                if isinstance(part[0], Void):
                    break
                found.append(part)
                sequence += 1  # what is behind more that is missing would not be taken
        return found[: limits.BATCH_PIECE_OPS]

    @staticmethod
    def _cut_piece(parts: Sequence[tuple[Op, int, int]]) -> list[tuple[int, int]]:
        piece: list[tuple[int, int]] = []
        size = 0
        for _, place, length in parts:
            size += length
            if piece and size > limits.BATCH_PIECE_BYTES:
                break
            piece.append((place, length))
        return piece

    def rows(self, state: State) -> list[int]:
        """Offsets of the ops to push. None before it is known what the peer holds: the first push is empty.

        All again, at the pace of heartbeats, where the peer answered for everything and yet does not say that it holds it.
        """
        if not self.takes_ops:
            return []
        if not self.lacks_any(state):
            self.assumed = self.holds
        rows = state.log.lacking(self._by_last_word(), limits.PUSH_OPS, self.push_bytes)
        return self.with_healing(state, rows, limits.PUSH_OPS, self.push_bytes)

    def can_be_healed(self, state: State) -> bool:
        """Say whether something of the peer's holes can be read here."""
        return any(row not in state.log.unreadable for row in self.to_heal)

    def with_healing(self, state: State, rows: list[int], most_ops: int, most_bytes: int) -> list[int]:
        """These rows, and what heals the peer's holes, up to the bounds."""
        healing = [row for row in self.to_heal if row not in state.log.unreadable]
        return state.log.cut(sorted({*rows, *healing})[:most_ops], most_bytes) if healing else rows

    def note_push(self, state: State, rows: Sequence[int], now: Now, heartbeat: float) -> int:
        """Note that a push with the ops at `rows` goes out; return its number."""
        self.number += 1
        clock = now.clock
        self.in_flight, self.sent_at, self.sent_wall, self.sent = True, clock, now.wall, dict(state.vector)
        log = state.log
        self.cargo = {log.names[log.origins[row]]: log.sequences[row] for row in rows}
        self.asked = self.ask
        self.barren = _size(state) if self.takes_ops and not rows and self.lacks_any(state) else None
        if self.to_heal or self.holes:
            self.heal_at = clock + limits.PUSH_AGAIN_SECONDS
        self.next_at = clock + heartbeat
        self.suspicion.ask(clock)
        return self.number

    def is_late(self, clock: float) -> bool:
        """Say whether the push in flight has gone without an answer for too long to count as in sync."""
        return self.in_flight and clock - self.sent_at > limits.PUSH_TIMEOUT_SECONDS

    def is_recent(self, now: Now, heartbeat: float) -> bool:
        """Say whether its last answer is no older than heartbeats let it become: else this process, or its host, stood still.

        The clock that only runs may stand still with the host; the time of day does not.
        """
        if self.said_at is None:
            return False
        age = max(now.clock - self.said_at.clock, (now.wall - self.said_at.wall) / 1000)
        return age <= heartbeat + limits.PUSH_TIMEOUT_SECONDS + limits.PUSH_PACE_SECONDS

    def hear(self, header: Header, state: State, now: Now) -> None:
        """Take what the peer says of itself, in a push or an answer."""
        if self.origin and self.origin != header.origin:
            self._forget()
            self.suspicion.lose()
        self.suspicion.hear(now.clock)
        self.id, self.origin = header.broker, header.origin
        self.primary, self.serves = header.primary, header.serves
        self.writable, self.counts_us = header.writable, header.counts
        self.knows_voids, self.offered = header.voids, header.offered
        self.load = Load(header.streams, header.streams_limit)
        self.holes, self.waits, self.parts = header.holes, header.waits, header.parts
        self.to_heal = self._rows_that_heal(state)
        self.heard, self.ahead = now.clock, header.wall - now.wall if header.wall else 0
        if not self._goes_on(header):
            holds, self.ask = understand(state.lineage, header)
            self.holds = holds.join(self.holds)  # a run never holds less than before
            self.assumed = self.holds.join(self.assumed)
            self.told = _unknown(state.lineage, (self.told, header.vector, *header.began.values()))
            is_all = bool(header.began) and not header.more
            self._explained = frozenset(self.told if is_all else self._explained.union(header.began).intersection(self.told))
            knows_all = all(origin in state.lineage for origin in header.vector)
            self._listed = header.vector if knows_all else {}
        self.vector = header.vector
        self.understood = self.understood or not self.ask
        self.tell = max(self.tell, header.ask)

    def _goes_on(self, header: Header) -> bool:
        """Take the vector of one that has only gone on with the origins that it listed: nothing new follows from that.

        Less may follow from it when a `began` is given up: then `ask_again` has it forgotten.
        """
        if header.began or not self._listed or self._listed.keys() != header.vector.keys():
            return False
        more = {origin: sequence for origin, sequence in header.vector.items() if sequence > self._listed[origin]}
        if more:
            self.holds, self.assumed = self.holds.raise_to(more), self.assumed.raise_to(more)
        self._listed, self.ask = header.vector, 0
        return True

    def ask_again(self, clock: float) -> None:
        """What follows from its vectors is less than was thought here: ask again what it holds."""
        was_in_sync = self.in_sync or self.asked_again
        self._forget()
        self.asked_again = was_in_sync
        self.ask, self.next_at = limits.ANCESTRY_FIRST, clock

    def rebase(self, lineage: Lineage, clock: float) -> None:
        """What follows from vectors was worked out anew: ask it again what it holds."""
        self._nothing = FullVector(lineage)
        self.ask_again(clock)

    def look_up_rows(self, state: State) -> None:
        """Find what heals it, where offsets mean other records than before."""
        self.to_heal = self._rows_that_heal(state)
        self.barren = None

    def _rows_that_heal(self, state: State) -> list[int]:
        return [row for hole in self.holes for row in state.log.rows(hole.origin, hole.first, hole.last)]

    def _forget(self) -> None:
        """It is another run, perhaps on another disk: what the former one held may be nowhere any more."""
        self.in_sync = self.asked_again = self.understood = False
        self._listed, self.told, self._explained, self.last_news = {}, {}, frozenset(), {}
        self.holds = self.assumed = self.proof = self._nothing
        self.target = self.barren = None
        self.tell = limits.ANCESTRY_FIRST

    def take_answer(self, header: Header, state: State, now: Now) -> None:
        """Take the answer to the push in flight."""
        was_in_sync, was_awaited = self.in_sync, self.in_sync or self.asked_again
        self.in_flight, self.tell = False, 0
        if self.down_since is not None:
            self.pushed_at = now.clock
        self.suspicion.answer(now.clock)
        self.hear(header, state, now)
        was_awaited &= self.in_sync or self.asked_again  # else it is another run
        self.proof, self.said_at = self.holds, Now(self.sent_at, self.sent_wall)
        partly = self.in_sync and self.writable  # what it lacks yet is on its way; a full disk takes nothing
        self.in_sync = self.proof.raise_to(self.parts).holds(self.cargo if partly else self.sent)
        self.asked_again = was_awaited and not self.in_sync and self.ask > self.asked  # it has yet to say what follows
        self.assumed = self.assumed.raise_to(self.cargo)
        self.state = "up" if self.in_sync and self.serves else "catching-up"
        self.detail = "" if self.writable else "its disk is full"
        self.push_bytes = min(limits.PUSH_BYTES, self.push_bytes * 2)
        if self.ask > self.asked or self.tell or self.in_sync > was_in_sync:
            self.next_at = now.clock  # ask, tell, or say that its copies count from now on

    def fail(self, state: str, detail: str, clock: float, heartbeat: float) -> None:
        """The push in flight got no usable answer: not in sync from now on; it is tried again soon."""
        self.in_flight = self.in_sync = self.asked_again = False
        self.suspicion.lose()
        if self.cargo and clock - self.sent_at > limits.PUSH_TIMEOUT_SECONDS:
            self.push_bytes = max(limits.PUSH_LEAST_BYTES, self.push_bytes // 2)
        self.state, self.detail = state, detail
        self.assumed, self.barren = self.holds, None
        self.tell, self.ask = limits.ANCESTRY_FIRST, max(self.ask, limits.ANCESTRY_FIRST)
        self.next_at = clock + min(heartbeat, limits.PUSH_AGAIN_SECONDS)


def _size(state: State) -> tuple[int, int]:
    """What changes when there is more to push."""
    return len(state.log), len(state.log.unreadable)


def _unknown(lineage: Lineage, vectors: Iterable[Vector]) -> Vector:
    """How far origins that have not begun here are held by who says these; of many the longest."""
    pairs = sorted((sequence, origin) for vector in vectors for origin, sequence in vector.items() if origin not in lineage)
    return {origin: sequence for sequence, origin in pairs[-limits.ANCESTRY_MOST :]}


def understand(lineage: Lineage, header: Header) -> tuple[FullVector, int]:
    """What the sender surely holds of what is known here, and of how many origins to ask what they began with.

    0: what is known is all that it holds, or all that it can say.
    """
    reach: dict[str, int] = {}
    for vector in (header.vector, dict.fromkeys(header.began, 1), *header.began.values()):
        for origin, sequence in vector.items():
            if origin in lineage and reach.get(origin, 0) < sequence:
                reach[origin] = sequence
    if not header.more or _is_told(lineage, header):
        return lineage.expand(reach), 0
    return lineage.expand(reach), min(limits.ANCESTRY_MOST, 4 * max(len(header.began), limits.ANCESTRY_FIRST))


def _is_told(lineage: Lineage, header: Header) -> bool:
    """Say whether what follows from each listed origin is known here, or was told."""
    seen: set[str] = set()
    todo: list[Mapping[str, int]] = [header.vector]
    while todo:
        for origin in todo.pop():
            if origin not in lineage and origin not in seen:
                if origin not in header.began:
                    return False
                seen.add(origin)
                todo.append(header.began[origin])
    return True
