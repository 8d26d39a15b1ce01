"""What counts as confirmed, on real sockets, and how cursors are handed over."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from newswire.core import limits
from newswire.core.model.commands import Acknowledge
from newswire.core.model.coverage import Coverage, read, write
from newswire.core.model.event_ids import EventId
from newswire.core.model.results import Position
from newswire.stream_order import StreamOrder
from newswire.streams.confirmations import LINUX, Confirmations, KernelReceipt, PendingAcks, ask_kernel
from newswire.streams.connections import Connection
from newswire.streams.pages import EncodedPage
from newswire.streams.schedule import NEVER, SLOT_SECONDS
from newswire.streams.stream import Stream
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

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
    theirs.settimeout(PATIENCE_SECONDS)
    with closing(ours), closing(theirs):
        yield ours, theirs


def confirmed_bytes(sock: socket.socket, sent: int) -> int | None:
    confirmed = ask_kernel(sock, sent)
    return None if confirmed is None else confirmed.byte_count


def until(sock: socket.socket, sent: int, wanted: int | None) -> None:
    """Ask until the answer is `wanted`: the kernel confirms when it likes."""
    wait_until(lambda: confirmed_bytes(sock, sent) == wanted, f"confirmed: {wanted} of {sent} bytes")


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
    until(ours, 5, 5)


def test_what_a_reader_leaves_in_our_kernel_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sent = fill(ours)
    first = confirmed_bytes(ours, sent)
    assert first is not None
    assert first < sent
    read_all(theirs, sent)
    until(ours, sent, sent)


def test_bytes_written_before_the_stream_never_raise_the_count(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    fill(ours)
    assert confirmed_bytes(ours, 10) == 0


def test_an_orderly_close_by_the_other_end_leaves_what_it_confirmed_bytes(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"hello")
    read_all(theirs, 5)
    theirs.close()
    until(ours, 5, 5)


def test_a_reset_connection_confirms_nothing_any_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sent = fill(ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    until(ours, sent, None)


def test_a_closed_socket_confirms_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.close()
    assert confirmed_bytes(ours, 5) is None


def test_how_long_ago_something_was_confirmed_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    def age() -> float:
        confirmed = ask_kernel(ours, 0)
        assert confirmed is not None
        return confirmed.age

    def falls() -> bool:
        ours.send(b"x")
        read_all(theirs, 1)
        return age() < 0.1

    for _ in range(2):
        wait_until(lambda: age() > 0.1)
        wait_until(falls)


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


def ack(user: str, number: int) -> Acknowledge:
    return Acknowledge(user, place(number))


def test_of_what_a_source_offers_the_newest_is_handed_over_once() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    for number in range(1, 4):
        acks.offer("a stream", ack("Alice", number))
    assert acks.due <= 0.0
    assert acks.post(0.0)
    assert acks.post(1.0)
    assert desk.taken == [[ack("Alice", 3)]]
    assert (len(acks), acks.due) == (0, NEVER)


def test_what_is_not_taken_is_offered_again_unless_newer() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    desk.takes = False
    acks.offer(1, ack("Alice", 1))
    acks.offer(2, ack("Bob", 2))
    assert not acks.post(5.0)
    acks.offer(1, ack("Alice", 5))
    assert acks.due == 5.0 + limits.ACK_EVERY_SECONDS
    desk.takes = True
    assert acks.post(acks.due)
    assert desk.taken == [[ack("Alice", 5), ack("Bob", 2)]]
    assert not acks


def test_very_many_go_in_several_calls() -> None:
    desk = Desk()
    acks = PendingAcks(desk.post)
    for number in range(limits.ACK_POST_REQUESTS + 1):
        acks.offer(number, ack("Alice", 1))
    assert acks.post(0.0)
    assert [len(taken) for taken in desk.taken] == [limits.ACK_POST_REQUESTS, 1]


class Clients:
    """Confirmations over streams whose other ends have all that was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = Desk()
        self.acks = PendingAcks(self.desk.post)
        self.confirmations = Confirmations(self.acks)
        self.questions = 0
        self.age = 0.0
        monkeypatch.setattr("newswire.streams.confirmations.ask_kernel", self.ask)

    def ask(self, sock: socket.socket, sent_bytes: int) -> KernelReceipt:
        self.questions += 1
        return KernelReceipt(sent_bytes, self.age)

    def stream(self, user: str = "Alice") -> Connection:
        return Connection(socket.socket(), Stream(StreamOrder(user), False, 0.0), 0.0)

    def send(self, conn: Connection, number: int, now: float) -> None:
        body = b"data: x\n\n"
        page = EncodedPage(body, (len(body),), (place(number),), place(number), place(number), Position(), False)
        conn.stream.receive(page, now)
        conn.stream.note_sent(len(body), now)
        self.confirmations.watch(conn, now)

    def pass_time(self, start: float, end: float) -> list[float]:
        """Check whenever that is due; when something was handed over."""
        times, now = [], start
        while (now := max(now, self.confirmations.due)) <= end:
            assert self.confirmations.check(now) == []
            if self.acks:
                self.acks.post(now)
                times.append(now)
        return times


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    return Clients(monkeypatch)


