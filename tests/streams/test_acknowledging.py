"""What is acknowledged for the clients of a hub (docs/rules.md, AUTO-ACK)."""

from __future__ import annotations

import fcntl
import struct
import termios
import threading
from collections.abc import Callable, Sequence

from newswire.core.model.commands import Request
from newswire.core.model.event_ids import parse
from tests.kit.stream_fakes import Clock, Newsroom
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


def test_what_a_client_received_is_acknowledged_without_a_word_from_it(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.publish("news", "one", "two")
    client.data(2)
    wait_until(lambda: room.desk.unread("Alice") == 0)


def test_what_a_client_received_before_it_left_is_acknowledged_at_once(make: Callable[..., Newsroom]) -> None:
    """Not by the cursor of the rhythm, but by that of the end. A keepalive that is not read would make the close a reset."""
    room = make(clock=Clock())
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.publish("news", "one", "two")
    client.data(2)
    client.sock.close()
    wait_until(lambda: room.desk.unread("Alice") == 0)


def test_a_client_that_acknowledges_itself_is_left_alone(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(ack="client")
    room.desk.publish("news", "one")
    client.data(1)
    room.hub.stop(PATIENCE_SECONDS)
    assert room.desk.posts == []


def test_what_may_be_no_reader_acknowledges_nothing_not_even_by_the_id_that_it_names(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two", "three")
    shown = room.open(ack="none").take(3)
    assert room.open(ack="none", event_id=parse(shown[1].id)).data(1) == ["three"]
    room.hub.stop(PATIENCE_SECONDS)
    assert (room.desk.posts, room.desk.unread("Alice")) == ([], 3)


def test_only_what_the_other_kernel_confirmed_is_acknowledged(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(receive_buffer=4096)
    texts = [f"{number} " + "x" * 2000 for number in range(500)]
    room.desk.publish("news", *texts)
    wait_until(lambda: room.desk.posts, "a cursor")
    wait_until(lambda: any(stream.unsent_bytes and not stream.wants_page for stream in room.streams), "the queue is full")
    acknowledged = 500 - room.desk.unread("Alice")
    (in_kernel,) = struct.unpack("i", fcntl.ioctl(client.sock.fileno(), termios.FIONREAD, bytes(4)))
    held = b""
    while len(held) < in_kernel:
        held += client.sock.recv(in_kernel - len(held))
    whole = held.count(b"x\n\n")  # messages, whatever their chunks
    assert 0 < acknowledged <= whole < 500
    client.reset()
    wait_until(lambda: room.hub.count == 0)
    room.hub.stop(PATIENCE_SECONDS)
    assert room.desk.unread("Alice") > 0


def test_an_idle_stream_posts_nothing(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news", "more")
    client = room.open()
    room.desk.publish("other", "one", "two")
    room.desk.publish("news", "three")
    client.data(1)
    wait_until(lambda: room.desk.unread("Alice") == 0)
    posts = len(room.desk.posts)
    room.desk.publish("other", "four")
    room.hub.stop(PATIENCE_SECONDS)
    assert len(room.desk.posts) == posts


def test_cursors_that_are_not_taken_are_offered_again(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    refused = threading.Event()
    post = room.desk.post

    def refuse_once(requests: Sequence[Request]) -> bool:
        if not refused.is_set():
            refused.set()
            return False
        return post(requests)

    room.hub._acks._post = refuse_once
    room.desk.publish("news", "one")
    client.data(1)
    wait_until(lambda: room.desk.unread("Alice") == 0)
    assert refused.is_set()
