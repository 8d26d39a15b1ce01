"""Why no broker answered, in words, and whether one may have got the request."""

from __future__ import annotations

import socket

import pytest

from newswire.client.transport import Call, Transport
from newswire.client.unreached import Unreached
from tests.kit.client_fakes import LIMIT_SECONDS, FakeBroker, FakeTime, answering

ASK = Call("GET", "/topics")


@pytest.fixture
def transport() -> Transport:
    return Transport()


def test_nobody_listens_and_certainly_nothing_was_done(transport: Transport, a: FakeBroker) -> None:
    a.down()
    with pytest.raises(Unreached, match="nobody listens there") as raised:
        transport.send(a.address, ASK, LIMIT_SECONDS)
    assert (raised.value.perhaps, raised.value.silent) == (False, False)


@pytest.mark.parametrize("address", ["no.such.host.invalid:5053", "http://[:5053", "a" * 70 + ".example:1"])
def test_a_name_that_leads_nowhere(transport: Transport, address: str) -> None:
    with pytest.raises(Unreached) as raised:
        transport.send(address, ASK, LIMIT_SECONDS)
    assert not raised.value.perhaps


def test_one_that_keeps_silent_may_have_done_it() -> None:
    transport = Transport(clock=FakeTime().clock)  # which stands still: nothing but the silence takes time
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(Unreached, match="no answer in time") as raised:
        transport.send(f"127.0.0.1:{listening.getsockname()[1]}", ASK, 0.3)
    assert (raised.value.perhaps, raised.value.silent) == (True, True)


@pytest.mark.parametrize(
    ("data", "why", "perhaps"),
    [
        (b"", "closed the connection without an answer", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP", False),
        (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "broke off", True),
    ],
)
def test_what_answers_is_no_broker_or_broke(transport: Transport, data: bytes, why: str, perhaps: bool) -> None:
    address, join = answering(data)
    with pytest.raises(Unreached, match=why) as raised:
        transport.send(address, ASK, LIMIT_SECONDS)
    join()
    assert raised.value.perhaps is perhaps


def test_https_to_plain_http_says_what_to_write(transport: Transport) -> None:
    address, join = answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(Unreached, match="write its address without https://"):
        transport.send(f"https://{address}", ASK, LIMIT_SECONDS)
    join()
