"""The smallest engine: one broker in memory, without peers, threads or disk. What another engine can be begun from.

It runs the broker core with nothing in place of `replication` and `membership`, and has no `seam.ClusterAdmin` beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeVar

from newswire.core.access import Principal
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Event, Loaded, Now, Recall, Recalled, Reply, Submitted, Tick, Wake
from newswire.core.broker.values import ClusterStatus, Identity
from newswire.core.model import ops
from newswire.core.model.commands import Request
from newswire.core.model.ops import Published
from newswire.core.read.pieces import Pieces
from newswire.core.read.scan import Due
from newswire.core.state.fold import State
from newswire.engine.group_commit import Outward
from newswire.engine.memory import MemoryLog
from newswire.engine.queries import StateQueries, read_texts
from newswire.engine.seam import Backup, EngineNumbers, Receipt
from newswire.engine.shell import Shell
from newswire.engine.waiting import wait_for
from newswire.errors import NewswireError, NotStored, Unknown

T = TypeVar("T")


class LoneEngine(StateQueries):
    """`seam.Engine` for one broker. What follows from an event has happened when the call that brought it returns."""

    def __init__(self, log: MemoryLog, clock: Callable[[], Now], *, run: str = "r1", address: str = "127.0.0.1:5053") -> None:
        """`log`: what an earlier engine wrote, to go on from. `run`: another one at every start; lower case and digits."""
        self.log = log
        self._events: deque[Event] = deque()
        self._turn = threading.RLock()
        self._runs = self._closed = False
        self._wake: Callable[[Wake], None] = lambda wake: None
        state = State()
        state.replay(log.recover())
        identity = Identity(id="1001", address=address, origin=f"1001-{run}", primary=True, peers=())
        self.shell = Shell(Broker(identity, state, "lone", settled=True, alone=True), log, self._execute, clock)
        self.shell.begin()
        while self.shell.has_more:
            self.shell.run([])

    def submit_later(
        self,
        requests: Sequence[Request],
        then: Callable[[Receipt | NewswireError], None],
        *,
        copies: int = 1,
        timeout: float = 10.0,
        by: Principal | None = None,
    ) -> None:
        """See `seam.Engine`."""
        if self._closed:
            raise NotStored("this broker has stopped")
        self._put(
            Submitted(
                reply_to=self.shell.timed(requests, then),
                requests=requests,
                copies=copies,
                until=self.shell.clock().clock + timeout,
                by=by,
            )
        )

    def together(self) -> AbstractContextManager[None]:
        """See `seam.Engine`. Each is done at once."""
        return nullcontext()

    def submit(
        self, requests: Sequence[Request], *, copies: int = 1, timeout: float = 10.0, by: Principal | None = None
    ) -> Receipt:
        """See `seam.Engine`."""

        def begin(then: Callable[[Receipt | NewswireError], None]) -> None:
            self.submit_later(requests, then, copies=copies, timeout=timeout, by=by)

        return wait_for(begin, 0.0, Unknown("no answer yet: retry with the same key"))

    def post(self, requests: Sequence[Request]) -> bool:
        """See `seam.Engine`."""
        self._put(Submitted(None, requests))
        return True

    def on_wake(self, wake: Callable[[Wake], None]) -> None:
        """See `seam.Engine`."""
        self._wake = wake

    def note_load(self, streams: int, limit: int) -> None:
        """See `seam.Engine`."""
        self._put(Loaded(streams, limit))

    def describe(self) -> ClusterStatus:
        """See `seam.Engine`."""
        return self.shell.describe()

    def numbers(self) -> EngineNumbers:
        """See `seam.Engine`."""
        return self.shell.numbers()

    def backup(self) -> Backup:
        """See `seam.Engine`. Its records, one a line: nothing restores them."""
        return Backup("newswire-lone.ndjson", iter([raw + b"\n" for raw in self.log.raws]))

    def close(self, timeout: float = 5.0) -> None:
        """See `seam.Engine`."""
        self._closed = True

    def tick(self) -> None:
        """Let what time brings happen: deadlines, retention."""
        self._put(Tick())

    # -- below

    def _read(self, query: Callable[[State], T]) -> T:
        return self.shell.read(query)

    def _query(self, query: Callable[[State], Pieces[T]]) -> T:
        return self.shell.query(query)

    def _texts(self, dues: Sequence[Due]) -> Sequence[Published | None]:
        return read_texts(dues, self.shell.messages, self.log.fetch)

    def _records(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes | None]:
        return self.log.fetch(places)

    def _wall(self) -> int:
        return self.shell.clock().wall

    def _put(self, event: Event) -> None:
        with self._turn:
            self._events.append(event)
            if self._runs:
                return  # what runs now takes it next
            self._runs = True
            try:
                while self._events:
                    self.shell.run([self._events.popleft()])
                    while self.shell.has_more:
                        self.shell.run([])
            finally:
                self._runs = False

    def _execute(self, action: Outward) -> None:
        match action:
            case Reply(reply_to, result) if reply_to is not None:
                with suppress(Exception):  # a fault of who is told is no fault of the engine
                    reply_to(result)
            case Wake():
                self._wake(action)
            case Recall(lost, places):
                self._put(Recalled(lost, [ops.decode(raw) for raw in self.log.fetch(places)]))
            case _:
                raise NotImplementedError(f"{type(action).__name__}: this broker has no peers")
