"""The listening socket, and the loop over it and all connections. One thread.

Longer than other rooms, and one all the same: what accepts, places, accounts and evicts shares the same tables of connections.
"""

from __future__ import annotations

import errno
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from waitress import wasyncore
from waitress.server import TcpWSGIServer

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.listener.bell import Bell
from newswire.listener.bind import adjustments
from newswire.listener.connection import NOTHING_NOTED, Channel
from newswire.listener.interest import Interest
from newswire.listener.kinds import SAFE_KINDS, Kind
from newswire.listener.light import LightWork
from newswire.listener.phases import EVICTED, Bounds, Deadlines, Phase
from newswire.listener.pools import Pool
from newswire.listener.presence import has_left
from newswire.listener.problems import (
    NO_ROOM,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_REQUESTS,
    TOO_MANY_WAIT,
    EscapingLog,
    raw_answer,
)
from newswire.listener.proxies import Proxies
from newswire.listener.request import Admit, HttpRequest, UserOf
from newswire.listener.tasks import AppTask, Later, common_environ
from newswire.listener.turns import Turns
from newswire.quotas.networks import is_counted, network_of
from newswire.quotas.rate import Rate
from newswire.quotas.room import Room
from newswire.threads import OnFatal, Stumbles, never_waits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log: Final = logging.getLogger("newswire.listener")

