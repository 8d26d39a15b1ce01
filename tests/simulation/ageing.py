"""Retention by age, when all else has been checked: in what is compacted all the time, messages get old as elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from newswire.core import limits
from newswire.core.broker import events
from newswire.core.model.commands import Subscribe, Unsubscribe
from tests.simulation.clients import Client, Publisher, Result
from tests.simulation.machine import Machine
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.schedule import Cluster

KEPT: Final = 16.0  # seconds that messages stay
MESSAGES: Final = 4
TOPIC: Final = "a.y"
PATIENCE: Final = 60.0  # seconds


class Guest(Client):
    """Subscribes and unsubscribes at one broker all the time: of that nothing stays but the last."""

    def __init__(self, cluster: Cluster, machine: Machine) -> None:
        super().__init__(cluster, "guest")
        self.machine, self._is_subscribed = machine, False
        self._go_on()

    def _go_on(self) -> None:
        self.ask([Unsubscribe(self.name, "c") if self._is_subscribed else Subscribe(self.name, "c")], self._answered)

    def _answered(self, machine: Machine, result: Result) -> None:
        self._is_subscribed = not self._is_subscribed
        self.world.after(0.4, self._go_on)


def grow_old(cluster: Cluster, own: Random) -> None:
    """Have operators keep messages for `KEPT` seconds, by clocks that are right, and see the next ones go. Raises Violation.

    `own` draws everything.
    """
    world, machines = cluster.world, cluster.machines
    for machine in machines:
        machine.keeps_seconds, machine.trusts_clock = KEPT, True
        cluster.down(machine, 1.0, 0.2)
    _wait(cluster, lambda: cluster.unsettled() == "", "not settled when retention was lowered")
    Guest(cluster, own.choice(machines))
    publisher = Publisher(cluster, "aged", 0, 1.0)
    cluster.publishers.append(publisher)
    for _ in range(MESSAGES):
        world.run(1.0)
        publisher.machine = own.choice(machines)
        publisher.now = [publisher.write(TOPIC)]
        publisher._try()
        _wait(cluster, lambda: publisher.done, "a publish is not answered")
    names = [cluster.ledger.texts[f"aged.{number}"].published[-1] for number in range(1, MESSAGES + 1)]
    newest = max(cluster.ledger.ops[name].time for name in names)
    late = newest + (KEPT * (1 + 1 / limits.VOID_SPANS_COUNT) + limits.RETENTION_EVERY_SECONDS + 1.0) * 1000

    def is_late() -> bool:
        for machine in own.sample(machines, len(machines)):
            if own.random() < 0.05:  # no more often than a sweep takes
                cluster.operate(machine, events.Compact, lambda result: None)
        return all(machine.broker is not None and machine.broker.clocks.retention > late for machine in machines)

    _wait(cluster, is_late, "retention's clock does not go on")

    def kept() -> list[int]:
        return [number for number in range(1, MESSAGES + 1) if not cluster.ledger.is_dropped(f"aged.{number}")]

    # a sweep may be under way when a log is taken over, and begins anew
    what = f"some stay, though messages stay for {KEPT:.0f} s"
    _wait(cluster, lambda: not kept(), what, 4 * limits.RETENTION_EVERY_SECONDS)


def _wait(cluster: Cluster, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    end = cluster.world.now + patience
    while not condition():
        if cluster.world.now > end:
            raise Violation(what)
        cluster.world.run(0.2)
