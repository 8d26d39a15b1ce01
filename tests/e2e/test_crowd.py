"""Crowds at a real broker: thousands of streams without a thread more, and hundreds of bad clients beside a good one."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker, free_ports, get, post, until

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
    made = socket.create_connection(("127.0.0.1", broker.port), timeout=30)
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
        until("all streams are open", lambda: get(broker.address, "/readyz")["streams"] == STREAMS, 60)
        assert threads(broker) == before
        post(broker.address, "/publish", topic="news", data="to everybody")
        got = 0
        while got < STREAMS:
            ready = selector.select(timeout=30)
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
