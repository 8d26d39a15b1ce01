"""What brokers answer, typed. Fields that a later broker adds are ignored."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from newswire.core.model.message import Message, MessageFields, Withdrawal, without_bounds


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
    streams: int = 0  # that it serves, of so many that it may; 0: it does not say
    streams_limit: int = 0


class ClusterSnapshot(msgspec.Struct, frozen=True):
    """The cluster at one moment, as menus tell it.

    `nodes`: addresses that can be used, primary first (the menus' "List of available nodes"). `primary`: where requests
    go. `moved`: the broker named first in the settings is down, and another stands in for it.
    """

    nodes: tuple[str, ...]
    primary: str
    moved: bool
    rows: tuple[Row, ...]


class MessageReceipt(msgspec.Struct, frozen=True, gc=False):
    """The proof of one publish: message id, the brokers that hold it on disk, the broker's sentence, who answered.

    `duplicate`: it was published before with this key and content; this is the first one's id. `due`: when it is delivered
    (RFC 3339), where it waits; "" where it was. `withdrawn`: the first one is withdrawn, or its time is over.
    """

    id: str
    copies: int
    message: str
    broker: str
    duplicate: bool = False
    due: str = ""
    withdrawn: bool = False


class BatchReceipt(msgspec.Struct, frozen=True):
    """The proof of a batch: `count` messages stored, each on at least `copies` brokers; ids of the first and the last.

    `duplicates`: messages that were stored before with their keys and content, and are not counted: `waiting` of them wait for
    their time, `withdrawn` are withdrawn or over. `scheduled`: how many of `count` are delivered later.
    """

    count: int
    copies: int
    first: str
    last: str
    message: str
    duplicates: int = 0
    scheduled: int = 0
    waiting: int = 0
    withdrawn: int = 0


class UserSubscription(msgspec.Struct, frozen=True):
    """A subscription: `index` messages delivered since it began, `unread` not yet."""

    topic: str
    since: Any = None
    index: int = 0
    unread: int = 0


class TopicCount(msgspec.Struct, frozen=True):
    """A topic: how many `messages` it holds, and the time of the `last` one (RFC 3339; None without any)."""

    topic: str
    messages: int = 0
    last: str | None = None


class MessageReader(msgspec.Struct, frozen=True):
    """A reader of a message: `state` is `pending`, `delivered` or `confirmed`; `at`: when it was confirmed (RFC 3339)."""

    username: str
    state: str
    at: str | None = None


class MessageReport(msgspec.Struct, frozen=True):
    """Who has got a message, and who has confirmed it; each of `subscribers` is counted once."""

    id: str
    topic: str
    delivered: int = 0
    pending: int = 0
    confirmed: int = 0
    subscribers: tuple[MessageReader, ...] = ()


class MessagePage(msgspec.Struct, frozen=True):
    """A page of messages; ask again with the last one's `event_id` as `since` while there is `more`.

    `next`: of a search, the `before` to ask again with while there is more to look at; it may be there with no message.
    """

    messages: tuple[Message, ...]
    more: bool = False
    next: str = ""
    withdrawn: tuple[Withdrawal, ...] = ()  # since then: they are not among the messages


class ScheduledMessage(MessageFields, frozen=True):
    """A message that waits until it is `due`; `time`: when it was taken (both RFC 3339)."""

    id: str
    due: str = ""
    time: str = ""


class ScheduledList(msgspec.Struct, frozen=True):
    """Messages that wait, what is due first; `more`: there are others, due later, from `next` on."""

    messages: tuple[ScheduledMessage, ...]
    more: bool = False
    next: str = ""


class Myself(msgspec.Struct, frozen=True):
    """Who the brokers take the caller for, and what he may do. `auth` is `none` where nobody is asked."""

    username: str | None = None
    admin: bool = False
    auth: str = "required"
    grants: tuple[UserGrant, ...] = ()


class UserAccount(msgspec.Struct, frozen=True):
    """A person or program that may sign in."""

    username: str
    admin: bool = False
    since: Any = None


class NewToken(msgspec.Struct, frozen=True):
    """A token, the only time that it is shown: nothing that is printed of this object holds it."""

    id: str
    token: str
    expires: str | None = None

    def __repr__(self) -> str:
        return f"NewToken(id={self.id!r})"


class UserToken(msgspec.Struct, frozen=True):
    """A token without its secret. `publish`, `subscribe`: the patterns that it is good for; None: as its user."""

    id: str
    username: str = ""
    label: str | None = None
    since: Any = None
    expires: Any = None
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None


class UserGrant(msgspec.Struct, frozen=True):
    """A right: `who` (`*`: all that are signed in) may `publish` or `subscribe` to what the pattern `topic` covers."""

    verb: str
    topic: str
    who: str = ""


# What a broker sends is read without bounds: a later version's may be wider than ours
_AnyMessage: Final[Any] = without_bounds(Message)
_AnyScheduled: Final[Any] = without_bounds(ScheduledMessage)
_decode_message: Final = msgspec.json.Decoder(Message).decode
_decode_any: Final = msgspec.json.Decoder(_AnyMessage).decode
PageBody: Final[Any] = msgspec.defstruct(
    "PageBody",
    [
        ("messages", tuple[_AnyMessage, ...]),
        ("more", bool, False),
        ("next", str, ""),
        ("withdrawn", tuple[Withdrawal, ...], ()),
    ],
)

ScheduledBody: Final[Any] = msgspec.defstruct(
    "ScheduledBody", [("messages", tuple[_AnyScheduled, ...]), ("more", bool, False), ("next", str, "")]
)


def read_message(text: str) -> Message:
    """The message that a stream's event holds. Raises msgspec.DecodeError."""
    try:
        return _decode_message(text)
    except msgspec.ValidationError:
        return _message(_decode_any(text))


def page_of(body: Any) -> MessagePage:
    """The page that a PageBody holds."""
    return MessagePage(messages=tuple(map(_message, body.messages)), more=body.more, next=body.next, withdrawn=body.withdrawn)


def scheduled_list_of(body: Any) -> ScheduledList:
    """The page that a ScheduledBody holds."""
    rows = (ScheduledMessage(**msgspec.structs.asdict(fields)) for fields in body.messages)
    return ScheduledList(messages=tuple(rows), more=body.more, next=body.next)


def _message(fields: Any) -> Message:
    return Message(**msgspec.structs.asdict(fields))


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
