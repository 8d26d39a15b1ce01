"""The hub with real sockets over an engine that is the real fold without a disk; each client checks the framing strictly."""

from __future__ import annotations

import fcntl
import json
import logging
import resource
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pytest

from newswire import sse
from newswire.config import Settings
from newswire.core import limits
from newswire.core.broker.values import BrokerStatus
from newswire.core.model.commands import Acknowledge, Publish, Request, Subscribe
from newswire.core.model.event_ids import EventId, parse
from newswire.core.model.ops import Acknowledged, Began, Dropped, Message, Op, Subscribed, Unsubscribed
from newswire.core.model.results import Position
from newswire.core.read.pages import ReadPosition
from newswire.core.read.pieces import Pieces, finish
from newswire.core.read.scan import Due
from newswire.core.read.start import to_acknowledge
from newswire.core.state.fold import Changes, State
from newswire.engine.memory import MemoryEngine
from newswire.engine.queries import StateQueries
from newswire.engine.seam import ClusterStatus, Page, Receipt, Start, Wake, Woken
from newswire.stream_order import StreamOrder
from newswire.streams import Hub
from newswire.streams.hub import rest_seconds, successor
from newswire.streams.stream import Stream

T = TypeVar("T")
ORIGIN = "1001-abc"
WAIT_SECONDS = 20.0


def wait_for(condition: Callable[[], object], what: str = "") -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what or condition}"
        pause.wait(0.002)


class Desk(StateQueries):
    """The fold, a list of texts, and `wake` under the lock: an engine without disk, threads and peers."""

    def __init__(self) -> None:
        self.state = State()
        self.texts: list[Op] = []
        self.lock = threading.RLock()
        self.woken: Wake = lambda woken: None
        self.rows: tuple[BrokerStatus, ...] = ()
        self.takes = True
        self.queries = 0
        self.serves = True
        self.described = 0
        self.posts: list[list[Acknowledge]] = []
        self.before_page: Callable[[Position], None] = lambda at: None
        self.take(Began(ORIGIN, 1, 0, broker="1001"))

    # -- the seam

    def submit(self, requests: Sequence[Request], *, copies: int = 1, timeout: float = 10.0) -> Receipt:
        raise NotImplementedError

    def post(self, requests: Sequence[Request]) -> bool:
        if not self.takes:
            return False
        acks = [request for request in requests if isinstance(request, Acknowledge)]
        assert len(acks) == len(requests)
        self.posts.append(acks)
        for ack in acks:
            with self.lock:
                ids = tuple(sub.id for sub in to_acknowledge(self.state, ack.user, ack.event_id, ack.pattern))
                if ids:
                    self.take(Acknowledged(ORIGIN, self.next, 0, ids=ids, vector=ack.event_id.after))
        return True

    def _read(self, query: Callable[[State], T]) -> T:
        with self.lock:
            return query(self.state)

    def _query(self, query: Callable[[State], Pieces[T]]) -> T:
        with self.lock:
            return finish(query(self.state))

    def _texts(self, dues: Sequence[Due]) -> list[Message | None]:
        with self.lock:
            texts = [self.texts[due.place] for due in dues]
        return [text for text in texts if isinstance(text, Message)]

    def open_stream(self, user: str, event_id: EventId | None) -> Start | None:
        self.queries += 1
        return super().open_stream(user, event_id)

    def next_page(self, at: Position, limit: int) -> Page:
        self.before_page(at)
        return super().next_page(at, limit)

    def on_wake(self, wake: Wake) -> None:
        self.woken = wake

    def describe(self) -> ClusterStatus:
        self.described += 1
        return ClusterStatus(self.rows, serves=self.serves)

    def close(self, timeout: float = 5.0) -> None:
        pass

    # -- what happens

    @property
    def next(self) -> int:
        return self.state.log.held(ORIGIN) + 1

    def take(self, *ops: Op) -> None:
        """Apply as one batch; who is told, is told before anything of it can be read."""
        changes = Changes()
        with self.lock:
            for op in ops:
                self.state.apply(op, len(self.texts), 1, changes)
                self.texts.append(op)
            self.woken(Woken(frozenset(changes.topics), frozenset(changes.users)))

    def publish(self, topic: str, *texts: str) -> None:
        with self.lock:
            self.take(*(Message(ORIGIN, self.next + i, 0, topic=topic, data=text) for i, text in enumerate(texts)))

    def subscribe(self, user: str, *patterns: str, earliest: bool = False) -> None:
        for pattern in patterns:
            with self.lock:
                since = {} if earliest else dict(self.state.vector)
                self.take(Subscribed(ORIGIN, self.next, 0, user=user, pattern=pattern, since=since))

    def unsubscribe(self, user: str, pattern: str) -> None:
        with self.lock:
            ids = tuple(sub.id for sub in self.state.subscriptions.alive_of(user) if sub.pattern == pattern)
            self.take(Unsubscribed(ORIGIN, self.next, 0, ids=ids))

    def drop(self, topic: str) -> None:
        with self.lock:
            self.take(Dropped(ORIGIN, self.next, 0, topic=topic, vector=dict(self.state.vector)))

    def unread(self, user: str) -> int:
        return sum(row.unread for row in self.subscriptions_of(user))


