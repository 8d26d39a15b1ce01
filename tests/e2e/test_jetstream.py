"""Three servers that keep a log, as a cluster: one that leads hangs or dies, all are restored from an older copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nats_servers import NatsServers, wait_until_well
from newswire.core.model.commands import Publish, Subscribe
from newswire.engine.jetstream.engine import JetstreamEngine
from newswire.engine.seam import Receipt
from newswire.errors import Unknown
from tests.contract.conftest import read, texts
from tests.kit.gateways import gateway, wait_until_read
from tests.kit.waiting import PATIENCE_SECONDS

LOG = "news"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsServers]:
    servers = NatsServers(tmp_path / "nats", 3).start()
    yield servers
    servers.end()


@pytest.fixture
def gateways(servers: NatsServers, tmp_path: Path) -> Iterator[list[JetstreamEngine]]:
    engines = [gateway(servers, LOG, tmp_path, broker) for broker in ("1001", "1002")]
    yield engines
    for engine in engines:
        engine.close()


def publish(engine: JetstreamEngine, text: str) -> Receipt:
    """Until there is a receipt, as a client does."""
    for _ in range(4):
        with suppress(Unknown):
            return engine.submit([Publish("news", text, key=text)], timeout=PATIENCE_SECONDS)
    raise AssertionError(f"no receipt for {text}")


@pytest.mark.timeout(600)
def test_servers_that_hang_die_and_come_back_older_lose_nothing_that_a_gateway_has(
    servers: NatsServers, gateways: list[JetstreamEngine]
) -> None:
    one, other = gateways
    one.submit([Subscribe("Alice", "news")])
    assert publish(one, "well").copies == 2

    leader = wait_until_well(servers, LOG)
    servers.pause(leader)  # its connections stay open
    hung = publish(other, "while the leader hangs")
    assert publish(one, "while the leader hangs").first == hung.first, "a retry at the other gateway"
    servers.go_on(leader)
    servers.wait()

    servers.kill(wait_until_well(servers, LOG))
    assert publish(one, "after the leader died").copies == 2
    for at in range(3):
        servers.launch(at)
    servers.wait()

    for at in range(3):
        servers.kill(at)
    servers.keep_copy("old")
    servers.start()
    first = publish(other, "after the copy")
    wait_until_read(one, other)
    for at in range(3):
        servers.kill(at)
    servers.restore_copy("old")
    servers.start()
    assert publish(one, "after the copy").first == first.first
    publish(other, "at last")
    wait_until_read(one, other)
    for engine in gateways:
        assert texts(read(engine, "Alice")) == [
            "well", "while the leader hangs", "after the leader died", "after the copy", "at last",
        ]  # fmt: skip
