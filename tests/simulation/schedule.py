"""One schedule: a cluster, its clients, faults; then everything heals and has to come right.

Which faults a schedule knows, and how many, is drawn per seed: most schedules know a few kinds, so that rare ones meet.
One in twelve knows none: in those nothing may repeat.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from unittest.mock import patch

import msgspec

from newswire.core import limits
from newswire.core.broker import events
from newswire.core.broker.values import BrokerStatus
from newswire.core.model import ops
from newswire.core.model.ops import OpId
from newswire.core.model.results import Compacted, Receipt
from newswire.core.state import rewriting
from tests.simulation.access import NAMES, Member, Registrar
from tests.simulation.ageing import grow_old
from tests.simulation.clients import PATTERNS, TOPICS, Confirmer, Editor, Publisher, Reader, Result, Scheduler, User
from tests.simulation.machine import Call, Machine
from tests.simulation.truth import Ledger, Text
from tests.simulation.world import Violation, World

CALM = ("none",)  # a focus: no faults
CHAOS = 14.0  # seconds of faults
STEPS = 250  # at least, before healing begins
RETENTION_EVERY = 3.0  # seconds between two looks at what retention is to drop
HEAL = 60.0  # seconds: by then all must have settled, and once more as long for compacting
LATE = "c"  # the topic where those are named who have not confirmed in time
SCAN_ROWS = limits.SCAN_ROWS
PIECE = 2  # ops of a batch that are applied before streams may read


class Outcome(msgspec.Struct):
    """What became of a schedule."""

    seed: int
    violation: str
    at: float
    steps: int
    seconds: float
    faults: Counter[str]
    deeds: Counter[str]
    brokers: int
    receipts: int
    copied: int
    shown: int
    acks: int
    texts: int
    drops: int
    withdrawals: int
    gaps: int
    trace: list[str]
    digest: str = ""  # of all actions, if asked for


class Cluster:
    """The brokers and clients of one schedule."""

    def __init__(
        self,
        seed: int,
        *,
        tracing: bool = False,
        digesting: bool = False,
        asks: bool | None = None,
        confirms: bool | None = None,
        edits: bool | None = None,
        times: bool | None = None,
    ) -> None:
        """`asks`: whether there are users, tokens and grants; `confirms`: messages that ask for it; `edits`: who withdraws and
        replaces messages; `times`: who has them delivered later. None: as the seed says.
        """
        world = self.world = World(seed, tracing=tracing, digesting=digesting)
        rng = world.rng
        self.ledger = Ledger(world)
        self.fault_free = rng.random() < 1 / 12
        self.healing, self.healing_at = False, 0.0
        self.quiet = False  # readers stay where they are
        self.last: list[Text] = []  # published after healing
        self.copies = 0  # of the last receipt that reached a publisher
        count = 2 if rng.random() < 0.65 else 3
        if count == 3 and Random(f"five {seed}").random() < 1 / 12:  # draws nothing from the schedule
            count = 5
        self.asks_for_two = 0.7 if count == 5 else 0.15  # of texts: on two disks, the share
        addresses = [f"10.0.0.{number}:5053" for number in range(1, count + 1)]
        knows_all = rng.random() < 0.7
        self.machines: list[Machine] = []
        for number, address in enumerate(addresses, 1):
            others = [other for other in addresses if other != address]
            peers = others if knows_all else others[:1] if number > 1 else []
            machine = Machine(world, self.ledger, number, primary=number == 1, peers=tuple(peers))
            machine.mints_cluster = knows_all
            self.machines.append(machine)
        if rng.random() < 0.15:
            keeps = rng.randint(3, 9)
            for machine in self.machines:
                machine.keeps = keeps
        self.limits: dict[str, float] = {}  # narrower than those of production, so that their edges are met
        if rng.random() < 0.25:
            self.limits["PUSH_OPS"] = rng.randint(2, 8)  # catching up takes many pushes
        if rng.random() < 0.4:
            self.limits |= {"ANCESTRY_FIRST": 1, "ANCESTRY_MOST": rng.choice((1, 2, 4, 16, 4_096))}
        if rng.random() < 0.3:
            self.limits["VECTOR_SHORTEN_ENTRIES"] = max(count, rng.randint(3, 5))  # no fewer than brokers: each has an entry
        if rng.random() < 0.2:
            self.limits["PUSH_ORIGINS"] = rng.randint(1, 3)
        self.limits |= {"COMPACT_LEAST_ROWS": rng.choice((4, 16)), "COMPACT_LOOK_SECONDS": rng.choice((1, 3))}
        self.limits["COMPACT_LOW_ROWS"] = 2  # where the disk is full
        self.keeps_keys = rng.random() >= 0.75  # whether a compaction keeps messages for their keys
        if not self.keeps_keys:
            self.limits["COMPACT_KEY_SECONDS"] = 0
        away = Random(f"away {seed}").choice((0.5, 2.0, None, None))  # draws nothing from the schedule
        if away is not None:
            self.limits["COMPACT_AWAY_SECONDS"] = away
        if (own := Random(f"lives {seed}")).random() < 1 / 12:  # the same
            self.limits["LIVES_SECONDS"] = own.choice((1.0, 5.0))
        own = Random(f"settle {seed}")  # the same
        self.limits["CLOCK_SETTLE_SECONDS"] = own.choice((0.0, 0.0, 0.5, 3.0))
        self.limits["SCAN_ROWS"] = rng.choice((8, limits.SCAN_ROWS))  # a part of an offer
        self.limits["BATCH_PIECE_OPS"] = self.limits["BATCH_LONG_OPS"] = rng.choice(
            (1, 1, 2, 512)
        )  # most batches are long ones
        self.by_address = {machine.address: machine for machine in self.machines}
        for machine in self.machines:
            machine.by_address = self.by_address
        self.ledger.machines = self.machines
        self.asks = Random(f"access {seed}").random() < 0.25 if asks is None else asks  # draws nothing from the schedule
        own = Random(f"confirm {seed}")  # draws nothing from the schedule
        self.confirming = own if (own.random() < 0.3 if confirms is None else confirms) else None
        editing = Random(f"edit {seed}")  # draws nothing from the schedule
        self.editing = editing if (editing.random() < 0.3 if edits is None else edits) else None
        own = Random(f"timed {seed}")  # draws nothing from the schedule
        self.timing = own if (own.random() < 0.3 if times is None else times) else None
        self.ageing = Random(f"ageing {seed}")  # the same
        self.schedulers: list[Scheduler] = []
        self.members: dict[str, Member] = {}
        self.publishers: list[Publisher] = []
        self.users: list[User] = []
        self.readers: list[Reader] = []

    # -- clients

    def populate(self) -> None:
        """Start brokers and clients."""
        world, rng = self.world, self.world.rng
        for machine in self.machines:
            world.after(world.between(0, 0.5), machine.restart)
        world.run(1.5)
        for number in range(rng.randint(1, 3)):
            self.publishers.append(Publisher(self, f"p{number}", rng.randint(10, 20), world.between(0.1, 1.2)))
        for number in range(rng.randint(2, 3)):
            patterns = rng.sample(PATTERNS, rng.randint(1, 2))
            user = User(self, f"u{number}", patterns, steady=rng.random() < 0.4)
            self.users.append(user)
            self._add_readers(user)
            if self.confirming is not None:
                Confirmer(self, user, Random(f"confirm {world.seed} {number}"))
        if self.editing is not None:
            Editor(self, self.editing)
        if self.timing is not None:
            self.schedulers.append(Scheduler(self, self.timing))
        if self.asks:
            self.ledger.guarded = NAMES
            self.members = {name: Member(self, name) for name in NAMES}
            Registrar(self)
        self._users_loop()
        self._compact_loop()

    def draw_confirm(self) -> tuple[int, str]:
        """Within how many seconds a new message is to be confirmed, and where it is told who has not."""
        own = self.confirming
        if own is None or self.healing or own.random() < 0.5:
            return 0, ""
        return own.randint(1, 5), LATE if own.random() < 0.8 else ""

    def _add_readers(self, user: User) -> None:
        rng = self.world.rng
        for _ in range(2 if rng.random() < 0.15 else 1):
            if rng.random() < 0.5:
                ids = rng.choice(["durable", "none"])
                self.readers.append(Reader(self, user, auto=True, ids=ids))
            else:
                ids = rng.choice(["durable", "memory", "none"])
                self.readers.append(Reader(self, user, auto=False, ids=ids))

    def _compact_loop(self) -> None:
        """Operators have brokers compact whenever they like, some while others are away."""
        machine, even_if_away = self.world.rng.choice(self.machines), self.world.chance(0.4)
        if machine.up:
            self.operate(machine, lambda call: events.Compact(call, even_if_away=even_if_away), lambda result: None)
        self.world.after(self.world.between(0.2, 4.0), self._compact_loop)

    def _users_loop(self) -> None:
        for user in self.users:
            user.step()
        self.world.after(0.2, self._users_loop)

    # -- faults

    def chaos(self, focus: Sequence[str] = ()) -> None:
        """Let faults of this schedule's kinds (of those in `focus`, if any) happen."""
        world, rng = self.world, self.world.rng
        if self.fault_free:
            for reader in self.readers:
                if reader.ids != "durable":
                    reader.restless = 0.0
            world.run(CHAOS)
            while world.steps < STEPS:
                world.run(1.0)
            return
        kinds = list(focus) or rng.sample(list(FAULTS), rng.randint(2, 5))
        if rng.random() < 0.4:
            world.loss = world.between(0.0, 0.15)
        if rng.random() < 0.4:
            world.double = world.between(0.0, 0.2)
        if rng.random() < 0.4:
            world.slow = world.between(0.0, 0.3)
        if world.tracing:
            world.say("", f"faults: {', '.join(kinds)}; loss {world.loss:.2f} double {world.double:.2f} slow {world.slow:.2f}")
        end = world.now + CHAOS
        pace = world.between(0.5, 2.5)
        while world.now < end or world.steps < STEPS:
            world.run(world.between(0.1, 2.0) * pace)
            FAULTS[rng.choice(kinds)](self)
            if rng.random() < 0.3:
                self.ledger.check_equal()

    def count(self, kind: str) -> None:
        """Note that a fault happened."""
        self.world.faults[kind] += 1
        self.world.steps += 1
        if self.world.tracing:
            self.world.say("FAULT", kind)

    def any_up(self) -> Machine | None:
        """A machine whose broker runs."""
        running = [machine for machine in self.machines if machine.up]
        return self.world.rng.choice(running) if running else None

    def down(self, machine: Machine, keep: float, longest: float = 4.0) -> None:
        """Crash a machine and have it start again."""
        if machine.up:
            machine.crash(keep)
        soon = self.world.chance(0.5)  # so soon that peers may not have noticed
        self.world.after(self.world.between(0.01, 0.2 if soon else longest), machine.restart)

    def replace_disk(self, machine: Machine, change: Callable[[], None]) -> None:
        """Crash a machine and change what its disk holds."""
        if self.healing:
            return
        self.down(machine, 1.0)
        before = machine.disk.names()
        change()
        lost = self.ledger.disk_changed(machine, before)
        if self.world.tracing:
            self.world.say(machine.id, f"disk changed: {len(lost)} ops lost, {len(self.ledger.gone)} gone")

    def operate(self, machine: Machine, make: Callable[[Call], events.Event], tell: Callable[[Result], None]) -> None:
        """Send an operator's request."""
        call = Call(tell)
        self.world.after(self.world.delay(), machine.operate, call, make)

    # -- healing

    def heal(self) -> None:
        """End all faults, wait until all has settled, then check what must be so."""
        world = self.world
        self.healing, self.healing_at = True, world.now
        world.cut.clear()
        world.loss = world.double = world.slow = 0.0
        for machine in self.machines:
            machine.syncs_slowly = machine.full = False
            machine.doom = None
            machine.resume(machine.run)
            if machine.up:
                machine.hand_in(events.Writable(True))
                if machine.disk.rotten and world.chance(0.5):
                    self.down(machine, 1.0)
        if world.tracing:
            world.say("HEAL", "no faults from here on")
        end = world.now + HEAL
        while world.now < end:
            world.run(0.5)
            for machine in self.machines:
                machine.restart()
                machine.scrub()
            self._add_missing()
            self._close_holes()
            if world.now > end - HEAL + 3.0:
                self.quiet = True
            if self.unsettled() == "":
                break
        else:
            raise Violation(f"not settled {HEAL:.0f} s after healing: {self.unsettled()}")
        self._last_news(world.now + HEAL)

    def _last_news(self, end: float) -> None:
        """One more message a topic: on every disk, to everybody who is registered, to nobody else."""
        world = self.world
        last = Publisher(self, "last", 0, 1.0)
        self.publishers.append(last)
        for topic in TOPICS:
            last.machine = world.rng.choice(self.machines)
            last.now = [last.write(topic)]
            self.last.append(self.ledger.texts[last.now[0].data])
            last.copies = len(self.machines)
            last._try()
            while not last.done:
                if world.now > end:
                    raise Violation("a publish is not answered after healing")
                world.run(0.1)
            if self.copies != len(self.machines):
                raise Violation(f"copies is {self.copies} after healing, with {len(self.machines)} brokers in sync")
        while self.unsettled():
            if world.now > end:
                raise Violation(f"not settled after the last news: {self.unsettled()}")
            world.run(0.2)
        self.ledger.check_lost()
        self.ledger.check_registered()
        self.ledger.check_delivered()
        self.ledger.check_equal()
        self.ledger.check_cursors()
        self.ledger.confirmations.check_confirmed()
        self.ledger.edits.check_withdrawn()
        self.ledger.timed.check()
        self._check_repeats()
        self._compact_all(end + HEAL)

    def _compact_all(self, end: float) -> None:
        """All compact once more: what is left lives, and all is as it was."""
        till, end = self.world.now + 40.0, end + 40.0
        while many := self.ledger.too_many():
            if self.world.now > till:
                raise Violation(many)
            self.world.run(0.5)
        with patch.object(limits, "RETENTION_EVERY_SECONDS", HEAL):
            self.world.run(RETENTION_EVERY + 0.5)  # nothing more is dropped
            for machine in [*self.machines, *self.machines]:
                self._compact(machine, end)
        self.ledger.check_equal()
        self.ledger.check_cursors()
        if limits.COMPACT_KEY_SECONDS == 0:
            self.ledger.check_small()
        if self.ageing.random() < 0.15 and not (self.asks or any("clock" in kind for kind in self.world.faults)):
            self.world.deeds["grown old"] += 1
            with patch.object(limits, "SCAN_ROWS", SCAN_ROWS):  # a sweep is through before the next compaction
                grow_old(self, self.ageing)

    def _compact(self, machine: Machine, end: float) -> None:
        """Have a broker compact until it has."""
        results: list[Result] = []
        while not any(isinstance(result, Compacted) for result in results):
            if self.world.now > end:
                raise Violation(f"{machine.id} does not compact after healing: {results[-1:]}")
            self.operate(machine, events.Compact, results.append)
            self.world.run(0.3)

    def _add_missing(self) -> None:
        """An operator adds brokers that were removed, through one that serves."""
        serving = [machine for machine in self.machines if machine.broker is not None and machine.broker.serves]
        for machine in self.machines:
            if machine.broker is None or machine.broker.serves or not machine.broker.begun:
                continue
            members = machine.broker.state.members
            if machine.id not in members and members.ever(machine.id) and not machine.broker.membership.leaving:
                by = self.world.rng.choice(serving) if serving else machine
                self.operate(by, self._join_of(machine, by), lambda result: None)
            elif machine.broker.membership.leaving:
                machine.crash(1.0)

    def give_up(self, *, even_if_away: bool = False) -> list[Machine]:
        """Operators, sometimes two at once, give up what nobody can bring; return the machines with holes."""
        holes = [machine for machine in self.machines if machine.broker is not None and machine.broker.state.holes.all]
        for machine in self.world.rng.sample(self.machines, self.world.rng.randint(1, 2)) if holes else ():
            if machine.broker is not None:
                self.world.faults["loss asked for"] += 1
                self.operate(machine, lambda call: events.AcceptLoss(call, even_if_away=even_if_away), self._gave_up)
        return holes

    def _close_holes(self) -> None:
        """Give up what nobody can bring; who is told to restart a broker first does, at last when he has been told for long."""
        holes = self.give_up() if self.world.chance(0.3) else []
        restarts = 0.2 if self.world.now < self.healing_at + HEAL / 3 else 1.0
        for machine in holes:
            broker = machine.broker
            if broker is not None and any(hole.unreadable for hole in broker.state.holes.all) and self.world.chance(restarts):
                self.down(machine, 1.0)

    def _gave_up(self, result: Result) -> None:
        if isinstance(result, Receipt):
            self.world.faults["loss accepted"] += 1

    def _join_of(self, machine: Machine, by: Machine) -> Callable[[Call], events.Event]:
        return lambda call: events.Join(call, machine.address, by.now().clock + 3.0)

    def unsettled(self) -> str:
        """What is still under way, "" for nothing."""
        brokers = [machine.broker for machine in self.machines]
        if not all(broker is not None and broker.serves for broker in brokers):
            return "not all brokers serve: " + "; ".join(
                f"{m.id}: {m.broker.view(m.now()).why_not if m.broker else 'down'}" for m in self.machines
            )
        settled = {(broker.cluster_id.id, broker.cluster_id.settled) for broker in brokers if broker is not None}
        if len(settled) > 1 or not all(done for _, done in settled):
            return f"the cluster has not one id: {settled}"
        vectors = [broker.state.log.full for broker in brokers if broker is not None]
        if any(vector != vectors[0] for vector in vectors):
            return f"vectors differ: {vectors}"
        for machine in self.machines:
            assert machine.broker is not None
            if machine.broker.state.holes.all:
                return f"{machine.id} has holes: {', '.join(map(str, machine.broker.state.holes.all))}"
            if len(machine.broker.replication.in_sync()) < len(self.machines) - 1:
                return f"{machine.id} has only {sorted(machine.broker.replication.in_sync())} in sync"
            if not machine.broker.view(machine.now()).all_in_sync:
                return f"{machine.id} does not see all in sync"
        waiting = [publisher.name for publisher in self.publishers if not publisher.done]
        waiting += [scheduler.name for scheduler in self.schedulers if not scheduler.done]
        waiting += [user.name for user in self.users if not user.idle]
        if waiting:
            return f"{', '.join(waiting)} not answered"
        if not self.quiet:
            return "readers move"
        return (
            "; ".join(self.ledger.undelivered() or self.ledger.untold() or self.ledger.unsaid() or self.ledger.overdue())
            or "; ".join(self.ledger.confirmations.untold() or self.ledger.confirmations.undelivered())
            or "; ".join(self.ledger.timed.waiting() or self.ledger.timed.unpublished())
            or "; ".join(f"{member.name} lacks {text}" for member in self.members.values() for text in member.lacks(self.last))
            or self._streams()
        )

    def _streams(self) -> str:
        fold = self.ledger.union()
        for reader in self.readers:
            session = reader.session
            if fold.alive(reader.user.name) and (session is None or session.over or session.outlet is None):
                return f"a reader of {reader.name} has no stream"
        return ""

    def _check_repeats(self) -> None:
        """Nothing repeats without a fault.

        One with several subscriptions is left out: a message may come by each of two that are made at the same moment
        at different brokers, and while the history of a new one is read, the last id lies before what others have had.
        """
        if self.fault_free:
            steady = (reader for reader in self.readers if reader.ids == "durable" or not reader.restless)
            for reader in (reader for reader in steady if len(reader.user.desks) == 1):
                twice = [text for text, times in reader.seen.items() if times > 1]
                if not self.keeps_keys:  # what is published again when its key went with it is another message
                    twice = [text for text in twice if text not in self.ledger.texts or len(self.ledger.texts[text].ids) == 1]
                if twice:
                    raise Violation(f"{reader.name} got {twice[0]} twice, and there was no fault")


