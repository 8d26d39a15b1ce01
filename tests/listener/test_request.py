"""What is refused by its head, how much of a body is taken, and what is no request at all (docs/hazards.md, H33)."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from newswire.core import limits
from newswire.errors import NewswireError
from tests.kit.listener_fakes import App, Client, Serve, chunked

NONSENSE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # which sends no line end, and waits for an answer
    b"GET /\r\n\r\n",
    b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x001\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    b"GET /%0d%0aforged HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /in HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + 5000 * b"9" + b"\r\n\r\n",
    b"POST /a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nabcde\r\n0\r\n\r\n",
    b"POST /a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_400_and_a_close_and_reaches_nobody(
    serve: Serve, app: App, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Client(serve().port) as client:
        reply = client.send(nonsense, b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n").reply()
        assert (reply.version, reply.status) == ("HTTP/1.1", 400)
        assert reply.problem["code"] == "bad-request"
        assert reply.problem["title"] == "The request cannot be read"
        assert reply.problem["detail"].startswith("the request cannot be read: ")
        assert reply.headers["connection"] == "close"
        assert "server" not in reply.headers
        client.sock.shutdown(socket.SHUT_WR)
        assert client.closed()
    assert app.seen == []
    assert caplog.text == ""  # a stranger does not write our log


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"POST /users/%12/password HTTP/1.1\r\nHost: a", "application/problem+json"),
        (b"POST /news%12 HTTP/1.1\r\nHost: a", "application/json"),
        (b"POST /publish HTTP/1.1\r\nHost a", "application/problem+json"),
    ],
)
def test_what_cannot_be_read_is_refused_in_the_shape_of_its_address(serve: Serve, head: bytes, content_type: str) -> None:
    with Client(serve().port) as client:
        reply = client.send(head, b"\r\n\r\n").reply()
        assert (reply.status, reply.headers["content-type"]) == (400, content_type)


# -- too much -------------------------------------------------------------------------------------------------------


def head_of(size: int) -> bytes:
    start = b"GET / HTTP/1.1\r\nHost: here\r\nX: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


def test_a_head_of_the_limit_is_taken_and_a_byte_more_is_not(serve: Serve) -> None:
    listener = serve()
    with Client(listener.port) as client:
        assert client.send(head_of(limits.HEAD_BYTES)).reply().status == 200
        reply = client.send(head_of(limits.HEAD_BYTES + 1)).reply()
        assert (reply.status, reply.problem["code"]) == (431, "head-too-large")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.closed()


def test_a_head_that_never_ends_is_cut_off(serve: Serve) -> None:
    with Client(serve().port) as client:
        reply = client.send(head_of(limits.HEAD_BYTES + 100)[: limits.HEAD_BYTES + 1]).reply()
        assert reply.status == 431


def test_more_headers_than_anybody_sends_are_refused(serve: Serve, app: App) -> None:
    listener = serve()
    with Client(listener.port) as client:
        assert client.get("/", "1.1", *((limits.HEADERS_COUNT - 1) * ["a:"])).reply().status == 200
        reply = client.get("/", "1.1", *(limits.HEADERS_COUNT * ["a:"])).reply()
        assert (reply.status, reply.problem["code"]) == (431, "head-too-large")
        assert str(limits.HEADERS_COUNT) in reply.problem["detail"]
    assert app.seen == ["/"]


@pytest.mark.parametrize(
    ("path", "limit"), [("/subscribe", limits.CHANGE_BYTES), ("/publish", limits.BATCH_BYTES), ("/x/y", limits.FORM_BYTES)]
)
def test_a_body_of_the_limit_is_taken_and_a_byte_more_is_not(serve: Serve, path: str, limit: int) -> None:
    listener = serve()
    with Client(listener.port) as client:
        assert client.post(path, bytes(limit)).reply().body == str(limit).encode()
        reply = client.post(path, bytes(limit + 1)).reply()  # all of it is sent, and the answer is read all the same
        assert (reply.status, reply.problem["code"]) == (413, "too-large")
        assert str(limit) in reply.problem["detail"]


@pytest.mark.parametrize("size", [limits.FORM_BYTES, 1000])
def test_a_chunked_body_of_the_limit_is_taken_and_a_byte_more_is_not(serve: Serve, size: int) -> None:
    listener = serve()
    whole, rest = divmod(limits.FORM_BYTES, size)
    chunks = whole * (b"%x\r\n" % size + bytes(size) + b"\r\n") + (b"%x\r\n" % rest + bytes(rest) + b"\r\n" if rest else b"")
    with Client(listener.port) as client:
        assert client.send(chunked("/x/y"), chunks, b"0\r\n\r\n").reply().body == str(limits.FORM_BYTES).encode()
        reply = client.send(chunked("/x/y"), chunks, b"1\r\nx\r\n").reply()  # cut off before its end
        assert (reply.status, reply.problem["code"]) == (413, "too-large")


def test_a_chunk_that_announces_too_much_is_refused_before_it_comes(serve: Serve) -> None:
    with Client(serve().port) as client:
        assert client.send(chunked("/x"), b"fffffffffffffff\r\n").reply().status == 413


@pytest.mark.parametrize("start", [b"", b"1;", b"0\r\n"])
def test_a_chunk_line_or_trailer_without_end_is_cut_off(serve: Serve, start: bytes) -> None:
    with Client(serve().port) as client:
        assert client.send(chunked("/x"), start, b"1" * (limits.HEAD_BYTES + 1)).reply().status == 431


def test_peers_may_send_more(serve: Serve) -> None:
    listener = serve()
    with Client(listener.port) as peer:
        size = limits.BATCH_BYTES + 1
        assert peer.post("/replicate", bytes(size)).reply().body == str(size).encode()
        head = f"POST /replicate HTTP/1.1\r\nHost: here\r\nContent-Length: {limits.PEER_BODY_BYTES + 1}\r\n\r\n"
        assert peer.send(head.encode()).reply().status == 413
    with Client(listener.port) as peer:
        head = head.replace(str(limits.PEER_BODY_BYTES + 1), str(limits.PEER_BODY_BYTES))
        assert peer.send(head[:-2].encode(), b"Expect: 100-continue\r\n\r\n").head().status == 100


def test_who_asks_first_is_told_before_he_sends(serve: Serve) -> None:
    with Client(serve().port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: here\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n")
        assert client.reply().status == 413


def test_what_is_refused_by_its_head_is_refused_before_its_body(serve: Serve, app: App) -> None:
    def admit(head: Any) -> NewswireError | None:
        told.append(dict(head))
        return NewswireError("the push is refused", code="unauthenticated") if head["PATH_INFO"] == "/replicate" else None

    told: list[dict[str, str]] = []
    listener = serve(admit=admit)
    head = b"POST //replicate/?a=b HTTP/1.1\r\nHost: here\r\nContent-Type: a/b\r\nX-Y: z\r\nContent-Length: 1000000\r\n"
    for more in (b"Expect: 100-continue\r\n\r\n", b"\r\n"):
        with Client(listener.port) as client:
            reply = client.send(head, more).reply()
            assert (reply.status, reply.problem["code"]) == (401, "unauthenticated")
            client.sock.shutdown(socket.SHUT_WR)
            assert client.closed()
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_Y")
    assert [told[0][name] for name in names] == ["POST", "/replicate", "a=b", "here", "a/b", "1000000", "z"]
    with Client(listener.port) as client:
        assert client.get("/replicate").reply().status == 200  # without a body there is nothing to save
        assert client.post("/publish", b"news").reply().body == b"4"
    assert app.seen == ["/replicate", "/publish"]
