"""Three servers that keep a log, a machine each, and the one that leads is cut off from the others, not from the gateways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nats_servers import NatsServers, Place, wait_until_well
from newswire.core.model.commands import Publish, Subscribe
from newswire.engine.jetstream.engine import JetstreamEngine
from newswire.engine.seam import Receipt
from newswire.errors import NewswireError
from tests.contract.conftest import read, texts
from tests.kit.apart import Machines
from tests.kit.gateways import gateway, wait_until_read
from tests.kit.machine import lacks

LOG = "news"

WHY_NOT = lacks("ip", "nft", root=True)
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture
def machines() -> Iterator[Machines]:
    machines = Machines(3)
    yield machines
    machines.remove()


@pytest.fixture
def servers(machines: Machines, tmp_path: Path) -> Iterator[NatsServers]:
    places = [Place(machine.address, ("ip", "netns", "exec", machine.name)) for machine in machines.all]
    servers = NatsServers(tmp_path / "nats", 3, places=places).start()
    yield servers
    servers.end()


def publish(engine: JetstreamEngine, text: str) -> Receipt:
    """Until there is a receipt, as a client does."""
    for _ in range(20):
        with suppress(NewswireError):
            return engine.submit([Publish("news", text, key=text)], timeout=10.0)
    raise AssertionError(f"no receipt for {text}")


def test_a_leader_that_is_cut_off_from_the_others_loses_nothing_and_repeats_nothing(
    machines: Machines, servers: NatsServers, tmp_path: Path
) -> None:
    one, other = (gateway(servers, LOG, tmp_path, broker) for broker in ("1001", "1002"))
    try:
        one.submit([Subscribe("Alice", "news")])
        said = ["well"]
        assert publish(one, "well").copies == 2
        for turn in range(3):
            leader = machines.all[wait_until_well(servers, LOG)]
            for machine in machines.all:
                if machine is not leader:
                    machine.hears_nothing_of(leader)
                    leader.hears_nothing_of(machine)
            for number in range(5):
                text = f"{turn}-{number} while they are apart"
                for engine in (one, other)[:: 1 if number % 2 else -1]:  # the second is a retry at the other gateway
                    assert publish(engine, text).copies == 2
                said.append(text)
            for machine in machines.all:
                machine.hears_all()
            servers.wait()
            said.append(f"{turn} healed")
            publish(one, said[-1])
        wait_until_read(one, other)
        for engine in (one, other):
            assert sorted(texts(read(engine, "Alice"))) == sorted(said)
    finally:
        one.close()
        other.close()