# -- the faults

DAYS = 10 * 86_400_000  # ms
YEARS = 3 * 365 * 86_400_000
SHIFTS = (-3 * YEARS, -YEARS, -DAYS, -3_600_000, -1_000, 0, 1_000, 3_600_000, DAYS, YEARS, 3 * YEARS)


def _crash(cluster: Cluster) -> None:
    machine = cluster.any_up()
    if machine is not None:
        cluster.count("crash")
        cluster.down(machine, 1.0)  # kill -9: what was written stays


def _power(cluster: Cluster) -> None:
    machine = cluster.any_up()
    if machine is not None:
        cluster.count("power cut")
        keep = cluster.world.rng.choice([0.0, 0.0, 0.3, 0.7, 1.0])
        if cluster.world.chance(0.7):
            machine.doom = keep  # while something is being synced
        else:
            cluster.down(machine, keep)


def _power_all(cluster: Cluster) -> None:
    cluster.count("power cut everywhere")
    for machine in cluster.machines:
        cluster.down(machine, cluster.world.rng.choice([0.0, 0.5]))


def _snapshot(machine: Machine) -> None:
    machine.snapshots.append((machine.disk.copy(), machine.disk.cluster, machine.disk.damaged))


def _disk_lost(cluster: Cluster, machine: Machine | None = None) -> None:
    machine = machine or cluster.world.rng.choice(cluster.machines)
    _snapshot(machine)
    cluster.count("disk lost")
    disk = machine.disk
    cluster.replace_disk(machine, lambda: disk.replace([], "", damaged=disk.damaged))


