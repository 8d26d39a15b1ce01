"""A hub with real sockets over an engine that is the real fold without a disk; each client checks the framing strictly."""

from __future__ import annotations

import math
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from newswire import sse
from newswire.config import Settings
from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.access_drafts import draft_access
from newswire.core.broker.values import BrokerStatus
from newswire.core.model.commands import AccessRequest, Acknowledge, Request
from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import Acknowledged, Began, Dropped, Op, Published, Subscribed, Unsubscribed, with_place
from newswire.core.model.results import Position
from newswire.core.read.pages import ReadPosition
from newswire.core.read.pieces import Pieces, finish
from newswire.core.read.scan import Due
from newswire.core.read.start import to_acknowledge
from newswire.core.state.fold import Changes, State
from newswire.engine.memory import MemoryEngine
from newswire.engine.queries import StateQueries
from newswire.engine.seam import ClusterStatus, Page, Receipt, Start, Wake
from newswire.stream_order import StreamOrder
from newswire.streams import Hub
from newswire.streams.stream import Stream
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

T = TypeVar("T")
ORIGIN = "1001-abc"


class Desk(StateQueries):
    """The fold, a list of texts, and `wake` under the lock: an engine without disk, threads and peers."""

    def __init__(self) -> None:
        self.state = State()
        self.texts: list[Op] = []
        self.lock = threading.RLock()
        self.wake: Callable[[Wake], None] = lambda wake: None
        self.rows: tuple[BrokerStatus, ...] = ()
        self.takes = True
        self.queries = 0
        self.serves = True
        self.described = 0
        self.loads: list[tuple[int, int]] = []
        self.posts: list[list[Acknowledge]] = []
        self.before_page: Callable[[Position], None] = lambda at: None
        self.take(Began(ORIGIN, 1, 0, broker="1001"))

    # -- the seam

    def submit(
        self, requests: Sequence[Request], *, copies: int = 1, timeout: float = 10.0, by: Principal | None = None
    ) -> Receipt:
        raise NotImplementedError

    def post(self, requests: Sequence[Request]) -> bool:
        if not self.takes:
            return False
        acks = [request for request in requests if isinstance(request, Acknowledge)]
        assert len(acks) == len(requests)
        with self.lock:  # who sees that one is applied finds it here, and the other way round
            for ack in acks:
                vector, ids = to_acknowledge(self.state, [ack])
                if ids:
                    self.take(Acknowledged(ORIGIN, self.next, 0, ids=tuple(ids), vector=vector))
            self.posts.append(acks)
        return True

    def _read(self, query: Callable[[State], T]) -> T:
        with self.lock:
            return query(self.state)

    def _query(self, query: Callable[[State], Pieces[T]]) -> T:
        with self.lock:
            return finish(query(self.state))

    def _texts(self, dues: Sequence[Due]) -> list[Published | None]:
        with self.lock:
            texts = [self.texts[due.place] for due in dues]
        return [text for text in texts if isinstance(text, Published)]

    def _records(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        raise NotImplementedError

    def _wall(self) -> int:
        return 0

    def open_stream(self, user: str, event_id: EventId | None, by: Principal | None = None) -> Start | None:
        self.queries += 1
        return super().open_stream(user, event_id, by)

    def next_page(self, at: Position, limit: int) -> Page:
        self.before_page(at)
        return super().next_page(at, limit)

    def on_wake(self, wake: Callable[[Wake], None]) -> None:
        self.wake = wake

    def note_load(self, streams: int, limit: int) -> None:
        self.loads.append((streams, limit))

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
            self.wake(Wake(frozenset(changes.topics), frozenset(changes.users)))

    def publish(self, topic: str, *texts: str) -> None:
        with self.lock:
            self.take(*(Published(ORIGIN, self.next + i, 0, topic=topic, data=text) for i, text in enumerate(texts)))

    def subscribe(self, user: str, *patterns: str, earliest: bool = False, account: str = "") -> None:
        for pattern in patterns:
            with self.lock:
                since = {} if earliest else dict(self.state.vector)
                self.take(Subscribed(ORIGIN, self.next, 0, user=user, pattern=pattern, since=since, account=account))

    def submit_access(self, *requests: AccessRequest) -> None:
        """Have what these mean applied, one after the other."""
        for request in requests:
            with self.lock:
                ops = draft_access(self.state.accounts, request, None, 0)
                self.take(*(with_place(op, ORIGIN, self.next + i, 0) for i, op in enumerate(ops)))

    def unsubscribe(self, user: str, pattern: str) -> None:
        with self.lock:
            ids = tuple(sub.id for sub in self.state.subscriptions.alive_of(user) if sub.pattern == pattern)
            self.take(Unsubscribed(ORIGIN, self.next, 0, ids=ids))

    def drop(self, topic: str) -> None:
        with self.lock:
            self.take(Dropped(ORIGIN, self.next, 0, topic=topic, vector=dict(self.state.vector)))

    def unread(self, user: str) -> int:
        return sum(row.unread for row in self.subscriptions_of(user))


def patterns_at(at: Position) -> tuple[str, ...]:
    assert isinstance(at, ReadPosition)
    return at.wanted.patterns


def offset_of(stream: Stream) -> int:
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

    def __init__(self, sock: socket.socket, chunked: bool, gzip: bool = False) -> None:
        self.sock = sock
        self.inflater = zlib.decompressobj(31) if gzip else None
        self.sock.settimeout(PATIENCE_SECONDS)
        self.reader = sse.EventReader()
        self.dechunker = Dechunker() if chunked else None
        self.events: list[sse.Event] = []
        self.plain = b""
        self.closed = False

    def receive(self, count: int = 65536) -> None:
        received = self.sock.recv(count)
        self.closed = self.closed or not received
        body = self.dechunker.feed(received) if self.dechunker else received
        if self.inflater is not None:
            body = self.inflater.decompress(body)
            assert not self.inflater.unused_data, "something is behind the end of what is compressed"
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
        assert self.inflater is None or self.inflater.eof, "it ends without its checksum"
        self.sock.close()
        return self.events

    def last_words(self) -> str:
        """The comment that an orderly end came with."""
        assert self.end() == []
        return self.reader.comment

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Clock:
    """Time that stands still unless told, or goes on by `step` whenever it is looked at."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 1000.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def as_handed_over(sock: socket.socket) -> socket.socket:
    """`sock` as the listener hands one over: it waits for nothing, and has little memory in the kernel."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SOCKET_BUFFER_BYTES)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Newsroom:
    """A desk, a hub, and a port that only hands connections over."""

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
        engine: MemoryEngine | None = None,
    ) -> None:
        self.desk = Desk()
        self.hub = Hub(engine or self.desk, settings or Settings(), clock=clock, wall=clock)
        (engine or self.desk).on_wake(self.hub.wake)
        self._turn, self.hub._turn = self.hub._turn, self._count_turn  # type: ignore[method-assign]
        self.turns = 0  # of the hub that have ended
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
        until: float = math.inf,
        by: Principal | None = None,
        asker: str = "",
        follows: bool = False,
        gzip: bool = False,
        order: StreamOrder | None = None,
    ) -> Client:
        """`order`: in place of all that it is made of."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(self.server.getsockname())
        client = Client(sock, chunked, gzip)
        self.clients.append(client)
        order = order or StreamOrder(
            user=user,
            event_id=event_id,
            format="json" if as_json else "text",
            ack=ack,
            caller=caller,
            by=by,
            asker=asker,
            until=until,
            follows=follows,
            gzip=gzip,
        )
        self.hub.adopt(order, as_handed_over(self.server.accept()[0]), b"", chunked)
        return client

    def open(self, user: str = "Alice", **options: object) -> Client:
        """A client that was greeted."""
        client = self.connect(user, **options)  # type: ignore[arg-type]
        assert client.data(1) == [sse.GREETING]
        return client

    @property
    def streams(self) -> list[Stream]:
        return [conn.stream for conn in self.hub._connections]

    def settle(self) -> None:
        """Wait until every stream has read all there is. Nobody is woken for a cursor."""
        end = max(n for n, op in enumerate(self.desk.texts, 1) if not isinstance(op, Acknowledged))
        wait_until(lambda: all(offset_of(stream) >= end and not stream.unsent_bytes for stream in self.streams), "settled")

    def _count_turn(self) -> None:
        self._turn()
        self.turns += 1

    def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let it be later, and wait until the hub has done what that asks for."""
        clock.now += seconds
        enough = self.turns + 2  # the turn of now began before, perhaps

        def has_passed() -> bool:
            self.hub.wake(Wake(frozenset(), frozenset()))
            return self.turns >= enough and (not self.hub.count or self.hub._schedule.next_due > clock.now)

        wait_until(has_passed, "time passed")

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.hub.stop(PATIENCE_SECONDS)
        self.server.close()
