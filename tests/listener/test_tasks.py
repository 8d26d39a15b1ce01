"""One run of the application: its environ, its answer, a stream that is handed over, and what it raises."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request

from newswire.listener import HAND_OVER, POSSIBLE
from newswire.listener.kinds import Kind
from tests.kit.listener_fakes import App, Client, Serve, descriptors
from tests.kit.waiting import wait_until


def test_a_file_is_not_kept_open_for_a_client_that_does_not_read(serve: Serve, app: App) -> None:
    app.routes["/file"] = lambda environ: str("wsgi.file_wrapper" in environ).encode()
    with Client(serve().port) as client:
        assert client.get("/file").reply().body == b"False"


class Adopted:
    """Keeps the sockets that were handed over."""

    def __init__(self, fail: bool = False) -> None:
        self.streams: list[tuple[socket.socket, bytes, bool]] = []
        self.threads: set[str] = set()
        self.fail = fail

    def __call__(self, sock: socket.socket, head: bytes, chunked: bool) -> None:
        self.threads.add(threading.current_thread().name)
        if self.fail:
            raise RuntimeError("the hub has no room")
        self.streams.append((sock, head, chunked))

    def close(self) -> None:
        for sock, _, _ in self.streams:
            sock.close()

    def view(self, environ: dict[str, Any]) -> Any:
        assert environ[POSSIBLE] is True
        environ[HAND_OVER] = self
        return "200 OK", iter(())


@pytest.fixture
def adopted(app: App) -> Iterator[Adopted]:
    kept = Adopted()
    app.routes["/stream"] = kept.view
    yield kept
    kept.close()


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_an_application_that_raises_is_an_internal_error(
    serve: Serve, app: App, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def view(_: object) -> bytes:
        raise error("the secret of the house")

    app.routes["/boom"] = view
    with Client(serve().port) as client:
        reply = client.get("/boom").reply()
        assert reply.status == 500
        assert reply.problem["code"] == "internal"
        assert b"secret" not in reply.body
        assert b"Traceback" not in reply.body
        assert client.closed()
    assert "the secret of the house" in caplog.text  # the log says more


# -- hand-over ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_stream_is_handed_over_with_its_head(serve: Serve, adopted: Adopted, version: str, before: int) -> None:
    listener = serve()
    client = Client(listener.port)
    for _ in range(before):
        client.get("/warm-up", version, "Connection: keep-alive").reply()
    client.get("/stream", version, "Connection: keep-alive")
    wait_until(lambda: adopted.streams, "the hand-over")
    ((sock, head, chunked),) = adopted.streams
    assert chunked is (version == "1.1")
    assert sock.getblocking() is False
    assert adopted.threads == {"listener"}
    sock.sendall(head + b"4\r\nraw!\r\n")
    told = client.head()
    assert told.status == 200
    assert "content-length" not in told.headers
    assert told.headers.get("transfer-encoding") == ("chunked" if version == "1.1" else None)
    assert client.exactly(9) == b"4\r\nraw!\r\n"
    assert (listener.connections, listener.handed_over) == (0, 1)
    sock.close()
    assert client.closed()
    client.close()


def test_requests_behind_a_stream_are_dropped(serve: Serve, app: App, adopted: Adopted) -> None:
    with Client(serve().port) as client:
        one = b" HTTP/1.1\r\nHost: here\r\n\r\n"
        client.send(b"GET /before", one, b"GET /stream", one, b"GET /after", one, b"GET /half")
        assert client.reply().body == b"0"
        wait_until(lambda: adopted.streams, "the hand-over")
        assert client.left == b""
    assert app.seen == ["/before", "/stream"]


@pytest.mark.parametrize("why", [b"not registered", b""])
def test_a_refused_stream_is_an_ordinary_answer(serve: Serve, app: App, adopted: Adopted, why: bytes) -> None:
    def refuse(environ: dict[str, Any]) -> Any:
        adopted.view(environ)
        return "403 Forbidden", iter((why,))

    app.routes["/stream"] = refuse
    listener = serve()
    with Client(listener.port) as client:
        reply = client.get("/stream").reply()
        assert (reply.status, reply.body) == (403, why)
        assert client.closed()
    assert (adopted.streams, listener.handed_over) == ([], 0)


def test_a_stream_with_a_length_is_an_ordinary_answer(serve: Serve, app: App, adopted: Adopted) -> None:
    def whole(environ: dict[str, Any]) -> bytes:
        adopted.view(environ)
        return b"all there is"

    app.routes["/stream"] = whole
    with Client(serve().port) as client:
        assert client.get("/stream").reply().body == b"all there is"
        assert client.get("/").reply().status == 200
    assert adopted.streams == []


def test_a_view_that_raises_after_all_hands_nothing_over(serve: Serve, app: App, adopted: Adopted) -> None:
    def raises(environ: dict[str, Any]) -> Any:
        adopted.view(environ)
        raise LookupError

    def raises_late(environ: dict[str, Any]) -> Any:
        adopted.view(environ)

        def body() -> Iterator[bytes]:
            raise LookupError
            yield b""

        return "200 OK", body()

    app.routes.update({"/now": raises, "/late": raises_late})
    listener = serve()
    for path in ("/now", "/late"):
        with Client(listener.port) as client:
            assert client.get(path).reply().status == 500
            assert client.closed()
    assert (adopted.streams, listener.handed_over) == ([], 0)


def test_an_adopter_that_raises_leaks_nothing(serve: Serve, app: App) -> None:
    app.routes["/stream"] = Adopted(fail=True).view
    listener = serve()
    open_before = descriptors()
    with Client(listener.port) as client:
        assert client.get("/stream").closed()
    wait_until(lambda: descriptors() <= open_before, "the close")
    with Client(listener.port) as client:
        assert client.get("/").reply().status == 200


def test_clients_that_vanish_around_the_hand_over_leak_nothing(serve: Serve, adopted: Adopted) -> None:
    listener = serve(threads=8)
    open_before = descriptors()
    for index in range(300):
        client = Client(listener.port)
        reset = index % 2
        if reset:  # close with a reset instead of an orderly end
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.get("/stream", "1.0" if index % 3 else "1.1")
        if index % 5 == 0:
            wait_until(lambda: listener.connections == 0, "the hand-over")
        client.close()
    with Client(listener.port) as last:  # accepted after all others
        last.get("/").reply()
    wait_until(lambda: listener.connections == 0, "the end of all connections")
    wait_until(lambda: listener._server.pools[Kind.OPEN].active_count == 0, "idle threads")
    wait_until(lambda: listener.handed_over == len(adopted.streams) > 0, "the last hand-over is done")
    assert len(listener._server.interest) == 2  # the listening socket and the trigger
    assert all(not line for line in listener._server.lines.values())
    adopted.close()
    wait_until(lambda: descriptors() <= open_before, "the last close")


def test_a_flask_view_hands_over(serve: Serve, adopted: Adopted) -> None:
    flask = Flask(__name__)

    @flask.get("/stream")
    def stream() -> Response:
        request.environ[HAND_OVER] = adopted
        return Response(iter(()), mimetype="text/event-stream", headers={"Cache-Control": "no-store"})

    with Client(serve(flask).port) as client:
        client.get("/stream")
        wait_until(lambda: adopted.streams, "the hand-over")
        ((_, head, _),) = adopted.streams
        assert b"\r\nContent-Type: text/event-stream" in head


# -- names and proxies


def echo(environ: dict[str, Any]) -> Any:
    told = (
        environ.get("HTTP_HOST", ""),
        environ["REMOTE_ADDR"],
        environ["wsgi.url_scheme"],
        environ.get("HTTP_X_FORWARDED_FOR", ""),
    )
    return "200 OK", [" ".join(told).encode()]


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/echo", "own.example:5053"),
        ("http://evil.example/echo", "evil.example"),
        ("http://evil.example:80/echo?x=1", "evil.example:80"),
        ("https://evil.example/echo", "evil.example"),
        ("http://own.example@evil.example/echo", "own.example@evil.example"),
        ("http:///echo", "own.example:5053"),
    ],
)
def test_a_name_in_the_target_beats_host(serve: Serve, app: App, target: str, host: str) -> None:
    app.routes["/echo"] = echo
    client = Client(serve().port).send(f"GET {target} HTTP/1.1\r\nHost: own.example:5053\r\n\r\n".encode())
    assert client.reply().body.decode() == f"{host} 127.0.0.1 http "
    client.sock.close()


def test_a_proxy_says_who_asks_for_what_and_how_if_it_is_trusted(serve: Serve, app: App) -> None:
    app.routes["/echo"] = echo
    headers = ("X-Forwarded-For: 6.6.6.6, 192.0.2.1", "X-Forwarded-Host: news.example.org", "X-Forwarded-Proto: https")
    for trusted, told in (
        ((), "here 127.0.0.1 http "),
        (("10.0.0.0/8",), "here 127.0.0.1 http "),
        (("127.0.0.1",), "news.example.org 192.0.2.1 https "),
    ):
        client = Client(serve(trusted_proxies=trusted).port)
        assert client.get("/echo", "1.1", *headers).reply().body.decode() == told
        client.sock.close()
