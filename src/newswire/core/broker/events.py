"""What happens to a broker and what it wants done: the vocabulary of `core.broker.broker.Broker.step`.

The shell (commit thread, simulator) hands in events with the time of day, carries out the actions in order and reports
back. One rule binds it: all `Append`s of a round are written, then synced once, then `Stored` is handed in; only then
does anything of them show (store, then apply, then tell).

Longer than other rooms: it is one vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.values import BrokerStatus, ReplyTo
from newswire.core.model.commands import Request
from newswire.core.model.ops import Address, BrokerId, Lost, Op, Origin, VectorField
from newswire.core.model.results import Compacted, Receipt
from newswire.core.state.holes import Hole
from newswire.core.state.rewriting import Rewriting
from newswire.errors import NewswireError

_ClusterId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Name = Annotated[str, Meta(max_length=limits.ADDRESS_CHARS)]


class Now(msgspec.Struct, frozen=True):
    """The time of an event: `clock` in seconds, monotonic, of this process; `wall` in milliseconds since 1970."""

    clock: float
    wall: int


# -- between brokers --------------------------------------------------------------------------------------------


class Offer(msgspec.Struct, frozen=True):
    """A part of what one broker hands another one that is behind: the last `count` ops that come with the header.

    `run`: the origin of the receiver's run. The part stands for the sender's rows `start` to `end` of `last`; `vector`: what
    follows from all parts.
    """

    id: Annotated[str, Meta(max_length=limits.ADDRESS_CHARS)]
    run: Origin
    start: _Count
    end: _Count
    last: _Count
    count: _Count
    vector: VectorField


class Offered(msgspec.Struct, frozen=True):
    """How much the sender has of an offer."""

    id: Annotated[str, Meta(max_length=limits.ADDRESS_CHARS)]
    end: _Count


# Of what brokers say to each other (docs/rules.md, WIRE): raised where an older one would take a new word for something else
WIRE: Final = 2  # what this version speaks; 1: a header that says none, as that of 0.1 does
WIRE_LEAST: Final = 1  # the oldest that this version understands


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a push and its answer say beside the ops. `vector`: synced by the sender, short.

    What follows from an origin is only known to who holds its `began`. So `began` tells what some of the sender's origins
    began with: the youngest, and a few older ones. Who meets an origin that it does not know asks for more (`ask`).
    """

    broker: BrokerId
    address: Address
    origin: Origin
    cluster: _ClusterId
    settled: bool  # the cluster id is fixed
    primary: bool
    serves: bool  # the sender serves clients; False while it catches up, leaves, or is no member
    number: _Count  # of the push; an answer repeats it
    vector: VectorField
    began: Annotated[Mapping[Origin, VectorField], Meta(max_length=2 * limits.ANCESTRY_MOST)] = {}
    more: bool = False  # the sender could tell what more origins began with
    ask: _Count = 0  # origins whose `began` the sender would have with the next answer or push
    writable: bool = True  # the sender's disk has room: it takes ops
    counts: bool = False  # the sender is in sync with the receiver, and counts its copies
    want: _Count = 0  # ops the sender would take with the answer
    holes: Annotated[tuple[Hole, ...], Meta(max_length=limits.HOLES_COUNT)] = ()
    # ^ what the sender lacks, also of what `vector` covers: whoever holds of it pushes it
    waits: VectorField = {}  # origin -> highest sequence that the sender keeps behind damage; up to it only `holes` are missing
    code: Annotated[str, Meta(pattern=r"^[a-z-]{0,64}\Z")] = ""  # an answer that refuses: a code of `errors.TABLE`, and why
    detail: str = ""  # shown and logged: whoever reads it from a wire escapes it
    has_ops: bool = False  # the sender holds more than `began` ops
    told: Annotated[tuple[_Name, ...], Meta(max_length=limits.TOLD_COUNT)] = ()
    # ^ while its cluster id is not fixed: of whom the sender was told, by its configuration or by an op (ids, else addresses)
    parts: VectorField = {}  # origin -> how far the sender has a long batch that is not whole there: stored, in no vector
    voids: bool = False  # the sender takes what was compacted
    packs: bool = False  # the sender reads a push and an answer that are compressed (docs/rules.md, PUSH)
    offer: Offer | None = None
    offered: Offered | None = None
    wall: Annotated[int, Meta(ge=0, le=limits.TIME_MILLISECONDS)] = 0  # the sender's time of day, ms; 0: it does not say
    wire: _Count = 1  # the version of what it says that the sender speaks
    wire_least: _Count = 1  # the oldest that it understands
    streams: _Count = 0  # that the sender serves,
    streams_limit: _Count = 0  # and may serve; 0: it does not say