def _disk_back(cluster: Cluster, machine: Machine | None = None) -> None:
    machine = machine or cluster.world.rng.choice(cluster.machines)
    if not machine.snapshots or cluster.world.chance(0.3):
        _snapshot(machine)
        return
    records, named, damaged = cluster.world.rng.choice(machine.snapshots)
    disk = machine.disk
    if named and (named != cluster.ledger.settled_last or all(one.disk.cluster != named for one in cluster.machines)):
        return  # all disks of that cluster were lost, another one is founded, and a broker may have heard of it: refused there
    cluster.count("disk rolled back")
    cluster.replace_disk(machine, lambda: disk.replace(records, named, damaged=damaged or disk.damaged))


def _disk_cloned(cluster: Cluster, machine: Machine | None = None) -> None:
    other = machine or cluster.world.rng.choice(cluster.machines)
    one = cluster.world.rng.choice([source for source in cluster.machines if source is not other])
    cluster.count("disk cloned")
    records, named = one.disk.copy(), one.disk.cluster
    damaged = one.disk.damaged
    cluster.replace_disk(other, lambda: other.disk.replace(records, named, damaged=damaged or other.disk.damaged))


def _succession(cluster: Cluster) -> None:
    """A disk goes, its broker is back at once and can't say so; another starts meanwhile: old news are pushed on."""
    world = cluster.world
    one, other = world.rng.sample(cluster.machines, 2)
    if not (one.up and other.up):
        return
    cluster.count("crashes in succession")
    world.rng.choice((_disk_lost, _disk_back, _disk_cloned))(cluster, one)
    world.after(world.between(0.001, 0.01), one.restart)
    if world.chance(0.8):
        _cut(cluster, [(one.id, machine.id) for machine in cluster.machines if machine is not one], "one-way partition")
    cluster.down(other, 1.0)
    world.after(world.between(0.001, 0.2), other.restart)


