"""Two machines (network namespaces), a cable between them that breaks in one way or another, and clients that reach both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Stream, post, until, wait_in_sync
from tests.kit.apart import Apart, Machines, machines_apart
from tests.kit.ledger import Ledger, messages_at
from tests.kit.machine import lacks
from tests.kit.processes import Node, audit

WHY_NOT = lacks("ip", "nft", root=True)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[tuple[Apart, Machines]]:
    """Two brokers on two machines, in sync."""
    with machines_apart(tmp_path) as (cluster, machines):
        cluster.start()
        yield cluster, machines


def test_the_cable_is_pulled_and_put_in_again(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    cluster, machines = apart
    first, second = cluster.nodes
    for node in cluster.nodes:
        post(node.address, "/subscribe", username=f"At{node.id}", topic=">")
    with Stream("At1001", [first.address]) as at_first, Stream("At1002", [second.address]) as at_second:
        ledger.many(10, first, second, copies=2)
        machines.unplug()
        for node in cluster.nodes:
            ledger.many(20, node, copies=1)
        for node, other in ((first, second), (second, first)):
            until("the other is down", lambda n=node, o=other: n.row(o.id)["state"] == "down")  # type: ignore[misc]
            assert node.readiness()[0] == 200
        post(second.address, "/subscribe", username="New", topic=">")

        machines.plug()
        ledger.check(first, second)
        ledger.many(10, first, second, copies=2)
        for stream in (at_first, at_second):
            stream.wait_texts(*ledger.texts())


def test_each_restarts_while_they_are_apart(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    cluster, machines = apart
    first, second = cluster.nodes
    ledger.many(10, first, second, copies=2)
    machines.unplug()
    for node in (first, second, second):
        ledger.many(5, node, copies=1)
        node.kill9()
        node.start()
        ledger.many(5, node, copies=1)
    machines.plug()
    ledger.check(first, second)


def test_only_one_of_them_can_connect_to_the_other(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    """Answers carry ops, so both hold all; only the one whose pushes are answered may count a second copy."""
    cluster, machines = apart
    hearing, other = cluster.nodes
    machines.all[1].hears_no_connection_of(machines.all[0])  # pushes go from `other` to `hearing` only
    with ledger.load(other, hearing):
        ledger.wait_more(20)
        until("the push is not answered", lambda: hearing.row(other.id)["state"] == "down")
        ledger.wait_more(20)
    ledger.many(10, hearing, copies=1)
    until("two copies by the way that works", lambda: ledger.publish(other).copies == 2)
    until("all is at both", lambda: has_all(hearing, ledger) and has_all(other, ledger))
    ledger.check_copies(hearing, other)
    machines.all[1].hears_all()
    ledger.check(hearing, other)
    ledger.many(10, hearing, other, copies=2)


def test_one_hears_nothing_of_what_the_other_sends(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    """No packet arrives in one direction, so no connection works in either."""
    cluster, machines = apart
    first, second = cluster.nodes
    machines.all[0].hears_nothing_of(machines.all[1])
    with ledger.load(first, second):
        ledger.wait_more(40)
    machines.all[0].hears_all()
    ledger.check(first, second)


def test_a_cable_that_loses_a_third_of_everything(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    cluster, machines = apart
    first, second = cluster.nodes
    for machine, other in (machines.all, reversed(machines.all)):
        machine.hears_nothing_of(other, percent=30)
    with ledger.load(first, second):
        ledger.wait_more(40)
        ledger.check_copies(first, second)
    for machine in machines.all:
        machine.hears_all()
    ledger.check(first, second)


def test_two_fresh_brokers_that_begin_apart_become_one_cluster(tmp_path: Path, ledger: Ledger) -> None:
    """Each is told of the other, reaches it only later, and took operations before: all of them are kept."""
    with machines_apart(tmp_path) as (cluster, machines):
        first, second = cluster.nodes
        machines.unplug()
        for node in cluster.nodes:
            node.start()
            audit(node)
            ledger.many(5, node, copies=1)
        machines.plug()
        wait_in_sync(cluster.nodes)
        ledger.check(first, second)
        ledger.many(5, first, copies=2)


def has_all(node: Node, ledger: Ledger) -> bool:
    """Whether a broker shows all that was acknowledged."""
    return ledger.texts() <= set(messages_at(node).values())
