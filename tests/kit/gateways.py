"""Gateways over real NATS servers, which all tests of one process share; each pair of gateways has a log of its own."""

from __future__ import annotations

import atexit
import itertools
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from nats_servers import NatsServers
from newswire.config import NatsSettings, Settings
from newswire.engine.jetstream.engine import JetstreamEngine
from newswire.engine.jetstream.link import NatsLink
from newswire.engine.jetstream.servers import LogAway
from tests.kit.processes import HEARTBEAT, Pair
from tests.kit.waiting import wait_until

_numbers: Final = itertools.count(1)


@cache
def shared_servers(count: int) -> NatsServers:
    """Servers that run until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="newswire-nats-")
    servers = NatsServers(Path(folder.name), count)
    atexit.register(folder.cleanup)
    atexit.register(servers.end)
    return servers.start()


def nats_settings(servers: NatsServers, stream: str) -> NatsSettings:
    """How gateways reach a log that these servers keep, all of them."""
    return NatsSettings(servers=tuple(servers.urls), stream=stream, replicas=servers.count, monitors=tuple(servers.monitors))


def drop(servers: NatsServers, stream: str) -> None:
    """Forget a log: the servers have no work with it any more."""
    link = link_to(servers, stream)
    for name in (stream, f"{stream}-base"):
        with suppress(LogAway):  # they do it all the same
            link.run(lambda client, name=name: link.ask(client, f"$JS.API.STREAM.DELETE.{name}"))  # type: ignore[misc]
    link.close()


def link_to(servers: NatsServers, stream: str) -> NatsLink:
    """A link of its own to a log, connected."""
    failed: list[BaseException] = []
    link = NatsLink(nats_settings(servers, stream), failed.append)
    wait_until(lambda: link.epoch() > 0)
    return link


def new_stream() -> str:
    """The name of a log that nobody has."""
    return f"log{next(_numbers)}"


def gateway(servers: NatsServers, stream: str, folder: Path, broker: str = "1001", heartbeat: float = 0.5) -> JetstreamEngine:
    """One that has begun."""
    failed: list[BaseException] = []
    settings = Settings(
        id=broker, primary=broker == "1001", ops_dir=folder, heartbeat=heartbeat, nats=nats_settings(servers, stream)
    )
    engine = JetstreamEngine(settings, on_fatal=failed.append)
    engine.start(f"127.0.0.1:{broker}")
    return engine


def wait_until_read(*engines: JetstreamEngine) -> None:
    """Wait until all hold the same."""
    wait_until(lambda: len({_held(engine) for engine in engines}) == 1)


def _held(engine: JetstreamEngine) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(engine._read(lambda state: dict(state.log.full)).items()))


def gateway_options(servers: NatsServers, stream: str) -> tuple[str, ...]:
    """What the command line of a gateway says of its log."""
    where = ("--nats", ",".join(servers.urls), "--nats-monitor", ",".join(servers.monitors))
    return ("--engine", "jetstream", *where, "--nats-stream", stream, "--nats-replicas", str(servers.count))


class GatewayPair(Pair):
    """Gateways 1001 (primary) and 1002 as processes, of a log of their own."""

    def __init__(self, home: Path, servers: NatsServers) -> None:
        super().__init__(home, *HEARTBEAT, *gateway_options(servers, new_stream()))
        self._copies = servers.count // 2 + 1
        for broker in self.brokers:
            broker.peers = []

    @property
    def copies(self) -> int:
        """Of servers: gateways have none."""
        return self._copies