def _crash_loops(cluster: Cluster) -> None:
    """Brokers that cannot see each other start again and again: each then names origins that the others never saw."""
    world = cluster.world
    if cluster.healing:
        return
    cluster.count("crash loop")
    _partition(cluster)
    for machine in cluster.machines:
        at = 0.0
        for _ in range(world.rng.randint(0, 6)):
            at += world.between(0.1, 0.8)
            world.after(at, _start_again, cluster, machine)


def _start_again(cluster: Cluster, machine: Machine) -> None:
    if machine.up and not cluster.healing:
        machine.crash(1.0)
        machine.start()


def _relapse(cluster: Cluster) -> None:
    """A disk goes while another broker catches up from it, and its broker is back before a push of the other fails."""
    world = cluster.world
    one, other = world.rng.sample(cluster.machines, 2)
    if cluster.healing or not (one.up and other.up):
        return
    cluster.count("relapse")
    other.crash(1.0)
    back = world.between(0.5, 2.0)  # meanwhile the one takes what the other lacks
    lost = back + world.between(0.002, 0.05)
    world.after(back, other.restart)
    if world.chance(0.7):  # it has no room at first, so it catches up later
        lost += 0.5
        world.after(back, _fill, cluster, other, True)
        world.after(lost + world.between(0.5, 1.5), _fill, cluster, other, False)
    world.after(lost, _disk_lost, cluster, one)
    world.after(lost + world.between(0.001, 0.01), one.restart)


