"""The parts of a broker: built here, asked together, and told what follows from what another of them said.

What happens, and in which order, is `core.broker.broker`; it is this with events. No part is asked by another: what takes
several to answer is asked here, and what one returns for another is passed on here (`_follow`).

All methods: the commit thread, as in `core.broker.broker`.
"""

from __future__ import annotations

from collections.abc import Iterable

from newswire.core.broker import events, losses, membership, status, values
from newswire.core.broker.alone import NoMembership, NoReplication
from newswire.core.broker.clock import Clocks
from newswire.core.broker.cluster_id import ClusterId
from newswire.core.broker.compaction import Compaction, Doing
from newswire.core.broker.escalation import Escalation
from newswire.core.broker.events import Action, Now, Reply
from newswire.core.broker.expiry import Expiry
from newswire.core.broker.long_batch import LongBatches
from newswire.core.broker.receipts import PendingReceipts
from newswire.core.broker.release import Release
from newswire.core.broker.replication import Replication
from newswire.core.broker.retention import Retention
from newswire.core.broker.shared_log import SharedLog
from newswire.core.broker.stager import Stager
from newswire.core.model.balance import Load
from newswire.core.model.ops import Began
from newswire.core.state.fold import State
from newswire.core.state.rewriting import Rewriting


class Parts:
    """All that one broker is made of, and the actions that gather in a step. What happens to it: `Broker`."""

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
        """`cluster`: the id that the ops file names (`settled`), else one minted for the case that no peer has another.

        `alone`: for an engine without peers, which hands in no event of one (`core.broker.alone`); `log`: for one whose brokers
        share a log, what is known of that.
        """
        self.identity, self.state = identity, state
        self.stager = Stager(state, identity.origin, identity.subscriptions_per_user)
        has_peers = not alone and log is None
        self.replication = Replication(identity, state) if has_peers else log or NoReplication()
        self.membership = membership.Membership(identity, state.members) if has_peers else NoMembership()
        self.cluster_id = ClusterId(identity, cluster, settled=settled)
        self.receipts = PendingReceipts()
        self.losses = losses.Losses(identity, state)
        self.retention = Retention(identity, state)
        self.expiry = Expiry(state)
        self.escalation = Escalation(state)
        self.release = Release(state, identity.origin)
        self.batches = LongBatches(identity.id, state)
        self.clocks = Clocks()
        self.compaction = Compaction(identity, state)
        self.compaction.waits_for_members = log is None
        self.begun = False  # this run's `began` is on disk
        self.writable = True  # the disk has room
        self.load = Load()  # of streams
        self._silent_damage = 0  # places in the ops file that were damaged at the start, and do not tell what was there
        self._actions: list[Action] = []

    # -- what takes several parts to answer -------------------------------------------------------------------------

    @property
    def serves(self) -> bool:
        """Whether clients may be served."""
        return not self._why_not()

    def outline(self, now: Now) -> tuple[object, ...]:
        """What of the view has to be told at once (`core.broker.status`)."""
        return status.outline(self._situation(now))

    def view(self, now: Now) -> values.ClusterStatus:
        """A snapshot for people, health checks and the decision to serve."""
        return status.view(self._situation(now))

    def _why_not(self) -> str:
        """Why clients are not served here now, in a sentence; "" when they are."""
        if not self.begun:
            return "this broker is starting: try again in a moment, or use another one"
        return self.membership.why_not() or self.replication.why_not()

    def _serves_streams(self, now: Now) -> bool:
        """Say whether streams may be served: by who serves, and gets all news that there are."""
        return self.serves and self._gets_all_news(now)

    def _gets_all_news(self, now: Now) -> bool:
        """Say whether no other broker has what finds no room here."""
        return self.writable or not status.why_behind(self._situation(now))

    def _situation(self, now: Now) -> status.Situation:
        facts, sources = self.replication.facts(now), self.replication.sources
        return status.Situation(
            identity=self.identity,
            state=self.state,
            now=now,
            peers=[peer for peer in facts if not self.membership.only_asks(peer.address, sources)],
            why_not=self._why_not(),
            belongs=self.membership.belongs,
            writable=self.writable,
            most_copies=1 + self.replication.count_writable(),
            lacks_room=self.compaction.lacks_room,
            load=self.load,
            damage=self._silent_damage,
            wall_jump=self.clocks.wall_jump,
            retention_behind=self.clocks.retention_behind,
        )

    def _announce(self, now: Now) -> values.Announcement:
        others, offered, load = self._others(), self.compaction.offered, self.load
        return self.cluster_id.announce(others, offered, serves=self.serves, writable=self.writable, wall=now.wall, load=load)

    def _others(self) -> dict[str, str]:
        """The others of whom this broker was told, while its cluster id is open: address -> id, else the address."""
        return {} if self.cluster_id.settled else self.membership.name_others(self.replication.ids())

    # -- what one part has others do --------------------------------------------------------------------------------

    def _follow(self, facts: Iterable[Reply | membership.Fact | losses.Fact | Doing], now: Now) -> None:
        """Pass on what a part said, in order."""
        for fact in facts:
            match fact:
                case Reply(reply_to):
                    self._actions += [fact] if reply_to is not None else []
                case values.TellStatus(reply_to, broker):
                    self._actions.append(Reply(reply_to, status.row_of(self._situation(now), broker)))
                case values.Stamp():
                    if ops := [self.stager.stamp(op, now.wall) for op in fact.ops]:
                        staged = values.Staged(
                            tuple(op.id for op in ops), {ops[-1].origin: ops[-1].sequence}, stored=fact.count
                        )
                        wait = self.receipts.wait_for_disk
                        wait(fact.reply_to, staged, count=fact.count, until=fact.until, broker=fact.broker)
                case values.Greet(address):
                    self._actions += self.replication.greet(address, now)
                case values.Unlink(address):
                    self._actions += self.replication.unlink(address)
                case values.StoreAgain(op):
                    self.stager.store_again(op, now.wall)
                case values.StoreBlindly(origin, sequences):
                    self.stager.store_blindly(origin, sequences, now.wall)
                case _:
                    self._actions.append(fact)

    def _become(self, job: Rewriting, now: Now, *, goes_on: bool) -> None:
        """Go on with the state of a rewriting; `goes_on`: vectors mean the same there (`State.succeed`)."""
        state = job.state
        self.escalation.become(state)
        self.release.become(state)
        self.state = state
        self.stager.become(state)
        self.losses.become(state)
        self.retention.become(state)
        self.batches.become(state)
        self.compaction.become(state)
        self.membership.become(state.members)
        self.replication.become(state, now, goes_on=goes_on)

    def _watch_clocks(self, now: Now) -> None:
        apart = self.replication.has_clocks_apart() and status.clocks_apart(self._situation(now))
        self.clocks.note(now, agreed=not apart)
        self.stager.keys.shifts = self.clocks.shifts()

    def _may_stamp(self) -> bool:
        """Say whether this broker may stage something by itself: it is at work, and nothing else is staged."""
        return self.begun and self.writable and not (self.membership.leaving or self.replication.sources or self.stager.staged)

    def _append(self, now: Now) -> None:
        """Hand what was staged since the last time to the disk; with it goes the cluster id, if that may be fixed now."""
        may_settle = self.writable and not self.cluster_id.settled
        if may_settle and not (self.state.log.holds_nothing and all(isinstance(op, Began) for op in self.stager.staged)):
            agreed = self.replication.agreements(self.cluster_id.turn)
            self._actions += self.cluster_id.settle(self._others(), agreed, now)
        if self.stager.raws:
            self._actions.append(events.Append(*self.stager.pop_raws()))

    def _push(self, now: Now) -> None:
        """Send what peers lack; not while something is staged: it can go along in a moment."""
        if self.begun and not self.stager.staged and self.replication.is_due(now, self.batches.origin):
            self._actions += self.replication.push(self._announce(now), now, self.batches.origin)

    def _settle_receipts(self, now: Now) -> None:
        if self.receipts:
            self._follow(self.receipts.settle(self.replication.copies(), now), now)
            self.replication.ask_for_proof(self.receipts.required, now)

    def _take_actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
