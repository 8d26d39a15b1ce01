"""What really happened, kept outside the core, and what must never have: the checkers.

The ledger knows every op that any broker ever appended, what each disk holds and what each user took. From that alone
it says whether a receipt was true, an acknowledgement earned, a message due. It has its own fold (who is alive) and its
own closure of vectors; nothing of `newswire.core` but the shapes of ops is used.

Lost is only what no disk holds any more: when a disk is lost or goes back, the ops that were nowhere else are *gone*
and excused. An op that some disk holds is never excused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.events import Submitted
from newswire.core.broker.status import is_primary
from newswire.core.model.commands import Acknowledge, Publish, Subscribe
from newswire.core.model.coverage import Coverage
from newswire.core.model.names import matches
from newswire.core.model.ops import (
    AccountOp,
    Acknowledged,
    Began,
    Confirmed,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    OpId,
    PasswordSet,
    Published,
    Scheduled,
    SessionEnded,
    Subscribed,
    Unsubscribed,
    UsersRemoved,
    Void,
    Withdrawn,
)
from newswire.core.model.ops import split_op_id as split
from newswire.core.model.results import Receipt
from newswire.core.model.vector import Vector
from newswire.core.state.op_index import SILENT, VOID
from tests.kit.accounts import seen as seen_accounts
from tests.simulation.access_fold import PROBES, AccessFold
from tests.simulation.confirmations import Confirmations
from tests.simulation.edits import Edits
from tests.simulation.timed import Timed
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from newswire.core.state.rewriting import Rewriting
    from tests.simulation.machine import Machine, Outlet

LATER = 10**9  # a run that never comes
ENDLESS = 3_600_000  # ms: a message with a longer time outlasts any schedule
DAY = 86_400_000  # ms: what brokers take under one key, with stamps further apart than this, is two messages
_SILENT = frozenset((Began, Published, Joined, Left, Lost, Void))  # most ops: they say nothing of what `Fold` is about
NEWS = 3.5  # seconds by which a member in sync has said what it holds: heartbeat, time-out of a push, and some


class Fold:
    """What one disk's ops say, folded the plain way: a second opinion on the core's state."""

    def __init__(self) -> None:
        self.subs: dict[OpId, Subscribed] = {}
        self.of_user: dict[str, dict[OpId, Subscribed]] = {}
        self.removed: set[OpId] = set()
        self.dropped: dict[str, dict[str, int]] = {}  # by topic: what retention dropped, as far as it is spelled out
        self.access = AccessFold()
        self.withdrawn: set[OpId] = set()
        self.scheduled: dict[str, list[Scheduled]] = {}  # by text
        self.acks: dict[OpId, list[Vector]] = {}  # by subscription: what was acknowledged
        self.confirmed: dict[OpId, dict[tuple[str, OpId], int]] = {}  # by the id that was named: by whom, and when first
        self.version = 0  # another one with each op that says something of this

    def add(self, op: Op) -> None:
        """Fold in an op."""
        if says_nothing(op):
            return
        self.version += 1
        if isinstance(op, Published):
            self.withdrawn.add(op.replaces)
        if isinstance(op, Subscribed):
            name = op.id
            self.subs[name] = op
            self.of_user.setdefault(op.user, {})[name] = op
            self.removed.update(op.replaces)
        elif isinstance(op, Unsubscribed):
            self.removed.update(op.ids)
        elif isinstance(op, Acknowledged):
            for name in op.ids:
                self.acks.setdefault(name, []).append(op.vector)
        elif isinstance(op, Dropped):
            horizon = self.dropped.setdefault(op.topic, {})
            horizon.update({o: s for o, s in op.vector.items() if horizon.get(o, 0) < s})
        elif isinstance(op, Confirmed):
            times, reader = self.confirmed.setdefault(op.message, {}), (op.user, op.account)
            times[reader] = min(made := op.made or op.time, times.get(reader, made))
        elif isinstance(op, AccountOp):
            self.access.add(op)
        elif isinstance(op, Withdrawn):
            self.withdrawn.update(op.ids)
        elif isinstance(op, Scheduled):
            self.scheduled.setdefault(op.data, []).append(op)
        if isinstance(op, Withdrawn | Scheduled | Published):
            self._withdraw_twins()

    def _withdraw_twins(self) -> None:
        """What was scheduled twice under one key is withdrawn under the id of either."""
        for ops in self.scheduled.values():
            for op in ops:
                if not self.withdrawn.isdisjoint((op.id, op.again or op.id)):
                    self.withdrawn.update(one.id for one in ops if abs(one.time - op.time) <= DAY)
                    self.withdrawn.update(one.again for one in ops if one.again and abs(one.time - op.time) <= DAY)

    def alive(self, user: str) -> list[tuple[OpId, Subscribed]]:
        """The user's subscriptions that no op removed."""
        return [(name, op) for name, op in self.of_user.get(user, {}).items() if self.is_alive(name, op)]

    def is_alive(self, name: OpId, op: Subscribed) -> bool:
        """Whether no op removed this subscription, or the account on which it hangs."""
        return name not in self.removed and (not op.account or op.account not in self.access.removed)


def says_nothing(op: Op) -> bool:
    """Whether an op is none that `Fold` is about: most are not."""
    return type(op) in _SILENT and not (isinstance(op, Published) and op.replaces)


class Text:
    """A message as its publisher means it: one text, however often it was tried."""

    def __init__(self, name: str, topic: str, at: float) -> None:
        self.name, self.topic, self.at = name, topic, at
        self.ids: list[OpId] = []  # of every op that carries it: twins of a retry
        self.taken_at = 0.0  # when the first of them was stamped
        self.published: list[OpId] = []  # those that a broker answered with


class Registration:
    """What a user asked for one pattern, and what was answered."""

    def __init__(self, user: str, pattern: str) -> None:
        self.user, self.pattern = user, pattern
        self.answered: list[tuple[float, OpId]] = []  # subscribes since the last unsubscribe was asked for
        self.earliest = False  # and the first of them, the first ever, asked for everything


