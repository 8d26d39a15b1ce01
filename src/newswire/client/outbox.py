"""Whose turn it is to send, where threads share one Publisher, and which messages go together (docs/rules.md, GATHER).

A thread that finds no messages in flight sends its own at once. What comes meanwhile waits; when the answer is there, the
newest message that fits is given the turn, and its thread sends all that go into one request: the newest, since its time ends
last. While messages are in flight another request begins when enough wait for one, up to `in_flight` requests at a time.
Callers have no thread but their own. Messages that nobody waits for (`LaterPost`) are sent by threads of the Outbox, which end
when there are none.

*Who was just told comes back.* An answer for many wakes as many threads, and most of them publish again within a moment. The
next to send waits that moment (half of what the last request took, and CLIENT_LINGER_SECONDS at most) until as many wait as
before. Otherwise each second request would hold one message. A thread by itself never waits so.

What can go wrong, and why it does not:
- *A thread leaves while it waits* (its time is over, KeyboardInterrupt): it takes its message out, or hands the turn on; whom
  it was to wake, it wakes.
- *The thread that sends is interrupted*: what others wait for goes back to the front, and is sent again with the same keys.
- *A call within a call* of the same thread (by a log handler, a signal handler, a finalizer, a callback) would wait for itself:
  it does not wait, and takes nothing of others along.
- *A fork*: threads that wait do not exist in the child, so a Publisher has an Outbox for each process (FORK).
- *The program ends*: the threads of the Outbox are no daemons, so the interpreter waits until all is told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import wait
from typing import Final, TypeVar

from newswire.client.posts import LaterPost, Post, Waiter
from newswire.core import limits

T = TypeVar("T")


class Outbox:
    """The posts of one Publisher in one process. Any thread.

    `send` sends posts until a time, and settles each; what it raises is for the thread that calls it. At most `in_flight`
    requests are under way; with 1 what waits is sent in the order in which it came.
    """

    def __init__(
        self,
        send: Callable[[list[Post], float], None],
        clock: Callable[[], float],
        in_flight: int = limits.CLIENT_IN_FLIGHT_COUNT,
    ) -> None:
        self._send: Final = send
        self._clock: Final = clock
        self._most: Final = in_flight
        self._lock = threading.Lock()  # held for steps that never wait
        self._waiting: deque[Post] = deque()  # oldest first
        self._waiting_bytes = 0
        self._next: Waiter | None = None  # whose thread takes what waits and sends it
        self._flights: dict[Waiter, list[Post]] = {}  # requests under way, by whose thread sends; empty: work of its own
        self._within: set[int] = set()  # threads with a post
        self._when_idle: Callable[[], object] | None = None
        self._crowd = 0  # so many wait again in a moment, which ends at `_crowd_end`
        self._crowd_end = 0.0
        self._room = threading.Condition(self._lock)
        self._later: dict[LaterPost, None] = {}  # without an outcome
        self._later_bytes = 0
        self._senders: set[Waiter] = set()  # of threads that send what nobody waits for
        self._idle: list[Waiter] = []  # of those that have nothing to do

    # -- callers that wait

    def deliver(self, post: Post) -> None:
        """Have `post` sent, by this thread or another one. It has an outcome then, or its time is over."""
        me = threading.get_ident()
        if me in self._within:
            self._send([post], post.until)
            return
        try:
            self._within.add(me)
            self._put(post)
            while post.outcome is None and self._clock() < post.until:
                if self._next is post:
                    self._lead(post)
                else:
                    post.wait(post.until - self._clock())
        finally:
            self._leave(post)
            self._within.discard(me)

    def run_alone(self, work: Callable[[], T], until: float) -> tuple[T] | None:
        """Do `work` as a request of its own, in turn; what it returns, None if its turn did not come in time."""
        me = threading.get_ident()
        if me in self._within:
            return (work(),)
        post = Post(until, object())
        try:
            self._within.add(me)
            self._put(post)
            while self._clock() < until:
                if self._next is post:
                    self._begin_alone(post)
                    return (work(),)
                post.wait(until - self._clock())
            return None
        finally:
            self._leave(post)
            self._within.discard(me)

    def run_when_idle(self, work: Callable[[], object]) -> None:
        """Do `work` when nothing is in flight: now, or in the thread that ends the last call under way. Does not wait."""
        me = threading.get_ident()
        if me in self._within:
            work()
            return
        self._within.add(me)  # before the lock: a finalizer that publishes must not wait for it
        try:
            with self._lock:
                self._when_idle = work
                self._choose()
        finally:
            self._within.discard(me)

    # -- callers that do not

    def deliver_later(self, post: LaterPost) -> bool:
        """Have `post` sent by a thread of the Outbox. Waits while too much is under way; False if its time is over by then."""
        me = threading.get_ident()
        if me in self._within:
            self._send([post], post.until)
            return True
        sender: Waiter | None = None
        self._within.add(me)  # before the lock: a finalizer that publishes must not wait for it
        try:
            with self._lock:
                while self._is_full():
                    if (rest := post.until - self._clock()) <= 0:
                        return False
                    self._room.wait(rest)
                self._later[post] = None
                self._later_bytes += len(post.body)
                self._waiting.append(post)
                self._waiting_bytes += len(post.body)
                self._choose()
                if not self._idle and len(self._senders) < self._most and (not self._senders or self._is_enough()):
                    sender = Waiter()
                    self._senders.add(sender)
        finally:
            self._within.discard(me)
        if sender is not None:
            self._start(sender)
        return True

    def flush(self) -> None:
        """Wait until what was given to `deliver_later` so far has its outcome; not in a thread that is to send it."""
        me = threading.get_ident()
        if me in self._within:
            return
        self._within.add(me)
        try:
            with self._lock:
                futures = [post.future for post in self._later]
        finally:
            self._within.discard(me)
        wait(futures)

    def _is_full(self) -> bool:
        return len(self._later) >= limits.CLIENT_LATER_MESSAGES or self._later_bytes >= limits.CLIENT_LATER_BYTES

    def _start(self, sender: Waiter) -> None:
        thread = threading.Thread(target=self._send_later, args=(sender,), name="newswire-publish")  # no daemon: see above
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, or has no room for a thread
            self._send_later(sender)
        except BaseException:
            if thread.ident is None:
                self._senders.discard(sender)
            raise

    def _send_later(self, sender: Waiter) -> None:
        """Send what nobody waits for, whenever it is the turn of `sender`, until there is none."""
        me = threading.get_ident()
        self._within.add(me)
        try:
            while self._has_turn(sender):
                self._lead(sender)
        finally:
            self._senders.discard(sender)
            self._within.discard(me)

    def _has_turn(self, sender: Waiter) -> bool:
        """Wait for the turn of `sender`; False when nothing is left to send."""
        with self._lock:
            self._idle.append(sender)
            self._choose()
        while True:
            sender.wait(limits.CLIENT_SENDER_IDLE_SECONDS)
            with self._lock:
                if self._next is sender:
                    return True
                if not self._later:
                    self._idle.remove(sender)
                    self._senders.discard(sender)
                    return False

    # -- whose turn it is

    def _put(self, post: Post) -> None:
        with self._lock:
            self._waiting.append(post)
            self._waiting_bytes += len(post.body)
            if self._next is None:
                self._choose(post)
            elif len(self._waiting) == self._crowd:
                self._next.ring()

    def _is_enough(self) -> bool:
        """Whether another request is worth it, while messages are in flight."""
        return len(self._waiting) >= limits.CLIENT_GATHER_LEAST or self._waiting_bytes >= limits.CLIENT_GATHER_BYTES

    def _choose(self, caller: Waiter | None = None) -> None:
        """Give somebody the turn, if another request may begin. With the lock, in the thread of `caller`."""
        if self._next is None and self._waiting and len(self._flights) < self._most:
            first = self._waiting[0]
            if first.is_alone:
                self._next = first
            elif self._is_enough() or not any(self._flights.values()):
                if not isinstance(first, LaterPost):
                    self._next = next(post for post in reversed(self._waiting) if post.may_lead(first.group))
                elif self._idle:  # else all senders are busy: the first that is not has the turn
                    self._next = self._idle.pop()
            if self._next is not None and self._next is not caller:
                self._next.ring()
        if self._when_idle is not None and self._next is None and not self._waiting and not self._flights:
            work, self._when_idle = self._when_idle, None
            work()

    def _lead(self, leader: Waiter) -> None:
        """Send what waits, in this thread, whose turn it is."""
        while len(self._waiting) < self._crowd and not self._flights and (rest := self._crowd_end - self._clock()) > 0:
            leader.wait(rest)
        batch: list[Post] = []
        began = self._clock()
        try:
            self._take(leader, batch)
            self._send(batch, batch[-1].until if batch else began)
        except Exception as error:
            if isinstance(leader, Post):
                raise
            for post in batch:
                if isinstance(post, LaterPost) and not post.is_left:
                    post.fail(error)
        finally:
            self._land(leader, batch, began)

    def _take(self, leader: Waiter, batch: list[Post]) -> None:
        """Move the oldest post, and those that can go with it in one request, into `batch`: they are in flight now."""
        with self._lock:
            self._flights[leader] = batch
            self._next = None
            others: list[Post] = []
            size = 0
            while self._waiting and len(batch) < limits.CLIENT_GATHER_MESSAGES:
                post = self._waiting[0]
                if post.is_alone or (batch and post.group != batch[0].group):
                    if self._most == 1:  # all keep their order
                        break
                    others.append(self._waiting.popleft())
                    continue
                size += len(post.body) + 1
                if batch and size > limits.CLIENT_GATHER_BYTES:
                    break
                self._waiting.popleft()
                self._waiting_bytes -= len(post.body)
                if post.begin():
                    batch.append(post)
                else:
                    self._forget(post)
            self._waiting.extendleft(reversed(others))
            self._choose(leader)

    def _begin_alone(self, post: Post) -> None:
        with self._lock:
            self._waiting.remove(post)
            self._flights[post] = []
            self._next = None
            self._choose(post)

    def _land(self, leader: Waiter, batch: list[Post], began: float) -> None:
        """Take note that a request has ended; what has no outcome waits again, but for the leader's own."""
        now = self._clock()
        with self._lock:
            self._flights.pop(leader, None)
            again = [post for post in batch if post.outcome is None and not post.is_left and post is not leader]
            for post in reversed(again):
                post.in_doubt = True
                self._waiting.appendleft(post)
                self._waiting_bytes += len(post.body)
            callers = len(batch)
            if self._later:
                callers -= sum(self._forget(post) for post in batch if post.is_left)
            self._crowd = callers and len(self._waiting) + callers
            self._crowd_end = now + min((now - began) / 2, limits.CLIENT_LINGER_SECONDS)
            self._choose(leader)

    def _forget(self, post: Post) -> bool:
        """Take `post` out of what nobody waits for; whether it was of that."""
        if isinstance(post, LaterPost) and post in self._later:
            del self._later[post]
            self._later_bytes -= len(post.body)
            self._room.notify_all()
            return True
        return False

    def _leave(self, post: Post) -> None:
        """Take `post` out: its thread goes."""
        post.is_left = True
        post.pass_on()
        if post.outcome is None or self._next is post:
            with self._lock:
                if post in self._waiting:
                    self._waiting.remove(post)
                    self._waiting_bytes -= len(post.body)
                if self._next is post:
                    self._next = None
                self._flights.pop(post, None)
                self._choose()
