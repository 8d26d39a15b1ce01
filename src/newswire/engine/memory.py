"""The seam in memory: the broker core against a list, in the caller's thread. For tests, and proof of the seam.

Brokers of one `MemoryNetwork` reach each other by address, inline and in order; `cut` and `mend` part them. Time stands
still unless the test gives a clock, so heartbeats happen when `tick` is called.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, TypeVar

from newswire.core.access import Principal
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import (
    AcceptLoss,
    Answer,
    Answered,
    Compact,
    DropParts,
    Event,
    Exit,
    Failed,
    Join,
    KeepPart,
    Leave,
    Loaded,
    Now,
    Recall,
    Recalled,
    Received,
    Reply,
    Rewrite,
    RewriteFailed,
    Rewritten,
    Send,
    Submitted,
    Tick,
    Wake,
)
from newswire.core.broker.values import BrokerStatus, ClusterStatus, Identity
from newswire.core.model import ops
from newswire.core.model.commands import Request
from newswire.core.model.ops import Published
from newswire.core.read.pieces import Pieces
from newswire.core.read.scan import Due
from newswire.core.state.fold import State
from newswire.core.state.rewriting import Rewriting
from newswire.engine.group_commit import Outward
from newswire.engine.queries import StateQueries, read_texts
from newswire.engine.seam import Backup, Compacted, EngineNumbers, PushAnswer, Receipt
from newswire.engine.shell import Shell
from newswire.engine.waiting import wait_for
from newswire.errors import BadRequest, NewswireError, NotStored, Unknown

T = TypeVar("T")

_NO_ROW: Final = "no answer yet: look at the list of replicas"


class MemoryNetwork:
    """Carries events between memory engines, one at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.engines: dict[str, MemoryEngine] = {}
        self._cut: set[frozenset[str]] = set()
        self._events: deque[tuple[MemoryEngine, Event]] = deque()
        self._pumping = False

    def cut(self, one: str, other: str) -> None:
        """Part two addresses."""
        self._cut.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        """Undo `cut`."""
        self._cut.discard(frozenset((one, other)))

    def reached(self, one: str, other: str) -> MemoryEngine | None:
        """The engine at `other`, if `one` reaches it."""
        return None if frozenset((one, other)) in self._cut else self.engines.get(other)

    def put(self, engine: MemoryEngine, event: Event) -> None:
        """Queue an event, and run everything that follows from it unless that is going on already."""
        with self.lock:
            self._events.append((engine, event))
            if self._pumping:
                return
            self._pumping = True
            try:
                while self._events:
                    target, next_event = self._events.popleft()
                    target.shell.run([next_event])
                    while target.shell.has_more:
                        target.shell.run([])
            finally:
                self._pumping = False


class MemoryLog:
    """A list that is always durable. A place is good until the log was written anew twice."""

    def __init__(self) -> None:
        self.raws: list[bytes] = []
        self._at: dict[int, bytes] = {}  # by place
        self._old: dict[int, bytes] = {}  # what the last rewriting took out
        self._next = 0

    def recover(self) -> list[tuple[ops.Op, int, int]]:
        """All of it, with place and length, for an engine that starts."""
        self._at, self._old, self._next = dict(enumerate(self.raws)), {}, len(self.raws)
        return [(ops.decode(raw), place, len(raw)) for place, raw in self._at.items()]

    def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Keep these."""
        self.raws += raws
        places = [(place, len(raw)) for place, raw in enumerate(raws, self._next)]
        self._at.update((place, raw) for (place, _), raw in zip(places, raws, strict=True))
        self._next += len(raws)
        return places

    def write_anew(self, job: Rewriting, parts: Iterable[Sequence[bytes]]) -> str:
        """Do what `Rewrite` asks for; return why not, "" when it is done. `parts`: what was handed over."""
        for where in job.to_look_at():
            job.look(self.fetch(where))
        for _ in job.choose():
            pass
        base: dict[int, bytes] = {}

        def write(raws: Sequence[bytes]) -> None:
            places = [(place, len(raw)) for place, raw in enumerate(raws, self._next)]
            base.update((place, raw) for (place, _), raw in zip(places, raws, strict=True))
            self._next += len(raws)
            job.take(raws, places)

        for piece in job.pieces():
            write([part if isinstance(part, bytes) else self._at[part[0]] for part in piece])
        for part in parts if job.adopts else ():
            write(job.merge(part))
        job.bytes_before, job.bytes_after = sum(map(len, self.raws)), sum(map(len, base.values()))
        why = job.check()
        if not why:
            self._old, self._at, self.raws = self._at, base, list(base.values())
        return why

    def sync(self) -> None:
        """Nothing to do."""

    def roll(self, cluster: str) -> None:
        """Nothing to do."""

    def vouch(self) -> None:
        """Nothing to do."""

    def fetch(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Records by place."""
        return [self._at[place] if place in self._at else self._old[place] for place, _ in places]


