"""The HTTP server of a broker: all of waitress, and what is different here.

**What waitress does.** One *loop thread* owns every socket: it accepts, reads, parses (`HTTPRequestParser`), and hands a
channel whose request is complete to a *pool* (`ThreadedTaskDispatcher`). A *worker* runs the application (`WSGITask`), puts
the answer into the channel's buffers, sends what the kernel takes at once, and wakes the loop (`trigger`) for the rest.
A connection is read again only when its answer is sent, so a request never waits for a client: bodies are whole
before the application sees them.

**What we replace, each at a seam of waitress**, because (DESIGN 7, RELIABILITY 2)

- `_Server` for `TcpWSGIServer` and its loop: `select` dies at descriptor 1024, `poll` costs O(connections) a turn; it stops at
  100 connections; a request that never ends is never cut off.
- `_Pool`, two of them: two brokers whose threads all wait for each other's receipt would starve (H18). Peers and probes
  have threads of their own.
- `_Channel` for `HTTPChannel`: a worker waits for a client that does not read; a stream must leave waitress for the hub; a
  close with unread input resets the connection, and the client never sees why.
- `_Request` for `HTTPRequestParser`: takes what two servers read in two ways (request smuggling), and bodies of a GiB.
- `_Task`, `_ErrorTask` for theirs: hand-over; errors as problem+json.

**How the loop stays O(1).** What a channel waits for changes only by its own event or by its worker. After an event the
loop refreshes that channel; a worker names its channel in `changed` before it pulls the trigger. Nobody asks the others.

**Hand-over.** The view of a stream puts an adopter into the environ and answers 200 without a body. The worker
writes the header, no last chunk, and asks for a close as after any answer without a length. Where the loop would then close
the flushed channel, it takes the socket out of waitress instead and gives it to the adopter. A client that left earlier failed
the flush and is closed as usual; one that leaves later is the adopter's.

**What a worker never does:** wait for a client. Whatever the application answers is buffered (answers are finite, streams have
left), and the next pipelined request is not begun before it is sent (`parked`): at most one unsent answer a connection.

**Threads.** Each class says which thread calls which method. Only the loop thread opens, closes, registers or detaches
sockets, moves a channel between phases, or counts.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from waitress import utilities, wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from newswire import escape
from newswire.core import limits
from newswire.core.head import CONTROL, CONTROL_PATHS, body_limit_bytes, head_problem, route
from newswire.errors import NewswireError, Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

HAND_OVER: Final = "newswire.hand_over"  # in the environ: the view's adopter
POSSIBLE: Final = "newswire.listener"  # in the environ: True, hand-over is possible

Adopter = Callable[[socket.socket, bool], None]
"""Takes a stream's socket (non-blocking, header sent) and whether its body is chunked. Loop thread; returns at once."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deadlines:
    """How long a client may take, in seconds; `check` is how often that is looked at."""

    head: float = limits.HEAD_SECONDS
    body: float = limits.BODY_SECONDS
    stall: float = limits.READ_STALL_SECONDS
    idle: float = limits.IDLE_SECONDS
    linger: float = limits.LINGER_SECONDS
    check: float = limits.DEADLINE_CHECK_SECONDS


# -- waitress's own errors ----------------------------------------------------------------------------------------

_CODE_OF: Final = {400: "bad-request", 413: "too-large", 431: "head-too-large", 501: "bad-request", 507: "storage-full"}
_TOO_LONG_A_HEAD: Final = f"request line and headers are larger than {limits.HEAD_BYTES} bytes: send fewer or shorter headers"
_LATE: Final = "the request did not arrive in time: send it again, in one go"


def _as_ours(error: utilities.Error) -> NewswireError:
    """Make an error of waitress one of our table; its words are kept only where they are about the request."""
    code = _CODE_OF.get(error.code, "internal")
    if code == "bad-request":
        return NewswireError(f"the request cannot be read: {error.body}", code=code)
    if code == "head-too-large":
        return NewswireError(_TOO_LONG_A_HEAD, code=code)
    return NewswireError("an error of the broker; its log says more" if code == "internal" else error.body, code=code)


class _NoRoom(utilities.Error):
    """A large body waits in a temporary file, and there is no room for it."""

    code = 507


