"""Two machines (network namespaces), a cable between them that breaks in one way or another, and clients that reach both."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Failed, Stream, post, until, wait_in_sync
from tests.kit.ledger import Ledger, messages_at
from tests.kit.machine import lacks, system
from tests.kit.processes import HEARTBEAT, Cluster, Node, audit, lend

WHY_NOT = lacks("ip", "nft", root=True)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


class Machine:
    """A namespace with a broker; `address` is at the cable's end, and this process reaches it by a way of its own."""

    def __init__(self, name: str, net: str, number: int) -> None:
        self.name, self.address = f"{name}{number}", f"{net}.9.{number}"
        self._outside, self._way = f"{name}m{number}", f"{net}.{number}"

    def make(self) -> None:
        """Make it. Raises Failed; `remove` takes away what was made."""
        way = self._way
        system("ip", "netns", "add", self.name)
        system("ip", "link", "add", self._outside, "type", "veth", "peer", "name", "way", "netns", self.name)
        system("ip", "addr", "add", f"{way}.1/24", "dev", self._outside)
        system("ip", "link", "set", self._outside, "up")
        self.run("ip", "addr", "add", f"{way}.2/24", "dev", "way")
        for link in ("lo", "way"):
            self.run("ip", "link", "set", link, "up")
        system("ip", "route", "add", f"{self.address}/32", "via", f"{way}.2", "dev", self._outside)
        self.run("nft", "add", "table", "ip", "cut")
        self.run("nft", "add", "chain", "ip", "cut", "in", "{ type filter hook input priority 0 ; }")

    def run(self, *words: str) -> None:
        """Run a command inside."""
        system("ip", "netns", "exec", self.name, *words)

    def hears_no_connection_of(self, other: Machine) -> None:
        """Drop what belongs to connections that the other one opens: it reaches nothing here, and is reached."""
        match = ["ip", "saddr", other.address, "tcp", "dport", str(PORT), "drop"]
        self.run("nft", "add", "rule", "ip", "cut", "in", *match)

    def hears_nothing_of(self, other: Machine, percent: int = 100) -> None:
        """Drop (some of) what the other one sends."""
        chance = ["numgen", "random", "mod", "100", "<", str(percent)] if percent < 100 else []
        self.run("nft", "add", "rule", "ip", "cut", "in", "ip", "saddr", other.address, *chance, "drop")

    def hears_all(self) -> None:
        """Drop nothing any more."""
        self.run("nft", "flush", "chain", "ip", "cut", "in")

    def remove(self) -> None:
        """Take it away, and with it every link that ends in it."""
        with contextlib.suppress(Failed):
            system("ip", "netns", "del", self.name)


PORT = 5053  # the same in each namespace
TRIES = 5  # with other addresses each
CHANCE = random.SystemRandom()


class Machines:
    """Two of them, and the cable."""

    def __init__(self) -> None:
        self.both: list[Machine] = []
        for chance in reversed(range(TRIES)):
            try:
                self._make()
                return
            except Failed:  # another run on this machine may have the same addresses
                self.remove()
                if not chance:
                    raise

    def _make(self) -> None:
        name, net = f"nw{CHANCE.randrange(16**4):04x}", f"10.{CHANCE.randrange(64, 250)}"
        self.both = [Machine(name, net, number) for number in (1, 2)]
        try:
            for machine in self.both:
                machine.make()
            one, two = self.both
            system("ip", "-n", one.name, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", two.name)
            for machine in self.both:
                machine.run("ip", "addr", "add", f"{machine.address}/24", "dev", "cable")
            self.plug()
        except BaseException:
            self.remove()
            raise

    def plug(self) -> None:
        """Put the cable in."""
        for machine in self.both:
            machine.run("ip", "link", "set", "cable", "up")

    def unplug(self) -> None:
        """Pull the cable."""
        self.both[0].run("ip", "link", "set", "cable", "down")

    def remove(self) -> None:
        """Take both away."""
        for machine in self.both:
            machine.remove()


class Apart(Cluster):
    """A pair of brokers, one a machine."""

    def __init__(self, home: Path, machines: Machines) -> None:
        super().__init__(home, count=0)
        addresses = [machine.address for machine in machines.both]
        for number, machine in enumerate(machines.both):
            at = f"{machine.address}:{PORT}"
            node = Node(
                str(1001 + number),
                PORT,
                home / machine.name,
                host=machine.address,
                peers=[f"{address}:{PORT}" for address in addresses if address != machine.address],
                primary=number == 0,
                options=[*HEARTBEAT, "--host", "0.0.0.0", "--advertise", at, "--insecure"],
            )
            node.before = ["ip", "netns", "exec", machine.name, "env", f"NEWSWIRE_CLUSTER_SECRET={'s' * 32}"]
            self.nodes.append(node)
        self.made = self.nodes


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[tuple[Apart, Machines]]:
    """Two brokers on two machines, in sync."""
    with machines_apart(tmp_path) as (cluster, machines):
        cluster.start()
        yield cluster, machines


@contextlib.contextmanager
def machines_apart(home: Path) -> Iterator[tuple[Apart, Machines]]:
    """Two machines and their brokers, not started; all is taken away at the end."""
    machines = Machines()
    try:
        with lend(Apart(home, machines)) as cluster:
            yield cluster, machines
    finally:
        machines.remove()


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
    machines.both[1].hears_no_connection_of(machines.both[0])  # pushes go from `other` to `hearing` only
    with ledger.load(other, hearing):
        ledger.wait_more(20)
        until("the push is not answered", lambda: hearing.row(other.id)["state"] == "down")
        ledger.wait_more(20)
    ledger.many(10, hearing, copies=1)
    until("two copies by the way that works", lambda: ledger.publish(other).copies == 2)
    until("all is at both", lambda: has_all(hearing, ledger) and has_all(other, ledger))
    ledger.check_copies(hearing, other)
    machines.both[1].hears_all()
    ledger.check(hearing, other)
    ledger.many(10, hearing, other, copies=2)


def test_one_hears_nothing_of_what_the_other_sends(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    """No packet arrives in one direction, so no connection works in either."""
    cluster, machines = apart
    first, second = cluster.nodes
    machines.both[0].hears_nothing_of(machines.both[1])
    with ledger.load(first, second):
        ledger.wait_more(40)
    machines.both[0].hears_all()
    ledger.check(first, second)


def test_a_cable_that_loses_a_third_of_everything(apart: tuple[Apart, Machines], ledger: Ledger) -> None:
    cluster, machines = apart
    first, second = cluster.nodes
    for machine, other in (machines.both, reversed(machines.both)):
        machine.hears_nothing_of(other, percent=30)
    with ledger.load(first, second):
        ledger.wait_more(40)
        ledger.check_copies(first, second)
    for machine in machines.both:
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
