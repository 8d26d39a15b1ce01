"""The shell of a gateway: rounds over a log that others append to, too (docs/rules.md, JETSTREAM).

Before a round what others appended is taken, as a round of its own; before one that publishes with keys all that the leader
has, so that a retry at another gateway finds its first message. What a round stores of its own is appended as one record.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.access import EVERYBODY
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Event, Logged, Now, Submitted, Wake
from newswire.core.broker.shared_log import Beat, SharedLog, why_away
from newswire.core.broker.values import ClusterStatus, Identity
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Op
from newswire.core.state.fold import State
from newswire.engine.group_commit import GroupCommit, Outward
from newswire.engine.jetstream.checkpoint import Snapshot, take_snapshot
from newswire.engine.jetstream.log import Log, OtherLog, Stopped
from newswire.engine.jetstream.servers import LogAway
from newswire.engine.shell import Shell
from newswire.errors import DiskFailed, StorageFull

_BEAT: Final = msgspec.json.Decoder(Beat)


class Durability(msgspec.Struct, frozen=True):
    """On how many disks of the log's servers is what they acknowledge, at least; and what is wrong with that, in sentences."""

    copies: int = 1
    reasons: tuple[str, ...] = ()


class GatewayShell(Shell):
    """`group_commit.Effects` over a `Log`. One thread runs it; `hear` is anyone's."""

    def __init__(
        self,
        identity: Identity,
        state: State,
        log: Log,
        execute: Callable[[Outward], None],
        clock: Callable[[], Now],
        disk_reserve: int,
        mint: Callable[[], str],
        forget: Callable[[], None],
        checkpoint: Callable[[Snapshot], object],
    ) -> None:
        """`mint`: another origin. `forget`: nothing that is under way has an outcome; called before all is folded again.

        `checkpoint`: has one written.
        """
        self._checkpoint, self.wants_checkpoint = checkpoint, False  # once the copy was compacted
        self._identity, self._log, self._mint, self._forget = identity, log, mint, forget
        self._news: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._asks: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()  # who waits for all that the log has
        self._beat_due = 0.0
        self.durability: Durability = Durability()  # set by whoever asks the servers
        self.is_damaged = False  # the copy: a record of it cannot be read
        super().__init__(self._broker(identity, state), log.copy, execute, clock, disk_reserve)

    def _broker(self, identity: Identity, state: State) -> Broker:
        self._shared = SharedLog(identity, state)
        return Broker(identity, state, self._log.cluster, settled=True, log=self._shared)

    def hear(self, kind: str, payload: bytes) -> bool:
        """Take what another gateway shouted; whether there is something to be read that was not known of. Any thread."""
        if kind == "beat":
            self._news.put(payload)
            return False
        was_known = self._log.grown.is_set()
        self._log.grown.set()
        return not was_known

    def read_on(self) -> None:
        """Wait until all that the log had when this was called is here, a moment at most. Threads that may wait."""
        is_read = threading.Event()
        self._asks.put(is_read)
        is_read.wait(limits.LOG_ANSWER_SECONDS)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the run. Raises OtherLog, Stopped."""
        super().begin()
        self._log.note_place(self.broker.state, now=True)

    def run(self, events: Sequence[Event]) -> None:
        """One round, after what others appended. Of one that the end of the broker interrupts nothing is told."""
        try:
            self._note_others()
            asks = [self._asks.get() for _ in range(self._asks.qsize())]
            wants_all = bool(asks) or any(_names_key(event) for event in events)
            if wants_all or self._log.is_due():
                self._follow(to_end=wants_all)
            for is_read in asks:
                is_read.set()
            super().run(events)
            self._log.note_place(self.broker.state)
            self._tell_others()
            if self.wants_checkpoint and not self.has_more:
                self.wants_checkpoint = False
                if any(row.self and row.is_primary for row in self.view.rows):
                    self._checkpoint(take_snapshot(self.broker.state, self._log.copy, self._log.follower.place))
        except OtherLog:
            self.fold_again()
        except Stopped:
            pass

    @property
    def has_more(self) -> bool:
        """Whether there is more to store."""
        return super().has_more and not self._log.is_stopped

    def _follow(self, *, to_end: bool) -> None:
        """Raises OtherLog, Stopped."""
        if self.is_damaged:
            raise OtherLog
        try:
            for raws in self._log.read_on(to_end=to_end):
                super().run([Logged(raws)])
        except LogAway as error:
            self._log.note_away(str(error))
        since = self._log.waits_since
        is_away = since is not None and time.monotonic() - since > limits.DISK_STALL_SECONDS
        self._shared.lose(self._log.why_away if is_away else "")

    def fold_again(self) -> None:
        """Go on with what the log holds now, under another origin; streams are opened anew."""
        self._forget()
        old = self.broker.state
        while True:
            try:
                state = self._log.fold_again(old)
                state.generation = old.generation + 1
                state.moved = (*old.moved, (limits.NEVER_ROWS, 0))[-limits.MOVES_COUNT :]
                self._identity = msgspec.structs.replace(self._identity, origin=self._mint())
                with self.lock.first():
                    self.broker = self._broker(self._identity, state)
                    self._commit = GroupCommit(self.broker, self)
                    self.is_damaged = False
                    self.execute(Wake(frozenset(state.messages.names[1:]), frozenset((EVERYBODY,))))
                self.begin()
                return
            except OtherLog:
                old = self.broker.state
            except Stopped:
                return

    # -- other gateways ---------------------------------------------------------------------------------------------

    def _note_others(self) -> None:
        with self.lock.first():
            self._shared.prove(self.durability.copies)
            now = self.clock()
            with suppress(queue.Empty):
                while True:
                    payload = self._news.get_nowait()
                    with suppress(*BAD_JSON):
                        self._shared.note(_BEAT.decode(payload), now)

    def _tell_others(self) -> None:
        now = self.clock()
        if now.clock >= self._beat_due:
            self._beat_due = now.clock + self._identity.heartbeat
            self._log.servers.shout("beat", msgspec.json.encode(self._beat(now)))

    def say_goodbye(self) -> None:
        """Have the others know that this one stops. After the last round."""
        self._log.servers.shout("beat", msgspec.json.encode(msgspec.structs.replace(self._beat(self.clock()), ends=True)))

    def _beat(self, now: Now) -> Beat:
        me, vector = self._identity, self.broker.state.vector
        return Beat(
            broker=me.id,
            address=me.address,
            origin=me.origin,
            primary=me.primary,
            serves=self.broker.serves,
            writable=self.broker.writable,
            heartbeat=me.heartbeat,
            vector=dict(vector) if len(vector) <= limits.GATEWAY_VECTOR_ENTRIES else {},
            wall=now.wall,
            streams=self.broker.load.streams,
            streams_limit=self.broker.load.limit,
        )

    # -- what a round does outside of the core ------------------------------------------------------------------------

    def append(self, ops: Sequence[Op], raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """See `group_commit.Effects`. What others appended stands in the log already. Raises DiskFailed, OtherLog, Stopped."""
        self._append_at = self.clock().clock
        run = self._identity.origin
        own = [raw for op, raw in zip(ops, raws, strict=True) if op.origin.startswith(run)]
        with self._on_disk():
            if own:
                self._log.append(own)
            try:
                return self.store.append(raws)
            except StorageFull as error:  # they stand in the log, and must stand here
                raise DiskFailed(f"the copy of the log finds no room: {error.detail}") from error

    def describe(self) -> ClusterStatus:
        """See `Shell`. What hangs is the log."""
        view = super().describe()
        since = self._disk_since
        if since is not None and not view.serves and self.clock().clock - since > limits.DISK_STALL_SECONDS:
            return msgspec.structs.replace(view, why_not=why_away(self._log.why_away or "no answer"))
        return view

    def _look(self, now: Now) -> None:
        super()._look(now)
        self._view = msgspec.structs.replace(self._view, degraded=(*self._view.degraded, *self.durability.reasons))


def _names_key(event: Event) -> bool:
    return isinstance(event, Submitted) and any(isinstance(one, Publish) and one.key for one in event.requests)
