"""Two brokers of each engine, in sync, seen through the seam alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from brokers import free_ports, until
from newswire.config import Settings
from newswire.engine.memory import MemoryEngine, MemoryNetwork
from newswire.engine.seam import Engine
from newswire.server import Server


class Pair(Protocol):
    """Brokers 1001 (primary) and 1002."""

    one: Engine
    other: Engine

    def part(self) -> None:
        """Take the second broker away from the first."""


class MemoryPair:
    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.one = self._broker("1001", "127.0.0.1:1", "127.0.0.1:2")
        self.other = self._broker("1002", "127.0.0.1:2", "127.0.0.1:1")

    def _broker(self, broker: str, address: str, peer: str) -> MemoryEngine:
        return MemoryEngine(broker, address=address, peers=(peer,), primary=broker == "1001", network=self.network)

    def part(self) -> None:
        self.network.cut("127.0.0.1:1", "127.0.0.1:2")

    def close(self) -> None:
        self.one.close()
        self.other.close()


class EmbeddedPair:
    def __init__(self, folder: Path) -> None:
        ports = free_ports(2)
        self.servers = [
            Server(
                Settings(
                    id=broker,
                    port=port,
                    primary=broker == "1001",
                    peers=(f"127.0.0.1:{peer}",),
                    ops_dir=folder,
                    heartbeat=1.0,
                    threads=8,
                )
            )
            for broker, port, peer in (("1001", *ports), ("1002", *reversed(ports)))
        ]
        for server in self.servers:
            server.start()
        self.one, self.other = (server.engine for server in self.servers)

    def part(self) -> None:
        self.servers[1].stop()

    def close(self) -> None:
        for server in self.servers:
            server.stop()


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for a condition, with a limit."""
    until("the condition holds", condition, seconds)


@pytest.fixture(params=["memory", "embedded"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    made = MemoryPair() if request.param == "memory" else EmbeddedPair(tmp_path)
    wait_until(lambda: all(view.serves and view.most_copies == 2 for view in (made.one.describe(), made.other.describe())))
    yield made
    made.close()
