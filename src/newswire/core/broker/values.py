"""Values that the parts of a broker share, and what shows of them above: read by all, changed by nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from newswire.core import limits
from newswire.core.model.balance import Load
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Op, OpId
from newswire.core.model.vector import FullVector, Vector
from newswire.core.state.holes import Hole

# Who is told what becomes of a request or a push, as it came in with it. The core keeps and returns it, and never calls it.
ReplyTo: TypeAlias = Callable[[Any], object]


class Identity(msgspec.Struct, frozen=True):
    """Who this broker is in this run. `origin` is minted by the shell at every start and never continued (H1)."""

    id: str
    address: str
    origin: str
    primary: bool = False
    peers: tuple[str, ...] = ()
    heartbeat: float = limits.HEARTBEAT_SECONDS
    retention_seconds: float = limits.RETENTION_SECONDS
    retention_messages: int = limits.RETENTION_MESSAGES
    retention_bytes: int = 0  # of the records of messages; 0: any number
    subscriptions_per_user: int = limits.SUBSCRIPTIONS_PER_USER
    compacts: bool = False  # it compacts its log, and takes what others compacted
    away_seconds: float = limits.COMPACT_AWAY_SECONDS  # a member that is away for longer is not waited for
    trust_clock: bool = False  # an operator says that the clock is right: retention begins at it


class BrokerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A broker as `GET /list_replicas` shows it. `lag`: ops that it lacks of what this broker holds."""

    id: str
    ip: str
    is_primary: bool
    state: str  # up | catching-up | down | peer-auth-failed | other-cluster | id-in-use | other-version
    lag: int
    self: bool = False
    detail: str = ""
    seconds: float | None = None  # since it was last heard
    down_since: int | None = None  # ms since 1970: since when it gives no usable answer
    streams: int = 0  # that it serves, as it last said, of so many that it may
    streams_limit: int = 0  # 0: it does not say
    phi: float = 0.0  # how suspicious its silence was, the most of the last minute

    @property
    def load(self) -> Load:
        """How many streams it serves, and how long ago it said so."""
        return Load(self.streams, self.streams_limit, self.seconds or 0.0)


class HoleRow(msgspec.Struct, frozen=True):
    """A hole for people: ops of `origin`, `first` to `last`, that `broker` lacks; `waiting`: how many wait behind it there."""

    broker: str
    origin: str
    first: int
    last: int
    waiting: int = 0
    unreadable: bool = False  # it holds them, and its disk does not give them back


class DiskFacts(msgspec.Struct, frozen=True):
    """The disk of a log, in bytes. `slow_syncs`: that took a second or more, since the start."""

    free_bytes: int
    reserve_bytes: int
    log_bytes: int
    slow_syncs: int = 0


class ClusterStatus(msgspec.Struct, frozen=True):
    """A snapshot of the cluster as this broker sees it.

    `rows`: one a broker, this one included and marked `self`. `serves`: whether clients may be served here now, else
    `why_not` says why in a sentence. `why_behind`: why readers get all news at another broker only, "" if here, too.
    `most_copies`: brokers that would hold a publish taken now. `degraded`: what is wrong that another broker would not do
    better; `warnings`: what may be wrong soon. `all_in_sync`: no member is away that may know more than this broker. `disk`:
    of the ops file, None where there is none. `holes`: of all brokers; `away`: members that may have what is missing and
    cannot be asked.
    """

    rows: tuple[BrokerStatus, ...]
    serves: bool
    why_not: str = ""
    why_behind: str = ""
    writable: bool = True
    most_copies: int = 1
    all_in_sync: bool = True
    degraded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    disk: DiskFacts | None = None
    holes: tuple[HoleRow, ...] = ()
    away: tuple[str, ...] = ()


# -- what one part of the broker knows and others read ----------------------------------------------------------


