"""One connection: its requests one after the other, its answers, and its hand-over.

Longer than other rooms, and one all the same: it is one class of waitress's, whose methods share the state of one socket.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, cast

from waitress import utilities
from waitress.channel import ClientDisconnected, HTTPChannel

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.listener.kinds import SAFE_KINDS, Kind
from newswire.listener.phases import Deadlines, Phase
from newswire.listener.presence import is_reset
from newswire.listener.problems import LATE, EscapingLog, raw_answer
from newswire.listener.proxies import Proxies
from newswire.listener.request import HttpRequest, UserOf
from newswire.listener.tasks import AppTask, ProblemTask
from newswire.quotas.networks import network_of
from newswire.threads import NeedsThread

_log: Final = logging.getLogger("newswire.listener")


NOTHING_NOTED: Final = (-1, -1, -1)


class ChannelOwner(Protocol):
    """What a connection needs of the loop that it belongs to. The loop's thread, but for what says otherwise."""

    changed: deque[Channel]  # to be looked at again; any thread appends
    peers: set[Channel]
    proxies: Proxies
    escaping: EscapingLog
    serving: threading.local  # `.channel`: whose request this thread runs
    loop_ident: int
    handed_over: int
    environ: dict[str, Any]  # what is the same for all requests
    clock: Callable[[], float]
    user_of: UserOf

    def add_task(self, task: Any) -> None:
        """Have a request served whose turn it is."""

    def give_to_thread(self, channel: Channel) -> None:
        """Have the request of `channel` served by a thread."""

    def pull_trigger(self) -> None:
        """Wake the loop: the connection that this thread serves has changed. Any thread."""

    def settle(self, channel: Channel, task: AppTask) -> None:
        """An answer that comes later has come. Any thread."""

    def refusal(self, request: HttpRequest) -> NewswireError | None:
        """Why this request is not taken, None if it is."""

    def forget(self, channel: Channel) -> None:
        """The connection has ended."""