def _answer(error: NewswireError) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of an error (RFC 9457)."""
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return f"{error.status} {HTTPStatus(error.status).phrase}", headers, msgspec.json.encode(error.problem())


def _raw_answer(error: NewswireError) -> bytes:
    """The same as bytes, for an answer that no worker writes."""
    status, headers, body = _answer(error)
    headers += [("Content-Length", str(len(body))), ("Connection", "close")]
    return (f"HTTP/1.1 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n").encode() + body


# -- one request --------------------------------------------------------------------------------------------------


class _Request(HTTPRequestParser):
    """A request as it comes in. Loop thread; then its worker's."""

    path = ""  # waitress logs it, also when the head could not be read
    version = "1.1"  # of the answer to such a head
    body_limit_bytes = limits.FORM_BYTES

    def received(self, data: bytes) -> int:
        """Take bytes; returns how many belong to this request. Refuses a body as soon as it must pass its limit."""
        try:
            taken = super().received(data)
        except OSError as error:
            taken, self.completed = len(data), True
            self.error = _NoRoom(f"no room for the body ({error.strerror}): try again later, or at another broker")
        if self.error is None and self._needed_bytes() > self.body_limit_bytes:
            detail = f"the body is larger than {self.body_limit_bytes} bytes: send less, or several requests"
            self.error, self.completed = utilities.RequestEntityTooLarge(detail), True
        if self.error is None and self._line_bytes() > limits.HEAD_BYTES:
            self.error, self.completed = utilities.RequestHeaderFieldsTooLarge(""), True
        if self.completed:
            self.expect_continue = False  # else waitress says "100 Continue" to what is refused, and waits for ever
        return taken

    def _needed_bytes(self) -> int:
        """What the body is known to need: as announced, or, chunked, what came and what the chunk that has begun adds."""
        body = self.body_rcv
        return len(body) + body.chunk_remainder if isinstance(body, ChunkedReceiver) else self.content_length

    def _line_bytes(self) -> int:
        """Bytes of an unfinished chunk line or trailer, which waitress keeps without a bound."""
        body = self.body_rcv
        return len(body.control_line) + len(body.trailer) if isinstance(body, ChunkedReceiver) else 0

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head; raises ParsingError, which waitress answers with 400 and a close."""
        if problem := head_problem(header_plus):
            raise ParsingError(problem)
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of urlsplit; uncaught it would close the connection without an answer
            raise ParsingError("its target is not a URL") from error
        if CONTROL.search(self.path.encode("latin-1")):
            raise ParsingError("its path holds a control character")
        self.body_limit_bytes = body_limit_bytes(route(self.path))


class _Task(WSGITask):
    """One run of the application. Worker thread."""

    channel: _Channel

    def service(self) -> None:
        """Run it; unlike waitress's own, an OSError of the application is an error like any other (500, logged)."""
        self.start()
        self.execute()
        self.finish()

    def get_environment(self) -> WSGIEnvironment:
        """Make the environ."""
        environ = super().get_environment()  # waitress keeps it as `self.environ`
        environ.update({POSSIBLE: True, "SERVER_SOFTWARE": "newswire"})
        return environ

    def write(self, data: bytes) -> None:
        """Write; header and body in one piece where they are the whole answer, so that they leave as one packet."""
        if self.wrote_header or not self.has_body or self.content_length != len(data) or not self.complete:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header, self.content_bytes_written = True, len(data)

    def finish(self) -> None:
        """End the answer; or leave it open for the adopter: the header is written, no last chunk."""
        adopter: Adopter | None = (self.environ or {}).get(HAND_OVER)
        if adopter is None or not self.status.startswith("200 ") or self.content_length is not None:
            super().finish()
            return
        if not self.wrote_header:
            self.write(b"")
        self.channel.adopter, self.channel.chunked = adopter, self.chunked_response
        self.close_on_finish = True


class _ErrorTask(ErrorTask):
    """Answers what waitress refuses, and what the application raised. Worker thread."""

    channel: _Channel

    def execute(self) -> None:
        """Write the error as problem+json and close, but not before the client could read it."""
        error = cast(_Request, self.request).error
        self.status, self.response_headers, body = _answer(_as_ours(cast(utilities.Error, error)))
        self.content_length = len(body)
        self.set_close_on_finish()
        self.channel.lingers = True
        self.write(body)


# -- one connection -----------------------------------------------------------------------------------------------


