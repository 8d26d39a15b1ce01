"""Two brokers of each engine, in sync, seen through the seam alone, and how a test counts what holds their state lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

import pytest

from brokers import free_ports
from newswire.config import Settings
from newswire.core import limits
from newswire.core.broker.events import Now
from newswire.core.model.event_ids import EventId
from newswire.engine.jetstream.engine import JetstreamEngine
from newswire.engine.lock import StateLock
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork
from newswire.engine.seam import ClusterAdmin, Engine, Entry, GapEntry
from newswire.server import Server
from tests.kit.gateways import drop, gateway, new_stream, shared_servers, wait_until_read
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

# engines: a new one has its name in one of these, and its `Pair` in `begun`
WITH_PEERS = ("memory", "embedded")
GATEWAYS = ("jetstream-r3",)  # two brokers of one log, which has the copies: nobody joins, leaves or is missed
ALONE = ("lone", "jetstream-r1")


class CountedLock(StateLock):
    """Counts the turns of the thread that made it; once, between two of them, it lets others have one."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.between: Callable[[], object] | None = None
        self._reader = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if threading.get_ident() == self._reader:
            self.turns += 1
            between, self.between = self.between, None
            if between is not None:
                between()


class Pair(Protocol):
    """Brokers 1001 (primary) and 1002; of an engine without peers both are the same one. `copies`: of what is stored now."""

    copies: int
    one: Engine
    other: Engine
    admin: ClusterAdmin  # of the first

    def part(self) -> None:
        """Take the second broker away from the first."""

    def restart(self) -> None:
        """End the first broker and start it again on what it stored: `one` is another engine."""

    def counted(self) -> CountedLock:
        """Have the first broker's state lock count the turns of this thread."""

    def stop(self) -> None:
        """Stop the first."""


class Lone:
    """An engine without peers."""

    copies = 1

    def __init__(self) -> None:
        self._log, self._runs = MemoryLog(), 0
        self._begin()

    def _begin(self) -> None:
        self._runs += 1
        self.one = self.other = LoneEngine(self._log, lambda: Now(0.0, 1_700_000_000_000), run=f"r{self._runs}")

    def restart(self) -> None:
        self.one.close()
        self._begin()

    def counted(self) -> CountedLock:
        lock = self.one.shell.lock = CountedLock()
        return lock

    def part(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.one.close()

    close = stop


class MemoryPair:
    copies = 2

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.one = self.admin = self._broker("1001", "127.0.0.1:1", "127.0.0.1:2")
        self.other = self._broker("1002", "127.0.0.1:2", "127.0.0.1:1")

    def _broker(self, broker: str, address: str, peer: str) -> MemoryEngine:
        return MemoryEngine(broker, address=address, peers=(peer,), primary=broker == "1001", network=self.network)

    def part(self) -> None:
        self.network.cut("127.0.0.1:1", "127.0.0.1:2")

    def restart(self) -> None:
        self.one.close()
        log = self.one.log
        self.one = MemoryEngine(
            "1001", address="127.0.0.1:1", peers=("127.0.0.1:2",), primary=True, network=self.network, log=log
        )

    def counted(self) -> CountedLock:
        lock = self.one.shell.lock = CountedLock()
        return lock

    def stop(self) -> None:
        self.one.close()

    def close(self) -> None:
        self.one.close()
        self.other.close()


class EmbeddedPair:
    copies = 2

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(("1001", "1002"), free_ports(2), strict=True))
        self.servers = [self._start("1001"), self._start("1002")]
        self.one, self.other = (server.engine for server in self.servers)
        self.admin = self.one

    def _start(self, broker: str) -> Server:
        server = Server(
            Settings(
                id=broker,
                port=self._ports[broker],
                primary=broker == "1001",
                peers=tuple(f"127.0.0.1:{port}" for other, port in self._ports.items() if other != broker),
                ops_dir=self._folder,
                heartbeat=PATIENCE_SECONDS,  # what is told is told at once
                threads=8,
            )
        )
        server.start()
        return server

    def part(self) -> None:
        self.servers[1].stop()

    def restart(self) -> None:
        self.servers[0].stop()
        self.servers[0] = self._start("1001")
        self.one = self.servers[0].engine

    def counted(self) -> CountedLock:
        lock = self.one._shell.lock = CountedLock()
        return lock

    def stop(self) -> None:
        self.servers[0].stop()

    def close(self) -> None:
        for server in self.servers:
            server.stop()


