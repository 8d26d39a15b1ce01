"""What the ledger knows of messages that are withdrawn, or that take the place of others (WITHDRAW): the checkers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from newswire.core.model.names import matches
from newswire.core.model.ops import Op, OpId, Published, Withdrawn
from newswire.core.read.scan import DueWithdrawal
from tests.simulation.timed import DAY
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.truth import Ledger


class Edits:
    """The part of the ledger that is about withdrawals by people, and replacements."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.asked: set[str] = set()  # texts that somebody asked to be withdrawn
        self.answered: dict[str, list[OpId]] = {}  # by text, the ops that its withdrawal was answered with

    def appended(self, machine: Machine, op: Op) -> None:
        """A broker stamps one that withdraws, or that replaces."""
        if isinstance(op, Published) and op.replaces:
            self.ledger.world.deeds["replaced"] += 1
            known = self.ledger.applied(machine).withdrawn
            if not op.again and op.replaces in known:
                raise Violation(f"{machine.id} takes {op.id} in place of {op.replaces}, which it shows no more")
            self.ledger.withdrawn.add(op.replaces)
        elif isinstance(op, Withdrawn) and op.topic:
            self.ledger.world.deeds["withdrawn"] += 1
            texts = {one.data for name in op.ids if isinstance(one := self.ledger.ops[name], Published)}
            if len(texts) != 1 or not texts <= self.asked:
                raise Violation(f"{machine.id} withdraws {op.ids}, which is {texts}; asked for was {sorted(self.asked)}")

    def forget(self, op: Op) -> None:
        """It was stamped, and not stored."""
        if isinstance(op, Published) and op.replaces:
            names = [op.replaces]
        else:
            names = list(op.ids) if isinstance(op, Withdrawn) and op.topic else []
        ops = self.ledger.ops.values()
        said = {one.replaces for one in ops if isinstance(one, Published)}
        said.update(name for one in ops if isinstance(one, Withdrawn) for name in one.ids)
        self.ledger.withdrawn.difference_update(name for name in names if name not in said)

    def check_left_out(self, machine: Machine, op: Op) -> None:
        """COMPACT: what says that something is shown no more outlives that."""
        if isinstance(op, Published):
            names = (op.replaces,) if op.replaces else ()
        else:
            names = op.ids if isinstance(op, Withdrawn) else ()
        stay = [name for name in names if name in machine.disk.held and name not in self.ledger.given_up]
        if stay:
            raise Violation(f"{machine.id} leaves out {op.id}, by which {stay} are shown no more")

    def outlives(self, op: Published) -> bool:
        """Whether an op stays since it replaced one that stays: twins do until all were dropped or withdrawn by their ids."""
        while op.replaces:
            target = self.ledger.ops[op.replaces]
            assert isinstance(target, Published)
            if len(self.ledger.texts[target.data].ids) > 1:
                return True
            op = target
        return False

    def tell(self, machine: Machine, user: str, item: DueWithdrawal) -> None:
        """A reader is told: of what was withdrawn there, on a topic that he is registered for."""
        self.ledger.world.deeds["withdrawal told"] += 1
        fold = self.ledger.applied(machine)
        ahead = machine.broker is not None and machine.broker.is_applying
        if item.id not in fold.withdrawn:
            raise Violation(f"{machine.id} tells {user} that {item.id} was withdrawn, and it was not")
        if not ahead and not any(matches(sub.pattern, item.topic) for _, sub in fold.alive(user)):
            raise Violation(f"{machine.id} tells {user} of {item.topic}, who is not registered for it there")

    def _is_another(self, op: Op) -> bool:
        """Whether what was published as `op` was published before or after with a stamp that is more than a day away (KEY)."""
        ids = self.ledger.texts[op.data].ids if isinstance(op, Published) else ()
        return any(abs(self.ledger.ops[name].time - op.time) > DAY for name in ids)

    def _is_apart(self, op: OpId, ids: Collection[OpId], withdrawn: Collection[OpId]) -> bool:
        """Whether what was withdrawn of a message went with a disk: nobody knows that this, a retry of it, is the same."""
        return op not in withdrawn and all(name in self.ledger.gone for name in ids if name in withdrawn)

    def check_withdrawn(self) -> None:
        """Who was told that a message is withdrawn: it is, at each broker, unless the op went with a disk."""
        for name, ops in self.answered.items():
            is_kept = any(op not in self.ledger.gone and op not in self.ledger.given_up for op in ops)
            for machine in self.ledger.machines if is_kept else ():
                assert machine.broker is not None
                state = machine.broker.state
                for op in self.ledger.texts[name].ids:
                    message = self.ledger.ops[op]
                    is_blurred = isinstance(message, Published) and self.ledger.timed.is_blurred(message)
                    again = message.again if isinstance(message, Published) else ""
                    if (is_blurred or self._is_another(message)) and self.ledger.applied(machine).withdrawn.isdisjoint(
                        (op, again)
                    ):
                        continue  # the other one was
                    if not again and self._is_apart(op, self.ledger.texts[name].ids, self.ledger.applied(machine).withdrawn):
                        continue
                    row = state.log.row(*op.rsplit(".", 1)[:1], int(op.rsplit(".", 1)[1]))
                    if row is not None and state.log.topics[row] and not self.ledger._has_void_twin(op):
                        raise Violation(f"{machine.id} shows {op} ({name}), which was withdrawn ({ops})")