class Phase(Enum):
    """What a connection is doing; each has its deadline."""

    IDLE = auto()  # nothing begun
    HEAD = auto()  # a head has begun
    BODY = auto()  # a body has begun
    WORKING = auto()  # a request waits for a worker or has one
    SENDING = auto()  # (a part of) an answer is not yet taken
    LINGERING = auto()  # an error was answered; input is dropped


class _Log(logging.LoggerAdapter[logging.Logger]):
    """waitress's words, with what strangers put into them made harmless."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Escape; waitress formats before it logs."""
        return escape.line(str(msg)), kwargs


class _Channel(HTTPChannel):
    """One connection."""

    task_class = _Task
    error_task_class = _ErrorTask
    parser_class = _Request

    server: _Server
    logger: _Log  # type: ignore[assignment]
    requests: list[HTTPRequestParser]
    _fileno: int | None

    phase = Phase.IDLE
    since = 0.0  # clock: phase entered
    begun = 0.0  # clock: first byte of the request that is coming in
    progress = 0.0  # clock: the client last took a byte
    partial: HTTPRequestParser | None = None  # the request that `begun` is about
    parked = False  # requests wait until the answer before them is sent
    adopter: Adopter | None = None  # set by the worker before it asks for the close
    chunked = False
    lingers = False  # the close waits for the client
    lingering = False

    # Loop thread.

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = self.server.escaping

    def add_channel(self, map: Any = None) -> None:
        """Enter the map."""
        super().add_channel(map)
        self.server.changed.append(self)

    def del_channel(self, map: Any = None) -> None:
        """Leave map and selector."""
        self.server.forget(self)
        super().del_channel(map)

    def readable(self) -> bool:
        """Is input wanted?"""
        return self.lingering or super().readable()

    def writable(self) -> bool:
        """Is there something to send, or a close to do?"""
        return not self.lingering and bool(super().writable())

    def received(self, data: bytes) -> bool:
        """Parse; note when a request begins."""
        taken = super().received(data)
        if self.request is not self.partial:
            self.partial, self.begun = self.request, self.server.clock()
        return taken

    def handle_write(self) -> None:
        """Send; then do what was asked for when all is sent."""
        flush = self._flush_some_if_lockable if self.requests else self._flush_some  # type: ignore[attr-defined]
        self._flush_exception(flush)  # type: ignore[attr-defined]
        if self.will_close:
            self.handle_close()
        elif self.connected and self.close_when_flushed and not self.total_outbufs_len:
            self._end()

    def _end(self) -> None:
        if self.adopter:
            self._hand_over(self.adopter)
        elif self.lingers:
            self._linger()
        else:
            self.handle_close()

    def _linger(self) -> None:
        """Close our half; drop what still comes, until the client closes his."""
        self.lingering = True
        try:
            cast(socket.socket, self.socket).shutdown(socket.SHUT_WR)
        except OSError:  # he has left
            self.handle_close()

    def _hand_over(self, adopter: Adopter) -> None:
        """Take the socket out of waitress and give it away."""
        sock = cast(socket.socket, self.socket)
        self.del_channel()
        self.socket, self.connected = None, False
        self.server.handed_over += 1
        try:
            adopter(sock, self.chunked)
        except Exception:
            _log.exception("a stream could not be adopted")
            sock.close()

    def handle_close(self) -> None:
        """Close; in a worker (a failed 100 Continue) only ask for it: `service` wakes the loop."""
        if threading.get_ident() == self.server.loop_ident:
            super().handle_close()
        else:
            self.will_close = True

    def time_out(self) -> None:
        """Close at once (`will_close` would wait for a client that takes nothing); tell a sender why, if he listens."""
        if self.phase in (Phase.HEAD, Phase.BODY):
            with suppress(OSError):
                self.send(_raw_answer(NewswireError(_LATE, code="timeout")), do_close=False)
        self.handle_close()

    def current_phase(self) -> Phase:
        """Look at what waitress keeps."""
        if self.lingering:
            return Phase.LINGERING
        if self.total_outbufs_len:
            return Phase.SENDING
        if self.requests or self.close_when_flushed or self.will_close:
            return Phase.WORKING
        if self.request is None:
            return Phase.IDLE
        return Phase.BODY if self.request.headers_finished else Phase.HEAD

    def deadline(self, deadlines: Deadlines) -> float:
        """When the client has been too slow; a request that runs is not the client's."""
        match self.phase:
            case Phase.IDLE:
                return self.since + deadlines.idle
            case Phase.HEAD:
                return self.begun + deadlines.head
            case Phase.BODY:
                return self.begun + deadlines.body
            case Phase.SENDING:
                return max(self.since, self.progress) + deadlines.stall
            case Phase.LINGERING:
                return self.since + deadlines.linger
        return float("inf")

    # Worker threads.

    def service(self) -> None:
        """Run the first request; whatever happens, the loop hears of it."""
        self.server.serving.channel = self
        try:
            super().service()
        except BaseException:
            self.will_close = True
            self.server.pull_trigger()
            raise
        finally:
            self.server.serving.channel = None

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Not here: waitress would make the worker wait for the client."""

    # Both.

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Give bytes to the kernel; returns how many it took."""
        sent = super().send(data, do_close)
        if sent:
            self.progress = self.server.clock()
        return sent