class Rewritten(msgspec.Struct, frozen=True):
    """What `Rewrite` asked for is written and counts, and its tail is folded but for little."""

    job: Rewriting


class RewriteFailed(msgspec.Struct, frozen=True):
    """What `Rewrite` asked for was given up before it counted."""

    job: Rewriting
    why: str


class Compact(msgspec.Struct, frozen=True):
    """An operator wants the log compacted now; `even_if_away`: whoever may be away and lack something of it."""

    reply_to: ReplyTo | None
    even_if_away: bool = False


# -- events -----------------------------------------------------------------------------------------------------


class Submitted(msgspec.Struct, frozen=True):
    """Clients' requests to be stored as one. `reply_to` names who waits (None: nobody); `until` on `Now.clock`.

    `by`: who asks, and is checked when they are decided; None: nobody is asked.
    """

    reply_to: ReplyTo | None
    requests: Sequence[Request]
    copies: int = 1
    until: float = 0.0
    by: Principal | None = None


class Received(msgspec.Struct, frozen=True):
    """A peer's push arrived: answer it (`Answer`) after the sync."""

    reply_to: ReplyTo
    header: Header
    raws: Sequence[bytes]


class Logged(msgspec.Struct, frozen=True):
    """The log that several brokers share holds these, in this order: they are durable, and to be kept and applied here."""

    raws: Sequence[bytes]


class Answered(msgspec.Struct, frozen=True):
    """The answer to push `header.number` on the link to `address`."""

    address: str
    header: Header
    raws: Sequence[bytes]


class Failed(msgspec.Struct, frozen=True):
    """Push `number` to `address` got no usable answer. `state`: down, or what the peer's refusal means."""

    address: str
    number: int
    state: str = "down"
    detail: str = ""


class HungUp(msgspec.Struct, frozen=True):
    """The peer at `address` closed its end while no push was under way: it has died, or wants the connection back."""

    address: str


class Stored(msgspec.Struct, frozen=True):
    """What was appended since the last `Stored` is on disk and synced: (place, length) of each op, in order.

    `more`: only of the first ops; the others are handed in next, before anything else. So a large batch is applied in pieces.
    While the core says that more is to be applied (`Broker.is_applying`), another `Stored` without places is handed in first.
    The actions of the step begin with the `Wake` of what it applied: nothing of that may be read before.
    """

    places: Sequence[tuple[int, int]]
    more: bool = False


class Unstored(msgspec.Struct, frozen=True):
    """The disk was full: nothing of what was appended since the last `Stored` is in the log.

    `named`: the segment that `FixClusterId` asked for has begun all the same.
    """

    named: bool = False


class Tick(msgspec.Struct, frozen=True):
    """Time passed: heartbeats, deadlines, retention. At least every 0.1 s while anything waits.

    `wants_room`: the disk has so little room that whatever may go should go. `size`: bytes of the log. `room`: bytes that a
    compaction may write beside it; None where there is no disk.
    """

    wants_room: bool = False
    size: int = 0
    room: int | None = None


class Join(msgspec.Struct, frozen=True):
    """An operator adds the broker at `address`."""

    reply_to: ReplyTo
    address: str
    until: float = 0.0


class Leave(msgspec.Struct, frozen=True):
    """An operator removes `broker` (an id or an address)."""

    reply_to: ReplyTo
    broker: str


class AcceptLoss(msgspec.Struct, frozen=True):
    """An operator gives up what no broker can bring: all holes, or those of `origin` from `first` to `last` (0: no bound)."""

    reply_to: ReplyTo
    origin: str = ""
    first: int = 0
    last: int = 0
    even_if_away: bool = False  # a member that may hold it is not there, and the operator knows
    until: float = 0.0


