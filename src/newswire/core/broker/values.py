"""Values that the parts of a broker share, and what shows of them above: read by all, changed by nobody."""

from __future__ import annotations

import msgspec

from newswire.core import limits


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
    trust_clock: bool = False  # an operator says that the clock is right: retention begins at it


class BrokerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A broker as `GET /list_replicas` shows it. `lag`: ops that it lacks of what this broker holds."""

    id: str
    ip: str
    is_primary: bool
    state: str  # up | catching-up | down | peer-auth-failed | other-cluster | id-in-use
    lag: int
    self: bool = False
    detail: str = ""
    seconds: float | None = None  # since it was last heard
    down_since: int | None = None  # ms since 1970: since when it gives no usable answer


class HoleRow(msgspec.Struct, frozen=True):
    """A hole for people: ops of `origin`, `first` to `last`, that `broker` lacks; `waiting`: how many wait behind it there."""

    broker: str
    origin: str
    first: int
    last: int
    waiting: int = 0
    unreadable: bool = False  # it holds them, and its disk does not give them back


class ClusterStatus(msgspec.Struct, frozen=True):
    """A snapshot of the cluster as this broker sees it.

    `rows`: one a broker, this one included and marked `self`. `serves`: whether clients may be served here now, else
    `why_not` says why in a sentence. `why_behind`: why readers get all news at another broker only, "" if here, too.
    `most_copies`: brokers that would hold a publish taken now. `degraded`: what is wrong that another broker would not do
    better. `all_in_sync`: no member is away that may know more than this broker. `disk_free_bytes`: room on the disk of the
    ops file, None where there is none. `holes`: of all brokers; `away`: members that may have what is missing and cannot be
    asked.
    """

    rows: tuple[BrokerStatus, ...]
    serves: bool
    why_not: str = ""
    why_behind: str = ""
    writable: bool = True
    most_copies: int = 1
    all_in_sync: bool = True
    degraded: tuple[str, ...] = ()
    disk_free_bytes: int | None = None
    holes: tuple[HoleRow, ...] = ()
    away: tuple[str, ...] = ()