class MemoryEngine(StateQueries):
    """`seam.Engine` and `seam.ClusterAdmin` without threads or disk."""

    _runs = itertools.count(1)

    def __init__(
        self,
        broker_id: str = "1001",
        *,
        address: str = "",
        peers: tuple[str, ...] = (),
        primary: bool = False,
        network: MemoryNetwork | None = None,
        log: MemoryLog | None = None,
        cluster: str = "memory",
        clock: Callable[[], Now] | None = None,
        **identity: Any,
    ) -> None:
        """`log`: one that an earlier engine wrote, to go on from. `cluster`: its id, "" for one that has yet to find it.

        `identity`: further fields of `core.broker.values.Identity`.
        """
        self.network = network or MemoryNetwork()
        self.log = log or MemoryLog()
        self.address = address or f"127.0.0.1:{5052 + len(self.network.engines) + 1}"
        self._wake: Callable[[Wake], None] = lambda wake: None
        self._parts: list[Sequence[bytes]] = []  # of what another broker hands over
        state = State()
        state.replay(self.log.recover())
        origin = f"{broker_id}-m{next(self._runs):05}"  # of one length, so that answers of two engines have one, too
        who = Identity(id=broker_id, address=self.address, origin=origin, primary=primary, peers=peers, **identity)
        broker = Broker(who, state, cluster or f"fresh-{origin}", settled=bool(cluster))
        self.shell = Shell(broker, self.log, self._execute, clock or (lambda: Now(0.0, 1_700_000_000_000)))
        self.exited = self.closed = False
        self.network.engines[self.address] = self
        with self.network.lock:
            self.shell.begin()
            while self.shell.has_more:
                self.shell.run([])

    # -- seam.Engine --------------------------------------------------------------------------------------------

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
        if self.closed:
            raise NotStored("this broker has stopped")
        tell = self.shell.timed(requests, then)
        self.network.put(
            self, Submitted(reply_to=tell, requests=requests, copies=copies, until=self.shell.clock().clock + timeout, by=by)
        )

    def together(self) -> AbstractContextManager[None]:
        """See `seam.Engine`. Each is done at once."""
        return nullcontext()

    def submit(
        self, requests: Sequence[Request], *, copies: int = 1, timeout: float = 10.0, by: Principal | None = None
    ) -> Receipt:
        """See `seam.Engine`. All that can happen has happened when `submit_later` returns: there is nothing to wait for."""
        late = Unknown("no answer yet: retry with the same key")

        def begin(then: Callable[[Receipt | NewswireError], None]) -> None:
            self.submit_later(requests, then, copies=copies, timeout=timeout, by=by)

        return wait_for(begin, 0.0, late)

    def post(self, requests: Sequence[Request]) -> bool:
        """See `seam.Engine`."""
        self.network.put(self, Submitted(None, requests))
        return True

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

    def on_wake(self, wake: Callable[[Wake], None]) -> None:
        """See `seam.Engine`."""
        self._wake = wake

    def note_load(self, streams: int, limit: int) -> None:
        """See `seam.Engine`."""
        self.network.put(self, Loaded(streams, limit))

    def describe(self) -> ClusterStatus:
        """See `seam.Engine`."""
        return self.shell.describe()

    def numbers(self) -> EngineNumbers:
        """See `seam.Engine`."""
        return self.shell.numbers()

    def backup(self) -> Backup:
        """See `seam.Engine`. Its records, one a line: nothing restores them."""
        return Backup(f"newswire-{self.address.replace(':', '-')}.ndjson", iter([raw + b"\n" for raw in self.log.raws]))

    def close(self, timeout: float = 5.0) -> None:
        """Leave the network, as a killed process does."""
        self.network.engines.pop(self.address, None)
        self.closed = True

    # -- seam.ClusterAdmin -------------------------------------------------------------------------------------------

    def join_later(self, address: str, then: Callable[[BrokerStatus | NewswireError], None], timeout: float = 10.0) -> None:
        """See `seam.ClusterAdmin`."""
        self.network.put(self, Join(then, address, self.shell.clock().clock + timeout))

    def leave_later(self, broker: str, then: Callable[[BrokerStatus | NewswireError], None]) -> None:
        """See `seam.ClusterAdmin`."""
        self.network.put(self, Leave(then, broker))

    def accept_loss_later(
        self,
        then: Callable[[Receipt | NewswireError], None],
        origin: str = "",
        first: int = 0,
        last: int = 0,
        *,
        even_if_away: bool = False,
        timeout: float = 10.0,
    ) -> None:
        """See `seam.ClusterAdmin`."""
        until = self.shell.clock().clock + timeout
        self.network.put(
            self, AcceptLoss(reply_to=then, origin=origin, first=first, last=last, even_if_away=even_if_away, until=until)
        )

    def compact_later(self, then: Callable[[Compacted | NewswireError], None], *, even_if_away: bool = False) -> None:
        """See `seam.ClusterAdmin`."""
        self.network.put(self, Compact(then, even_if_away=even_if_away))

    def check_head(self, path: str, headers: Mapping[str, str]) -> None:
        """See `seam.ClusterAdmin`. Nothing is signed here."""

    def receive_later(
        self, path: str, headers: Mapping[str, str], body: bytes, then: Callable[[PushAnswer | NewswireError], None]
    ) -> None:
        """Memory engines reach each other without HTTP."""
        raise BadRequest("a broker in memory takes no pushes over HTTP")

    def join(self, address: str) -> BrokerStatus:
        """As `join_later`, which is over when it returns. Raises what is an error."""

        def begin(then: Callable[[BrokerStatus | NewswireError], None]) -> None:
            self.join_later(address, then)

        return wait_for(begin, 0.0, Unknown(_NO_ROW))

    def leave(self, broker: str) -> BrokerStatus:
        """As `leave_later`. Raises what is an error."""

        def begin(then: Callable[[BrokerStatus | NewswireError], None]) -> None:
            self.leave_later(broker, then)

        return wait_for(begin, 0.0, Unknown(_NO_ROW))

    def accept_loss(self, origin: str = "", first: int = 0, last: int = 0, *, even_if_away: bool = False) -> Receipt:
        """As `accept_loss_later`. Raises what is an error."""

        def begin(then: Callable[[Receipt | NewswireError], None]) -> None:
            self.accept_loss_later(then, origin, first, last, even_if_away=even_if_away)

        return wait_for(begin, 0.0, Unknown("no answer yet"))

    # -- time, and what a round wants done --------------------------------------------------------------------------

    def tick(self) -> None:
        """Let what time brings happen: heartbeats, deadlines, retention."""
        self.network.put(self, Tick())

    def _execute(self, action: Outward) -> None:
        """See `group_commit.Effects`."""
        match action:
            case Send():
                self._send(action)
            case Answer(reply_to=reply_to):
                reply_to(action)
            case Reply(reply_to, result) if reply_to is not None:
                with suppress(Exception):  # a fault of who is told is no fault of the engine
                    reply_to(result)
            case Wake():
                self._wake(action)
            case Recall(lost, places):
                self.network.put(self, Recalled(lost, [ops.decode(raw) for raw in self.log.fetch(places)]))
            case Rewrite(job):
                self.shell.query(job.survey)
                why = self.log.write_anew(job, self._parts)
                self.network.put(self, RewriteFailed(job, why) if why else Rewritten(job))
            case KeepPart(raws, first=first):
                self._parts = [raws] if first else [*self._parts, raws]
            case DropParts():
                self._parts = []
            case Exit():
                self.exited = True
            case _:
                pass  # links need no opening here

    def _send(self, action: Send) -> None:
        peer = self.network.reached(self.address, action.address)
        if peer is None:
            self.network.put(self, Failed(action.address, action.header.number, detail="cannot be reached"))
            return

        def answered(answer: Answer) -> None:
            self.network.put(self, Answered(action.address, answer.header, peer.log.fetch(answer.places)))

        self.network.put(peer, Received(answered, action.header, self.log.fetch([*action.places, *action.parts])))
