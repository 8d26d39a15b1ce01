"""The broker without its disk, clock and wires: `step(event, now) -> actions` (docs/architecture.md, One publish).

What a shell must do is in `core.broker.events`. What is promised here:

- Nothing is answered, applied, streamed or counted before `Stored` said that it is on disk.
- A client's receipt is given when its ops are synced here and covered by the last answer of every in-sync member.
- A peer is answered after the sync, so that its answer proves the second copy.
- After a start no client is served before every peer that can be reached has handed over what it held, and is in sync.

The broker mediates. Each part owns what it alone changes and does not know the others: `stager` what is staged, `replication`
what is known of peers, `membership` who belongs, `receipts` who waits, and so on. A part takes an event or a value and
returns what follows; `parts` passes it on (`_follow`), and answers what takes several of them. Here is what happens, in order.

Longer than other rooms: what happens in one step is in order only where it can be read in one place.

All methods: the commit thread. `state` may be read by others under the state lock, which the shell holds around each
`step`, but not around a `stage` that `stages_only` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeGuard

from newswire.core import limits
from newswire.core.access import EVERYBODY
from newswire.core.broker import events, status, values
from newswire.core.broker.events import Action, Answered, Event, Header, Now, Received, Reply, Stored, Submitted, Wake
from newswire.core.broker.key_lookup import names_any
from newswire.core.broker.long_batch import is_long
from newswire.core.broker.parts import Parts
from newswire.core.broker.receipts import check_copies
from newswire.core.broker.replication import CODE_OF, STATE_OF
from newswire.core.broker.shared_log import SharedLog
from newswire.core.model.balance import Load
from newswire.core.model.commands import Acknowledge, Publish
from newswire.core.model.ops import NO_PLACE, Acknowledged, Began, Lost, NotAnOp, Op
from newswire.core.state.fold import Changes, State
from newswire.errors import BadRequest, NewswireError, Refused, StorageFull, TooLarge, Unavailable

_FULL: Final = "the disk of this broker is full: nothing was stored; make room, or publish at another broker"


class _Terms(NamedTuple):
    """What requests are stored on: why none is, "" if they are; on how many disks. What is staged changes neither."""

    why_not: str
    most_copies: int


def stages_only(event: Event) -> TypeGuard[Submitted]:
    """Say whether staging `event` changes nothing that queries or views read, nor looks at what they share: publishes."""
    return isinstance(event, Submitted) and all(isinstance(request, Publish) for request in event.requests)


class Broker(Parts):
    """One broker: fed events, it says what to do."""

    def __init__(
        self,
        identity: values.Identity,
        state: State,
        cluster: str,
        *,
        settled: bool,
        alone: bool = False,
        log: SharedLog | None = None,
    ) -> None:
        """As `Parts`."""
        super().__init__(identity, state, cluster, settled=settled, alone=alone, log=log)
        self._deferred: list[Submitted] = []
        self._unapplied: list[tuple[Op, int, int]] = []  # of what is stored, what follows the piece that was applied
        self._wants_room = False  # the disk has little room
        self._given_up = ""  # the origin of a long batch that is to be forgotten
        self._shorten_due = False  # a long batch left an origin in the vector
        self._forgotten = state.lineage.forgotten  # origins of which nothing follows any more
        self._changes = Changes()  # by what was applied of the batch that is being applied, and not told yet
        self._served = (False, False)  # clients, streams: as it was told last
        self._lives_at = 0.0  # on `Now.clock`: when this broker stamps something, whether or not there is anything to say

    # -- the shell's side ---------------------------------------------------------------------------------------

    def begin(self, now: Now) -> list[Action]:
        """START: the first actions of a run. The shell recovered the state, and began a segment for this origin."""
        self.clocks.start(self.identity, self.state, now)
        self._lives_at = now.clock + limits.LIVES_SECONDS
        self._watch_clocks(now)
        self.state.forget_unfinished(self.identity.id)
        self._actions += self.replication.start(self.membership.choose_links(()), now)
        self.stager.stamp(Began(**NO_PLACE, broker=self.identity.id, vector=dict(self.state.vector)), now.wall)
        for lost in self.state.holes.losses():
            self.stager.stamp(Lost(**NO_PLACE, source=lost.source, first=lost.first, last=lost.last), now.wall)
        return self._finish(now)

    def step(self, event: Event, now: Now) -> list[Action]:
        """Take an event; return what is to be done, in order."""
        if isinstance(event, Submitted):
            self.stage((event,), now)
            return self.finish_stage(now)
        self._take(event, now)
        return self._take_actions() if isinstance(event, Stored) and (event.more or self.is_applying) else self._finish(now)

    @property
    def is_applying(self) -> bool:
        """Whether something that is stored is to be applied before anything else (see `Stored`)."""
        return bool(self._unapplied)

    def _take(self, event: Event, now: Now) -> None:
        match event:
            case Stored():
                self._apply(event, now)
            case events.Tick():
                self._tick(event, now)
            case Received():
                self._receive(event, now)
            case events.Logged(raws):
                self.stager.take_logged(raws)
            case Answered():
                self._take_answer(event, now)
            case events.Failed(address, number, state, detail) if self.replication.awaits(address, number):
                self._fail_push(address, state, CODE_OF.get(state, "unreachable"), detail, now)
            case events.HungUp(address):
                self.replication.hang_up(address, now)
            case events.Unstored(named):
                self._drop_staged(now, named=named)
            case events.Writable(writable):
                self.writable = writable
            case events.Loaded(streams, limit):
                self.load = Load(streams, limit)
            case events.SilentDamage(places):
                self._silent_damage = places
            case events.Unreadable():
                self.losses.miss(event, self.batches.origin)
                self.replication.greet_all(now)
            case events.Recalled():
                self._follow(self.losses.take(event, self.stager.again, writable=self.writable), now)
            case events.AcceptLoss():
                self._accept_loss(event, now)
            case events.Join():
                self._follow(self.membership.join(event, self.replication.links, self.replication.sources), now)
            case events.Compact():
                self._follow(self.compaction.ask(event), now)
            case events.Rewritten():
                self._take_over(event, now)
            case events.RewriteFailed():
                self._follow(self.compaction.fail(event), now)
                self.stager.adopts = self.compaction.adopted_losses
            case events.Leave():
                self._follow([self.membership.leave(event, self.replication.in_sync(), self.state.holes.waiting)], now)

    def stage(self, submitted: Iterable[Submitted], now: Now) -> None:
        """The first half of a step that takes clients' requests; of those that `stages_only` names, beside the state lock."""
        terms = self._terms()
        for event in submitted:
            if self.stager.collides(event.requests) or names_any(event.requests, self.batches.marks):
                self._deferred.append(event)
            elif is_long(event.requests):
                self.batches.add(event)
            else:
                self._decide(event, terms, now)

    def _terms(self) -> _Terms:
        """On what terms requests are stored now."""
        return _Terms(self._why_not(), 1 + self.replication.count_writable())

    def _decide(self, event: Submitted, terms: _Terms, now: Now) -> None:
        try:
            self._admit(event, terms, now)
            staged = self.stager.decide(event.requests, now.wall, event.by)
        except NewswireError as error:
            self._follow([Reply(event.reply_to, error)], now)
            return
        self._await(event, staged)

    def _await(self, event: Submitted, staged: values.Staged) -> None:
        wait = self.receipts.wait_for_disk if self.stager.staged else self.receipts.wait_for_peers
        wait(event.reply_to, staged, count=len(event.requests), copies=event.copies, until=event.until)

    def finish_stage(self, now: Now) -> list[Action]:
        """The other half, and the short end of a step: nothing changed but what is staged."""
        if self._given_up:
            self._forget_batch()
            self._resume(now)
        self._append(now)
        if self.receipts and not self.stager.staged:  # a retry of what is known already
            self._settle_receipts(now)
            self._push(now)
        return self._take_actions()

    # -- clients ------------------------------------------------------------------------------------------------

    def _admit(self, event: Submitted, terms: _Terms, now: Now) -> None:
        """Refuse, before anything is staged, what cannot be stored as asked."""
        self._check_serves(event, terms)
        if not self.stager.keys.stores_nothing(event.requests, now.wall):
            self._check_room(event, terms)  # else the first op's receipt, whatever the disk and the peers are like now

    def _check_serves(self, event: Submitted, terms: _Terms) -> None:
        """Raises Unavailable or TooLarge."""
        if terms.why_not:
            raise Unavailable(terms.why_not)
        if len(event.requests) > limits.BATCH_MESSAGES:
            raise TooLarge(f"a batch holds at most {limits.BATCH_MESSAGES} messages: send several")

    def _check_room(self, event: Submitted, terms: _Terms) -> None:
        """Raises StorageFull or NotEnoughCopies."""
        if not self.writable and not all(isinstance(request, Acknowledge) for request in event.requests):
            raise StorageFull(_FULL)
        check_copies(event.copies, terms.most_copies)

    def _resume(self, now: Now) -> None:
        """Decide what had to wait for the state that is there now."""
        deferred, self._deferred = self._deferred, []
        self.stage(deferred, now)

    # -- disk ---------------------------------------------------------------------------------------------------

    def _apply(self, event: Stored, now: Now) -> None:
        """Apply what is on disk now, then tell. Of a piece only changes of subscriptions: `streams.stream` says why."""
        changes = self._changes
        ops = self.stager.take_stored(len(event.places))
        stored = [(op, *where) for op, where in zip(ops, event.places, strict=True)]
        if self.compaction.job is not None:
            self.compaction.job.tail.extend(stored)
        todo = [*self._unapplied, *stored]
        rest = self.state.apply_all(todo[: limits.PIECE_OPS], changes)
        self._unapplied = [*rest, *todo[limits.PIECE_OPS :]]
        if self.state.lineage.forgotten > self._forgotten:
            self._forgotten = self.state.lineage.forgotten
            self.replication.ask_again(now)
        if event.more or self.is_applying:
            if changes.users:
                self._actions.append(Wake(frozenset(), frozenset(changes.users), self._serves_streams(now)))
                changes.users.clear()
            return
        self.stager.clear()
        self._changes = Changes()
        self.state.revive(changes)
        self._shorten_due |= self.batches.finish()
        self.begun = True
        if self.cluster_id.store():
            self.replication.greet_all(now)  # others may settle on it, too
        self.receipts.store()
        self.membership.settle()
        if changes.topics or changes.users:
            self._actions.append(Wake(frozenset(changes.topics), frozenset(changes.users), self._serves_streams(now)))
        self._follow(self.membership.arrange_links(self.replication.links, self.replication.sources), now)
        self._resume(now)

    def _drop_staged(self, now: Now, *, named: bool) -> None:
        """Nothing of what was staged is on disk: the disk is full."""
        full = StorageFull(_FULL)
        self.stager.unstored()
        self.retention.forget()
        if self.cluster_id.fail(now, named=named):
            self.replication.greet_all(now)
        self._follow(self.receipts.fail(full), now)
        self._actions += self.replication.fail_answers(full, self._announce(now))
        self._give_up_batch(full, now)
        self._forget_batch()
        self.membership.settle()
        self._resume(now)

    # -- compaction ---------------------------------------------------------------------------------------------

    def _begin_rewriting(self, now: Now) -> None:
        """COMPACT, ADOPT: nothing is staged, and all that is stored is applied."""
        facts, proofs = self.replication.facts(now), self.replication.proofs()
        if not self.writable:
            proofs = []  # who is full, too, gets no further: what only waits for that one goes, and it is handed what stays
        self._watch_clocks(now)  # else the time of what was taken since began when they were looked at last
        ends = self.expiry.ends(self.clocks, self._latest(now))
        begin = self.compaction.begin(facts, proofs, self.stager.keys.shifts, ends, now, wants_room=self._wants_room)
        self._follow(begin, now)
        self.stager.adopts = self.compaction.adopted_losses

    def _take_over(self, event: events.Rewritten, now: Now) -> None:
        """Go on with the state of a log that was written anew."""
        doing, job = self.compaction.take_over(event)
        self._follow(doing, now)
        if job is None:
            return
        old, state = self.state, job.state
        same_places, same_vectors = state.succeed(old, job.cut, job.cut_after, adopts=job.adopts)
        self.expiry.become(job, same_rows=same_places)
        self._become(job, now, goes_on=same_vectors)
        self._forgotten = state.lineage.forgotten
        self._follow(self.compaction.finish(job), now)
        self.stager.adopts = ()
        if not same_places:
            self._actions.append(Wake(frozenset(state.messages.names[1:]), frozenset((EVERYBODY,)), self._serves_streams(now)))
        self._follow(self.membership.arrange_links(self.replication.links, self.replication.sources), now)

    def _take_part(self, header: Header, raws: Sequence[bytes], now: Now) -> Sequence[bytes]:
        """Take the part of an offer that comes with a header; return the ops that it is not made of. Raises BadRequest."""
        offer = header.offer
        if offer is None or not offer.count <= len(raws):
            return raws
        rest = raws[: len(raws) - offer.count]
        if header.cluster == self.cluster_id.id and self.compaction.takes(header, now):
            try:
                self._follow(self.compaction.take_part(header.broker, offer, raws[len(rest) :], now), now)
            except NotAnOp:
                raise BadRequest("the part of an offer holds something that is no operation", code="bad-body") from None
        return rest

    # -- long batches -------------------------------------------------------------------------------------------

    @property
    def stores_batches(self) -> bool:
        """Whether a long batch is under way, or waits for its turn."""
        return bool(self.batches or self._given_up)

    @property
    def has_batch(self) -> bool:
        """Whether the next piece of a long batch may be staged, whatever comes."""
        batches = self.batches
        if not batches.is_under_way:
            return bool(batches) and self.begun
        return batches.is_stored and (not batches.lacks_last or self.replication.has_copied(batches.origin, batches.size - 1))

    def stage_batch(self, now: Now) -> None:
        """BATCH: stage the next piece when the last one is stored; once a round, beside the state lock. Then `finish_stage`."""
        while self.begun and (event := self.batches.pop_next()) is not None:
            self._begin_batch(event, now)
        if self.batches.is_late(now):
            late = Unavailable("too much is stored at this broker: the batch was not stored, send it again")
            self._give_up_batch(late, now)
        elif self.batches.is_under_way and self.has_batch:
            try:
                pending = self.batches.note(self.stager.stage_piece(self.batches.origin, *self.batches.next_piece(), now.wall))
            except NewswireError as error:
                self._give_up_batch(error, now)
                return
            if pending is not None:
                event, named = pending
                count, copies = len(event.requests), event.copies
                self.receipts.wait_for_disk(event.reply_to, named.staged, count=count, copies=copies, until=event.until)

    def _begin_batch(self, event: Submitted, now: Now) -> None:
        """Its keys and copies are checked for all of it first. Each key is looked up once: 10,000 take as long as 20 pieces."""
        try:
            terms = self._terms()
            self._check_serves(event, terms)
            named = self.stager.name_batch(event.requests, now.wall, event.by)
            if named.messages:
                self._check_room(event, terms)
                self.stager.take_name()
        except NewswireError as error:
            self._follow([Reply(event.reply_to, error)], now)
            return
        match len(named.messages):
            case 0:
                self._await(event, named.staged)
            case 1:
                self._decide(event, terms, now)
            case _:
                self.batches.begin(event, named)

    def _give_up_batch(self, error: NewswireError, now: Now) -> None:
        self._given_up = self.batches.origin
        self._follow(self.batches.give_up(error), now)

    def _forget_batch(self) -> None:
        self.state.open_batches.of.pop(self._given_up, None)
        self._given_up = ""

    # -- peers --------------------------------------------------------------------------------------------------

    def _receive(self, event: Received, now: Now) -> None:
        """A push came: take what is next of its origin; it is answered when that is stored."""
        try:
            self._check(event.header, now)
            if event.raws and not self.writable:
                raise StorageFull("the disk of this broker is full")
            raws = self._take_part(event.header, event.raws, now)
            self.stager.take_all(raws if event.header.cluster == self.cluster_id.id else (), "push")
        except NewswireError as error:
            self._actions.append(self.replication.refuse(event.reply_to, event.header, error, self._announce(now)))
        else:
            self.replication.hear(event.reply_to, event.header, now)

    def take_piece(self, event: Received | Answered, raws: Sequence[bytes], now: Now) -> bool:
        """Take some of the ops that `event` brings, before the step that takes the rest, and answers for all.

        False: that step is to take all that is left, or to say why nothing is taken.
        """
        header = event.header
        if isinstance(event, Answered):
            mine = (header.broker, header.origin) == (self.identity.id, self.identity.origin)
            if header.code or mine or not self.replication.awaits(event.address, header.number):
                return False
        elif not self.writable:
            return False
        try:
            self._check(header, now)
            self.stager.take_all(raws if header.cluster == self.cluster_id.id else (), "push")
        except NewswireError:
            return False
        return True

    def _take_answer(self, event: Answered, now: Now) -> None:
        """The answer to the push in flight: the proof of a copy, and perhaps ops."""
        address, header = event.address, event.header
        if not self.replication.awaits(address, header.number):
            return
        if (header.broker, header.origin) == (self.identity.id, self.identity.origin):
            self._follow(self.membership.meet_myself(address, self.replication.sources), now)
            return
        code, detail = header.code, header.detail
        before = self._what_came
        try:
            if not code:
                self._check(header, now)
                self.replication.agree(address, header, (self.cluster_id.id, self.cluster_id.turn))
                raws = self._take_part(header, event.raws, now)
                self.stager.take_all(raws if header.cluster == self.cluster_id.id else (), "answer")
        except NewswireError as error:
            code, detail = error.code, error.detail
        if code:
            state = STATE_OF.get(code, "down")
            self._fail_push(address, state, CODE_OF.get(state, code), detail, now)
            return
        self.replication.take_answer(address, header, now, progress=self._what_came != before)
        self._follow(self.membership.meet(address, header.broker), now)

    @property
    def _what_came(self) -> tuple[object, ...]:
        """What changes when something of an answer is taken: of what is not, asking for more at once brings the same again."""
        return len(self.stager.staged), len(self.stager.owed), self.compaction.offered

    def _fail_push(self, address: str, state: str, code: str, detail: str, now: Now) -> None:
        """The push in flight got no usable answer."""
        self.replication.fail(address, state, detail, now)
        self._follow(self.membership.fail(address, code, detail, self.replication.sources), now)

    def _check(self, header: Header, now: Now) -> None:
        """Raise Refused if no ops are exchanged with this sender. May take its cluster id for our own."""
        self.replication.check_sender(header, now)
        if self.cluster_id.take(header, self._others(), has_ops=not self.state.log.holds_nothing):
            self.replication.greet_all(now)  # to let all others know soon
            if header.settled or (self.state.log.holds_nothing and header.has_ops):
                self._actions += self.replication.fetch_from(header.address, now)

    def _accept_loss(self, event: events.AcceptLoss, now: Now) -> None:
        peers, away = self.replication.facts(now), status.away(self._situation(now))
        try:
            if why_not := self._why_not():
                raise Refused(why_not, code="not-ready")
            if any(self.stager.stages_any(hole.origin, hole.first, hole.last) for hole in self.state.holes.all):
                raise Refused("something that was missing here is being stored: wait a moment", code="not-lost")
            self._follow(self.losses.accept(event, self.stager.again, peers, away, self.stager.origin), now)
        except NewswireError as error:
            self._follow([Reply(event.reply_to, error)], now)

    # -- time ---------------------------------------------------------------------------------------------------

    def _tick(self, event: events.Tick, now: Now) -> None:
        """Take the time of day; a primary does what is to be done by now, a piece at a time: it drops what is old, publishes
        what is due, withdraws what is over, and names who is late.
        """
        self._watch_clocks(now)
        self._wants_room = event.wants_room
        self._follow(self.compaction.tick(event, now), now)
        if now.clock >= self._lives_at and self.serves and self._may_stamp():
            self._lives_at = now.clock + limits.LIVES_SECONDS
            self._follow([values.Stamp([Acknowledged(**NO_PLACE)])], now)  # of nothing: it says that this broker lives
        if self.stager.staged or not (self.serves and self.clocks.has_met):
            return
        is_old = self.retention.is_due(now, wants_room=event.wants_room, is_tight=self.compaction.is_tight)
        is_over = self.expiry.is_due(self.clocks, now)
        is_late = self.escalation.is_due(self.clocks, now)
        is_time = self.release.is_due(self.clocks, now)
        if not (is_old or is_over or is_late or is_time):
            return
        decides = status.is_primary(self._situation(now))
        latest = self._latest(now)
        if is_over:
            self._follow([self.expiry.look(self.clocks, latest, now, decides=decides)], now)
        if is_time:
            has_more = any(peer.has_more for peer in self.replication.facts(now) if peer.state in ("up", "catching-up"))
            lacks_news = has_more or bool(self.state.holes.all)
            self._follow([self.release.look(self.clocks, now, decides=decides, lacks_news=lacks_news)], now)
        if is_late:
            self._follow([self.escalation.look(now, decides=decides)], now)
        if is_old and (decides or not self.writable):  # a full disk takes nothing that the primary decides
            in_need = event.wants_room or self.compaction.is_tight
            self._follow([self.retention.drop(self.clocks.retention, latest, now, in_need=in_need)], now)

    def _latest(self, now: Now) -> int:
        """The latest time that it may be, in ms, by what any broker says or has lived through."""
        return max(self.clocks.latest, now.wall + self.replication.most_ahead())

    # -- what every step ends with ------------------------------------------------------------------------------

    def _finish(self, now: Now) -> list[Action]:
        self.replication.look_around(now)
        self._follow(self.membership.give_up(self.replication.sources, now), now)
        if self._may_stamp():
            has_met = self.membership.is_stranger and self.replication.has_met_anybody()
            self._follow(self.membership.introduce(met=has_met), now)
        self._shorten_due |= self.state.log.held(self.stager.origin) > limits.RUN_OPS
        if (self._shorten_due or len(self.state.vector) > limits.VECTOR_SHORTEN_ENTRIES) and self._may_stamp():
            self._shorten_due = False
            self.stager.renew(self.identity.id, now.wall)  # brokers without a disk were started often
        debts = self.stager.owes(self.compaction.losses)
        self._actions += self.losses.recall([*debts, *self.stager.pop_owed()], self.stager.again)
        if self.compaction.wants_more and self.begun and not (debts or self.stager.staged or self.is_applying):
            self._begin_rewriting(now)
        self._append(now)
        if self.replication.owes_answers and not self.stager.staged:
            self._actions += self.replication.answer(self._announce(now))
        self._settle_receipts(now)
        serves = self.serves
        if (serving := (serves, serves and self._gets_all_news(now))) != self._served:
            if not serves:
                self.clocks.part()
            elif not self._served[0]:
                self.clocks.meet(self.identity, self.state)
                self.replication.serve()
            self._served = serving  # streams and peers are told when this broker begins or stops to serve them
            self._actions.append(Wake(frozenset(), frozenset(), serving[1]))
            self.replication.greet_all(now)
        self._push(now)
        # what waits behind damage is in no vector, and perhaps nowhere else; nor is a long batch that is under way
        waits = self.stager.staged or self.batches.is_under_way or self.state.holes.waiting
        if self.membership.has_left and not waits and self.replication.is_held_elsewhere():
            self._actions.append(events.Exit("this broker left the cluster; all that it held is at the others"))
        return self._take_actions()
