"""What the ledger knows of messages that ask to be confirmed, who confirmed them, and who is named (CONFIRM): the checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.status import is_primary
from newswire.core.model.names import matches
from newswire.core.model.ops import Confirmed, OpId, Published, Subscribed
from newswire.core.model.ops import split_op_id as split
from newswire.core.read.pieces import finish
from newswire.core.read.reports import delivery_report
from tests.simulation.world import WALL, Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.truth import Ledger

DAY = 86_400_000  # ms: as of twins
Reader = tuple[str, OpId]  # by name and account


class Confirmations:
    """The part of the ledger that is about confirmations."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.asking: set[OpId] = set()  # ops that ask, and say where it is told who has not confirmed
        self.escalations: dict[OpId, Published] = {}
        self.named_at: dict[OpId, float] = {}
        self.let_be: set[OpId] = set()  # ops that ask, of whose message some broker saw that all had confirmed it in time
        self.answered: dict[tuple[str, str], list[OpId]] = {}  # by user and text: the ops that he was answered with

    def appended(self, machine: Machine, op: Published) -> None:
        """A broker stamps a message that asks, or that is about one that did."""
        if op.confirm and op.escalate:
            self.asking.add(op.id)
        if op.about:
            self.escalations[op.id] = op
            self.named_at[op.id] = self.ledger.world.now
            self.ledger.world.deeds["late named"] += 1
            if not op.again:
                self._check_escalation(machine, op)

    def forget(self, name: OpId) -> None:
        """It was stamped, and not stored."""
        self.asking.discard(name)
        self.escalations.pop(name, None)

    def lets_be(self, machine: Machine, name: OpId) -> None:
        """A broker found that all have confirmed a message when its time was over."""
        names = self.names(machine, name)
        missing = self._missing(machine, names)
        if missing:
            raise Violation(f"{machine.id} lets {name} be, and {missing} have not confirmed it")
        self.let_be |= names
        self.ledger.world.deeds["all confirmed"] += 1

    def names(self, machine: Machine, name: OpId) -> set[OpId]:
        """The ids under which a broker knows a message: those of its twins, and from before they were stored again."""
        ledger, op = self.ledger, self.ledger.ops[name]
        assert isinstance(op, Published)
        names = {name}
        for one in ledger.texts[op.data].ids if machine.shows(name) or ledger.again.get(name) else ():
            other = ledger.ops[one]
            assert isinstance(other, Published)
            is_twin = op.key and op.key == other.key and abs(op.time - other.time) <= DAY
            is_copy = (other.again or one) == (op.again or name)
            if (is_twin or is_copy) and machine.shows(one):
                names |= {one, other.again} if other.again else {one}
        return names

    def twins(self, machine: Machine, name: OpId) -> list[OpId]:
        """What a broker has applied of what names who has not confirmed the same message."""
        about = self.names(machine, self.escalations[name].about)
        twins = (one for one, op in self.escalations.items() if op.about in about and self.ledger._is_live(machine, one))
        return sorted({name, *twins})

    def same(self, name: OpId) -> list[OpId]:
        """All that is about the same text as `name`, wherever it is."""
        data = self._data(name)
        return [one for one in self.escalations if self._data(one) == data]

    def _data(self, name: OpId) -> str:
        about = self.ledger.ops[self.escalations[name].about]
        assert isinstance(about, Published)
        return about.data

    def is_pinned(self, machine: Machine, name: OpId) -> bool:
        """Whether the message that `name` is about is there still, so that nobody may forget that it was told."""
        about = self.escalations[name].about
        return about in machine.disk.held and about not in self.ledger.given_up

    def _check_escalation(self, machine: Machine, op: Published) -> None:
        ledger, names = self.ledger, self.names(machine, op.about)
        assert machine.broker is not None
        asking = [asked for name in names if isinstance(asked := ledger.ops[name], Published) and machine.shows(name)]
        clock, passed = machine.most_clock, 0.0
        for one in asking:  # the time of each of its twins passes by itself
            came = machine.came.get(one.id)
            passed = (ledger.world.now - (ledger.texts[one.data].taken_at if came is None else came)) * 1000
            if passed >= one.confirm * 1000 - 2 or (came is None and clock >= one.time + one.confirm * 1000):
                break
        else:
            raise Violation(f"{machine.id} names after {passed:.0f} ms who has not confirmed {op.about}: that is too soon")
        # one that was given up says so no more, unless it was stored again: that is another one then
        if done := [one for one in self._told(machine, names - {op.id}, but=op.id) if one not in ledger.given_up]:
            raise Violation(f"{machine.id} names once more who has not confirmed {op.about}, after {done}")
        said, missing = op.data.rpartition(": ")[2].split(", "), self._missing(machine, names)
        if said != missing:
            raise Violation(f"{machine.id} names {said} for {op.about}; by its ops {missing} have not confirmed it")

    def _told(self, machine: Machine, names: set[OpId], *, but: OpId = "") -> list[OpId]:
        """What names who has not confirmed this message, and is held or void there, or was given up."""
        told = (one for one, op in self.escalations.items() if op.about in names and one != but)
        return [one for one in told if machine.holds(one) or one in self.ledger.given_up]

    def confirmed(self, machine: Machine, names: set[OpId]) -> dict[Reader, int]:
        """Who has confirmed a message by the ops that a broker has applied, and when."""
        times: dict[Reader, int] = {}
        for name in names:
            for reader, time in self.ledger.applied(machine).confirmed.get(name, {}).items():
                times[reader] = min(time, times.get(reader, time))
        return times

    def readers(self, machine: Machine, names: set[OpId], now: int) -> set[Reader]:
        """For whom a message is, by the ops that a broker has applied, where it is `now` (ms)."""
        ledger, fold, broker = self.ledger, self.ledger.applied(machine), machine.broker
        assert broker is not None
        twins = [op for name in names if isinstance(op := ledger.ops[name], Published) and ledger._is_live(machine, name)]
        found: set[Reader] = set()
        for name, sub in fold.subs.items():
            if not twins or not fold.is_alive(name, sub) or not matches(sub.pattern, twins[0].topic):
                continue
            if ledger.may_have_ended(machine, name):
                continue
            if sub.account and not fold.access.may(Principal(sub.account), "subscribe", twins[0].topic):
                continue
            since = ledger.expand({origin: last for origin, last in sub.since.items() if origin in broker.state.lineage})
            there = (self._was_there(machine, sub, op, now) for op in twins)
            if any(there) and not any(since.get(op.origin, 0) >= op.sequence for op in twins):
                found.add((sub.user, sub.account))
        return found

    def _was_there(self, machine: Machine, sub: Subscribed, op: Published, now: int) -> bool:
        """CONFIRM: by the order of their run, or that in which one began on the other; else by their stamps."""
        assert machine.broker is not None
        lineage = machine.broker.state.lineage
        begun = {one.origin: self.ledger.expand(self.ledger.began[one.origin]) for one in (sub, op) if one.origin in lineage}
        if sub.origin == op.origin:
            return sub.sequence < op.sequence
        if begun[op.origin].get(sub.origin, 0) >= sub.sequence:
            return True
        is_later = begun[sub.origin].get(op.origin, 0) >= op.sequence
        return not is_later and (sub.time <= op.time or sub.time > now + limits.CLOCK_SKEW_SECONDS * 1000)

    def _missing(self, machine: Machine, names: set[OpId]) -> list[str]:
        confirmed = self.confirmed(machine, names)
        readers = sorted(self.readers(machine, names, machine.now().wall))
        return [user for user, account in readers if (user, account) not in confirmed]

    def _is_shown(self, machine: Machine, names: set[OpId]) -> bool:
        ledger, fold = self.ledger, self.ledger.applied(machine)
        live = sorted(name for name in names if ledger._is_live(machine, name))
        if not live or ledger.is_over(machine, fold.withdrawn, live):
            return False
        op = ledger.ops[live[0]]
        assert isinstance(op, Published)
        horizon = ledger.expand(fold.dropped.get(op.topic, {}))
        return not any(horizon.get(origin, 0) >= sequence for origin, sequence in map(split, live))

    def untold(self) -> list[str]:
        """What was not confirmed by all in time, and nobody is named for it: by what the primary knows."""
        found = []
        for machine in self.ledger.machines:
            broker = machine.broker
            if broker is None or not self.asking or not is_primary(broker._situation(machine.now())):
                continue
            for name in sorted(self.asking):
                op = self.ledger.ops[name]
                assert isinstance(op, Published)
                if not self.ledger._is_live(machine, name):
                    continue
                names = self.names(machine, name)
                is_let_be = not self.let_be.isdisjoint(names) or not self._is_shown(machine, names)
                if not is_let_be and self._missing(machine, names) and not self._told(machine, names):
                    found.append(f"{machine.id} names nobody for {name}, and {self._missing(machine, names)} are late")
        return found

    def undelivered(self) -> list[str]:
        """Who lacks a message about who is late that some disk shows, though he was registered before the first such."""
        ledger, found = self.ledger, list[str]()
        names = set[OpId]().union(*(machine.disk.names() for machine in ledger.machines))
        void = set[OpId]().union(*(machine.disk.void for machine in ledger.machines))
        for registration in ledger.registrations.values():
            kept = ledger._surviving(registration)
            for name, op in self.escalations.items() if kept else ():
                same = self.same(name)
                if name not in names or name in ledger.given_up or not matches(registration.pattern, op.topic):
                    continue
                if min(self.named_at[one] for one in same) <= kept[0][0] or not void.isdisjoint(same):
                    continue
                taken = any(ledger.has_taken(registration.user, self.escalations[one].data) for one in same)
                if not taken and not ledger._is_dropped(op.topic, same) and ledger.withdrawn.isdisjoint(same):
                    found.append(f"{registration.user} never got {name} about {op.about}")
        return found

    def known(self, machine: Machine, user: str, text: str) -> list[OpId]:
        """The ops on a disk that say that a user confirmed a message: one of them is why nothing was stored for him."""
        ids = self.ledger.texts[text].ids
        ops = ((name, self.ledger.ops.get(name)) for name in machine.disk.held)
        named = (name for name, op in ops if isinstance(op, Confirmed) and op.user == user and op.message in ids)
        return [name for name in named if machine.disk.has(name)]

    def check_confirmed(self) -> None:
        """Who was told that he has confirmed a message has, at each broker, unless the op went with a disk."""
        for (user, text), ops in self.answered.items():
            for machine in self.ledger.machines:
                names = set(self.ledger.texts[text].ids)
                is_kept = any(name not in self.ledger.gone and name not in self.ledger.given_up for name in ops)
                is_there = self._is_shown(machine, names)
                if is_kept and is_there and (user, "") not in self.confirmed(machine, names):
                    raise Violation(f"{user} has confirmed {text} ({ops}), and {machine.id} does not know")

    def digest(self, machine: Machine, shown: list[OpId]) -> dict[OpId, object]:
        """The reports of a broker on what asks to be confirmed: to be the same wherever the same is held."""
        assert machine.broker is not None
        state, reports = machine.broker.state, dict[OpId, object]()
        now = WALL + int(self.ledger.world.now * 1000)  # the same for all brokers
        for name in shown:
            op = self.ledger.ops[name]
            if not isinstance(op, Published) or not op.confirm:
                continue
            report = finish(delivery_report(state, name, now))
            if report is None:
                raise Violation(f"{machine.id} has no report on {name}, which it shows")
            names = self.names(machine, name)
            confirmed = {reader: time for (reader, _), time in self.confirmed(machine, names).items()}
            readers = sorted({user for user, _ in self.readers(machine, names, now)} | confirmed.keys())
            said = {row.user: row.at for row in report.readers if row.state == "confirmed"}
            if said != confirmed or sorted({row.user for row in report.readers}) != readers:
                raise Violation(f"{machine.id} reports {report.readers} on {name}; its ops say {readers}, {confirmed}")
            reports[name] = tuple((row.user, row.state, row.at) for row in report.readers)
        return reports
