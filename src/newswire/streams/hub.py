"""The hub: one thread that serves every stream.

Other threads only leave things in its inbox (a socket to adopt, what a commit changed, the order to stop) and wake it
through a socket pair. A turn: see which sockets can take bytes or were closed; empty the inbox; read on for the streams
that may have something due, live ones first, then those that catch up for a bounded time; ask the kernel what was
confirmed; hand cursors to the engine; do what time asks for; rest. Nothing blocks but the wait at the start and the rest.

What can go wrong, and why it does not:
- *A client that never reads* fills its socket, then its queue, then does not read on; after a minute it is closed. A
  turn gives each stream at most one page and one `send`.
- *Subscriptions change while a page is read.* The engine calls `wake` no later than what it tells of can be read, so a
  page that reaches beyond such a change is read when the user is in the inbox already: it is not sent; the stream is
  reopened first (docs/rules.md, REOPEN).
- *One stream's handling fails*: that stream ends with a line in the log, the others go on.
- *A burst of small publishes*: woken topics merge in the inbox, and the rest after a round lets publishers, who share
  the interpreter lock, run. While nothing comes, streams that catch up are served without rests.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from newswire import sse
from newswire.config import Settings
from newswire.core import limits
from newswire.engine.seam import BrokerStatus, Engine, Start, Woken
from newswire.quotas.networks import is_counted
from newswire.quotas.room import Room
from newswire.stream_order import StreamOrder
from newswire.streams.confirmations import Acks, confirmed
from newswire.streams.inbox import Handed, Inbox
from newswire.streams.pages import Fanout, Index
from newswire.streams.stream import Stream
from newswire.threads import OnFatal, Stumbles, supervise

log: Final = logging.getLogger("newswire.streams")

_NOTHING_AWAKE: Final = "not registered for any topic; subscribe first, then connect again"
_NO_ROOM: Final = "this broker serves as many streams as it may; another one, or this one later, will take it"
_FOR_THE_READER: Final = (
    "half of the streams of a user are for who is certainly the reader: use the page of this broker, or a program"
)
_READ: Final = selectors.EVENT_READ
_READ_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE


def rest_seconds(took: float, waited: float) -> float:
    """How long to rest after a round that took `took`, the oldest waiting message being `waited` old (seconds)."""
    return max(0.0, min(took, limits.REST_SECONDS - waited))


def successor(rows: Iterable[BrokerStatus]) -> str:
    """Where clients of this broker go when it leaves: the primary among the other living brokers, "" if there is none."""
    others = [row for row in rows if not row.self and row.state in ("up", "catching-up")]
    best = min(others, key=lambda row: (row.state != "up", not row.is_primary, row.id), default=None)
    return best.ip if best is not None else ""


class _Connection:
    """A stream and its socket."""

    __slots__ = ("blocked", "closed", "due", "number", "progress", "received", "sock", "stream")

    def __init__(self, number: int, sock: socket.socket, stream: Stream, now: float) -> None:
        self.number = number
        self.sock = sock
        self.stream = stream
        self.blocked = False  # the socket is full; the selector says when it is not
        self.closed = False
        self.due = 0.0  # the deadline that counts: others of this connection in the heap are old
        self.received = 0
        self.progress = now  # when its socket last took a byte


class Hub:
    """Serves all streams of a broker from one thread; `start` it, hand it sockets, tell it what grew, `stop` it."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_fatal: OnFatal = lambda error: None,
    ) -> None:
        """`on_fatal` must end the process: the thread died."""
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._inbox = Inbox(clock)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inbox.ear, _READ)
        self._thread = supervise(self._run, "hub", on_fatal, may_end=lambda: self._stop_at is not None)
        self._stumbles = Stumbles(limits.FAILED_TURNS_COUNT)
        self._stop_at: float | None = None
        self._stopping = False
        self._serves = True
        self._serves_at = 0.0  # when to ask the engine itself
        self._fanout = Fanout(engine.next_page)
        self._acks = Acks(engine.post)
        self._index: Index[str] = Index()  # of users: all streams of one want the same
        self._numbers = itertools.count()
        self._open: dict[_Connection, None] = {}  # every socket held
        self._of_user: dict[str, set[_Connection]] = {}  # those that have not ended
        self._of_caller: Counter[str] = Counter()  # as many as each has
        self._changed: dict[str, None] = {}  # users whose streams are to be reopened
        self._orders: deque[Handed] = deque()  # sockets that are to be adopted
        self._live: dict[_Connection, None] = {}  # woken: one page each in the next round
        self._catching_up: dict[_Connection, None] = {}  # more is due behind their last page
        self._unconfirmed: set[_Connection] = set()
        self._deadlines: list[tuple[float, int, _Connection]] = []  # a heap; the middle only keeps equal ones apart
        self._room: Room[_Connection] = Room(limits.STREAMS_BYTES)
        self._room_at = 0.0
        self._confirm_at = 0.0
        self._post_at = 0.0
        self.count = 0  # streams open now
        self.opened = 0
        self.closed = 0
        self.refused = 0
        self.crowded_out = 0
        self.sent_messages = 0
        self.rests = 0

    # -- any thread

    def start(self) -> None:
        """Start the thread. `engine.on_wake(hub.wake)` is for whoever builds both."""
        self._thread.start()

    def adopt(self, order: StreamOrder, sock: socket.socket, chunked: bool) -> None:
        """Serve `order` on `sock`, to which a response head (`chunked` or not) was written, and own it from here on.

        Where more sockets are held than there may be, however they got past `refusal`, it is told so and closed.
        """
        if self._inbox.orders + len(self._open) >= self._settings.streams + limits.ENDING_STREAMS_COUNT:
            self.refused += 1
            _turn_away(sock, chunked)
        elif not self._inbox.put_order(order, sock, chunked):
            sock.close()

    def refusal(self, order: StreamOrder) -> str:
        """Why no stream is opened for `order` now, "" if one is. Asked before a socket is handed over, and again behind it."""
        return self._refusal(order)

    def wake(self, woken: Woken) -> None:
        """Take note of what a commit changed."""
        self._inbox.put_woken(woken)

    def stop(self, timeout: float = 5.0) -> None:
        """End every stream in order, hand over the last cursors, close all. Returns when done, `timeout` at the latest."""
        self._stop_at = self._clock() + timeout
        self._inbox.ring()
        if self._thread.ident is None:
            self._leave()
        elif self._thread is not threading.current_thread():
            self._thread.join(timeout + 1.0)

    @property
    def pages_read(self) -> int:
        """Pages asked of the engine so far."""
        return self._fanout.pages_read

    @property
    def pages_encoded(self) -> int:
        """Pages encoded so far: far fewer than were sent where streams share."""
        return self._fanout.pages_encoded

    # -- hub thread: the loop

    def _run(self) -> None:
        while not self._finished():
            try:
                self._turn()
                self._stumbles.went_well()
            except Exception as error:  # a fault here must not silence every stream
                log.exception("the hub's turn failed; going on")
                self._stumbles.failed(error)
                self._look_everywhere()
                time.sleep(limits.REST_SECONDS)
        self._leave()

    def _look_everywhere(self) -> None:
        """Read on for every stream: what the inbox held when a turn failed, nobody tells again."""
        for user in list(self._of_user):
            for conn in self._of_user[user]:
                conn.stream.behind = True
            self._reopen_all(user)

    def _turn(self) -> None:
        ready = self._selector.select(self._patience())
        started = self._clock()
        came = self._take_inbox() or bool(self._changed or self._orders)
        self._look_up_some()
        for key, mask in ready:
            if key.data is not None:
                self._guarded(key.data, partial(self._on_ready, mask))
        only_catches_up = bool(self._catching_up) and not came
        self._round()
        self._make_room()
        self._ask_whether_it_serves()
        self._confirm()
        self._post_cursors()
        self._do_deadlines()
        if only_catches_up:
            return  # no publisher to rest for
        rest = rest_seconds(self._clock() - started, self._inbox.waited())
        if rest > 0:
            self.rests += 1
            time.sleep(rest)

    def _patience(self) -> float:
        """How long nothing has to be done unless something comes, in seconds."""
        if self._live or self._catching_up or self._changed or self._orders:
            return 0.0
        due = [self._deadlines[0][0]] if self._deadlines else []
        if self._unconfirmed:
            due.append(self._confirm_at)
        if self._acks:
            due.append(self._post_at)
        if self._stop_at is not None:
            due.append(self._stop_at if self._stopping else 0.0)
        return max(0.0, min(due) - self._clock()) if due else limits.KEEPALIVE_SECONDS

    def _finished(self) -> bool:
        if self._stop_at is None:
            return False
        return self._stopping and (not self._open or self._clock() >= self._stop_at)

    def _leave(self) -> None:
        for conn in list(self._open):
            self._close(conn)
        if not self._acks.post():
            log.warning("%d cursors could not be stored; what they cover is sent again", len(self._acks))
        self._selector.close()
        for sock in [*self._inbox.close(), *(sock for _, sock, _ in self._orders)]:
            sock.close()

    def _guarded(self, conn: _Connection, do: Callable[[_Connection], None]) -> None:
        """Run one stream's part: an error ends that stream, not the hub."""
        if conn.closed:
            return
        try:
            do(conn)
        except Exception:
            log.exception("a stream of %s failed and is closed", conn.stream.order.user)
            self._close(conn)

    # -- hub thread: what came in

    def _take_inbox(self) -> bool:
        """Note what came; whether anything did."""
        orders, woken = self._inbox.take()
        if woken.serves != self._serves:
            self._serves = woken.serves
            if not woken.serves:
                self._end_all(self._moved)
        self._changed.update(dict.fromkeys(woken.users))
        self._orders.extend(orders)
        if woken.topics:
            for user in self._index.matching(woken.topics):
                for conn in self._of_user.get(user, ()):
                    conn.stream.behind = True
                    self._queue_reading(conn, self._live)
        if self._stop_at is not None and not self._stopping:
            self._stopping = True
            self._end_all(lambda: b"")
        return bool(orders or woken.topics or woken.users)

    def _look_up_some(self) -> None:
        """REOPEN and OPEN, bounded like a round: what they cost grows with a user's subscriptions, and others wait."""
        until = self._clock() + limits.ROUND_SECONDS
        while self._changed or self._orders:
            if self._changed:
                user = next(iter(self._changed))
                del self._changed[user]
                self._reopen_all(user)
            else:
                self._take(*self._orders.popleft())
            if self._clock() >= until:
                break

    def _take(self, order: StreamOrder, sock: socket.socket, chunked: bool) -> None:
        try:
            self._adopt(order, sock, chunked)
        except Exception:
            log.exception("a stream of %s could not begin", order.user)
            sock.close()

    def _adopt(self, order: StreamOrder, sock: socket.socket, chunked: bool) -> None:
        now = self._clock()
        conn = _Connection(next(self._numbers), sock, Stream(order, chunked, now), now)
        try:
            _prepare(sock)
            self._selector.register(sock, _READ, conn)
        except (OSError, ValueError):  # gone already
            sock.close()
            return
        self._open[conn] = None
        self._schedule(conn, now)
        self._guarded(conn, self._admit)

    def _admit(self, conn: _Connection) -> None:
        refusal = self._refusal(conn.stream.order)
        if refusal:
            self.refused += 1
            self._end(conn, sse.comment(refusal, retry=limits.RETRY_LATER_MILLISECONDS))
        elif not self._serves or self._stopping:
            self._end(conn, self._moved() if not self._stopping else b"")
        elif not self._seek(conn, self._look_up(conn.stream)):
            self.refused += 1
            self._end(conn, sse.comment(_NOTHING_AWAKE, retry=limits.RETRY_LATER_MILLISECONDS))
        else:
            self._welcome(conn)

    def _refusal(self, order: StreamOrder) -> str:
        settings = self._settings
        mine = len(self._of_user.get(order.user, ()))
        if order.ack == "none" and mine >= settings.streams_per_user // 2:
            return _FOR_THE_READER
        if mine >= settings.streams_per_user:
            return f"{settings.streams_per_user} streams of this user are open, which is the limit; close one"
        if self.count >= settings.streams:
            return _NO_ROOM
        most = min(settings.streams_per_address, max(1, settings.streams // 2))
        if is_counted(order.caller) and self._of_caller[order.caller] >= most:
            return f"{most} streams from this address are open, which is the limit; close one"
        return ""

    def _welcome(self, conn: _Connection) -> None:
        stream = conn.stream
        self._of_user.setdefault(stream.order.user, set()).add(conn)
        self._of_caller[stream.order.caller] += 1
        self.count += 1
        self.opened += 1
        if stream.order.event_id is not None and stream.order.ack != "none":
            self._acks.offer((conn.number, "opened"), stream.order.user, stream.order.event_id)
            self._post_at = 0.0
        stream.write(self._greeting(stream.as_json), self._clock())
        self._flush(conn)

    def _greeting(self, as_json: bool) -> bytes:
        if as_json:
            shown = json.dumps({"message": sse.GREETING, "broker": self._settings.id})
            return sse.event(shown, name="open", retry=limits.RETRY_MILLISECONDS)
        return sse.event(sse.GREETING, retry=limits.RETRY_MILLISECONDS)

    def _look_up(self, stream: Stream) -> Start | None:
        """OPEN(u, id), at the start and again: None if nothing is awake."""
        return self._engine.open_stream(stream.order.user, stream.last_id)

    def _seek(self, conn: _Connection, start: Start | None) -> bool:
        """Have the stream read on from there; False if there is nothing to read."""
        stream = conn.stream
        if start is None:
            return False
        stream.open(start.position)
        self._index.put(stream.order.user, start.patterns)
        self._queue_reading(conn, self._catching_up)
        return True

    def _reopen_all(self, user: str) -> None:
        """REOPEN. A user's streams mostly stand at one place, which is looked up once."""
        starts: dict[str, Start | None] = {}

        def reopen(conn: _Connection) -> None:
            last_id = str(conn.stream.last_id or "")
            if last_id not in starts:
                starts[last_id] = self._look_up(conn.stream)
            if not self._seek(conn, starts[last_id]):
                self._end(conn, sse.comment(_NOTHING_AWAKE, retry=limits.RETRY_LATER_MILLISECONDS))

        for conn in list(self._of_user.get(user, ())):
            self._guarded(conn, reopen)

    def _moved(self) -> bytes:
        to = successor(self._engine.describe().rows)
        return sse.event(json.dumps({"to": to}), name="moved", retry=limits.RETRY_MILLISECONDS)

    # -- hub thread: reading on

    def _queue_reading(self, conn: _Connection, queue: dict[_Connection, None]) -> None:
        if conn.stream.hungry and conn not in self._catching_up:
            queue[conn] = None

    def _round(self) -> None:
        """One page for each live stream, then for those that catch up until their time is over."""
        if not self._live and not self._catching_up:
            return
        self._fanout.start_round()
        live, self._live = self._live, {}
        for conn in live:
            self._guarded(conn, self._read_on)
        until = self._clock() + limits.ROUND_SECONDS
        for conn in list(self._catching_up):
            self._catching_up.pop(conn, None)
            self._guarded(conn, self._read_on)
            if self._clock() >= until:
                break

    def _read_on(self, conn: _Connection) -> None:
        stream = conn.stream
        if not stream.hungry:
            return
        if stream.order.user in self._changed:
            return  # reopened first, which makes it read on
        frames = self._fanout.frames(stream)
        if self._inbox.changed(stream.order.user):
            self._queue_reading(conn, self._catching_up)  # reopened first, with the next turn
            return
        stream.receive(frames, self._clock())
        self.sent_messages += len(frames.ends)
        if not conn.blocked:
            self._flush(conn)
        self._room.hold(conn, 0 if conn.closed else stream.unsent)
        self._queue_reading(conn, self._catching_up)

    def _make_room(self) -> None:
        """Where all streams together hold too much, close those that hold most for longest, of those that take nothing.

        They go on where they were when they come again. Who takes its bytes is never closed for others. (docs/rules.md, ROOM)
        """
        now = self._clock()
        if not self._room.is_full or now < self._room_at:
            return
        self._room_at = now + limits.DEADLINE_CHECK_SECONDS
        for conn in self._room.choose(
            lambda c: stalled if (stalled := now - c.progress) >= limits.READ_STALL_SECONDS else None
        ):
            self.crowded_out += 1
            self._close(conn)

    # -- hub thread: sockets

    def _on_ready(self, mask: int, conn: _Connection) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(conn)
            self._queue_reading(conn, self._catching_up)
        if mask & selectors.EVENT_READ and not conn.closed:
            self._drop_input(conn)

    def _drop_input(self, conn: _Connection) -> None:
        """Read what the client sends, which means nothing, so that its close is seen."""
        try:
            count = len(conn.sock.recv(limits.STREAM_INPUT_BYTES))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        conn.received += count
        if not count or conn.received > limits.STREAM_INPUT_BYTES:
            self._close(conn)

    def _flush(self, conn: _Connection) -> None:
        """One `send`; what the socket does not take waits until it can."""
        stream = conn.stream
        data = stream.bytes_to_send()
        if data:
            try:
                now = self._clock()
                stream.sent(conn.sock.send(data), now)
                conn.progress = now
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self._close(conn)
                return
            self._unconfirmed.add(conn)
        blocked = stream.unsent > 0
        self._room.hold(conn, stream.unsent)
        if blocked != conn.blocked:
            conn.blocked = blocked
            self._selector.modify(conn.sock, _READ_WRITE if blocked else _READ, conn)
        if stream.done:
            self._close(conn)

    def _end(self, conn: _Connection, body: bytes = b"") -> None:
        """Say the last words, and close when they, and what was sent before, have arrived (or it takes too long)."""
        now = self._clock()
        conn.stream.end(now, body)
        self._forget(conn)
        self._schedule(conn, now)
        if not conn.blocked:
            self._flush(conn)

    def _end_all(self, words: Callable[[], bytes]) -> None:
        body = words()
        for conn in [conn for conns in self._of_user.values() for conn in conns]:
            self._guarded(conn, lambda conn: self._end(conn, body))
        self._confirm_at = 0.0

    def _forget(self, conn: _Connection) -> None:
        """Take the stream out of everything but its socket: it reads no more."""
        self._live.pop(conn, None)
        self._catching_up.pop(conn, None)
        user = conn.stream.order.user
        mine = self._of_user.get(user)
        if mine is None or conn not in mine:
            if mine is None:
                self._index.remove(user)
            return
        mine.remove(conn)
        if not mine:
            del self._of_user[user]
            self._index.remove(user)
        caller = conn.stream.order.caller
        self._of_caller[caller] -= 1
        if not self._of_caller[caller]:
            del self._of_caller[caller]
        self.count -= 1
        self.closed += 1

    def _close(self, conn: _Connection) -> None:
        """Ask once more what was confirmed, then close."""
        if conn.closed:
            return
        conn.closed = True
        self._note_confirmed(conn)
        if self._acks:
            self._post_at = 0.0
        self._forget(conn)
        self._unconfirmed.discard(conn)
        self._room.hold(conn, 0)
        self._open.pop(conn, None)
        try:
            self._selector.unregister(conn.sock)
        except (KeyError, ValueError, OSError):
            pass  # the descriptor is closed already
        conn.sock.close()

    # -- hub thread: what was confirmed, and time

    def _confirm(self) -> None:
        now = self._clock()
        if not self._unconfirmed or now < self._confirm_at:
            return
        ending = False
        for conn in list(self._unconfirmed):
            self._guarded(conn, self._note_confirmed)
            if conn.stream.done:
                self._close(conn)
            elif not conn.stream.unconfirmed:
                self._unconfirmed.discard(conn)
            ending = ending or conn.stream.ended
        self._confirm_at = now + (limits.CONFIRM_ENDING_SECONDS if ending else limits.CONFIRM_EVERY_SECONDS)

    def _note_confirmed(self, conn: _Connection) -> None:
        stream = conn.stream
        total = confirmed(conn.sock, stream.sent_bytes)
        place = stream.confirmed(total, self._clock()) if total is not None else None
        if place is not None:
            self._acks.offer(conn.number, stream.order.user, place)

    def _post_cursors(self) -> None:
        now = self._clock()
        if self._acks and now >= self._post_at:
            self._acks.post()
            self._post_at = now + limits.ACK_EVERY_SECONDS

    def _ask_whether_it_serves(self) -> None:
        """Send the streams elsewhere when the disk hangs: who would tell the hub then waits for the disk."""
        now = self._clock()
        if not self._of_user or now < self._serves_at:
            return
        self._serves_at = now + limits.SERVES_EVERY_SECONDS
        if self._serves and not self._engine.describe().serves:
            self._end_all(self._moved)

    def _schedule(self, conn: _Connection, now: float) -> None:
        conn.due = conn.stream.next_deadline(now)
        heapq.heappush(self._deadlines, (conn.due, next(self._numbers), conn))

    def _do_deadlines(self) -> None:
        """Bounded like a round: after one message for everybody, everybody falls silent at once."""
        now = self._clock()
        until = now + limits.ROUND_SECONDS
        while self._deadlines and self._deadlines[0][0] <= now and self._clock() < until:
            due, _, conn = heapq.heappop(self._deadlines)
            if not conn.closed and due == conn.due:
                self._guarded(conn, lambda conn: self._tick(conn, now))

    def _tick(self, conn: _Connection, now: float) -> None:
        if not conn.stream.tick(now):
            self._close(conn)
            return
        if not conn.blocked:
            self._flush(conn)
        self._schedule(conn, now)


def _turn_away(sock: socket.socket, chunked: bool) -> None:
    """Say that there is no room, as far as the socket takes it at once, and close it. Any thread."""
    body = sse.comment(_NO_ROOM, retry=limits.RETRY_LATER_MILLISECONDS)
    with suppress(OSError):
        sock.setblocking(False)
        sock.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
        sock.shutdown(socket.SHUT_WR)
    sock.close()


def _prepare(sock: socket.socket) -> None:
    """Make an adopted socket fit for a stream: no waiting, little kernel memory, small events at once."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SOCKET_BUFFER_BYTES)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
