"""The sockets of streams: who left, who takes nothing, who makes room, and what breaks silence."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from newswire.config import Settings
from newswire.core import limits
from newswire.core.model.results import Position, Start
from newswire.stream_order import StreamOrder
from newswire.streams.connections import Connection, Connections
from newswire.streams.stream import Stream
from tests.kit.page_fakes import Place, encoded, entry
from tests.kit.stream_fakes import Clock, Newsroom, as_handed_over
from tests.kit.waiting import wait_until


class Switchboard:
    """Connections with nobody's hub: both ends of each socket are here."""

    def __init__(self) -> None:
        self.wake, self.wakes = socket.socketpair()
        self.connections = Connections(self.wakes)
        self.others: list[socket.socket] = []

    def add(self) -> Connection:
        """A connection whose other end is the last of `others`."""
        ours, other = socket.socketpair()
        self.others.append(other)
        return self.connections.add(as_handed_over(ours), Stream(StreamOrder("Alice"), chunked=False, now=0.0), 0.0)

    def fill(self, conn: Connection) -> None:
        """Have more to send than its socket takes."""
        conn.stream.write(b"x" * 2_000_000, 0.0)
        assert self.connections.send(conn, 0.0)

    def close(self) -> None:
        for conn in self.connections:
            self.connections.remove(conn)
        self.connections.close()
        for sock in (*self.others, self.wake, self.wakes):
            sock.close()


@pytest.fixture
def board() -> Iterator[Switchboard]:
    made = Switchboard()
    yield made
    made.close()


def test_what_a_socket_does_not_take_is_sent_when_it_can(board: Switchboard) -> None:
    conn = board.add()
    board.fill(conn)
    assert (conn.is_blocked, board.connections.unsent_bytes) == (True, conn.stream.unsent_bytes)
    assert board.connections.wait(0.0) == []
    count = 0
    while count < 2_000_000:
        count += len(board.others[0].recv(1_000_000))
        for ready, can_send, can_read in board.connections.wait(0.0):
            assert (ready, can_send, can_read) == (conn, True, False)
            assert board.connections.send(conn, 7.0)
    assert (conn.is_blocked, board.connections.unsent_bytes, conn.progress_at) == (False, 0, 7.0)
    assert board.connections.wait(0.0) == [], "nothing to send: nobody asks whether it can"


@pytest.mark.parametrize("size", [1, 10, 500_000])
def test_a_page_is_sent_at_once_as_far_as_the_socket_takes_it(board: Switchboard, size: int) -> None:
    conn, page = board.add(), encoded(entry(1, data="x" * size))
    assert page.is_all
    conn.stream.open(Start(Place(0), ()))
    assert board.connections.send_page(conn, page, 5.0)
    assert (conn.stream.written_bytes, conn.stream.ack_points_count) == (len(page.body), 1)
    assert conn.is_blocked == (size > 1000) == bool(board.connections.unsent_bytes)
    received = b""
    while len(received) < len(page.body):
        received += board.others[0].recv(1_000_000)
        assert board.connections.send(conn, 7.0)
    assert received == page.body
    assert conn.progress_at == (7.0 if size > 1000 else 5.0)


def test_a_page_for_a_full_socket_waits_and_for_a_client_that_is_gone_closes(board: Switchboard) -> None:
    conn, page = board.add(), encoded(entry(1))
    conn.stream.open(Start(Place(0), ()))
    with suppress(BlockingIOError):
        while True:
            conn.sock.send(b"x" * 100_000)
    assert board.connections.send_page(conn, page, 5.0)
    assert (conn.is_blocked, conn.stream.unsent_bytes, conn.progress_at) == (True, len(page.body), 0.0)
    gone = board.add()
    board.others[1].close()
    assert not board.connections.send_page(gone, page, 0.0)


def test_a_stream_that_is_done_and_a_client_that_is_gone_are_to_be_closed(board: Switchboard) -> None:
    conn = board.add()
    conn.stream.end(0.0, b": bye\n\n")
    assert not board.connections.send(conn, 0.0)
    assert board.others[0].recv(100) == b": bye\n\n"
    gone = board.add()
    board.others[1].close()
    assert board.connections.wait(0.0) == [(gone, False, True)]
    assert not board.connections.drain(gone)
    gone.stream.write(b"x", 0.0)
    assert not board.connections.send(gone, 0.0)


def test_a_socket_that_is_closed_already_is_not_held(board: Switchboard) -> None:
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="-1"):
        board.connections.add(sock, Stream(StreamOrder("Alice"), chunked=False, now=0.0), 0.0)
    assert len(board.connections) == 0


def test_the_hub_is_woken_without_being_a_connection(board: Switchboard) -> None:
    board.wake.send(b"x")
    assert board.connections.wait(10.0) == []


