"""The shell around `core.broker.broker`: its rounds against a real log, and what other threads may ask meanwhile.

The embedded engine runs it in the commit thread, the memory engine in whatever thread calls. A failed write or sync ends
the process (never retried: the kernel forgets the dirty pages and a second sync succeeds); so does an exception of the
core, whose state may be half changed. Both leave `run` as exceptions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol, TypeVar

import msgspec

from newswire.core import limits
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Event, Now
from newswire.core.broker.values import ClusterStatus
from newswire.core.model.commands import Publish, Request
from newswire.core.model.ops import Dropped, Op, Withdrawn
from newswire.core.model.results import Receipt
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.engine.caches import Newest
from newswire.engine.disk_watch import DiskWatch
from newswire.engine.group_commit import GroupCommit, Outward, Phases
from newswire.engine.lock import StateLock
from newswire.engine.seam import EngineNumbers
from newswire.errors import NewswireError, StorageFull
from newswire.metrics import Histogram
from newswire.threads import NeedsThread, check_may_wait

log = logging.getLogger("newswire.commit")

T = TypeVar("T")

_VIEW_SECONDS = 0.1  # a view older than this is worked out anew, whatever happened: it costs as much as a publish


class Store(Protocol):
    """What a log must offer: `ops_file.OpsFile` and the memory engine's list do."""

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