def _fill(cluster: Cluster, machine: Machine, full: bool) -> None:
    """Fill a disk, or make room on it; healing makes room everywhere."""
    machine.full = full and not cluster.healing
    machine.hand_in(events.Writable(not machine.full))


def _cut(cluster: Cluster, pairs: list[tuple[str, str]], kind: str) -> None:
    world = cluster.world
    if cluster.healing:
        return
    cluster.count(kind)
    world.cut.update(pairs)
    world.after(world.between(0.3, 6.0), world.cut.difference_update, pairs)


def _partition(cluster: Cluster) -> None:
    one = cluster.world.rng.choice(cluster.machines)
    others = [machine for machine in cluster.machines if machine is not one]
    _cut(cluster, [pair for o in others for pair in ((one.id, o.id), (o.id, one.id))], "partition")


def _one_way(cluster: Cluster) -> None:
    """One does not hear another; of several brokers perhaps neither hears the other, and what they have goes by the rest."""
    one, other = cluster.world.rng.sample(cluster.machines, 2)
    if len(cluster.machines) > 2 and cluster.world.chance(0.4):
        _cut(cluster, [(one.id, other.id), (other.id, one.id)], "two cut off from each other")
    else:
        _cut(cluster, [(one.id, other.id)], "one-way partition")