def _patterns(at: Position) -> tuple[str, ...]:
    assert isinstance(at, ReadPosition)
    return at.wanted.patterns


def _offset(stream: Stream) -> int:
    assert isinstance(stream.position, ReadPosition)
    return stream.position.log.offset


class Dechunker:
    """Reads chunked framing and refuses anything else."""

    def __init__(self) -> None:
        self.raw = b""
        self.finished = False

    def feed(self, received: bytes) -> bytes:
        self.raw += received
        out = b""
        while True:
            head, mark, rest = self.raw.partition(b"\r\n")
            if not mark:
                return out
            assert not self.finished, f"{self.raw!r} behind the last chunk"
            size = int(head, 16)
            if len(rest) < size + 2:
                return out
            assert rest[size : size + 2] == b"\r\n"
            out += rest[:size]
            self.raw = rest[size + 2 :]
            self.finished = size == 0


class Client:
    """The other end of a stream."""

    def __init__(self, sock: socket.socket, chunked: bool) -> None:
        self.sock = sock
        self.sock.settimeout(WAIT_SECONDS)
        self.reader = sse.Reader()
        self.dechunker = Dechunker() if chunked else None
        self.events: list[sse.Event] = []
        self.plain = b""
        self.closed = False

    def receive(self, count: int = 65536) -> None:
        received = self.sock.recv(count)
        self.closed = self.closed or not received
        body = self.dechunker.feed(received) if self.dechunker else received
        self.plain += body
        self.events += self.reader.feed(body)

    def take(self, count: int) -> list[sse.Event]:
        """The next `count` events."""
        while len(self.events) < count:
            assert not self.closed, f"closed after {self.events}"
            self.receive()
        taken, self.events = self.events[:count], self.events[count:]
        return taken

    def data(self, count: int) -> list[str]:
        return [event.data for event in self.take(count)]

    def end(self) -> list[sse.Event]:
        """Everything up to the end, which has to be an orderly one."""
        while not self.closed and not (self.dechunker and self.dechunker.finished):
            self.receive()
        if self.dechunker:
            assert self.dechunker.finished
        self.sock.close()
        return self.events

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Clock:
    """Time that stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Newsroom:
    """A desk, a hub, and a port that only hands connections over."""

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
        engine: MemoryEngine | None = None,
    ) -> None:
        self.desk = Desk()
        self.hub = Hub(engine or self.desk, settings or Settings(), clock=clock)
        (engine or self.desk).on_wake(self.hub.wake)
        self.server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.clients: list[Client] = []

    def connect(
        self,
        user: str = "Alice",
        *,
        chunked: bool = True,
        event_id: EventId | None = None,
        as_json: bool = False,
        ack: str = "auto",
        receive_buffer: int = 0,
        caller: str = "",
    ) -> Client:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(self.server.getsockname())
        client = Client(sock, chunked)
        self.clients.append(client)
        order = StreamOrder(user, event_id, "json" if as_json else "text", ack, caller)
        self.hub.adopt(order, self.server.accept()[0], chunked)
        return client

    def open(self, user: str = "Alice", **options: object) -> Client:
        """A client that was greeted."""
        client = self.connect(user, **options)  # type: ignore[arg-type]
        assert client.data(1) == [sse.GREETING]
        return client

    @property
    def streams(self) -> list[Stream]:
        return [conn.stream for conn in list(self.hub._open)]

    def settle(self) -> None:
        """Wait until every stream has read all there is. Nobody is woken for a cursor."""
        end = max(n for n, op in enumerate(self.desk.texts, 1) if not isinstance(op, Acknowledged))
        wait_for(lambda: all(_offset(stream) >= end and not stream.unsent for stream in self.streams), "settled")

    def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let it be later, and wait until the hub has done what that asks for."""
        clock.now += seconds
        self.hub.wake(Woken(frozenset(), frozenset()))
        wait_for(lambda: not self.hub.count or any(due > clock.now for due, _, _ in self.hub._deadlines[:1]), "time passed")

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.hub.stop(5.0)
        self.server.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Newsroom]]:
    rooms: list[Newsroom] = []

    def made(**options: object) -> Newsroom:
        rooms.append(Newsroom(**options))  # type: ignore[arg-type]
        rooms[-1].hub.start()
        return rooms[-1]

    yield made
    for room in rooms:
        room.close()
        assert not room.hub._thread.is_alive()


