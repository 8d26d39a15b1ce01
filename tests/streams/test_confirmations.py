"""What counts as confirmed, on real sockets, and how cursors are handed over."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.event_ids import EventId
from newswire.streams.confirmations import LINUX, PendingAcks, confirmed_bytes

pytestmark = pytest.mark.skipif(not LINUX, reason="the kernel's count of unconfirmed bytes is read on Linux only")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection over loopback: (ours, theirs), theirs with a small receive buffer."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.connect(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    theirs.settimeout(5)
    with closing(ours), closing(theirs):
        yield ours, theirs


def until(sock: socket.socket, sent: int, wanted: int | None, tries: int = 50_000) -> int | None:
    """Ask until the answer is `wanted` (the kernel confirms when it likes, within bounds), return the last answer."""
    found = confirmed_bytes(sock, sent)
    for _ in range(tries):
        if found == wanted:
            break
        found = confirmed_bytes(sock, sent)
    return found


def fill(sock: socket.socket) -> int:
    sent = 0
    while True:
        try:
            sent += sock.send(b"x" * 65536)
        except BlockingIOError:
            return sent


def read_all(sock: socket.socket, count: int) -> None:
    while count:
        count -= len(sock.recv(min(count, 65536)))


def test_what_the_other_kernel_took_is_confirmed_bytes(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"hello")
    read_all(theirs, 5)
    assert until(ours, 5, 5) == 5


def test_what_a_reader_leaves_in_our_kernel_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sent = fill(ours)
    first = confirmed_bytes(ours, sent)
    assert first is not None
    assert first < sent
    read_all(theirs, sent)
    assert until(ours, sent, sent) == sent


def test_bytes_written_before_the_stream_never_raise_the_count(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    fill(ours)
    assert confirmed_bytes(ours, 10) == 0


def test_an_orderly_close_by_the_other_end_leaves_what_it_confirmed_bytes(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"hello")
    read_all(theirs, 5)
    theirs.close()
    assert until(ours, 5, 5) == 5


def test_a_reset_connection_confirms_nothing_any_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sent = fill(ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    assert until(ours, sent, None) is None


def test_a_closed_socket_confirms_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.close()
    assert confirmed_bytes(ours, 5) is None


class Desk:
    """An engine's `post` that may refuse."""

    def __init__(self) -> None:
        self.taken: list[Sequence[Acknowledge]] = []
        self.takes = True

    def post(self, requests: Sequence[Acknowledge]) -> bool:
        if self.takes:
            self.taken.append(requests)
        return self.takes


def place(number: int) -> EventId:
    return EventId("", {"1001-a": number})


def test_cursors_are_handed_over_in_one_call() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    acks.offer(1, "Alice", place(1))
    acks.offer(2, "Bob", place(2))
    assert acks.post(0.0)
    assert desk.taken == [[Acknowledge("Alice", place(1)), Acknowledge("Bob", place(2))]]
    assert not acks
    assert acks.post(0.0)
    assert len(desk.taken) == 1


def test_what_is_not_taken_is_offered_again_unless_newer() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    desk.takes = False
    acks.offer(1, "Alice", place(1))
    acks.offer(2, "Bob", place(2))
    assert not acks.post(0.0)
    acks.offer(1, "Alice", place(5))
    desk.takes = True
    assert acks.post(0.0)
    assert desk.taken == [[Acknowledge("Alice", place(5)), Acknowledge("Bob", place(2))]]


def test_very_many_go_in_several_calls() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    for number in range(limits.ACK_POST_REQUESTS + 1):
        acks.offer(number, "Alice", place(1))
    assert acks.post(0.0)
    assert [len(taken) for taken in desk.taken] == [limits.ACK_POST_REQUESTS, 1]