def test_a_stream_is_asked_for_once_for_all_that_it_sends_in_two_seconds_or_so(clients: Clients) -> None:
    conn = clients.stream()
    for number in range(300):
        clients.send(conn, number + 1, number / 10)
        clients.pass_time(number / 10, number / 10 + 0.09)
    posts = [ack.event_id for some in clients.desk.taken for ack in some]
    assert 11 <= len(posts) <= 16
    assert posts == sorted(set(posts), key=lambda event_id: read(event_id).after["1001-a"])
    assert clients.questions <= 2 * len(posts), "and where so many pages wait for it that they take memory"


def test_many_pages_are_not_kept_until_it_is_time_to_acknowledge_them(clients: Clients) -> None:
    conn = clients.stream()
    for number in range(10 * limits.ACK_POINTS_COUNT):
        clients.send(conn, number + 1, 0.0)
        assert conn.stream.ack_points_count < limits.ACK_POINTS_COUNT
    assert clients.questions == 10
    assert not clients.acks


def test_what_goes_to_many_at_once_is_acknowledged_bit_by_bit(clients: Clients) -> None:
    conns = [clients.stream(f"user{number}") for number in range(1000)]
    for conn in conns:
        clients.send(conn, 1, 100.0)
    times = clients.pass_time(100.0, 200.0)
    assert times[0] >= 100.0 + limits.ACK_EVERY_SECONDS / 2
    assert times[-1] <= 100.0 + limits.ACK_EVERY_SECONDS * 1.5
    assert max(len(taken) for taken in clients.desk.taken) <= 250
    assert len(clients.desk.taken) <= 6, "each is a sync of the disk"
    assert sum(len(taken) for taken in clients.desk.taken) == clients.questions == 1000


def test_who_leaves_is_acknowledged_at_once(clients: Clients) -> None:
    leaver, other = clients.stream(), clients.stream("Bob")
    clients.send(leaver, 1, 100.0)
    clients.send(other, 1, 100.0)
    clients.confirmations.remove(leaver, 100.0)
    assert clients.acks.post(100.0)
    assert clients.desk.taken == [[ack("Alice", 1)]]


def test_who_is_asked_late_has_been_silent_since_it_confirmed_something(clients: Clients) -> None:
    conn, keepalive = clients.stream(), b": keepalive\n\n"
    for now in (0.0, 5.0, 10.0, 15.0, 20.0):
        conn.stream.write(keepalive, now)
        conn.stream.note_sent(len(keepalive) if now < 12.0 else 0, now)
    clients.age = 14.0  # that of ten seconds; nothing since
    clients.confirmations.check_one(conn, 24.0)
    assert 24.0 - 15.0 - SLOT_SECONDS <= conn.stream.unconfirmed_seconds(24.0) <= 24.0 - 15.0, "not longer than it is out"
    clients.age = 0.0
    conn.stream.note_sent(len(keepalive), 25.0)
    clients.confirmations.check_one(conn, 25.0)
    assert conn.stream.unconfirmed_seconds(26.0) == 1.0


def test_a_stream_at_its_end_is_asked_for_until_all_is_confirmed(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = clients.stream()
    monkeypatch.setattr("newswire.streams.confirmations.ask_kernel", lambda sock, sent_bytes: KernelReceipt(0, 0.0))
    conn.stream.end(5.0)
    clients.send(conn, 1, 5.0)
    assert clients.confirmations.due <= 5.0
    assert clients.confirmations.check(5.0) == []
    assert clients.confirmations.due == 5.0 + limits.CONFIRM_ENDING_SECONDS
    monkeypatch.setattr("newswire.streams.confirmations.ask_kernel", clients.ask)
    assert clients.confirmations.check(6.0) == [conn]
