"""Three brokers, each on a machine of its own (network namespaces), through one chain of deeds.

`NEWSWIRE_TEST_BROKERS` says how many there are else: `scripts/several` plays it with five.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from brokers import Stream, ask, get, post, rows, until, wait_in_sync
from newswire.core.model.addresses import place_of
from tests.kit.apart import Apart, Machines, machines_apart
from tests.kit.asking import topics
from tests.kit.cases import play
from tests.kit.hands import OverHttp
from tests.kit.ledger import Ledger
from tests.kit.machine import lacks
from tests.kit.processes import Node, audit

COUNT: Final = int(os.environ.get("NEWSWIRE_TEST_BROKERS", "3"))
WHY_NOT: Final = lacks("ip", "nft", root=True)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


class Several:
    """The brokers of machines that are apart, as the cases want them."""

    def __init__(self, cluster: Apart) -> None:
        self.brokers = cluster.nodes
        self.addresses = [node.address for node in cluster.nodes]

    @property
    def copies(self) -> int:
        """One of each that lives."""
        return len(self.living())

    def living(self) -> list[Node]:
        """Those that have a process, primary first."""
        return [node for node in self.brokers if node.process is not None]

    def start(self) -> None:
        """Start all at once and wait until they are ready."""
        for node in self.brokers:
            node.launch()
        for node in self.brokers:
            node.wait_ready()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[tuple[Apart, Machines]]:
    """Brokers that know the address of the first alone, not started."""
    with machines_apart(tmp_path, COUNT, knows_all=False) as lent:
        yield lent


def test_several_brokers_on_as_many_machines(apart: tuple[Apart, Machines], tmp_path: Path, ledger: Ledger) -> None:
    """Joining, the cases, a way that is cut, leaving, a machine that is replaced, and one primary after the other."""
    cluster, machines = apart
    several = Several(cluster)
    several.start()
    wait_in_sync(cluster.nodes)
    assert all(len(rows(node.address)) == COUNT for node in cluster.nodes), "each knows all, though it was told of one"
    audit(cluster.nodes[0])
    play(OverHttp, several, tmp_path)

    ledger.many(3, *cluster.nodes, copies=COUNT)
    relay(cluster, machines, ledger)
    leave(cluster, ledger)
    replace(cluster, machines, ledger)
    succession(cluster, ledger)


def relay(cluster: Apart, machines: Machines, ledger: Ledger) -> None:
    """The first and the last hear nothing of each other: what one takes comes to the other by way of those between."""
    first, last = cluster.nodes[0], cluster.nodes[-1]
    post(last.address, "/subscribe", username="Far", topic=">")
    wait_in_sync(cluster.nodes)
    machines.all[0].hears_nothing_of(machines.all[-1])
    machines.all[-1].hears_nothing_of(machines.all[0])
    with Stream("Far", [last.address]) as far:
        for node, other in ((first, last), (last, first)):
            until("they lose each other", lambda n=node, o=other: n.row(o.id)["state"] == "down")  # type: ignore[misc]
        ledger.many(5, first, copies=COUNT - 1)
        far.wait_texts(*last_texts(ledger, 5))
        ledger.many(5, last, copies=COUNT - 1)
        until("all is at the first", lambda: topics(first) == topics(last))
        post(first.address, "/subscribe", username="Far", topic="other.>")
        until(
            "the subscription is at the last",
            lambda: "other.>" in [s["topic"] for s in get(last.address, "/subscriptions", username="Far")],
        )
    for machine in machines.all:
        machine.hears_all()
    ledger.check(*cluster.nodes)


def leave(cluster: Apart, ledger: Ledger) -> None:
    """The second is removed while it is written to, serves nobody, and is added again."""
    first, second, *others = cluster.nodes
    with ledger.load(second, first):
        ledger.wait_more(5)
        post(first.address, "/remove_replica", broker_ip=second.id)
        ledger.wait_more(5)
    until("it refuses clients", lambda: second.readiness()[0] == 503)
    assert ask(second.address, "POST", "/publish", {"topic": "a", "data": "b"}).status == 503
    until("nobody lists it", lambda: all(second.id not in rows(node.address) for node in (first, *others)))
    ledger.many(3, first, *others, copies=COUNT - 1)
    ledger.check(first, *others)
    post(others[0].address, "/add_replica", broker_ip=second.address)
    wait_in_sync(cluster.nodes)
    ledger.many(3, second, copies=COUNT)


def replace(cluster: Apart, machines: Machines, ledger: Ledger) -> None:
    """A machine is gone with its disk: its broker is removed, and a new one at its address gets all."""
    first, *others, dead = cluster.nodes
    dead.kill9()
    ledger.many(3, first, copies=COUNT - 1)
    post(first.address, "/remove_replica", broker_ip=dead.id)
    new = cluster.put(machines.all[-1], str(1001 + COUNT), [first.address])
    cluster.nodes[-1] = new
    new.start()
    wait_in_sync(cluster.nodes)
    assert place_of(new.address) == place_of(dead.address)
    assert set(rows(first.address)) == {node.id for node in cluster.nodes}
    ledger.check(first, *others, new)
    ledger.many(3, new, copies=COUNT)


def succession(cluster: Apart, ledger: Ledger) -> None:
    """One primary after the other dies, down to the last broker, and they come back in turn."""
    living = list(cluster.nodes)
    with Stream("Far", [node.address for node in cluster.nodes]) as far:
        while len(living) > 1:
            living.pop(0).kill9()
            until("the next is primary", lambda: all(primary_at(node) == living[0].id for node in living))
            ledger.many(2, living[0], copies=len(living))
        for node in reversed([node for node in cluster.nodes if node not in living]):
            living.insert(0, node.start())
            until("it is primary again", lambda: all(primary_at(other) == living[0].id for other in living))
            ledger.many(2, living[0])
        ledger.check(*cluster.nodes)
        far.wait_texts(*last_texts(ledger, 3))


def last_texts(ledger: Ledger, count: int) -> list[str]:
    """What was published last."""
    return [entry.text for entry in ledger.entries[-count:]]


def primary_at(node: Node) -> str:
    """Whom a broker calls the primary."""
    return next((row["id"] for row in rows(node.address).values() if row["is_primary"]), "")
