"""One connection: how long a client may take, its requests one after the other, and what it sends when it is refused."""

from __future__ import annotations

import gc
import json
import logging
import random
import socket
import threading
import weakref
from typing import Any
from unittest.mock import Mock

import pytest
from waitress.channel import HTTPChannel

from newswire.core import limits
from newswire.listener import connection
from newswire.listener.connection import Channel
from newswire.listener.kinds import Kind
from newswire.listener.phases import Deadlines, Phase
from newswire.listener.request import HttpRequest
from tests.kit.listener_fakes import BIG_BYTES, App, Client, Clock, Serve, chunked, phases
from tests.kit.waiting import wait_until


def test_paths_of_strangers_are_escaped_in_the_log(serve: Serve, app: App, caplog: pytest.LogCaptureFixture) -> None:
    def raises(_: object) -> bytes:
        raise SystemError

    app.routes["/\xc2\x9b31m"] = raises  # as WSGI has it
    with Client(serve().port) as client:
        assert client.get("/%C2%9B31m").reply().status == 500
    assert "Exception while serving /Â\\x9b31m" in caplog.text
    assert "\x9b" not in caplog.text


def test_whose_turn_it_is_is_the_user_s_where_that_is_known_and_else_the_address_s(serve: Serve) -> None:
    users: dict[tuple[str, str], str] = {}
    looks: list[str] = []

    def user_of(authorization: str, cookie: str) -> str:
        looks.append(authorization)
        return users.get((authorization, cookie), "")

    listener = serve(user_of=user_of)

    def callers() -> set[str]:
        return {channel.caller for channel in listener._server.channels.values()}

    with Client(listener.port) as one, Client(listener.port, source="127.0.0.2") as two:
        for client in (one, two):
            assert client.get("/", "1.1", "Authorization: Bearer x").reply().status == 200
        assert callers() == {"127.0.0.1", "127.0.0.2"}, "it was good nowhere yet"
        users["Bearer x", ""] = "ann"
        for client in (one, two, one, two):
            client.get("/", "1.1", "Authorization: Bearer x").reply()
        assert (callers(), len(looks)) == ({"user ann"}, 4)
        two.get("/").reply()
        users["", "session=y"] = "ben"
        one.get("/", "1.1", "Cookie: session=y").reply()
        assert callers() == {"user ben", "127.0.0.2"}


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
        wait_until(lambda: phases(listener, "IDLE") == 2)
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


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_breaks_off_is_let_go_of_at_once(serve: Serve, clock: Clock, is_chunked: bool) -> None:
    """Whether its client leaves or is cut off. The garbage collector counts objects: it would come after hundreds of bodies."""
    listener = serve()
    head = chunked("/") if is_chunked else b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n"
    requests: list[weakref.ref[Any]] = []
    gc.collect()
    gc.disable()
    try:
        for leaves in (True, False):
            with Client(listener.port) as client:
                client.send(head, b"9000\r\n" if is_chunked else b"", b"x" * 20_000)
                wait_until(lambda: phases(listener, "BODY") == 1)
                requests += [weakref.ref(channel.request) for channel in list(listener._server.channels.values())]
                if not leaves:
                    clock.advance(limits.BODY_SECONDS)
                    assert timed_out(client)
            wait_until(lambda: not listener.connections)
        wait_until(lambda: [one() for one in requests] == [None, None])
    finally:
        gc.enable()


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


def test_empty_lines_between_requests_are_dropped_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[HttpRequest] = []

    class Counting(HttpRequest):
        def __init__(self, *args: Any) -> None:
            made.append(self)
            super().__init__(*args)

    monkeypatch.setattr(connection, "HttpRequest", Counting)
    with Client(serve().port) as client:
        client.send(b"\r\n" * 50_000)
        assert client.get("/").reply().status == 200
        client.send(b"\r\n\r\n")
        assert client.get("/").reply().status == 200
    assert len(made) == 2


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
        channels = list(listener._server.channels.values())  # of which the loop takes the other one out, perhaps now
        (channel,) = [c for c in channels for request in c.requests if request.path == "/block"]
        assert 0 < len(channel.unparsed) <= limits.RECEIVE_BYTES
        app.go.set()
        assert client.reply().body == b"went"
        assert [client.reply().status for _ in range(1000)] == 1000 * [200]


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


def test_an_application_that_ends_its_thread_does_not_leave_the_client_waiting(serve: Serve, app: App) -> None:
    def view(_: object) -> bytes:
        raise SystemExit

    app.routes["/exit"] = view
    listener = serve(threads=1)
    with Client(listener.port) as client:
        assert client.get("/exit").closed()
    with Client(listener.port) as client:
        assert client.get("/").reply().status == 200


def test_a_connection_of_which_nothing_came_after_all_stays(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says that something came, and it was taken before its turn: as of one that goes first."""
    monkeypatch.setattr(limits, "FIRST_A_TURN", 1)
    monkeypatch.setattr(limits, "TURN_CHANNELS", 1)
    listener = serve(light=[("GET", "/livez")])
    clients = [Client(listener.port) for _ in range(8)]
    for _ in range(5):
        for client in clients:
            client.get("/livez")
        assert [client.reply().status for client in clients] == [200] * 8
    for client in clients:
        client.close()