def _clients_cut(cluster: Cluster) -> None:
    one = cluster.world.rng.choice(cluster.machines)
    pairs = [("client", one.id), (one.id, "client")]
    _cut(cluster, pairs if cluster.world.chance(0.5) else pairs[1:], "clients cut off")


def _slow_disk(cluster: Cluster) -> None:
    machine = cluster.world.rng.choice(cluster.machines)
    cluster.count("slow disk")
    machine.syncs_slowly = not machine.syncs_slowly


def _pause(cluster: Cluster) -> None:
    machine = cluster.any_up()
    if machine is not None and not machine.paused:
        suspended = cluster.world.chance(0.4)
        cluster.count("suspend" if suspended else "pause")
        machine.pause(cluster.world.between(0.2, 5.0), suspended=suspended)


def _oversleep(cluster: Cluster) -> None:
    """A broker stands still while others take news, and sees nobody when it goes on: what it was told is old."""
    machine, world = cluster.any_up(), cluster.world
    if machine is None or machine.paused or cluster.healing:
        return
    cluster.count("oversleep")
    asleep = world.between(3.5, 6.0)
    machine.pause(asleep, suspended=world.chance(0.5))
    pairs = [pair for o in cluster.machines if o is not machine for pair in ((machine.id, o.id), (o.id, machine.id))]
    world.after(asleep - 0.01, _cut, cluster, pairs, "partition")


