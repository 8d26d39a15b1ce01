"""Crowds at a real broker: thousands of streams without a thread more, and hundreds of bad clients beside a good one."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker, free_ports, get, post, until, wait_in_sync
from tests.kit.waiting import PATIENCE_SECONDS

STREAMS, USERS = 2_000, 200
ATTACKERS = 500


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Room for thousands of sockets in this process; the broker makes its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = STREAMS + 1_000
    if hard < wanted:
        pytest.skip(f"a process may open only {hard} files here: {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker("1001", free_ports(1)[0], tmp_path, primary=True)
    try:
        yield made.start()
    finally:
        made.kill9()


def threads(broker: Broker) -> int:
    """How many threads the broker's process has."""
    assert broker.process is not None
    status = Path(f"/proc/{broker.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("Threads:")))


def connect(broker: Broker, sent: bytes) -> socket.socket:
    """A connection on which `sent` was sent."""
    made = socket.create_connection(("127.0.0.1", broker.port), timeout=PATIENCE_SECONDS)
    made.sendall(sent)
    return made


def test_two_thousand_streams_add_no_thread(broker: Broker) -> None:
    for number in range(USERS):
        post(broker.address, "/subscribe", username=f"user{number}", topic="news")
    before = threads(broker)
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number in range(STREAMS):
            request = f"GET /stream?username=user{number % USERS} HTTP/1.1\r\nHost: {broker.address}\r\n\r\n"
            stream = stack.enter_context(connect(broker, request.encode()))
            selector.register(stream, selectors.EVENT_READ, bytearray())
        until("all streams are open", lambda: get(broker.address, "/readyz")["streams"] == STREAMS)
        assert threads(broker) == before
        post(broker.address, "/publish", topic="news", data="to everybody")
        got = 0
        while got < STREAMS:
            ready = selector.select(timeout=PATIENCE_SECONDS)
            assert ready, f"only {got} of {STREAMS} streams got it"
            for key, _ in ready:
                key.data.extend(key.fileobj.recv(65_536))  # type: ignore[union-attr]  # each is a socket
                if b"data: to everybody\n" in key.data:
                    selector.unregister(key.fileobj)
                    got += 1
        assert threads(broker) == before


def test_five_hundred_slow_headers_and_never_readers_beside_a_publisher(broker: Broker) -> None:
    post(broker.address, "/subscribe", username="Alice", topic="news")
    for _ in range(40):  # so that a stream has more to say than any socket buffer holds
        post(broker.address, "/publish", topic="news", data="x" * 60_000)
    with contextlib.ExitStack() as stack:
        for number in range(ATTACKERS):
            sent = b"POST /publish HTTP/1.1\r\nHost: x\r\nX-Slow: "
            if number % 2:
                sent = (
                    b"GET /stream?username=Alice HTTP/1.1\r\nHost: x\r\n\r\n"
                    if number % 4 == 1
                    else b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
                )
            stack.enter_context(connect(broker, sent))
        for number in range(20):
            assert post(broker.address, "/publish", topic="news", data=str(number))["copies"] == 1
        assert get(broker.address, "/livez") == {"message": "alive"}


class Cramped(Broker):
    """A broker that may open 200 files."""

    def command(self) -> list[str]:
        return ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh", *super().command()]


def test_streams_leave_room_for_publishers_probes_and_peers_where_descriptors_are_few(tmp_path: Path) -> None:
    one, two = free_ports(2)
    cramped = Cramped("1001", one, tmp_path / "1001", peers=[two], primary=True)
    peer = Broker("1002", two, tmp_path / "1002", peers=[one])
    with contextlib.ExitStack() as stack:
        for broker in (cramped, peer):
            stack.callback(broker.kill9)
            broker.launch()
        for broker in (cramped, peer):
            broker.wait_ready()
        wait_in_sync((cramped, peer))
        most = get(cramped.address, "/readyz")["streams_limit"]
        assert 80 <= most < 200
        for number in range(20):
            post(cramped.address, "/subscribe", username=f"user{number}", topic="news")
        told = []
        for number in range(190):
            request = f"GET /stream?username=user{number % 20} HTTP/1.1\r\nHost: {cramped.address}\r\n\r\n"
            stream = stack.enter_context(connect(cramped, request.encode()))
            answer = b""
            while b"retry: " not in answer:  # the first event, in the same piece as the head or not
                answer += (piece := stream.recv(65_536))
                assert piece, answer
            told.append(answer)
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in told)
        refused = [answer for answer in told if b"as many streams as it may" in answer]
        assert len(refused) == 190 - most
        assert all(b"retry: 5000" in answer for answer in refused)
        for number in range(20):
            assert post(cramped.address, "/publish", topic="news", data=str(number))["copies"] == 2
        assert get(cramped.address, "/readyz")["streams"] == most
        peer.kill9()
        peer.start()
        wait_in_sync((cramped, peer))  # a peer that comes anew gets in
