"""The shell around `core.broker.broker`: rounds of events against a real log (docs/architecture.md, One publish).

A round is: hand in what waits, write what it appends, sync once, hand in `Stored`, and carry out the rest. While the
disk syncs the next round's events gather: that is group commit. `Rounds` is the mechanism without a thread (the memory
engine runs it inline); `CommitThread` is the only writer of a broker's state and log.

A failed write or sync ends the process (never retried: the kernel forgets the dirty pages and a second sync succeeds);
so does an exception of the core, whose state may be half changed. `on_fatal` decides how.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from newswire.core import limits
from newswire.core.broker.broker import Broker, stages_only
from newswire.core.broker.events import (
    Action,
    Answer,
    Append,
    Connect,
    Disconnect,
    Event,
    Exit,
    FixClusterId,
    Now,
    Recall,
    Reply,
    Send,
    Stored,
    Submitted,
    Tick,
    Unstored,
    Wake,
    Writable,
)
from newswire.core.broker.values import ClusterStatus
from newswire.core.model.ops import Op, Published
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.engine.lock import StateLock
from newswire.engine.operator_log import OperatorLog
from newswire.errors import StorageFull
from newswire.threads import OnFatal, check_may_wait, never_waits, supervise

log = logging.getLogger("newswire.commit")

T = TypeVar("T")

_TICK_SECONDS = 0.05  # deadlines and heartbeats are looked at this often
_DISK_SECONDS = 1.0  # free space is looked at this often
_VIEW_SECONDS = 0.1  # a view older than this is worked out anew, whatever happened: it costs as much as a publish


class Store(Protocol):
    """What a log must offer: `opsfile.OpsFile` and the memory engine's list do."""

    def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write these; return place and length of each. StorageFull: none of them is in the log."""
        ...

    def sync(self) -> None:
        """Make all that was appended durable."""
        ...

    def roll(self, cluster: str) -> None:
        """Go on in a segment that names `cluster`."""
        ...

    def vouch(self) -> None:
        """Write down that all of it is synced, so that damage to its end is known for damage. StorageFull: later."""
        ...


class Wires(Protocol):
    """Where actions go that are neither the log's nor the state's. Must not block; only for `Wake` under the state lock."""

    def carry_out(self, action: Send | Answer | Reply | Wake | Connect | Disconnect | Recall | Exit) -> None:
        """Do it, or hand it to the thread that does."""
        ...


class Frames:
    """The newest messages, decoded, by offset: what live streams read. The commit thread writes, anyone reads."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Published] = OrderedDict()  # of a dict the oldest is ever slower to find
        self._bytes = 0

    def keep(self, first: int, ops: Sequence[Op]) -> None:
        """Take the ops that were applied from offset `first` on; the oldest leave at the bounds."""
        for offset, op in enumerate(ops, first):
            if isinstance(op, Published):
                self._messages[offset] = op
                self._bytes += len(op.data)
        while len(self._messages) > limits.FRAME_CACHE_MESSAGES or self._bytes > limits.FRAME_CACHE_BYTES:
            self._bytes -= len(self._messages.popitem(last=False)[1].data)

    def get(self, offset: int) -> Published | None:
        """The message at `offset`, if it is kept."""
        return self._messages.get(offset)