@pytest.fixture
def room(make: Callable[..., Newsroom]) -> Newsroom:
    return make()


# -- the start


def test_the_greeting_comes_first_with_a_retry_in_the_same_block(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    assert client.plain == b"retry: 1000\ndata: Listening to new message for subscribed topics\n\n"


def test_the_greeting_of_a_json_stream_is_an_open_event(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    (event,) = room.connect(as_json=True).take(1)
    assert event.name == "open"
    assert json.loads(event.data) == {"message": sse.GREETING, "broker": "1001"}


def test_who_is_not_registered_is_told_to_come_back_later_and_closed(room: Newsroom) -> None:
    client = room.connect("Nobody")
    assert client.end() == []
    assert client.reader.retry == limits.RETRY_LATER_MILLISECONDS
    assert room.hub.count == 0


def test_a_stream_starts_at_the_cursor(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two")
    assert room.open().data(2) == ["one", "two"]


def test_a_returning_client_goes_on_behind_its_id_and_acknowledges_with_it(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two", "three")
    first = room.open(ack="client").take(2)
    again = room.open(ack="client", event_id=parse(first[1].id))
    assert again.data(1) == ["three"]
    wait_for(lambda: room.desk.unread("Alice") == 1)


def test_a_client_whose_id_lies_behind_the_cursor_is_sent_again_what_it_never_saw(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two", "three")
    first = room.open().take(3)
    wait_for(lambda: room.desk.unread("Alice") == 0)
    assert room.open(event_id=parse(first[0].id)).data(2) == ["two", "three"]


# -- news


def test_live_messages_come_in_order_to_those_who_wait_for_them(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news", "finance.*")
    room.desk.subscribe("Bob", "sport")
    alice, bob = room.open(), room.open("Bob")
    room.desk.publish("news", "a\nb")
    room.desk.publish("sport", "goal")
    room.desk.publish("finance.closing", "up")
    assert alice.data(2) == ["a\nb", "up"]
    assert bob.data(1) == ["goal"]
    room.settle()
    assert (alice.events, bob.events) == ([], [])
    assert room.hub.sent_messages == 3


def test_an_unframed_stream(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(chunked=False)
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.hub.stop(5.0)
    assert client.end() == []


def test_messages_as_json(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.connect(as_json=True)
    room.desk.publish("news", "one")
    event = client.take(2)[1]
    shown = json.loads(event.data)
    assert (shown["data"], shown["topic"], shown["event_id"]) == ("one", "news", event.id)


def test_a_slow_reader_gets_a_long_history_in_order_from_a_bounded_queue(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    texts = [f"{number} " + "x" * 300 for number in range(10_000)]
    for start in range(0, 10_000, 1000):
        room.desk.publish("news", *texts[start : start + 1000])
    most = 0

    def look(at: Position) -> None:
        nonlocal most
        most = max([most, *(stream.unsent for stream in room.streams)])

    room.desk.before_page = look
    client = room.open(receive_buffer=4096)
    wait_for(lambda: any(stream.unsent and not stream.hungry for stream in room.streams), "the queue is full")
    assert client.data(10_000) == texts
    assert 0 < most <= limits.SEND_BUFFER_BYTES + limits.STREAM_ROUND_BYTES


def test_messages_of_the_largest_size_are_not_read_again_and_again(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    for number in range(100):
        room.desk.publish("news", chr(65 + number % 26) * limits.MESSAGE_BYTES)
    before = room.hub.pages_read
    client = room.open()
    assert [len(text) for text in client.data(100)] == [limits.MESSAGE_BYTES] * 100
    assert room.hub.pages_read - before <= 100


def test_a_gap_is_told_and_then_acknowledged(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two")
    room.desk.drop("news")
    room.desk.publish("news", "three")
    gap, event = room.open().take(2)
    assert (gap.name, json.loads(gap.data)) == ("gap", {"topic": "news", "dropped": 2})
    assert event.data == "three"
    wait_for(lambda: room.desk.unread("Alice") == 0)


# -- sharing, and who waits for whom


def test_five_hundred_streams_share_what_is_encoded(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams_per_user=1000))
    room.desk.subscribe("Alice", "news")
    clients = [room.connect() for _ in range(500)]
    for client in clients:
        client.take(1)
    room.settle()
    read, encoded = room.hub.pages_read, room.hub.pages_encoded
    room.desk.publish("news", "one")
    assert all(client.data(1) == ["one"] for client in clients)
    assert (room.hub.pages_read - read, room.hub.pages_encoded - encoded) == (1, 1)
    assert room.hub.sent_messages == 500


def test_who_never_reads_delays_nobody_and_costs_little(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.subscribe("Bob", "news")
    room.connect(receive_buffer=4096)
    bob = room.open("Bob")
    for number in range(40):
        room.desk.publish("news", *[f"{number} " + "x" * 10_000] * 10)
        assert all(text.startswith(f"{number} ") for text in bob.data(10))
    assert max(stream.unsent for stream in room.streams) <= limits.SEND_BUFFER_BYTES + limits.STREAM_ROUND_BYTES


def test_two_thousand_streams_and_no_thread_more(make: Callable[..., Newsroom]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4_200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"{needed} open files are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        room = make(settings=Settings(streams_per_user=2000))
        room.desk.subscribe("Alice", "news")
        threads = threading.active_count()
        clients = [room.connect() for _ in range(2000)]
        wait_for(lambda: room.hub.count == 2000)
        room.desk.publish("news", "one")
        assert all(client.data(2) == [sse.GREETING, "one"] for client in clients)
        assert threading.active_count() == threads
        room.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_rest_is_as_long_as_work_but_no_message_waits_longer_than_told() -> None:
    assert rest_seconds(0.002, 0.0) == 0.002
    assert rest_seconds(0.5, 0.0) == limits.REST_SECONDS
    assert rest_seconds(0.5, 0.004) == pytest.approx(limits.REST_SECONDS - 0.004)
    assert rest_seconds(0.5, 3.0) == 0.0


def test_a_stream_that_only_catches_up_is_served_without_rests(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    pages = 60
    room.desk.publish("news", *map(str, range(pages * limits.STREAM_PAGE_MESSAGES)))
    read, rests = room.hub.pages_read, room.hub.rests
    assert room.open().data(pages * limits.STREAM_PAGE_MESSAGES)[-1] == str(pages * limits.STREAM_PAGE_MESSAGES - 1)
    assert room.hub.pages_read - read >= pages
    assert room.hub.rests - rests <= pages // 10, "at the start, and where the socket was full or bytes were confirmed"


def test_while_messages_come_the_hub_rests_also_beside_one_that_catches_up(room: Newsroom) -> None:
    """Each page that the one behind is given finds a message that has come."""
    room.desk.subscribe("Alice", "news")
    room.desk.subscribe("Bob", "other")
    room.desk.publish("news", *map(str, range(20 * limits.STREAM_PAGE_MESSAGES)))
    bob = room.open("Bob")
    room.settle()
    pages: list[Position] = []

    def publish(at: Position) -> None:
        if "news" in _patterns(at) and len(pages) < 20:
            pages.append(at)
            room.desk.publish("other", "x")

    room.desk.before_page = publish
    rests = room.hub.rests
    room.open().data(20 * limits.STREAM_PAGE_MESSAGES)
    assert bob.data(20) == ["x"] * 20
    assert room.hub.rests - rests >= 10


# -- the end


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
    assert (room.hub.opened, room.hub.closed) == (2, 1)


def test_a_client_that_keeps_talking_is_closed(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    client.sock.sendall(b"x" * limits.STREAM_INPUT_BYTES)
    wait_for(lambda: room.hub.count == 0)


@pytest.mark.parametrize("settings", [Settings(streams_per_user=2), Settings(streams=2)])
def test_a_stream_over_a_limit_is_told_to_come_back_later(make: Callable[..., Newsroom], settings: Settings) -> None:
    room = make(settings=settings)
    room.desk.subscribe("Alice", "news")
    first, _ = room.open(), room.open()
    refused = room.connect()
    assert refused.end() == []
    assert refused.plain.startswith(b"retry: 5000\n: ")
    assert (room.hub.count, room.hub.refused) == (2, 1)
    first.sock.close()
    wait_for(lambda: room.hub.count == 1)
    room.open()


def test_who_may_be_no_reader_leaves_room_for_the_reader(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams_per_user=4))
    room.desk.subscribe("Alice", "news")
    for _ in range(2):
        room.open(ack="none")
    refused = room.connect(ack="none")
    assert refused.end() == []
    assert b"certainly the reader" in refused.plain
    for _ in range(2):
        room.open()
    assert (room.hub.count, room.hub.refused) == (4, 1)


@pytest.mark.parametrize("settings", [Settings(streams_per_address=2), Settings(streams=4)])
def test_one_address_has_not_all_streams(make: Callable[..., Newsroom], settings: Settings) -> None:
    room = make(settings=settings)
    room.desk.subscribe("Alice", "news")
    first, _ = room.open(caller="192.0.2.1"), room.open(caller="192.0.2.1")
    assert "from this address" in room.hub.refusal(StreamOrder("Bob", caller="192.0.2.1"))
    assert room.connect(caller="192.0.2.1").end() == []
    assert room.hub.refusal(StreamOrder("Bob", caller="192.0.2.2")) == ""
    room.open(caller="192.0.2.2")
    first.sock.close()
    wait_for(lambda: room.hub.count == 2)
    assert room.hub.refusal(StreamOrder("Bob", caller="192.0.2.1")) == ""
    room.open(caller="192.0.2.1")


def test_this_machines_own_address_may_have_all_streams(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams=3))
    room.desk.subscribe("Alice", "news")
    for _ in range(3):
        room.open(caller="127.0.0.1")
    assert room.hub.refusal(StreamOrder("Bob", caller="127.0.0.1"))


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
    monkeypatch.setattr(room.hub, "_open", {**room.hub._open, **dict.fromkeys(range(2))})
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
    wait_for(lambda: room.hub._room.is_full, "too much")
    assert (room.hub.crowded_out, room.hub.count) == (0, 5)  # nobody has had time to take it yet
    room.pass_time(clock, limits.READ_STALL_SECONDS + 1)
    wait_for(lambda: not room.hub._room.is_full, "room")
    assert room.hub.crowded_out >= 1
    assert room.hub.count == 5 - room.hub.crowded_out
    room.desk.publish("news", "last")
    assert reader.data(1) == ["last"]
    for client in deaf:
        client.sock.close()
    wait_for(lambda: room.hub.count == 1)
    wait_for(lambda: room.hub._room.held_bytes == 0)


def test_one_failing_stream_ends_alone_with_a_line_in_the_log(room: Newsroom, caplog: pytest.LogCaptureFixture) -> None:
    room.desk.subscribe("Alice", "bad")
    room.desk.subscribe("Bob", "good")
    alice, bob = room.open(), room.open("Bob")
    room.settle()

    def fail(at: Position) -> None:
        if "bad" in _patterns(at):
            raise OSError("the disk is on fire")

    room.desk.before_page = fail
    with caplog.at_level(logging.ERROR):
        room.desk.publish("bad", "one")
        wait_for(lambda: room.hub.count == 1)
    room.desk.publish("good", "two")
    assert bob.data(1) == ["two"]
    assert "Alice" in caplog.text
    assert alice.sock.recv(100) == b""


# -- subscriptions that change


def test_a_new_subscription_joins_the_open_stream_with_its_history(room: Newsroom) -> None:
    room.desk.publish("sport", "old goal")
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.desk.subscribe("Alice", "sport", earliest=True)
    assert client.data(1) == ["old goal"]
    room.desk.publish("news", "two")
    room.desk.publish("sport", "goal")
    assert client.data(2) == ["two", "goal"]


def test_the_streams_of_a_user_at_one_place_are_reopened_by_one_query(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    clients = [room.open() for _ in range(10)]
    room.desk.publish("news", "one")
    assert [client.data(1) for client in clients] == [["one"]] * 10
    room.settle()
    before = room.desk.queries
    room.desk.subscribe("Alice", "sport", earliest=True)
    room.desk.publish("sport", "goal")
    assert [client.data(1) for client in clients] == [["goal"]] * 10
    assert room.desk.queries - before == 1


def test_many_who_subscribe_do_not_hold_up_the_streams_of_others(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time for looking up, a turn reopens one user's streams, and then reads on for everybody else."""
    monkeypatch.setattr(limits, "ROUND_SECONDS", 0.0)
    users = [f"user{number}" for number in range(6)]
    for user in users:
        room.desk.subscribe(user, "news")
    clients = [room.open(user) for user in users]
    room.settle()
    waiting: list[int] = []
    room.desk.before_page = lambda at: waiting.append(len(room.hub._changed))
    with room.desk.lock:  # the hub sees all of them in one turn
        for user in users[1:]:
            room.desk.subscribe(user, "sport", earliest=True)
        room.desk.publish("news", "one")
        room.desk.publish("sport", "goal")
    assert clients[0].data(1) == ["one"]
    assert [client.data(2) for client in clients[1:]] == [["one", "goal"]] * 5
    assert max(waiting) > 0, "somebody was read for while others waited to be reopened"


def test_streams_of_a_user_are_looked_for_once_and_nothing_is_left_of_those_that_ended(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news.*")
    clients = [room.open() for _ in range(3)]
    assert len(room.hub._index) == 1
    clients.pop().sock.close()
    wait_for(lambda: room.hub.count == 2, "one has left")
    room.desk.publish("news.a", "one")
    assert [client.data(1) for client in clients] == [["one"]] * 2
    for client in clients:
        client.sock.close()
    wait_for(lambda: room.hub.count == 0, "all have left")
    assert len(room.hub._index) == 0


def test_an_ended_subscription_leaves_the_open_stream(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news", "sport")
    client = room.open()
    room.desk.unsubscribe("Alice", "sport")
    room.desk.publish("sport", "goal")
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]


def test_the_stream_ends_with_the_last_subscription(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.unsubscribe("Alice", "news")
    assert client.end() == []
    assert client.reader.retry == limits.RETRY_LATER_MILLISECONDS
    assert room.hub.count == 0


def test_a_change_repeats_nothing_and_loses_nothing_of_what_waits_to_be_sent(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(receive_buffer=4096)
    texts = [f"{number} " + "x" * 1000 for number in range(2000)]
    for number in range(0, 2000, 100):
        room.desk.publish("news", *texts[number : number + 100])
        room.desk.subscribe("Alice", f"other.{number}")
    assert client.data(2000) == texts
    room.settle()
    assert client.events == []


def test_a_page_read_beyond_a_change_is_not_sent_before_the_stream_was_opened_again(room: Newsroom) -> None:
    """Else the id of "one" would speak for the subscription to sport, whose history was not read."""
    room.desk.publish("sport", "old goal")
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.settle()
    once = iter([True])

    def change(at: Position) -> None:
        if next(once, False):
            room.desk.subscribe("Alice", "sport", earliest=True)
            room.desk.publish("news", "two")

    room.desk.before_page = change
    room.desk.publish("news", "one")
    assert sorted(client.data(3)) == ["old goal", "one", "two"]
    room.settle()
    assert client.events == []


def test_an_engine_wakes_before_what_it_tells_of_can_be_read() -> None:
    """What the test before this one takes for granted."""
    engine = MemoryEngine()
    early: list[bool] = []

    def wake(woken: Woken) -> None:
        done = threading.Event()
        readers.append(threading.Thread(target=look, args=(done,)))
        readers[-1].start()
        early.append(done.wait(0.02))

    def look(done: threading.Event) -> None:
        engine.topics(0, len)
        done.set()

    readers: list[threading.Thread] = []
    engine.on_wake(wake)
    engine.submit([Subscribe("Alice", "news")])
    engine.submit([Publish("news", "one")])
    for reader in readers:
        reader.join()
    assert early == [False, False]


def test_the_hub_over_the_memory_engine() -> None:
    engine = MemoryEngine()
    room = Newsroom(engine=engine)
    room.hub.start()
    engine.submit([Publish("sport", "old goal"), Subscribe("Alice", "news")])
    client = room.open()
    engine.submit([Publish("news", "one")])
    assert client.data(1) == ["one"]
    engine.submit([Subscribe("Alice", "sport", since=0), Publish("sport", "goal"), Publish("news", "two")])
    assert client.data(3) == ["old goal", "goal", "two"]
    room.hub.stop(5.0)
    assert client.end() == []
    assert [row.unread for row in engine.subscriptions_of("Alice")] == [0, 0]
    room.close()


# -- acknowledgement


def test_what_a_client_received_is_acknowledged_without_a_word_from_it(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.publish("news", "one", "two")
    client.data(2)
    wait_for(lambda: room.desk.unread("Alice") == 0)


def test_what_a_client_received_before_it_left_is_acknowledged_at_once(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.settle()
    room.hub._post_at = time.monotonic() + 1000  # not the cursor of the rhythm, but that of the end
    room.desk.publish("news", "one", "two")
    client.data(2)
    client.sock.close()
    wait_for(lambda: room.desk.unread("Alice") == 0)


def test_a_client_that_acknowledges_itself_is_left_alone(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(ack="client")
    room.desk.publish("news", "one")
    client.data(1)
    room.hub.stop(5.0)
    assert room.desk.posts == []


def test_what_may_be_no_reader_acknowledges_nothing_not_even_by_the_id_that_it_names(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two", "three")
    shown = room.open(ack="none").take(3)
    assert room.open(ack="none", event_id=parse(shown[1].id)).data(1) == ["three"]
    room.hub.stop(5.0)
    assert (room.desk.posts, room.desk.unread("Alice")) == ([], 3)


def test_only_what_the_other_kernel_confirmed_is_acknowledged(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(receive_buffer=4096)
    texts = [f"{number} " + "x" * 2000 for number in range(500)]
    room.desk.publish("news", *texts)
    wait_for(lambda: room.desk.posts, "a cursor")
    wait_for(lambda: any(stream.unsent and not stream.hungry for stream in room.streams), "the queue is full")
    acknowledged = 500 - room.desk.unread("Alice")
    (in_kernel,) = struct.unpack("i", fcntl.ioctl(client.sock.fileno(), termios.FIONREAD, bytes(4)))
    held = b""
    while len(held) < in_kernel:
        held += client.sock.recv(in_kernel - len(held))
    whole = held.count(b"x\n\n")  # messages, whatever their chunks
    assert 0 < acknowledged <= whole < 500
    client.reset()
    wait_for(lambda: room.hub.count == 0)
    room.hub.stop(5.0)
    assert room.desk.unread("Alice") > 0


def test_an_idle_stream_posts_nothing(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news", "more")
    client = room.open()
    room.desk.publish("other", "one", "two")
    room.desk.publish("news", "three")
    client.data(1)
    wait_for(lambda: room.desk.unread("Alice") == 0)
    posts = len(room.desk.posts)
    room.desk.publish("other", "four")
    room.hub.stop(5.0)
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
    wait_for(lambda: room.desk.unread("Alice") == 0)
    assert refused.is_set()


# -- time


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
    wait_for(lambda: any(stream.unsent and not stream.hungry for stream in room.streams), "the queue is full")
    while room.hub.count:
        room.pass_time(clock, limits.KEEPALIVE_SECONDS)
        assert clock.now < 1000.0 + 3 * limits.STREAM_STALL_SECONDS
    assert clock.now >= 1000.0 + limits.STREAM_STALL_SECONDS


# -- leaving


def row(broker: str, *, primary: bool = False, state: str = "up", self_: bool = False) -> BrokerStatus:
    return BrokerStatus(broker, f"127.0.0.1:{broker}", primary, state, 0, self_)


def test_streams_leave_a_broker_whose_disk_hangs_although_nobody_tells_the_hub(
    room: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SERVES_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(limits, "KEEPALIVE_SECONDS", 0.05)
    room.desk.subscribe("Alice", "news")
    room.desk.rows = (row("1001", self_=True), row("1003", primary=True))
    client = room.open()
    room.desk.serves = False
    (event,) = client.end()
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1003"})
    assert room.hub.count == 0


def test_a_hub_without_streams_asks_nobody(room: Newsroom) -> None:
    room.hub.wake(Woken(frozenset({"news"}), frozenset()))
    room.desk.subscribe("Alice", "news")
    assert room.desk.described == 0


def test_a_broker_that_leaves_sends_its_streams_to_the_primary(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.rows = (row("1001", self_=True), row("1002"), row("1003", primary=True))
    client = room.open()
    room.hub.wake(Woken(frozenset(), frozenset(), serves=False))
    (event,) = client.end()
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1003"})
    late = room.connect()
    assert [event.name for event in late.end()] == ["moved"]
    assert room.hub.count == 0
    room.hub.wake(Woken(frozenset(), frozenset(), serves=True))
    room.open()


def test_the_successor_is_the_primary_that_is_up() -> None:
    assert successor([row("1001", primary=True, self_=True)]) == ""
    assert successor([row("1", primary=True, state="down"), row("3"), row("2")]) == "127.0.0.1:2"
    assert successor([row("1", primary=True, state="catching-up"), row("2")]) == "127.0.0.1:2"


def test_stop_ends_streams_in_order_and_hands_over_the_last_cursors(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.settle()
    room.hub._post_at = time.monotonic() + 1000
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.hub.stop(5.0)
    assert client.end() == []
    assert room.desk.unread("Alice") == 0
    assert room.hub.count == 0
    assert not room.hub._thread.is_alive()


def test_stop_does_not_wait_for_who_does_not_read(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.connect(receive_buffer=4096)
    room.desk.publish("news", *["x" * 10_000] * 100)
    wait_for(lambda: any(stream.unsent and not stream.hungry for stream in room.streams), "the queue is full")
    room.hub.stop(0.2)
    assert not room.hub._thread.is_alive()
    assert room.streams == []


def test_who_comes_after_the_stop_is_closed(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.hub.stop(5.0)
    room.desk.publish("news", "one")
    assert room.connect().sock.recv(100) == b""


def test_a_hub_that_was_never_started_can_be_stopped() -> None:
    room = Newsroom()
    client = room.connect()
    room.hub.stop(1.0)
    assert client.sock.recv(100) == b""
    room.close()
