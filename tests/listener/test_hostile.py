"""The listener and clients that send nonsense, too much, too slowly, too many, or do not read (docs/hazards.md, H33)."""

from __future__ import annotations

import errno
import json
import logging
import random
import resource
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from waitress.channel import HTTPChannel

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.listener import Bounds, Deadlines, Listener, connection
from newswire.listener.connection import Channel
from newswire.listener.kinds import Kind
from newswire.listener.phases import Phase
from newswire.listener.request import HttpRequest
from tests.kit.listener_fakes import App, Client, Clock, threads_of
from tests.kit.waiting import wait_until

Serve = Callable[..., Listener]

BOUNDS = ("connections", "connections_per_caller", "requests_per_caller", "counts_own_connections", "counts_own_requests")
BIG_BYTES = 8 * 1024 * 1024  # more than both ends' kernel buffers hold


@pytest.fixture
def app() -> App:
    app = App()
    app.routes["/block"] = app.block
    app.routes["/big"] = lambda _: bytes(BIG_BYTES)
    app.routes["/big-in-pieces"] = lambda _: ("200 OK", (bytes(65536) for _ in range(BIG_BYTES // 65536)))
    return app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(app: App, clock: Clock) -> Iterator[Serve]:
    """A listener whose time stands still unless the test moves it; it looks at its deadlines all the time."""
    running: list[Listener] = []

    def start(**options: Any) -> Listener:
        threads = threads_of(options.pop("threads", 2), options.pop("control_threads", 1))
        bounds = Bounds(**{name: options.pop(name) for name in BOUNDS if name in options})
        options = {"threads": threads, "bounds": bounds, "deadlines": Deadlines(check=0.01), "clock": clock, **options}
        listener = Listener(app, host="127.0.0.1", port=0, **options)
        listener.start()
        running.append(listener)
        return listener

    yield start
    app.go.set()
    for listener in running:
        listener.stop(0.0)


@pytest.fixture
def crowd() -> Iterator[Callable[[int, int], list[Client]]]:
    """Many clients at once; skips where the machine allows too few descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients: list[Client] = []

    def come(port: int, count: int, receive_bytes: int | None = None) -> list[Client]:
        needed = 2 * count + 500  # both ends are in this process
        if soft < needed:
            if hard < needed:
                pytest.skip(f"{needed} descriptors are needed, {hard} are allowed here")
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        clients.extend(Client(port, receive_bytes) for _ in range(count))
        return clients[-count:]

    yield come
    for client in clients:
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def phases(listener: Listener, name: str) -> int:
    """How many connections are in this phase."""
    return sum(channel.phase.name == name for channel in list(listener._server.channels.values()))


# -- nonsense -------------------------------------------------------------------------------------------------------

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
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nabcde\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
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


def test_paths_of_strangers_are_escaped_in_the_log(serve: Serve, app: App, caplog: pytest.LogCaptureFixture) -> None:
    def raises(_: object) -> bytes:
        raise SystemError

    app.routes["/\xc2\x9b31m"] = raises  # as WSGI has it
    with Client(serve().port) as client:
        assert client.get("/%C2%9B31m").reply().status == 500
    assert "Exception while serving /Â\\x9b31m" in caplog.text
    assert "\x9b" not in caplog.text


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
    ("path", "limit"), [("/subscribe", limits.CHANGE_BYTES), ("/publish", limits.BATCH_BYTES), ("/x", limits.FORM_BYTES)]
)
def test_a_body_of_the_limit_is_taken_and_a_byte_more_is_not(serve: Serve, path: str, limit: int) -> None:
    listener = serve()
    with Client(listener.port) as client:
        assert client.post(path, bytes(limit)).reply().body == str(limit).encode()
        reply = client.post(path, bytes(limit + 1)).reply()  # all of it is sent, and the answer is read all the same
        assert (reply.status, reply.problem["code"]) == (413, "too-large")
        assert str(limit) in reply.problem["detail"]


def chunked(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


@pytest.mark.parametrize("size", [limits.FORM_BYTES, 1000])
def test_a_chunked_body_of_the_limit_is_taken_and_a_byte_more_is_not(serve: Serve, size: int) -> None:
    listener = serve()
    whole, rest = divmod(limits.FORM_BYTES, size)
    chunks = whole * (b"%x\r\n" % size + bytes(size) + b"\r\n") + (b"%x\r\n" % rest + bytes(rest) + b"\r\n" if rest else b"")
    with Client(listener.port) as client:
        assert client.send(chunked("/x"), chunks, b"0\r\n\r\n").reply().body == str(limits.FORM_BYTES).encode()
        reply = client.send(chunked("/x"), chunks, b"1\r\nx\r\n").reply()  # cut off before its end
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


# -- too slow -------------------------------------------------------------------------------------------------------


def timed_out(client: Client) -> bool:
    reply = client.reply()
    return reply.status == 408 and reply.problem["code"] == "timeout" and client.closed()


def test_a_head_that_drips_is_cut_off(serve: Serve, clock: Clock) -> None:
    listener = serve()
    with Client(listener.port) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: phases(listener, "HEAD") == 1)
        clock.advance(limits.HEAD_SECONDS - 1)
        client.send(b"X: 1\r\n")
        clock.advance(1)
        assert timed_out(client)
    assert listener.timed_out == 1


def test_a_body_that_drips_is_cut_off(serve: Serve, clock: Clock) -> None:
    listener = serve()
    with Client(listener.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n")
        wait_until(lambda: phases(listener, "BODY") == 1)
        for _ in range(3):
            clock.advance(limits.BODY_SECONDS / 3 - 0.1)
            client.send(b"x")
        clock.advance(1)
        assert timed_out(client)
    assert listener.timed_out == 1


def test_the_time_of_a_head_counts_for_its_body(serve: Serve, clock: Clock) -> None:
    listener = serve()
    with Client(listener.port) as client:
        client.send(b"POST / HTTP/1.1\r\n")
        wait_until(lambda: phases(listener, "HEAD") == 1)
        clock.advance(limits.HEAD_SECONDS - 1)
        client.send(b"Host: here\r\nContent-Length: 100\r\n\r\n")
        wait_until(lambda: phases(listener, "BODY") == 1)
        clock.advance(limits.BODY_SECONDS - limits.HEAD_SECONDS + 1)
        assert timed_out(client)


@pytest.mark.parametrize("path", ["/big", "/big-in-pieces"])
def test_a_client_that_does_not_read_is_cut_off(serve: Serve, clock: Clock, path: str) -> None:
    listener = serve()
    with Client(listener.port, receive_bytes=4096) as client:
        client.get(path)
        wait_until(lambda: phases(listener, "SENDING") == 1)
        wait_until(lambda: listener._server.pools[Kind.OPEN].active_count == 0, "a free thread")
        clock.advance(limits.READ_STALL_SECONDS - 1)
        client.exactly(300_000)  # some progress, and time begins anew
        channel = next(iter(listener._server.channels.values()))
        wait_until(lambda: channel.progress == clock.now)
        clock.advance(limits.READ_STALL_SECONDS - 1)
        client.exactly(300_000)
        wait_until(lambda: channel.progress == clock.now)
        assert listener.timed_out == 0
        while listener.connections:  # until the kernel, too, has taken its last bytes
            clock.advance(1)
            threading.Event().wait(0.01)
    assert listener.timed_out == 1


@pytest.mark.parametrize(("since", "progress"), [(100.0, 3.0), (3.0, 100.0)])
def test_a_stall_counts_from_the_answer_or_its_last_progress(since: float, progress: float) -> None:
    channel = Mock(phase=Phase.SENDING, since=since, progress=progress)  # the window may be full of the answer before
    assert Channel.deadline(channel, Deadlines()) == 100.0 + limits.READ_STALL_SECONDS


def test_a_slow_reader_gets_all_of_it(serve: Serve) -> None:
    with Client(serve().port, receive_bytes=4096) as client:
        assert client.get("/big").reply().body == bytes(BIG_BYTES)
        assert len(client.get("/big-in-pieces").reply().body) == BIG_BYTES


def test_an_idle_connection_is_closed(serve: Serve, clock: Clock) -> None:
    listener = serve()
    with Client(listener.port) as silent, Client(listener.port) as kept:
        wait_until(lambda: listener.connections == 2)
        clock.advance(limits.IDLE_SECONDS - 1)
        kept.get("/").reply()
        wait_until(lambda: phases(listener, "IDLE") == 2)
        clock.advance(1)
        assert silent.closed()
        clock.advance(limits.IDLE_SECONDS - 2)
        assert kept.get("/").reply().status == 200
    assert listener.timed_out == 0  # no fault of anybody


def test_a_request_that_runs_has_no_deadline_and_the_next_ones_begins_after_it(serve: Serve, app: App, clock: Clock) -> None:
    with Client(serve().port) as client:
        client.get("/block").send(b"GET /next HTTP/1.1\r\n")
        app.blocked(1)
        clock.advance(10 * limits.IDLE_SECONDS)
        app.go.set()
        assert client.reply().body == b"went"
        assert client.send(b"Host: here\r\n\r\n").reply().body == b"0"


def test_who_is_refused_and_goes_on_sending_is_closed(serve: Serve, clock: Clock) -> None:
    listener = serve()
    with Client(listener.port) as client:
        assert client.send(b"GET / HTTP/1.1\r\n\r\n").reply().status == 400
        wait_until(lambda: phases(listener, "LINGERING") == 1)
        (channel,) = listener._server.channels.values()
        for _ in range(10):
            client.send(bytes(100_000))
            assert channel.unparsed == b""  # dropped, not kept
        clock.advance(limits.LINGER_SECONDS)
        wait_until(lambda: listener.connections == 0, "the close")


def test_only_the_loop_closes_connections(serve: Serve, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = serve()
    forget, threads = listener._server.forget, set()

    def watched(item: Any) -> None:
        threads.add(threading.current_thread().name)
        forget(item)

    monkeypatch.setattr(listener._server, "forget", watched)
    with Client(listener.port) as client:  # its worker fails to say "100 Continue" to the second request
        client.get("/block").send(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        app.blocked(1)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a close is a reset
    app.go.set()
    wait_until(lambda: listener.connections == 0)
    assert threads == {"listener"}


# -- too many -------------------------------------------------------------------------------------------------------


def test_slow_and_deaf_clients_hold_up_nobody(serve: Serve, crowd: Callable[..., list[Client]], clock: Clock) -> None:
    listener = serve(threads=2)
    slow = crowd(listener.port, 500)
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nX: ")
    deaf = crowd(listener.port, 20, 4096)
    for client in deaf:
        client.get("/big").get("/big")
    wait_until(lambda: phases(listener, "SENDING") == len(deaf), "deaf clients")
    with Client(listener.port) as client:
        assert client.get("/topics").reply().status == 200
        assert client.post("/publish", b"news").reply().body == b"4"
        clock.advance(limits.HEAD_SECONDS)
        wait_until(lambda: listener.connections == 1, "the end of the others")
        assert client.get("/topics").reply().status == 200
    assert listener.timed_out == len(slow) + len(deaf)
    assert all(client.reply().status == 408 for client in slow)


def test_descriptors_beyond_1024_are_served(serve: Serve, crowd: Callable[..., list[Client]]) -> None:
    listener = serve()
    idle = crowd(listener.port, 1500)
    wait_until(lambda: listener.connections == len(idle))
    with Client(listener.port) as client:
        assert client.post("/publish", b"news").reply().body == b"4"
        assert max(listener._server.channels) > 1024
    assert idle[-1].get("/").reply().status == 200
    assert idle[0].get("/").reply().status == 200


def test_at_the_limit_the_longest_idle_goes(serve: Serve) -> None:
    listener = serve(connections=3)
    clients = [Client(listener.port) for _ in range(3)]
    for client in (*clients, clients[0]):  # the second is the longest idle in the end
        assert client.get("/").reply().status == 200
        wait_until(lambda: all(c.phase is Phase.IDLE and not c.asked for c in listener._server.channels.values()))
    with Client(listener.port) as peer:
        assert peer.get("/livez").reply().status == 200
        assert clients[1].closed()
        assert listener.connections == 3
        assert clients[0].get("/").reply().status == 200
        assert clients[2].get("/").reply().status == 200
    assert listener.evicted == 1
    for client in clients:
        client.close()


def test_at_the_limit_half_requests_go_before_what_runs(serve: Serve, app: App) -> None:
    listener = serve(connections=2)
    with Client(listener.port).get("/block") as running, Client(listener.port) as half:
        app.blocked(1)
        half.send(b"GET / HT")
        wait_until(lambda: phases(listener, "HEAD") == 1)
        with Client(listener.port) as peer:
            assert peer.get("/livez").reply().status == 200
            assert half.closed()
        app.go.set()
        assert running.reply().body == b"went"


def test_when_all_run_new_ones_wait_in_the_kernel(serve: Serve, app: App) -> None:
    listener = serve(connections=2, deadlines=Deadlines(check=3600.0))
    running = [Client(listener.port).get("/block") for _ in range(2)]
    app.blocked(2)
    with Client(listener.port).get("/topics") as waiting:
        wait_until(lambda: listener._server.full, "the limit")
        assert listener.connections == 2
        running[0].close()
        app.go.set()
        assert waiting.reply().status == 200
    assert running[1].reply().body == b"went"
    running[1].close()


def test_without_descriptors_the_longest_idle_goes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = serve()
    with Client(listener.port) as idle:
        idle.get("/").reply()
        wait_until(lambda: phases(listener, "IDLE") == 1)
        accept, failures = listener._server.accept, [2]

        def full() -> Any:
            if failures[0]:
                failures[0] -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return accept()

        monkeypatch.setattr(listener._server, "accept", full)
        with Client(listener.port) as client:  # the first failure evicts; the second finds nobody and waits for the next look
            wait_until(lambda: not failures[0], "both failures")
            listener._server.clock.advance(1)  # type: ignore[attr-defined]
            assert client.get("/").reply().status == 200
        assert idle.closed()
    assert listener.evicted == 1


def test_a_bug_while_accepting_does_not_deafen(serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = serve()
    accept, failures = listener._server.accept, [1]

    def broken() -> Any:
        if failures[0]:
            failures[0] -= 1
            raise RuntimeError("a bug")
        return accept()

    monkeypatch.setattr(listener._server, "accept", broken)
    with Client(listener.port) as client:
        wait_until(lambda: not failures[0])
        clock.advance(1)
        assert client.get("/").reply().status == 200


# -- pipelining -----------------------------------------------------------------------------------------------------


def test_a_pipelined_request_is_not_begun_before_the_answer_before_it_is_sent(serve: Serve, app: App) -> None:
    listener = serve(threads=1)
    with Client(listener.port, receive_bytes=4096) as deaf:
        one = b" HTTP/1.1\r\nHost: here\r\n\r\n"
        deaf.send(b"GET /big", one, b"GET /one", one, b"GET /two", one)
        wait_until(lambda: phases(listener, "SENDING") == 1)
        with Client(listener.port) as client:  # the only thread is free
            assert client.get("/other").reply().status == 200
        assert app.seen == ["/big", "/other"]
        assert len(deaf.reply().body) == BIG_BYTES
        assert [deaf.reply().body, deaf.reply().body] == [b"0", b"0"]
        assert json.dumps(app.seen[2:]) == '["/one", "/two"]'


def test_many_pipelined_requests_are_answered_in_order(serve: Serve, app: App) -> None:
    app.routes["/n"] = lambda environ: environ["PATH_INFO"].encode()
    with Client(serve().port) as client:
        client.send(*(f"GET /n/-{n} HTTP/1.1\r\nHost: here\r\n\r\n".encode() for n in range(500)))
        assert [client.reply().body for _ in range(500)] == [f"/n/-{n}".encode() for n in range(500)]


def test_requests_of_one_connection_take_turns_with_others(serve: Serve, app: App) -> None:
    listener = serve(threads=1)
    one = b" HTTP/1.1\r\nHost: here\r\n\r\n"
    with Client(listener.port) as many, Client(listener.port) as single:
        many.send(b"GET /block", one, *(b"GET /many/%d%b" % (n, one) for n in range(5)))
        app.blocked(1)
        single.get("/single")
        wait_until(lambda: len(listener._server.pools[Kind.OPEN].queue) == 1, "the single request")
        app.go.set()
        assert single.reply().status == 200
        assert [many.reply().status for _ in range(6)] == 6 * [200]
    assert app.seen.index("/single") <= 2


def test_what_is_behind_a_request_is_not_parsed_before_its_answer(
    serve: Serve, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[HttpRequest] = []

    class Counted(HttpRequest):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(connection, "HttpRequest", Counted)
    listener = serve()
    with Client(listener.port) as client:
        one = b" HTTP/1.1\r\nHost: here\r\n\r\n"
        client.send(b"GET /block", one, 1000 * (b"GET /" + one))
        app.blocked(1)
        with Client(listener.port) as other:
            assert other.get("/").reply().status == 200
        assert len(made) == 2
        (channel,) = [c for c in listener._server.channels.values() for request in c.requests if request.path == "/block"]
        assert 0 < len(channel.unparsed) <= limits.RECEIVE_BYTES
        app.go.set()
        assert client.reply().body == b"went"
        assert [client.reply().status for _ in range(1000)] == 1000 * [200]


# -- fair, and bounded --------------------------------------------------------------------------------------------

OTHER = "127.0.0.2"  # an address that limits of one caller count for


def test_a_caller_with_many_connections_waits_as_long_as_one_with_one(serve: Serve, app: App) -> None:
    listener = serve(threads=1)
    with Client(listener.port).get("/block") as first:
        app.blocked(1)
        crowd = [Client(listener.port, source=OTHER).get(f"/crowd/{n}") for n in range(20)]
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


def half(client: Client, path: str, size: int) -> Client:
    return client.send(f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {2 * size}\r\n\r\n".encode(), bytes(size))


def test_half_received_bodies_have_one_bound_and_the_largest_for_longest_goes(
    serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODIES_BYTES", 1_000_000)
    listener = serve()
    bodies, pushes, _ = listener._server.rooms
    halves: list[Client] = []
    for _ in range(3):
        halves.append(half(Client(listener.port), "/publish", 300_000))
        wait_until(lambda: bodies.held_bytes == len(halves) * 300_000)
        clock.advance(1)
    push = half(Client(listener.port), "/replicate", 900_000)  # peers have room of their own
    wait_until(lambda: pushes.held_bytes == 900_000)
    with Client(listener.port) as client:
        assert client.post("/publish", bytes(200_000)).reply().body == b"200000"
    reply = halves[0].reply()  # the first of them made room
    assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (503, "unavailable", "1")
    assert listener.crowded_out == 1
    wait_until(lambda: bodies.held_bytes == 600_000)
    assert phases(listener, "BODY") == 3
    halves[1].send(bytes(300_000))
    assert halves[1].reply().body == b"600000"
    push.send(bytes(900_000))
    assert push.reply().body == b"1800000"
    for client in [*halves, push]:
        client.close()
    wait_until(lambda: bodies.held_bytes == pushes.held_bytes == 0)


def test_requests_that_wait_for_a_thread_make_room_too(
    serve: Serve, app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever fills the room with whole requests would have everybody else's half ones refused, however small."""
    monkeypatch.setattr(limits, "BODIES_BYTES", 1_000_000)
    app.routes["/publish"] = app.block
    listener = serve(threads=1)
    bodies = listener._server.rooms[0]
    running = Client(listener.port).post("/publish", bytes(100_000))
    app.blocked(1)
    waiting = []
    for _ in range(2):
        waiting.append(Client(listener.port).post("/publish", bytes(400_000)))
        wait_until(lambda: bodies.held_bytes == 100_000 + len(waiting) * 400_000)
        clock.advance(1)
    small = half(Client(listener.port), "/subscribe", 10)
    wait_until(lambda: phases(listener, "BODY") == 1)
    waiting.append(Client(listener.port).post("/publish", bytes(400_000)))
    wait_until(lambda: listener.crowded_out == 1)
    wait_until(lambda: bodies.held_bytes == 100_000 + 2 * 400_000 + 10)
    assert small.send(bytes(10)).reply().body == b"20"
    app.go.set()
    assert running.reply().body == b"went"
    reply = waiting[0].reply()
    assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (503, "unavailable", "1")
    assert [client.reply().body for client in waiting[1:]] == [b"went", b"went"]
    for client in (running, small, *waiting):
        client.close()
    wait_until(lambda: bodies.held_bytes == 0)


def test_a_connection_whose_reading_waits_for_a_thread_makes_room_too(serve: Serve, app: App, clock: Clock) -> None:
    """Else clients of many addresses that ask and leave hold every connection until their turn comes, and nobody gets in."""
    app.routes["/topics"] = app.block
    listener = serve(threads=1, connections=3)
    asking = []
    for number in range(3):
        asking.append(Client(listener.port).get("/topics"))
        wait_until(lambda count=number + 1: phases(listener, "WORKING") == count)
        clock.advance(1)
    app.blocked(1)
    with Client(listener.port) as probe:
        assert probe.get("/livez").reply().status == 200
    reply = asking[1].reply()
    assert (reply.status, reply.problem["code"]) == (503, "unavailable")
    assert asking[1].closed()
    assert listener.evicted == 1
    app.go.set()
    assert [asking[0].reply().body, asking[2].reply().body] == [b"went", b"went"]
    for client in asking:
        client.close()


def test_what_came_behind_a_request_that_waits_makes_room_too(
    serve: Serve, app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODIES_BYTES", 200_000)
    listener = serve(threads=1)
    bodies = listener._server.rooms[0]
    one = b" HTTP/1.1\r\nHost: here\r\n\r\n"
    running = Client(listener.port).get("/block")
    app.blocked(1)
    waiting = [Client(listener.port).send(b"GET /x", one, 2_000 * (b"GET /y" + one)) for _ in range(6)]
    wait_until(lambda: listener.crowded_out >= 1)
    small = half(Client(listener.port), "/subscribe", 10)
    assert small.send(bytes(10)).reply().body == b"20"
    assert bodies.held_bytes <= 200_000
    app.go.set()
    assert running.reply().body == b"went"
    told = [client.reply().status for client in waiting]
    assert told.count(503) == listener.crowded_out
    assert set(told) <= {200, 503}
    for client in (running, small, *waiting):
        client.close()


def test_unsent_answers_have_one_bound(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWERS_BYTES", 2 * BIG_BYTES)
    listener = serve(threads=1)
    deaf = []
    for _ in range(4):
        deaf.append(Client(listener.port, 4096).get("/big"))
        wait_until(lambda: listener.crowded_out or phases(listener, "SENDING") == len(deaf))
    wait_until(lambda: listener.crowded_out >= 1)
    assert listener._server.rooms[2].held_bytes <= 2 * BIG_BYTES
    with Client(listener.port) as client:
        assert client.get("/").reply().status == 200
    for client in deaf:
        client.close()


def test_bodies_and_answers_never_touch_the_disk(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_: pytest.fail("a file"))
    listener = serve()
    with Client(listener.port, 4096) as client:
        assert client.post("/publish", bytes(limits.BATCH_BYTES)).reply().body == str(limits.BATCH_BYTES).encode()
        assert client.get("/big").reply().body == bytes(BIG_BYTES)


def test_a_fast_reader_of_much_takes_turns(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop sends so much of an answer in one go, whatever the kernel would take."""
    taken: list[int] = []
    handle_write = connection.Channel.handle_write

    def take_all(self: Any, data: bytes, do_close: bool = True) -> int:
        if threading.get_ident() == self.server.loop_ident:
            taken[-1] += len(data)
            return len(data)
        return 0

    def counted(self: Any) -> None:
        taken.append(0)
        handle_write(self)

    monkeypatch.setattr(HTTPChannel, "send", take_all)
    monkeypatch.setattr(connection.Channel, "handle_write", counted)
    with Client(serve().port) as client:
        client.get("/big")
        wait_until(lambda: sum(taken) > BIG_BYTES, "all of it")
        assert max(taken) <= limits.SENDS_A_TURN * 2 * limits.SOCKET_BUFFER_BYTES
        assert len(taken) >= BIG_BYTES // max(taken)


def test_a_file_is_not_kept_open_for_a_client_that_does_not_read(serve: Serve, app: App) -> None:
    app.routes["/file"] = lambda environ: str("wsgi.file_wrapper" in environ).encode()
    with Client(serve().port) as client:
        assert client.get("/file").reply().body == b"False"


def test_a_caller_has_so_many_connections_and_its_idle_ones_make_room(serve: Serve, app: App) -> None:
    listener = serve(connections_per_caller=2)
    idle, running = Client(listener.port, source=OTHER), Client(listener.port, source=OTHER)
    assert idle.get("/").reply().status == 200
    running.get("/block")
    app.blocked(1)
    wait_until(lambda: (phases(listener, "IDLE"), phases(listener, "WORKING")) == (1, 1))
    third = Client(listener.port, source=OTHER)
    assert idle.closed()
    third.get("/block")
    app.blocked(1)
    with Client(listener.port, source=OTHER) as fourth:
        reply = fourth.reply()
        assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (429, "too-many", "1")
        assert fourth.closed()
    assert (listener.evicted, listener.refused, listener.connections) == (1, 1, 2)
    with Client(listener.port, source="127.0.0.3") as other:
        assert other.get("/livez").reply().status == 200
    clients = [Client(listener.port) for _ in range(5)]  # from this machine's own address: a proxy's, perhaps
    assert [client.get("/livez").reply().status for client in clients] == 5 * [200]
    app.go.set()
    assert running.reply().body == third.reply().body == b"went"
    for client in (idle, running, third, *clients):
        client.close()
    wait_until(lambda: not listener._server.of_network)


def test_a_caller_has_so_many_requests_a_second(serve: Serve, app: App, clock: Clock) -> None:
    listener = serve(requests_per_caller=0.5)
    burst = int(0.5 * limits.RATE_BURST_SECONDS)
    with Client(listener.port, source=OTHER) as client:
        assert [client.get("/").reply().status for _ in range(burst)] == burst * [200]
        reply = client.get("/").get("/behind").reply()
        assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (429, "too-many", "1")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.closed()
    assert app.seen == burst * ["/"]
    with Client(listener.port, source=OTHER) as client:
        assert client.get("/readyz").reply().status == 200  # whether it lives may always be asked
        clock.advance(2)
        assert client.get("/").reply().status == 200
        assert client.get("/").reply().status == 429
    with Client(listener.port, source="127.0.0.3") as other:
        assert other.get("/").reply().status == 200
    with Client(listener.port) as own:
        assert [own.get("/").reply().status for _ in range(3 * burst)] == 3 * burst * [200]


def test_limits_that_are_set_count_for_this_machines_own_address_too(serve: Serve) -> None:
    listener = serve(connections_per_caller=2, counts_own_connections=True)
    with Client(listener.port) as first, Client(listener.port) as second:
        assert [client.get("/block").sock.fileno() > 0 for client in (first, second)] == [True, True]
        wait_until(lambda: phases(listener, "WORKING") == 2)
        with Client(listener.port) as third:
            assert third.reply().status == 429
    listener = serve(requests_per_caller=0.1, counts_own_requests=True)
    with Client(listener.port) as client:
        assert [client.get("/").reply().status for _ in range(2)] == [200, 429]


def test_behind_a_trusted_proxy_callers_are_told_apart(serve: Serve) -> None:
    listener = serve(requests_per_caller=0.1, trusted_proxies=[OTHER], connections_per_caller=1)
    with Client(listener.port, source=OTHER) as proxy, Client(listener.port, source=OTHER) as more:
        assert proxy.get("/", "1.1", "X-Forwarded-For: 192.0.2.1").reply().status == 200
        assert proxy.get("/", "1.1", "X-Forwarded-For: 192.0.2.2").reply().status == 200
        assert proxy.get("/", "1.1", "X-Forwarded-For: 192.0.2.1").reply().status == 429
        assert more.get("/", "1.1", "X-Forwarded-For: 192.0.2.3").reply().status == 200


def test_a_peer_makes_room_for_nobody(serve: Serve) -> None:
    listener = serve(connections=3)
    with Client(listener.port) as peer:
        assert peer.post("/replicate", b"x").reply().status == 200
        wait_until(lambda: len(listener._server.peers) == 1)
        clients = []
        for _ in range(10):
            clients.append(Client(listener.port).get("/livez"))
            assert clients[-1].reply().status == 200
        assert listener.evicted == 8
        assert peer.post("/replicate", b"x").reply().status == 200
    wait_until(lambda: not listener._server.peers)
    for client in clients:
        client.close()


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


# -- any cut, any damage --------------------------------------------------------------------------------------------

SESSION = (
    b"POST /publish HTTP/1.1\r\nHost: here\r\nContent-Length: 11\r\n\r\nhello world"
    b"GET /topics HTTP/1.1\r\nHost: here\r\n\r\n"
    + chunked("/subscribe")
    + b"6\r\nAlice \r\n5;a=b\r\nGoogl\r\n0\r\nTrailer: x\r\n\r\n"
    + b"POST /ack HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
)


@pytest.mark.parametrize("seed", range(20))
def test_however_a_session_is_cut_its_answers_are_the_same(serve: Serve, seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(SESSION)), chance.randint(1, 40)))
    with Client(serve().port) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in zip([0, *cuts], [*cuts, len(SESSION)], strict=True):
            client.send(SESSION[start:end])
        assert [client.reply().body for _ in range(4)] == [b"11", b"0", b"11", b"2"]
        assert client.closed()


@pytest.mark.parametrize("seed", range(20))
def test_damaged_sessions_leave_nothing_behind(serve: Serve, clock: Clock, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    chance = random.Random(seed)
    listener = serve()
    clients = []
    for _ in range(10):
        damaged = bytearray(SESSION)
        for _ in range(chance.randint(1, 5)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        clients.append(Client(listener.port).send(bytes(damaged)))
    with Client(listener.port) as client:
        assert client.get("/topics").reply().status == 200
    for client in clients:
        if chance.random() < 0.5:
            client.close()

    def all_gone() -> bool:
        clock.advance(limits.BODY_SECONDS)  # again and again: when the last of it was read is not known
        return listener.connections == 0

    wait_until(all_gone, "the end of all connections")
    assert caplog.text == ""
    for client in clients:
        client.close()
