"""A connection to NATS servers that ask who one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nats_servers import NatsServers
from newswire.config import NatsSettings
from newswire.core import limits
from newswire.engine.jetstream.connection import NatsConnection
from newswire.engine.jetstream.servers import LogAway, LogElsewhere
from tests.kit.gateways import shared_servers
from tests.kit.nats_credentials import make_credentials
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

Connect = Callable[..., NatsConnection]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that run are waited for."""
    monkeypatch.setattr(limits, "LOG_ANSWER_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[NatsConnection] = []

    def to(*servers: str, credentials: str = "") -> NatsConnection:
        made.append(NatsConnection(NatsSettings(servers=servers, credentials=credentials), lambda error: None))
        return made[-1]

    yield to
    for one in made:
        one.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[[str], NatsServers]]:
    made: list[NatsServers] = []

    def that_say(config: str) -> NatsServers:
        made.append(NatsServers(tmp_path / "nats", config=config).start())
        return made[-1]

    yield that_say
    for one in made:
        one.end()


def connections(server: NatsServers) -> int:
    """How many there are."""
    return int(server.ask(0, "connz")["num_connections"])


async def info(client: Any) -> bytes:
    """Ask JetStream about the account."""
    return bytes((await client.request("$JS.API.INFO", b"", timeout=limits.LOG_ANSWER_SECONDS)).data)


def test_a_file_of_credentials_is_shown(servers: Callable[[str], NatsServers], connect: Connect, tmp_path: Path) -> None:
    known, strange = make_credentials(tmp_path), (tmp_path / "other")
    strange.mkdir()
    server = servers(known.config)
    link = connect(*server.urls, credentials=str(known.file))
    link.wait()
    assert b'"streams":0' in link.run(info)
    for credentials in ("", str(make_credentials(strange).file), str(tmp_path / "none.creds")):
        refused = connect(*server.urls, credentials=credentials)
        wait_until(lambda refused=refused: refused.why != "no connection yet")  # type: ignore[misc]
        assert refused.epoch() == 0
        assert ("none.creds" if "none" in credentials else "authorization") in refused.why.lower()


def test_a_user_and_a_password_of_the_url_are_shown(servers: Callable[[str], NatsServers], connect: Connect) -> None:
    server = servers('authorization { user: "news", password: "s3cret" }\n')
    host = server.urls[0].removeprefix("nats://")
    connect(f"nats://news:s3cret@{host}").wait()
    refused = connect(f"nats://news:wrong@{host}")
    wait_until(lambda: refused.why != "no connection yet")
    assert "authorization" in refused.why.lower()
    assert "wrong" not in refused.why


def test_a_server_that_does_not_serve_the_log_is_left_for_the_next_one(connect: Connect) -> None:
    server = shared_servers(1)
    link = connect(server.urls[0], server.urls[0])
    link.wait()
    before = link.epoch()

    async def refuse(client: Any) -> None:
        raise LogElsewhere("JetStream system temporarily unavailable")

    with pytest.raises(LogAway, match="temporarily unavailable"):
        link.run(refuse)
    wait_until(lambda: link.epoch() > before, "another connection")


def test_who_may_not_hear_the_others_leaves_no_connection_behind(
    servers: Callable[[str], NatsServers], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused after the connection was made is tried again and again."""
    monkeypatch.setattr(limits, "LOG_AGAIN_SECONDS", 0.001)
    server = servers("max_payload: 65536\n")
    link = connect(*server.urls)
    wait_until(lambda: server.ask(0, "varz")["total_connections"] >= 5)
    wait_until(lambda: connections(server) <= 1, "no more than the one that is tried")
    assert "max_payload" in link.why
