"""Everything at once, from a seed: load at both brokers, subscribers of both kinds, kills, hangs and restarts by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from brokers import Stream, post
from tests.kit.ledger import Ledger, Reader
from tests.kit.processes import Cluster, Node, pause, resume
from tests.kit.waiting import PATIENCE_SECONDS

OPERATIONS = 9
BETWEEN = 15  # messages between two operations, if anybody serves


class Chaos:
    """Does something bad to a pair, chosen by a seed, and undoes it all at the end."""

    def __init__(self, pair: Cluster, seed: int) -> None:
        self.nodes = pair.nodes
        self.chance = random.Random(seed)
        self.hung: set[str] = set()
        self.done: list[str] = []

    def act(self) -> None:
        """One operation that is possible now."""
        name, deed = self.chance.choice(self._possible())
        self.done.append(name)
        deed()

    def _possible(self) -> list[tuple[str, Callable[[], None]]]:
        deeds: list[tuple[str, Callable[[], None]]] = [("kill both", self._kill_both)]
        for node in self.nodes:
            if node.process is None:
                deeds += [(f"start {node.id}", lambda n=node: self._start(n))] * 3  # type: ignore[misc]
            elif node.id in self.hung:
                deeds += [(f"wake {node.id}", lambda n=node: self._wake(n))] * 3  # type: ignore[misc]
            else:
                deeds.append((f"kill {node.id}", lambda n=node: self._kill(n)))  # type: ignore[misc]
                deeds.append((f"hang {node.id}", lambda n=node: self._hang(n)))  # type: ignore[misc]
                deeds.append((f"restart {node.id}", lambda n=node: self._restart(n)))  # type: ignore[misc]
        return deeds

    @property
    def serving(self) -> bool:
        """Whether anybody may take messages."""
        return any(node.process is not None and node.id not in self.hung for node in self.nodes)

    def heal(self) -> None:
        """Let both run."""
        for node in self.nodes:
            if node.id in self.hung:
                self._wake(node)
            elif node.process is None:
                self._start(node)
        for node in self.nodes:
            node.wait_ready()

    def _kill_both(self) -> None:
        for node in self.nodes:
            self._kill(node)

    def _kill(self, node: Node) -> None:
        self.hung.discard(node.id)
        node.kill9()

    def _start(self, node: Node) -> None:
        node.launch()

    def _hang(self, node: Node) -> None:
        self.hung.add(node.id)
        pause(node)

    def _wake(self, node: Node) -> None:
        self.hung.discard(node.id)
        resume(node)

    def _restart(self, node: Node) -> None:
        node.stop()
        node.launch()


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost(pair: Cluster, ledger: Ledger, seed: int) -> None:
    chaos = Chaos(pair, seed)
    addresses = [node.address for node in pair.nodes]
    with ExitStack() as opened:
        readers = [opened.enter_context(Reader(user, pair.nodes)) for user in ("Alice", "Bob")]
        streams = [opened.enter_context(stream_of(pair, user, addresses)) for user in ("Carlos", "Dora")]
        with ledger.load(*pair.nodes):
            for _ in range(OPERATIONS):
                if chaos.serving:
                    ledger.wait_more(BETWEEN)
                chaos.act()
                ledger.check_copies(*pair.nodes)
            print(f"seed {seed}: {chaos.done}")
            chaos.heal()
            ledger.wait_more(BETWEEN)
        ledger.check(*pair.nodes)
        ledger.many(5, *pair.nodes, copies=2)
        for reader in readers:
            reader.check(ledger)
        for stream in streams:
            stream.wait_texts(*ledger.texts(), seconds=PATIENCE_SECONDS)
        ledger.check(*pair.nodes)
    for node in pair.nodes:
        node.wait_whole()


def stream_of(pair: Cluster, user: str, addresses: list[str]) -> Stream:
    """A plain stream, confirmed by the kernel; user by user it begins at another broker."""
    post(pair.nodes[0].address, "/subscribe", username=user, topic=">")
    return Stream(user, addresses if user < "D" else addresses[::-1])
