"""A stream that outlives its connections: an iterator of messages (and gaps) that goes on until it is told to stop.

One thread, the one that iterates, does nearly everything: it reads, looks whether the primary is back, connects again, and
begins acknowledgements. An acknowledgement has a thread of its own while it is on its way, one at a time: a broker whose disk
is slow does not hold up the news that have come. `close()` and the `stop` event of other threads only end the connection. The
order inside `__next__`:

    the last item counts as taken -> acknowledge, if due -> an event that was read but not looked at, if there is one
    -> home to the primary, if it is back -> read (blocks), or connect

Between two reads at most a keepalive interval passes, so what is due is late by no more than that. Going home, and going
where there is more room, opens the stream there before it leaves the other broker: what the old connection still held is
sent again by the new one.

A child process that goes on with a stream of its parent's connects for itself, from what was taken at the fork. One that
only ends says nothing in its parent's name: no acknowledgement, and the parent's connection stays.

Longer than other rooms: what happens between two items can be read in one place.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

from newswire.client import checks
from newswire.client.answers import ConnectionState
from newswire.client.delivery import Acks, Delivery, Item, Moved, Opened, UnreadableEvent
from newswire.client.pool import BrokerPool
from newswire.client.transport import BrokerAnswer, Call, Incoming, form
from newswire.client.unreached import Unreached
from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.message import Gap, Message, Withdrawal
from newswire.errors import BadRequest, NewswireError
from newswire.sse import Event

_FINAL = (400, 401, 403)  # docs/http.md, Stream: everything else is "not now"
_STOP_POLL_SECONDS = 0.25


class MessageStream(Iterator[Item]):
    """Iterate to get what is published. Made by `Subscriber.stream`; one thread iterates, any thread may close.

    Use it in a `with` block: leaving it counts the last item as taken, leaving it by an exception does not.
    """

    def __init__(
        self,
        pool: BrokerPool,
        username: str | None,
        *,
        ack: Acks = True,
        last_event_id: str | None = None,
        on_withdrawn: Callable[[Withdrawal], object] | None = None,
        stop: threading.Event | None = None,
        on_state: Callable[[ConnectionState], None] | None = None,
        silence: float = limits.CLIENT_SILENCE_SECONDS,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        if ack not in (True, False, "manual"):
            raise ValueError(f'`ack` must be True, False or "manual", not {ack!r}')
        if stop is not None and not (hasattr(stop, "wait") and hasattr(stop, "set")):
            raise TypeError(f"`stop` must be a threading.Event, not {type(stop).__name__}")
        self._pool, self._brokers = pool, pool.brokers
        self._username = username
        event_id = checks.text_or_none("last_event_id", last_event_id) or ""  # can it travel at all? The broker reads it
        if len(event_id) > limits.EVENT_ID_CHARS or not event_id.isascii() or not event_id.isprintable():
            raise BadRequest("an event id is what a stream gave as `event_id`", code="bad-event-id")
        self._delivery = Delivery(event_id, ack)
        self._on_state = checks.called("on_state", on_state)
        self._on_withdrawn = checks.called("on_withdrawn", on_withdrawn)
        self._silence = silence
        self._given_pause = pause
        self._stop = stop
        self._incoming: Incoming | None = None
        self._events: deque[Event] = deque()
        self._aim = ""  # where a leaving broker sent us
        self._thread: int | None = None
        self._heard = pool.clock()
        self._patience = pool.chance()  # of this stream, between two looks: drawn anew after each
        self._settle()

    def _settle(self) -> None:
        """Make what belongs to one process: a lock that a thread may hold at a fork, a thread that does not survive it."""
        self._process = os.getpid()
        self._closing = threading.Event()
        self._pause = self._given_pause or self._closing.wait
        self._ack: Acknowledgement | None = None  # on its way
        self._lock = threading.Lock()  # guards _incoming against close() of another thread
        if self._stop is not None:
            watch = threading.Thread(target=_watch, args=(self._stop, weakref.ref(self)), name="newswire-stop", daemon=True)
            watch.start()

    def _adopt(self) -> None:
        """Go on in this process, with a connection of its own."""
        if self._process == os.getpid():
            return
        closed = self._closing.is_set()
        self._settle()
        if closed:
            self._closing.set()
        self._drop()

    # -- the program's side

    def __iter__(self) -> MessageStream:
        return self

    def __next__(self) -> Item:
        """Wait for the next item; StopIteration after `close` or `stop`. Raises BadRequest, Refused, NotRegistered: final."""
        self._adopt()
        self._thread = threading.get_ident()
        self._delivery.next()
        while not self._closing.is_set():
            item = self._look_at_events()
            if item is not None:
                return item
            self._acknowledge()
            self._go_home()
            self._read_or_connect()
        self._finish()
        raise StopIteration

    def taken(self, item: Item) -> None:
        """Say that the program is done with `item` and all before it (`ack="manual"`)."""
        if not isinstance(item, Message | Gap):
            raise TypeError(f"`item` must be what the stream gave, not {type(item).__name__}")
        self._adopt()
        self._delivery.taken(item)
        self._acknowledge()

    def close(self) -> None:
        """End the stream. In the thread that iterates, the last item counts as taken; in another, `__next__` ends at once."""
        if self._process != os.getpid():
            self._closing.set()
            self._incoming = None
            return
        self._end()
        if self._thread in (None, threading.get_ident()):
            self._delivery.next()
            self._finish()

    def __enter__(self) -> MessageStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or self._process != os.getpid():
            self.close()
        else:
            self.abandon()

    def interrupt(self) -> None:
        """End what another thread waits for: its `__next__` raises StopIteration. The last item does not count as taken."""
        self._end()

    def abandon(self) -> None:
        """End the stream, in the thread that iterates; the last item does not count as taken, and comes again."""
        self._delivery.give_back()
        self._end()
        self._finish()

    @property
    def last_event_id(self) -> str:
        """The place behind what was taken: what a later stream may start from."""
        return self._delivery.resume

    # -- events

    def _look_at_events(self) -> Item | None:
        while self._events:
            try:
                got = self._delivery.receive(self._events.popleft())
            except UnreadableEvent as error:
                self._lost(f"sent an event that cannot be read ({error})")
                return None
            if isinstance(got, Message):
                return got
            if isinstance(got, Withdrawal):
                if self._on_withdrawn is not None:
                    self._on_withdrawn(got)
            elif isinstance(got, Moved):
                self._follow(got.to) if got.goes_on else self._move(got)
            elif isinstance(got, Opened):
                broker = self._at()
                self._brokers.answered(broker)
                self._tell("live", broker, f"live at {self._name(broker)}")
            elif got is not None:
                return got
        return None

    def _move(self, moved: Moved) -> None:
        self._drop(limits.RETRY_MILLISECONDS / 1000)
        try:
            to = names.check_address(moved.to)
        except BadRequest:  # it named nobody, or nothing that can be connected to
            to = ""
        self._aim = to if self._brokers.may_ask(to) else ""
        to = self._name(self._aim) if self._aim else "another broker"
        self._tell("moving", self._aim, f"the broker sends its readers to another one, moving to {to}")

    # -- the connection

    def _read_or_connect(self) -> None:
        if self._incoming is None:
            self._connect()
            return
        try:
            events = self._incoming.read()
        except Unreached as error:
            self._lost(error.reason, silent=error.silent)
            return
        if events is None:
            self._lost(self._incoming.reader.comment or "the broker ended the stream")
            return
        self._heard = self._pool.clock()
        self._events.extend(events)

    def _connect(self) -> None:
        now = self._pool.clock()
        aim, self._aim = self._aim, ""
        broker = aim or self._brokers.choose(now)
        if broker is None:
            wait = self._brokers.wait(now)
            self._tell("waiting", "", f"trying again in {wait:.1f} s")
            self._pause(wait)
            return
        try:
            self._pool.ask_rows(broker)
            if not aim:
                broker = self._pool.seat(broker)
            self._use(self._open(broker))
        except Unreached as error:
            self._tell("lost", broker, f"{self._name(broker)}: {error.reason}")

    def _open(self, broker: str) -> Incoming:
        """Open the stream at `broker`. Raises Unreached, after taking note of it, and the error that is final.

        Ask it for the rows first: a broker that hangs is found out within the time of a small question, and the other
        brokers are known by the time this one fails.
        """
        resume = self._delivery.resume
        try:
            incoming = _opened(self._pool.transport.open(broker, self._request(resume), self._silence, resume))
        except Unreached as error:
            self._pool.unreached(broker, error)
            raise
        if resume:
            self._delivery.acked(resume, self._pool.clock())  # the broker counts it as one
        return incoming

    def _request(self, resume: str) -> Call:
        """What a broker is asked for to go on behind `resume`."""
        who = {} if self._username is None else {"username": self._username}
        params = {**who, "format": "json", "ack": "client"}
        if self._delivery.ack is not False:  # who acknowledges nothing would be sent all again
            params["follow"] = "1"
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if resume:
            headers["Last-Event-ID"] = resume
        return Call("GET", "/stream", params, headers=headers)

    def _use(self, incoming: Incoming) -> None:
        self._drop()
        self._heard = self._pool.clock()
        with self._lock:
            self._incoming = incoming
            if self._closing.is_set():
                incoming.interrupt()

    def _drop(self, rest: float | None = None) -> None:
        """Close the connection; its broker rests if it failed."""
        with self._lock:
            incoming, self._incoming = self._incoming, None
        self._events.clear()
        if incoming is not None:
            incoming.close()
            if rest is not None:
                self._pool.failed(incoming.broker, max(rest, (incoming.reader.retry or 0) / 1000))

    def _lost(self, reason: str, *, silent: bool = False) -> None:
        if self._closing.is_set():  # our own doing
            self._drop()
            return
        broker = self._at()
        self._drop(limits.CLIENT_HUNG_SECONDS if silent else 0.0)
        self._tell("silent" if silent else "lost", broker, f"{self._name(broker)}: {reason}")

    def _go_home(self) -> None:
        """Leave for the primary if it is back. A quiet moment: nothing that was read waits to be looked at."""
        here, now = self._at(), self._pool.clock()
        if not here or not self._brokers.stale(here, now, self._patience):
            return
        self._patience = self._pool.chance()
        try:
            self._pool.ask_rows(here)
            home = self._brokers.better(here, now)
            if home is not None:
                self._change_to(home, "the primary is back")
        except (Unreached, NewswireError):  # stay: if this broker is gone too, the stream tells
            self._brokers.looked(now)

    def _follow(self, address: str) -> None:
        """Go where there is more room, if that can be reached from here; else stay, and say so to nobody (SHARE)."""
        try:
            to = self._brokers.ours(names.check_address(address))
            if to != self._at() and self._brokers.may_move_to(to, self._pool.clock()):
                self._change_to(to, "another broker has more room")
        except (Unreached, NewswireError):
            pass

    def _change_to(self, broker: str, why: str) -> None:
        """Open the stream at `broker`, then leave this one. Raises as `_open`, and nothing has changed."""
        self._pool.ask_rows(broker)
        incoming = self._open(broker)
        self._tell("moving", broker, f"{why}, moving to {self._name(broker)}")
        self._use(incoming)

    # -- acknowledgement

    def _acknowledge(self) -> None:
        """Acknowledge what is due at the broker that we hear; between connections the next one's Last-Event-ID does."""
        if self._ack is not None and not self._ack.is_alive():
            self._note(self._ack)
        event_id, broker = self._delivery.due(self._pool.clock()), self._at()
        if event_id and broker and self._ack is None:
            self._ack = Acknowledgement(self._pool, self._username, event_id, broker)
            try:
                self._ack.start()
            except RuntimeError:  # the interpreter ends, or has no room for a thread
                self._ack.run()
                self._note(self._ack)

    def _note(self, ack: Acknowledgement) -> bool:
        """Take note of one that has ended; whether a broker has it."""
        self._ack = None
        if ack.is_settled:
            self._delivery.acked(ack.event_id, ack.ended)
        else:
            self._delivery.not_acked(ack.ended)
        return ack.is_settled

    def _finish(self) -> None:
        """Say what was taken before the program leaves, here or, if this broker is gone, at another; then close."""
        if self._ack is not None:
            self._ack.join()
            self._note(self._ack)
        event_id, here = self._delivery.due(float("inf")), self._at() or self._pool.current
        if event_id:
            others = [a for a in self._brokers.addresses() if a != here]
            for broker in [here, *others[:1]]:
                if broker:
                    ack = Acknowledgement(self._pool, self._username, event_id, broker)
                    ack.run()
                    if self._note(ack):
                        break
        self._drop()

    # -- ends

    def _end(self) -> None:
        self._closing.set()
        with self._lock:
            if self._incoming is not None:
                self._incoming.interrupt()

    def _at(self) -> str:
        return self._incoming.broker if self._incoming is not None else ""

    def _name(self, broker: str) -> str:
        broker_id = self._brokers.id_of(broker)
        return f"{broker_id} ({broker})" if broker_id else broker

    def _tell(self, kind: str, broker: str, detail: str) -> None:
        if self._on_state is not None:
            since = self._heard if kind == "silent" else self._pool.clock()
            self._on_state(
                ConnectionState(kind=kind, broker=broker, broker_id=self._brokers.id_of(broker), detail=detail, since=since)
            )