class Tail:
    """The newest records as they were written, by offset: what links push, mostly a moment later. Under the state lock."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, Sequence[bytes], int]] = deque()  # first offset, records, bytes
        self._bytes = 0

    def keep(self, first: int, raws: Sequence[bytes]) -> None:
        """Take the records from offset `first` on, which follow the last ones; the oldest batches leave at the bound."""
        if not raws:
            return
        size = sum(map(len, raws))
        self._batches.append((first, raws, size))
        self._bytes += size
        while self._bytes > limits.TAIL_BYTES:
            self._bytes -= self._batches.popleft()[2]

    def get(self, rows: Sequence[int]) -> list[bytes] | None:
        """The records at these offsets, which ascend; None if not all of them are kept."""
        if not self._batches or rows[0] < self._batches[0][0]:
            return None
        found: list[bytes] = []
        for first, raws in self._since(rows[0]):
            while len(found) < len(rows) and rows[len(found)] < first + len(raws):
                if rows[len(found)] < first:
                    return None  # what waited behind damage has come between two batches
                found.append(raws[rows[len(found)] - first])
        return found if len(found) == len(rows) else None

    def _since(self, row: int) -> list[tuple[int, Sequence[bytes]]]:
        """The batches from that with `row` on: looked for from the end, where most are that are asked for."""
        batches = []
        for first, raws, _ in reversed(self._batches):
            batches.append((first, raws))
            if first <= row:
                break
        return batches[::-1]


class Rounds:
    """Runs a broker core against a store. One thread at a time calls `run`; `lock` is the state lock."""

    def __init__(self, broker: Broker, store: Store, wires: Wires, clock: Callable[[], Now]) -> None:
        self.broker, self.store, self.wires, self.clock = broker, store, wires, clock
        self.lock = StateLock()
        self.frames, self.tail = Frames(), Tail()
        self._view: ClusterStatus = broker.view(clock())
        self._outline: tuple[object, ...] = ()
        self._seen_at = clock().clock
        self.disk_free_bytes: int | None = None  # as the commit thread last saw it
        self._storing_since: float | None = None
        self._stall_told: float | None = None
        self._vouch_at: float | None = None  # unless something is stored before

    def begin(self) -> None:
        """Open the run: `began` is stored when this returns."""
        self._finish(self.broker.begin(self.clock()))

    def run(self, events: Sequence[Event]) -> None:
        """One round."""
        todo: list[Action] = []
        now = self.clock()
        for event in events:
            if stages_only(event):
                self.broker.stage(event, now)
                with self.lock.first():
                    todo += self.broker.finish_stage(now)
            else:
                with self.lock.first():
                    todo += self.broker.step(event, now)
        self._finish(todo)

    def rest(self) -> None:
        """Once nothing was stored for a second, have the store vouch for its end."""
        now = self.clock().clock
        if self._vouch_at is None or now < self._vouch_at:
            return
        self._storing_since = now
        try:
            self.store.vouch()
            self._vouch_at = None
        except StorageFull:
            self._vouch_at = now + limits.QUIET_SECONDS
        self._storing_since = None

    def read(self, query: Callable[[State], T]) -> T:
        """Run a query of one piece. Any thread."""
        with self.lock:
            return query(self.broker.state)

    def query(self, query: Callable[[State], Pieces[T]]) -> T:
        """Run a query piece by piece: the lock is let go after each, and what needs none is run beside it.

        Threads that may wait.
        """
        check_may_wait("a query")
        pieces = query(self.broker.state)
        beside = None
        while True:
            given = beside() if beside is not None else None
            with self.lock:
                try:
                    beside = pieces.send(given)
                except StopIteration as end:
                    result: T = end.value
                    return result

    def describe(self) -> ClusterStatus:
        """The view as of the last round; worked out anew if that is a while ago, since then the disk may hang. Any thread."""
        now = self.clock()
        if now.clock - self._seen_at > _VIEW_SECONDS:
            with self.lock:
                self._look(now)
        since = self._storing_since
        if since is not None and now.clock - since > limits.DISK_STALL_SECONDS:
            if since != self._stall_told:  # here, since the commit thread waits
                self._stall_told = since
                log.warning("the disk has not answered for %.0f s: clients are sent to other brokers", now.clock - since)
            why = f"the disk of this broker has not answered for {now.clock - since:.0f} s: use another broker"
            return msgspec.structs.replace(self._view, serves=False, writable=False, why_not=why)
        return self._view

    @property
    def view(self) -> ClusterStatus:
        """The view as of the last round."""
        return self._view

    def _look(self, now: Now) -> None:
        view = msgspec.structs.replace(self.broker.view(now), disk_free_bytes=self.disk_free_bytes)
        self._view, self._seen_at = view, now.clock

    def _finish(self, todo: list[Action]) -> None:
        while todo:
            to_store = self._carry_out(todo)
            todo = self._store(to_store) if to_store else []
        with self.lock.first():
            self._look_again(self.clock())

    def _look_again(self, now: Now) -> None:
        outline = self.broker.outline(now)
        if outline != self._outline or now.clock - self._seen_at > _VIEW_SECONDS:
            self._outline = outline
            self._look(now)

    def _carry_out(self, todo: list[Action]) -> list[Append | FixClusterId]:
        """Do what is not for the disk; return what is."""
        to_store: list[Append | FixClusterId] = []
        for action in todo:
            if isinstance(action, (Append, FixClusterId)):
                to_store.append(action)
            else:
                self.wires.carry_out(action)
        return to_store

    def _store(self, to_store: list[Append | FixClusterId]) -> list[Action]:
        """Write, sync, apply; return what is to be told."""
        appended = [action for action in to_store if isinstance(action, Append)]
        places: list[tuple[int, int]] | None = None
        named = False
        self._storing_since = self.clock().clock
        with contextlib.suppress(StorageFull):
            for action in to_store:
                if isinstance(action, FixClusterId):
                    self.store.roll(action.cluster)
                    named = True
            raws = [raw for append in appended for raw in append.raws]
            written = self.store.append(raws)
            self.store.sync()
            places = written
        self._storing_since = None
        self._vouch_at = self.clock().clock + limits.QUIET_SECONDS
        if places is None:
            return self._step(Unstored(named))
        return self._apply(places, [op for append in appended for op in append.ops], raws)

    def _apply(self, places: Sequence[tuple[int, int]], ops: Sequence[Op], raws: Sequence[bytes]) -> list[Action]:
        """Apply what is stored, in pieces: readers get in between two, and see the batch as far as it is applied."""
        actions: list[Action] = []
        for at in range(0, len(places) or 1, limits.PIECE_OPS):
            end = at + limits.PIECE_OPS
            if at:
                self.lock.make_way()
            actions += self._step(Stored(places[at:end], more=end < len(places)), ops[at:end], raws[at:end])
        return actions

    def _step(self, event: Event, ops: Sequence[Op] = (), raws: Sequence[bytes] = ()) -> list[Action]:
        """Hand in what became of a batch; tell streams before anyone can read it; return what else is to be told.

        An id read beyond a new subscription would speak for it (docs/rules.md, REOPEN).
        """
        with self.lock.first():
            if not self.broker.state.holes:  # else rows are healed, or come from behind damage: those few are read from disk
                self.frames.keep(len(self.broker.state.log), ops)
                self.tail.keep(len(self.broker.state.log), raws)
            actions = self.broker.step(event, self.clock())
            for action in actions:
                if isinstance(action, Wake):
                    self.wires.carry_out(action)
        return [action for action in actions if not isinstance(action, Wake)]


class CommitThread:
    """Feeds the rounds from an inbox. `put`: any thread. `stop` and `start`: the owner."""

    def __init__(self, rounds: Rounds, free_bytes: Callable[[], int], on_fatal: OnFatal) -> None:
        self.rounds = rounds
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._free_bytes = free_bytes
        self._disk_due = 0.0
        self._frozen = 0  # topics and subscriptions that the garbage collector does not look at any more
        self._log = OperatorLog()
        self._stopping = False
        self._thread = supervise(self._main, "commit", on_fatal, may_end=lambda: self._stopping)

    def start(self) -> None:
        """Run rounds from now on."""
        self._thread.start()

    def put(self, event: Event) -> bool:
        """Offer an event; False when too many wait."""
        if isinstance(event, Submitted) and self._inbox.qsize() >= limits.INBOX_EVENTS:
            return False
        self._inbox.put(event)
        return True

    def stop(self, timeout: float) -> None:
        """End after what waits now."""
        self._stopping = True
        self._inbox.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _main(self) -> None:
        never_waits()
        while self._turn():
            pass

    def _turn(self) -> bool:
        events, go_on = self._gather()
        events += self._disk_events()
        self.rounds.run([*events, Tick()])
        self._log.see(self.rounds.view, self.rounds.clock().clock)
        self.rounds.rest()
        self._freeze()
        return go_on

    def _freeze(self) -> None:
        """Take what has grown out of the garbage collector's sight: it stays, and looking through it stops every thread."""
        state = self.rounds.broker.state
        size = len(state.messages.names) + len(state.subscriptions.alive)
        if size - self._frozen >= limits.FREEZE_OBJECTS:
            self._frozen = size
            gc.freeze()

    def _gather(self) -> tuple[list[Event], bool]:
        """All that waits, up to the bound of one commit; (events, whether to go on after them)."""
        events: list[Event] = []
        size = 0
        with contextlib.suppress(queue.Empty):
            event = self._inbox.get(timeout=_TICK_SECONDS)
            while event is not None:
                events.append(event)
                size += len(event.requests) if isinstance(event, Submitted) else 1
                if size >= limits.COMMIT_OPS:
                    break
                event = self._inbox.get_nowait()
            else:
                return events, False
        return events, True

    def _disk_events(self) -> list[Event]:
        now = self.rounds.clock().clock
        if now < self._disk_due:
            return []
        self._disk_due = now + _DISK_SECONDS
        free = self.rounds.disk_free_bytes = self._free_bytes()
        writable = free > limits.DISK_RESERVE_BYTES
        if writable == self.rounds.broker.cluster.writable:
            return []
        return [Writable(writable)]
