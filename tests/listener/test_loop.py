"""Too many connections, requests and bytes: who makes room, who is refused; nobody else waits (docs/hazards.md, H33)."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

from newswire.core import limits
from newswire.listener import Deadlines
from tests.kit.listener_fakes import BIG_BYTES, OTHER, App, Client, Clock, Serve, phases
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


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


def test_slow_and_deaf_clients_hold_up_nobody(serve: Serve, crowd: Callable[..., list[Client]], clock: Clock) -> None:
    listener = serve(threads=2)
    slow = crowd(listener.port, 500)
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nX: ")
    deaf = crowd(listener.port, 20, 4096)
    for client in deaf:
        client.get("/big").get("/big")
    wait_until(lambda: phases(listener, "SENDING") == len(deaf), "deaf clients")
    wait_until(lambda: phases(listener, "HEAD") == len(slow), "slow clients")
    with Client(listener.port) as client:
        assert client.get("/topics").reply().status == 200
        assert client.post("/publish", b"news").reply().body == b"4"
        clock.advance(limits.HEAD_SECONDS)

        def is_alone() -> bool:
            clock.advance(1)  # again and again: what the kernel of a deaf client still takes is progress
            assert client.get("/topics").reply().status == 200
            return listener.connections == 1

        wait_until(is_alone, "the end of the others")
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
        wait_until(lambda: phases(listener, "IDLE") == 3)
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


# -- fair, and bounded --------------------------------------------------------------------------------------------


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
    wait_until(lambda: phases(listener, "BODY") == 3)
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


def test_a_request_that_a_thread_begins_while_its_connection_is_to_make_room_is_answered(
    serve: Serve, app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def view(environ: dict[str, Any]) -> bytes:
        begun.set()
        assert may_end.wait(PATIENCE_SECONDS)
        return b"answered"

    app.routes.update({"/topics": app.block, "/messages": view})
    listener = serve(threads=1, connections=2)
    running = Client(listener.port).get("/topics")
    app.blocked(1)
    waiting = Client(listener.port).get("/messages")
    wait_until(lambda: phases(listener, "WORKING") == 2)
    accept = listener._server.accept

    def accept_late() -> Any:
        """Who goes has been chosen: the one that waits. Now it waits no more."""
        app.go.set()
        assert begun.wait(PATIENCE_SECONDS)
        return accept()

    monkeypatch.setattr(listener._server, "accept", accept_late)
    with Client(listener.port) as probe:
        clock.advance(1)  # it looks again who can make room
        assert probe.get("/livez").reply().status == 200
        may_end.set()
        assert [running.reply().body, waiting.reply().body] == [b"went", b"answered"]
    running.close()
    waiting.close()


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
    wait_until(lambda: phases(listener, "WORKING") == 1 + len(waiting), "all of them are read")
    wait_until(lambda: listener.crowded_out >= 1)
    small = half(Client(listener.port), "/subscribe", 10)
    assert small.send(bytes(10)).reply().body == b"20"
    wait_until(lambda: bodies.held_bytes <= 200_000)  # for a moment it holds what makes another one go
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
    wait_until(lambda: listener._server.rooms[2].held_bytes <= 2 * BIG_BYTES)
    with Client(listener.port) as client:
        assert client.get("/").reply().status == 200
    for client in deaf:
        client.close()


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
