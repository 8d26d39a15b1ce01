"""Whose turn it is to send, where threads share one Publisher, and which messages go together (docs/rules.md, GATHER).

One request is in flight at a time. A thread that finds none in flight sends its own message at once. What comes meanwhile
waits; when the answer is there, the newest message that fits into one request is given the turn, and its thread sends all of
them: the newest, since its time ends last. There is no thread but the callers'.

What can go wrong, and why it does not:
- *A thread leaves while it waits* (its time is over, KeyboardInterrupt): it takes its message out, or hands the turn on.
- *The thread that sends is interrupted*: what others wait for goes back to the front, and is sent again with the same keys.
- *A call within a call* of the same thread (by a log handler, a signal handler, a finalizer) would wait for itself: it does
  not wait, and takes nothing of others along.
- *A fork*: threads that wait do not exist in the child, so a Publisher has an Outbox for each process (FORK).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from newswire.client.answers import MessageReceipt
from newswire.client.pool import Tries
from newswire.core import limits
from newswire.errors import NewswireError

T = TypeVar("T")


class Post:
    """A message that a thread waits for, until `until` on the clock of the Outbox; only those with equal `group` go together.

    `body` is its JSON, `text` what its receipt shows, `key` what it is known by, `tries` those of the request that it is in.
    """

    def __init__(
        self, until: float, group: object, body: bytes = b"", *, topic: str = "", text: str = "", key: str = ""
    ) -> None:
        self.until, self.group, self.body = until, group, body
        self.topic, self.text, self.key = topic, text, key
        self.outcome: MessageReceipt | NewswireError | None = None
        self.tries: Tries | None = None
        self.in_doubt = False  # a request that ended without an answer may have stored it
        self.is_left = False  # its thread waits no more
        self._bell = threading.Lock()
        self._bell.acquire()

    def settle(self, outcome: MessageReceipt | NewswireError) -> None:
        """Tell the thread what became of it."""
        self.outcome = outcome
        self.ring()

    def wait(self, seconds: float) -> None:
        """Wait until somebody rings."""
        self._bell.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def ring(self) -> None:
        """Wake the thread: it has the turn, or an outcome."""
        with suppress(RuntimeError):  # rung already
            self._bell.release()


class Outbox:
    """The posts of one Publisher in one process. Any thread.

    `send` sends posts until a time, and settles each; what it raises is for the thread that calls it.
    """

    def __init__(self, send: Callable[[list[Post], float], None], clock: Callable[[], float]) -> None:
        self._send: Final = send
        self._clock: Final = clock
        self._lock = threading.Lock()  # held for steps that never wait
        self._waiting: list[Post] = []  # oldest first
        self._leader: Post | None = None  # whose thread sends
        self._within: set[int] = set()  # threads with a post
        self._when_idle: Callable[[], object] | None = None

    def deliver(self, post: Post) -> None:
        """Have `post` sent, by this thread or another one. It has an outcome then, or its time is over."""
        if threading.get_ident() in self._within:
            self._send([post], post.until)
            return
        with self._place(post):
            if self._may_send(post):
                self._send_waiting(post)

    def run_alone(self, work: Callable[[], T], until: float) -> tuple[T] | None:
        """Do `work` while nothing else is in flight; what it returns, None if that did not come in time."""
        if threading.get_ident() in self._within:
            return (work(),)
        post = Post(until, object())
        with self._place(post):
            return (work(),) if self._may_send(post) else None

    def run_when_idle(self, work: Callable[[], object]) -> None:
        """Do `work` when nothing is in flight: now, or in the thread that ends the last call under way. Does not wait."""
        me = threading.get_ident()
        if me in self._within:
            work()
            return
        self._within.add(me)  # before the lock: a finalizer that publishes must not wait for it
        try:
            with self._lock:
                if self._leader is None:
                    work()
                else:
                    self._when_idle = work
        finally:
            self._within.discard(me)

    @contextmanager
    def _place(self, post: Post) -> Iterator[None]:
        """Wait until `post` leads or has an outcome, or its time is over; leave at the end, whatever happens."""
        me = threading.get_ident()
        try:
            self._within.add(me)
            with self._lock:
                self._waiting.append(post)
                if self._leader is None:
                    self._leader = post
            if self._leader is not post:
                post.wait(post.until - self._clock())
            yield
        finally:
            self._leave(post)
            self._within.discard(me)

    def _may_send(self, post: Post) -> bool:
        return self._leader is post and self._clock() < post.until

    def _leave(self, post: Post) -> None:
        with self._lock:
            post.is_left = True
            if post in self._waiting:
                self._waiting.remove(post)
            if self._leader is not post:
                return
            self._leader = self._next_batch()[-1] if self._waiting else None
            if self._leader is not None:
                self._leader.ring()
            elif self._when_idle is not None:
                work, self._when_idle = self._when_idle, None
                work()

    def _send_waiting(self, leader: Post) -> None:
        with self._lock:
            batch = self._next_batch()
            in_batch = set(batch)
            self._waiting = [post for post in self._waiting if post not in in_batch]
        try:
            self._send(batch, leader.until)
        finally:
            with self._lock:
                again = [post for post in batch if post.outcome is None and not post.is_left and post is not leader]
                for post in again:
                    post.in_doubt = True
                self._waiting[:0] = again

    def _next_batch(self) -> list[Post]:
        """The oldest post and those that can go with it, within the limits of one request."""
        first = self._waiting[0]
        batch: list[Post] = []
        size = 0
        for post in self._waiting:
            if post.group != first.group:
                continue
            size += len(post.body) + 1
            if batch and (size > limits.CLIENT_GATHER_BYTES or len(batch) == limits.CLIENT_GATHER_MESSAGES):
                break
            batch.append(post)
        return batch
