"""What requests and queries give: plain values, the same above the seam and below it. Data only."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import OpId, Published, Verb

LATEST: Final = "latest"  # in place of an id: the last message of each topic


class Receipt(msgspec.Struct, frozen=True):
    """The proof of a submit: stored, applied, readable here, synced on `copies` brokers, this one included.

    `first` and `last` are op ids (of a Publish: message ids), `ids` all of them in order. `count` is how many requests it
    stored, `duplicates` how many publish what was stored before: their ids name that, `repeated` has their indexes.
    `due`: ms since 1970, when the one message that it is about is published; 0: it is, or never will be. `withdrawn`: that one
    was stored before, and is withdrawn, or its time is over.
    """

    first: str
    last: str
    count: int
    copies: int
    duplicates: int = 0
    ids: tuple[str, ...] = ()
    repeated: tuple[int, ...] = ()
    due: int = 0
    withdrawn: bool = False


class ReaderRow(msgspec.Struct, frozen=True, gc=False):
    """A reader of one message: `state` is pending, delivered or confirmed; `at`: when it was confirmed, ms since 1970, or 0."""

    user: str
    state: Literal["pending", "delivered", "confirmed"]
    at: int = 0


class DeliveryReport(msgspec.Struct, frozen=True):
    """Who has got a message, and who has confirmed it. `time`: ms since 1970; `place`: of its record in the log."""

    id: OpId
    topic: str
    time: int
    place: tuple[int, int]
    readers: tuple[ReaderRow, ...]


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction did: bytes and rows of the log before and after it."""

    bytes_before: int
    bytes_after: int
    rows_before: int
    rows_after: int


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where reading goes on, in one engine: opaque. Keep it, hand it back, compare and hash it; equal ones read on alike.

    It is good for as long as the engine runs. What survives a restart, compaction and a change of broker is an event id.
    """


class Start(msgspec.Struct, frozen=True):
    """Where a reader begins. `patterns`: what it is subscribed to and may read, so a commit to another topic brings nothing.

    `account`: whose subscriptions these are, "" where nobody is asked. `event_id`: what stands for `position`, for a reader of
    topics who begins now; else what was asked for does. `more`: something may be due there at once, else when woken.
    """

    position: Position
    patterns: tuple[str, ...]
    account: OpId = ""
    event_id: EventId | None = None
    more: bool = True


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A message that is due. `position`: behind it; `event_id`: what a client shows to go on from there.

    `pending_gap`: messages before it are missing, which no `GapEntry` has told yet; nothing is acknowledged there.
    """

    message: Published
    event_id: EventId
    position: Position
    pending_gap: bool = False


class GapEntry(msgspec.Struct, frozen=True):
    """`dropped` messages of `topic` were due and are not there; `event_id` stands before what follows.

    `reason`: "" (removed by retention), "waiting" (behind damage: they come when it is healed), or "lost" (given up by an
    operator; `topic` is then the pattern of a subscription, and `dropped` the most that were of it). Of several before one
    message only the last has an id, the others have a `pending_gap`: who has that id has been told of all of them.
    """

    topic: str
    dropped: int
    event_id: EventId | None
    position: Position
    reason: str = ""
    pending_gap: bool = False


class WithdrawalEntry(msgspec.Struct, frozen=True, gc=False):
    """The message `id` of `topic` was withdrawn; `original`: the first of those that were replaced by it, "" for none.

    Beside that as an `Entry`.
    """

    topic: str
    id: OpId
    original: OpId
    event_id: EventId
    position: Position
    pending_gap: bool = False


class Page(msgspec.Struct, frozen=True):
    """What is due after a position, in the order of the log. Go on at `position`; `more`: at once, else when woken.

    `event_id` stands for `position`, unless there is a `pending_gap`: what is due before it is here or in pages before.
    `moved`: the log was written anew where the position stood, so nothing was read and `event_id` means nothing; begin again
    with the last event id (docs/rules.md, COMPACT).
    """

    entries: tuple[Entry | GapEntry | WithdrawalEntry, ...]
    position: Position
    event_id: EventId
    more: bool
    pending_gap: bool = False
    moved: bool = False


class SubscriptionRow(msgspec.Struct, frozen=True):
    """A subscription for people: `since` in ms since 1970, `index` messages delivered, `unread` not yet."""

    topic: str
    since: int
    index: int
    unread: int


class TopicRow(msgspec.Struct, frozen=True, gc=False):
    """A topic for people: messages that retention has left, time of the newest in ms since 1970."""

    topic: str
    messages: int
    last: int


class Account(msgspec.Struct, frozen=True):
    """A user. `account`: the op that made it, on which all that the user has hangs; `since` in ms since 1970.

    `password`: as argon2id has it, "" for none; `password_id` is another one whenever it is set.
    """

    username: str
    account: OpId
    admin: bool
    since: int
    password: str = ""
    password_id: OpId = ""


class TokenRow(msgspec.Struct, frozen=True):
    """A token. `since`, `expires`: ms since 1970, 0 for never; `publish`, `subscribe`: what narrows it, None for nothing."""

    id: OpId
    username: str
    account: OpId
    label: str
    since: int
    expires: int = 0
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether it is for less than its user may do."""
        return self.publish is not None or self.subscribe is not None


class GrantRow(msgspec.Struct, frozen=True, order=True):
    """What a user, or everybody (`*`), may do."""

    who: str
    verb: Verb
    topic: str


class AuditRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was done: when (ms since 1970), what (a stable word), and by whom; "": nobody was asked, or a broker.

    `who`: whom or what it is about, a username, `*`, or a broker; `topic`: a topic or pattern; `detail`: the rest, for people.
    """

    id: OpId
    time: int
    what: str
    by: str = ""
    who: str = ""
    verb: str = ""
    topic: str = ""
    detail: str = ""
