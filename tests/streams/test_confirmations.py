"""What counts as confirmed, on real sockets, and how cursors are handed over."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.event_ids import EventId
from newswire.streams.confirmations import LINUX, PendingAcks, confirmed_bytes
from newswire.streams.schedule import NEVER

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
    return write(Coverage("", {"1001-a": number}))


def post_until(acks: PendingAcks, start: float, end: float) -> list[float]:
    """Post whenever something is due; when that was."""
    times = []
    now = start
    while (now := max(now, acks.due)) <= end:
        assert acks.post(now)
        times.append(now)
    return times


def test_each_source_hands_over_its_newest_every_two_seconds_or_so() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    for number in range(400):
        acks.offer("a stream", "Alice", place(number), number / 10)
        post_until(acks, number / 10, number / 10 + 0.09)
    posts = [ack for some in desk.taken for ack in some]
    assert 15 <= len(posts) <= 21
    assert len(desk.taken) == len(posts)
    assert acks.post_all()
    assert desk.taken[-1] == [Acknowledge("Alice", place(399))]
    assert (len(acks), acks.due) == (0, NEVER)
    assert acks.post_all()


def test_what_comes_at_once_is_handed_over_bit_by_bit() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    for number in range(1000):
        acks.offer(number, f"user{number}", place(1), 100.0)
    times = post_until(acks, 100.0, 200.0)
    assert times[0] >= 100.0 + limits.ACK_EVERY_SECONDS / 2
    assert times[-1] <= 100.0 + limits.ACK_EVERY_SECONDS * 1.5
    assert max(len(taken) for taken in desk.taken) <= 100
    assert sum(len(taken) for taken in desk.taken) == 1000


def test_who_begins_or_ends_is_acknowledged_at_once() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    acks.offer(1, "Alice", place(1), 100.0)
    acks.offer(2, "Bob", place(2), 100.0)
    acks.hurry(2, 100.0)
    acks.hurry(3, 100.0)
    assert post_until(acks, 100.0, 100.2) == [100.0]
    assert desk.taken == [[Acknowledge("Bob", place(2))]]


def test_what_is_not_taken_is_offered_again_unless_newer() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    desk.takes = False
    acks.offer(1, "Alice", place(1), 0.0)
    acks.offer(2, "Bob", place(2), 0.0)
    assert not acks.post(5.0)
    acks.offer(1, "Alice", place(5), 5.0)
    desk.takes = True
    assert acks.post(6.9)
    assert desk.taken == []
    assert acks.post(7.1)
    assert sorted(desk.taken[0], key=lambda ack: ack.user) == [Acknowledge("Alice", place(5)), Acknowledge("Bob", place(2))]
    assert not acks


def test_very_many_go_in_several_calls() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    for number in range(limits.ACK_POST_REQUESTS + 1):
        acks.offer(number, "Alice", place(1), 0.0)
    assert acks.post_all()
    assert [len(taken) for taken in desk.taken] == [limits.ACK_POST_REQUESTS, 1]