class Channel(HTTPChannel):
    """One connection."""

    task_class = AppTask
    error_task_class = ProblemTask
    parser_class = HttpRequest

    server: ChannelOwner  # type: ignore[assignment]  # of waitress's server this is what is used
    requests_lock: threading.Lock
    logger: EscapingLog  # type: ignore[assignment]
    requests: list[HttpRequest]
    request: HttpRequest | None
    socket: Any  # a socket, until it is handed over or closed
    _fileno: int | None

    phase = Phase.IDLE
    since = 0.0  # clock: phase entered
    begun = 0.0  # clock: first byte of the request that is coming in
    progress = 0.0  # clock: the client last took a byte
    unparsed = b""  # came behind the request that is served, or was more than one turn may parse
    queued: HttpRequest | None = None  # its request waits for a thread
    pending = 0  # events that wait for this connection's turn
    shown = ("", "")  # the credential of a request before, and whose it is
    noted_bytes = NOTHING_NOTED  # what of `held_bytes` the loop has noted
    sends_left: int | None = None  # of this turn of the loop
    in_line = False  # the loop has placed it
    asked = False  # a request has come since it was idle
    serves_peer = False  # a push was taken from it
    hand_over: Callable[[socket.socket], None] | None = None  # to whom; set by the worker before it asks for the close
    later_task: AppTask | None = None  # its answer comes later; no thread has it
    answer_task: AppTask | None = None  # its answer has come, and waits for a thread
    give_up_at = 0.0  # clock: for how long it is waited for
    probes = False  # its last request was a probe
    lingers = False  # the close waits for the client
    lingering = False

    # Loop thread.

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = self.server.escaping
        self.network = self.caller = network_of(self.addr[0])
        self.since = self.server.clock()

    def del_channel(self, map: Any = None) -> None:
        """Leave map and selector, and let go of a request that is half there: it refers back to here, and may be 16 MiB.

        Left to itself it would be in memory until the garbage collector comes, which counts objects, not bytes.
        """
        self.server.forget(self)
        super().del_channel(map)
        half, self.request = self.request, None
        if half is not None:
            half.close()

    def readable(self) -> bool:
        """Is input wanted? Not while some of it is still to be parsed."""
        return self.lingering or (not self.unparsed and self._takes_more())

    def parseable(self) -> bool:
        """Is there input to go on with? Not while a request is served or its answer unsent."""
        return bool(self.unparsed) and not self.lingering and self._takes_more()

    def _takes_more(self) -> bool:
        return not (self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def writable(self) -> bool:
        """Is there something to send, or a close to do?"""
        return not self.lingering and bool(self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def handle_read_event(self) -> None:
        """Take what came."""
        try:
            data = self.socket.recv(limits.RECEIVE_BYTES)
        except BlockingIOError:  # nothing, though the kernel said so; or it was taken a moment ago
            return
        except OSError:
            data = b""
        if data:
            self.received(data)
        else:
            self.handle_close()

    def received(self, data: bytes) -> bool:
        """Keep what came, and parse as much of it as one turn may; drop it where nothing more is answered."""
        if self.lingering or self.will_close or self.close_when_flushed:
            self.unparsed = b""
            return False
        self.unparsed += data
        return self.parse()

    def parse(self) -> bool:
        """Go on to the end of one request: what is behind it waits until it is answered, and then for its turn."""
        if not self.parseable():
            return False
        with self.requests_lock:
            request = self._parse()
        if request is not None and request.error is not None:
            self.service()  # here: it waits for nothing, and no thread need be free
        elif request is not None:
            self.queued = request
            self.server.add_task(self)
        return True

    def _parse(self) -> HttpRequest | None:
        """The request that is complete now, if one is."""
        request = self.request
        if request is None:
            self.unparsed = self.unparsed.lstrip(b"\r\n")  # RFC 9112, 2.2; a parser for each would cost 10 us for four bytes
            if not self.unparsed:
                return None
            self.request = request = HttpRequest(self.adj, self.admit)
            self.begun = self.server.clock()
        size = request.received(self.unparsed)
        self.unparsed = self.unparsed[size:]
        if request.expect_continue and request.headers_finished and not self.sent_continue:
            self.send_continue()
        if not request.completed:
            return None
        self.request, self.sent_continue = None, False
        if request.empty:
            return None
        self.requests.append(request)
        self.asked, self.probes = True, request.kind is Kind.PROBE
        return request

    @property
    def goes_first(self) -> bool:
        """Whether it is served before others: a peer's connection, and one of probes."""
        return self.probes or self in self.server.peers

    def admit(self, request: HttpRequest) -> NewswireError | None:
        """Note whose the request is; say why it is refused by its head, if it is."""
        request.forwarded = self.server.proxies.forwarded(self.addr[0], request.headers)
        request.caller = network_of(request.forwarded.caller)
        self.caller = self._user(request.headers) or request.caller
        return self.server.refusal(request)

    def _user(self, headers: Mapping[str, str]) -> str:
        """Whose credential they show, as no address is written; "" if that is not known."""
        authorization, cookie = headers.get("AUTHORIZATION", ""), headers.get("COOKIE", "")
        shown = authorization or cookie
        if shown and shown != self.shown[0]:
            user = self.server.user_of(authorization, cookie)
            self.shown = (shown, f"user {user}") if user else ("", "")
        return self.shown[1] if shown else ""

    def held_bytes(self) -> tuple[int, int, int]:
        """What it holds: of clients' requests, of pushes, of answers."""
        size, pushed = len(self.unparsed), False
        for request in self.requests if self.request is None else [self.request, *self.requests]:
            size += request.held_bytes
            pushed = pushed or request.kind is Kind.PEER
        return (0 if pushed else size), (size if pushed else 0), self.total_outbufs_len

    def handle_write(self) -> None:
        """Send; then do what was asked for when all is sent."""
        flush = self._flush_some_if_lockable if self.requests else self._flush_some  # type: ignore[attr-defined]
        self.sends_left = limits.SENDS_A_TURN
        self._flush_exception(flush)  # type: ignore[attr-defined]
        self.sends_left = None
        if self.will_close:
            self.handle_close()
        elif self.connected and self.close_when_flushed and not self.total_outbufs_len:
            if self.hand_over:
                self._hand_over(self.hand_over)
            elif self.lingers:
                self._linger()
            else:
                self.handle_close()

    def _linger(self) -> None:
        """Close our half; drop what still comes, until the client closes his."""
        self.lingering = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # he has left
            self.handle_close()

    def _hand_over(self, adopt: Callable[[socket.socket], None]) -> None:
        """Take the socket out of waitress and give it away."""
        sock = self.socket
        self.del_channel()
        self.socket, self.connected = None, False
        self.server.handed_over += 1
        try:
            adopt(sock)
        except Exception:
            _log.exception("a stream could not be adopted")
            sock.close()

    def handle_close(self) -> None:
        """Close; in a worker (a failed 100 Continue) only ask for it: `service` wakes the loop."""
        if threading.get_ident() == self.server.loop_ident:
            super().handle_close()
        else:
            self.will_close = True

    def refuse_queued(self, error: NewswireError) -> bool:
        """Let go of what the request that waits for a thread holds: the thread will answer `error`. False: it has one."""
        with self.requests_lock:
            request = self.queued
            if request is None:
                return False
            request.refuse(error)
            self.unparsed = b""
        return True

    def refuse(self, error: NewswireError) -> None:
        """Answer what is still coming in, drop it, and close when the client could read why."""
        with suppress(OSError):
            self.send(raw_answer(error), do_close=False)
        if self.request is not None:
            self.request.close()
        self.request, self.unparsed = None, b""
        self._linger()
        self.server.changed.append(self)

    def time_out(self) -> None:
        """Close at once (`will_close` would wait for a client that takes nothing); tell a sender why, if he listens.

        Who waits for an answer that comes later gets that which says that it did not come.
        """
        if self.later_task is not None and self.later_task.later is not None:
            self.later_task.later.give_up()
            return
        if self.phase in (Phase.HEAD, Phase.BODY):
            with suppress(OSError):
                self.send(raw_answer(NewswireError(LATE, code="timeout")), do_close=False)
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
            case Phase.WORKING if self.later_task is not None:
                return self.give_up_at
        return float("inf")

    # Worker threads; for what is light, and for a request that is refused by itself, the loop thread.

    def service(self) -> None:
        """Run the first request, or write its answer that came later; whatever happens, the loop hears of it."""
        self.server.serving.channel = self
        with self.requests_lock:
            self.queued = None
            task, self.answer_task = self.answer_task, None
        try:
            if task is not None:
                self._work(task, task.answer)
            else:
                request = cast(Any, self.requests[0])  # the stubs say that tasks take something else
                start = ProblemTask(self, request) if request.error else AppTask(self, request)
                self._work(start, start.service)
        except BaseException as error:
            self.will_close = True
            self.server.pull_trigger()
            if threading.get_ident() != self.server.loop_ident:
                raise
            _log.critical("a request ended its thread: %r", error)  # the loop goes on
        finally:
            self.server.serving.channel = None

    def _work(self, task: AppTask | ProblemTask, work: Callable[[], None]) -> None:
        """Do `work` of the task; then go on to the next request, unless the answer comes later."""
        try:
            in_vain = task.request.kind in SAFE_KINDS and is_reset(self)
            if self.connected and not in_vain:
                work()
            else:
                task.close_on_finish = True
        except NeedsThread:
            self.queued = task.request
            self.server.give_to_thread(self)
            return
        except ClientDisconnected:
            task.close_on_finish = True
        except Exception:
            self.logger.exception(f"Exception while serving {task.request.path}")
            task = self._failed(task)
        if isinstance(task, AppTask) and task.later is not None and not task.complete:
            self.give_up_at = self.server.clock() + task.later.seconds
            self.later_task = task
            task.later.when_settled(partial(self.server.settle, self, task))
        else:
            self._end_request(task)

    def _failed(self, task: AppTask | ProblemTask) -> AppTask | ProblemTask:
        """The task whose answer says that `task` failed; itself where a part of its answer is out already."""
        if task.wrote_header:
            task.close_on_finish = True
            return task
        request = cast(Any, HttpRequest(self.adj))
        request.error, request.version = utilities.InternalServerError(""), task.version
        problem = ProblemTask(self, request)
        try:
            problem.service()
        except ClientDisconnected:
            problem.close_on_finish = True
        return problem

    def _end_request(self, task: AppTask | ProblemTask) -> None:
        """After an answer is written: drop the request, or all of them where the connection ends with it."""
        if isinstance(task, AppTask):
            task.environ, task.later = None, None  # they refer back to it, and circles are work for the garbage collector
        with self.requests_lock:
            if task.close_on_finish:
                self.close_when_flushed = True
                for request in self.requests:
                    request.close()
                self.requests = []
            else:
                if self.current_outbuf_count > 0:
                    self.current_outbuf_count = self.adj.outbuf_high_watermark  # the next answer begins a new buffer
                self.requests.pop(0).close()
        if self.hand_over and not self.total_outbufs_len and threading.get_ident() == self.server.loop_ident:
            self._hand_over(self.hand_over)
        elif self.connected:
            self.server.pull_trigger()

    def has_served(self, request: HttpRequest) -> None:
        """Note that a request was answered with 200."""
        self.serves_peer = self.serves_peer or request.kind is Kind.PEER

    def write_soon(self, data: Any) -> int:
        """Give bytes to the kernel at once where nothing is before them; keep what it does not take."""
        if not self.connected:
            raise ClientDisconnected
        if type(data) is not bytes or self.total_outbufs_len:
            return int(super().write_soon(data))
        try:
            size = self.send(data, do_close=False)
        except OSError:
            self.will_close = True
            raise ClientDisconnected from None
        if size < len(data):
            super().write_soon(data[size:])
        return len(data)

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Not here: waitress would make the worker wait for the client."""

    # Both.

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Give bytes to the kernel; returns how many it took: none in the loop once its turn is over."""
        if self.sends_left is not None and threading.get_ident() == self.server.loop_ident:
            if not self.sends_left:
                return 0
            self.sends_left -= 1
        size = super().send(data, do_close)
        if size:
            self.progress = self.server.clock()
        return size
