"""The broker without its disk, clock and wires: `step(event, now) -> actions` (DESIGN 5).

What a shell must do is in `core.events`. What is promised here:

- Nothing is answered, applied, streamed or counted before `Stored` said that it is on disk.
- A client's receipt is given when its ops are synced here and covered by the last answer of every in-sync member.
- A peer is answered after the sync, so that its answer proves the second copy.
- After a start no client is served before every peer that can be reached has handed over what it held, and is in sync.

All methods: the commit thread. `state` may be read by others under the state lock, which the shell holds around `step`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from newswire.core import limits, roster
from newswire.core.events import (
    Action,
    Answer,
    Answered,
    Append,
    Connect,
    Disconnect,
    Done,
    Event,
    Exit,
    Failed,
    Found,
    Header,
    Join,
    Leave,
    Now,
    Received,
    Reply,
    Send,
    Stored,
    Submitted,
    Tick,
    Unstored,
    Wake,
    Writable,
)
from newswire.core.intake import Decided, Intake
from newswire.core.members import Row, View
from newswire.core.ops import Began, Dropped, Joined, Left, NotAnOp
from newswire.core.replication import Peer, expand, holds_all, holds_all_of
from newswire.core.requests import Acknowledge
from newswire.core.retention import RetentionClock, start_of_clock, to_drop
from newswire.core.state import Changes, State
from newswire.errors import (
    BadRequest,
    FewerCopies,
    NewswireError,
    NotEnoughCopies,
    NotFound,
    Refused,
    StorageFull,
    TooLarge,
    Unavailable,
    Unknown,
)


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


class _Waiting(msgspec.Struct):
    """Somebody who waits for a receipt, or (`row_of`) for a membership to be stored."""

    token: object
    decided: Decided
    count: int
    copies: int
    until: float
    row_of: str = ""


class Broker:
    """One broker: fed events, it says what to do."""

    def __init__(self, identity: Identity, state: State, cluster: str, *, settled: bool) -> None:
        """`cluster`: the id that the ops file names (`settled`), else one minted for the case that no peer has another."""
        self.identity, self.state = identity, state
        self.cluster, self.settled = cluster, settled
        self.intake = Intake(state, identity.origin, identity.subscriptions_per_user)
        self.peers: dict[str, Peer] = {}
        self.catching_up: set[str] = set()  # peers that may know more and have not handed it over
        self.writable = True
        self.leaving = False
        self.began = False
        self.damage = 0  # places in which the shell found the ops file damaged
        self._own_addresses = {identity.address}
        self._waiting: list[_Waiting] = []
        self._staged_waiting: list[_Waiting] = []
        self._to_answer: list[tuple[object, Header]] = []
        self._deferred: list[Submitted] = []
        self._served = False
        self._settling = False  # the cluster id goes to the disk with the batch that is staged
        self._retention: RetentionClock | None = None
        self._retention_due = 0.0
        self._actions: list[Action] = []
        self._steps: dict[type, Callable[[Any, Now], None]] = {
            Submitted: self._submitted,
            Received: self._received,
            Answered: self._answered,
            Failed: self._failed,
            Stored: self._stored,
            Unstored: self._unstored,
            Tick: self._tick,
            Join: self._join,
            Leave: self._leave,
            Writable: self._set_writable,
        }

    # -- the shell's side ---------------------------------------------------------------------------------------

    def begin(self, now: Now) -> list[Action]:
        """START: the first actions of a run. The shell recovered the state, and began a segment for this origin."""
        self._retention = RetentionClock(start_of_clock(self.state, now.wall), now.wall, now.clock)
        for address in self._wanted_links():
            self._connect(address, now)
            self.catching_up.add(address)
        self.intake.stamp(Began("", 0, 0, self.identity.id, dict(self.state.vector)), now.wall)
        return self._flush(now)

    def step(self, event: Event, now: Now) -> list[Action]:
        """Take an event; return what is to be done, in order."""
        kind = type(event)
        self._steps[kind](event, now)
        return self._flush_submit(now) if kind is Submitted else self._flush(now)

    @property
    def serves(self) -> bool:
        """Whether clients may be served: begun, caught up, a member (or there is none), not leaving."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why clients are not served now, in a sentence; "" when they are."""
        return roster.why_not(self)

    def view(self, now: Now) -> View:
        """A snapshot for people, health checks and the decision to serve."""
        return roster.view(self, now)

    def in_sync(self) -> dict[str, Peer]:
        """The peers whose copies count, by broker id: members (all, while nobody is one) that are in sync."""
        anybody = self.state.members.anybody()
        return {
            peer.id: peer
            for peer in self.peers.values()
            if peer.in_sync and peer.id != self.identity.id and (not anybody or peer.id in self.state.members)
        }

    # -- clients ------------------------------------------------------------------------------------------------

    def _submitted(self, event: Submitted, now: Now) -> None:
        if self.intake.collides(event.requests):
            self._deferred.append(event)
            return
        try:
            self._admit(event)
            decided = self.intake.decide(event.requests, now.wall)
        except NewswireError as error:
            self._reply(event.token, error)
            return
        if event.token is not None:
            waiting = _Waiting(event.token, decided, len(event.requests), event.copies, event.until)
            self._wait(waiting)

    def _admit(self, event: Submitted) -> None:
        """Refuse, before anything is staged, what cannot be stored as asked."""
        if self.why_not:
            raise Unavailable(self.why_not)
        if len(event.requests) > limits.BATCH_MESSAGES:
            raise TooLarge(f"a batch holds at most {limits.BATCH_MESSAGES} messages: send several")
        if self.intake.is_known(event.requests):
            return  # the first op's receipt, whatever the disk and the peers are like now
        if not self.writable and not all(isinstance(request, Acknowledge) for request in event.requests):
            raise StorageFull("the disk of this broker is full: nothing was stored; make room, or publish at another broker")
        most = 1 + len(self.in_sync())
        if event.copies > most:
            raise NotEnoughCopies(
                f"{event.copies} copies were asked for, and {most} broker{'s are' if most > 1 else ' is'} in sync:"
                " nothing was stored; try again when the others are back, or ask for fewer",
                copies=most,
            )

    def _wait(self, waiting: _Waiting) -> None:
        if self.intake.staged:
            self._staged_waiting.append(waiting)
        else:
            self._waiting.append(waiting)

    def _settle(self, now: Now) -> None:
        """RECEIPT: answer those whose ops every in-sync member has synced, and those who have waited too long."""
        peers = list(self.in_sync().values())
        left = []
        for waiting in self._waiting:
            if all(holds_all(peer.proved, waiting.decided.need) for peer in peers):
                self._reply(waiting.token, self._result(waiting, 1 + len(peers), now))
            elif waiting.until and now.clock >= waiting.until:
                self._reply(
                    waiting.token,
                    Unknown("stored here, but another broker has not confirmed it in time: retry with the same key"),
                )
            else:
                left.append(waiting)
                self._ask_for_proof(peers, waiting, now)
        self._waiting = left

    def _ask_for_proof(self, peers: list[Peer], waiting: _Waiting, now: Now) -> None:
        """Push now, even nothing: a peer from which an op came has it, but has yet to say so in an answer."""
        for peer in peers:
            if not peer.in_flight and not holds_all(peer.proved, waiting.decided.need):
                peer.next_at = now.clock

    def _result(self, waiting: _Waiting, copies: int, now: Now) -> Done | Row | NewswireError:
        decided = waiting.decided
        if waiting.row_of:
            return self._row_of(waiting.row_of, now)
        if copies < waiting.copies:
            return FewerCopies(
                f"stored on {copies} of the {waiting.copies} brokers asked for, the others were lost on the way:"
                " retrying with the same key is safe",
                id=decided.last,
                copies=copies,
            )
        return Done(decided.first, decided.last, waiting.count, copies)

    # -- disk ---------------------------------------------------------------------------------------------------

    def _stored(self, event: Stored, now: Now) -> None:
        """Apply what is on disk now, then tell."""
        changes = Changes()
        for op, (place, length) in zip(self.intake.clear(), event.places, strict=True):
            self.state.apply(op, place, length, changes)
        self.state.revive(changes)
        self.began = True
        self._settling = False
        self._waiting += self._staged_waiting
        self._staged_waiting = []
        if changes.topics or changes.users:
            self._actions.append(Wake(frozenset(changes.topics), frozenset(changes.users), self.serves))
        self._arrange(now)
        self._resume(now)

    def _unstored(self, event: Unstored, now: Now) -> None:
        self.intake.clear()
        self.settled = self.settled and not self._settling
        full = StorageFull("the disk of this broker is full: nothing was stored; make room, or publish at another broker")
        for waiting in self._staged_waiting:
            self._reply(waiting.token, full)
        self._staged_waiting = []
        for token, header in self._to_answer:
            self._refuse(token, header, full.code, full.detail)
        self._to_answer = []
        self._resume(now)

    def _resume(self, now: Now) -> None:
        deferred, self._deferred = self._deferred, []
        for event in deferred:
            self._submitted(event, now)

    def _set_writable(self, event: Writable, now: Now) -> None:
        self.writable = event.writable

    # -- peers --------------------------------------------------------------------------------------------------

    def _received(self, event: Received, now: Now) -> None:
        header = event.header
        refusal = self._objection(header, now)
        if refusal is None and not self.writable and event.raws:
            refusal = ("storage-full", "the disk of this broker is full")
        if refusal is None and not self._take_all(event.raws):
            refusal = ("bad-body", "the push holds something that is no operation")
        if refusal is not None:
            self._refuse(event.token, header, *refusal)
            return
        peer = self.peers.get(header.address)
        if peer is not None:
            restarted = peer.origin != header.origin
            peer.met(header, self.state, now.clock)
            if restarted or peer.state not in ("up", "catching-up"):
                peer.next_at = now.clock  # it lives: say hello now, not at the next heartbeat
        self._to_answer.append((event.token, header))

    def _objection(self, header: Header, now: Now) -> tuple[str, str] | None:
        """Why no ops are exchanged with this sender (code, sentence); None when they are. May adopt its cluster id."""
        if header.broker == self.identity.id and header.origin != self.identity.origin:
            return (
                "id-in-use",
                f"broker id {header.broker} is mine, at {self.identity.address}: start the other one with another --id",
            )
        for peer in self.peers.values():
            alive = peer.heard is not None and now.clock - peer.heard < self._silence
            if peer.id == header.broker and peer.address != header.address and peer.origin != header.origin and alive:
                return (
                    "id-in-use",
                    f"broker id {header.broker} is in use at {peer.address}: start the other one with another --id",
                )
        if header.cluster == self.cluster:
            return None
        if not self.settled and (header.settled or header.cluster < self.cluster):
            self.cluster = header.cluster
            return None
        if not header.settled:
            return None  # it adopts ours from the answer
        return "other-cluster", (
            f"this broker belongs to another cluster ({self.cluster[:8]}, not {header.cluster[:8]}):"
            " to join it, start the other broker with an empty ops directory"
        )

    def _take_all(self, raws: Any) -> bool:
        try:
            for raw in raws:
                self.intake.take(raw)
        except NotAnOp:
            return False
        return True

    def _answer_peers(self) -> None:
        """PUSH, answer: after the sync the vector, and ops that the pusher lacks and our own link cannot bring it."""
        for token, header in self._to_answer:
            peer = self.peers.get(header.address)
            full = header.full if header.full is not None else expand(self.state, header.vector)
            rows: list[int] = []
            if full is not None and header.want and (peer is None or not peer.in_sync):
                rows = self.state.log.lacking(full, min(header.want, limits.PUSH_OPS), limits.PUSH_BYTES)
            answer = self._header(header.number, full=header.full is not None or header.ask_full, ask_full=full is None)
            self._actions.append(Answer(token, answer, rows))
        self._to_answer = []

    def _refuse(self, token: object, header: Header, code: str, detail: str) -> None:
        answer = msgspec.structs.replace(self._header(header.number), code=code, detail=detail)
        self._actions.append(Answer(token, answer, []))

    def _answered(self, event: Answered, now: Now) -> None:
        peer, header = self.peers.get(event.address), event.header
        if peer is None or not peer.in_flight or header.number != peer.number:
            return
        if header.broker == self.identity.id and header.origin == self.identity.origin:
            self._own_addresses.add(peer.address)
            self._drop(peer, BadRequest("this address is the broker's own: name another one", code="bad-address"))
            return
        code, detail = (header.code, header.detail) if header.code else self._objection(header, now) or ("", "")
        if not code and not self._take_all(event.raws):
            code, detail = "bad-body", "the answer holds something that is no operation"
        if code:
            self._link_failed(peer, _STATE_OF.get(code, "down"), detail, now, code)
            return
        peer.answered(header, self.state, now.clock)
        if peer.holds is not None:
            self._follow_up(peer, progress=bool(event.raws), now=now)

    def _follow_up(self, peer: Peer, *, progress: bool, now: Now) -> None:
        """After a good answer: what it means for catching up, for operators who wait, for the next push."""
        if not peer.caught_up and peer.target is None:
            peer.target = peer.holds
        behind = not holds_all_of(self.state, peer.holds or {})
        if progress and behind:
            peer.next_at = now.clock  # fetch the rest with the next answers
        elif peer.address in self.catching_up and behind:
            peer.next_at = min(peer.next_at, now.clock + limits.CATCH_UP_SECONDS)
        joins, peer.joins = peer.joins, []
        for token, until in joins:
            self._stage_join(peer, token, until, now)

    def _failed(self, event: Failed, now: Now) -> None:
        peer = self.peers.get(event.address)
        if peer is not None and peer.in_flight and event.number == peer.number:
            self._link_failed(peer, event.state, event.detail, now, _CODE_OF.get(event.state, "unreachable"))

    def _link_failed(self, peer: Peer, state: str, detail: str, now: Now, code: str) -> None:
        peer.failed(state, detail, now.clock, self.identity.heartbeat)
        if state != "id-in-use":
            self.catching_up.discard(peer.address)
        joins, peer.joins = peer.joins, []
        for token, _ in joins:
            self._reply(token, Refused(f"{peer.address}: {detail}", code=code))
        if joins and peer.address not in self._wanted_links():
            self._disconnect(peer)

    def _drop(self, peer: Peer, error: NewswireError) -> None:
        self.catching_up.discard(peer.address)
        for token, _ in peer.joins:
            self._reply(token, error)
        self._disconnect(peer)

    def _push(self, now: Now) -> None:
        """Send what peers lack; not while something is staged: it can go along in a moment."""
        for peer in self.peers.values():
            if peer.is_late(now.clock):
                peer.in_sync = False
            if self.began and not self.intake.staged and peer.is_due(self.state, now.clock):
                rows = peer.rows(self.state)
                number = peer.sending(self.state, rows, now.clock, self.identity.heartbeat)
                header = self._header(
                    number, full=peer.tell_full, ask_full=peer.ask_full, want=limits.PUSH_OPS if self.writable else 0
                )
                self._actions.append(Send(peer.address, header, rows))

    def _header(self, number: int, *, full: bool = False, ask_full: bool = False, want: int = 0) -> Header:
        identity = self.identity
        return Header(
            broker=identity.id,
            address=identity.address,
            origin=identity.origin,
            cluster=self.cluster,
            settled=self.settled,
            primary=identity.primary,
            serves=self.serves,
            number=number,
            vector=dict(self.state.vector),
            full=self.state.log.full_vector() if full else None,
            ask_full=ask_full,
            want=want,
        )

    # -- membership ---------------------------------------------------------------------------------------------

    def _join(self, event: Join, now: Now) -> None:
        address = event.address
        if address in self._own_addresses:
            if self.identity.id in self.state.members or not self.state.members.anybody():
                self._reply(event.token, BadRequest("this address is the broker's own: name another one", code="bad-address"))
            else:
                self._stage_member(self.identity.id, self.identity.address, event.token, event.until, now)
            return
        if address not in self.peers:
            if len(self.peers) >= limits.PEERS_COUNT:
                self._reply(event.token, Refused(f"{limits.PEERS_COUNT} peers are the most: remove one first", code="too-many"))
                return
            self._connect(address, now)
        peer = self.peers[address]
        peer.joins.append((event.token, event.until))
        peer.next_at = now.clock

    def _stage_join(self, peer: Peer, token: object, until: float, now: Now) -> None:
        me, members = self.identity, self.state.members
        if peer.id in members and members.addresses[peer.id] == peer.address and me.id in members:
            self._reply(token, self._row_of(peer.id, now))
            return
        if not members.ever(me.id) or not members.anybody():  # while nobody is a member all serve, and whoever is asked stays
            self.intake.stamp(self._joined(me.id, me.address), now.wall)
        self._stage_member(peer.id, peer.address, token, until, now)

    def _stage_member(self, broker: str, address: str, token: object, until: float, now: Now) -> None:
        op = self.intake.stamp(self._joined(broker, address), now.wall)
        decided = Decided(op.id, op.id, {op.origin: op.sequence}, True)
        self._wait(_Waiting(token, decided, 1, 1, until, address))

    def _joined(self, broker: str, address: str) -> Joined:
        return Joined("", 0, 0, broker, address, self.state.members.ids(broker))

    def _leave(self, event: Leave, now: Now) -> None:
        broker = roster.resolve(self, event.broker)
        if broker is None:
            detail = f"no member {event.broker}: GET /list_replicas lists the brokers there are"
            self._reply(event.token, NotFound(detail, code="no-broker"))
            return
        if broker == self.identity.id:
            if not any(peer.id != broker for peer in self.in_sync().values()):
                detail = "no other broker is in sync, so this one may not leave: its messages would be nowhere else"
                self._reply(event.token, Refused(detail, code="last-broker"))
                return
            self.leaving = True
        op = self.intake.stamp(Left("", 0, 0, broker, self.state.members.ids(broker)), now.wall)
        decided = Decided(op.id, op.id, {op.origin: op.sequence}, True)
        self._wait(_Waiting(event.token, decided, 1, 1, 0.0, broker))

    def _introduce(self, now: Now) -> None:
        """Become a member: once a peer has been met, if this broker never was one, or where its address changed."""
        me, members = self.identity, self.state.members
        if self.leaving or not self.began or not self.writable or self.catching_up or self.intake.staged:
            return
        moved = me.id in members and members.addresses[me.id] != me.address
        met = any(peer.in_sync and holds_all_of(self.state, peer.holds or {}) for peer in self.peers.values())
        first = met and not members.ever(me.id)
        if first or moved:
            self.intake.stamp(self._joined(me.id, me.address), now.wall)

    def _wanted_links(self) -> list[str]:
        members = self.state.members.addresses
        addresses = [*self.identity.peers, *(address for broker, address in members.items() if broker != self.identity.id)]
        return [address for address in dict.fromkeys(addresses) if address not in self._own_addresses]

    def _arrange(self, now: Now) -> None:
        """Open links to brokers that joined, close those to addresses that nobody has any more."""
        wanted = self._wanted_links()
        for address in wanted:
            if address not in self.peers:
                self._connect(address, now)
        for peer in list(self.peers.values()):
            if peer.address not in wanted and not peer.joins:
                self._disconnect(peer)

    def _connect(self, address: str, now: Now) -> None:
        self.peers[address] = Peer(address, now.clock)
        self._actions.append(Connect(address))

    def _disconnect(self, peer: Peer) -> None:
        del self.peers[peer.address]
        self.catching_up.discard(peer.address)
        self._actions.append(Disconnect(peer.address))

    def _row_of(self, name: str, now: Now) -> Row:
        for row in self.view(now).rows:
            if name in (row.id, row.ip):
                return row
        return Row(name, self.state.members.addresses.get(name, name), False, "down", 0)

    # -- time ---------------------------------------------------------------------------------------------------

    def _tick(self, event: Tick, now: Now) -> None:
        if self._retention is None or not self.serves:
            return
        kept = self._retention.advance(now.wall, now.clock)
        if now.clock < self._retention_due or self.intake.staged or not roster.is_primary(self, now):
            return
        self._retention_due = now.clock + limits.RETENTION_EVERY_SECONDS
        before = kept - int(self.identity.retention_seconds * 1000)
        for topic, vector in to_drop(self.state, before, self.identity.retention_messages):
            self.intake.stamp(Dropped("", 0, 0, topic, vector), now.wall)

    @property
    def _silence(self) -> float:
        """Seconds after which a silent broker is taken for dead."""
        return self.identity.heartbeat + limits.HEARTBEAT_GRACE_SECONDS

    # -- what every step ends with ------------------------------------------------------------------------------

    def _flush(self, now: Now) -> list[Action]:
        self._see_who_caught_up()
        self._introduce(now)
        self._append()
        if not self.intake.staged:
            self._answer_peers()
        self._settle(now)
        self._push(now)
        self._tell_serving()
        return self._take_actions()

    def _flush_submit(self, now: Now) -> list[Action]:
        """The short end of a step that only staged a client's ops: nothing else changed."""
        self._append()
        if self._waiting and not self.intake.staged:
            self._settle(now)  # a retry that is known already
            self._push(now)
        return self._take_actions()

    def _take_actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _see_who_caught_up(self) -> None:
        for peer in self.peers.values():
            if peer.target is not None and holds_all_of(self.state, peer.target):
                peer.caught_up, peer.target = True, None
            if peer.caught_up and peer.in_sync:  # so that the first publish taken here has its second copy
                self.catching_up.discard(peer.address)

    def _append(self) -> None:
        """Hand what was staged since the last time to the disk; the first op that is no `began` fixes the cluster id."""
        if not self.intake.raws:
            return
        fresh = self.intake.staged[-len(self.intake.raws) :]
        if not self.settled and not all(isinstance(op, Began) for op in fresh):
            self.settled = self._settling = True
            self._actions.append(Found(self.cluster))
        self._actions.append(Append(fresh, self.intake.raws))
        self.intake.raws = []

    def _tell_serving(self) -> None:
        if self.serves != self._served:
            self._served = self.serves
            self._actions.append(Wake(frozenset(), frozenset(), self._served))
        if self.leaving and self.began and any(holds_all(peer.proved, self.state.vector) for peer in self.in_sync().values()):
            self._actions.append(Exit("this broker left the cluster; all that it held is at the others"))

    def _reply(self, token: object | None, result: Done | Row | NewswireError) -> None:
        if token is not None:
            self._actions.append(Reply(token, result))


_STATE_OF = {"other-cluster": "other-cluster", "id-in-use": "id-in-use", "unauthenticated": "peer-auth-failed"}
_CODE_OF = {state: code for code, state in _STATE_OF.items()}