def _wall(cluster: Cluster) -> None:
    machine = cluster.world.rng.choice(cluster.machines)
    cluster.count("clock jump")
    machine.set_clock(cluster.world.rng.choice(SHIFTS))


def _wall_all(cluster: Cluster) -> None:
    """All clocks jump alike, perhaps found so at a start: a time server that lies, or a cluster on one machine."""
    world = cluster.world
    cluster.count("clocks jump everywhere")
    shift, restarts = world.rng.choice(SHIFTS), world.chance(0.6)
    for machine in cluster.machines:
        machine.set_clock(shift)
        if restarts:
            cluster.down(machine, 1.0, 0.5)


def _full_disk(cluster: Cluster) -> None:
    machine = cluster.any_up()
    if machine is not None:
        cluster.count("disk full" if not machine.full else "disk has room")
        _fill(cluster, machine, not machine.full)


def _retention(cluster: Cluster) -> None:
    """An operator has a broker keep few messages: what is not delivered soon is dropped."""
    machine = cluster.world.rng.choice(cluster.machines)
    cluster.count("retention lowered")
    machine.keeps = 2
    cluster.down(machine, 1.0)


def _rot(cluster: Cluster) -> None:
    """Some records of a disk turn bad: found when they are read, or at the next start."""
    machine = cluster.world.rng.choice(cluster.machines)
    disk = machine.disk
    places = disk.places()
    good = [at for at, place in enumerate(places) if place not in disk.rotten]
    if not good or cluster.healing:
        return
    cluster.count("records rotten")
    before = disk.names()
    at = cluster.world.rng.choice(good)
    for place in places[at : at + (1 if cluster.world.chance(0.7) else cluster.world.rng.randint(2, 6))]:
        disk.rot(place)
    lost = cluster.ledger.rotted(machine, before)
    if cluster.world.tracing:
        cluster.world.say(machine.id, f"rotten: {sorted(lost)}")
    if cluster.world.chance(0.5):
        cluster.down(machine, 1.0)