class Acknowledgement(threading.Thread):
    """One acknowledgement, sent once. A lost one loses nothing, so that a program that ends need not wait for it."""

    def __init__(self, pool: BrokerPool, username: str | None, event_id: str, broker: str) -> None:
        super().__init__(name="newswire-ack", daemon=True)
        self.event_id = event_id
        self.is_settled = False  # taken, or refused for good: asking again is no use
        self.ended = 0.0  # on the clock of the pool
        self._pool, self._username, self._broker = pool, username, broker

    def run(self) -> None:
        """Send it."""
        body, kind = form({"username": self._username, "id": self.event_id})
        call = Call("POST", "/ack", params={}, body=body, type=kind)
        try:
            with suppress(Unreached):
                answer = self._pool.transport.send(self._broker, call, limits.CLIENT_SIDE_SECONDS)
                self.is_settled = answer.status < 500 and answer.status not in (408, 429)
        finally:
            self.ended = self._pool.clock()


def _opened(response: Incoming | BrokerAnswer) -> Incoming:
    """The stream, unless the broker answered with something else: that is final, or counts as not reached."""
    if isinstance(response, Incoming):
        return response
    if strange := response.why_strange():
        raise Unreached(strange, perhaps=False)
    if response.status in _FINAL:
        raise response.error()
    raise Unreached(response.error().detail, perhaps=False)


def _watch(stop: threading.Event, of: weakref.ref[MessageStream]) -> None:
    """End the stream when `stop` is set; holds no reference, so that a stream that was dropped can go."""
    while True:
        stopped = stop.wait(_STOP_POLL_SECONDS)
        stream = of()
        if stream is None or stream._closing.is_set():
            return
        if stopped:
            stream._end()
            return
        del stream
