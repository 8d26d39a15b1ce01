"""The sockets of the streams: what is sent on them, whose turn it is, who is gone. Hub thread only, but `turn_away`."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import suppress

from newswire import sse
from newswire.core import limits
from newswire.quotas.room import Room
from newswire.streams import gzip_blocks
from newswire.streams.pages import EncodedPage
from newswire.streams.stream import Stream

_READ = selectors.EVENT_READ
_READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE


class Connection:
    """A stream and its socket."""

    __slots__ = ("input_bytes", "is_blocked", "is_closed", "is_watched", "progress_at", "sock", "stream")

    def __init__(self, sock: socket.socket, stream: Stream, now: float) -> None:
        self.sock = sock
        self.stream = stream
        self.is_blocked = False  # the socket is full; the selector says when it is not
        self.is_closed = False
        self.is_watched = False  # it is asked what the other end has confirmed, when its time comes
        self.input_bytes = 0
        self.progress_at = now  # when its socket last took a byte


class Connections:
    """Every socket that is held, also of streams at their end. Whoever is told False closes the connection."""

    def __init__(self, wake: socket.socket) -> None:
        """`wake`: a socket that becomes readable when the hub has something to do."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, _READ)
        self._by_stream: dict[Stream, Connection] = {}
        self._room: Room[Connection] = Room(limits.STREAMS_BYTES)
        self._next_look = 0.0

    def __len__(self) -> int:
        return len(self._by_stream)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_stream.values()))

    @property
    def unsent_bytes(self) -> int:
        """What all of them have to send."""
        return self._room.held_bytes

    def of(self, stream: Stream) -> Connection:
        """The connection of `stream`."""
        return self._by_stream[stream]

    def add(self, sock: socket.socket, stream: Stream, now: float) -> Connection:
        """Hold `sock`, which waits for nothing, has little kernel memory, and sends small events at once.

        Raises OSError or ValueError when it is closed already; then nothing is held.
        """
        conn = Connection(sock, stream, now)
        self._selector.register(sock, _READ, conn)
        self._by_stream[stream] = conn
        return conn

    def wait(self, timeout: float) -> list[tuple[Connection, bool, bool]]:
        """Those that can be sent on, or read from: (connection, whether the one, whether the other)."""
        return [
            (key.data, bool(mask & selectors.EVENT_WRITE), bool(mask & _READ))
            for key, mask in self._selector.select(timeout)
            if key.data is not None
        ]

    def send(self, conn: Connection, now: float) -> bool:
        """One `send`; what the socket does not take waits until it can. False: the other end is gone, or the stream is done."""
        stream = conn.stream
        body = stream.bytes_to_send()
        if body:
            try:
                stream.note_sent(conn.sock.send(body), now)
                conn.progress_at = now
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                return False
        unsent = stream.written_bytes - stream.sent_bytes
        if unsent or conn.is_blocked:
            self._room.hold(conn, unsent)
            if bool(unsent) != conn.is_blocked:
                conn.is_blocked = bool(unsent)
                self._selector.modify(conn.sock, _READ_WRITE if unsent else _READ, conn)
        return not (stream.is_ending and stream.is_done)

    def send_page(self, conn: Connection, page: EncodedPage, now: float) -> bool:
        """Have `conn`, which has nothing queued, take a `page` that `is_all`, by one `send`. False: the other end is gone."""
        try:
            count = conn.sock.send(page.body)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError:
            return False
        if count == len(page.body):
            conn.stream.pass_on(page, now)
            conn.progress_at = now
            return True
        conn.stream.receive(page, now)
        conn.stream.note_sent(count, now)
        return self.send(conn, now)

    def note_unsent(self, conn: Connection) -> None:
        """Count what was queued for a socket that is full."""
        self._room.hold(conn, conn.stream.unsent_bytes)

    def drain(self, conn: Connection) -> bool:
        """Read what the client sends, which means nothing. False: it is gone, or it goes on and on."""
        try:
            count = len(conn.sock.recv(limits.STREAM_INPUT_BYTES))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        conn.input_bytes += count
        return count > 0 and conn.input_bytes <= limits.STREAM_INPUT_BYTES

    def choose(self, now: float) -> list[Connection]:
        """Where all together have too much to send: who makes room (docs/rules.md, ROOM). At most once a second.

        Those that hold most for longest, of those that take nothing; they go on where they were when they come again.
        """
        if not self._room.is_full or now < self._next_look:
            return []
        self._next_look = now + limits.DEADLINE_CHECK_SECONDS

        def stall(conn: Connection) -> float | None:
            seconds = now - conn.progress_at
            return seconds if seconds >= limits.READ_STALL_SECONDS else None

        return self._room.choose(stall)

    def remove(self, conn: Connection) -> None:
        """Close the socket of `conn`, and hold it no more."""
        conn.is_closed = True
        self._room.hold(conn, 0)
        self._by_stream.pop(conn.stream, None)
        with suppress(KeyError, ValueError, OSError):  # the descriptor is closed already
            self._selector.unregister(conn.sock)
        conn.sock.close()

    def close(self) -> None:
        """Close the selector; the connections are removed already."""
        self._selector.close()


def turn_away(sock: socket.socket, head: bytes, *, chunked: bool, reason: str, gzip: bool = False) -> None:
    """Say behind `head` why there is no room, as far as the socket takes it at once, and close it. Any thread."""
    body = sse.comment(reason, retry=limits.RETRY_LATER_MILLISECONDS)
    if gzip:
        body = gzip_blocks.whole(body)
    with suppress(OSError):
        sock.setblocking(False)
        sock.send(head + (sse.chunk(body) + sse.chunk(b"") if chunked else body))
        sock.shutdown(socket.SHUT_WR)
    sock.close()
