"""The hub: one thread that serves every stream.

Other threads only leave things in its inbox (a socket to serve, what a commit changed, the order to stop) and wake it
through a socket pair. A turn: see which sockets can take bytes or were closed; empty the inbox; open and reopen; read on for
the streams that may have something due, live ones first, then those that catch up for a bounded time; ask the kernel what was
confirmed; hand acknowledgements on; do what time asks for; rest. Nothing blocks but the wait at the start and the rest.

Longer than other rooms: a turn can be read in one place.

What can go wrong, and why it does not:
- *A client that never reads* fills its socket, then its queue; after a minute it is closed. A turn gives each one page at most.
- *Subscriptions change while a page is read.* The engine calls `wake` no later than what it tells of can be read, so a
  page that reaches beyond such a change is read when the user is in the inbox already: it is not sent; the stream is
  reopened first (docs/rules.md, REOPEN).
- *One stream's handling fails*: that stream ends with a line in the log, the others go on.
- *A burst of small publishes*: woken topics merge in the inbox; publishers, who share the interpreter lock, run in the rests.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.access import EVERYBODY
from newswire.core.model.commands import Acknowledge
from newswire.core.model.event_ids import EventId
from newswire.engine.seam import BrokerStatus, Engine, Start, Wake
from newswire.stream_order import StreamOrder
from newswire.streams import notices
from newswire.streams.admission import NO_ROOM, Admission, Eviction, NotNow
from newswire.streams.audience import Audience
from newswire.streams.confirmations import Confirmations, PendingAcks
from newswire.streams.connections import Connection, Connections, turn_away
from newswire.streams.inbox import Arrival, Inbox
from newswire.streams.moves import Moves
from newswire.streams.pages import SharedPages
from newswire.streams.rounds import Rounds
from newswire.streams.schedule import NEVER, Schedule, rest_seconds, select_timeout
from newswire.streams.stream import Stream
from newswire.threads import OnFatal, Stumbles, supervise

log: Final = logging.getLogger("newswire.streams")

_ASK_SECONDS: Final = limits.STREAM_STALL_SECONDS / 2  # a question costs a fifth of a keepalive: not one for each that is sent


class Hub:
    """Serves all streams of a broker from one thread; `start` it, hand it sockets, tell it what grew, `stop` it."""

    def __init__(
        self,
        engine: Engine,
        settings: ServiceSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        on_fatal: OnFatal = lambda error: None,
    ) -> None:
        """`clock`, `wall`: seconds, the latter since 1970; `chance`: 0 to 1.

        `on_fatal` must end the process: the thread died.
        """
        self._engine = engine
        self._settings = settings
        self._chance = chance
        self._clock, self._wall = clock, wall
        self._thread = supervise(self._run, "hub", on_fatal, may_end=lambda: self._stop_at is not None)
        self._stumbles = Stumbles(limits.FAILED_TURNS_COUNT)
        self._inbox = Inbox(clock)
        self._connections = Connections(self._inbox.reader)
        self._admission = Admission(
            settings, lambda stream: self._confirmations.check_one(self._connections.of(stream), self._clock())
        )
        self._audience: Audience[Connection] = Audience()
        self.pages = SharedPages(engine.next_page)
        self._acks = PendingAcks(engine.post)
        self._confirmations = Confirmations(self._acks)
        self._schedule: Schedule[Connection] = Schedule()
        self._arrivals: deque[Arrival] = deque()
        self._changed_users: dict[str, None] = {}  # whose streams are to be reopened
        self._rounds: Rounds[Connection] = Rounds(clock)
        self._moves: Moves[Connection] = Moves(chance)
        self._load_told: int | None = None  # how many streams other brokers think are here
        self._load_due = 0.0  # when to look at that again
        self._serves = True
        self._serves_due = 0.0  # when to ask the engine itself
        self._stop_at: float | None = None
        self._is_stopping = False
        self.opening_count = 0
        self.refusal_count = 0
        self.eviction_count = 0
        self.move_count = 0
        self.message_count = 0
        self.rest_count = 0

    # -- any thread

    def start(self) -> None:
        """Start the thread. `engine.on_wake(hub.wake)` is for whoever builds both."""
        self._thread.start()

    def adopt(self, order: StreamOrder, sock: socket.socket, head: bytes, chunked: bool) -> None:
        """Serve `order` on `sock`, beginning with a response head (that says whether it is `chunked`), and own it from here on.

        Never waits. Where more sockets are held than there may be, however they got past `refusal`, it is told so and closed.
        """
        if self._inbox.arrivals_count + len(self._connections) >= self._settings.streams + limits.ENDING_STREAMS_COUNT:
            self.refusal_count += 1
            if order.wire is None:
                turn_away(sock, head, chunked=chunked, reason=NO_ROOM, gzip=order.gzip)
            else:
                sock.close()  # before the end of what was announced: its client sees that
        elif not self._inbox.put_arrival(Arrival(order=order, sock=sock, head=head, chunked=chunked)):
            sock.close()

    def refusal(self, order: StreamOrder) -> str:
        """Why no stream is opened for `order` now, "" if perhaps one is. Asked before a socket is handed over."""
        return self._admission.refusal(order, self._clock())

    def wake(self, wake: Wake) -> None:
        """Take note of what a commit changed."""
        self._inbox.put_wake(wake)

    def stop(self, timeout: float = 5.0) -> None:
        """End every stream in order, hand over the last cursors, close all. Returns when done, `timeout` at the latest."""
        self._stop_at = self._clock() + timeout
        self._inbox.wake()
        if self._thread.ident is None:
            self._leave()
        elif self._thread is not threading.current_thread():
            self._thread.join(timeout + 1.0)

    @property
    def count(self) -> int:
        """Streams that are served now."""
        return self._admission.count

    # -- hub thread: the loop

    def _run(self) -> None:
        while self._stop_at is None or not self._is_stopping or (self._connections and self._clock() < self._stop_at):
            try:
                self._turn()
                self._stumbles.went_well()
            except Exception as error:  # a fault here must not silence every stream
                log.exception("the hub's turn failed; going on")
                self._stumbles.failed(error)
                # what the inbox held nobody tells again: every stream is reopened, and reads on from where it is
                self._changed_users.update(dict.fromkeys(self._audience.users()))
                time.sleep(limits.REST_SECONDS)
        self._leave()

    def _turn(self) -> None:
        self._inbox.is_for_nobody = not (self._connections or self._arrivals)
        ready = self._connections.wait(self._select_timeout())
        self._inbox.is_for_nobody = False
        now = self._clock()
        came = self._take_inbox() or bool(self._changed_users or self._arrivals)
        self._open_some()
        for conn, can_send, can_read in ready:
            self._guard(self._on_ready, conn, can_send, can_read)
        only_catches_up = self._rounds.has_catching_up and not came
        if self._rounds:
            self.pages.start_round()
            for conn in self._rounds.turns():
                self._guard(self._take_turn, conn)
        for conn in self._connections.choose(self._clock()):
            self.eviction_count += 1
            self._close(conn)
        self._ask_whether_it_serves()
        self._share()
        self._confirm()
        self._tick_all()
        if only_catches_up:
            return  # no publisher to rest for
        rest = rest_seconds(self._clock() - now, self._inbox.age())
        if rest > 0:
            self.rest_count += 1
            time.sleep(rest)

    def _select_timeout(self) -> float:
        """How long nothing has to be done unless something comes, in seconds."""
        if self._rounds or self._changed_users or self._arrivals:
            return 0.0
        stop_due = NEVER if self._stop_at is None else self._stop_at if self._is_stopping else 0.0
        return select_timeout(self._clock(), self._schedule.next_due, self._confirmations.due, self._acks.due, stop_due)

    def _leave(self) -> None:
        for conn in self._connections:
            self._close(conn)
        if not self._acks.post(self._clock()):
            log.warning("%d cursors could not be stored; what they cover is sent again", len(self._acks))
        self._connections.close()
        for arrival in [*self._inbox.close(), *self._arrivals]:
            arrival.sock.close()

    def _guard(self, do: Callable[..., None], conn: Connection, *args: object) -> None:
        """Run one stream's part: an error ends that stream, not the hub."""
        if conn.is_closed:
            return
        try:
            do(conn, *args)
        except Exception:
            log.exception("a stream of %s failed and is closed", conn.stream.order.user)
            self._close(conn)

    # -- hub thread: what came in

    def _take_inbox(self) -> bool:
        """Note what came; whether anything did."""
        arrivals, wake = self._inbox.take()
        if wake.serves != self._serves:
            self._serves = wake.serves
            if not wake.serves:
                self._send_all_elsewhere()
        self._changed_users.update(dict.fromkeys(self._audience.users() if EVERYBODY in wake.users else wake.users))
        self._arrivals.extend(arrivals)
        conns = list(self._audience.waiting(wake.topics))
        for conn in conns:
            conn.stream.is_behind = True
        self._rounds.put_live(conns)
        if self._stop_at is not None and not self._is_stopping:
            self._is_stopping = True
            for conn in list(self._audience):
                self._guard(self._end, conn, b"")
        return bool(arrivals or wake.topics or wake.users)

    def _open_some(self) -> None:
        """REOPEN and OPEN, bounded like a round: what they cost grows with a user's subscriptions, and others wait."""
        until = self._clock() + limits.ROUND_SECONDS
        while self._changed_users or self._arrivals:
            if self._changed_users:
                user = next(iter(self._changed_users))
                del self._changed_users[user]
                self._reopen_all(user)
            else:
                self._open(self._arrivals.popleft())
            if self._clock() >= until:
                break

    def _open(self, arrival: Arrival) -> None:
        now = self._clock()
        stream = Stream(arrival.order, arrival.chunked, now, arrival.head)
        try:
            conn = self._connections.add(arrival.sock, stream, now)
        except (OSError, ValueError):  # gone already
            arrival.sock.close()
            return
        self._schedule.put(conn, stream.next_deadline(now))
        self._guard(self._admit, conn, now)

    def _admit(self, conn: Connection, now: float) -> None:
        """OPEN, if there is room."""
        stream, order = conn.stream, conn.stream.order
        if self._is_stopping or not self._serves:
            self._end(conn, b"" if self._is_stopping else self._last_words(self._engine.describe().rows))
            return
        try:
            if reason := self._admission.refusal(order, now):
                raise NotNow(reason)
            start = self._start_of(order, order.event_id)
            if start is None:
                raise NotNow(notices.NOTHING_AWAKE if order.by is None else notices.NO_RIGHTS)
            evictions = self._admission.admit(stream, now)
        except NotNow as error:
            self.refusal_count += 1
            self._end(conn, notices.not_now(str(error)))
            return
        self.opening_count += 1
        if order.follows:
            self._moves.put(conn)
        for eviction in evictions:
            self._guard(self._evict, self._connections.of(eviction.stream), eviction)
        self._read_from(conn, start)
        if order.event_id is not None and order.ack != "none":
            ack = Acknowledge(order.user, order.event_id, account=start.account, token=order.token)
            self._acks.offer((conn, "opening"), ack)
        if order.wire is None:
            stream.write(notices.greeting(self._settings.id, as_json=stream.encoding.as_json), now)
        elif not order.polls:
            stream.write(order.wire.opening(",".join(order.topics), self._wall()), now)
        self._send(conn, now)

    def _start_of(self, order: StreamOrder, event_id: EventId | None) -> Start | None:
        """OPEN, or TOPICS, behind `event_id`."""
        if order.wire is None:
            return self._engine.open_stream(order.user, event_id, order.by)
        return self._engine.open_topics(order.topics, order.since if event_id is None else event_id, order.by)

    def _evict(self, conn: Connection, eviction: Eviction) -> None:
        self.eviction_count += 1
        if eviction.reason:
            self._end(conn, notices.not_now(eviction.reason, eviction.retry_seconds))
        else:
            self._close(conn)

    def _reopen_all(self, user: str) -> None:
        """REOPEN what depends on `user`. Such streams mostly stand at one place, which is looked up once for all alike."""
        starts: dict[Hashable, Start | None] = {}
        for conn in self._audience.of_user(user):
            self._guard(self._reopen, conn, starts)

    def _reopen(self, conn: Connection, starts: dict[Hashable, Start | None]) -> None:
        """OPEN with the last id that was sent. `starts`: what was looked up already, by what is alike."""
        last_id, order = conn.stream.last_id, conn.stream.order
        alike = (str(last_id), order.user, order.by, order.topics, order.since)
        if alike not in starts:
            starts[alike] = self._start_of(order, last_id)
        if (start := starts[alike]) is not None:
            self._read_from(conn, start)
        else:
            self._end(conn, notices.not_now(notices.NOTHING_AWAKE if order.by is None else notices.NO_RIGHTS))

    def _read_from(self, conn: Connection, start: Start) -> None:
        conn.stream.open(start)
        conn.stream.position = self.pages.share(start.position)
        self._audience.put(conn.stream.users, conn, start.patterns)
        if start.more:
            self._rounds.put_catching_up(conn)

    # -- hub thread: reading on

    def _take_turn(self, conn: Connection) -> None:
        """Send `conn` what is due to it.

        Most streams of a round stand where the one before them stood and have nothing queued. Where no change of users waits
        either, they get the same bytes with less than half of the work that `_read_on` is.
        """
        stream, (position, encoding, page), now = conn.stream, self.pages.last, self._clock()
        if (
            stream.position is not position
            or stream.encoding is not encoding
            or not (page.is_all and stream.is_behind)
            or stream.sent_bytes != stream.written_bytes
            or stream.is_ending
            or self._changed_users
            or self._inbox.has_changes
        ):
            self._read_on(conn)
            return
        self.message_count += len(page.ends)
        if not self._connections.send_page(conn, page, now):
            self._close(conn)
            return
        waits = stream.ack_points_count
        if waits and (not conn.is_watched or waits % limits.ACK_POINTS_COUNT == 0):
            self._confirmations.watch(conn, now)

    def _read_on(self, conn: Connection) -> None:
        stream, now = conn.stream, self._clock()
        if not stream.wants_page or not self._changed_users.keys().isdisjoint(stream.users):
            return  # who is reopened reads on then
        page = self.pages.get(stream.position, stream.encoding, stream.page_limit)
        if self._inbox.has_change_of(stream.users):
            self._rounds.put_catching_up(conn)  # reopened first, with the next turn
            return
        if page.moved:  # the log was written anew where it stood (COMPACT)
            self._reopen(conn, {})
            return
        stream.receive(page, now)
        self.message_count += len(page.ends)
        if conn.is_blocked:
            self._connections.note_unsent(conn)
        else:
            self._send(conn, now)
        if stream.wants_page and not conn.is_closed:
            self._rounds.put_catching_up(conn)
        elif stream.order.polls and not stream.is_behind:
            self._finish(conn, b"")

    # -- hub thread: sockets

    def _on_ready(self, conn: Connection, can_send: bool, can_read: bool) -> None:
        if can_send:
            self._send(conn, self._clock())
            if conn.stream.wants_page and not conn.is_closed:
                self._rounds.put_catching_up(conn)
        if can_read and not conn.is_closed and not self._connections.drain(conn):
            self._close(conn)

    def _send(self, conn: Connection, now: float) -> None:
        if not self._connections.send(conn, now):
            self._close(conn)
        elif conn.stream.ack_points_count:
            self._confirmations.watch(conn, now)

    def _end(self, conn: Connection, body: bytes) -> None:
        """Say the last words, and close when they, and what was sent before, have arrived (or it takes too long).

        On ntfy's wire nothing is said; a poll that is not done is cut off, so that nobody takes it for all there is.
        """
        if conn.stream.order.polls:
            self._close(conn)
        else:
            self._finish(conn, body if conn.stream.order.wire is None else b"")

    def _finish(self, conn: Connection, body: bytes) -> None:
        now = self._clock()
        conn.stream.end(now, body)
        self._forget(conn)
        self._schedule.put(conn, conn.stream.next_deadline(now))
        if not conn.is_blocked:
            self._send(conn, now)

    def _forget(self, conn: Connection) -> None:
        """Take the stream out of everything but its socket: it reads no more."""
        self._rounds.remove(conn)
        self._audience.remove(conn.stream.users, conn)
        self._admission.remove(conn.stream)
        self._moves.remove(conn)

    def _close(self, conn: Connection) -> None:
        """Ask once more what was confirmed, then close."""
        if conn.is_closed:
            return
        self._confirmations.remove(conn, self._clock())
        self._forget(conn)
        self._schedule.remove(conn)
        self._connections.remove(conn)

    # -- hub thread: what was confirmed, and time

    def _confirm(self) -> None:
        now = self._clock()
        if now >= self._confirmations.due:
            for conn in self._confirmations.check(now):
                self._close(conn)
        if now >= self._acks.due:
            self._acks.post(now)

    def _last_words(self, rows: Sequence[BrokerStatus]) -> bytes:
        """Of one stream: where it goes on."""
        return notices.moved(notices.successor(rows, self._chance()))

    def _send_all_elsewhere(self) -> None:
        rows = self._engine.describe().rows
        for conn in list(self._audience):
            self._guard(self._end, conn, self._last_words(rows))

    def _share(self) -> None:
        """Tell other brokers how many streams are here, and send them some, if here are too many (docs/rules.md, SHARE)."""
        now, count = self._clock(), self.count
        if now < self._load_due:
            return
        self._load_due = now + limits.LOAD_EVERY_SECONDS
        if count != self._load_told:
            self._engine.note_load(count, self._settings.streams)
            self._load_told = count
        if self._moves and self._serves and not self._is_stopping:
            for conn, to in self._moves.choose(count, self._settings.streams, self._engine.describe().rows, now):
                self._guard(self._send_elsewhere, conn, to)

    def _send_elsewhere(self, conn: Connection, to: str) -> None:
        now = self._clock()
        self.move_count += 1
        conn.stream.write(notices.move(to), now)
        if not conn.is_blocked:
            self._send(conn, now)

    def _ask_whether_it_serves(self) -> None:
        """Send the streams elsewhere when the disk hangs: who would tell the hub then waits for the disk."""
        now = self._clock()
        if not self.count or now < self._serves_due:
            return
        self._serves_due = now + limits.SERVES_EVERY_SECONDS
        if self._serves and not self._engine.describe().serves:
            self._send_all_elsewhere()

    def _tick_all(self) -> None:
        """Bounded like a round: after one message for everybody, everybody falls silent at once."""
        now, wall = self._clock(), self._wall()
        until = now + limits.ROUND_SECONDS
        while self._clock() < until and (conn := self._schedule.pop(now)) is not None:
            self._guard(self._tick, conn, now, wall)

    def _tick(self, conn: Connection, now: float, wall: float) -> None:
        stream = conn.stream
        if stream.is_ending or stream.unconfirmed_seconds(now) > _ASK_SECONDS:
            self._confirmations.check_one(conn, now)
        if wall >= stream.order.until and not stream.is_ending:
            self._end(conn, notices.not_now(notices.EXPIRED))
        elif not stream.tick(now, wall):
            self._close(conn)
        else:
            if not conn.is_blocked:
                self._send(conn, now)
            if not conn.is_closed:
                self._schedule.put(conn, stream.next_deadline(now))
