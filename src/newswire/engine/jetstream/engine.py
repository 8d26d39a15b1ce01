"""The engine of a gateway: a broker over a log that NATS JetStream keeps (docs/growth.md).

Making it waits for the log's servers, folds the copy on this machine's disk and what the log has beyond it. `start` opens the
run. It has no peers: any number of gateways append to the log and read it, and what they tell each other beside it is a hint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from newswire.config import EngineSettings
from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.events import (
    CatchUp,
    DropParts,
    KeepPart,
    Recall,
    Recalled,
    Reply,
    Rewrite,
    Switched,
    Tick,
    Wake,
)
from newswire.core.broker.values import Identity
from newswire.core.model import ops
from newswire.core.model.event_ids import EventId
from newswire.core.state.fold import State
from newswire.engine.commit_engine import CommitEngine, mint_origin, now_here, restored
from newswire.engine.commit_thread import CommitThread
from newswire.engine.embedded.archive import back_up
from newswire.engine.embedded.compactor import Compactor
from newswire.engine.embedded.ops_file import Progress
from newswire.engine.group_commit import Outward
from newswire.engine.jetstream.checkpoint import Checkpointer
from newswire.engine.jetstream.link import NatsLink
from newswire.engine.jetstream.log import Log, OtherLog
from newswire.engine.jetstream.monitor import Monitor
from newswire.engine.jetstream.servers import LogAway, LogRefused
from newswire.engine.jetstream.shell import GatewayShell
from newswire.engine.seam import Backup, EngineNumbers, Start
from newswire.errors import Refused, Unknown
from newswire.threads import NeedsThread, must_not_wait

_log: Final = logging.getLogger("newswire.engine")
_SAY_SECONDS: Final = 5.0  # between two lines of the log while a start waits for the servers
_GRACE_SECONDS: Final = 2.0  # that what is being stored has when the engine is closed


class JetstreamEngine(CommitEngine):
    """`seam.Engine`. Any thread may call; `start` and `close`: the composition root."""

    _shell: GatewayShell

    def __init__(
        self,
        settings: EngineSettings,
        *,
        progress: Progress | None = None,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """Wait for the servers and fold the log. `on_fatal` must end the process. Raises Refused, DiskFailed."""
        super().__init__()
        began = time.monotonic()
        self.settings, self._on_fatal = settings, on_fatal
        self._link = NatsLink(settings.nats, on_fatal)
        try:
            self._log = Log(self._link, settings.directory, packs=settings.compress_segments)
            self._origin = mint_origin(settings.id)
            self._state = self._recover(self._open(), progress)
        except BaseException:
            self._link.close()
            raise
        self.restored = restored(self._state, began)

    def _open(self) -> str:
        """The cluster id of the log, once a server answers. Raises Refused."""
        told = time.monotonic()
        while True:
            try:
                return self._link.open(self._log.its_cluster)
            except LogRefused as error:
                raise Refused(str(error), code="other-cluster") from error
            except LogAway as error:
                if time.monotonic() - told >= _SAY_SECONDS:
                    told = time.monotonic()
                    _log.warning("waiting for the servers of the log: %s", self._link.why or error)
                time.sleep(limits.LOG_AGAIN_SECONDS)

    def _recover(self, cluster: str, progress: Progress | None) -> State:
        state = State()
        if self._log.recover(state, cluster, self._origin, progress):
            try:
                self._log.catch_up(state)
                return state
            except OtherLog:
                pass
        return self._log.fold_again(state)

    def start(self, address: str) -> None:
        """Open this run as the broker at `address`. Nothing is served before this returns. Raises DiskFailed, StorageFull."""
        settings = self.settings
        identity = Identity(
            id=settings.id,
            address=address,
            origin=self._origin,
            primary=settings.primary,
            heartbeat=settings.heartbeat,
            retention_seconds=settings.retention_seconds,
            retention_messages=settings.retention_messages,
            retention_bytes=settings.retention_bytes,
            subscriptions_per_user=settings.subscriptions_per_user,
            compacts=settings.compacts,
            trust_clock=settings.trust_clock,
        )
        copy = self._log.copy
        self._checkpointer = Checkpointer(self._link, copy, self._on_fatal)
        self._shell = GatewayShell(
            identity,
            self._state,
            self._log,
            self._execute,
            now_here,
            settings.disk_reserve,
            partial(mint_origin, settings.id),
            self._forget,
            self._checkpointer.put,
        )
        del self._state
        self._link.on_news(self._hear)
        self._monitor = Monitor(
            settings.nats, lambda: self._link.replicas, self._on_fatal, partial(setattr, self._shell, "durability")
        )
        self._commit = CommitThread(self._shell, copy.free_bytes, self._on_fatal, copy.size_bytes)
        self._compactor = self._make_compactor()
        while True:
            try:
                self._shell.begin()
                break
            except OtherLog:
                self._shell.fold_again()
                break
        self._commit.start()
        self._compactor.start()

    def _hear(self, kind: str, payload: bytes) -> None:
        """Take what another gateway shouted; a round begins at once where it appended something."""
        if self._shell.hear(kind, payload) and hasattr(self, "_commit"):
            self._commit.put(Tick())

    def _make_compactor(self) -> Compactor:
        return Compactor(self._log.copy, self._shell.query, self._commit.put, self._on_fatal, self.settings.disk_reserve // 8)

    def _forget(self) -> None:
        """The log is another one: what is under way may be in it or not, and what was being compacted is replaced."""
        self._tell_all(Unknown("the log of this broker was exchanged: perhaps stored, retry with the same key"))
        self._compactor.close(limits.STOP_SECONDS)
        self._compactor = self._make_compactor()
        self._compactor.start()

    # -- seam.Engine ------------------------------------------------------------------------------------------------

    def patterns_of(self, user: str, by: Principal | None = None) -> tuple[str, ...]:
        """See `seam.Engine`, and `open_stream`. Raises NeedsThread where it would have to wait to say that there is nothing."""
        patterns = super().patterns_of(user, by)
        if not patterns and must_not_wait() and not self._closed:
            raise NeedsThread
        return super().patterns_of(user, by) if not patterns and self._reads_on() else patterns

    def open_stream(self, user: str, event_id: EventId | None, by: Principal | None = None) -> Start | None:
        """See `seam.Engine`. Who is not known here may have subscribed at another gateway a moment ago."""
        start = super().open_stream(user, event_id, by)
        if start is None and self._reads_on():
            start = super().open_stream(user, event_id, by)
        return start

    def open_page(
        self, user: str, topic: str | None, since: EventId | int | None, now: int, by: Principal | None = None
    ) -> Start | None:
        """See `seam.Engine`, and `open_stream`."""
        start = super().open_page(user, topic, since, now, by)
        if start is None and self._reads_on():
            start = super().open_page(user, topic, since, now, by)
        return start

    def _reads_on(self) -> bool:
        """Have all that the log has here; False where this thread may not wait, or the engine is closed."""
        if must_not_wait() or self._closed:
            return False
        self._commit.put(Tick())
        self._shell.read_on()
        return True

    def numbers(self) -> EngineNumbers:
        """See `seam.Engine`."""
        return self._shell.numbers(self._log.copy.size_bytes(), self._compactor.count)

    def backup(self) -> Backup:
        """See `seam.Engine`. Of the copy: an ops directory of an embedded broker is made of it."""
        return back_up(self._shell.read, self._log.copy, self.settings.id, now_here().wall)

    def close(self, timeout: float = 5.0) -> None:
        """See `seam.Engine`."""
        if hasattr(self, "_commit"):
            self._commit.stop(min(timeout, _GRACE_SECONDS))
            self._log.stop()
            self._commit.stop(timeout)
            self._compactor.close(timeout)
            self._monitor.close()
            self._checkpointer.close()
            self._shell.say_goodbye()
        self._closed = True
        self._log.stop()
        self._tell_all(Unknown("this broker has stopped: perhaps stored, retry with the same key at another one"))
        self._link.close()
        self._log.copy.close()

    # -- what a round wants done --------------------------------------------------------------------------------------

    def _execute(self, action: Outward) -> None:
        """See `group_commit.Effects`. The commit thread only."""
        match action:
            case Reply(reply_to, result) if reply_to is not None:
                self._tell(reply_to, result)
            case Wake():
                self._wake(action)
            case Recall(lost, places):
                raws = self._read_each(places)
                self._commit.put(Recalled(lost, [ops.decode(raw) for raw in raws if raw is not None]))
            case Rewrite() | CatchUp() | Switched() | KeepPart() | DropParts():
                self._compactor.take(action)
                self._shell.wants_checkpoint |= isinstance(action, Switched)
            case _:
                pass

    def _read_each(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes | None]:
        """Read records, None for those that are damaged: then all is read from the log again. Any thread."""
        raws: Sequence[Any] = self._log.copy.read_each(places)
        if None in raws:
            _log.error("the copy of the log cannot be read any more: it is made anew")
            self._shell.is_damaged = True
        return raws
