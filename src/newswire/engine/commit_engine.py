"""What engines have in common that run a shell in a commit thread: requests in, outcomes out, texts from the ops file."""

from __future__ import annotations

import logging
import secrets
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import msgspec

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.events import Event, Loaded, Now, Submitted, Wake
from newswire.core.broker.values import ClusterStatus
from newswire.core.model.commands import Request
from newswire.core.model.ops import Published
from newswire.core.read.counts import topics
from newswire.core.read.pieces import Pieces
from newswire.core.read.scan import Due
from newswire.core.state.fold import State
from newswire.engine.commit_thread import CommitThread
from newswire.engine.queries import StateQueries, read_texts
from newswire.engine.seam import Receipt
from newswire.engine.shell import Shell
from newswire.engine.waiting import wait_for
from newswire.errors import NewswireError, NotStored, Unknown

_log: Final = logging.getLogger("newswire.engine")

_ORIGIN_CHARS: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is taken for another

T = TypeVar("T")
Tell = Callable[[Any], object]  # what became of an event; the commit thread calls it


class CommitEngine(StateQueries):
    """See `seam.Engine`. Who inherits makes `_shell` and `_commit`."""

    _shell: Shell
    _commit: CommitThread

    def __init__(self) -> None:
        self._wake: Callable[[Wake], None] = lambda wake: None
        self._closed = False
        self._waiting: set[Tell] = set()  # who is to be told; who takes it out tells it, so that nobody is told twice

    def submit_later(
        self,
        requests: Sequence[Request],
        then: Callable[[Receipt | NewswireError], None],
        *,
        copies: int = 1,
        timeout: float = limits.RECEIPT_SECONDS,
        by: Principal | None = None,
    ) -> None:
        """See `seam.Engine`."""
        tell = self._shell.timed(requests, then)
        self._put(tell, Submitted(reply_to=tell, requests=requests, copies=copies, until=time.monotonic() + timeout, by=by))

    def together(self) -> AbstractContextManager[None]:
        """See `seam.Engine`."""
        return self._commit.together()

    def submit(
        self,
        requests: Sequence[Request],
        *,
        copies: int = 1,
        timeout: float = limits.RECEIPT_SECONDS,
        by: Principal | None = None,
    ) -> Receipt:
        """See `seam.Engine`."""
        late = Unknown("no receipt in time: perhaps stored, retry with the same key")

        def begin(then: Callable[[Receipt | NewswireError], None]) -> None:
            self.submit_later(requests, then, copies=copies, timeout=timeout, by=by)

        return wait_for(begin, timeout + limits.RECEIPT_GRACE_SECONDS, late)

    def post(self, requests: Sequence[Request]) -> bool:
        """See `seam.Engine`."""
        return self._commit.put(Submitted(None, requests))

    def on_wake(self, wake: Callable[[Wake], None]) -> None:
        """See `seam.Engine`."""
        self._wake = wake

    def note_load(self, streams: int, limit: int) -> None:
        """See `seam.Engine`."""
        self._commit.put(Loaded(streams, limit))

    def describe(self) -> ClusterStatus:
        """See `seam.Engine`."""
        return self._shell.describe()

    def _read(self, query: Callable[[State], T]) -> T:
        return self._shell.read(query)

    def _query(self, query: Callable[[State], Pieces[T]]) -> T:
        return self._shell.query(query)

    def _texts(self, dues: Sequence[Due]) -> Sequence[Published | None]:
        return read_texts(dues, self._shell.messages, self._read_each)

    def _records(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes | None]:
        return self._read_each(places)

    def _wall(self) -> int:
        return now_here().wall

    @abstractmethod
    def close(self, timeout: float = 5.0) -> None:
        """See `seam.Engine`."""

    @abstractmethod
    def _read_each(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes | None]:
        """Read records, None for those that are damaged. Any thread."""

    def _put(self, tell: Tell, event: Event) -> None:
        """Hand in an event whose outcome `tell` is told. Raises NotStored."""
        self._waiting.add(tell)
        if self._closed or not self._commit.put(event):
            self._waiting.discard(tell)
            raise NotStored("too many requests wait at this broker: nothing was stored, try again or use another broker")

    def _tell(self, tell: Tell, result: object) -> None:
        """Tell, unless that is done. A fault of who is told is no fault of the engine."""
        try:
            self._waiting.remove(tell)
        except KeyError:
            return
        try:
            tell(result)
        except Exception:
            _log.exception("what became of a request could not be told")

    def _tell_all(self, result: NewswireError) -> None:
        """Tell everybody who waits."""
        for tell in list(self._waiting):
            self._tell(tell, result)


def mint_origin(broker: str) -> str:
    """The origin of a run of `broker` that begins."""
    return f"{broker}-{''.join(secrets.choice(_ORIGIN_CHARS) for _ in range(8))}"


class Restored(msgspec.Struct, frozen=True):
    """What a start had at once."""

    messages: int
    subscriptions: int
    seconds: float


def restored(state: State, since: float) -> Restored:
    """What `state` holds, read since then (on time.monotonic)."""
    messages = sum(row.messages for row in topics(state))
    return Restored(messages, len(state.subscriptions.alive), time.monotonic() - since)


def now_here() -> Now:
    """The time of this moment at this machine."""
    return Now(time.monotonic(), time.time_ns() // 1_000_000)
