"""Each kind of request has threads of its own, and callers take turns."""

from __future__ import annotations

import logging
import socket
import struct
from typing import Any

import pytest

from newswire.core import limits
from newswire.listener.http_head import PEER_PATHS, PROBE_PATHS
from newswire.listener.kinds import Kind
from newswire.listener.presence import has_left
from tests.kit.listener_fakes import OTHER, App, Client, Serve
from tests.kit.waiting import wait_until


def test_a_caller_with_many_connections_waits_as_long_as_one_with_one(serve: Serve, app: App) -> None:
    listener = serve(threads=1)
    with Client(listener.port).get("/block") as first:
        app.blocked(1)
        crowd = []
        for number in range(20):  # one after the other: of two that come at once, the loop may read the second first
            crowd.append(Client(listener.port, source=OTHER).get(f"/crowd/{number}"))
            wait_until(lambda: len(listener._server.pools[Kind.OPEN].queue) == len(crowd))
        with Client(listener.port).get("/single") as single:
            wait_until(lambda: len(listener._server.pools[Kind.OPEN].queue) == len(crowd) + 1)
            app.go.set()
            assert single.reply().status == first.reply().status == 200
            assert all(client.reply().status == 200 for client in crowd)
    assert app.seen.index("/single") <= 2
    assert [path for path in app.seen if path.startswith("/crowd")] == [f"/crowd/{n}" for n in range(20)]
    for client in crowd:
        client.close()


KINDS = [
    ("GET", "/livez", b""),
    ("GET", "/messages", b""),
    ("GET", "/stream", b""),
    ("POST", "/publish", b"x"),
    ("POST", "/publish", bytes(limits.LARGE_BODY_BYTES + 1)),
    ("POST", "/subscribe", b"x"),
    ("POST", "/replicate", b"x"),
]


@pytest.mark.parametrize("blocked", range(len(KINDS)))
def test_no_kind_of_request_waits_for_another(serve: Serve, app: App, blocked: int) -> None:
    def ask(client: Client, kind: tuple[str, str, bytes], *headers: str) -> Client:
        method, path, body = kind
        lines = [f"{method} {path} HTTP/1.1", "Host: here", *headers, f"Content-Length: {len(body)}", "", ""]
        return client.send("\r\n".join(lines).encode(), body)

    def block_if_told(environ: dict[str, Any]) -> bytes:
        return app.block(environ) if "HTTP_BLOCK" in environ else app.length(environ)

    app.routes.update({path: block_if_told for _, path, _ in KINDS})
    listener = serve(threads=1)
    held = [ask(Client(listener.port), KINDS[blocked], "Block: 1") for _ in range(3)]
    app.blocked(1)
    for number, kind in enumerate(KINDS):
        if number != blocked:
            with Client(listener.port) as client:
                assert ask(client, kind).reply().status == 200
    with Client(listener.port) as client:  # and what is refused by itself needs no thread
        assert client.send(b"nonsense\r\n\r\n").reply().status == 400
    app.go.set()
    for client in held:
        assert client.reply().body == b"went"
        client.close()


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


def test_reads_whose_clients_have_left_are_done_last_or_not_at_all(serve: Serve, app: App) -> None:
    """One that closed his half may still read; of one that reset the connection nobody will."""
    listener = serve(threads=1)
    queue = listener._server.pools[Kind.OPEN].queue
    with Client(listener.port).get("/block") as first:
        app.blocked(1)
        closed, reset = (
            [Client(listener.port, source=OTHER).get(f"/{how}/{n}") for n in range(20)] for how in ("closed", "reset")
        )
        half = Client(listener.port, source=OTHER).get("/half")
        wait_until(lambda: len(queue) == 41)
        half.sock.shutdown(socket.SHUT_WR)
        for client in reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for client in (*closed, *reset):
            client.close()
        wait_until(lambda: all(map(has_left, queue)))
        with Client(listener.port, source=OTHER).get("/here") as here:
            wait_until(lambda: len(queue) == 42)
            app.go.set()
            assert [client.reply().status for client in (first, here, half)] == [200, 200, 200]
        wait_until(lambda: not queue)
        wait_until(lambda: app.seen.count("/half") == 1 and sum(path.startswith("/closed") for path in app.seen) == 20)
    half.close()
    assert app.seen[:2] == ["/block", "/here"], "he had a place behind forty"
    assert not any(path.startswith("/reset") for path in app.seen)


def test_what_changes_something_is_done_though_its_client_has_left(serve: Serve, app: App) -> None:
    app.routes["/publish"] = app.block
    listener = serve(threads=1)
    body = bytes(limits.LARGE_BODY_BYTES + 1)
    head = f"POST /publish HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    clients = [Client(listener.port).send(head, body) for _ in range(3)]
    app.blocked(1)
    wait_until(lambda: len(listener._server.pools[Kind.LARGE].queue) == 2)
    for client in clients[1:]:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    app.go.set()
    assert clients[0].reply().body == b"went"
    wait_until(lambda: app.seen.count("/publish") == 3)
    clients[0].close()


def test_so_many_reads_of_one_caller_wait_and_one_more_is_told(serve: Serve, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_PER_CALLER", 5)
    listener = serve(threads=1)
    queue = listener._server.pools[Kind.OPEN].queue
    with Client(listener.port).get("/block") as first:
        app.blocked(1)
        crowd = [Client(listener.port, source=OTHER).get(f"/crowd/{n}") for n in range(5)]
        wait_until(lambda: len(queue) == 5)
        with Client(listener.port, source=OTHER).get("/more") as more:
            reply = more.reply()
            assert (reply.status, "retry-after" in reply.headers) == (429, True)
        mine = [Client(listener.port).get(f"/mine/{n}") for n in range(6)]  # from this machine itself: not counted
        wait_until(lambda: len(queue) == 11)
        app.go.set()
        assert all(client.reply().status == 200 for client in (first, *crowd, *mine))
    assert "/more" not in app.seen
    for client in (*crowd, *mine):
        client.close()
