"""One request to one address: what an answer tells, and why there was none of a broker."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from newswire.client.credential import bearer
from newswire.client.transport import BrokerAnswer, Call, Download, Incoming, Transport, form
from newswire.client.unreached import Unreached
from newswire.core import limits
from newswire.errors import BadRequest, NewswireError, NotFound
from tests.kit.authority import Authority, server_side
from tests.kit.client_fakes import LIMIT_SECONDS, FakeBroker, FakeTime, Reply, Wire, answering, problem, publisher

ASK = Call("GET", "/topics")


@pytest.fixture
def transport() -> Transport:
    return Transport()


# -- what an answer tells


@pytest.mark.parametrize(
    "body", [b"<html>It works!</html>", b'{"id": ' * 100_000, b'{"id": "\xff"}'], ids=["html", "deep", "no UTF-8"]
)
def test_an_answer_that_is_no_brokers(a: FakeBroker, body: bytes) -> None:
    a.on("POST", "/publish", lambda asked: Reply(body))
    with pytest.raises(NewswireError, match="no newswire broker"):
        publisher(FakeTime(), a).publish("Google", "Hello")


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"{}", ""),
        (200, b" []", ""),
        (200, b"<html>", "no newswire broker"),
        (404, b'{"code": "no-subscription"}', ""),
        (404, b"<html>Not Found</html>", "HTTP 404"),
        (400, b"The plain HTTP request was sent to HTTPS port", "write https://"),
        (413, b"<html>", ""),  # these two a proxy may say for a broker
        (429, b"<html>", ""),
        (302, b"", "name that one"),
        (502, b"<html>", ""),
    ],
)
def test_what_can_be_no_brokers_answer_is_told_why(status: int, body: bytes, why: str) -> None:
    told = BrokerAnswer("a:1", status, body).why_strange()
    assert why in told if why else told == ""


def test_a_refusal_is_raised_as_what_its_code_says() -> None:
    error = BrokerAnswer("a:1", 404, b'{"code": "no-broker", "detail": "no broker 1003", "id": "1003"}').error()
    assert (type(error), error.code, error.detail, error.extra) == (NotFound, "no-broker", "no broker 1003", {"id": "1003"})
    assert BrokerAnswer("a:1", 500, b'["not an object"]').code == ""


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("", None), ("Fri, 27 Nov 2026 19:00:00 GMT", None), ("123456", None), ("-1", None)]
)
def test_a_pause_is_whole_seconds_of_few_digits(
    transport: Transport, a: FakeBroker, header: str, seconds: float | None
) -> None:
    a.on("GET", "/topics", lambda asked: problem(429, "too-many", headers={"Retry-After": header}))
    assert transport.send(a.address, ASK, LIMIT_SECONDS).retry_after == seconds


def test_a_form_leaves_out_what_is_none() -> None:
    assert form({"username": "Alice", "topic": None, "id": "e 1"}) == (
        b"username=Alice&id=e+1",
        "application/x-www-form-urlencoded",
    )


# -- where it goes


def test_an_address_says_its_scheme() -> None:
    to = Transport()
    assert to.url("10.0.0.2:5054", "/messages", {"topic": "a b"}) == "http://10.0.0.2:5054/messages?topic=a+b"
    assert to.url("https://news1.example.org", "/stream") == "https://news1.example.org/stream"


def test_nothing_is_sent_in_the_clear_by_who_asks_in_tls(a: FakeBroker) -> None:
    with pytest.raises(Unreached, match="plain HTTP") as raised:
        Transport(credential=bearer("secret"), tls_only=True).send(a.address, ASK, LIMIT_SECONDS)
    assert not raised.value.perhaps
    assert a.asked == []


def test_what_cannot_be_trusted_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match=r"absent.pem.*No such file"):
        Transport(verify=str(tmp_path / "absent.pem"))
    monkeypatch.setenv("NEWSWIRE_CA_FILE", "nowhere.pem")
    with pytest.raises(BadRequest, match=r"nowhere.pem"):
        Transport()
    Transport(verify=False)


def test_who_is_not_trusted_certainly_did_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path / "own")
    for days, trust, why in (
        (1, Authority(tmp_path / "other").file, "name its CA with --ca-file"),
        (-1, authority.file, "expired"),
    ):
        monkeypatch.setenv("NEWSWIRE_CA_FILE", trust)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            secure = server_side(authority.issue("127.0.0.1", days=days))
            thread = threading.Thread(target=refused_by_its_client, args=(listening, secure))
            thread.start()
            with pytest.raises(Unreached, match=why) as raised:
                Transport().send(f"https://127.0.0.1:{listening.getsockname()[1]}", ASK, LIMIT_SECONDS)
            thread.join()
            assert not raised.value.perhaps


def refused_by_its_client(listening: socket.socket, secure: ssl.SSLContext) -> None:
    sock, _ = listening.accept()
    with sock, suppress(OSError):  # by an alert, or by a reset before it has come
        secure.wrap_socket(sock, server_side=True).close()


def test_an_answer_without_end_is_cut_off(transport: Transport, a: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_ANSWER_BYTES", 1000)
    a.on("GET", "/topics", lambda asked: Reply(b"[" + b" " * 998 + b"]"))
    assert len(transport.send(a.address, ASK, LIMIT_SECONDS).body) == 1000
    a.on("GET", "/topics", lambda asked: Reply(b"[" + b" " * 999 + b"]"))
    with pytest.raises(Unreached, match="more than any newswire broker"):
        transport.send(a.address, ASK, LIMIT_SECONDS)


# -- streams


def test_a_stream_is_read_until_it_is_interrupted(transport: Transport, a: FakeBroker) -> None:
    a.stream(lambda wire: (wire.open(), wire.message("1"), Wire.stay(wire)))  # type: ignore[func-returns-value]
    incoming = transport.open(a.address, Call("GET", "/stream"), LIMIT_SECONDS)
    assert isinstance(incoming, Incoming)
    seen: list[str] = []
    while "message" not in seen:
        seen += [event.name for event in incoming.read() or ()]
    incoming.interrupt()
    with pytest.raises(Unreached, match="the connection broke"):  # and not the silence that would end it much later
        incoming.read()
    incoming.close()


def test_a_refused_stream_is_an_answer(transport: Transport, a: FakeBroker) -> None:
    a.on("GET", "/stream", lambda asked: problem(403, "not-registered"))
    answer = transport.open(a.address, Call("GET", "/stream"), LIMIT_SECONDS)
    assert isinstance(answer, BrokerAnswer)
    assert (answer.status, answer.code) == (403, "not-registered")


# -- long answers


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_long_answer_is_read_in_parts(transport: Transport) -> None:
    address, end = answering(HEAD + b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    download = transport.download(address, ASK, LIMIT_SECONDS)
    assert isinstance(download, Download)
    assert [download.read(4), download.read(4), download.read(4)] == [b"onet", b"wo", b""]
    download.close()
    end()


@pytest.mark.parametrize("part", [b"", b"3\r\none\r\n", b"9\r\none"])
def test_a_long_answer_without_its_end_is_none(transport: Transport, part: bytes) -> None:
    address, end = answering(HEAD + part)
    download = transport.download(address, ASK, LIMIT_SECONDS)
    assert isinstance(download, Download)
    with pytest.raises(Unreached, match="broke off"):
        while download.read(100):
            pass
    end()


def test_what_is_no_long_answer_is_an_answer(transport: Transport) -> None:
    page = b"<html>It works!</html>"
    address, end = answering(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))
    answer = transport.download(address, ASK, LIMIT_SECONDS)
    assert isinstance(answer, BrokerAnswer)
    assert "no newswire broker" in answer.why_strange()
    end()