class NamedBatch(msgspec.Struct, frozen=True):
    """A long batch that has an origin: what of it is stored anew, what stands for its keys, and what becomes of it."""

    origin: str
    messages: Sequence[Publish]
    marks: frozenset[int]
    required: Mapping[str, int]
    ids: tuple[OpId, ...] = ()
    repeated: tuple[int, ...] = ()

    @property
    def staged(self) -> Staged:
        """What its receipt says."""
        return Staged(ids=self.ids, required=self.required, stored=len(self.messages), repeated=self.repeated)


class Staged(msgspec.Struct, frozen=True):
    """What became of requests: the ids of their ops, and what must be stored before they may be answered (`required`).

    `stored`: how many of the requests are stored by it; the others (`repeated`: their indexes) are publishes of what was
    stored, or staged, before. `due`, `withdrawn`: as of a `Receipt`.
    """

    ids: tuple[OpId, ...]
    required: Mapping[str, int]
    stored: int = 1
    repeated: tuple[int, ...] = ()
    due: int = 0
    withdrawn: bool = False


class PeerFacts(msgspec.Struct, frozen=True):
    """What `replication` knows of one peer at a moment."""

    address: str
    id: str  # "" until it answered or pushed
    state: str  # up | catching-up | down, or what its refusal means
    detail: str
    in_sync: bool
    counts: bool  # in sync, and a member, or nobody is one: receipts wait for it
    current: bool  # in sync, and its last answer is no older than heartbeats let it become
    has_more: bool  # it may hold what is not held here, by what it last said
    caught_up: bool  # it has handed over what it held when it was first met after the start
    untried: bool  # no push to it has come to an end yet
    serves: bool
    primary: bool
    writable: bool
    holds: FullVector
    holes: tuple[Hole, ...]
    waits: Mapping[str, int]  # the highest sequence that it keeps apart, by origin: behind damage, or of an open batch
    knows_voids: bool  # it takes what was compacted
    lacks_void: bool  # it lacks something that is void here: it is handed all of it, if it takes that
    ahead: int  # ms by which its clock is ahead of ours; below 0: behind
    heard: float | None  # on `Now.clock`
    down_since: int | None  # ms since 1970
    away_seconds: float  # that it has given no usable answer for, by the clock that only runs; 0 while it answers
    load: Load = Load()  # of streams, as it last said
    phi: float = 0.0  # how suspicious its silence was, the most of the last minute (`core.foresight.suspicion`)
    silence: tuple[float, float] = (0.0, 0.0)  # the wait that was so suspicious, and what is usual, in seconds
    told: Vector = {}  # how far it holds origins that have not begun here
    unclear: bool = False  # it has yet to say what follows from some of these
    reaches_us: bool = True  # it pushes to this broker, or counts its copies


class Announcement(msgspec.Struct, frozen=True):
    """What every header says of this broker, beside what it holds. `turn`: how often it has taken another's cluster id."""

    cluster: str
    settled: bool
    turn: int
    told: tuple[str, ...]
    serves: bool
    writable: bool
    wall: int
    load: Load = Load()  # of streams
    offered: Any = None  # how much of an offer is here (`events.Offered`)


# -- what a part has the broker do ------------------------------------------------------------------------------


class Stamp(msgspec.Struct, frozen=True):
    """Stage `ops` as this broker's own. Who waits under `reply_to` is told when all in sync hold them: of `broker`, if named.

    `count`: what they stand for, where that is not one request.
    """

    ops: Sequence[Op]
    reply_to: ReplyTo | None = None
    until: float = 0.0
    broker: str = ""
    count: int = 1


class TellStatus(msgspec.Struct, frozen=True):
    """Tell whoever waits under `reply_to` the status of `broker`."""

    reply_to: ReplyTo
    broker: str


class Greet(msgspec.Struct, frozen=True):
    """Push to `address` at once, over a new link if there is none."""

    address: str


class Unlink(msgspec.Struct, frozen=True):
    """Close the link to `address`."""

    address: str


class StoreAgain(msgspec.Struct, frozen=True):
    """Stage anew what `op`, which was given up and is held here, means."""

    op: Op


class StoreBlindly(msgspec.Struct, frozen=True):
    """Stage anew what the ops `sequences` of `origin` did here, whose records cannot be read."""

    origin: str
    sequences: Sequence[int]
