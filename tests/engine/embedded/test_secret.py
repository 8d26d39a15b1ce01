"""Brokers that share a secret are in sync; one with another secret is told so, and the others stay ready."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from brokers import free_ports
from newswire.config import Settings
from newswire.engine.seam import BrokerStatus
from newswire.errors import NewswireError
from newswire.server import Server
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

GOOD, OTHER = b"g" * 32, b"o" * 32


def servers(folder: Path, secrets: tuple[tuple[bytes, ...], tuple[bytes, ...]]) -> list[Server]:
    ports = free_ports(2)
    made = []
    for broker, port, peer, shared in (("1001", *ports, secrets[0]), ("1002", *reversed(ports), secrets[1])):
        settings = Settings(
            id=broker, port=port, peers=(f"127.0.0.1:{peer}",), ops_dir=folder, heartbeat=1.0, threads=4, secrets=shared
        )
        made.append(Server(settings))
    return made


@pytest.mark.parametrize(
    "shared", [((GOOD,), (GOOD,)), ((GOOD, OTHER), (OTHER, GOOD))], ids=["one secret", "in the middle of a rotation"]
)
def test_with_one_secret_they_are_in_sync(tmp_path: Path, shared: tuple[tuple[bytes, ...], tuple[bytes, ...]]) -> None:
    one, other = servers(tmp_path, shared)
    try:
        one.start()
        other.start()
        wait_until(lambda: all(s.engine.describe().most_copies == 2 for s in (one, other)))
    finally:
        one.stop()
        other.stop()


@pytest.mark.parametrize(
    "shared", [((GOOD,), (OTHER,)), ((GOOD,), ()), ((), (GOOD,))], ids=["wrong", "one has none", "other has none"]
)
def test_a_wrong_secret_is_named_and_takes_nobody_out_of_service(
    tmp_path: Path, shared: tuple[tuple[bytes, ...], tuple[bytes, ...]]
) -> None:
    one, other = servers(tmp_path, shared)
    try:
        one.start()
        other.start()

        def states() -> set[str]:
            return {row.state for server in (one, other) for row in server.engine.describe().rows if not row.self}

        wait_until(lambda: "peer-auth-failed" in states())
        wait_until(lambda: all(server.engine.describe().serves for server in (one, other)), "both serve")
        assert [server.engine.describe().most_copies for server in (one, other)] == [1, 1]

        def reasons() -> list[str]:
            return [reason for server in (one, other) for reason in server.engine.describe().degraded]

        wait_until(lambda: any("secret" in reason for reason in reasons()), "it is said")
        outcomes: list[BrokerStatus | NewswireError] = []
        one.engine.join_later(other.address, outcomes.append)
        wait_until(lambda: outcomes, "what becomes of the join")
        assert isinstance(outcomes[0], NewswireError)
        assert (outcomes[0].status, outcomes[0].code) == (502, "peer-auth-failed")
        assert "the same cluster secret" in outcomes[0].detail
    finally:
        one.stop()
        other.stop()


@pytest.mark.parametrize("expect", [True, False])
@pytest.mark.parametrize("signature", ["", "Newswire-Signature: v2;from=x;to=1001\r\n"])
def test_a_stranger_is_refused_before_the_body_of_his_push_is_taken(tmp_path: Path, signature: str, expect: bool) -> None:
    server, _ = servers(tmp_path, ((GOOD,), (GOOD,)))
    try:
        server.start()
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as stranger:
            more = signature + "Expect: 100-continue\r\n" * expect
            stranger.sendall(
                f"POST /replicate HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: 16000000\r\n{more}\r\n".encode()
            )
            if not expect:
                with suppress(ConnectionError):  # he is answered, and for how long he goes on is his matter
                    stranger.sendall(bytes(500_000))
            answer = b""
            while not answer.endswith(b"}\n"):
                answer += stranger.recv(65_536) or pytest.fail("closed")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"the same cluster secret" in answer
    finally:
        server.stop()