def _give_up(cluster: Cluster) -> None:
    """An operator gives up too soon: who holds it may only be away."""
    if cluster.give_up(even_if_away=True):
        cluster.count("loss asked for too soon")


def _leave(cluster: Cluster) -> None:
    by, whom = cluster.any_up(), cluster.world.rng.choice(cluster.machines)
    if by is not None:
        cluster.operate(by, lambda call: events.Leave(call, whom.id), lambda result: _left(cluster, whom, result))


def _left(cluster: Cluster, machine: Machine, result: Result) -> None:
    if isinstance(result, (Receipt, BrokerStatus)):
        cluster.count("broker removed")
        world = cluster.world
        world.after(world.between(0.5, 3.0), machine.restart)
        if world.chance(0.6):
            world.after(world.between(1.0, 6.0), _join, cluster, machine)


def _join(cluster: Cluster, machine: Machine | None = None) -> None:
    by, whom = cluster.any_up(), machine or cluster.world.rng.choice(cluster.machines)
    if by is not None and not cluster.healing:
        cluster.operate(by, cluster._join_of(whom, by), lambda result: _joined(cluster, result))


def _joined(cluster: Cluster, result: Result) -> None:
    if isinstance(result, (Receipt, BrokerStatus)):
        cluster.count("broker added")


FAULTS: dict[str, Callable[[Cluster], None]] = {
    "crash": _crash,
    "power": _power,
    "power-all": _power_all,
    "disk-lost": _disk_lost,
    "disk-back": _disk_back,
    "disk-cloned": _disk_cloned,
    "succession": _succession,
    "relapse": _relapse,
    "crash-loops": _crash_loops,
    "partition": _partition,
    "one-way": _one_way,
    "clients-cut": _clients_cut,
    "slow-disk": _slow_disk,
    "pause": _pause,
    "oversleep": _oversleep,
    "wall": _wall,
    "wall-all": _wall_all,
    "full": _full_disk,
    "retention": _retention,
    "rot": _rot,
    "give-up": _give_up,
    "leave": _leave,
    "join": _join,
}


def run(
    seed: int,
    *,
    tracing: bool = False,
    digesting: bool = False,
    focus: Sequence[str] = (),
    asks: bool | None = None,
    confirms: bool | None = None,
    edits: bool | None = None,
    times: bool | None = None,
) -> Outcome:
    """Run one schedule. `asks`, `confirms`, `edits`, `times`: see `Cluster`.

    `focus`: kinds of faults (keys of `FAULTS`, or `CALM`) instead of those that the seed would draw.
    """
    cluster = Cluster(seed, tracing=tracing, digesting=digesting, asks=asks, confirms=confirms, edits=edits, times=times)
    cluster.fault_free = focus == CALM or (cluster.fault_free and not focus)
    world, ledger = cluster.world, cluster.ledger
    decode = cache(ops.decode)  # brokers read the same bytes many times, and an op never changes
    violation = ""
    try:
        with (
            patch.multiple(limits, RETENTION_EVERY_SECONDS=RETENTION_EVERY, PIECE_OPS=PIECE, **cluster.limits),
            patch.object(ops, "decode", decode),
            patch.object(rewriting, "decode", decode),
        ):
            cluster.populate()
            cluster.chaos(focus)
            cluster.heal()
    except Violation as found:
        violation = str(found)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        violation = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
    if tracing and violation:
        world.say("BROKEN", violation)
    return Outcome(
        seed, violation, world.now, world.steps, world.now, world.faults, world.deeds, len(cluster.machines),
        ledger.receipts, ledger.copied, ledger.shown, ledger.acks, len(ledger.texts),
        ledger.drops, ledger.withdrawals, len(ledger.told_gaps), world.lines,
        world.actions.hexdigest() if world.actions else "",
    )  # fmt: skip


__all__ = ["OpId", "Outcome", "run"]
