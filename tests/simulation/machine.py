"""One machine: its disk, the shell around the real broker core, and the serving end of its streams.

Its rounds are those of production (`engine.group_commit`), with the effects of this machine: a round is everything that
gathered while the last one was synced, and stands still while the disk syncs. Then the power may fail. Sends and answers
read their bytes from the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from newswire.core import limits
from newswire.core.access import EVERYBODY, Principal
from newswire.core.broker import events
from newswire.core.broker.broker import Broker
from newswire.core.broker.escalation import Escalation
from newswire.core.broker.events import (
    Answered,
    Event,
    Failed,
    Header,
    Now,
    Received,
    Reply,
    Submitted,
    Tick,
)
from newswire.core.broker.values import BrokerStatus, Identity
from newswire.core.model import ops
from newswire.core.model.commands import Acknowledge, Request
from newswire.core.model.coverage import Coverage, read, write
from newswire.core.model.event_ids import EventId
from newswire.core.model.names import matches
from newswire.core.model.ops import Lost, Op, OpId, Published, Void, split_op_id
from newswire.core.model.results import Receipt
from newswire.core.read.pages import as_items
from newswire.core.read.pieces import finish
from newswire.core.read.scan import Due, DueGap, DueWithdrawal, plan
from newswire.core.read.start import find_recipient, stream_opening
from newswire.core.state.fold import State
from newswire.core.state.rewriting import Rewriting
from newswire.engine.group_commit import GroupCommit, Outward, Phases
from newswire.errors import NewswireError, StorageFull
from tests.simulation.truth import Fold, Ledger
from tests.simulation.world import FAR, WALL, Violation, World

if TYPE_CHECKING:
    from tests.simulation.clients import Session

CLUSTER = (
    "c" * 32
)  # settled from the start where not all know of each other: there, whoever starts on an empty disk founds a cluster
HEARTBEAT = 1.0
TICK = 0.1  # seconds between two ticks while anything waits
IDLE_TICK = 0.29  # and while nothing does
Record = tuple[bytes, Op]


BASE = 10**6  # places of a log that was written anew are higher than that, and others with each time


class Disk:
    """What one machine wrote: all of it, and how much of that is synced.

    A place is an index into `records`, or a key of `base`, which holds what stands for all records before `start`.
    """

    def __init__(self, ops: Mapping[OpId, Op]) -> None:
        """`ops`: all that there ever were."""
        self._ops = ops
        self.records: list[Record] = []
        self.base: dict[int, Record] = {}
        self._written: dict[int, Record] = {}  # all that was ever in a base: old ones are read for a while
        self.start = 0
        self.rewritings = 0
        self.synced = 0
        self.damaged = False  # a record of it was ever bad
        self.held: dict[OpId, int] = {}  # ops that are not void, with their places
        self.void: set[OpId] = set()  # ops that are held and void
        self.is_ahead = False  # the log is another already, and the state is not taken over yet: it shows what is void here
        self.order: dict[OpId, int] = {}  # of what was ever appended: which came first
        self.copies: dict[OpId, int] = {}  # second records of ops that are held: they heal the first when they are synced
        self.heads: dict[str, int] = {}  # by origin, the last sequence written
        self.fold = Fold()  # of what is synced and applied
        self.rotten: set[int] = set()  # places of records that cannot be read any more
        self.cluster = ""  # the id that the segments name
        self.changes = 0  # another one whenever other ops may be held
        self.voids: dict[str, list[tuple[int, int]]] = {}  # ranges that `lost` ops in here name, by origin
        self.ignores_voids = False  # the records of some are gone: none counts until the log is written anew

    def append(self, op: Op, raw: bytes) -> None:
        """Write a record; it is not synced yet."""
        self._note(op, len(self.records))
        self.records.append((raw, op))

    def _note(self, op: Op, place: int) -> None:
        self.changes += 1
        self.heads[op.origin] = max(op.sequence, self.heads.get(op.origin, 0))
        if isinstance(op, Void):
            self.void.update(() if self.ignores_voids else ids_of(op))
            return
        name = op.id
        self.order.setdefault(name, len(self.order))
        (self.copies if name in self.held else self.held)[name] = place
        if isinstance(op, Lost):
            self.voids.setdefault(op.source, []).append((op.first, op.last))

    def get(self, place: int) -> Record:
        """The record there."""
        return self._written[place] if place >= BASE else self.records[place]

    def places(self) -> list[int]:
        """Where records are that are synced and count, in their order."""
        return [*self.base, *range(self.start, self.synced)]

    def is_synced(self, place: int) -> bool:
        """Whether the record there is synced, and counts."""
        return self.start <= place < self.synced or place in self.base

    def reach(self, origin: str) -> int:
        """How far an origin was written, with what was given up."""
        last = self.heads.get(origin, 0)
        for first, end in sorted(self.voids.get(origin, ())):
            if first <= last + 1:
                last = max(last, end)
        return last

    def sync(self) -> list[tuple[int, int]]:
        """Sync what was written; return (place, length) of each record that is synced now."""
        fresh = self.records[self.synced :]
        places = [(self.synced + index, len(raw)) for index, (raw, _) in enumerate(fresh)]
        self.synced = len(self.records)
        self._take_copies()
        return places

    def _take_copies(self) -> None:
        synced = {name: index for name, index in self.copies.items() if index < self.synced}
        self.held.update(synced)
        for name in synced:
            del self.copies[name]

    def fold_all(self) -> None:
        """Fold all that is synced: what a start applies, or a state that is taken over."""
        self.fold, self.is_ahead = Fold(), False
        for place in self.places():
            self.fold.add(self.get(place)[1])
        for name in self.void:
            if name in self._ops:
                self.fold.add(self._ops[name])

    def fold_in(self, places: Sequence[tuple[int, int]]) -> None:
        """Fold the records at `places`, which are about to be applied."""
        for place, _ in places:
            self.fold.add(self.get(place)[1])

    def ignore_voids(self) -> None:
        """What is known to be void is not known any more, but for what stands behind it, too."""
        order, rotten = self.order, self.rotten
        self.ignores_voids = True
        self.commit(self.base, self.start)
        self.order, self.rotten = order, rotten

    def begin_base(self) -> int:
        """Where the records go that are to stand for those that there are now."""
        self.rewritings += 1
        return BASE * self.rewritings

    def commit(self, base: dict[int, Record], start: int) -> set[OpId]:
        """From here on `base` stands for what was before `start`; return the ops that are void from here on."""
        self._written |= base
        before, order = set(self.void), self.order
        tail, synced, rotten = self.records, self.synced, self.rotten
        self._forget()
        self.order = order
        for place, (_, op) in base.items():
            self._note(op, place)
        self.base, self.start, self.records, self.synced = base, start, tail, synced
        for place in range(start, len(tail)):
            self._note(tail[place][1], place)
        self._take_copies()
        self.rotten = {place for place in rotten if place >= start or place in base}
        for name in self.void & self.held.keys():
            del self.held[name]
        self.is_ahead = True
        return self.void - before

    def _forget(self) -> None:
        self.changes += 1
        self.records, self.base, self.start, self.held, self.heads, self.synced = [], {}, 0, {}, {}, 0
        self.voids, self.copies, self.void, self.order, self.rotten = {}, {}, set(), {}, set()

    def has(self, name: OpId) -> bool:
        """Whether the op is synced here, or void."""
        place = self.held.get(name, -1)
        return name in self.void or (self.is_synced(place) and place not in self.rotten)

    def wrote(self, name: OpId) -> bool:
        """Whether the op was synced here, though it may have turned bad since."""
        return name in self.void or self.is_synced(self.held.get(name, -1))

    def names(self) -> set[OpId]:
        """The ops that are synced here and can be read, and those that are void."""
        good = {*self.base, *range(self.start, self.synced)} - self.rotten
        return self.void | {name for name, place in self.held.items() if place in good}

    def rot(self, place: int) -> None:
        """Let a record turn bad."""
        self.rotten.add(place)
        self.damaged = True
        name = self.get(place)[1].id
        if self.held.get(name) == place:  # of what was taken anew after a start the former record may be good
            good = (at for at in self.places() if at not in self.rotten and self._is_record(at, name))
            self.held[name] = next(good, place)

    def is_bad(self, name: OpId) -> bool:
        """Whether a record of it turned bad: a broker that reads that one stores it again, though another may be good."""
        return any(self._is_record(place, name) for place in self.rotten)

    def _is_record(self, place: int, name: OpId) -> bool:
        """Whether the op itself stands there: the last op that a void stands for has the name of that."""
        op = self.get(place)[1]
        return op.id == name and not isinstance(op, Void)

    def cut(self, length: int) -> int:
        """A crash leaves `length` records; return how many un-synced ones are lost."""
        lost = len(self.records) - length
        if lost:
            base, order, rotten, is_ahead = self.base, self.order, self.rotten, self.is_ahead
            self.records = self.records[:length]
            self.commit(base, self.start)
            self.order, self.rotten = order, {place for place in rotten if place >= BASE or place < length}
            self.is_ahead = is_ahead
        return lost

    def replace(self, records: Iterable[Record], cluster: str, *, damaged: bool) -> None:
        """Become another disk, which holds these records and no others."""
        self._forget()
        self.cluster, self.ignores_voids, self.damaged = cluster, False, damaged
        for raw, op in records:
            self.append(op, raw)
        self.synced = len(self.records)
        self._take_copies()
        for name in self.void:
            self.held.pop(name, None)
        self.fold_all()

    def copy(self) -> list[Record]:
        """What is synced and can be read, to come back to."""
        return [self.get(place) for place in self.places() if place not in self.rotten]


def ids_of(void: Void) -> list[OpId]:
    """The ops that a void stands for."""
    return [f"{void.origin}.{sequence}" for sequence in range(void.first, void.sequence + 1)]


class Call:
    """A request on its way, and who waits for the answer."""

    def __init__(self, tell: Callable[[Receipt | BrokerStatus | NewswireError | None], None]) -> None:
        self.tell = tell
        self.waiting = True  # at the client
        self.open = True  # something may still come of it at the broker


class Push:
    """A push that waits for its answer: which link of which run."""

    def __init__(self, source: Machine, address: str, number: int, *, twin: bool = False) -> None:
        self.source, self.run, self.address, self.number, self.twin = source, source.run, address, number, twin


class NotedEscalation(Escalation):
    """Of production; the ledger hears of what is let be since all have confirmed it."""

    def __init__(self, machine: Machine, state: State) -> None:
        super().__init__(state)
        self._machine = machine

    def _end(self) -> None:
        notice = self._state.messages.notices.of[self._row]
        if not self._is_over(notice):
            self._machine.ledger.confirmations.lets_be(self._machine, notice.id)
        super()._end()


class NotedBroker(Broker):
    """The production core; what it wants done is noted in the order in which it says so."""

    def __init__(self, machine: Machine, identity: Identity, state: State, cluster: str, *, settled: bool) -> None:
        super().__init__(identity, state, cluster, settled=settled)
        self._machine = machine
        self.escalation = NotedEscalation(machine, state)

    def _decide(self, event: Submitted, terms: Any, now: Now) -> None:
        before = len(self.stager.staged)
        super()._decide(event, terms, now)
        if event.by is not None and len(self.stager.staged) > before:
            self._machine.ledger.check_asked(self._machine, event)

    def _begin_rewriting(self, now: Now) -> None:
        asked = self.compaction._asked
        self._machine.waits_for_nobody = self._wants_room or (asked is not None and asked.even_if_away)
        super()._begin_rewriting(now)

    def _watch_clocks(self, now: Now) -> None:
        super()._watch_clocks(now)
        self._machine.most_lead = max(self._machine.most_lead, self.clocks.retention - self.clocks.lasted)

    def _take_actions(self) -> list[events.Action]:
        actions = super()._take_actions()
        for action in actions:
            if isinstance(action, events.Append):  # judged by the state that it was decided by: a round may go on with another
                self._machine.ledger.stamped(self._machine, action.ops, action.raws)
            self._machine.world.note(self._machine.id, action)
        return actions


class Machine:
    """A broker's machine, and the effects of its rounds (`group_commit.Effects`): it starts and crashes, its disk stays."""

    def __init__(self, world: World, ledger: Ledger, number: int, *, primary: bool, peers: tuple[str, ...]) -> None:
        self.world, self.ledger = world, ledger
        self.id = f"100{number}"
        self.address = f"10.0.0.{number}:5053"
        self.primary, self.peers = primary, peers
        self.keeps = limits.RETENTION_MESSAGES
        self.keeps_seconds: float = limits.RETENTION_SECONDS
        self.trusts_clock = False
        self.compacts = True
        self.incoming: list[Sequence[bytes]] = []  # parts of an offer
        self.writing: dict[int, Record] = {}  # a log that is written anew
        self.disk = Disk(ledger.ops)
        self.snapshots: list[tuple[list[Record], str, bool]] = []
        self.mints_cluster = False  # on an empty disk, as in production
        self.broker: Broker | None = None
        self.run = 0
        self.origin = ""
        self.heard: dict[str, int] = {}  # by machine: the run that its last answer came from
        self.answered_at: dict[str, float] = {}  # by machine: when this run had an answer of it last
        self.started_at = 0.0
        self.most_lead = 0  # ms by which retention's clock was ahead most of what this run has lasted: it may be set back
        self.came: dict[OpId, float] = {}  # when this run was brought each op: what it found, or was handed over, is not there
        self.wall_at_start = 0  # ms, of this run: what it knows of that soon after
        self.switched_at = -1.0  # when it went on with another log last
        self.waits_for_nobody = False  # the compaction that begins is of one whose disk is low, or on an operator's word
        self.run_of: dict[str, int] = {}  # by origin
        self.busy = False
        self.paused = False
        self.suspended_at: float | None = None
        self.syncs_slowly = False
        self.full = False
        self.exited = False
        self.doom: float | None = None  # of the next sync: the power fails while it runs, so much of it stays
        self.wall_shift = 0
        self.calls: set[Call] = set()
        self.syncs: list[tuple[float, int]] = []  # when so many records were synced
        self.outlets: list[Outlet] = []
        self._clock_shift = world.between(0, 1000)
        self._inbox: list[Event] = []
        self._phases: Phases = iter(())  # of the round under way
        self._naming = ""  # the cluster id that goes to the disk
        self._tick_at = 0.0
        self._in_flight: dict[str, int] = {}
        self.by_address: dict[str, Machine] = {}

    # -- life

    @property
    def up(self) -> bool:
        """Whether a process runs here."""
        return self.broker is not None

    def shows(self, name: OpId) -> bool:
        """Whether the broker that runs here has applied an op, which is not void."""
        return self.broker is not None and self.broker.state.log.row(*split_op_id(name)) is not None

    @property
    def most_clock(self) -> int:
        """What retention's clock is now, in ms, or would be, had it not been set back in this run."""
        assert self.broker is not None
        return max(self.broker.clocks.retention, self.most_lead + self.broker.clocks.lasted)

    def holds(self, name: OpId) -> bool:
        """Whether the broker that runs here has applied an op, or holds it void."""
        if self.broker is None:
            return False
        log, (origin, sequence) = self.broker.state.log, split_op_id(name)
        return log.row(origin, sequence) is not None or log.is_void(origin, sequence)

    def start(self) -> None:
        """Start a process on what the disk holds."""
        self._wake_host()
        state = self._replay()
        self.run += 1
        self.origin = self.mint()
        self.run_of[self.origin] = self.run
        self.wall_at_start = self.now().wall
        self.heard, self.busy, self._inbox, self._in_flight, self.outlets = {}, False, [], {}, []
        self.answered_at, self.started_at, self.waits_for_nobody = {}, self.world.now, False
        self.came, self.most_lead = {}, 0
        self.exited = self.full = False
        self.incoming, self.writing = [], {}
        self.disk.fold_all()
        if state.holes.waiting and not self.disk.damaged:
            raise Violation(f"{self.id} starts on records that stand behind a gap: {state.holes.waiting}")
        identity = Identity(
            self.id,
            self.address,
            self.origin,
            self.primary,
            self.peers,
            heartbeat=HEARTBEAT,
            retention_messages=self.keeps,
            retention_seconds=self.keeps_seconds,
            trust_clock=self.trusts_clock,
            compacts=self.compacts,
            away_seconds=limits.COMPACT_AWAY_SECONDS,
        )
        cluster = self.disk.cluster or (self._mint_cluster() if self.mints_cluster else CLUSTER)
        self.broker = NotedBroker(self, identity, state, cluster, settled=bool(self.disk.cluster) or not self.mints_cluster)
        self._commit = GroupCommit(self.broker, self)
        if self.world.tracing:
            self.world.say(self.id, f"starts as {self.origin} on {len(self.disk.records)} records")
        self.busy = True
        self._phases = self._commit.begin()
        self._go_on()
        self.world.after(TICK, self._tick, self.run)

    def _replay(self) -> State:
        """What a start reads from the disk."""
        disk, state = self.disk, State()
        if len(disk.records) > disk.synced:
            disk.sync()
        good = (place for place in disk.places() if place not in disk.rotten)
        records = [(ops.decode(raw), place, len(raw)) for place in good for raw in (disk.get(place)[0],)]
        state.replay(records)
        bad_voids = any(isinstance(disk.get(place)[1], Void) for place in disk.rotten if disk.is_synced(place))
        if (state.lacks_voids or bad_voids) and not disk.ignores_voids:
            before = disk.names()
            disk.ignore_voids()
            lost = self.ledger.disk_changed(self, before)
            self.world.deeds["voids ignored"] += 1
            if self.world.tracing:
                self.world.say(self.id, f"ignores its voids: {sorted(lost)}")
        if state.lacks_voids:
            state = State(without_voids=True)
            state.replay(records)
        state.revive(None)
        return state

    def mint(self) -> str:
        """A new origin: never one that was."""
        return f"{self.id}-r{self.run}"

    def _mint_cluster(self) -> str:
        return blake2b(f"{self.world.seed} {self.origin}".encode(), digest_size=16).hexdigest()

    def mints(self, origin: str) -> bool:
        """Whether this run stamps ops of that origin: its own, and those that it goes on under."""
        return origin == self.origin or origin.startswith((f"{self.origin}v", f"{self.origin}b"))

    def crash(self, keep: float) -> None:
        """The process dies and `keep` (0..1) of what was not synced stays."""
        written = len(self.disk.records) - self.disk.synced
        self.broker = None
        self._phases, self._naming = iter(()), ""
        length = self.disk.synced + int(written * keep + 0.5)
        self.ledger.unstored(self, [op for _, op in self.disk.records[length:]])  # nobody else was given any of it
        lost = self.disk.cut(length)
        for call in self.calls:
            call.open = False
        self.calls.clear()
        for outlet in self.outlets:
            outlet.broke()
        self.outlets = []
        if self.world.tracing:
            self.world.say(self.id, f"dies, {lost} of {written} unsynced records lost")
        if lost:
            self.world.faults["unsynced lost"] += 1

    def now(self) -> Now:
        """The time of day on this machine."""
        return Now(self.world.now + self._clock_shift, WALL + int(self.world.now * 1000) + self.wall_shift)

    def pause(self, seconds: float, *, suspended: bool = False) -> None:
        """Stop the process for a while, as SIGSTOP does; `suspended`: the host with it, whose running clock stands still."""
        self.paused = True
        if suspended:
            self.suspended_at = self.world.now
        self.world.after(seconds, self.resume, self.run)

    def _wake_host(self) -> None:
        if self.suspended_at is not None:
            self._clock_shift -= self.world.now - self.suspended_at
            self.suspended_at = None

    def set_clock(self, shift: int) -> None:
        """Set the time of day. Not on a host that is suspended: then nothing would tell that it was."""
        if self.suspended_at is None:
            if self.world.now - self.started_at < limits.CLOCK_SETTLE_SECONDS:
                self.wall_at_start += shift - self.wall_shift
            self.wall_shift = shift

    def resume(self, run: int) -> None:
        """Let a stopped process go on."""
        self.paused = False
        self._wake_host()
        if run == self.run and not self.busy:
            self._round()

    def knows_since(self, name: OpId) -> float:
        """When the disk that is there now took an op, as far as is known: 0 for long ago."""
        place = self.disk.held.get(name, BASE)
        return 0.0 if place >= BASE else next((at for at, synced in self.syncs if synced > place), 0.0)

    # -- the shell

    def hand_in(self, event: Event) -> None:
        """Give the broker an event; it gathers while a round is being synced."""
        if self.broker is None:
            return
        self._inbox.append(event)
        if not self.busy and not self.paused:
            self._round()

    def _tick(self, run: int) -> None:
        if run != self.run or self.broker is None:
            return
        self._check_streams()
        now = self.world.now
        due = now >= self._tick_at or self.calls or any(self._in_flight.values())
        waits = bool(self._inbox) and isinstance(self._inbox[0], Tick)
        if due and not self.paused and not waits:
            self._tick_at = now + IDLE_TICK
            self._inbox.insert(0, LOW if self.full else TICKED)  # a round begins with it, whatever else came
            if not self.busy:
                self._round()
        self.world.after(TICK, self._tick, run)

    def _check_streams(self) -> None:
        """ACCESS: no stream goes on that the ops which are applied here forbid."""
        for outlet in self.outlets:
            if outlet.by is not None and not outlet.gone and self.ledger.is_forbidden(outlet, outlet.by):
                raise Violation(f"{self.id} goes on with a stream to {outlet.user} as {outlet.by}, who may read nothing there")

    def _round(self) -> None:
        """Run what gathered."""
        if self.broker is not None:
            self.busy = True
            self._go_on()

    def _go_on(self) -> None:
        """Run the round under way, and those after it, until one waits for the disk or nothing is left."""
        while True:
            for _ in self._phases:
                self._wait_for_disk()
                return
            if self.exited:
                self.world.after(0, self._exit, self.run)
                return
            if not (self._inbox or self._commit.has_more):
                self.busy = False
                return
            gathered, self._inbox = self._inbox, []
            self._phases = self._commit.run(self._looked_at(gathered))

    def _looked_at(self, gathered: Sequence[Event]) -> Iterator[Event]:
        for event in gathered:
            if event is not TICKED and event is not LOW:
                self.world.steps += 1
            if isinstance(event, Answered) and not event.header.code:
                self._hear(event)
            yield event

    def _hear(self, event: Answered) -> None:
        """From here on the broker knows what the peer's disk held when this run of it began."""
        header = event.header
        other = next(machine for machine in self.by_address.values() if machine.id == header.broker)
        self.heard[other.id] = max(self.heard.get(other.id, 0), other.run_of[header.origin])
        if self.broker is not None and self.broker.replication.awaits(event.address, header.number):
            self.answered_at[other.id] = self.world.now

    def _wait_for_disk(self) -> None:
        if self.exited:
            self.world.after(0, self._exit, self.run)
            return
        seconds = self.world.between(0.3, 2.5) if self.syncs_slowly else self.world.between(0.0002, 0.004)
        self.world.after(seconds, self._synced, self.run)
        if self.doom is not None:
            self.world.after(seconds * self.world.rng.random(), self.fail, self.run)

    def fail(self, run: int) -> None:
        """The power fails."""
        if run == self.run and self.broker is not None and self.doom is not None:
            keep, self.doom = self.doom, None
            self.crash(keep)
            self.world.after(self.world.between(0.05, 4.0), self.restart)

    def restart(self) -> None:
        """Start if nothing runs."""
        if not self.up:
            self.start()

    def _synced(self, run: int) -> None:
        if run != self.run or self.broker is None:
            return
        if self.paused:
            self.world.after(0.05, self._synced, run)
            return
        self._go_on()

    def _exit(self, run: int) -> None:
        if run == self.run and self.broker is not None:
            self.ledger.check_exit(self)
            self.crash(1.0)
            self.world.faults["exit"] += 1

    # -- group_commit.Effects

    def locked(self) -> AbstractContextManager[None]:
        """One thing happens at a time here."""
        return nullcontext()

    def make_way(self) -> None:
        """Let each stream read on, between two pieces."""
        for outlet in list(self.outlets):
            outlet.pump()

    def roll(self, cluster: str) -> None:
        """Note the id that goes to the disk."""
        if self.world.tracing:
            self.world.say(self.id, f"settles on cluster {cluster[:6]}")
        if self.disk.cluster:
            raise Violation(f"{self.id} settles on {cluster}, and was of {self.disk.cluster}")
        self._naming = cluster

    def append(self, ops: Sequence[Op], raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write, and let the ledger look."""
        first = len(self.disk.records)
        for op, raw in zip(ops, raws, strict=True):
            if self.world.tracing:
                self.world.say(self.id, f"appends {raw.decode()}")
            self.ledger.appended(self, op, raw)
            self.disk.append(op, raw)
        return [(place, len(raw)) for place, raw in enumerate(raws, first)]

    def sync(self) -> None:
        """Sync what was written, unless there was no room for it."""
        if self._naming:
            self.disk.cluster = self.ledger.settled_last = self._naming
            self._naming = ""
        assert self.broker is not None
        if self.full and self.broker.begun and self.world.chance(0.3):
            self.ledger.unstored(self, [op for _, op in self.disk.records[self.disk.synced :]])
            self.disk.cut(self.disk.synced)
            self.world.faults["unstored"] += 1
            if self.world.tracing:
                self.world.say(self.id, "disk full: not stored")
            raise StorageFull("no room")
        self.disk.sync()
        self.syncs.append((self.world.now, self.disk.synced))

    def before_apply(self, places: Sequence[tuple[int, int]]) -> None:
        """Fold what is applied next here, too."""
        for place, _ in places:
            name = self.disk.get(place)[1].id
            if not self.holds(name):
                self.came.setdefault(name, self.world.now)
        self.disk.fold_in(places)

    def after_apply(self, places: Sequence[tuple[int, int]], ops: Sequence[Op], raws: Sequence[bytes]) -> None:
        """See that the records are what they are said to be: streams and peers are given these for what lies there."""
        for (place, _), op in zip(places, ops, strict=True):
            if self.disk.get(place)[1].id != op.id:
                raise Violation(f"{self.id} takes {op.id} for what lies at {place}")

    def execute(self, action: Outward) -> None:
        """Do it."""
        _ACT[type(action)](self, action)

    def _send(self, action: events.Send) -> None:
        if self._in_flight.get(action.address, 0):
            raise Violation(f"{self.id} has two pushes in flight to {action.address}")
        push = Push(self, action.address, action.header.number)
        self._in_flight[action.address] = action.header.number
        raws = self._read(action.places)
        parts = self._read(action.parts)
        if raws is None or parts is None:
            self.world.after(0.001, self._fail, push, "the disk does not give back what is to be pushed")
            return
        raws += parts
        if self.world.tracing:
            self.world.say(self.id, f"pushes {len(raws)} ops to {action.address} #{push.number} {_shown(action.header)}")
        self.world.after(FAR, self._fail, push, "no answer within 2 s")
        target = self.by_address.get(action.address)
        if target is None or not target.up:
            self.world.after(0.001, self._fail, push, "refused")
            return
        self.world.travel(self.id, target.id, target.receive, push, action.header, raws)

    def receive(self, push: Push, header: Header, raws: Sequence[bytes]) -> None:
        """A push arrives."""
        if self.broker is None:
            self.world.after(0.001, push.source._fail, push, "reset")
        else:
            self.hand_in(Received(push, header, raws))

    def _answer(self, action: events.Answer) -> None:
        push = action.reply_to
        assert isinstance(push, Push)
        raws = self._read(action.places)
        if raws is None:
            return
        if self.world.tracing:
            self.world.say(self.id, f"answers #{push.number} of {push.source.id} with {len(raws)} ops {_shown(action.header)}")
        self.world.travel(self.id, push.source.id, push.source.get_answer, push, self, action.header, raws)

    def get_answer(self, push: Push, other: Machine, header: Header, raws: Sequence[bytes]) -> None:
        """The answer to a push arrives, perhaps too late."""
        if push.run == self.run and self._in_flight.get(push.address) == push.number:
            self._in_flight[push.address] = 0
            self.hand_in(Answered(push.address, header, raws))

    def _fail(self, push: Push, detail: str) -> None:
        if push.run == self.run and self._in_flight.get(push.address) == push.number:
            self._in_flight[push.address] = 0
            self.hand_in(Failed(push.address, push.number, "down", detail))

    def _read(self, where: Sequence[tuple[int, int]]) -> list[bytes] | None:
        """Records; None if some cannot be read, of which the core hears."""
        found = []
        bad = [place for place, _ in where if place in self.disk.rotten]
        if bad:
            self.cannot_read(bad)
            return None
        for place, _ in where:
            if place < BASE and place >= self.disk.synced:
                raise Violation(f"{self.id} sends a record that is not synced")
            found.append(self.disk.get(place)[0])
        return found

    def scrub(self) -> None:
        """Read all that the broker holds."""
        if self.broker is not None and self.disk.rotten:
            log = self.broker.state.log
            bad = [place for row, place in enumerate(log.places) if place in self.disk.rotten and row not in log.unreadable]
            if bad:
                self.cannot_read(bad)

    def cannot_read(self, places: Sequence[int]) -> None:
        """Tell the core what the disk did not give back."""
        self.world.faults["record unreadable"] += 1
        self.world.after(0, self._hand_in_later, self.run, events.Unreadable(tuple(places)))

    def _hand_in_later(self, run: int, event: Event) -> None:
        if run == self.run:
            self.hand_in(event)

    def _recall(self, action: events.Recall) -> None:
        bad = [place for place, _ in action.places if place in self.disk.rotten]
        if bad:
            self.cannot_read(bad)
        ops = [self.disk.get(place)[1] for place, _ in action.places if place not in bad]
        self.world.after(0, self._hand_in_later, self.run, events.Recalled(action.lost, ops))

    # -- compaction

    def _rewrite(self, action: events.Rewrite) -> None:
        """Begin a thread: what it does takes time, and may end with the process."""
        if self.world.tracing:
            self.world.say(self.id, f"{'adopts' if action.job.adopts else 'compacts'} {action.job.cut} rows")
        self.ledger.begins_rewriting(self, action.job)
        if self.disk.synced < len(self.disk.records):
            raise Violation(f"{self.id} rewrites a log of which something is not synced")
        self._work(self.run, self._write_anew(action.job, len(self.disk.records)))

    def _work(self, run: int, steps: Iterator[None]) -> None:
        """Do the next step of a thread."""
        if run != self.run or self.broker is None:
            return
        if self.paused or next(steps, self) is None:
            self.world.after(self.world.between(0.0005, 0.02), self._work, run, steps)

    def _write_anew(self, job: Rewriting, start: int) -> Iterator[None]:
        """What the thread of an engine does that writes a log anew."""
        assert self.broker is not None
        why = yield from self._write_base(job, start)
        if why:
            self.world.deeds["rewriting failed"] += 1
            self._hand_in_later(self.run, events.RewriteFailed(job, why))
            return
        yield from self._replace_log(job, start)
        yield
        while job.catch_up():
            yield
        self._hand_in_later(self.run, events.Rewritten(job))

    def _write_base(self, job: Rewriting, start: int) -> Generator[None, None, str]:
        broker = self.broker
        assert broker is not None
        finish(job.survey(broker.state))
        yield
        for where in job.to_look_at():
            raws = self._read_old(where)
            if raws is None:
                return "a record cannot be read"
            job.look(raws)
            yield
        yield from job.choose()
        base: dict[int, Record] = {}
        first = self.disk.begin_base()

        def write(raws: Sequence[bytes]) -> None:
            places = [(first + len(base) + at, len(raw)) for at, raw in enumerate(raws)]
            for (place, _), raw in zip(places, raws, strict=True):
                op = ops.decode(raw)
                self.ledger.rewritten(self, op, raw)
                base[place] = (raw, op)
            job.take(raws, places)

        for piece in job.pieces():
            raws = [part if isinstance(part, bytes) else None for part in piece]
            old = self._read_old([part for part in piece if isinstance(part, tuple)])
            if old is None or job.stopped or (self.full and self.world.chance(0.5)):
                return "it was stopped, or there is no room"
            rest = iter(old)
            write([raw if raw is not None else next(rest) for raw in raws])
            yield
        for part in self.incoming if job.adopts else ():
            write(job.merge(part))
            yield
        self.writing = base
        return job.check()

    def _replace_log(self, job: Rewriting, start: int) -> Iterator[None]:
        """The new log counts from one moment on; then the old one may go."""
        self._commit_base(job, start)
        yield

    def _commit_base(self, job: Rewriting, start: int) -> None:
        self.disk.ignores_voids = False
        self.disk.damaged |= bool(job.state.holes.waiting)  # handed over by who has a hole
        void = self.disk.commit(self.writing, start)
        self.world.deeds["adopted" if job.adopts else "compacted"] += 1
        self.ledger.compacted(self, void, adopts=job.adopts)
        if self.world.tracing:
            self.world.say(self.id, f"the new log counts: {len(self.writing)} records for {start}, void {sorted(void)}")

    def _read_old(self, where: Sequence[tuple[int, int]]) -> list[bytes] | None:
        bad = [place for place, _ in where if place in self.disk.rotten]
        if bad:
            self.cannot_read(bad)
            return None
        return [self.disk.get(place)[0] for place, _ in where]

    def _catch_up(self, action: events.CatchUp) -> None:
        self._work(self.run, self._go_on_catching_up(action.job))

    def _go_on_catching_up(self, job: Rewriting) -> Iterator[None]:
        yield
        while job.catch_up():
            yield
        self._hand_in_later(self.run, events.Rewritten(job))

    def _switched(self, action: events.Switched) -> None:
        """The thread's work is done, and all that the new log holds is applied."""
        self.switched_at = self.world.now
        self.disk.fold_all()
        self.world.deeds["switched"] += 1

    def _keep_part(self, action: events.KeepPart) -> None:
        if action.first:
            self.incoming = []
        self.incoming.append(action.raws)

    def _drop_parts(self, action: events.DropParts) -> None:
        self.incoming = []

    def _disconnect(self, action: events.Disconnect) -> None:
        self._in_flight.pop(action.address, None)

    def _nothing(self, action: events.Action) -> None:
        """Links open by themselves here."""

    def _leave_process(self, action: events.Exit) -> None:
        if self.world.tracing and not self.exited:
            self.world.say(self.id, "exits: it left")
        self.exited = True

    # -- clients

    def request(
        self, call: Call, requests: Sequence[Request], copies: int, seconds: float, by: Principal | None = None
    ) -> None:
        """A client's request arrives."""
        if self.broker is None:
            self._resolve(call, None)
            return
        self.calls.add(call)
        self.hand_in(Submitted(call, requests, copies, self.now().clock + seconds, by))

    def operate(self, call: Call, make: Callable[[Call], Event]) -> None:
        """An operator's request (join, leave) arrives."""
        if self.broker is None:
            self._resolve(call, None)
            return
        self.calls.add(call)
        self.hand_in(make(call))

    def _reply(self, action: Reply) -> None:
        call = action.reply_to
        assert isinstance(call, Call)
        self.calls.discard(call)
        if self.world.tracing:
            self.world.say(self.id, f"replies {action.result!r}")
        if isinstance(action.result, Receipt):
            self.ledger.replied(self, action.result)
        self._resolve(call, action.result)

    def _resolve(self, call: Call, result: Receipt | BrokerStatus | NewswireError | None) -> None:
        call.open = False
        self.world.travel(self.id, "client", _tell, call, result)

    # -- streams

    def open(self, session: Session, user: str, event_id: EventId | None, by: Principal | None = None) -> None:
        """`GET /stream`: OPEN, and ACK with the id that the client shows. `by`: who asks, where that is asked."""
        broker = self.broker
        if broker is None or not broker.begun or not broker.serves or self.paused:
            session.refused()
            return
        outlet = Outlet(self, session, user, read(event_id) if event_id is not None else None, by)
        if not outlet.reopen():
            if by is None and not self.busy and broker.view(self.now()).all_in_sync:
                self.ledger.check_stranger(self, user)
            session.refused()
            return
        self.outlets.append(outlet)
        session.accepted(outlet)
        if event_id is not None:
            self.hand_in(Submitted(None, [Acknowledge(user, event_id, account=outlet.account, token=outlet.token)]))
        outlet.pump()

    def _wake(self, action: events.Wake) -> None:
        for outlet in list(self.outlets):
            if not action.users.isdisjoint((*outlet.users, EVERYBODY)) and not outlet.reopen():
                outlet.close()
                continue
            outlet.pump()
            if not action.serves:
                outlet.close()


class Outlet:
    """The serving end of a stream: what the hub does, without bytes."""

    def __init__(
        self, machine: Machine, session: Session, user: str, coverage: Coverage | None, by: Principal | None = None
    ) -> None:
        self.machine, self.session, self.user, self.by = machine, session, user, by
        self.users = (user,)  # on whom it depends: with an admin's ticket for somebody else also on the admin
        if machine.broker is not None and by is not None and by.feed:
            self.users = (user, machine.broker.state.accounts.name_of(by.account))
        self.account = ""
        self.last_id = coverage
        self.confirmed: Coverage | None = None  # the last place that the other end's kernel has confirmed
        self.places: list[tuple[int, Coverage]] = []  # after how many frames which place
        self.sent = 0
        self.order: dict[str, int] = {}
        self.gone = False
        self.allowed_by: tuple[object, int] | None = None  # the fold, and how much of it, by which it may go on
        self._acknowledged: Coverage | None = None
        self._loop()

    def reopen(self) -> bool:
        """OPEN(u, last id sent); False: nothing is awake."""
        assert self.machine.broker is not None
        state = self.machine.broker.state
        recipient = find_recipient(state.accounts, self.user, self.by, self.machine.now().wall)
        opening = finish(stream_opening(state, recipient, self.last_id)) if recipient is not None else None
        if recipient is None or opening is None:
            return False
        self.account = recipient.account
        self.position, self.wanted, self.order = opening.position, opening.wanted, {}
        # of each pattern what is known of it: where the wanted says nothing, all that is held
        known = opening.wanted.known or (as_items(state.vector),) * len(opening.wanted.patterns)
        self.opening = list(zip(opening.wanted.patterns, known, strict=True))
        return True

    def pump(self) -> None:
        """READ what is due and send it."""
        machine, world = self.machine, self.machine.world
        broker = machine.broker
        while broker is not None and not self.gone:
            world.steps += 1
            page = plan(broker.state, self.position, self.wanted, 4)
            if page.moved:
                world.deeds["stream moved"] += 1
                if not self.reopen():
                    self.close()
                    return
                continue
            bad = [item for item in page.items if isinstance(item, Due) and item.place in machine.disk.rotten]
            if bad:
                machine.cannot_read([due.place for due in bad])
                page = plan(broker.state, self.position, self.wanted, 4, unreadable=frozenset(due.row for due in bad))
            for item in page.items:
                self._frame(item)
            self.position, self.wanted = page.position, page.wanted
            if not page.position.dropped and self.places and self.places[-1][0] == self.sent:
                self.places[-1] = (self.sent, page.coverage)
            if not page.more:
                return

    def _frame(self, item: Due | DueGap | DueWithdrawal) -> None:
        """Send a message or a gap. A place before which a gap is pending is never acknowledged."""
        self.last_id = item.coverage or self.last_id
        self.sent += 1
        if item.coverage is not None and not item.position.dropped:
            self.places.append((self.sent, item.coverage))
        if isinstance(item, DueGap):
            self.session.send(item, str(item.coverage or ""), self.sent)
        elif isinstance(item, DueWithdrawal):
            self.machine.ledger.edits.tell(self.machine, self.user, item)
            self.session.send(item, str(item.coverage), self.sent)
        else:
            self._message(item)

    def _message(self, due: Due) -> None:
        machine = self.machine
        op = ops.decode(machine.disk.get(due.place)[0])
        assert isinstance(op, Published)
        name = op.id
        if due.coverage.message != name:
            raise Violation(f"{machine.id} streams {name} with the id of another: {due.coverage}")
        machine.ledger.show(machine, self.user, name, due.coverage)
        if self.by is not None and machine.broker is not None and not machine.broker.is_applying:
            machine.ledger.check_allowed(machine, self.by, op.topic)
        opened = [dict(known) for pattern, known in self.opening if matches(pattern, op.topic)]
        machine.ledger.check_due(machine, name, opened)
        self._check_order(due, name)
        self.session.send(op, str(due.coverage), self.sent)

    def _check_order(self, due: Due, name: OpId) -> None:
        """What one origin took comes in its order; a message stands where the first of its twins stands."""
        assert self.machine.broker is not None
        log, row = self.machine.broker.state.log, due.position.offset - 1
        origin, sequence = log.names[log.origins[row]], log.sequences[row]
        if self.order.get(origin, 0) >= sequence:
            raise Violation(f"{self.machine.id} streams {name} to {self.user} out of order")
        self.order[origin] = sequence

    def confirm(self, frames: int) -> None:
        """The other end's kernel has so many frames."""
        while self.places and self.places[0][0] <= frames:
            self.confirmed = self.places.pop(0)[1]

    def acknowledge(self) -> None:
        """AUTO-ACK, of all streams of the broker that have something to acknowledge together."""
        acks = [ack for outlet in self.machine.outlets if outlet.session.auto for ack in outlet.take_ack()]
        if acks:
            self.machine.hand_in(Submitted(None, acks))

    @property
    def token(self) -> OpId:
        """What it was opened with, if that is a token."""
        return self.by.token if self.by is not None else ""

    def take_ack(self) -> list[Acknowledge]:
        """What is to be acknowledged for it, if anything is."""
        place = self.confirmed
        if place is None or place is self._acknowledged:
            return []
        self._acknowledged = place
        return [Acknowledge(self.user, write(place), account=self.account, token=self.token)]

    def close(self) -> None:
        """End the stream from this side."""
        self.broke()
        if self in self.machine.outlets:
            self.machine.outlets.remove(self)

    def broke(self) -> None:
        """The stream is no more."""
        if not self.gone:
            self.gone = True
            self.session.broke()

    def left(self) -> None:
        """The client went away: ask the kernel once more, then forget the stream."""
        if not self.gone:
            self.gone = True
            if self.session.auto:
                self.acknowledge()
            if self in self.machine.outlets:
                self.machine.outlets.remove(self)

    def _loop(self) -> None:
        if not self.gone:
            if self.session.auto:
                self.acknowledge()
            self.machine.world.after(self.machine.world.between(0.3, 1.0), self._loop)


def _tell(call: Call, result: Receipt | BrokerStatus | NewswireError | None) -> None:
    if call.waiting:
        call.waiting = False
        call.tell(result)


def _shown(header: Header) -> str:
    said = f" began {header.began}" if header.began else ""
    said += f" asks {header.ask}" if header.ask else ""
    return f"{header.vector}{said}{' refused: ' + header.code if header.code else ''}"


TICKED, LOW = Tick(), Tick(wants_room=True)  # the latter where the disk is full: little room is left long before
_ACT: dict[type, Callable[[Machine, Any], None]] = {
    events.Send: Machine._send,
    events.Answer: Machine._answer,
    events.Reply: Machine._reply,
    events.Wake: Machine._wake,
    events.Connect: Machine._nothing,
    events.Disconnect: Machine._disconnect,
    events.Recall: Machine._recall,
    events.Exit: Machine._leave_process,
    events.Rewrite: Machine._rewrite,
    events.CatchUp: Machine._catch_up,
    events.Switched: Machine._switched,
    events.KeepPart: Machine._keep_part,
    events.DropParts: Machine._drop_parts,
}
