"""The sockets of streams: who left, who takes nothing, who makes room, and what breaks silence."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from newswire.config import Settings
from newswire.core import limits
from newswire.core.model.results import Position
from tests.kit.stream_fakes import Clock, Newsroom, wait_for


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
    wait_for(lambda: room.hub.count == 1)
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
    wait_for(lambda: room.hub.count == 0)


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
    wait_for(lambda: room.hub._connections.unsent_bytes > limits.STREAMS_BYTES, "too much")
    assert (room.hub.eviction_count, room.hub.count) == (0, 5)  # nobody has had time to take it yet
    room.pass_time(clock, limits.READ_STALL_SECONDS + 1)
    wait_for(lambda: room.hub._connections.unsent_bytes <= limits.STREAMS_BYTES, "room")
    assert room.hub.eviction_count >= 1
    assert room.hub.count == 5 - room.hub.eviction_count
    room.desk.publish("news", "last")
    assert reader.data(1) == ["last"]
    for client in deaf:
        client.sock.close()
    wait_for(lambda: room.hub.count == 1)
    wait_for(lambda: room.hub._connections.unsent_bytes == 0)


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
    wait_for(lambda: any(stream.unsent_bytes and not stream.wants_page for stream in room.streams), "the queue is full")
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
    wait_for(lambda: any(stream.unsent_bytes and not stream.wants_page for stream in room.streams), "the queue is full")
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
