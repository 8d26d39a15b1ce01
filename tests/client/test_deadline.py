"""A call ends when its time is over, whatever trickles in; a stream goes on for as long as something comes."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from newswire.client.deadline import Deadline
from newswire.client.transport import Call, Incoming, Transport
from newswire.client.unreached import Unreached
from tests.kit.authority import Authority, server_side
from tests.kit.client_fakes import LIMIT_SECONDS, FakeTime

ASK = Call("GET", "/topics")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
BODY = b'{"message": "it is all there by the end"'[:39] + b"}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class AskedTime(FakeTime):
    """Says how often it was asked: once before each read at least."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)

    def clock(self) -> float:
        self.asked.release()
        return self.now


def trickling(
    time: AskedTime, at_once: bytes, slowly: bytes, secure: ssl.SSLContext | None = None
) -> tuple[str, Callable[[], None]]:
    """The address of a broker that sends a byte of `slowly` a second, each by itself, and what waits for its end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listening, suppress(OSError):
            sock, _ = listening.accept()
            with secure.wrap_socket(sock, server_side=True) if secure else sock as sock:
                sock.settimeout(LIMIT_SECONDS)
                sock.recv(65536)
                sock.sendall(at_once)
                for byte in slowly:
                    time.asked.acquire(timeout=0.1)
                    time.now += 1
                    sock.sendall(bytes([byte]))

    thread = threading.Thread(target=serve)
    thread.start()
    return f"127.0.0.1:{listening.getsockname()[1]}", lambda: thread.join(LIMIT_SECONDS)


@pytest.mark.parametrize(("at_once", "slowly"), [(b"", HEAD + BODY), (HEAD, BODY)], ids=["head", "body"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_who_sends_a_byte_a_second_is_waited_for_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bytes, slowly: bytes, is_tls: bool
) -> None:
    time = AskedTime()
    authority = Authority(tmp_path)
    monkeypatch.setenv("NEWSWIRE_CA_FILE", authority.file)
    address, end = trickling(time, at_once, slowly, server_side(authority.issue("127.0.0.1")) if is_tls else None)
    with pytest.raises(Unreached, match="in time") as raised:
        Transport(clock=time.clock).send(f"https://{address}" if is_tls else address, ASK, 30.0)
    assert (raised.value.perhaps, raised.value.silent) == (True, True)
    end()


def test_a_slow_answer_in_time_is_one() -> None:
    time = AskedTime()
    address, end = trickling(time, b"", HEAD + BODY)
    assert Transport(clock=time.clock).send(address, ASK, 1000.0).body == BODY
    end()


def test_a_refusal_that_trickles_keeps_nobody_from_another_stream() -> None:
    time = AskedTime()
    address, end = trickling(time, HEAD, BODY)
    with pytest.raises(Unreached, match="in time"):
        Transport(clock=time.clock).open(address, Call("GET", "/stream"), 30.0)
    end()


def test_a_stream_goes_on_while_something_comes() -> None:
    time = AskedTime()
    address, end = trickling(time, STREAM, b":\n")
    incoming = Transport(clock=time.clock).open(address, Call("GET", "/stream"), 30.0)
    assert isinstance(incoming, Incoming)
    time.now += 1000
    while incoming.read() is not None:
        pass
    incoming.close()
    end()


def test_whose_time_is_over_before_it_is_sent_certainly_did_nothing() -> None:
    ticks = itertools.count(step=100.0)  # each look at the clock is so much later
    with pytest.raises(Unreached, match="no connection in time") as raised:
        Transport(clock=lambda: next(ticks)).send("127.0.0.1:1", ASK, 30.0)
    assert (raised.value.perhaps, raised.value.silent) == (False, True)


def test_what_is_left() -> None:
    time = FakeTime()
    deadline = Deadline(30.0, time.clock)
    time.now += 10
    assert deadline.seconds_left() == 20
    time.now += 20
    with pytest.raises(TimeoutError):
        deadline.seconds_left()
    deadline.lift()
    assert deadline.seconds_left() == 30