class Ledger:
    """The truth of one schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machines: list[Machine] = []
        self.ops: dict[OpId, Op] = {}
        self.raws: dict[OpId, bytes] = {}
        self.fresh: set[OpId] = set()  # stamped, and not appended yet
        self.full: dict[str, dict[str, int]] = {}  # by origin: all that its `began` implies
        self.promised: dict[str, dict[str, int]] = {}  # the same, also where that `began` was given up later
        self.began: dict[str, Vector] = {}
        self.batches: dict[str, int] = {}  # by origin: of how many ops it is, `began` counted
        self.given_up: set[OpId] = set()
        self.ended_by_lost: set[OpId] = set()  # subscriptions and memberships that something of that had ended
        self.lost_by: dict[OpId, list[OpId]] = {}  # by what was given up, the `lost` ops that say so
        self.again: dict[OpId, list[OpId]] = {}  # by the first id of a message, those under which it was stored again
        self.messages: dict[str, list[tuple[str, int, str]]] = {}  # by topic: (origin, sequence, text)
        self.texts: dict[str, Text] = {}
        self.registrations: dict[tuple[str, str], Registration] = {}
        self.taken: dict[str, list[set[str]]] = {}  # by user: the sets of texts that each of his readers took
        self.dropped: dict[str, dict[str, int]] = {}  # by topic, in full: what any broker's retention dropped
        self.withdrawn: set[OpId] = set()
        self.confirmations = Confirmations(self)
        self.edits = Edits(self)
        self.timed = Timed(self)
        self.told_gaps: Counter[tuple[str, str]] = Counter()  # by user and topic, how many messages were told as dropped
        self.gone: set[OpId] = set()
        self.made: dict[OpId, float] = {}  # when each subscription was taken
        self.guarded: tuple[str, ...] = ()  # users whose rights are asked for
        self.guarded_count = 0  # messages shown to them
        self.ended: set[OpId] = set()  # subscriptions that some op, perhaps not known everywhere, has ended
        self.ghosts: dict[str, list[tuple[int, set[OpId]]]] = {}  # by machine: what its disk lost, before which run
        self.settled_last = ""  # the cluster id that went to a disk last
        self.shaken_at = 0.0  # when a disk last changed under its broker
        self._applied: dict[str, tuple[object, Fold]] = {}  # by machine: of what, and what `applied` said
        self.drops = 0
        self.withdrawals = 0
        self.receipts = 0
        self.told: set[OpId] = set()  # what somebody was answered with
        self.copied = 0  # receipts that named more than one copy
        self.shown = 0
        self.acks = 0

    # -- vectors

    def expand(self, vector: Vector) -> dict[str, int]:
        """All that a vector covers, by origin."""
        return self._expand(vector, self.full)

    def _expand(self, vector: Vector, implied: dict[str, dict[str, int]]) -> dict[str, int]:
        full = dict(vector)
        for origin in vector:
            for named, sequence in implied.get(origin, {}).items():
                if full.get(named, 0) < sequence:
                    full[named] = sequence
        return full

    # -- disks

    def appended(self, machine: Machine, op: Op, raw: bytes) -> None:
        """A broker hands an op to its disk, which has not taken it yet."""
        name = op.id
        known = self.raws.get(name)
        reach = machine.disk.reach(op.origin)
        if op.sequence > reach + 1:
            raise Violation(f"{machine.id} appends {name} behind {reach}: a gap hides under a maximum")
        forgotten = op.origin in self.batches and not machine.holds(name)  # what is left of a batch is taken anew after a start
        has = machine.disk.has(name) and not machine.disk.is_bad(name)
        job = machine.broker.compaction.job if machine.broker is not None else None
        # what was handed over counts on the disk before the broker goes on with it; what it took meanwhile it appends once more
        forgotten |= (job is not None and job.adopts) or machine.switched_at == self.world.now
        if op.sequence <= reach and not forgotten and (has or not machine.disk.damaged):
            raise Violation(f"{machine.id} appends {name}, which it has")
        if isinstance(op, Began):
            for origin, sequence in self.expand(op.vector).items():
                if machine.disk.reach(origin) < sequence:
                    raise Violation(f"{machine.id} takes the began of {op.origin} without {origin}.{sequence}, which it names")
        if known is None:
            raise Violation(f"{machine.id} appends {name}, which its origin never appended: invented")
        if known != raw:
            raise Violation(f"{name} has two values")
        is_new = name in self.fresh or op.origin in self.batches  # of a batch that was given up others may bring the rest
        if machine.mints(op.origin) and not is_new and not machine.disk.wrote(name):
            raise Violation(f"{machine.id} stamps {name} a second time")
        self.fresh.discard(name)

    def stamped(self, machine: Machine, ops: Sequence[Op], raws: Sequence[bytes]) -> None:
        """A broker hands out what is to be appended in this round: what it stamped is judged now, by what it knew then."""
        for op, raw in zip(ops, raws, strict=True):
            if machine.mints(op.origin) and op.id not in self.raws:
                self.fresh.add(op.id)
                self._first_seen(machine, op, op.id, raw)

    def begins_rewriting(self, machine: Machine, job: Rewriting) -> None:
        """COMPACT: a member that is away is waited for, but on an operator's word, or when it has been so for long."""
        assert machine.broker is not None
        proved = {machine.id, *machine.broker.replication.in_sync()}
        waits_for = {broker for broker, joined in machine.broker.state.members.of.items() if joined} - proved
        for broker in () if job.adopts or machine.waits_for_nobody else sorted(waits_for):
            away = self.world.now - machine.answered_at.get(broker, machine.started_at)
            if away < limits.COMPACT_AWAY_SECONDS:
                raise Violation(f"{machine.id} compacts without {broker}, which has been away for {away:.1f} s only")
            self.world.deeds["compacted without who is long away"] += 1

    def rewritten(self, machine: Machine, op: Op, raw: bytes) -> None:
        """A record of a log that is written anew: an op that there is, or a void of such."""
        if isinstance(op, Void):
            for sequence in range(op.first, op.sequence + 1):
                name = f"{op.origin}.{sequence}"
                if name not in self.ops and name not in self.given_up:
                    raise Violation(f"{machine.id} has {name} void, which never was")
        elif self.raws.get(op.id) != raw:
            raise Violation(f"{machine.id} writes {op.id} anew, and it is another op")

    def may_have_ended(self, machine: Machine, name: OpId) -> bool:
        """Whether a subscription or membership is void there, and what ended it may wait behind a hole, or went with a disk."""
        may_be_gone = machine.disk.damaged or name in self.ended_by_lost or (name in self.ended and bool(self.gone))
        return name in machine.disk.void and may_be_gone

    def compacted(self, machine: Machine, void: set[OpId], *, adopts: bool) -> None:
        """These are void on a disk from now on: nothing may be that was not dropped or ended, and whose time is not over."""
        for name in void:
            op = self.ops.get(name)
            if op is None or name in self.given_up:
                continue
            if adopts:
                continue  # it is void at another broker, where this was asked
            if isinstance(op, Published) and op.about:
                if not self._is_dropped(op.topic, self.confirmations.same(name)) or self.confirmations.is_pinned(machine, name):
                    raise Violation(f"{machine.id} leaves out {name} ({op.topic}), which says who is late with {op.about}")
            elif isinstance(op, Published) and not (self.is_dropped(op.data) or self.is_withdrawn(op.data)):
                raise Violation(f"{machine.id} leaves out {name} ({op.topic}), which nobody dropped")
            self.edits.check_left_out(machine, op)
            if isinstance(op, Scheduled):
                self.timed.check_left_out(machine, op)
            if isinstance(op, Confirmed) and op.message in machine.disk.held and op.message not in self.given_up:
                raise Violation(f"{machine.id} leaves out that {op.user} has confirmed {op.message}")
            if isinstance(op, Subscribed) and name not in self.ended and machine.disk.fold.is_alive(name, op):
                raise Violation(f"{machine.id} leaves out the subscription {name}, which nobody ended")
            if isinstance(op, (Began, Lost, SessionEnded)):
                raise Violation(f"{machine.id} leaves out {op}")

    def _first_seen(self, machine: Machine, op: Op, name: OpId, raw: bytes) -> None:
        self.ops[name], self.raws[name] = op, raw
        self.edits.appended(machine, op)
        if isinstance(op, Published):
            if op.again:
                self.again.setdefault(op.again, []).append(name)
                self.timed.published(machine, op)
            asked = op.publisher in self.guarded and not op.again
            if asked and not self.applied(machine).access.may_publish(op.publisher, op.topic):
                raise Violation(f"{machine.id} takes {name} on {op.topic} from {op.publisher}, who may not")
            self.confirmations.appended(machine, op)
            if op.about:
                return
            text = self.texts[op.data]
            self._check_key(machine, op, text.ids)
            text.taken_at = text.taken_at or self.world.now
            text.ids.append(name)
            self.messages.setdefault(op.topic, []).append((op.origin, op.sequence, op.data))
        elif isinstance(op, Scheduled):
            self._check_key(machine, op, self.timed.ids.get(op.data, ()))
            self.timed.appended(machine, op)
        elif isinstance(op, Began):
            self.began[op.origin] = op.vector
            if op.batch:
                self.batches[op.origin] = op.batch
            self.full[op.origin] = self.expand(op.vector)
            self.promised[op.origin] = self._expand(op.vector, self.promised)
        elif isinstance(op, Lost):
            self._give_up(machine, op)
        elif isinstance(op, Unsubscribed):
            self.ended.update(op.ids)
        elif isinstance(op, Subscribed):
            self._check_covered(machine, op)
            self.made[name] = self.world.now
            self.ended.update(op.replaces)
        elif isinstance(op, PasswordSet):
            if not op.again and not self.applied(machine).access.password_counts(op):
                raise Violation(f"{machine.id} takes a password {name} that does not count beside one that it knows")
        elif isinstance(op, UsersRemoved):
            admins = self.applied(machine).access.admins()
            if admins and admins.issubset(op.accounts):
                raise Violation(f"{machine.id} removes {op.accounts}, the last admin")
        elif isinstance(op, Dropped):
            self.drops += 1
            self._check_drop(machine, op)
            horizon = self.dropped.setdefault(op.topic, {})
            horizon.update({o: s for o, s in self.expand(op.vector).items() if horizon.get(o, 0) < s})
        elif isinstance(op, Withdrawn):
            self._check_withdrawn(machine, op)
            self.withdrawn.update(op.ids)
        elif isinstance(op, Acknowledged):
            self._check_earned(machine, op)

    def _check_key(self, machine: Machine, op: Published | Scheduled, before: Sequence[OpId]) -> None:
        """KEY: what stands in the log under a key and says the same is not stored once more."""
        is_looked_up = op.key and not op.again and op.origin not in self.batches  # of a batch they were before
        for name in before if is_looked_up else ():
            other = self.ops[name]
            assert isinstance(other, (Published, Scheduled))
            if other.key == op.key and abs(other.time - op.time) <= DAY and self._is_live(machine, name):
                raise Violation(f"{machine.id} stores {op.id} under the key of {name}, which it has")

    def _check_covered(self, machine: Machine, op: Subscribed) -> None:
        """ACCESS: a subscription is of an account that is there, and covered by a grant; not where it is stored again."""
        if not op.account or not self.given_up.isdisjoint(op.replaces):
            return
        if not self.applied(machine).access.may_subscribe(op.account, op.pattern):
            raise Violation(f"{machine.id} takes {op.id}, a subscription of {op.account} to {op.pattern}, which is not granted")

    def check_asked(self, machine: Machine, event: Submitted) -> None:
        """ACCESS: what somebody had stored he may, by what he asked with and by the ops that are applied there."""
        by, access = event.by, self.applied(machine).access
        assert by is not None
        self.world.deeds["asked and stored"] += 1
        is_good = access.good(by) and not by.feed
        for request in event.requests:
            may = is_good or isinstance(request, Acknowledge)
            if isinstance(request, Publish):
                may &= access.may(by, "publish", request.topic)
            elif isinstance(request, Subscribe):
                wanted = (topic for topic in PROBES if matches(request.pattern, topic))
                may &= all(access.may(by, "subscribe", topic) for topic in wanted)
            if not may:
                raise Violation(f"{machine.id} takes {request} of {by}, who may not")

    def check_allowed(self, machine: Machine, by: Principal, topic: str) -> None:
        """A message goes out to who asked so: by the ops that are applied there, he may read it."""
        self.guarded_count += 1
        if not self.applied(machine).access.may(by, "subscribe", topic):
            raise Violation(f"{machine.id} streams a message on {topic} to {by}, who may not read it there")

    def is_forbidden(self, outlet: Outlet, by: Principal) -> bool:
        """Whether a stream may not go on: what it was asked with is good no more, or nothing of it may be read there."""
        fold = self.applied(outlet.machine)
        of = fold, fold.version
        if outlet.allowed_by == of:  # looked at already
            return False
        patterns = [sub.pattern for _, sub in fold.alive(outlet.user) if sub.account == (by.feed or by.account)]
        allowed = any(matches(p, topic) and fold.access.may(by, "subscribe", topic) for p in patterns for topic in PROBES)
        outlet.allowed_by = of
        return not allowed

    def _check_withdrawn(self, machine: Machine, op: Withdrawn) -> None:
        """EXPIRY: a message is withdrawn when its time has passed: since it was published, or by the clock of retention.

        By that its time begins no sooner than the newest stamp up to it in this log, but for those from the future, and of
        voids, as one may stand before what was stamped before its last op. A broker that goes on with another log in this very
        round looked at the old one, and the new one may have no such message any more.
        """
        assert machine.broker is not None
        log, clocks = machine.broker.state.log, machine.broker.clocks
        for name in set(op.ids) - self.withdrawn if not op.topic else ():
            message = self.ops[name]
            if isinstance(message, Scheduled):
                self.timed.check_withdrawn(machine, name)
                continue
            assert isinstance(message, Published)
            if message.again in self.withdrawn:
                continue  # that was said under the id that it was scheduled, or first stored, under
            self.withdrawals += 1
            row = log.row(*split(name))
            if not message.expires or row is None:
                raise Violation(f"{machine.id} withdraws {name}, which {'is not held there' if row is None else 'never ends'}")
            lifetime = message.expires - message.time
            before = zip(log.times[: row + 1], log.topics[: row + 1], strict=True)
            stamps = [stamp for stamp, topic in before if stamp <= clocks.latest + DAY and topic not in (VOID, SILENT)]
            came = machine.came.get(name)
            passed = (self.world.now - (self.texts[message.data].taken_at if came is None else came)) * 1000
            if passed < lifetime - 2 and (came is not None or machine.most_clock < max(stamps, default=LATER**2) + lifetime):
                raise Violation(f"{machine.id} withdraws {name} after {passed:.0f} ms of {lifetime}")
            if passed > lifetime + 2_500 and not self.world.faults and not message.again:
                raise Violation(f"{machine.id} withdraws {name} after {passed:.0f} ms of {lifetime}, late for no reason")

    def is_withdrawn(self, text: str) -> bool:
        """Whether any broker withdrew this message, or a twin of it."""
        return not self.withdrawn.isdisjoint((*self.texts[text].ids, *self.timed.ids.get(text, ())))

    def is_over(self, machine: Machine, ends: set[OpId], twins: list[OpId]) -> bool:
        """Whether one of these, or what was stored again as one, is among `ends`: what a broker has withdrawn.

        What scheduled one may be void there, and what withdrew that with it, when the message comes from a broker apart.
        """
        for name in twins:
            again = getattr(self.ops[name], "again", "")
            if name in ends or (again in ends and not self.has_void_schedule(machine, again)):
                return True
        return False

    def has_void_schedule(self, machine: Machine, name: OpId) -> bool:
        op = self.ops.get(name)
        assert machine.broker is not None
        log = machine.broker.state.log
        if not isinstance(op, Scheduled):
            return False
        ids = set(self.timed.ids[op.data])
        ends = [split(one.id) for one in self.ops.values() if isinstance(one, Withdrawn) and not ids.isdisjoint(one.ids)]
        is_void = any(log.is_void(*split(one)) for one in ids)
        return is_void and not any(log.row(*end) is not None and not log.is_void(*end) for end in ends)

    def overdue(self) -> list[str]:
        """What is shown somewhere and has a time that passes within a schedule."""
        found = []
        for machine in self.machines:
            assert machine.broker is not None
            state = machine.broker.state
            names = (f"{o}.{s}" for columns in state.messages.sequences for o, sequences in columns.items() for s in sequences)
            for op in map(self.ops.__getitem__, names):
                assert isinstance(op, Published)
                row = state.log.row(op.origin, op.sequence)
                is_dropped = row is not None and state.messages.is_dropped(state.log.topics[row], row)
                if op.again and self.has_void_schedule(machine, op.again):
                    continue  # what came once more is withdrawn elsewhere: who decides does not show it
                if op.expires and op.expires - op.time < ENDLESS and not is_dropped:
                    found.append(f"{machine.id} shows {op.id}, whose time is over or soon will be")
        return found

    def _check_drop(self, machine: Machine, op: Dropped) -> None:
        """Only what is too many goes, whatever the clocks say, and what is too old where that is seconds (`ageing`).

        A drop that is said again, since its record cannot be read, drops nothing; what was given up meanwhile may leave fewer.
        """
        assert machine.broker is not None
        messages, begun = machine.broker.state.messages, machine.broker.state.lineage
        # nothing follows from a run whose `began` went with the last disk that had it
        before = self.expand({origin: s for origin, s in messages.horizons.get(op.topic, {}).items() if origin in begun})
        horizons = [self.expand(op.vector), before]
        shown = messages.sequences[messages.numbers[op.topic]].items()
        is_ageing = machine.keeps_seconds < limits.RETENTION_SECONDS
        old = machine.broker.clocks.retention - machine.keeps_seconds * 1000 if is_ageing else 0
        names = [self.twins(machine, f"{origin}.{s}") for origin, sequences in shown for s in sequences]
        held = [list(map(split, twins)) for twins in names]
        young = [list(map(split, twins)) for twins in names if min(self.ops[name].time for name in twins) >= old]
        left = sum(not any(full.get(o, 0) >= s for full in horizons for o, s in twins) for twins in held)
        kept = sum(not any(before.get(o, 0) >= s for o, s in twins) for twins in young)
        if left < min(kept, machine.keeps):
            raise Violation(f"{machine.id} drops all but {left} messages of {op.topic} and was told to keep {machine.keeps}")

    def twins(self, machine: Machine, name: OpId) -> list[OpId]:
        """What this broker has applied of a message: the op `name`, and those that others took of the same, under its key."""
        op = self.ops[name]
        assert isinstance(op, Published)
        if op.about:
            return self.confirmations.twins(machine, name)
        if (not op.key and not op.again) or self.timed.is_blurred(op):
            return [name]
        found = {name}
        for one in self.texts[op.data].ids:
            other = self.ops[one]
            assert isinstance(other, Published)
            same_day = op.key and other.key and abs(other.time - op.time) <= DAY
            if (same_day or (op.again and other.again == op.again)) and self._is_live(machine, one):
                found.add(one)
        return sorted(found)

    def _is_live(self, machine: Machine, name: OpId) -> bool:
        """Whether a broker has applied an op, and it was neither given up there nor stored again under another id."""
        if not machine.shows(name):
            return False
        assert machine.broker is not None
        origin, sequence = split(name)
        return not machine.broker.state.voids.has(origin, sequence) and not any(
            machine.shows(one) for one in self.again.get(name, ())
        )

    def check_due(self, machine: Machine, name: OpId, known: list[Vector]) -> None:
        """A message goes out on a stream that opened with `known` of the subscriptions to its topic: one must not cover it.

        What follows from an origin whose `began` is not held there cannot be known there.
        """
        twins = [split(twin) for twin in self.twins(machine, name)]
        assert machine.broker is not None
        begun = machine.broker.state.lineage
        fulls = [self.expand({origin: sequence for origin, sequence in vector.items() if origin in begun}) for vector in known]
        if all(any(full.get(origin, 0) >= sequence for origin, sequence in twins) for full in fulls):
            raise Violation(f"{machine.id} streams {name} to who had it, or a twin of it: {known}")

    def _give_up(self, machine: Machine, op: Lost) -> None:
        """LOST: nobody whose copy counts there can have what is given up, unless that is new."""
        names = {f"{op.source}.{sequence}" for sequence in range(op.first, op.last + 1)}
        for name in names:
            self.lost_by.setdefault(name, []).append(op.id)
        names -= self.given_up
        broker = machine.broker
        assert broker is not None
        for other in self.machines:
            if other is machine or (other.id in broker.replication.in_sync() and other.broker is not None):
                found = sorted(name for name in names if other.disk.has(name) and other.shows(name))
                if found:
                    raise Violation(f"{machine.id} gives up {found}, which {other.id} has")
        self.given_up |= names
        for lost in map(self.ops.get, names):
            self._note_ended(lost)
        if op.first == 1 and op.source in self.began:
            self.began[op.source] = {}
            self.full = {}
            for origin, vector in self.began.items():  # in the order in which they began
                self.full[origin] = self.expand(vector)

    def rotted(self, machine: Machine, before: set[OpId]) -> set[OpId]:
        """Records of a disk turned bad: its broker may say for long that it has them."""
        lost = before - machine.disk.names()
        if lost:
            self.shaken_at = self.world.now
            self.ghosts.setdefault(machine.id, []).append((LATER + 1, lost))
            held = set().union(*(other.disk.names() for other in self.machines))
            self.gone |= lost - held
        return lost

    def unstored(self, machine: Machine, ops: list[Op]) -> None:
        """A full disk took none of these: what this origin stamped never was, and its sequences come again."""
        mine = [op for op in ops if machine.mints(op.origin) and not machine.disk.wrote(op.id)]  # else a record was healed
        for op in mine:
            if True:
                del self.ops[op.id], self.raws[op.id]
                self.confirmations.forget(op.id)
                self.edits.forget(op)
                if isinstance(op, Scheduled):
                    self.timed.forget(op)
                if isinstance(op, Published) and op.again:
                    self.again[op.again].remove(op.id)
                if isinstance(op, Published) and not op.about:
                    self.texts[op.data].ids.remove(op.id)
                    self.messages[op.topic].remove((op.origin, op.sequence, op.data))
                    if not self.texts[op.data].ids:
                        self.texts[op.data].taken_at = 0.0
        if mine:
            self._count_anew(mine)

    def _count_anew(self, gone: Sequence[Op]) -> None:
        """What only these said, which never were, nobody said."""
        ops = self.ops.values()
        if any(isinstance(op, Withdrawn) or (isinstance(op, Published) and op.replaces) for op in gone):
            self.withdrawn = {name for op in ops if isinstance(op, Withdrawn) for name in op.ids}
            self.withdrawn |= {op.replaces for op in ops if isinstance(op, Published) and op.replaces}
        if any(isinstance(op, (Subscribed, Unsubscribed)) for op in gone):
            self.ended = {name for op in ops if isinstance(op, Unsubscribed) for name in op.ids}
            self.ended |= {name for op in ops if isinstance(op, Subscribed) for name in op.replaces}
        for topic in {op.topic for op in gone if isinstance(op, Dropped)}:
            horizon: dict[str, int] = {}
            for op in ops:
                if isinstance(op, Dropped) and op.topic == topic:
                    horizon.update({o: s for o, s in self.expand(op.vector).items() if horizon.get(o, 0) < s})
            self.dropped[topic] = horizon
        losses = [op for op in gone if isinstance(op, Lost)]
        for lost in losses:
            for name in (f"{lost.source}.{s}" for s in range(lost.first, lost.last + 1)):
                self.lost_by[name].remove(lost.id)
                if not self.lost_by[name]:
                    del self.lost_by[name]
                    self.given_up.discard(name)
        if losses:
            self.world.deeds["losses never stored"] += 1
            self.ended_by_lost = set()
            for name in self.given_up:
                self._note_ended(self.ops.get(name))
            void = {source for name in self.given_up if (source := name.rpartition(".")[0]) and name.endswith(".1")}
            self.began = {op.origin: {} if op.origin in void else op.vector for op in ops if isinstance(op, Began)}
            self.full = {}
            for origin, vector in self.began.items():
                self.full[origin] = self.expand(vector)

    def _note_ended(self, lost: Op | None) -> None:
        match lost:
            case Subscribed(replaces=ids) | Unsubscribed(ids=ids) | Joined(seen=ids) | Left(seen=ids):
                self.ended_by_lost.update(ids)

    def holders(self, name: OpId) -> set[str]:
        """Machines whose disk has this op synced now."""
        return {machine.id for machine in self.machines if machine.disk.has(name)}

    def disk_changed(self, machine: Machine, before: set[OpId]) -> set[OpId]:
        """A disk was lost, went back or was replaced: what it had and has no more."""
        self.shaken_at = self.world.now
        lost = {name for name in before if not machine.disk.has(name)}
        if lost:
            self.ghosts.setdefault(machine.id, []).append((machine.run + 1, lost))
            held = set().union(*(other.disk.names() for other in self.machines))
            self.gone |= lost - held
        return lost

    # -- what brokers tell

    def replied(self, machine: Machine, done: Receipt) -> None:
        """A broker answers a client: the copies that it names must have been there."""
        if not done.first:
            return
        self.receipts += 1
        self.copied += done.copies > 1
        for name in {done.first, done.last}:
            self.told.add(name)
            have = [other.id for other in self.machines if self._had(machine, other, name)]
            if machine.id not in have or not machine.disk.wrote(name):
                raise Violation(f"{machine.id} answers {name}, which is not synced on its own disk")
            if len(have) < done.copies:
                raise Violation(f"{machine.id} answers {name} with copies={done.copies}, but only {have} synced it")

    def _had(self, machine: Machine, other: Machine, name: OpId) -> bool:
        """Whether `other` has this op synced, or lost it since `machine` last heard from it."""
        if other.disk.has(name):
            return True
        heard = machine.heard.get(other.id, LATER)
        return any(heard < run and name in lost for run, lost in self.ghosts.get(other.id, ()))

    def _check_earned(self, machine: Machine, op: Acknowledged) -> None:
        """ACK: a cursor covers no message of its subscription that the user has not got.

        Of a live one: what has ended it may be known only where the id comes from, which then showed nothing for it.
        """
        self.acks += 1
        full = self.expand(op.vector)
        living = (self.ops.get(name) for name in op.ids if name not in self.ended)
        for sub in (found for found in living if isinstance(found, Subscribed) and not found.account):
            missing = self.missing(sub, full)
            if missing:
                raise Violation(
                    f"{machine.id} moves the cursor of {sub.id} ({sub.user} {sub.pattern}) past {missing[0]}, not delivered"
                )

    def missing(self, sub: Subscribed, full: Vector) -> list[str]:
        """The texts due to `sub` that `full` covers and its user did not take.

        One that began where another one left off, whose end went with a disk, owes what was published since it was made.
        """
        since = self._expand(sub.since, self.promised)
        made = self.made[sub.id] if any(name in self.ended for name in sub.follows) else 0.0
        takers = self.taken[sub.user]
        found = []
        for topic, messages in self.messages.items():
            if matches(sub.pattern, topic):
                for origin, sequence, text in messages:
                    if f"{origin}.{sequence}" in self.given_up:
                        continue
                    if since.get(origin, 0) < sequence <= full.get(origin, 0) and not any(text in taken for taken in takers):
                        found.append(f"{text} ({origin}.{sequence})")
        names = {text: text.split()[0] for text in found}
        found = [text for text in found if self.texts[names[text]].at >= made]
        found = [text for text in found if not self.is_withdrawn(names[text])]
        return [text for text in found if not self._twin_before(names[text], since) and not self.is_dropped(names[text])]

    def is_dropped(self, text: str) -> bool:
        """Whether a broker's retention dropped this message or a twin of it."""
        return self._is_dropped(self.texts[text].topic, self.texts[text].ids)

    def _is_dropped(self, topic: str, ids: list[OpId]) -> bool:
        horizon = self.dropped.get(topic, {})
        return bool(horizon) and any(horizon.get(o, 0) >= s for o, s in map(split, ids))

    def _twin_before(self, text: str, since: Vector) -> bool:
        """Whether a twin of this message lies before the subscription: then the message is not due."""
        return any(since.get(origin, 0) >= sequence for origin, sequence in map(split, self.texts[text].ids))

    # -- subscriptions

    def registration(self, user: str, pattern: str) -> Registration:
        """The user's registration for a pattern."""
        return self.registrations.setdefault((user, pattern), Registration(user, pattern))

    def unsubscribed(self, machine: Machine, user: str, pattern: str, done: Receipt) -> None:
        """An unsubscribe is answered: nothing that its broker held before it may still be alive there."""
        order = machine.disk.order
        for name, op in machine.disk.fold.alive(user):
            if op.pattern == pattern and order[name] < order[done.first]:
                raise Violation(f"{machine.id} answers an unsubscribe of {user} {pattern}, and {name} is still alive")

    def subscribed(self, machine: Machine, user: str, pattern: str, done: Receipt) -> None:
        """A subscribe is answered: its op must be the user's."""
        op = self.ops[done.first]
        if not isinstance(op, Subscribed) or (op.user, op.pattern) != (user, pattern):
            raise Violation(f"{machine.id} answers a subscribe of {user} {pattern} with {op}")

    # -- streams

    def show(self, machine: Machine, user: str, name: OpId, coverage: Coverage) -> None:
        """A message goes out on a stream: synced here, and the user is registered here for it."""
        self.shown += 1
        op = self.ops.get(name)
        disk = machine.disk
        if not isinstance(op, Published) or not disk.has(name) or (name in disk.void and not disk.is_ahead):
            raise Violation(f"{machine.id} streams {name}, which is not synced on its disk")
        is_part = op.origin in self.batches and not machine.disk.damaged and f"{op.origin}.1" not in self.given_up
        if is_part and not self.counts(op.origin, machine.disk.names()):
            raise Violation(f"{machine.id} streams {name}, and its batch is not whole there")
        assert machine.broker is not None
        ahead = machine.broker.is_applying  # the fold of its disk has more already: perhaps that he is registered no more, or
        # that the message is over
        if not ahead and not any(matches(sub.pattern, op.topic) for _, sub in self.applied(machine).alive(user)):
            raise Violation(f"{machine.id} streams {name} ({op.topic}) to {user}, who is not registered for it there")
        twins = [split(twin) for twin in self.twins(machine, name)]
        horizon = self.applied(machine).dropped.get(op.topic, {})
        if not ahead and any(horizon.get(origin, 0) >= sequence for origin, sequence in twins):
            raise Violation(f"{machine.id} streams {name}, which retention has dropped")
        if not ahead and self.withdrawn and self.is_over(machine, self.applied(machine).withdrawn, self.twins(machine, name)):
            raise Violation(f"{machine.id} streams {name}, which was withdrawn")
        if self.timed.is_blurred(op):
            return
        if (op.origin, op.sequence) != min(twins):
            raise Violation(f"{machine.id} streams {name}, and holds its smaller twin {min(twins)}")
        full = self.expand(coverage.after)
        if not any(full.get(origin, 0) >= sequence for origin, sequence in twins):
            raise Violation(f"{machine.id} streams {name} with an id that does not cover it: {coverage}")
        for named, last in full.items():
            if machine.disk.reach(named) < last:
                raise Violation(f"{machine.id} streams {name} with an id that covers {named}.{last}, which it does not hold")

    def has_taken(self, user: str, text: str) -> bool:
        """Whether one of the user's readers took this message."""
        return any(text in taken for taken in self.taken[user])

    # -- at the end

    def union(self) -> Fold:
        """The fold of everything that any disk holds. What is void was ended, perhaps by what is gone."""
        fold = Fold()
        for name in set().union(*(machine.disk.names() for machine in self.machines)):
            fold.add(self.ops[name])
        fold.removed |= self._void()
        return fold

    def _void(self) -> set[OpId]:
        return set().union(*(machine.disk.void for machine in self.machines))

    def _surviving(self, registration: Registration) -> list[tuple[float, OpId]]:
        """The subscriptions of a registration that some disk holds; none where all are void: what took their place is gone."""
        surviving = [(at, name) for at, name in registration.answered if name not in self.gone]
        void = self._void() if surviving else set()
        return surviving if any(name not in void for _, name in surviving) else []

    def due(self) -> dict[str, set[str]]:
        """By user, the texts that he must have got in the end."""
        names: set[OpId] = set().union(*(machine.disk.names() for machine in self.machines))
        gone = self._void() & self.given_up  # its record could not be read anywhere
        exist = {
            op.data: op.topic
            for name in names - gone
            if isinstance(op := self.ops[name], Published) and not op.about and self.counts(op.origin, names)
        }
        due: dict[str, set[str]] = {user: set() for user in self.taken}
        for registration in self.registrations.values():
            kept = self._surviving(registration)
            if not kept:
                continue
            whole = registration.earliest and registration.answered[0][1] not in self.gone
            for text, topic in exist.items():
                if matches(registration.pattern, topic) and (whole or self.texts[text].at > kept[0][0]):
                    due[registration.user].add(text)
        return due

    def counts(self, origin: str, names: set[OpId]) -> bool:
        """Whether the ops of an origin have an effect where these are held: those of a long batch only when all are there."""
        size = self.batches.get(origin, 0)
        return all((name := f"{origin}.{s}") in names or name in self.given_up for s in range(1, size + 1))

    def is_stored(self, text: str) -> bool:
        """Whether an op carries this message, and is by itself, or of a long batch whose last op was written, too."""
        for origin, _ in map(split, self.texts[text].ids):
            if origin not in self.batches or f"{origin}.{self.batches[origin]}" in self.ops:
                return True
        return False

    def check_whole(self) -> None:
        """Of a long batch a broker shows all or nothing, unless the op was given up that tells how long it is."""
        for machine in self.machines:
            for origin, size in self.batches.items():
                if f"{origin}.1" in self.given_up:
                    continue
                shown = [machine.holds(f"{origin}.{s}") for s in range(1, size + 1) if f"{origin}.{s}" not in self.given_up]
                if any(shown) and not all(shown):
                    raise Violation(f"{machine.id} shows {sum(shown)} of the {size} ops of the batch {origin}")

    def check_lost(self) -> None:
        """Every op that was answered and is on a disk that was never lost is held by every broker.

        A broker that has but a part of a long batch holds nothing of it.
        """
        names: set[OpId] = set().union(*(machine.disk.names() for machine in self.machines))
        for text in self.texts.values():
            for name in text.published:
                if name in self.gone or not self.counts(split(name)[0], names):
                    continue
                # what is given up of that is not stored again
                over = not self.withdrawn.isdisjoint(text.ids) or self.is_dropped(text.name)
                for machine in self.machines:
                    if not machine.disk.has(name) and not (name in self.given_up and (over or self._has_text(machine, text))):
                        raise Violation(f"{name} ({text.name}) was acknowledged and {machine.id} does not hold it")
        for name in self.told - self.gone - self.given_up:
            if self.counts(split(name)[0], names):
                lack = [machine.id for machine in self.machines if not machine.disk.has(name)]
                if lack:
                    raise Violation(f"{self.ops[name]} was answered and {lack} do not hold it")
        for registration in self.registrations.values():
            for _, name in registration.answered:
                if name in self.gone or name in self.given_up:
                    continue  # what was given up was stored again where it was held: `check_registered`
                if not all(machine.disk.has(name) for machine in self.machines):
                    raise Violation(f"subscription {name} was answered and is lost")

    def _has_text(self, machine: Machine, text: Text) -> bool:
        """Whether a message that was given up was stored again and is here, or a twin of it."""
        return any(machine.disk.has(name) for name in text.ids if name not in self.given_up)

    def check_registered(self) -> None:
        """Who was told that he is registered is alive in what the disks hold."""
        fold = self.union()
        for registration in self.registrations.values():
            if self._surviving(registration):
                patterns = {op.pattern for _, op in fold.alive(registration.user)}
                if registration.pattern not in patterns:
                    raise Violation(f"{registration.user} was registered for {registration.pattern} and is not any more")

    def check_delivered(self) -> None:
        """Every registered user has got every message that is due to him; what retention removed first he was told."""
        missing = self.undelivered() or self.untold() or self.unsaid() or self.confirmations.undelivered()
        if missing:
            raise Violation("; ".join(missing))

    def undelivered(self) -> list[str]:
        """Who lacks what."""
        return [
            f"{user} never got {text} ({', '.join(self.texts[text].ids)}) on {self.texts[text].topic}"
            for user, texts in self.due().items()
            for text in sorted(texts)
            if not self.has_taken(user, text) and not self.is_dropped(text) and not self.is_withdrawn(text)
        ]

    def untold(self) -> list[str]:
        """Who lacks messages that retention removed, and was not told of so many there."""
        lacking: dict[tuple[str, str], list[str]] = {}
        for user, texts in self.due().items():
            for text in sorted(texts):
                taken = self.has_taken(user, text) or self.is_withdrawn(text)
                if not taken and self.is_dropped(text) and len(self.texts[text].ids) == 1:
                    lacking.setdefault((user, self.texts[text].topic), []).append(text)
        return [
            f"{user} never got {texts}, which retention dropped, and was told of {self.told_gaps[user, topic]} on {topic}"
            for (user, topic), texts in lacking.items()
            if len(texts) > self.told_gaps[user, topic]
        ]

    def unsaid(self) -> list[str]:
        """Who lacks a message that an operator gave up and no disk has, and was not told that anything was."""
        found = []
        for registration in self.registrations.values():
            user, pattern = registration.user, registration.pattern
            kept = [at for at, name in self._surviving(registration) if name not in self.given_up]
            if not kept or self.told_gaps[user, pattern]:
                continue
            for name, text in self.texts.items():
                lost = bool(text.published) and all(self._is_told_lost(one) and one in self.gone for one in text.ids)
                due = matches(pattern, text.topic) and text.at > kept[0]
                excused = self.has_taken(user, name) or self.is_dropped(name) or self.is_withdrawn(name)
                if lost and due and not excused:
                    found.append(f"{user} never got {name}, which was given up, and no gap for {pattern}")
        return found

    def _is_told_lost(self, name: OpId) -> bool:
        """Whether an operator gave this op up, and what says so did not go with a disk."""
        return any(one not in self.gone for one in self.lost_by.get(name, ()))

    def check_cursors(self) -> None:
        """No cursor of an awake subscription covers what its user did not get.

        One that was ended, and is awake since the disks that knew of it went, may: ids from between did not show it.
        """
        for machine in self.machines:
            assert machine.broker is not None
            subscriptions = machine.broker.state.subscriptions
            for user in self.taken:
                for sub in subscriptions.awake_of(user):
                    if sub.id in self.ended:
                        continue
                    op = self.ops[sub.id]
                    assert isinstance(op, Subscribed)
                    missing = self.missing(op, self.expand(subscriptions.cursor(sub)))
                    if missing:
                        whose = f"{machine.id}: the cursor of {sub.id} ({user} {sub.pattern})"
                        raise Violation(f"{whose} covers {missing[0]}, not delivered")

    def too_many(self) -> str:
        """RETENTION: of each topic the primary shows no more than it was told to keep."""
        for machine in self.machines:
            broker = machine.broker
            if broker is None or not is_primary(broker._situation(machine.now())):
                continue
            messages = broker.state.messages
            for number, topic in enumerate(messages.names):
                if topic and messages.count(number) > machine.keeps:
                    return f"{machine.id} shows {messages.count(number)} messages of {topic}, and keeps {machine.keeps}"
        return ""

    def check_small(self) -> None:
        """A log that was compacted when all was delivered has but what lives.

        Not where a disk took away what an op names, or it was given up: such an op waits for it.
        """
        if self.gone or self.given_up or self.world.faults["records rotten"]:
            return
        for machine in self.machines:
            assert machine.broker is not None
            log, subscriptions = machine.broker.state.log, machine.broker.state.subscriptions
            kinds: Counter[str] = Counter()
            dropped = {topic: self.expand(vector) for topic, vector in self.applied(machine).dropped.items()}
            ends = self.applied(machine).withdrawn  # as far as it was stored: a broker may have died with it
            for place in machine.disk.places():
                op = machine.disk.get(place)[1]
                says_that_it_lives = isinstance(op, Acknowledged) and not op.ids
                kinds[type(op).__name__] += not says_that_it_lives
                is_message = (
                    isinstance(op, Published) and not op.about and len(self._ids(op)) == 1 and not self.edits.outlives(op)
                )
                if is_message and (dropped.get(op.topic, {}).get(op.origin, 0) >= op.sequence or op.id in ends):
                    raise Violation(f"{machine.id} still has {op.id}, which was dropped or withdrawn")
                if isinstance(op, Subscribed) and op.id not in subscriptions.alive:
                    raise Violation(f"{machine.id} still has {op.id}, which ended")
            twins = sum(len(text.ids) > 1 for text in self.texts.values()) + len(self.confirmations.escalations)  # these stay
            if kinds["Unsubscribed"] or (kinds["Dropped"] and not twins):
                raise Violation(f"{machine.id} still has {kinds}")
            jumps = sum(count for kind, count in self.world.faults.items() if kind.startswith("clock"))
            if kinds["Acknowledged"] > 4 * len(subscriptions.alive) and not jumps:
                raise Violation(f"{machine.id} still has {kinds} for {len(subscriptions.alive)} subscriptions")
            voids = sum(1 for _ in log.voids())  # rows of the log: of their records there are two
            if voids > 2 * (len(log) - voids):
                raise Violation(f"{machine.id} has voids in a row: {kinds}")

    def check_exit(self, machine: Machine) -> None:
        """A broker that left ends its process: all that it held is elsewhere."""
        names = machine.disk.names()
        for name in names:
            names_of = (name, *self.lost_by.get(name, ()))  # what was given up is void where that is known
            elsewhere = any(self._had(machine, other, n) for n in names_of for other in self.machines if other is not machine)
            if self.counts(split(name)[0], names) and not elsewhere:
                raise Violation(f"{machine.id} exits, and {name} is nowhere else")

    def check_stranger(self, machine: Machine, user: str) -> None:
        """Somebody is told for good that he is not registered: no member may know better (H27).

        One that heard of him, or whose disk came back, a moment ago may not have said so yet.
        """
        assert machine.broker is not None
        if self.shaken_at > self.world.now - NEWS:
            return
        members = machine.broker.state.members
        for (name, pattern), registration in self.registrations.items():
            if name != user:
                continue
            for at, op in registration.answered:
                holders = [other for other in self.machines if other.disk.has(op) and other.id in members]
                knows = [other.id for other in holders if max(at, other.knows_since(op)) < self.world.now - NEWS]
                if knows and op not in self.ended:
                    raise Violation(f"{machine.id} refuses {user} for good, and {knows} know of {op} ({pattern})")

    def check_equal(self) -> None:
        """Brokers that hold the same ops hold the same state; each state is what its disk's ops say.

        But for one with a hole: what it stored again may wait behind it, and the original, void elsewhere, is in effect there.
        """
        self.check_whole()
        seen: dict[object, tuple[str, object]] = {}
        for machine in self.machines:
            if machine.broker is None:
                continue
            digest = self.digest(machine)
            if machine.broker.state.holes.all:
                continue
            vector = tuple(sorted(machine.broker.state.log.full.items()))
            other = seen.setdefault(vector, (machine.id, digest))
            if other[1] != digest:
                raise Violation(f"{other[0]} and {machine.id} hold the same ops and differ: {_difference(other[1], digest)}")

    def digest(self, machine: Machine) -> dict[str, object]:
        """The state of a broker in a form that can be compared; what may differ is left out (order, places of twins)."""
        assert machine.broker is not None
        state = machine.broker.state
        disk = machine.disk
        shown: list[OpId] = []
        log, seen = state.log, set[OpId]()
        ends = self.applied(machine).withdrawn
        for number, by_origin in enumerate(state.messages.sequences):
            for origin, sequences in by_origin.items():
                for sequence in sequences:
                    op = self.ops[f"{origin}.{sequence}"]
                    if isinstance(op, Published) and self.timed.is_blurred(op):
                        if self.is_over(machine, ends, [op.id]):
                            raise Violation(f"{machine.id} shows {op.id}, which was withdrawn")
                        continue
                    if not isinstance(op, Published) or op.topic != state.messages.names[number]:
                        raise Violation(f"{machine.id} counts {op.id} under {state.messages.names[number]}")
                    twins = self.twins(machine, op.id)
                    if not seen.isdisjoint(twins) and self._has_void_twin(op.id):
                        twins = [op.id]  # what makes them twins is forgotten there
                    elif not seen.isdisjoint(twins):
                        raise Violation(f"{machine.id} shows a message and its twin: {twins}")
                    seen.update(twins)
                    if self.is_over(machine, ends, twins):
                        raise Violation(f"{machine.id} shows {op.id}, which was withdrawn")
                    name = state.messages.name(log.offsets_of[log.numbers[origin]][sequence - 1])
                    if name != min(twins, key=split):
                        raise Violation(f"{machine.id} names a message {name}, of the twins {twins}")
                    shown.append(name)
        names = (*disk.held, *disk.void)  # until the state is taken over it shows what is void on disk already
        ops = ((name, self.ops.get(name)) for name in names)
        messages = (name for name, op in ops if isinstance(op, Published) and not self.timed.is_blurred(op))
        held = {name for name in messages if self._is_live(machine, name)}
        hidden = sorted(name for name in held - seen if not self.is_over(machine, ends, self.twins(machine, name)))
        if hidden or seen - held:
            raise Violation(f"{machine.id} does not show {hidden}, or shows {sorted(seen - held)}")
        numbers, rows = state.messages.numbers, ((split(name), name) for name in shown)
        left = [
            name
            for (origin, sequence), name in rows
            if (row := log.row(origin, sequence)) is not None
            and not self._has_void_twin(name)
            and not state.messages.is_dropped(numbers[_topic(self.ops[name])], self._shown_at(machine, row))
        ]
        subscriptions = state.subscriptions
        # LOST: nothing follows from a run whose `began` was given up, but where vectors list what did: old news may come again
        are_cursors_vague = any(name.endswith(".1") for name in self.given_up)
        alive = {
            name: (
                sub.user,
                sub.pattern,
                () if are_cursors_vague else tuple(sorted(self.expand(sub.since).items())),
                subscriptions.is_awake(sub),
                () if are_cursors_vague else tuple(sorted(self.expand(subscriptions.cursor(sub)).items())),
            )
            for name, sub in subscriptions.alive.items()
        }
        mine = {name for name in (*disk.held, *disk.void) if machine.holds(name)}
        fold = self.applied(machine)
        said = {name for name, op in fold.subs.items() if fold.is_alive(name, op)}
        said = {name for name in said if not self.may_have_ended(machine, name)}
        if disk.is_ahead:  # what ended one may wait behind damage in the state, and both are void on disk already
            alive = {name: value for name, value in alive.items() if name in said or name not in disk.void}
        if set(alive) != said:
            raise Violation(f"{machine.id} has {sorted(alive)} alive; its ops say {sorted(said)}")
        if difference := fold.access.differs(state.accounts):
            raise Violation(f"{machine.id}: {difference}")
        members = {broker: tuple(sorted(joined)) for broker, joined in state.members.of.items() if joined}
        mine = {name for name in mine if not self.may_have_ended(machine, name)}
        self._check_members(machine, mine, members)
        self._check_fold(machine, fold, left, alive)
        rights = seen_accounts(state.accounts)
        reports = self.confirmations.digest(machine, left)
        return {"messages": sorted(left), "alive": alive, "members": members, "rights": rights, "reports": reports}

    def _ids(self, op: Published) -> list[OpId]:
        """All ops that carry the same message."""
        return self.confirmations.same(op.id) if op.about else self.texts[op.data].ids

    def _has_void_twin(self, name: OpId) -> bool:
        """Whether a twin of this message was compacted somewhere: its key is forgotten there, and this one shown again."""
        op = self.ops[name]
        ids = self._ids(op) if isinstance(op, Published) else []
        about = {one.about for name in ids if (one := self.confirmations.escalations.get(name))}
        timed = self.timed.ids.get(op.data, ()) if isinstance(op, Published) and not op.about else ()
        names = {*ids, *about} if len(ids) > 1 else set[OpId]()
        return any(one in machine.disk.void for machine in self.machines for one in {*names, *timed})

    def _shown_at(self, machine: Machine, row: int) -> int:
        """The row that is shown of the message whose name stands at `row`."""
        assert machine.broker is not None
        twins = (twins for twins in machine.broker.state.messages.twins.rows() if row in twins)
        return next(twins, [row])[0]

    def _check_fold(self, machine: Machine, fold: Fold, left: list[OpId], alive: dict[OpId, tuple[Any, ...]]) -> None:
        """What is shown, and the cursors, are what a plain fold of all ops says, those among them that are void."""
        shown = set(left)
        assert machine.broker is not None
        for name in machine.disk.void:
            op = self.ops.get(name) if machine.broker.state.log.is_void(*split(name)) else None
            if isinstance(op, Published) and name not in self.given_up and len(self._ids(op)) == 1:
                horizon = self.expand(fold.dropped.get(op.topic, {}))
                is_over = horizon.get(op.origin, 0) >= op.sequence or not fold.withdrawn.isdisjoint((name, op.again))
                if self.world.faults["records rotten"]:  # what dropped it may wait behind a hole, here or where it was left out
                    is_over |= self._is_dropped(op.topic, self._ids(op)) or not self.withdrawn.isdisjoint(self._ids(op))
                if not is_over:
                    raise Violation(f"{machine.id} holds {name} void, and by its ops nobody dropped it")
        begun = machine.broker.state.lineage
        for name in sorted(shown):
            op = self.ops[name]
            assert isinstance(op, Published)
            horizon = fold.dropped.get(op.topic, {})
            # what a drop names may wait behind a hole, or lie before it in an offer: nothing follows from it yet
            horizon = {origin: sequence for origin, sequence in horizon.items() if origin in begun}
            if len(self._ids(op)) == 1 and self.expand(horizon).get(op.origin, 0) >= op.sequence:
                raise Violation(f"{machine.id} shows {name}, which its ops dropped")
        # what is gone may be later acknowledgements, for which earlier ones were left out
        for name, (*_, since, _awake, cursor) in alive.items() if not (self.given_up or machine.disk.damaged) else ():
            full = dict(since)
            for vector in fold.acks.get(name, ()):
                full.update({o: s for o, s in self.expand(vector).items() if full.get(o, 0) < s})
            # an acknowledgement that covers others, which were left out for it, may be unreadable where it is
            waits = any(one.disk.damaged for one in self.machines) and all(full.get(o, 0) >= s for o, s in cursor)
            if tuple(sorted(full.items())) != cursor and not waits:
                raise Violation(f"{machine.id} has the cursor of {name} at {cursor}; its ops say {sorted(full.items())}")

    def applied(self, machine: Machine) -> Fold:
        """The fold of what a broker has applied: all that is synced there but what waits behind damage."""
        if not machine.disk.damaged:
            return machine.disk.fold
        if machine.broker is None:
            return Fold()
        disk, log = machine.disk, machine.broker.state.log
        of = log, len(log), disk.changes, len(self.ops)
        known = self._applied.get(machine.id)
        if known is not None and known[0] == of:
            return known[1]
        fold = Fold()
        for name in (*disk.held, *disk.void):
            op = self.ops.get(name)
            if op is not None and not says_nothing(op) and machine.holds(name):
                fold.add(op)
        self._applied[machine.id] = of, fold
        return fold

    def _check_members(self, machine: Machine, names: set[OpId], members: dict[str, tuple[OpId, ...]]) -> None:
        joined: dict[str, set[OpId]] = {}
        ended: set[OpId] = set()
        for name in names:
            op = self.ops.get(name)
            if isinstance(op, Joined):
                joined.setdefault(op.broker, set()).add(name)
            if isinstance(op, (Joined, Left)):
                ended.update(op.seen)
        said = {broker: tuple(sorted(left)) for broker, held in joined.items() if (left := held - ended)}
        assert machine.broker is not None
        forgotten = sorted(broker for broker in joined if not machine.broker.state.members.ever(broker))
        if forgotten and not machine.broker.state.holes.all:  # else the last one that says so may wait
            raise Violation(f"{machine.id} does not know any more that {forgotten} ever joined")
        if said != members:
            raise Violation(f"{machine.id} has members {members}; its ops say {said}")


def _topic(op: Op) -> str:
    assert isinstance(op, Published)
    return op.topic


def _difference(one: object, other: object) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in sorted({*one, *other}, key=str) if one.get(key) != other.get(key)]
        return ", ".join(f"{key}: {_difference(one.get(key), other.get(key))}" for key in keys[:3])
    return f"{one} != {other}"
