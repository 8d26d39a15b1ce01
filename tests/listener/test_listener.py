"""The listener serves, gives way, and stops in order."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest

from newswire.core import limits
from newswire.listener import Listener, Threads
from newswire.listener import listener as listener_module
from newswire.listener.kinds import Kind
from tests.kit.listener_fakes import PATIENCE_SECONDS, App, Client, Serve, descriptors, threads_of
from tests.kit.waiting import wait_until

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


def test_requests_wait_from_the_bind_to_the_start(app: App) -> None:
    listener = Listener(app, host="127.0.0.1", port=0, threads=threads_of(1, 1))
    with Client(listener.port) as client:
        client.get("/")
        assert app.seen == []
        listener.start()
        assert client.reply().status == 200
    listener.stop(PATIENCE_SECONDS)


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
    listener.stop(PATIENCE_SECONDS)  # again: nothing is left to wait for, but the end of what ends by itself
    assert not listener._server.trigger._fds  # type: ignore[attr-defined]


def test_a_stop_leaves_no_thread_and_no_descriptor(app: App) -> None:
    before, open_before = set(threading.enumerate()), descriptors()
    listener = Listener(app, host="127.0.0.1", port=0)
    listener.start()
    mine = set(threading.enumerate()) - before
    assert len(mine) == 1 + Threads().total
    with Client(listener.port) as client:
        client.get("/").reply()
        listener.stop(PATIENCE_SECONDS)
    wait_until(lambda: not any(thread.is_alive() for thread in mine), "the end of the threads")
    assert descriptors() <= open_before
