"""Machines (network namespaces) with a broker each, the cables to the switch between them, and what these lose."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from brokers import Failed
from tests.kit.machine import system
from tests.kit.processes import HEARTBEAT, Cluster, Node, lend

PORT: Final = 5053  # the same in each namespace
TRIES: Final = 5  # with other addresses each
CHANCE: Final = random.SystemRandom()


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


class Machines:
    """Some of them, and a switch between."""

    def __init__(self, count: int) -> None:
        self.all: list[Machine] = []
        self._count, self._switch = count, ""
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
        self._switch = f"{name}s"
        self.all = [Machine(name, net, number) for number in range(1, self._count + 1)]
        try:
            system("ip", "netns", "add", self._switch)
            system("ip", "-n", self._switch, "link", "add", "name", "switch", "type", "bridge")
            system("ip", "-n", self._switch, "link", "set", "switch", "up")
            for machine in self.all:
                machine.make()
                port = ("name", machine.name, "netns", self._switch)
                system("ip", "-n", machine.name, "link", "add", "cable", "type", "veth", "peer", *port)
                system("ip", "-n", self._switch, "link", "set", machine.name, "up", "master", "switch")
                machine.run("ip", "addr", "add", f"{machine.address}/24", "dev", "cable")
            self.plug()
        except BaseException:
            self.remove()
            raise

    def plug(self) -> None:
        """Put the cables in."""
        for machine in self.all:
            machine.run("ip", "link", "set", "cable", "up")

    def unplug(self) -> None:
        """Pull the cables."""
        for machine in self.all:
            machine.run("ip", "link", "set", "cable", "down")

    def remove(self) -> None:
        """Take all away."""
        for machine in self.all:
            machine.remove()
        with contextlib.suppress(Failed):
            system("ip", "netns", "del", self._switch)


class Apart(Cluster):
    """Brokers, one a machine. `knows_all`: each is told of all others, else all of the first alone."""

    def __init__(self, home: Path, machines: Machines, *, knows_all: bool = True) -> None:
        super().__init__(home, count=0)
        addresses = [f"{machine.address}:{PORT}" for machine in machines.all]
        for number, machine in enumerate(machines.all):
            others = [address for address in addresses if address != addresses[number]]
            peers = others if knows_all else addresses[: number and 1]
            self.nodes.append(self.put(machine, str(1001 + number), peers, primary=number == 0))

    def put(self, machine: Machine, id: str, peers: Sequence[str], *, primary: bool = False) -> Node:
        """Make a broker of a machine, not started, with an empty disk."""
        node = Node(
            id,
            PORT,
            self.home / machine.name / id,
            host=machine.address,
            peers=peers,
            primary=primary,
            options=[*HEARTBEAT, "--host", "0.0.0.0", "--advertise", f"{machine.address}:{PORT}", "--insecure"],
        )
        node.before = ["ip", "netns", "exec", machine.name, "env", f"NEWSWIRE_CLUSTER_SECRET={'s' * 32}"]
        self.made.append(node)
        return node


@contextlib.contextmanager
def machines_apart(home: Path, count: int = 2, *, knows_all: bool = True) -> Iterator[tuple[Apart, Machines]]:
    """Machines and their brokers, not started; all is taken away at the end."""
    machines = Machines(count)
    try:
        with lend(Apart(home, machines, knows_all=knows_all)) as cluster:
            yield cluster, machines
    finally:
        machines.remove()
