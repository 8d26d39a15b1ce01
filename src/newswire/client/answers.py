"""What brokers answer, typed. Fields that a later broker adds are ignored."""

from __future__ import annotations

from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True):
    """A broker as `GET /list_replicas` shows it; `itself` marks the one that answered."""

    id: str
    ip: str
    is_primary: bool = False
    state: str = "up"
    lag: int = 0
    itself: bool = msgspec.field(default=False, name="self")
    detail: str = ""
    down_since: str = ""  # RFC 3339; "" where it is not known to be down


class Look(msgspec.Struct, frozen=True):
    """The cluster at one moment, as menus tell it.

    `nodes`: addresses that can be used, primary first (the menus' "List of available nodes"). `primary`: where requests
    go. `moved`: the broker named first in the settings is down, and another stands in for it.
    """

    nodes: tuple[str, ...]
    primary: str
    moved: bool
    rows: tuple[Row, ...]


class Receipt(msgspec.Struct, frozen=True):
    """The proof of one publish: message id, the brokers that hold it on disk, the broker's sentence, who answered.

    `duplicate`: it was published before with this key and content; this is the first one's id.
    """

    id: str
    copies: int
    message: str
    broker: str
    duplicate: bool = False


class BatchReceipt(msgspec.Struct, frozen=True):
    """The proof of a batch: `count` messages stored, each on at least `copies` brokers; ids of the first and the last.

    `duplicates`: messages that were published before with their keys and content, and are not counted.
    """

    count: int
    copies: int
    first: str
    last: str
    message: str
    duplicates: int = 0


class Subscription(msgspec.Struct, frozen=True):
    """A subscription: `index` messages delivered since it began, `unread` not yet."""

    topic: str
    since: Any = None
    index: int = 0
    unread: int = 0


class Message(msgspec.Struct, frozen=True):
    """A message. `id` names it, `event_id` the place to go on from. `time` is RFC 3339 text, as the broker wrote it."""

    id: str
    event_id: str
    topic: str
    data: str = ""
    time: str = ""
    title: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    click: str = ""
    publisher: str = ""


class Gap(msgspec.Struct, frozen=True):
    """`dropped` messages of `topic` are not there.

    `reason`: "" (removed by retention before they were delivered), "waiting" (behind damage on a broker's disk: they come
    when it is mended) or "lost" (to damage, and given up by an operator; `topic` is the pattern subscribed to, `dropped` the
    most that were of it).
    """

    topic: str
    dropped: int
    event_id: str = ""
    reason: str = ""


class Page(msgspec.Struct, frozen=True):
    """A page of messages; ask again with the last one's `event_id` as `since` while there is `more`."""

    messages: tuple[Message, ...]
    more: bool = False


class ConnectionState(msgspec.Struct, frozen=True):
    """How a stream stands, for a status line. `since` is on the stream's clock (monotonic seconds); `detail` is a sentence.

    `kind`: `live` (at `broker`), `moving` (to `broker`), `silent` (`broker` sent nothing, not even a keepalive, since
    `since`), `lost` (the connection to `broker` ended or was not made), `waiting` (no broker can be tried until then).
    """

    kind: str
    broker: str
    broker_id: str
    detail: str
    since: float
