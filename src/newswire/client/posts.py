"""Messages that wait to be sent, and how those who wait for them are told.

A thread waits for a `Post`, at a lock of its own. *Who is told wakes the next* that the same answer tells (`Post.pass_on`),
before anything else. A sender that woke all would have them queue up for the interpreter lock that it holds: each would be
woken twice. Who leaves before it is woken (its time is over, KeyboardInterrupt) wakes the next, too. Nobody waits for a
`LaterPost`: what became of it is told to a `Future`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress

from newswire.client.answers import MessageReceipt
from newswire.client.pool import Tries
from newswire.errors import NewswireError


class Waiter:
    """What one thread waits at. Any thread rings; one ring more than waits is kept."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, seconds: float) -> None:
        """Wait until somebody rings, or the time is over."""
        self._lock.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def ring(self) -> None:
        """Wake the thread: it has the turn, or an outcome."""
        with suppress(RuntimeError):  # rung already
            self._lock.release()


class Post(Waiter):
    """A message that a thread waits for, until `until` on the clock of the Outbox; only those with equal `group` go together.

    `body` is its JSON, `text` what its receipt names it by, `key` what it is known by, `tries` those of the request that it is
    in. What `is_scheduled` is delivered later.
    """

    __slots__ = (
        "_others",
        "body",
        "group",
        "in_doubt",
        "is_left",
        "is_scheduled",
        "key",
        "outcome",
        "text",
        "topic",
        "tries",
        "until",
    )

    def __init__(
        self,
        until: float,
        group: object,
        body: bytes = b"",
        *,
        topic: str = "",
        text: str = "",
        key: str = "",
        is_scheduled: bool = False,
    ) -> None:
        super().__init__()
        self.until, self.group, self.body = until, group, body
        self.topic, self.text, self.key, self.is_scheduled = topic, text, key, is_scheduled
        self.outcome: MessageReceipt | NewswireError | None = None
        self.tries: Tries | None = None
        self.in_doubt = False  # a request that ended without an answer may have stored it
        self.is_left = False  # its thread waits no more
        self._others: deque[Post] | None = None

    def settle(self, outcome: MessageReceipt | NewswireError) -> None:
        """Tell the thread what became of it."""
        self.outcome = outcome
        self.ring()

    def settle_among(self, others: deque[Post], outcome: MessageReceipt | NewswireError) -> None:
        """Note what became of it: its thread, woken by one of `others`, wakes another one of them."""
        self._others = others
        self.outcome = outcome
        others.append(self)

    def wait(self, seconds: float) -> None:
        """Wait until somebody rings, or the time is over; then wake the next."""
        try:
            super().wait(seconds)
        finally:
            self.pass_on()

    @property
    def is_alone(self) -> bool:
        """Whether it stands for work of its own, which goes with nothing."""
        return not self.body

    def may_lead(self, group: object) -> bool:
        """Whether its thread waits, and may send those of `group`."""
        return self.group == group

    def begin(self) -> bool:
        """Whether it is still to be sent."""
        return True

    def pass_on(self) -> None:
        """Wake the next of those whom the same answer told."""
        if self._others is not None:
            _wake_next(self._others)
            self._others = None


class LaterPost(Post):
    """A message that no thread waits for: what becomes of it is told to `future`."""

    __slots__ = ("future",)

    def __init__(
        self,
        until: float,
        group: object,
        body: bytes = b"",
        *,
        topic: str = "",
        text: str = "",
        key: str = "",
        is_scheduled: bool = False,
    ) -> None:
        super().__init__(until, group, body, topic=topic, text=text, key=key, is_scheduled=is_scheduled)
        self.future: Future[MessageReceipt] = Future()

    def may_lead(self, group: object) -> bool:
        """It has no thread."""
        return False

    def begin(self) -> bool:
        """Take note that it is sent, so that it cannot be cancelled any more; False: it was before."""
        if not self.in_doubt:  # else it was sent before
            self.is_left = not self.future.set_running_or_notify_cancel()
        return not self.is_left

    def settle(self, outcome: MessageReceipt | NewswireError) -> None:
        """Tell the future, and whoever asked it to call."""
        self.outcome = outcome
        if isinstance(outcome, NewswireError):
            self.fail(outcome)
        else:
            self.is_left = True
            self.future.set_result(outcome)

    def settle_among(self, others: deque[Post], outcome: MessageReceipt | NewswireError) -> None:
        """As `settle`: nobody is to be woken."""
        self.settle(outcome)

    def fail(self, error: Exception) -> None:
        """Tell the future of an error."""
        self.is_left = True
        self.future.set_exception(error)


def settle_all(posts: Sequence[Post], outcomes: Sequence[MessageReceipt]) -> None:
    """Tell each of them its own outcome, and wake one: each thread that is woken wakes another one."""
    others: deque[Post] = deque()
    for post, outcome in zip(posts, outcomes, strict=True):
        post.settle_among(others, outcome)
    _wake_next(others)


def _wake_next(others: deque[Post]) -> None:
    with suppress(IndexError):  # all are awake
        while (post := others.popleft()).is_left:  # who leaves just now passes on after that
            pass
        post.ring()