class Unreadable(msgspec.Struct, frozen=True):
    """The disk did not give back the records at these places."""

    places: Sequence[int]


class Loaded(msgspec.Struct, frozen=True):
    """So many streams are served here now, of `limit` that there may be."""

    streams: int
    limit: int


class SilentDamage(msgspec.Struct, frozen=True):
    """The start found so many damaged places in the ops file that do not tell what was there."""

    places: int


class Recalled(msgspec.Struct, frozen=True):
    """The ops that `Recall` asked for, as far as they could be read."""

    lost: Lost
    ops: Sequence[Op]


class Writable(msgspec.Struct, frozen=True):
    """The disk has room again, or has none: client writes are taken or refused (507)."""

    writable: bool


Event = (
    Submitted
    | Received
    | Logged
    | Answered
    | Failed
    | HungUp
    | Stored
    | Unstored
    | Tick
    | Join
    | Leave
    | Writable
    | AcceptLoss
    | Unreadable
    | SilentDamage
    | Loaded
    | Recalled
    | Compact
    | Rewritten
    | RewriteFailed
)


# -- actions ----------------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True):
    """Append these ops to the log; `raws` are the bytes to write, of received ops the very bytes received."""

    ops: Sequence[Op]
    raws: Sequence[bytes]


class FixClusterId(msgspec.Struct, frozen=True):
    """The cluster id is fixed from here on: what is appended next goes into a segment that names it."""

    cluster: str


class Send(msgspec.Struct, frozen=True):
    """Push `header` and the ops at `places` to `address`; report `Answered` or `Failed`. One in flight a link.

    `places`: (place, length) of their records. `parts`: those of a long batch, which stand in no log yet: they come last.
    """

    address: str
    header: Header
    places: Sequence[tuple[int, int]]
    parts: Sequence[tuple[int, int]] = ()


class Answer(msgspec.Struct, frozen=True):
    """Answer the push that came with `reply_to`: `header` and the ops whose records lie at `places`."""

    reply_to: ReplyTo
    header: Header
    places: Sequence[tuple[int, int]]


class Reply(msgspec.Struct, frozen=True):
    """Tell `reply_to` what was stored, the row of a broker (Join, Leave), or why not. A shell is given none without one."""

    reply_to: ReplyTo | None
    result: Receipt | BrokerStatus | Compacted | NewswireError


class Wake(msgspec.Struct, frozen=True):
    """What streams are told of a commit: topics that grew, and users whose awake subscriptions or rights may have changed.

    A user `*` stands for all.

    `serves`: whether this broker serves streams from now on.
    """

    topics: frozenset[str]
    users: frozenset[str]
    serves: bool = True


class Connect(msgspec.Struct, frozen=True):
    """Open a link to `address`."""

    address: str


class Disconnect(msgspec.Struct, frozen=True):
    """Close the link to `address`."""

    address: str


class Recall(msgspec.Struct, frozen=True):
    """Read the ops whose records lie at `places` and hand them in as `Recalled`."""

    lost: Lost
    places: Sequence[tuple[int, int]]


class Rewrite(msgspec.Struct, frozen=True):
    """Begin a new segment, and have a thread write the log before it anew (`core.state.rewriting`)."""

    job: Rewriting


class CatchUp(msgspec.Struct, frozen=True):
    """More was stored since: have the thread fold it, and hand in `Rewritten` again."""

    job: Rewriting


class Switched(msgspec.Struct, frozen=True):
    """The state is that of this rewriting from here on: what the old log was may go, once nobody reads it."""

    job: Rewriting


class KeepPart(msgspec.Struct, frozen=True):
    """Keep these records beside the log, behind those of earlier parts. `first`: forget those."""

    raws: Sequence[bytes]
    first: bool


class DropParts(msgspec.Struct, frozen=True):
    """Forget the records that `KeepPart` brought."""


class Exit(msgspec.Struct, frozen=True):
    """This broker left the cluster and everything it held is elsewhere: the process may end."""

    why: str


Action = (
    Append
    | FixClusterId
    | Send
    | Answer
    | Reply
    | Wake
    | Connect
    | Disconnect
    | Recall
    | Rewrite
    | CatchUp
    | Switched
    | KeepPart
    | DropParts
    | Exit
)
