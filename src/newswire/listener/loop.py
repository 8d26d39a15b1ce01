"""The listening socket, and the loop over it and all connections. One thread."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from waitress import wasyncore
from waitress.server import TcpWSGIServer

from newswire.core import limits
from newswire.listener.bind import adjustments
from newswire.listener.connection import Channel, EscapingLog
from newswire.listener.head import CONTROL_PATHS, route
from newswire.listener.phases import EVICTED, Deadlines, Phase
from newswire.listener.pools import Pool
from newswire.listener.proxies import Proxies
from newswire.listener.request import HttpRequest
from newswire.threads import OnFatal, Stumbles

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log: Final = logging.getLogger("newswire.listener")

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Loop(TcpWSGIServer):
    """The listening socket, and the loop over it and its channels."""

    channel_class = Channel
    _fileno: int | None

    def __init__(
        self,
        app: WSGIApplication,
        sock: socket.socket,
        *,
        connections: int,
        deadlines: Deadlines,
        clock: Callable[[], float],
        proxies: Proxies,
        on_fatal: OnFatal,
    ) -> None:
        self.clients, self.control = Pool("clients", on_fatal), Pool("control", on_fatal)
        self.connections, self.deadlines, self.clock, self.proxies = connections, deadlines, clock, proxies
        self.handed_over = self.evicted = self.timed_out = 0
        self.selector = selectors.DefaultSelector()  # epoll where there is one
        self.interest: dict[int, int] = {}  # descriptor -> what the selector was told
        self.lines: dict[Phase, OrderedDict[Channel, None]] = {phase: OrderedDict() for phase in Phase}  # oldest first
        self.changed: deque[Channel] = deque()  # to be refreshed; appended to by workers
        self.escaping = EscapingLog(_log)
        self.serving = threading.local()  # .channel: whose request this worker runs
        self.loop_ident = 0
        self.next_check = clock()
        self.full = False  # not accepting until something closes or time has passed
        self.stumbles = Stumbles(limits.FAILED_TURNS_COUNT)
        self.stop_at: float | None = None  # time.monotonic(): stopping, and when at the latest
        sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
        super().__init__(app, {}, _sock=sock, dispatcher=self.clients, adj=adjustments(), sockinfo=sockinfo, bind_socket=False)

    @property
    def channels(self) -> dict[int, Channel]:
        """The open connections by descriptor."""
        return cast("dict[int, Channel]", self.active_channels)

    # Any thread.

    def add_task(self, task: Any) -> None:
        """Give a channel to the threads of its request's kind, unless an answer before it is still unsent."""
        channel = cast(Channel, task)
        if channel.total_outbufs_len:
            channel.parked = True  # this worker's last act is to wake the loop, which looks again
        elif route(cast(HttpRequest, channel.requests[0]).path) in CONTROL_PATHS:
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
                self.stumbles.went_well()
            except Exception as error:  # a bug must not make the broker deaf, nor fill its log
                _log.exception("the listener stumbled")
                self.stumbles.failed(error)
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
        if isinstance(item, Channel) and item._fileno is not None:
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

    def _place(self, channel: Channel) -> None:
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
        if isinstance(item, Channel):
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
        for line in (self.lines[phase] for phase in EVICTED):
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