# -- all connections ----------------------------------------------------------------------------------------------


class _Pool(ThreadedTaskDispatcher):
    """Threads for one kind of request."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def start_new_thread(self, target: Callable[[int], object], thread_no: int) -> None:
        """Start a worker; daemon, as a stuck application must not keep the process."""
        threading.Thread(target=target, args=(thread_no,), name=f"{self.name}-{thread_no}", daemon=True).start()

    def add_task(self, task: Any) -> None:
        """Queue a channel (any thread); waitress's own logs a warning whenever one has to wait."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()


_EVICTED: Final = (Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.LINGERING, Phase.SENDING)  # in this order; never what runs
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class _Server(TcpWSGIServer):
    """The listening socket, and the loop over it and its channels."""

    channel_class = _Channel
    _fileno: int | None

    def __init__(
        self, app: WSGIApplication, sock: socket.socket, *, connections: int, deadlines: Deadlines, clock: Callable[[], float]
    ) -> None:
        self.clients, self.control = _Pool("clients"), _Pool("control")
        self.connections, self.deadlines, self.clock = connections, deadlines, clock
        self.handed_over = self.evicted = self.timed_out = 0
        self.selector = selectors.DefaultSelector()  # epoll where there is one
        self.interest: dict[int, int] = {}  # descriptor -> what the selector was told
        self.lines: dict[Phase, OrderedDict[_Channel, None]] = {phase: OrderedDict() for phase in Phase}  # oldest first
        self.changed: deque[_Channel] = deque()  # to be refreshed; appended to by workers
        self.escaping = _Log(_log)
        self.serving = threading.local()  # .channel: whose request this worker runs
        self.loop_ident = 0
        self.next_check = clock()
        self.full = False  # not accepting until something closes or time has passed
        self.stop_at: float | None = None  # time.monotonic(): stopping, and when at the latest
        sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
        super().__init__(app, {}, _sock=sock, dispatcher=self.clients, adj=_adjustments(), sockinfo=sockinfo, bind_socket=False)

    @property
    def channels(self) -> dict[int, _Channel]:
        """The open connections by descriptor."""
        return cast("dict[int, _Channel]", self.active_channels)

    # Any thread.

    def add_task(self, task: Any) -> None:
        """Give a channel to the threads of its request's kind, unless an answer before it is still unsent."""
        channel = cast(_Channel, task)
        if channel.total_outbufs_len:
            channel.parked = True  # this worker's last act is to wake the loop, which looks again
        elif route(cast(_Request, channel.requests[0]).path) in CONTROL_PATHS:
            self.control.add_task(channel)
        else:
            self.clients.add_task(channel)

    def pull_trigger(self) -> None:
        """Wake the loop for the channel that this worker serves."""
        self.changed.append(self.serving.channel)
        super().pull_trigger()

    def stop(self, at: float) -> None:
        """Ask the loop to end: at once when no request is running, at `at` (time.monotonic()) at the latest."""
        cast(Any, self.trigger).pull_trigger(lambda: self._wind_down(at))

    # Loop thread.

    def run(self) -> None:
        """Serve until stopped."""
        self.loop_ident = threading.get_ident()
        self.refresh(self)
        self.refresh(cast(wasyncore.dispatcher, self.trigger))
        while not self._finished():
            try:
                self._turn()
            except Exception:  # a bug must not make the broker deaf, nor fill its log
                _log.exception("the listener stumbled")
                time.sleep(0.1)
        for channel in list(self.channels.values()):
            channel.handle_close()
        self.selector.close()

    def _turn(self) -> None:
        wait = self.deadlines.check if self.stop_at is None else self.stop_at - time.monotonic()
        for key, events in self.selector.select(max(0.0, min(wait, self.deadlines.check))):
            self._serve(key.data, events)
        for _ in range(len(self.changed)):
            self.refresh(self.changed.popleft())
        if (now := self.clock()) >= self.next_check:
            self.next_check = now + self.deadlines.check
            self.maintenance(now)

    def _serve(self, item: Any, events: int) -> None:
        if item._fileno is None:  # closed by an event before it in this turn
            return
        if events & selectors.EVENT_READ:
            wasyncore.read(item)  # what it raises is logged and closes it
        if events & selectors.EVENT_WRITE and item._fileno is not None:
            wasyncore.write(item)
        self.refresh(item)

    def refresh(self, item: Any) -> None:
        """Tell the selector what this channel (or the server, or the trigger) waits for now."""
        if isinstance(item, _Channel) and item._fileno is not None:
            self._place(item)
        fd: int | None = item._fileno
        if fd is None:
            return
        wanted = selectors.EVENT_READ if item.readable() else 0
        wanted |= selectors.EVENT_WRITE if item.writable() else 0
        known = self.interest.get(fd, 0)
        if wanted == known:
            return
        self.interest[fd] = wanted
        if not known:
            self.selector.register(fd, wanted, item)
        elif wanted:
            self.selector.modify(fd, wanted, item)
        else:
            self.selector.unregister(fd)

    def _place(self, channel: _Channel) -> None:
        """Start what was parked; put the channel into its phase."""
        if channel.parked and not channel.total_outbufs_len:
            channel.parked = False
            self.add_task(channel)
        before, phase = channel.phase, channel.current_phase()
        if phase is before and phase is not Phase.IDLE:
            return
        now = self.clock()
        if before in (Phase.WORKING, Phase.SENDING):
            channel.begun = now  # the next request's time runs only while it is read
        self.lines[before].pop(channel, None)
        self.lines[phase][channel] = None
        channel.phase, channel.since = phase, now
        if self.stop_at is not None and phase not in (Phase.WORKING, Phase.SENDING):
            channel.handle_close()

    def forget(self, item: Any) -> None:
        """Drop what is kept about something whose descriptor leaves."""
        if self.interest.pop(item._fileno, 0):
            self.selector.unregister(item._fileno)
        if isinstance(item, _Channel):
            self.lines[item.phase].pop(item, None)
            self._admit()

    def _admit(self) -> None:
        if self.full:
            self.full = False
            self.changed.append(cast(Any, self))

    def readable(self) -> bool:
        """May one more connection come?"""
        return self.accepting and not self.full

    def handle_accept(self) -> None:
        """Take one connection; at a limit (ours, or the system's of descriptors) the longest idle one goes for it."""
        self.full = len(self.channels) >= self.connections and not self._evict()
        if self.full:
            return
        try:
            pair = self.accept()
        except OSError as error:
            self.full = error.errno in _NO_ROOM and not self._evict()
            return
        if pair is not None:
            self._open(*pair)

    def _open(self, sock: socket.socket, address: Any) -> None:
        try:
            self.set_socket_options(sock)
            self.channel_class(self, sock, address, self.adj, map=self._map)  # type: ignore[attr-defined]
        except OSError:  # it has left already
            sock.close()

    def _evict(self) -> bool:
        for line in (self.lines[phase] for phase in _EVICTED):
            for channel in line:
                self.evicted += 1
                channel.handle_close()
                return True
        return False

    def maintenance(self, now: float) -> None:
        """Close whoever is too slow."""
        for channel in [c for c in self.channels.values() if c.deadline(self.deadlines) <= now]:
            self.timed_out += channel.phase not in (Phase.IDLE, Phase.LINGERING)
            channel.time_out()
        self._admit()

    def handle_error(self) -> None:
        """Log, and go on listening: waitress would close the listening socket."""
        _log.exception("a connection could not be taken")
        self.full = True

    def del_channel(self, map: Any = None) -> None:
        """Leave map and selector."""
        self.forget(self)
        super().del_channel(map)

    def _wind_down(self, at: float) -> None:
        """Stop accepting; close what has no request running."""
        self.stop_at = at
        wasyncore.dispatcher.close(self)
        for channel in list(self.channels.values()):
            if channel.phase not in (Phase.WORKING, Phase.SENDING):
                channel.handle_close()

    def _finished(self) -> bool:
        return self.stop_at is not None and (not self.channels or time.monotonic() >= self.stop_at)


