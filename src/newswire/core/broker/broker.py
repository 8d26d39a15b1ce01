"""The broker without its disk, clock and wires: `step(event, now) -> actions` (docs/architecture.md, One publish).

What a shell must do is in `core.broker.events`. What is promised here:

- Nothing is answered, applied, streamed or counted before `Stored` said that it is on disk.
- A client's receipt is given when its ops are synced here and covered by the last answer of every in-sync member.
- A peer is answered after the sync, so that its answer proves the second copy.
- After a start no client is served before every peer that can be reached has handed over what it held, and is in sync.

This file takes clients' requests and what the disk reports; `peering`, `membership` and `receipts` do the rest over the
`Cluster` that all of them share. All methods: the commit thread. `state` may be read by others under the state lock, which
the shell holds around each `step`, but not around a `stage` that `stages_only` names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.broker.clock import RetentionClock, WallClock, lived_until, newest_stamp, start_of_clock
from newswire.core.broker.cluster import Cluster
from newswire.core.broker.events import (
    AcceptLoss,
    Action,
    Answered,
    Append,
    Event,
    Exit,
    Failed,
    FixClusterId,
    HungUp,
    Join,
    Leave,
    Now,
    Recalled,
    Received,
    Stored,
    Submitted,
    Tick,
    Unreadable,
    Unstored,
    Wake,
    Writable,
)
from newswire.core.broker.losses import Losses
from newswire.core.broker.membership import Membership
from newswire.core.broker.peering import Peering
from newswire.core.broker.receipts import Receipts, Waiting
from newswire.core.broker.replication import holds_all
from newswire.core.broker.retention import Sweep
from newswire.core.broker.values import ClusterStatus, Identity
from newswire.core.model.commands import Acknowledge, Publish
from newswire.core.model.ops import Began, Dropped, Lost
from newswire.core.state.fold import Changes, State
from newswire.errors import NewswireError, NotEnoughCopies, StorageFull, TooLarge, Unavailable

_FULL = "the disk of this broker is full: nothing was stored; make room, or publish at another broker"


def stages_only(event: Event) -> TypeGuard[Submitted]:
    """Say whether staging `event` changes nothing that queries or views read, nor looks at what they share: publishes."""
    return isinstance(event, Submitted) and all(isinstance(request, Publish) for request in event.requests)


class Broker:
    """One broker: fed events, it says what to do."""

    def __init__(self, identity: Identity, state: State, cluster: str, *, settled: bool) -> None:
        """`cluster`: the id that the ops file names (`settled`), else one minted for the case that no peer has another."""
        self.identity, self.state = identity, state
        self.cluster = Cluster(identity, state, cluster, settled=settled)
        self.intake = self.cluster.intake
        self.receipts = Receipts(self.cluster)
        self.membership = Membership(self.cluster, self.receipts)
        self.peering = Peering(self.cluster, self.membership)
        self.losses = Losses(self.cluster, self.receipts)
        self._deferred: list[Submitted] = []
        self._forgotten = state.lineage.forgotten  # origins of which nothing follows any more
        self._changes = Changes()  # by what was applied of the batch that is being applied, and not told yet
        self._served = (False, False)
        self._settle_at = 0.0  # not before: there was no room
        self._retention_due = 0.0
        self._sweep = Sweep()
        self._steps: dict[type, Callable[[Any, Now], None]] = {
            Stored: self._stored,
            Unstored: self._unstored,
            Tick: self._tick,
            Writable: self._set_writable,
            Received: self.peering.received,
            Answered: self.peering.answered,
            Failed: self.peering.failed,
            HungUp: self.peering.hung_up,
            Join: self.membership.join,
            Leave: self.membership.leave,
            AcceptLoss: self.losses.accept,
            Unreadable: self.losses.unreadable,
            Recalled: self.losses.recalled,
        }

    # -- the shell's side ---------------------------------------------------------------------------------------

    def begin(self, now: Now) -> list[Action]:
        """START: the first actions of a run. The shell recovered the state, and began a segment for this origin."""
        lived = lived_until(self.state)
        start = now.wall if self.identity.trust_clock else start_of_clock(self.state, now.wall, lived)
        self._retention = RetentionClock(start, max(lived.values(), default=0), now.wall, now.clock)
        self._wall_clock = WallClock(now.wall, now.clock, newest_stamp(self.state, self.identity.id))
        self._watch_clock(now)
        self.cluster.started = now.clock
        for address in self.membership.wanted_links():
            self.cluster.connect(address, now)
            self.cluster.catching_up.add(address)
        self.intake.stamp(Began("", 0, 0, self.identity.id, dict(self.state.vector)), now.wall)
        for lost in self.state.losses_waiting():
            self.intake.stamp(Lost("", 1, 0, lost.source, lost.first, lost.last), now.wall)
        return self._finish(now)

    def step(self, event: Event, now: Now) -> list[Action]:
        """Take an event; return what is to be done, in order."""
        if isinstance(event, Submitted):
            self.stage(event, now)
            return self.finish_stage(now)
        self.cluster.wall = now.wall
        self._steps[type(event)](event, now)
        return self._take_actions() if isinstance(event, Stored) and event.more else self._finish(now)

    def stage(self, event: Submitted, now: Now) -> None:
        """The first half of a step that takes clients' requests; of those that `stages_only` names, beside the state lock."""
        self.cluster.wall = now.wall
        self._submitted(event, now)

    def finish_stage(self, now: Now) -> list[Action]:
        """The other half, and the short end of a step: nothing changed but what is staged."""
        self._append(now)
        if self.receipts and not self.intake.staged:  # a retry of what is known already
            self.receipts.settle(now)
            self.peering.push(now)
        return self._take_actions()

    @property
    def serves(self) -> bool:
        """Whether clients may be served: begun, caught up, not removed, not leaving."""
        return not status.why_not(self.cluster)

    @property
    def streams(self) -> bool:
        """Whether streams may be served: who serves, and gets all news that there are."""
        return self.serves and not status.why_behind(self.cluster)

    def outline(self, now: Now) -> tuple[object, ...]:
        """What of the view has to be told at once (`core.broker.status`)."""
        return status.outline(self.cluster, now)

    def view(self, now: Now) -> ClusterStatus:
        """A snapshot for people, health checks and the decision to serve."""
        return status.view(self.cluster, now)

    # -- clients ------------------------------------------------------------------------------------------------

    def _submitted(self, event: Submitted, now: Now) -> None:
        if self.intake.collides(event.requests):
            self._deferred.append(event)
            return
        try:
            self._admit(event, now)
            decided = self.intake.decide(event.requests, now.wall)
        except NewswireError as error:
            self.cluster.reply(event.token, error)
            return
        if event.token is not None:
            self.receipts.wait(Waiting(event.token, decided, len(event.requests), event.copies, event.until))

    def _admit(self, event: Submitted, now: Now) -> None:
        """Refuse, before anything is staged, what cannot be stored as asked."""
        why_not = status.why_not(self.cluster)
        if why_not:
            raise Unavailable(why_not)
        if len(event.requests) > limits.BATCH_MESSAGES:
            raise TooLarge(f"a batch holds at most {limits.BATCH_MESSAGES} messages: send several")
        if self.intake.stores_nothing(event.requests, now.wall):
            return  # the first op's receipt, whatever the disk and the peers are like now
        if not self.cluster.writable and not all(isinstance(request, Acknowledge) for request in event.requests):
            raise StorageFull(_FULL)
        most = self.cluster.most_copies()
        if event.copies > most:
            raise NotEnoughCopies(
                f"{event.copies} copies were asked for, and {most} broker{'s are' if most > 1 else ' is'} in sync with room:"
                " nothing was stored; try again when the others are back, or ask for fewer",
                copies=most,
            )

    def _resume(self, now: Now) -> None:
        """Decide what had to wait for the state that is there now."""
        deferred, self._deferred = self._deferred, []
        for event in deferred:
            self._submitted(event, now)

    # -- disk ---------------------------------------------------------------------------------------------------

    def _stored(self, event: Stored, now: Now) -> None:
        """Apply what is on disk now, then tell. Of a piece only changes of subscriptions are told (docs/rules.md, REOPEN)."""
        changes = self._changes
        ops = self.intake.take_stored(len(event.places))
        self.state.apply_all([(op, *where) for op, where in zip(ops, event.places, strict=True)], changes)
        if self.state.lineage.forgotten > self._forgotten:
            self._forgotten = self.state.lineage.forgotten
            for peer in self.cluster.peers.values():
                peer.misread(now.clock)
        if event.more:
            if changes.users:
                self.cluster.actions.append(Wake(frozenset(), frozenset(changes.users), self.streams))
                changes.users.clear()
            return
        self.intake.clear()
        self._changes = Changes()
        self.state.revive(changes)
        self.cluster.began = True
        if self.cluster.settling:
            self._settled(now)
        self.receipts.stored()
        self._see_whether_it_leaves()
        if changes.topics or changes.users:
            self.cluster.actions.append(Wake(frozenset(changes.topics), frozenset(changes.users), self.streams))
        self.membership.arrange_links(now)
        self._resume(now)

    def _unstored(self, event: Unstored, now: Now) -> None:
        self.intake.unstored()
        self._sweep.forget()
        self._settle_at = now.clock + limits.PUSH_AGAIN_SECONDS
        if self.cluster.settling and event.named:
            self._settled(now)
        self.cluster.settling = False
        full = StorageFull(_FULL)
        self.receipts.unstored(full)
        self.peering.unstored(full)
        self.losses.unstored()
        self._see_whether_it_leaves()
        self._resume(now)

    def _see_whether_it_leaves(self) -> None:
        """It stays if its `left` found no room, or if it was added again."""
        self.cluster.leaving = self.cluster.leaving and self.identity.id not in self.state.members

    def _set_writable(self, event: Writable, now: Now) -> None:
        self.cluster.writable = event.writable

    def _append(self, now: Now) -> None:
        """Hand what was staged since the last time to the disk."""
        if not self.cluster.settled:
            self._settle(now)
        if self.intake.raws:
            fresh = self.intake.staged[-len(self.intake.raws) :]
            self.cluster.actions.append(Append(fresh, self.intake.raws))
            self.intake.raws = []

    def _settle(self, now: Now) -> None:
        """CLUSTER ID: fix it, if that may be, with the first op that is no `began`, or later."""
        cluster = self.cluster
        has_ops = not cluster.holds_nothing or not all(isinstance(op, Began) for op in self.intake.staged)
        if has_ops and cluster.may_settle and cluster.writable and now.clock >= self._settle_at:
            cluster.settling = True
            cluster.actions.append(FixClusterId(cluster.id))

    def _settled(self, now: Now) -> None:
        """The id is on disk: others may settle on it, too."""
        self.cluster.settled, self.cluster.settling = True, False
        for peer in self.cluster.peers.values():
            peer.next_at = now.clock

    def _shorten(self, now: Now) -> None:
        """Name all that is held in a `began`, when the vector has become long: brokers without a disk were started often."""
        cluster = self.cluster
        may = cluster.began and cluster.writable and not (cluster.leaving or cluster.catching_up or self.intake.staged)
        if may and len(self.state.vector) > limits.VECTOR_SHORTEN_ENTRIES:
            self.intake.renew(self.identity.id, now.wall)

    # -- time ---------------------------------------------------------------------------------------------------

    def _tick(self, event: Tick, now: Now) -> None:
        kept = self._watch_clock(now)
        if not self.serves:
            return
        due = now.clock >= self._retention_due
        if not (due or self._sweep.is_busy) or self.intake.staged or not status.is_primary(self.cluster, now):
            return
        if not self._sweep.is_busy:
            self._retention_due = now.clock + limits.RETENTION_EVERY_SECONDS
            until = max(self._retention.latest, status.latest(self.cluster)) + limits.CLOCK_FUTURE_MILLISECONDS
            old = kept - int(self.identity.retention_seconds * 1000)
            self._sweep.begin(old, until, self.identity.retention_bytes)
        for topic, vector in self._sweep.look(self.state, self.identity.retention_messages):
            self.intake.stamp(Dropped("", 0, 0, topic, vector), now.wall)

    def _watch_clock(self, now: Now) -> int:
        """Take the time of day; return retention's, in ms."""
        cluster = self.cluster
        cluster.wall = now.wall
        self._wall_clock.note(now.wall, now.clock)
        self.intake.shifts = self._wall_clock.shifts()
        cluster.wall_jump = self._wall_clock.last_jump(now.clock)
        kept = self._retention.advance(now.wall, now.clock, agreed=not status.clocks_apart(cluster))
        cluster.retention_behind = now.wall - kept
        return kept

    # -- what every step ends with ------------------------------------------------------------------------------

    def _finish(self, now: Now) -> list[Action]:
        self.peering.look_around(now)
        self.membership.give_up(now)
        self.membership.introduce(now)
        self._shorten(now)
        self.losses.recall()
        self._append(now)
        if not self.intake.staged:
            self.peering.answer()
        self.receipts.settle(now)
        self._tell_serving(now)
        self.peering.push(now)
        self._end_if_it_left()
        return self._take_actions()

    def _take_actions(self) -> list[Action]:
        actions, self.cluster.actions = self.cluster.actions, []
        return actions

    def _tell_serving(self, now: Now) -> None:
        """Tell streams and peers when this broker begins or stops to serve them."""
        serves = self.serves, self.streams
        if serves != self._served:
            self._served = serves
            self.cluster.actions.append(Wake(frozenset(), frozenset(), self.streams))
            for peer in self.cluster.peers.values():
                peer.next_at = now.clock

    def _end_if_it_left(self) -> None:
        """LEAVE: end when some in-sync member covers all, and has what waits here behind holes."""
        cluster = self.cluster
        has_left = cluster.leaving and not self.intake.staged and self.identity.id not in self.state.members
        has_left = has_left and not self.state.waiting  # what waits behind damage is in no vector, and perhaps nowhere else
        if not has_left:
            return
        peers = cluster.in_sync().values()
        if any(holds_all(peer.proved, self.state.vector) and not peer.can_be_healed(self.state) for peer in peers):
            cluster.actions.append(Exit("this broker left the cluster; all that it held is at the others"))