class Gateways:
    """Two gateways of a log of three servers, which has two copies, or one of a log of one. Each has read what is stored."""

    def __init__(self, folder: Path, servers: int) -> None:
        self._folder, self._servers, self._stream = folder, shared_servers(servers), new_stream()
        self.copies = servers // 2 + 1
        self._is_counted = False
        self._one = self._start("1001")
        self._other = self._start("1002") if servers > 1 else self._one

    def _start(self, broker: str) -> JetstreamEngine:
        return gateway(self._servers, self._stream, self._folder, broker)

    @property
    def one(self) -> JetstreamEngine:
        if not self._is_counted:
            wait_until_read(self._one, self._other)
        return self._one

    @property
    def other(self) -> JetstreamEngine:
        wait_until_read(self._one, self._other)
        return self._other

    @property
    def admin(self) -> ClusterAdmin:
        raise NotImplementedError

    def part(self) -> None:
        raise NotImplementedError

    def restart(self) -> None:
        is_alone = self._one is self._other
        self._one.close()
        self._one = self._start("1001")
        self._other = self._one if is_alone else self._other

    def counted(self) -> CountedLock:
        wait_until_read(self._one, self._other)
        self._is_counted = True
        lock = self._one._shell.lock = CountedLock()
        return lock

    def stop(self) -> None:
        self._one.close()

    def close(self) -> None:
        self._one.close()
        if self._other is not self._one:
            self._other.close()
        drop(self._servers, self._stream)


def wait_until_in_sync(pair: Pair) -> None:
    """Wait until both serve, each counts the other, and nothing is stored any more of their becoming members."""
    wait_until(
        lambda: all(view.serves and view.most_copies == pair.copies for view in (pair.one.describe(), pair.other.describe()))
    )
    if hasattr(pair.one, "join_later"):
        wait_until(lambda: all(added(engine) == {"1001", "1002"} for engine in (pair.one, pair.other)))


def added(engine: Engine) -> set[str]:
    """The brokers that became members."""
    return {row.who for row in engine.audit(None, 1_000) if row.what == "added-broker"}


@contextmanager
def nobody_is_late() -> Iterator[None]:
    """Have brokers of this process wait for each other however slow it is, and see that one is gone when they push to it."""
    with patch.multiple(limits, PUSH_TIMEOUT_SECONDS=PATIENCE_SECONDS, HANG_UP_SECONDS=PATIENCE_SECONDS):
        yield


@pytest.fixture(params=WITH_PEERS)
def peers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Engines with peers, where something is said of peers."""
    yield from begun(request.param, tmp_path)


@pytest.fixture(params=(*WITH_PEERS, *GATEWAYS))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two brokers."""
    yield from begun(request.param, tmp_path)


def begun(engine: str, folder: Path) -> Iterator[Pair]:
    """Brokers of that engine, in sync."""
    made: Lone | MemoryPair | EmbeddedPair | Gateways
    with nobody_is_late():
        if engine.startswith("jetstream"):
            made = Gateways(folder, int(engine[-1]))
        else:
            made = Lone() if engine == "lone" else MemoryPair() if engine == "memory" else EmbeddedPair(folder)
        wait_until_in_sync(made)
        yield made
        made.close()


def read(engine: Engine, user: str, event_id: EventId | None = None, limit: int = 2) -> list[Entry]:
    """All that a stream of `user` opened now would bring, page by page."""
    start = engine.open_stream(user, event_id)
    assert start is not None
    at, more, entries = start.position, True, list[Entry | GapEntry]()
    while more:
        page = engine.next_page(at, limit)
        assert sum(isinstance(entry, Entry) for entry in page.entries) <= limit
        entries += page.entries
        at, more = page.position, page.more
    return [entry for entry in entries if isinstance(entry, Entry)]


def texts(entries: list[Entry]) -> list[str]:
    """What these messages say."""
    return [entry.message.data for entry in entries]
