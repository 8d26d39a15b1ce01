"""The listener serves, hands over, keeps peers' threads apart, and stops in order."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, request

from newswire.core import limits
from newswire.errors import Unavailable
from newswire.listener import HAND_OVER, POSSIBLE, Listener, Threads
from newswire.listener import listener as listener_module
from newswire.listener.http_head import PEER_PATHS, PROBE_PATHS
from newswire.listener.kinds import Kind
from tests.kit.listener_fakes import PATIENCE_SECONDS, App, Client, descriptors, threads_of
from tests.kit.waiting import wait_until

Serve = Callable[..., Listener]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def serve(app: App) -> Iterator[Serve]:
    running: list[Listener] = []

    def start(application: Any = app, **options: Any) -> Listener:
        threads = threads_of(options.pop("threads", 4), options.pop("control_threads", 2))
        listener = Listener(application, host="127.0.0.1", port=0, threads=threads, **options)
        listener.start()
        running.append(listener)
        return listener

    yield start
    app.go.set()
    for listener in running:
        listener.stop(5.0)


class Adopted:
    """Keeps the sockets that were handed over."""

    def __init__(self, fail: bool = False) -> None:
        self.streams: list[tuple[socket.socket, bool]] = []
        self.threads: set[str] = set()
        self.fail = fail

    def __call__(self, sock: socket.socket, chunked: bool) -> None:
        self.threads.add(threading.current_thread().name)
        if self.fail:
            raise RuntimeError("the hub has no room")
        self.streams.append((sock, chunked))

    def close(self) -> None:
        for sock, _ in self.streams:
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


# -- it serves ------------------------------------------------------------------------------------------------------


def test_a_kept_alive_connection_carries_many_requests(serve: Serve) -> None:
    with Client(serve().port) as client:
        for body in (b"", b"x", b"y" * 100_000):
            assert client.post("/echo", body).reply().body == str(len(body)).encode()
        chunks = b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n"
        client.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
        assert client.reply().body == b"5"


def test_http_1_0_is_spoken(serve: Serve) -> None:
    with Client(serve().port) as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert client.reply().body == b"0"
        assert client.closed()


def test_no_banner_and_no_forwarded_headers(serve: Serve, app: App) -> None:
    app.routes["/forwarded"] = lambda environ: str([k for k in environ if "FORWARDED" in k]).encode()
    with Client(serve().port) as client:
        reply = client.get("/forwarded", "1.1", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1").reply()
    assert reply.body == b"[]"
    assert "server" not in reply.headers
    assert "via" not in reply.headers


def test_small_answers_are_not_held_back_and_large_ones_not_hoarded(serve: Serve) -> None:
    listener = serve()
    with Client(listener.port) as client:
        client.get("/").reply()
        (channel,) = listener._server.channels.values()
        assert channel.socket is not None
        assert channel.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * limits.SOCKET_BUFFER_BYTES


def test_a_client_that_waits_to_be_told_may_continue(serve: Serve) -> None:
    with Client(serve().port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.send(b"abc").reply().body == b"3"
        assert client.get("/", "1.1", "Expect: 100-continue").reply().body == b"0"  # no body: nothing to wait for


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


def test_an_application_that_ends_its_thread_does_not_leave_the_client_waiting(serve: Serve, app: App) -> None:
    def view(_: object) -> bytes:
        raise SystemExit

    app.routes["/exit"] = view
    listener = serve(threads=1)
    with Client(listener.port) as client:
        assert client.get("/exit").closed()
    with Client(listener.port) as client:
        assert client.get("/").reply().status == 200


def test_waiting_requests_are_not_logged(serve: Serve, app: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app.routes["/block"] = app.block
    listener = serve(threads=1)
    clients = [Client(listener.port).get("/block") for _ in range(4)]
    app.blocked(1)
    app.go.set()
    assert [client.reply().body for client in clients] == 4 * [b"went"]
    for client in clients:
        client.close()
    assert "queue" not in caplog.text


# -- where it listens -----------------------------------------------------------------------------------------------


def test_a_port_in_use_is_said_with_what_to_do(serve: Serve, app: App) -> None:
    port = serve().port
    with pytest.raises(Unavailable) as raised:
        Listener(app, host="127.0.0.1", port=port)
    assert raised.value.detail == (
        f"port {port} at 127.0.0.1 is taken: stop the other program or choose another port with --port"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_said_with_what_to_do(app: App, host: str) -> None:
    with pytest.raises(Unavailable, match="choose another"):
        Listener(app, host=host, port=0)


def test_a_port_is_free_again_after_a_stop(serve: Serve, app: App) -> None:
    for _ in range(5):  # between stop and bind another program may be given the port
        first = serve()
        with Client(first.port) as client:
            client.get("/").reply()
            first.stop(5.0)  # our end closes first, and lingers in TIME_WAIT
            try:
                second = Listener(app, host="127.0.0.1", port=first.port)
            except Unavailable:
                continue
        second.stop(0.0)  # never started
        return
    pytest.fail("the port was never free")


def test_requests_wait_from_the_bind_to_the_start(app: App) -> None:
    listener = Listener(app, host="127.0.0.1", port=0, threads=threads_of(1, 1))
    with Client(listener.port) as client:
        client.get("/")
        assert app.seen == []
        listener.start()
        assert client.reply().status == 200
    listener.stop(5.0)


# -- two pools ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*sorted(PEER_PATHS | PROBE_PATHS), "//replicate", "/livez/"])
def test_peers_and_probes_are_answered_while_all_client_threads_are_blocked(serve: Serve, app: App, path: str) -> None:
    app.routes["/publish"] = app.block
    listener = serve(threads=2)
    blocked = [Client(listener.port).post("/publish", b"x") for _ in range(3)]
    app.blocked(2)
    with Client(listener.port) as peer:
        assert peer.post(path, b"op").reply().body == b"2"
    app.go.set()
    for client in blocked:
        assert client.reply().body == b"went"
        client.close()


def test_clients_are_answered_while_all_control_threads_are_blocked(serve: Serve, app: App) -> None:
    app.routes["/livez"] = app.block
    listener = serve(control_threads=1)
    with Client(listener.port).get("/livez") as probe, Client(listener.port) as client:
        app.blocked(1)
        assert client.get("/topics").reply().status == 200
        app.go.set()
        assert probe.reply().body == b"went"


def test_what_computes_gives_way_to_what_publishes_for_a_moment(
    serve: Serve, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    listener = serve()
    monkeypatch.setattr(listener_module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    wait_until(lambda: not listener._server.pools[Kind.PUBLISH].active_count, "threads that wait")
    listener.give_way()
    assert slept == []
    app.routes["/publish"] = app.block
    with Client(listener.port).post("/publish", b"x") as client:
        app.blocked(1)
        listener.give_way()
        assert 0.9 * limits.GIVE_WAY_SECONDS <= sum(slept) <= 2 * limits.GIVE_WAY_SECONDS
        app.go.set()
        assert client.reply().body == b"went"
    monkeypatch.undo()


# -- hand-over ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_stream_is_handed_over_after_its_header(serve: Serve, adopted: Adopted, version: str, before: int) -> None:
    listener = serve()
    client = Client(listener.port)
    for _ in range(before):
        client.get("/warm-up", version, "Connection: keep-alive").reply()
    head = client.get("/stream", version, "Connection: keep-alive").head()
    assert head.status == 200
    assert "content-length" not in head.headers
    assert head.headers.get("transfer-encoding") == ("chunked" if version == "1.1" else None)
    wait_until(lambda: adopted.streams, "the hand-over")
    ((sock, chunked),) = adopted.streams
    assert chunked is (version == "1.1")
    assert sock.getblocking() is False
    assert adopted.threads == {"listener"}
    assert client.left == b""
    sock.sendall(b"4\r\nraw!\r\n")
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
        client.head()
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
    for path in app.routes.keys() - {"/stream"}:
        with Client(listener.port) as client:
            assert client.get(path).reply().status == 500
            assert client.closed()
    assert (adopted.streams, listener.handed_over) == ([], 0)


def test_an_adopter_that_raises_leaks_nothing(serve: Serve, app: App) -> None:
    app.routes["/stream"] = Adopted(fail=True).view
    listener = serve()
    open_before = descriptors()
    with Client(listener.port) as client:
        client.get("/stream").head()
        assert client.closed()
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
            client.head()
        client.close()
    with Client(listener.port) as last:  # accepted after all others
        last.get("/").reply()
    wait_until(lambda: listener.connections == 0, "the end of all connections")
    wait_until(lambda: listener._server.pools[Kind.OPEN].active_count == 0, "idle threads")
    assert listener.handed_over == len(adopted.streams) > 0
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
        head = client.get("/stream").head()
        assert head.headers["content-type"].startswith("text/event-stream")
        wait_until(lambda: adopted.streams, "the hand-over")
        assert client.left == b""


# -- stop -----------------------------------------------------------------------------------------------------------


def stop_in_thread(listener: Listener, timeout: float) -> threading.Thread:
    thread = threading.Thread(target=listener.stop, args=(timeout,))
    thread.start()
    return thread


def test_a_stop_lets_a_running_request_end(serve: Serve, app: App) -> None:
    app.routes["/block"] = app.block
    listener = serve(threads=1)
    running, waiting, idle, half = [Client(listener.port) for _ in range(4)]
    idle.get("/").reply()
    half.send(b"GET / HT")
    running.get("/block")
    app.blocked(1)
    waiting.get("/block")
    wait_until(lambda: listener.connections == 4 and listener._server.pools[Kind.OPEN].queue, "the second request")
    stopping = stop_in_thread(listener, 3600.0)
    assert idle.closed()
    assert half.closed()
    with pytest.raises(ConnectionRefusedError):
        Client(listener.port)
    assert stopping.is_alive()
    app.go.set()
    assert running.reply().body == waiting.reply().body == b"went"
    assert running.closed()
    stopping.join(PATIENCE_SECONDS)
    assert not stopping.is_alive()
    assert listener.connections == 0
    for client in (running, waiting, idle, half):
        client.close()


def test_a_stop_does_not_wait_longer_than_told(serve: Serve, app: App) -> None:
    app.routes["/block"] = app.block
    listener = serve(threads=1)
    with Client(listener.port).get("/block") as client:
        app.blocked(1)
        listener.stop(0.0)
        assert client.closed()
    app.go.set()  # the worker that is left may still wake the loop: the descriptor of the trigger must still be the trigger's
    wait_until(lambda: not listener._server.pools[Kind.OPEN].threads, "the end of the worker")
    assert listener._server.trigger._fds  # type: ignore[attr-defined]
    listener.stop(0.0)  # again: nothing is left to wait for
    assert not listener._server.trigger._fds  # type: ignore[attr-defined]


def test_a_stop_leaves_no_thread_and_no_descriptor(app: App) -> None:
    before, open_before = set(threading.enumerate()), descriptors()
    listener = Listener(app, host="127.0.0.1", port=0)
    listener.start()
    mine = set(threading.enumerate()) - before
    assert len(mine) == 1 + Threads().total
    with Client(listener.port) as client:
        client.get("/").reply()
        listener.stop(5.0)
    wait_until(lambda: not any(thread.is_alive() for thread in mine), "the end of the threads")
    assert descriptors() <= open_before


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