def test_where_all_have_too_much_to_send_those_go_that_take_nothing(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAMS_BYTES", 4_000_000)
    board.connections = Connections(board.wakes)
    conns = [board.add() for _ in range(3)]
    for conn in conns[:2]:
        board.fill(conn)
    assert board.connections.choose(100.0) == [], "there is room"
    board.fill(conns[2])
    conns[2].progress_at = 100.0
    assert board.connections.choose(limits.READ_STALL_SECONDS - 1) == []
    assert len(board.connections.choose(100.0)) in (1, 2)
    assert board.connections.choose(100.5) == [], "once a second"
    assert conns[2] not in board.connections.choose(102.0)
    assert board.connections.of(conns[0].stream) is conns[0]


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_went_away_is_noticed(room: Newsroom, how: str) -> None:
    room.desk.subscribe("Alice", "news")
    client, other = room.open(), room.open()
    if how == "reset":
        client.reset()
    elif how == "half":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        client.sock.close()
    wait_until(lambda: room.hub.count == 1)
    room.desk.publish("news", "one")
    assert other.data(1) == ["one"]
    assert (room.hub.opening_count, room.hub.count) == (2, 1)


def test_a_client_that_keeps_talking_is_closed(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    client.sock.sendall(b"x" * limits.STREAM_INPUT_BYTES)
    wait_until(lambda: room.hub.count == 0)


@pytest.mark.parametrize("chunked", [True, False])
def test_no_more_sockets_are_held_than_there_may_be(
    make: Callable[..., Newsroom], monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    """However many got past the question whether there is room, and however slowly their refusals are read."""
    monkeypatch.setattr(limits, "ENDING_STREAMS_COUNT", 2)
    room = make(settings=Settings(streams=2))
    room.desk.subscribe("Alice", "news")
    kept = [room.open(), room.open()]
    kept += [room.connect(receive_buffer=4096) for _ in range(2)]
    held = room.hub._connections
    wait_until(lambda: room.hub.refusal_count == len(held) == 2, "two are told that there is no room, and gone")
    monkeypatch.setattr(held, "_by_stream", {**held._by_stream, **dict.fromkeys(range(2))})
    refused = room.connect(chunked=chunked)
    assert refused.end() == []
    assert refused.plain.startswith(b"retry: 5000\n: this broker serves as many streams as it may")
    monkeypatch.undo()


def test_streams_that_take_nothing_make_room_when_all_together_hold_too_much(
    make: Callable[..., Newsroom], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAMS_BYTES", 600_000)
    clock = Clock()
    room = make(settings=Settings(streams_per_user=100), clock=clock)
    for user in ("Alice", "Bob"):
        room.desk.subscribe(user, "news")
    deaf = [room.open("Bob", receive_buffer=4096) for _ in range(4)]
    reader = room.open("Alice")
    for number in range(12):
        room.desk.publish("news", f"{number} {'x' * 60_000}")
    assert len(reader.data(12)) == 12
    wait_until(lambda: room.hub._connections.unsent_bytes > limits.STREAMS_BYTES, "too much")
    assert (room.hub.eviction_count, room.hub.count) == (0, 5)  # nobody has had time to take it yet
    room.pass_time(clock, limits.READ_STALL_SECONDS + 1)
    wait_until(lambda: room.hub._connections.unsent_bytes <= limits.STREAMS_BYTES, "room")
    assert room.hub.eviction_count >= 1
    assert room.hub.count == 5 - room.hub.eviction_count
    room.desk.publish("news", "last")
    assert reader.data(1) == ["last"]
    for client in deaf:
        client.sock.close()
    wait_until(lambda: room.hub.count == 1)
    wait_until(lambda: room.hub._connections.unsent_bytes == 0)


def test_silence_is_broken_every_five_seconds(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(clock=clock)
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.settle()
    for count in (1, 2):
        room.pass_time(clock, limits.KEEPALIVE_SECONDS)
        while client.plain.count(b": keepalive\n\n") < count:
            client.receive()
    assert client.plain.count(b": keepalive") == 2


def test_a_client_that_never_reads_is_closed_after_a_minute(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(clock=clock)
    room.desk.subscribe("Alice", "news")
    room.connect(receive_buffer=4096)
    room.desk.publish("news", *["x" * 10_000] * 100)
    wait_until(lambda: any(stream.unsent_bytes and not stream.wants_page for stream in room.streams), "the queue is full")
    while room.hub.count:
        room.pass_time(clock, limits.KEEPALIVE_SECONDS)
        assert clock.now < 1000.0 + 3 * limits.STREAM_STALL_SECONDS
    assert clock.now >= 1000.0 + limits.STREAM_STALL_SECONDS


def test_a_slow_reader_gets_a_long_history_in_order_from_a_bounded_queue(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    texts = [f"{number} " + "x" * 300 for number in range(10_000)]
    for start in range(0, 10_000, 1000):
        room.desk.publish("news", *texts[start : start + 1000])
    most = 0

    def look(at: Position) -> None:
        nonlocal most
        most = max([most, *(stream.unsent_bytes for stream in room.streams)])

    room.desk.before_page = look
    client = room.open(receive_buffer=4096)
    wait_until(lambda: any(stream.unsent_bytes and not stream.wants_page for stream in room.streams), "the queue is full")
    assert client.data(10_000) == texts
    assert 0 < most <= limits.SEND_BUFFER_BYTES + limits.STREAM_ROUND_BYTES


def test_who_never_reads_delays_nobody_and_costs_little(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.subscribe("Bob", "news")
    room.connect(receive_buffer=4096)
    bob = room.open("Bob")
    for number in range(40):
        room.desk.publish("news", *[f"{number} " + "x" * 10_000] * 10)
        assert all(text.startswith(f"{number} ") for text in bob.data(10))
    assert max(stream.unsent_bytes for stream in room.streams) <= limits.SEND_BUFFER_BYTES + limits.STREAM_ROUND_BYTES