class Shell:
    """`group_commit.Effects` over a store. One thread at a time calls `begin`, `run`, `rest`; `lock` is the state lock."""

    def __init__(
        self,
        broker: Broker,
        store: Store,
        execute: Callable[[Outward], None],
        clock: Callable[[], Now],
        disk_reserve: int = limits.DISK_RESERVE_BYTES,
    ) -> None:
        """`execute`: see `group_commit.Effects`. `disk_reserve`: bytes of the disk that are left to cursors and streams."""
        self.broker, self.store, self.execute, self.clock = broker, store, execute, clock
        self.lock = StateLock()
        self.messages: Newest[Op] = Newest(limits.FRAME_CACHE_BYTES, limits.FRAME_CACHE_MESSAGES)
        self.records: Newest[bytes] = Newest(limits.TAIL_BYTES, limits.TAIL_RECORDS)
        self.disk = DiskWatch(disk_reserve)
        self.topics_dropped: set[str] = set()  # since the log said so, by ops that were stored, whoever decided them
        self.messages_expired = self.messages_published = 0  # the three are counted in the thread that runs the rounds
        self.publish_seconds, self.commit_seconds = Histogram(), Histogram()
        self._commit = GroupCommit(broker, self)
        self._view: ClusterStatus = broker.view(clock())
        self._outline: tuple[object, ...] = ()
        self._seen_at = clock().clock
        self._disk_since: float | None = None  # a write or sync is under way
        self._append_at = 0.0  # when the write began that is synced next
        self._stall_told: float | None = None
        self._vouch_at: float | None = None  # unless something is stored before

    def begin(self) -> None:
        """Open the run: `began` is stored when this returns."""
        self._finish(self._commit.begin())

    def run(self, events: Sequence[Event]) -> None:
        """One round."""
        self._finish(self._commit.run(events))

    @property
    def has_more(self) -> bool:
        """Whether there is more to store, whatever comes: run another round at once."""
        return self._commit.has_more

    def rest(self) -> None:
        """Once nothing was stored for a second, have the store vouch for its end."""
        now = self.clock().clock
        if self._vouch_at is None or now < self._vouch_at:
            return
        try:
            with self._on_disk():
                self.store.vouch()
            self._vouch_at = None
        except StorageFull:
            self._vouch_at = now + limits.QUIET_SECONDS

    def _finish(self, phases: Phases) -> None:
        for _ in phases:
            pass  # nothing has to happen before the sync
        now = self.clock()
        with self.lock.first():
            outline = self.broker.outline(now)
            if outline != self._outline or now.clock - self._seen_at > _VIEW_SECONDS:
                self._outline = outline
                self._look(now)

    # -- any thread ---------------------------------------------------------------------------------------------

    def read(self, query: Callable[[State], T]) -> T:
        """Run a query of one piece."""
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
            answer = beside() if beside is not None else None
            with self.lock:
                try:
                    beside = pieces.send(answer)
                except StopIteration as end:
                    result: T = end.value
                    return result

    def describe(self) -> ClusterStatus:
        """The view as of the last round; worked out anew if that is a while ago, since then the disk may hang."""
        now = self.clock()
        if now.clock - self._seen_at > _VIEW_SECONDS:
            with suppress(NeedsThread), self.lock:  # who may not wait for the lock is told what was seen last
                self._look(now)
        since = self._disk_since
        if since is not None and now.clock - since > limits.DISK_STALL_SECONDS:
            if since != self._stall_told:  # here, since the commit thread waits
                self._stall_told = since
                log.warning("the disk has not answered for %.0f s: clients are sent to other brokers", now.clock - since)
            why = f"the disk of this broker has not answered for {now.clock - since:.0f} s: use another broker"
            return msgspec.structs.replace(self._view, serves=False, writable=False, why_not=why)
        return self._view

    def numbers(self, ops_file_bytes: int = 0, compactions: int = 0) -> EngineNumbers:
        """What is counted here, and what the state holds."""
        topics, subscriptions = self.read(lambda state: (len(state.messages.names) - 1, len(state.subscriptions.alive)))
        return EngineNumbers(
            messages_published=self.messages_published,
            topics=topics,
            subscriptions=subscriptions,
            publish_seconds=self.publish_seconds.read(),
            commit_seconds=self.commit_seconds.read(),
            ops_file_bytes=ops_file_bytes,
            compactions=compactions,
            compacting=self.broker.compaction.job is not None,
        )

    def timed(self, requests: Sequence[Request], tell: Callable[[Receipt | NewswireError], None]) -> Callable[[Any], None]:
        """Return `tell`, which then also counts publishes and the time to their receipt. Any thread; it runs in the rounds'."""
        if not requests or not isinstance(requests[0], Publish):
            return tell
        start = self.clock().clock

        def tell_and_count(result: Receipt | NewswireError) -> None:
            if isinstance(result, Receipt):
                self.publish_seconds.observe(self.clock().clock - start)
                self.messages_published += result.count
            tell(result)

        return tell_and_count

    @property
    def view(self) -> ClusterStatus:
        """The view as of the last round."""
        return self._view

    def _look(self, now: Now) -> None:
        view = self.broker.view(now)
        degraded = (*view.degraded, *self.disk.reasons(now.clock))
        self._view, self._seen_at = msgspec.structs.replace(view, degraded=degraded, disk=self.disk.facts), now.clock

    # -- group_commit.Effects -----------------------------------------------------------------------------------

    def now(self) -> Now:
        """See `group_commit.Effects`."""
        return self.clock()

    def locked(self) -> AbstractContextManager[None]:
        """See `group_commit.Effects`."""
        return self.lock.first()

    def make_way(self) -> None:
        """See `group_commit.Effects`."""
        self.lock.make_way()

    def roll(self, cluster: str) -> None:
        """See `group_commit.Effects`."""
        with self._on_disk():
            self.store.roll(cluster)

    def append(self, ops: Sequence[Op], raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """See `group_commit.Effects`."""
        self._append_at = self.clock().clock
        with self._on_disk():
            return self.store.append(raws)

    def sync(self) -> None:
        """See `group_commit.Effects`."""
        start = self.clock().clock
        with self._on_disk():
            self.store.sync()
        now = self.clock().clock
        self.disk.note_sync(now - start, now)
        self.commit_seconds.observe(now - self._append_at)
        self._vouch_at = now + limits.QUIET_SECONDS

    def before_apply(self, places: Sequence[tuple[int, int]]) -> None:
        """See `group_commit.Effects`."""

    def after_apply(self, places: Sequence[tuple[int, int]], ops: Sequence[Op], raws: Sequence[bytes]) -> None:
        """See `group_commit.Effects`. What is not noted here is read from disk."""
        size = sum(map(len, raws))
        self.messages.add(places, ops, size)
        self.records.add(places, raws, size)
        for op in ops:
            if type(op) is Dropped:
                self.topics_dropped.add(op.topic)
            elif type(op) is Withdrawn and not op.topic:  # else somebody withdrew it
                self.messages_expired += len(op.ids)

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        self._disk_since = self.clock().clock
        try:
            yield
        finally:
            self._disk_since = None
