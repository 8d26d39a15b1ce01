"""What is light runs in the loop, its answers come later, and it is fair to all others."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from newswire.core import limits
from newswire.listener import Deadlines, Listener
from newswire.listener.kinds import Kind
from newswire.listener.tasks import HAND_OVER, OFFER, AppTask
from newswire.threads import NeedsThread, check_may_wait, must_not_wait
from tests.kit.listener_fakes import PATIENCE_SECONDS, App, Client, Clock, descriptors, threads_of
from tests.kit.waiting import wait_until

Serve = Callable[..., Listener]

OTHER = "127.0.0.2"
LIGHT = [
    ("POST", "/publish"),
    ("POST", "/subscribe"),
    ("POST", "/replicate"),
    ("GET", "/livez"),
    ("GET", "/stream"),
    ("GET", "/where"),
    ("POST", "/where"),
]


class Later:
    """An answer that the test settles."""

    def __init__(self, app: LaterApp, body: bytes, *, needs_thread: bool = False) -> None:
        self.app, self.body = app, body
        self.seconds = 10.0
        self.needs_thread = needs_thread
        self.status = ""
        self.given_up = 0
        self.thread = ""
        self.ring: Callable[[], object] = lambda: None

    def when_settled(self, ring: Callable[[], object]) -> None:
        self.ring = ring
        self.app.later.append(self)

    def settle(self, status: str = "200 OK") -> None:
        self.status = self.status or status
        self.ring()

    def give_up(self) -> None:
        self.given_up += 1
        self.settle("503 Service Unavailable")

    def finish(self) -> tuple[str, list[tuple[str, str]], bytes]:
        self.thread = threading.current_thread().name
        return self.status, [("Content-Type", "text/plain")], self.body


class LaterApp(App):
    """An application some of whose answers come when the test says so: `later` has those that do not yet."""

    def __init__(self) -> None:
        super().__init__()
        self.later: list[Later] = []
        self.needs_thread = False
        self.threads: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        self.threads[path] = threading.current_thread().name
        if path in ("/publish", "/subscribe", "/replicate"):
            self.seen.append(path)
            offer = environ[OFFER]
            offer(Later(self, environ["wsgi.input"].read(), needs_thread=self.needs_thread))
            return ()
        return super().__call__(environ, start_response)

    def come(self, count: int) -> list[Later]:
        """Wait for so many answers that come later."""
        wait_until(lambda: len(self.later) >= count, f"{count} answers")
        return self.later


@pytest.fixture
def app() -> LaterApp:
    app = LaterApp()
    app.routes["/where"] = lambda environ: threading.current_thread().name.encode()
    return app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(app: App, clock: Clock) -> Iterator[Serve]:
    running: list[Listener] = []

    def start(**options: Any) -> Listener:
        options = {"threads": threads_of(2, 1), "deadlines": Deadlines(check=0.01), "clock": clock, "light": LIGHT, **options}
        listener = Listener(app, host="127.0.0.1", port=0, **options)
        listener.start()
        running.append(listener)
        return listener

    yield start
    app.go.set()
    for listener in running:
        listener.stop(0.0)


# -- where it runs --------------------------------------------------------------------------------------------------


def test_what_is_light_runs_in_the_loop_and_all_else_in_threads(serve: Serve, app: LaterApp) -> None:
    with Client(serve().port) as client:
        assert client.get("/where").reply().body == b"listener"
        assert client.post("/where", b"x").reply().body == b"listener"
        app.routes["/elsewhere"] = app.routes["/where"]
        assert client.get("/elsewhere").reply().body.startswith(b"open-")


@pytest.mark.parametrize(
    ("path", "size", "headers", "thread"),
    [
        ("/where", limits.LARGE_BODY_BYTES, (), "listener"),
        ("/where", limits.LARGE_BODY_BYTES + 1, (), "large-"),
        ("/where", 10, ("Content-Type: application/x-ndjson",), "large-"),
        ("/replicate", limits.LIGHT_BODY_BYTES, (), "listener"),
        ("/replicate", limits.LIGHT_BODY_BYTES + 1, (), "peers-"),
    ],
)
def test_what_is_large_and_a_batch_are_not_run_in_the_loop(
    serve: Serve, app: LaterApp, path: str, size: int, headers: tuple[str, ...], thread: str
) -> None:
    with Client(serve().port) as client:
        client.post(path, bytes(size), *headers)
        if path == "/replicate":
            app.come(1)[0].settle()
        assert client.reply().status == 200
    assert app.threads[path].startswith(thread)


def test_what_finds_that_it_needs_a_thread_is_run_again_in_one(serve: Serve, app: LaterApp) -> None:
    def view(environ: dict[str, Any]) -> bytes:
        body: bytes = environ["wsgi.input"].read()
        if must_not_wait():
            raise NeedsThread
        return body + b" " + threading.current_thread().name.encode()

    app.routes["/where/it/is"] = view
    with Client(serve().port) as client:
        for _ in range(2):
            assert client.post("/where/it/is", b"all of it").reply().body.startswith(b"all of it change-")


def test_a_call_that_waits_is_an_error_in_the_loop(serve: Serve, app: LaterApp, caplog: pytest.LogCaptureFixture) -> None:
    def view(environ: dict[str, Any]) -> bytes:
        check_may_wait("a disk")
        return b"waited"

    app.routes["/where"] = app.routes["/elsewhere"] = view
    with Client(serve().port) as client:
        assert client.get("/elsewhere").reply().body == b"waited"
        assert client.get("/where").reply().status == 500
    assert "may not wait for a disk" in caplog.text


def test_a_view_that_takes_long_is_logged_and_counted(
    serve: Serve, app: LaterApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listener = serve()
    with Client(listener.port) as client:
        assert client.get("/livez").reply().status == 200
        monkeypatch.setattr(limits, "LIGHT_RUN_SECONDS", 0.0)
        with caplog.at_level(logging.WARNING):
            assert client.get("/where").reply().status == 200
            wait_until(lambda: "/where took" in caplog.text)
    assert listener.long_runs >= 1


def test_a_view_that_ends_its_thread_does_not_end_the_loop(serve: Serve, app: LaterApp) -> None:
    def view(environ: dict[str, Any]) -> bytes:
        raise SystemExit

    app.routes["/where"] = view
    listener = serve()
    with Client(listener.port) as client:
        assert client.get("/where").closed()
    with Client(listener.port) as client:
        assert client.get("/livez").reply().status == 200


def test_a_stream_is_handed_over_by_the_loop(serve: Serve, app: LaterApp, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[tuple[socket.socket, bytes]] = []

    def view(environ: dict[str, Any]) -> Any:
        environ[HAND_OVER] = lambda sock, head, chunked: streams.append((sock, head))
        return "200 OK", iter(())

    app.routes["/stream"] = view
    listener = serve()
    changes: list[object] = []
    monkeypatch.setattr(listener._server.interest._selector, "modify", lambda *change: changes.append(change))
    with Client(listener.port) as client:
        client.get("/stream")
        wait_until(lambda: streams, "the hand-over")
        assert not changes, "the selector is told of the socket, and that it has left"
        assert app.threads["/stream"] == "listener"
        ((sock, head),) = streams
        sock.sendall(head + b"raw")
        assert client.head().status == 200
        assert client.exactly(3) == b"raw"
        assert listener.connections == 0
        sock.close()


def test_a_stream_that_is_asked_for_when_it_is_accepted_costs_the_selector_nothing(
    serve: Serve, app: LaterApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[socket.socket] = []
    is_busy, go = threading.Event(), threading.Event()

    def hold(environ: dict[str, Any]) -> bytes:
        is_busy.set()
        assert go.wait(PATIENCE_SECONDS)
        return b""

    def stream(environ: dict[str, Any]) -> Any:
        environ[HAND_OVER] = lambda sock, head, chunked: streams.append(sock)
        return "200 OK", iter(())

    app.routes.update({"/where": hold, "/stream": stream})
    listener = serve()
    with Client(listener.port) as first:
        first.get("/where")
        assert is_busy.wait(PATIENCE_SECONDS)
        told: list[object] = []
        selector = listener._server.interest._selector
        monkeypatch.setattr(selector, "register", lambda fd, mask, channel: told.append(channel.addr))
        clients = [Client(listener.port).get("/stream") for _ in range(20)]
        go.set()
        wait_until(lambda: len(streams) == len(clients), "all hand-overs")
        assert not {client.sock.getsockname() for client in clients}.intersection(told)
    for end in (*clients, *streams):
        end.close()


def test_a_request_that_is_answered_is_forgotten_without_the_garbage_collector(serve: Serve, app: LaterApp) -> None:
    def tasks() -> list[AppTask]:
        return [thing for thing in gc.get_objects() if issubclass(type(thing), AppTask)]

    listener = serve()
    before = {id(task): task for task in tasks()}  # of other tests: they are kept, so that no new one has the id of one of them
    gc.disable()
    try:
        with Client(listener.port) as client:
            assert client.get("/livez").reply().status == 200
            client.post("/publish", b"x")
            app.come(1)[0].settle()
            assert client.reply().body == b"x"
            app.later.clear()
            wait_until(lambda: all(id(task) in before for task in tasks()), "no circle keeps them")
    finally:
        gc.enable()


# -- answers that come later ----------------------------------------------------------------------------------------


def test_an_answer_that_comes_later_holds_no_thread_and_is_written_by_the_loop(serve: Serve, app: LaterApp) -> None:
    with Client(serve().port) as client:
        for number in range(3):
            client.post("/publish", b"%d" % number)
            later = app.come(number + 1)[number]
            threading.Thread(target=later.settle).start()
            assert client.reply().body == b"%d" % number
            assert later.thread == "listener"


def test_many_wait_at_once_and_each_gets_its_own(serve: Serve, app: LaterApp) -> None:
    listener = serve()
    clients = [Client(listener.port).post("/publish", b"%d" % number) for number in range(100)]
    for later in reversed(app.come(100)):
        later.settle()
    assert [client.reply().body for client in clients] == [b"%d" % number for number in range(100)]
    for client in clients:
        client.close()


def test_what_waits_in_a_thread_s_request_is_answered_later_too(serve: Serve, app: LaterApp) -> None:
    listener = serve(threads=threads_of(1, 1))
    clients = [Client(listener.port).post("/publish", bytes(limits.LARGE_BODY_BYTES + 1)) for _ in range(3)]
    for later in app.come(3):  # one thread has begun them all
        later.settle()
    assert [len(client.reply().body) for client in clients] == [limits.LARGE_BODY_BYTES + 1] * 3
    for client in clients:
        client.close()


def test_an_answer_that_reads_is_made_in_a_thread(serve: Serve, app: LaterApp) -> None:
    app.needs_thread = True
    with Client(serve().port) as client:
        client.post("/replicate", b"push")
        (later,) = app.come(1)
        later.settle()
        assert client.reply().body == b"push"
    assert later.thread.startswith("peers-")


def test_requests_behind_one_that_waits_are_answered_after_it_and_in_order(serve: Serve, app: LaterApp) -> None:
    with Client(serve().port) as client:
        client.post("/publish", b"first").post("/publish", b"second").get("/where")
        first = app.come(1)[0]
        assert len(app.later) == 1
        first.settle()
        assert client.reply().body == b"first"
        app.come(2)[1].settle()
        assert client.reply().body == b"second"
        assert client.reply().body == b"listener"
    assert app.seen == ["/publish", "/publish", "/where"]


def test_an_answer_that_does_not_come_in_time_is_given_up_and_what_comes_then_is_dropped(
    serve: Serve, app: LaterApp, clock: Clock
) -> None:
    listener = serve()
    with Client(listener.port) as client:
        client.post("/publish", b"x")
        (later,) = app.come(1)
        wait_until(lambda: listener._server.light.is_publishing)
        clock.advance(9.0)
        assert client.sock.getblocking()
        clock.advance(2.0)
        assert client.reply().status == 503
        assert later.given_up == 1
        later.settle()
        assert client.get("/where").reply().body == b"listener"
        assert not listener._server.light.is_publishing
        assert (listener.timed_out, client.left) == (0, b"")


def test_an_answer_that_is_told_twice_is_written_once(serve: Serve, app: LaterApp) -> None:
    with Client(serve().port) as client:
        client.post("/publish", b"x")
        (later,) = app.come(1)
        later.settle()
        later.settle()
        assert client.reply().body == b"x"
        assert client.get("/where").reply().body == b"listener"


def test_clients_that_leave_while_they_wait_leave_nothing_behind(serve: Serve, app: LaterApp, clock: Clock) -> None:
    listener = serve()
    open_before = descriptors()
    for number in range(20):
        client = Client(listener.port).post("/publish", b"x")
        later = app.come(number + 1)[number]
        client.close()
        later.settle()
    wait_until(lambda: not listener._server.light.is_publishing)
    with Client(listener.port) as client:
        assert client.get("/where").reply().body == b"listener"
    wait_until(lambda: descriptors() <= open_before, "the last close")


def test_a_client_that_sends_more_while_it_waits_does_not_turn_the_loop(serve: Serve, app: LaterApp) -> None:
    """What is there to be read, and is not read, must not wake the loop again and again."""
    listener = serve()
    with Client(listener.port) as client, Client(listener.port) as other:
        client.post("/publish", b"x")
        (later,) = app.come(1)
        client.send(b"GET /where HTTP/1.1\r\nHost: here\r\n\r\n" * 3)
        assert other.get("/where").reply().status == 200
        later.settle()
        assert client.reply().body == b"x"
        assert [client.reply().body for _ in range(3)] == [b"listener"] * 3


# -- the end --------------------------------------------------------------------------------------------------------


def test_a_stop_lets_an_answer_come_that_is_waited_for(serve: Serve, app: LaterApp) -> None:
    listener = serve()
    with Client(listener.port) as client, Client(listener.port) as idle:
        idle.get("/where").reply()
        client.post("/publish", b"x")
        (later,) = app.come(1)
        stopping = threading.Thread(target=listener.stop, args=(3600.0,))
        stopping.start()
        assert idle.closed()
        assert stopping.is_alive()
        later.settle()
        assert client.reply().body == b"x"
        assert client.closed()
        stopping.join(PATIENCE_SECONDS)
        assert not stopping.is_alive()


def test_what_comes_after_the_end_hurts_nobody(serve: Serve, app: LaterApp) -> None:
    """The engine stops after the listener, and tells those who waited: what rang the loop is another's descriptor by then."""
    listener = serve()
    with Client(listener.port) as client:
        client.post("/publish", b"x")
        (later,) = app.come(1)
        listener.stop(0.0)
        assert client.closed()
    ears = [socket.socketpair() for _ in range(20)]  # whoever gets the descriptors now
    later.settle()
    ends = [end for pair in ears for end in pair]
    for end in ends:
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)
    for end in ends:
        end.close()