def _adjustments() -> Adjustments:
    """What waitress is told. Its body limit is off: it would refuse a body of exactly the limit, and knows no paths."""
    told = Adjustments(
        ident=None,
        backlog=limits.ACCEPT_BACKLOG_COUNT,
        recv_bytes=limits.RECEIVE_BYTES,
        outbuf_high_watermark=limits.ANSWER_BUFFER_BYTES,
        max_request_header_size=limits.HEAD_BYTES + 1,  # it refuses at, not above
        max_request_body_size=1 << 62,
        channel_request_lookahead=0,
        log_socket_errors=False,  # of clients that left
        expose_tracebacks=False,
        clear_untrusted_proxy_headers=True,
        server_name="newswire.invalid",
    )
    # A socket is writable again when a third of its buffer is free: of the kernel's 4 MB a slow client takes that in minutes,
    # and looks stalled. waitress also copies a whole buffer for each few bytes that go out.
    told.socket_options = [*told.socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SOCKET_BUFFER_BYTES)]
    return told


def _bind(host: str, port: int) -> socket.socket:
    """Bind; raises Unavailable with a sentence that says what to do."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, address = min(found, key=lambda row: row[0] != socket.AF_INET)  # "localhost" is 127.0.0.1
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise Unavailable(f"{host} is no address to listen at: choose another with --host") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise Unavailable(_bind_sentence(error, host, port)) from error
    return sock


def _bind_sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} at {host} is taken: stop the other program or choose another port with --port"
    if error.errno == errno.EACCES:
        return f"port {port} at {host} is not allowed to this user: choose a port above 1023 with --port"
    return f"cannot listen at {host}, port {port} ({error.strerror}): choose another address with --host"


class Listener:
    """Serves a WSGI application on one port; streams leave by hand-over. Built, started and stopped by one thread."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        host: str,
        port: int,
        threads: int = limits.CLIENT_THREADS,
        control_threads: int = limits.CONTROL_THREADS,
        connections: int = limits.CONNECTIONS_COUNT,
        deadlines: Deadlines | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind and listen (port 0: any free one); requests wait in the kernel until `start`. Raises Unavailable."""
        sock = _bind(host, port)
        self._threads = {"clients": threads, "control": control_threads}
        self._server = _Server(app, sock, connections=connections, deadlines=deadlines or Deadlines(), clock=clock)
        self._loop = threading.Thread(target=self._server.run, name="listener", daemon=True)
        self.host: str = host
        self.port: int = sock.getsockname()[1]

    def start(self) -> None:
        """Serve from now on."""
        for pool in self._pools:
            pool.set_thread_count(self._threads[pool.name])
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Stop accepting, let running requests end within `timeout` seconds, close all connections, end the threads."""
        if self._loop.ident is None:
            self._server.close()
            self._server.selector.close()
            return
        end = time.monotonic() + timeout
        if self._loop.is_alive():
            self._server.stop(end)
            self._loop.join(timeout + 1.0)
        for pool in self._pools:
            pool.shutdown(timeout=max(0.5, end - time.monotonic()))  # type: ignore[arg-type]
        if not any(pool.threads for pool in self._pools) and not self._loop.is_alive():
            cast(Any, self._server.trigger).close()  # a worker that is left may pull it: its descriptor must not be reused

    @property
    def _pools(self) -> tuple[_Pool, _Pool]:
        return self._server.clients, self._server.control

    # Any thread; numbers of the moment.

    @property
    def connections(self) -> int:
        """Open connections; streams that were handed over are not among them."""
        return len(self._server.channels)

    @property
    def handed_over(self) -> int:
        """Streams given to their adopters so far."""
        return self._server.handed_over

    @property
    def evicted(self) -> int:
        """Connections closed to make room so far."""
        return self._server.evicted

    @property
    def timed_out(self) -> int:
        """Connections closed so far because the client sent or read too slowly."""
        return self._server.timed_out
