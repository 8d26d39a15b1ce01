"""What the ledger knows of messages that are scheduled (SCHEDULE): the checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newswire.core.model.ops import OpId, Published, Scheduled
from newswire.core.model.ops import split_op_id as split
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.truth import Ledger

DAY = 86_400_000  # ms: as of twins
APART = 60_000  # ms: of clocks
REACHED = ("up", "catching-up")  # peers, whose clocks are heard


class Timed:
    """The part of the ledger that is about what waits for its time."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.ids: dict[str, list[OpId]] = {}  # by text, the ops that schedule it
        self.taken_at: dict[OpId, float] = {}  # when each was stamped
        self.answered: dict[str, list[OpId]] = {}  # by text, what its publisher was answered with

    def appended(self, machine: Machine, op: Scheduled) -> None:
        """A broker stamps one."""
        self.ids.setdefault(op.data, []).append(op.id)
        self.taken_at[op.id] = self.ledger.world.now
        self.ledger.world.deeds["scheduled"] += 1

    def forget(self, op: Scheduled) -> None:
        """It was stamped, and not stored."""
        self.ids[op.data].remove(op.id)
        del self.taken_at[op.id]

    def published(self, machine: Machine, op: Published) -> None:
        """A broker publishes one, or stores again what was published: never before its time, once, and not if withdrawn."""
        ledger, first = self.ledger, self.ledger.ops.get(op.again)
        if not isinstance(first, Scheduled) or self.releases(machine, first, but=op.id, given_up=True):
            return  # LOST has it stored once more
        ledger.world.deeds["released"] += 1
        assert machine.broker is not None
        passed, whole = (ledger.world.now - self.taken_at[first.id]) * 1000, first.due - first.time
        if passed < whole - 1 and not self._is_due_by_clock(machine, first) and first.id not in ledger.given_up:
            raise Violation(f"{machine.id} publishes {first.id} after {passed:.0f} ms of {whole}")
        if passed > whole + 1_500 and not ledger.world.faults:
            raise Violation(f"{machine.id} publishes {first.id} after {passed:.0f} ms of {whole}: late, and there was no fault")
        if done := self.releases(machine, first, but=op.id):
            raise Violation(f"{machine.id} publishes {first.id} once more, after {done}")
        if first.id in ledger.applied(machine).withdrawn and not ledger.has_void_schedule(machine, first.id):
            raise Violation(f"{machine.id} publishes {first.id}, which was withdrawn")

    def _is_due_by_clock(self, machine: Machine, first: Scheduled) -> bool:
        """Whether a broker that did not take it knows no better: by its clock at its start, and none that it hears is apart.

        And by its clock now, which may have been set right. Who was removed is asked no more.
        """
        assert machine.broker is not None
        if machine.mints(first.origin) or machine.now().wall < first.due:
            return False
        peers, members = machine.broker.replication.facts(machine.now()), machine.broker.state.members
        heard = [peer for peer in peers if peer.state in REACHED and (peer.id in members or not members.ever(peer.id))]
        are_apart = any(abs(peer.ahead) >= APART for peer in heard)
        until = machine.wall_at_start + (self.ledger.world.now - machine.started_at) * 1000 + 1  # both are whole ms
        return machine.broker.clocks.retention >= first.due or (until >= first.due and not are_apart)

    def releases(self, machine: Machine, first: Scheduled, *, but: OpId, given_up: bool = False) -> list[OpId]:
        """What published this one and was applied at a broker; `given_up`: what of that was given up."""
        found = []
        for name in self.ledger.again.get(first.id, ()):
            op = self.ledger.ops.get(name)
            is_it = isinstance(op, Published) and op.again == first.id and name != but
            if is_it and machine.holds(name) and (name in self.ledger.given_up) == given_up:
                found.append(name)
        return found

    def check_withdrawn(self, machine: Machine, name: OpId) -> None:
        """One that waited is withdrawn: somebody asked for that."""
        op = self.ledger.ops[name]
        assert isinstance(op, Scheduled)
        self.ledger.world.deeds["scheduled withdrawn"] += 1
        if op.data not in self.ledger.edits.asked:
            raise Violation(f"{machine.id} withdraws {name} ({op.data}), and nobody asked for that")

    def check_left_out(self, machine: Machine, op: Scheduled) -> None:
        """COMPACT: what waits stays; what was published goes with that."""
        ledger, names = self.ledger, {op.id, op.again} - {""}
        names |= set(self.ids[op.data])
        releases = [name for first in names for name in ledger.again.get(first, ()) if machine.holds(name)]
        if not releases and ledger.applied(machine).withdrawn.isdisjoint(names):
            raise Violation(f"{machine.id} leaves out {op.id}, which waits")
        assert machine.broker is not None
        assert machine.broker.compaction.job is not None
        log, cut = machine.broker.state.log, machine.broker.compaction.job.cut  # what came meanwhile stays
        stay = [
            name
            for name in ledger.again.get(op.id, ())
            if name in machine.disk.held
            and name not in ledger.given_up
            and (row := log.row(*split(name))) is not None
            and row < cut
        ]
        if stay:
            raise Violation(f"{machine.id} leaves out {op.id}, which was published as {stay}")

    def unpublished(self) -> list[str]:
        """What was answered, not withdrawn, and is not published, though its record did not go with a disk."""
        ledger, names = self.ledger, set[OpId]().union(*(machine.disk.names() for machine in self.ledger.machines))
        void = set[OpId]().union(*(machine.disk.void for machine in ledger.machines))
        found = []
        for text, answered in self.answered.items():
            excused = ledger.gone | ledger.given_up
            is_there = any(name not in excused for name in answered)
            if is_there and not ledger.is_withdrawn(text) and not any(x in names or x in void for x in ledger.texts[text].ids):
                found.append(f"{text} ({answered}) is not published")
        return found

    def waiting(self) -> list[str]:
        """What is about to be published somewhere: a schedule ends when all is."""
        return [
            f"{op.id} waits at {machine.id}"
            for machine in self.ledger.machines
            if machine.broker is not None
            for op in machine.broker.state.messages.timetable.waiting.values()
            if not self._lost_twin(machine, op)
        ]

    def _lost_twin(self, machine: Machine, op: Scheduled) -> bool:
        """Whether a twin of what waits was compacted there before it came, and with it the key: elsewhere that was published.

        It waits there until that broker is the primary: then it is published once more, as what is retried a day later is.
        """
        assert machine.broker is not None
        log = machine.broker.state.log
        return any(log.is_void(*split(name)) for name in self.ids[op.data] if name not in (op.id, op.again))

    def check(self) -> None:
        """In the end each is there once at each broker, if it was not withdrawn or dropped."""
        ledger = self.ledger
        if missing := self.unpublished():
            raise Violation("; ".join(missing))
        for machine in ledger.machines:
            assert machine.broker is not None
            state = machine.broker.state
            for text in self.ids:
                rows = {name: state.log.row(*split(name)) for name in ledger.texts[text].ids}
                shown = [name for name, row in rows.items() if row is not None and state.log.topics[row]]
                is_void = any(ledger._has_void_twin(name) for name in shown)
                ops = [op for name in shown if isinstance(op := ledger.ops[name], Published)]
                most = len({op.again or op.id for op in ops}) if any(map(self.is_blurred, ops)) else 1
                if len(shown) > most and not is_void:
                    raise Violation(f"{machine.id} shows {text} as {shown}")

    def is_blurred(self, op: Published) -> bool:
        """Whether it was scheduled twice, and one of its stamps is so far from another that these are no twins (KEY).

        Then it is one message or two, by what came first: what publishes one scheduled message is one, and so is what was
        stamped within a day under one key.
        """
        ids = self.ids.get(op.data, ())
        if len(ids) < 2 or op.about:
            return False
        stamps = [self.ledger.ops[name].time for name in (*ids, *self.ledger.texts[op.data].ids)]
        return max(stamps) - min(stamps) > DAY