# -- fair -----------------------------------------------------------------------------------------------------------


def test_so_many_requests_of_clients_are_in_flight_and_peers_and_probes_pass(
    serve: Serve, app: LaterApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIGHT_IN_FLIGHT_COUNT", 2)
    listener = serve()
    crowd = [Client(listener.port, source=OTHER).post("/publish", b"crowd") for _ in range(6)]
    app.come(2)
    wait_until(lambda: len(listener._server.light._waiting) == 4)
    with Client(listener.port) as probe, Client(listener.port) as peer, Client(listener.port) as single:
        assert probe.get("/livez").reply().status == 200
        peer.post("/replicate", b"op")
        push = app.come(3)[2]
        assert push.body == b"op"
        push.settle()
        assert peer.reply().body == b"op"
        single.post("/publish", b"single")
        wait_until(lambda: len(listener._server.light._waiting) == 5)
        app.later[0].settle()
        app.later[1].settle()
        assert b"single" in [later.body for later in app.come(5)[3:5]], "callers take turns"
        for number in range(3, 8):
            app.come(number + 1)[number].settle()
        assert single.reply().body == b"single"
        assert [client.reply().body for client in crowd] == [b"crowd"] * 6
    for client in crowd:
        client.close()


def test_who_asks_for_several_at_a_time_joins_in_with_who_asks_for_one(
    serve: Serve, app: LaterApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules and more cases: tests/quotas/test_in_flight.py. What waits to join in does not turn the loop."""
    monkeypatch.setattr(limits, "LIGHT_ROUND_COUNT", 2)
    monkeypatch.setattr(limits, "LIGHT_ROUND_SECONDS", 3600.0)
    monkeypatch.setattr(limits, "LIGHT_TURN_SECONDS", 3600.0)  # a turn that takes long ends before others have joined in
    listener = serve()
    light = listener._server.light
    light._clock = lambda: 100.0
    with Client(listener.port) as single:
        single.post("/publish", b"single")
        app.come(1)[0].settle()
        assert single.reply().body == b"single"
        crowd = [Client(listener.port, source=OTHER).post("/publish", b"crowd") for _ in range(6)]
        app.come(7)
        single.post("/publish", b"single")
        assert app.come(8)[7].body == b"single"
        crowd += [Client(listener.port, source=OTHER).post("/publish", b"more") for _ in range(4)]
        wait_until(lambda: len(light._waiting) == 4)
        for later in app.later[1:8]:
            later.settle()
        assert single.reply().body == b"single"
        wait_until(lambda: not light._in_flight)
        assert (len(app.later), light.is_ready) == (8, False), "the single one's next request is waited for"
        single.post("/publish", b"single")
        assert {later.body for later in app.come(11)[8:]} == {b"single", b"more"}
        assert (len(light._waiting), light.is_ready) == (2, False)
        for later in app.later[8:]:
            later.settle()
        wait_until(lambda: not light._in_flight)
        light._clock = lambda: 200.0
        for later in app.come(13)[11:]:
            later.settle()
        assert single.reply().body == b"single"
    assert [client.reply().body for client in crowd] == [b"crowd"] * 6 + [b"more"] * 4
    wait_until(lambda: not light._in_flight)
    for client in crowd:
        client.close()


def test_a_turn_runs_views_for_so_long_and_then_looks_at_the_sockets(
    serve: Serve, app: LaterApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIGHT_TURN_SECONDS", 0.0)
    app.routes["/subscribe"] = app.length
    runs: list[int] = []
    listener = serve()
    light, turn = listener._server.light, listener._server._turn

    def counted() -> None:
        before = len(app.later)
        turn()
        runs.append(len(app.later) - before)

    monkeypatch.setattr(listener._server, "_turn", counted)
    clients = [Client(listener.port).post("/publish", b"x") for _ in range(10)]
    for later in app.come(10):
        later.settle()
    assert [client.reply().body for client in clients] == [b"x"] * 10
    assert max(runs) == 1
    assert not light.is_ready
    for client in clients:
        client.close()


def test_sockets_of_peers_and_probes_are_served_first(serve: Serve, app: LaterApp) -> None:
    listener = serve()
    with Client(listener.port) as probe, Client(listener.port) as peer, Client(listener.port) as other:
        assert probe.get("/livez").reply().status == 200
        peer.post("/replicate", b"op")
        app.come(1)[0].settle()
        assert peer.reply().status == 200
        assert other.get("/where").reply().status == 200
        wait_until(lambda: len(listener._server.peers) == 1)
        first = {channel.addr[1]: channel.goes_first for channel in listener._server.channels.values()}
        ports = [client.sock.getsockname()[1] for client in (probe, peer, other)]
        assert [first[port] for port in ports] == [True, True, False]
        assert probe.get("/where").reply().status == 200
        assert not any(c.probes for c in listener._server.channels.values()), "whoever asks for more is a client again"


def test_the_threads_of_no_kind_are_needed_for_what_is_light(serve: Serve, app: LaterApp) -> None:
    app.routes["/topics"] = app.routes["/messages"] = app.routes["/page"] = app.block
    listener = serve(threads=threads_of(1, 1))
    blocked = [Client(listener.port).get(path) for path in ("/topics", "/page")]
    app.blocked(2)
    with Client(listener.port) as client:
        client.post("/publish", b"x")
        app.come(1)[0].settle()
        assert client.reply().body == b"x"
    app.go.set()
    for client in blocked:
        assert client.reply().body == b"went"
        client.close()
    assert not listener._server.pools[Kind.PUBLISH].queue
