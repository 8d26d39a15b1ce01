"""The engine of a broker: ops file, commit thread and links behind the seam (docs/architecture.md, Rooms).

Making it recovers: lock, scan, fold. `start` opens the run: a new origin, its `began` synced, then threads. Between the
two the composition root binds the port, so that the address is known and nothing is accepted too early.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from newswire.config import EngineSettings
from newswire.core import limits
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import (
    AcceptLoss,
    Answer,
    CatchUp,
    Compact,
    Connect,
    Disconnect,
    DropParts,
    Exit,
    Join,
    KeepPart,
    Leave,
    Recall,
    Recalled,
    Received,
    Reply,
    Rewrite,
    Send,
    SilentDamage,
    Switched,
    Unreadable,
    Wake,
)
from newswire.core.broker.values import BrokerStatus, Identity
from newswire.core.model import ops
from newswire.core.model.names import check_address
from newswire.engine.commit_engine import CommitEngine, Restored, mint_origin, now_here, restored
from newswire.engine.commit_thread import CommitThread
from newswire.engine.embedded.archive import back_up
from newswire.engine.embedded.compactor import Compactor
from newswire.engine.embedded.ops_file import OpsFile, Progress
from newswire.engine.embedded.pieces import fold_log
from newswire.engine.embedded.segment import split_place
from newswire.engine.group_commit import Outward
from newswire.engine.peers import push_codec
from newswire.engine.peers.auth import Passport
from newswire.engine.peers.link import Link, status_of
from newswire.engine.seam import Backup, Compacted, EngineNumbers, PushAnswer, Receipt
from newswire.engine.shell import Shell
from newswire.errors import Damaged, NewswireError, Unknown

log = logging.getLogger("newswire.engine")


class EmbeddedEngine(CommitEngine):
    """`seam.Engine` and `seam.ClusterAdmin`. Any thread may call; `start` and `close`: the composition root."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        progress: Progress | None = None,
        on_fatal: Callable[[BaseException], None],
        on_exit: Callable[[str], None] = lambda why: None,
    ) -> None:
        """Recover from the ops file. `on_fatal` must end the process; `on_exit`: this broker has left the cluster.

        Raises Refused (in use, another version), DiskFailed.
        """
        super().__init__()
        self.settings = settings
        self._on_fatal, self._on_exit = on_fatal, on_exit
        self._links: dict[str, Link] = {}
        self._left = False
        self._opsfile = OpsFile(settings.directory, packs=settings.compress_segments)
        self.restored = self._recover(progress)

    def start(self, address: str) -> None:
        """Open this run as the broker at `address`. Nothing is served before this returns. Raises DiskFailed, StorageFull."""
        settings = self.settings
        origin = mint_origin(settings.id)
        cluster, settled = self._opsfile.cluster, bool(self._opsfile.cluster)
        self._opsfile.start(cluster, origin)
        identity = Identity(
            id=settings.id,
            address=address,
            origin=origin,
            primary=settings.primary,
            peers=settings.peers,
            heartbeat=settings.heartbeat,
            retention_seconds=settings.retention_seconds,
            retention_messages=settings.retention_messages,
            retention_bytes=settings.retention_bytes,
            subscriptions_per_user=settings.subscriptions_per_user,
            compacts=settings.compacts,
            away_seconds=settings.away_seconds,
            trust_clock=settings.trust_clock,
        )
        broker = Broker(identity, self._state, cluster or secrets.token_hex(16), settled=settled)
        del self._state  # the broker has it, until a compaction gives it another
        self._passport = Passport(settings.secrets, identity)
        self._shell = Shell(broker, self._opsfile, self._execute, now_here, settings.disk_reserve)
        self._commit = CommitThread(self._shell, self._opsfile.free_bytes, self._on_fatal, self._opsfile.size_bytes)
        self._compactor = Compactor(
            self._opsfile, self._shell.query, self._commit.put, self._on_fatal, settings.disk_reserve // 8
        )
        self._shell.begin()
        if self._silent_damage:
            self._shell.run([SilentDamage(self._silent_damage)])
        self._commit.start()
        self._compactor.start()

    def _recover(self, progress: Progress | None) -> Restored:
        start = time.monotonic()
        self._state = fold_log(lambda: self._opsfile.pieces(progress), self._opsfile.read_lines)
        if self._state.lacks_voids:
            log.error("a record of what a compaction left out is damaged: other brokers are asked for all that was left out")
        names, self._silent_damage = self._opsfile.names_in_damage()
        self._state.holes.suspect(names)
        for place in self._opsfile.damage:
            log.error("the ops file is damaged, the rest of it is kept: %s", place)
        return restored(self._state, start)

    # -- seam.Engine --------------------------------------------------------------------------------------------

    def numbers(self) -> EngineNumbers:
        """See `seam.Engine`."""
        return self._shell.numbers(self._opsfile.size_bytes(), self._compactor.count)

    def backup(self) -> Backup:
        """See `seam.Engine`."""
        return back_up(self._shell.read, self._opsfile, self.settings.id, now_here().wall)

    def close(self, timeout: float = 5.0) -> None:
        """See `seam.Engine`."""
        if hasattr(self, "_commit"):
            self._commit.stop(timeout)
            self._compactor.close(timeout)
        self._closed = True
        self._tell_all(Unknown("this broker has stopped: perhaps stored, retry with the same key at another one"))
        for link in self._links.values():
            link.close()
        for link in self._links.values():
            link.join(timeout)  # a push in flight reads the ops file
        self._opsfile.close()

    # -- seam.ClusterAdmin -------------------------------------------------------------------------------------------

    def join_later(self, address: str, then: Callable[[BrokerStatus | NewswireError], None], timeout: float = 10.0) -> None:
        """See `seam.ClusterAdmin`."""
        tell = partial(then)  # one of its own, whoever `then` is
        self._put(tell, Join(tell, check_address(address), time.monotonic() + timeout))

    def leave_later(self, broker: str, then: Callable[[BrokerStatus | NewswireError], None]) -> None:
        """See `seam.ClusterAdmin`."""
        tell = partial(then)
        self._put(tell, Leave(tell, broker))

    def check_head(self, path: str, headers: Mapping[str, str]) -> None:
        """See `seam.ClusterAdmin`."""
        self._passport.check_head(path, headers)

    def accept_loss_later(
        self,
        then: Callable[[Receipt | NewswireError], None],
        origin: str = "",
        first: int = 0,
        last: int = 0,
        *,
        even_if_away: bool = False,
        timeout: float = limits.RECEIPT_SECONDS,
    ) -> None:
        """See `seam.ClusterAdmin`."""
        until = time.monotonic() + timeout
        what = AcceptLoss(reply_to=then, origin=origin, first=first, last=last, even_if_away=even_if_away, until=until)
        self._put(then, what)

    def compact_later(self, then: Callable[[Compacted | NewswireError], None], *, even_if_away: bool = False) -> None:
        """See `seam.ClusterAdmin`."""
        tell = partial(then)
        self._put(tell, Compact(reply_to=tell, even_if_away=even_if_away))

    def receive_later(
        self, path: str, headers: Mapping[str, str], body: bytes, then: Callable[[PushAnswer | NewswireError], None]
    ) -> None:
        """See `seam.ClusterAdmin`."""
        nonce, header, raws = self._passport.open_push(path, headers, body)

        def tell(result: Answer | NewswireError) -> None:
            then(self._push_answer(nonce, result, header.packs) if isinstance(result, Answer) else result)

        self._put(tell, Received(tell, header, raws))

    def _push_answer(self, nonce: str, answer: Answer, pack: bool) -> PushAnswer:
        status = status_of(answer.header.code)

        def write() -> bytes:
            return self._passport.seal(nonce, status, push_codec.write(answer.header, self._fetch(answer.places), pack=pack))

        return PushAnswer(status, bool(answer.places), write)

    # -- what a round wants done ------------------------------------------------------------------------------------

    def _execute(self, action: Outward) -> None:
        """See `group_commit.Effects`. The commit thread only."""
        match action:
            case Reply(reply_to=reply_to) | Answer(reply_to=reply_to) if reply_to is not None:
                self._tell(reply_to, action.result if isinstance(action, Reply) else action)
            case Wake():
                self._wake(action)
            case Send():
                self._links[action.address].send(action)
            case Connect(address):
                self._links[address] = Link(
                    address, self._fetch_push, self._passport, self._commit.put, self._on_fatal, self.settings.ca_file
                )
            case Disconnect(address):
                self._links.pop(address).cut()
            case Recall(lost, places):  # few records, once in the life of a hole
                raws = self._read_each(places)
                self._commit.put(Recalled(lost, [ops.decode(raw) for raw in raws if raw is not None]))
            case Rewrite() | CatchUp() | Switched() | KeepPart() | DropParts():
                self._compactor.take(action)
            case Exit(why) if not self._left:
                self._left = True
                self._on_exit(why)
            case _:
                pass

    def _fetch(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The records there. Raises Damaged, after telling the core of those that cannot be read."""
        if not places:
            return []
        cache = self._shell.records.get_all(places)
        if cache is not None:
            return cache
        raws = [raw for raw in self._read_each(places) if raw is not None]
        if len(raws) < len(places):
            raise Damaged(f"{len(places) - len(raws)} records cannot be read: a peer is asked for them")
        return raws

    def _fetch_push(self, push: Send) -> list[bytes]:
        """What a push carries. Raises Damaged."""
        parts = [raw for raw in self._read_each(push.parts) if raw is not None] if push.parts else []
        if len(parts) < len(push.parts):
            raise Damaged("a part of a batch cannot be read")
        return [*self._fetch(push.places), *parts]

    def _read_each(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Read records, None for those that are damaged, of which the core is told. Any thread."""
        raws = self._opsfile.read_each(places)
        bad = [place for (place, _), raw in zip(places, raws, strict=True) if raw is None]
        if bad:
            log.error("%d records cannot be read any more, the first at %s", len(bad), split_place(bad[0]))
            self._commit.put(Unreadable(tuple(bad)))
        return raws