_LOOK_COUNT: Final = 32  # of a caller's connections, longest without a request first, to find one that is idle
_PARSE: Final = 1 << 8  # beside the selector's events: there is input to go on with
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
        bounds: Bounds,
        deadlines: Deadlines,
        light: LightWork,
        admit: Admit | None,
        user_of: UserOf,
        clock: Callable[[], float],
        proxies: Proxies,
        on_fatal: OnFatal,
    ) -> None:
        self.pools = {
            kind: Pool(kind.value, on_fatal, is_last=has_left) if kind in SAFE_KINDS else Pool(kind.value, on_fatal)
            for kind in Kind
        }
        self.bounds, self.deadlines, self.clock, self.admit, self.light = bounds, deadlines, clock, admit, light
        self.proxies, self.user_of = proxies, user_of
        self.handed_over = self.evicted = self.timed_out = self.crowded_out = self.refused = 0
        self.interest = Interest()
        self.lines: dict[Phase, OrderedDict[Channel, None]] = {phase: OrderedDict() for phase in Phase}  # oldest first
        self.of_network: dict[str, OrderedDict[Channel, None]] = {}  # all of each, longest without a request first
        self.peers: set[Channel] = set()  # that never make room
        self.ready: Turns[Channel] = Turns()
        self.rooms: tuple[Room[Channel], ...] = (
            Room(limits.BODIES_BYTES),
            Room(limits.PEER_BODIES_BYTES),
            Room(limits.ANSWERS_BYTES),
        )
        self.rate = Rate(bounds.requests_per_caller, bounds.requests_per_caller * limits.RATE_BURST_SECONDS)
        self.changed: deque[Channel] = deque()  # to be refreshed; appended to by workers
        self.answers: deque[tuple[Channel, AppTask]] = deque()  # answers that have come later; appended to by the engine
        self.bell = Bell()
        self.escaping: EscapingLog = EscapingLog(_log)
        self.serving = threading.local()  # .channel: whose request this worker runs
        self.loop_ident = 0
        self.next_check = clock()
        self.full = False  # not accepting until something closes or time has passed
        self.stumbles = Stumbles(limits.FAILED_TURNS_COUNT)
        self.stop_at: float | None = None  # time.monotonic(): stopping, and when at the latest
        sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
        self.environ = common_environ(sockinfo[3][1])
        dispatcher = self.pools[Kind.READ]
        super().__init__(app, {}, _sock=sock, dispatcher=dispatcher, adj=adjustments(), sockinfo=sockinfo, bind_socket=False)

    @property
    def channels(self) -> dict[int, Channel]:
        """The open connections by descriptor."""
        return cast("dict[int, Channel]", self.active_channels)

    # Any thread.

    def add_task(self, task: Any) -> None:
        """Run the request of a channel, or give it to the threads of its kind. Loop thread."""
        channel: Channel = task
        request = channel.requests[0]
        if self.light.takes(request):
            self.light.add(channel, request.kind)
        else:
            self.give_to_thread(channel)

    def give_to_thread(self, channel: Channel) -> None:
        """Give a channel to the threads of its request's kind, unless too much of its caller waits there. Loop thread."""
        request = channel.requests[0]
        pool = self.pools[request.kind]
        if (
            request.kind in SAFE_KINDS
            and channel.answer_task is None
            and is_counted(request.caller, own=self.bounds.counts_own_requests)
            and pool.count_of(channel.caller) >= limits.WAITING_PER_CALLER
        ):
            self.refused += 1
            channel.refuse_queued(NewswireError(TOO_MANY_WAIT, code="too-many"))
            channel.service()
            return
        pool.add_task(channel)

    def pull_trigger(self) -> None:
        """Wake the loop for the channel that is served in this thread."""
        self.changed.append(self.serving.channel)
        self._ring()

    def settle(self, channel: Channel, task: AppTask) -> None:
        """The answer of `task` has come: the loop writes it."""
        self.answers.append((channel, task))
        self._ring()

    def _ring(self) -> None:
        if threading.get_ident() != self.loop_ident:
            self.bell.ring(super().pull_trigger)

    def close_trigger(self) -> None:
        """Close what wakes the loop, which has ended: its descriptor may be reused from now on."""
        self.bell.end()
        cast(Any, self.trigger).close()

    def stop(self, at: float) -> None:
        """Ask the loop to end: at once when no request is running, at `at` (time.monotonic()) at the latest."""
        cast(Any, self.trigger).pull_trigger(lambda: self._wind_down(at))

    # Loop thread.

    def run(self) -> None:
        """Serve until stopped."""
        self.loop_ident = threading.get_ident()
        never_waits()
        self.refresh(self)
        self.refresh(cast(wasyncore.dispatcher, self.trigger))
        while self.stop_at is None or (self.channels and time.monotonic() < self.stop_at):
            try:
                self._turn()
                self.stumbles.went_well()
            except Exception as error:  # a bug must not make the broker deaf, nor fill its log
                _log.exception("the listener stumbled")
                self.stumbles.failed(error)
                time.sleep(0.1)
        for channel in list(self.channels.values()):
            channel.handle_close()
        self.interest.close()

    def _turn(self) -> None:
        wait = self.deadlines.check if self.stop_at is None else self.stop_at - time.monotonic()
        if self.light.is_waiting:
            wait = min(wait, limits.LIGHT_NEXT_SECONDS)
        busy = self.ready or self.changed or self.answers or self.light.is_ready
        came = self.interest.select(0.0 if busy else max(0.0, min(wait, self.deadlines.check)))
        self.bell.heard()
        first = limits.FIRST_A_TURN
        for key, events in came:
            if not isinstance(key.data, Channel):
                self._serve(key.data, events)
            elif key.data.goes_first and first:
                first -= 1
                events, key.data.pending = events | key.data.pending, 0
                self._serve(key.data, events)
            else:
                self._queue(key.data, events)
        self._write_answers()
        for _ in range(min(len(self.ready), max(limits.TURN_CHANNELS, len(self.ready) // limits.TURNS_OF_ALL))):
            channel = self.ready.popleft()
            events, channel.pending = channel.pending, 0
            self._serve(channel, events)
        self.light.run_some()
        self._write_answers()
        for _ in range(len(self.changed)):
            self.refresh(self.changed.popleft())
        if (now := self.clock()) >= self.next_check:
            self.next_check = now + self.deadlines.check
            self.maintenance(now)

    def _write_answers(self) -> None:
        """Write the answers that have come; those that read ops are for a thread."""
        for _ in range(len(self.answers)):
            channel, task = self.answers.popleft()
            if channel.later_task is not task:
                continue  # told twice, or its client has left
            channel.later_task, channel.answer_task = None, task
            self.light.release(channel)
            if cast(Later, task.later).needs_thread:
                self.give_to_thread(channel)
            else:
                channel.service()

    def _queue(self, channel: Channel, events: int) -> None:
        """Let it wait for its turn, once."""
        if not channel.pending:
            self.ready.append(channel)
        channel.pending |= events

    def _serve(self, item: Any, events: int) -> None:
        if item._fileno is None:  # closed by an event before it in this turn
            return
        try:  # what it raises is logged and closes it
            if events & selectors.EVENT_READ and not item.readable():
                self.interest.note_early(item._fileno)
            elif events & selectors.EVENT_READ:
                item.handle_read_event()
            elif events & _PARSE:
                item.parse()
        except Exception:
            item.handle_error()
        if events & selectors.EVENT_WRITE and item._fileno is not None:
            wasyncore.write(item)
        self.refresh(item)

    def refresh(self, item: Any) -> None:
        """Tell the selector what this channel (or the server, or the trigger) waits for now."""
        if item._fileno is None:
            return
        if isinstance(item, Channel):
            self._place(item)
            self._account(item)
            if item._fileno is None:  # there is no room for it
                return
            if item.parseable():
                self._queue(item, _PARSE)
        mask = selectors.EVENT_READ if item.readable() else 0
        mask |= selectors.EVENT_WRITE if item.writable() else 0
        self.interest.want(item._fileno, mask, item)

    def _place(self, channel: Channel) -> None:
        """Put the channel into its phase."""
        before, phase = channel.phase, channel.current_phase()
        if phase is before and channel.in_line and not (phase is Phase.IDLE and channel.asked):
            return
        now = self.clock()
        if before in (Phase.WORKING, Phase.SENDING):
            channel.begun = now  # the next request's time runs only while it is read
        if channel.asked and phase is Phase.IDLE:
            channel.asked = False
            self.of_network[channel.network].move_to_end(channel)
        channel.in_line = True
        if channel.serves_peer and len(self.peers) < limits.PEER_CONNECTIONS_COUNT:
            self.peers.add(channel)
        self.lines[before].pop(channel, None)
        self.lines[phase][channel] = None
        channel.phase, channel.since = phase, now
        if phase in EVICTED:
            self._admit()  # it can make room now
        if self.stop_at is not None and phase not in (Phase.WORKING, Phase.SENDING):
            channel.handle_close()

    def _account(self, channel: Channel) -> None:
        """Note what it holds; where there is no room for it, those go that hold most for longest."""
        held, before = channel.held_bytes(), channel.noted_bytes
        if held == before:
            return
        channel.noted_bytes = held
        for room, size, noted in zip(self.rooms, held, before, strict=True):
            if size != noted:
                room.hold(channel, size)
                if room.is_full:
                    self._make_room(room)

    def _make_room(self, room: Room[Channel]) -> None:
        now = self.clock()
        if room is self.rooms[-1]:
            for other in room.choose(lambda c: now - c.since if c.phase is Phase.SENDING else None):
                self._crowd_out(other, room)
                other.handle_close()
        else:
            for other in room.choose(lambda c: now - c.begun if c.queued or c.phase in (Phase.HEAD, Phase.BODY) else None):
                self._refuse(other, room)

    def _refuse(self, channel: Channel, room: Room[Channel]) -> None:
        """Let go of a request that is coming in or waits for a thread."""
        error = NewswireError(NO_ROOM, code="unavailable")
        if channel.refuse_queued(error):
            self._crowd_out(channel, room)
        elif channel.phase in (Phase.HEAD, Phase.BODY):
            self._crowd_out(channel, room)
            channel.refuse(error)

    def _crowd_out(self, channel: Channel, room: Room[Channel]) -> None:
        self.crowded_out += 1
        room.hold(channel, 0)
        channel.noted_bytes = NOTHING_NOTED

    def refusal(self, request: HttpRequest) -> NewswireError | None:
        """Why a request is refused when its head is there, None if it is not."""
        if request.kind not in (Kind.PEER, Kind.PROBE) and is_counted(request.caller, own=self.bounds.counts_own_requests):
            seconds = self.rate.take(request.caller, self.clock())
            if seconds:
                self.refused += 1
                return NewswireError(TOO_MANY_REQUESTS, code="too-many")
        return self.admit(request.head()) if self.admit and request.is_worth_a_look else None

    def forget(self, item: Any) -> None:
        """Drop what is kept about something whose descriptor leaves."""
        self.interest.forget(item._fileno)
        if isinstance(item, Channel):
            item.later_task = None
            self.light.release(item)
            self.lines[item.phase].pop(item, None)
            self.peers.discard(item)
            for room in self.rooms:
                room.hold(item, 0)
            mine = self.of_network.get(item.network, OrderedDict())
            mine.pop(item, None)
            if not mine:
                self.of_network.pop(item.network, None)
            self._admit()

    def _admit(self) -> None:
        if self.full:
            self.full = False
            self.changed.append(cast(Any, self))

    def readable(self) -> bool:
        """May one more connection come?"""
        return self.accepting and not self.full

    def handle_accept(self) -> None:
        """Take the connections that wait, some at a time."""
        for _ in range(limits.ACCEPTS_A_TURN):
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Take one; at a limit (ours, or the system's of descriptors) the longest idle one goes for it. False: no more now."""
        goes = self._least() if len(self.channels) >= self.bounds.connections else None
        self.full = goes is None and len(self.channels) >= self.bounds.connections
        if self.full:
            return False
        try:
            pair = self.accept()
        except OSError as error:
            self.full = error.errno in _NO_ROOM and not self._evict(self._least())
            return error.errno in _NO_ROOM and not self.full
        if pair is None:
            return False
        if goes is not None and not self._evict(goes):
            self._evict(self._least())  # where nobody goes now there is one more, until a request is answered
        self._open(*pair)
        return True

    def _open(self, sock: socket.socket, address: Any) -> None:
        network = network_of(address[0])
        try:
            if not self.proxies.trusts(address[0]) and self._has_too_many(network):
                self.refused += 1
                sock.setblocking(False)
                sock.send(raw_answer(NewswireError(TOO_MANY_CONNECTIONS, code="too-many")))
                sock.close()
                return
            self.set_socket_options(sock)
            channel = self.channel_class(self, sock, address, self.adj, map=self._map)  # type: ignore[attr-defined]
            self.of_network.setdefault(network, OrderedDict())[channel] = None
            self._queue(channel, selectors.EVENT_READ)  # most have sent a request by now: the selector need not say so
        except OSError:  # it has left already
            sock.close()

    def _has_too_many(self, network: str) -> bool:
        """Say whether a caller has all the connections that it may, and none that is idle and goes for a new one."""
        mine = self.of_network.get(network)
        if mine is None or len(mine) < self.bounds.connections_per_caller:
            return False
        if not is_counted(network, own=self.bounds.counts_own_connections):
            return False
        idle = (Phase.IDLE, Phase.LINGERING)
        oldest = next((c for c in itertools.islice(mine, _LOOK_COUNT) if c.phase in idle and c not in self.peers), None)
        return not self._evict(oldest)

    def _least(self) -> Channel | None:
        """Who makes room first: the longest idle, else the longest at what is easiest done again; never a peer.

        What has waited for a thread for longer, and only reads, goes before: its client has perhaps left long ago.
        """
        idle = next((c for phase in EVICTED for c in self.lines[phase] if c not in self.peers), None)
        waiting = next((c for c in self.lines[Phase.WORKING] if c.queued is not None and c.queued.kind in SAFE_KINDS), None)
        return waiting if waiting is not None and (idle is None or waiting.since < idle.since) else idle

    def _evict(self, channel: Channel | None) -> bool:
        """Close it for another one; False: nobody goes, or a thread has begun its request since it was chosen."""
        if channel is None:
            return False
        error = NewswireError(NO_ROOM, code="unavailable")
        if channel.refuse_queued(error):
            with suppress(OSError):
                channel.send(raw_answer(error), do_close=False)
        elif channel.phase is Phase.WORKING:
            return False
        self.evicted += 1
        channel.handle_close()
        return True

    def maintenance(self, now: float) -> None:
        """Close whoever is too slow."""
        for channel in [c for c in self.channels.values() if c.deadline(self.deadlines) <= now]:
            self.timed_out += channel.phase not in (Phase.IDLE, Phase.LINGERING, Phase.WORKING)
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
