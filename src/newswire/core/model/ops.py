"""The operation types and their codec: everything a broker learns is one of these.

An op carries its own coordinates: `origin` and `sequence` name it for ever and everywhere, `time` (milliseconds since
1970, wall clock of the broker that took it) is display and an attribute, never a reason to deliver or not. On disk and
on the wire it is one JSON object; a peer stores and forwards the very bytes that it received, so a type or a field that
this version does not know survives it (docs/hazards.md, H15).

Longer than other rooms: all that can ever be stored is read in one place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal, TypedDict, TypeVar, cast, get_args

import msgspec
from msgspec import Meta, field

from newswire.core import limits
from newswire.core.model import addresses, names
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.message import MessageFields, TopicName

# The bounds of every value that a peer can send (`docs/rules.md`, BOUNDS): none is narrower than a client's
SEQUENCE_MOST: Final = 2**53  # named in vectors: what every JSON reader keeps exact
_Sequence = Annotated[int, Meta(ge=1, le=2**32 - 1)]  # of an op itself: a column of 32 bits (`core.state.op_index`)
_Named = Annotated[int, Meta(ge=1, le=SEQUENCE_MOST)]
_Time = Annotated[int, Meta(ge=0, le=limits.TIME_MILLISECONDS)]
_OpId = Annotated[str, Meta(pattern=rf"^{names.OP_ID_FORM}\Z")]
_Username = Annotated[str, Meta(max_length=limits.USERNAME_CHARS, pattern=rf"^{names.USERNAME_FORM}\Z")]
_AccountOrNone = Annotated[str, Meta(pattern=rf"^(?:{names.OP_ID_FORM})?\Z")]
_TopicOrNone = Annotated[str, Meta(max_length=limits.TOPIC_CHARS, pattern=rf"^(?:{names.TOPIC_FORM})?\Z")]
_Pattern = Annotated[str, Meta(max_length=limits.TOPIC_CHARS, pattern=rf"^(?:{names.PATTERN_FORM})\Z")]

_Who = Annotated[str, Meta(pattern=rf"^(?:\*|{names.OP_ID_FORM})\Z")]
_Hash = Annotated[str, Meta(max_length=limits.PASSWORD_HASH_CHARS, pattern=r"^[\x21-\x7e]*\Z")]
_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_By = Annotated[str, Meta(max_length=limits.USERNAME_CHARS, pattern=rf"^(?:{names.USERNAME_FORM})?\Z")]
_Patterns = Annotated[tuple[_Pattern, ...], Meta(max_length=limits.TOKEN_PATTERNS)]

Origin = Annotated[str, Meta(pattern=rf"^{names.ORIGIN_FORM}\Z")]
BrokerId = Annotated[str, Meta(max_length=limits.BROKER_ID_CHARS, pattern=rf"^{names.BROKER_ID_FORM}\Z")]
Address = Annotated[str, Meta(max_length=limits.ADDRESS_CHARS, pattern=rf"^{addresses.FORM}\Z")]
VectorField = Annotated[Mapping[Origin, _Named], Meta(max_length=limits.VECTOR_ENTRIES)]

Verb = Literal["publish", "subscribe"]  # what a grant is for
OpId = str  # "<origin>.<sequence>": no separator stands in an origin


def op_id(origin: str, sequence: int) -> OpId:
    """The name of an op; of a message it is the message id that `/publish` answers."""
    return f"{origin}.{sequence}"


def split_op_id(name: OpId) -> tuple[str, int]:
    """Origin and sequence of an op id (which `op_id` made or the codec checked)."""
    origin, _, sequence = name.rpartition(".")
    return origin, int(sequence)


class BareOp(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="op", tag="unknown"):
    """The coordinates of an op. By itself: an op of a type that this version does not know, kept for those that do."""

    origin: str = field(name="o")
    sequence: _Sequence = field(name="s")
    time: _Time = field(name="t")

    @property
    def id(self) -> OpId:
        """The op's name."""
        return op_id(self.origin, self.sequence)


class Began(BareOp, frozen=True, omit_defaults=True, gc=False, tag="began"):
    """The first op of an origin: a run of `broker` started on a file that held `vector`.

    `batch`, if not 0: the origin is one long batch of so many ops, this one counted; none has an effect before all are there.
    """

    broker: BrokerId
    vector: VectorField = {}
    batch: Annotated[int, Meta(ge=0, le=limits.BATCH_MESSAGES + 1)] = 0


class Published(MessageFields, frozen=True, omit_defaults=True, gc=False, tag_field="op", tag="msg"):
    """A message, with the coordinates that every op has: an op in all but its base, since it has the fields of a message."""

    origin: str = field(name="o")
    sequence: _Sequence = field(name="s")
    time: _Time = field(name="t")

    @property
    def id(self) -> OpId:
        """The op's name."""
        return op_id(self.origin, self.sequence)


class Scheduled(MessageFields, frozen=True, omit_defaults=True, gc=False, tag_field="op", tag="scheduled"):
    """A message that is published when it is `due` (ms since 1970, by the clock of the broker that took it), as `Published`.

    `delay`: ms, where that was asked for instead of a time. `expires`: as of a message that is published when it is due.
    `account`: of the publisher, and by which `token`, whose right is asked for then; "" where nobody is asked who that is,
    and where it was no token.
    """

    origin: str = field(name="o")
    sequence: _Sequence = field(name="s")
    time: _Time = field(name="t")
    due: _Time = 0
    delay: _Time = 0
    account: _AccountOrNone = ""
    token: _AccountOrNone = ""

    @property
    def id(self) -> OpId:
        """The op's name."""
        return op_id(self.origin, self.sequence)

    @property
    def first_id(self) -> OpId:
        """The id under which it was stored first, which what is published names."""
        return self.again or self.id


class Subscribed(BareOp, frozen=True, omit_defaults=True, gc=False, tag="sub"):
    """`user` subscribed to `pattern`; everything after `since` is due. Asleep while any op it `follows` is alive.

    `account`: of the user, the op that made it; "" where nobody is asked who he is.
    """

    user: _Username
    pattern: _Pattern
    since: VectorField = {}
    follows: tuple[_OpId, ...] = ()
    replaces: tuple[_OpId, ...] = ()
    account: _AccountOrNone = ""


class Unsubscribed(BareOp, frozen=True, omit_defaults=True, gc=False, tag="unsub"):
    """Exactly these subscriptions end (observed-remove: one that was made meanwhile elsewhere stays)."""

    ids: tuple[_OpId, ...] = ()


class Acknowledged(BareOp, frozen=True, omit_defaults=True, gc=False, tag="ack"):
    """The cursors of these subscriptions cover `vector`."""

    ids: tuple[_OpId, ...] = ()
    vector: VectorField = {}


class Dropped(BareOp, frozen=True, omit_defaults=True, gc=False, tag="drop"):
    """Retention removed the messages of `topic` that `vector` covers."""

    topic: TopicName
    vector: VectorField = {}


class Withdrawn(BareOp, frozen=True, omit_defaults=True, gc=False, tag="withdrawn"):
    """The messages that these ops published are shown no more: their time is over, or somebody said so.

    `topic`: that of one message, whose id is the first of `ids`, where its readers are told; "" for none. `original`: as of
    that message. `by`: the user who said so; "": nobody was asked.
    """

    ids: tuple[_OpId, ...] = ()
    topic: _TopicOrNone = ""
    original: _AccountOrNone = ""
    by: _By = ""


class Confirmed(BareOp, frozen=True, omit_defaults=True, gc=False, tag="confirmed"):
    """`user` has confirmed the message that this op published. `account`: as of `Subscribed`.

    `made`, if not 0, counts instead of the stamp: when it was confirmed, of one that was given up and stored again (LOST).
    """

    message: _OpId
    user: _Username
    account: _AccountOrNone = ""
    made: _Time = 0


class Joined(BareOp, frozen=True, omit_defaults=True, gc=False, tag="join"):
    """`broker`, reached at `address`, is a member; it replaces the memberships `seen`."""

    broker: BrokerId
    address: Address
    seen: tuple[_OpId, ...] = ()


class Left(BareOp, frozen=True, omit_defaults=True, gc=False, tag="left"):
    """The memberships `seen` of `broker` end."""

    broker: BrokerId
    seen: tuple[_OpId, ...] = ()


class NamedOp(BareOp, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What other ops name for ever: one that was given up and stored again (LOST) says under which id, and when it was made.

    `made`, if not 0, counts instead of the stamp where the first or the newest is asked for.
    """

    again: _AccountOrNone = ""
    made: _Time = 0
    by: _By = ""  # the user who had it stored; "": nobody was asked

    @property
    def first_id(self) -> OpId:
        """The id under which other ops name it."""
        return self.again or self.id

    @property
    def order(self) -> tuple[int, str, int]:
        """Where it stands among those of its kind: by the time when it was made, then by id."""
        return (self.made or self.time, *split_op_id(self.first_id))


class UserAdded(NamedOp, frozen=True, omit_defaults=True, gc=False, tag="user"):
    """There is a user `name`: this op is its account, on which all that the user has hangs.

    `first`: the admin that a broker made at its start, as there was none; of no effect beside an admin that was made before.
    """

    name: _Username
    admin: bool = False
    first: bool = False


class UsersRemoved(BareOp, frozen=True, omit_defaults=True, gc=False, tag="user_removed"):
    """Exactly these accounts end, with all that hangs on them."""

    accounts: tuple[_OpId, ...] = ()
    by: _By = ""


class PasswordSet(NamedOp, frozen=True, omit_defaults=True, gc=False, tag="password"):
    """The password of an account, as argon2id has it; "" for none. The newest counts."""

    account: _OpId
    hash: _Hash = ""


class TokenCreated(NamedOp, frozen=True, omit_defaults=True, gc=False, tag="token"):
    """A token of an account: the SHA-256 of its text, ms since 1970 when it expires (0: never), and what it is for.

    `publish`, `subscribe`: patterns that narrow what the account may do; None: as the account.
    """

    account: _OpId
    hash: _Digest
    label: Annotated[str, Meta(max_length=limits.TOKEN_LABEL_CHARS)] = ""
    expires: _Time = 0
    publish: _Patterns | None = None
    subscribe: _Patterns | None = None


class TokensRevoked(BareOp, frozen=True, omit_defaults=True, gc=False, tag="token_revoked"):
    """Exactly these tokens end. `account`: whose they are, for people who read what was done."""

    tokens: tuple[_OpId, ...] = ()
    account: _AccountOrNone = ""
    by: _By = ""


class GrantedRight(msgspec.Struct, frozen=True, gc=False):
    """An account, or `*`, may publish or subscribe to what `pattern` matches."""

    who: _Who
    verb: Verb
    pattern: _Pattern


class Granted(NamedOp, frozen=True, omit_defaults=True, gc=False, tag="grant"):
    """An account, or `*`, may publish or subscribe to what `pattern` matches. It takes the place of the grants `replaces`."""

    who: _Who
    verb: Verb
    pattern: _Pattern
    replaces: tuple[_OpId, ...] = ()


class GrantsRevoked(BareOp, frozen=True, omit_defaults=True, gc=False, tag="grant_revoked"):
    """Exactly these grants end (observed-remove). `was`: what they were, for people who read what was done."""

    grants: tuple[_OpId, ...] = ()
    was: GrantedRight | None = None
    by: _By = ""


class SessionEnded(BareOp, frozen=True, omit_defaults=True, gc=False, tag="session_ended"):
    """The session of an account, as its cookie names it, is over."""

    session: Annotated[str, Meta(pattern=rf"^{names.SESSION_FORM}\Z")]
    account: _OpId
    by: _By = ""


class Audited(BareOp, frozen=True, omit_defaults=True, gc=False, tag="audit"):
    """Something worth knowing that is no op otherwise: a sign-in. `at`: the address that it came from."""

    what: Annotated[str, Meta(pattern=rf"^{names.AUDIT_FORM}\Z")]
    who: Annotated[str, Meta(max_length=limits.USERNAME_CHARS)] = ""
    at: Annotated[str, Meta(max_length=limits.ADDRESS_CHARS)] = ""


AccountOp = (
    UserAdded | UsersRemoved | PasswordSet | TokenCreated | TokensRevoked | Granted | GrantsRevoked | SessionEnded | Audited
)


class Lost(BareOp, frozen=True, omit_defaults=True, gc=False, tag="lost"):
    """An operator gave up the ops `first` to `last` of the origin `source`: void from here on, held and of no effect."""

    source: Origin
    first: _Sequence = 1
    last: _Sequence = 1

    @property
    def is_valid(self) -> bool:
        """Whether it means anything: the range is one, and no larger than any broker makes it."""
        return 0 <= self.last - self.first < limits.LOST_OPS and bool(self.source)


class Void(BareOp, frozen=True, omit_defaults=True, gc=False, tag="void"):
    """The ops `first` to `sequence` of an origin, compacted: held, and of no effect any more (`docs/rules.md`, COMPACT).

    A record of a log or of an offer, which no broker stamps and none takes by itself. `messages`: by topic, how many messages
    that were shown are among them, and the sequence of the last. `time`: the stamp of the last op. `of`: how many voids the log
    has that it was written for; 0 where an older version wrote it.
    """

    first: _Sequence
    messages: Annotated[Mapping[TopicName, tuple[_Sequence, _Sequence]], Meta(max_length=limits.VOID_TOPICS)] = {}
    of: Annotated[int, Meta(ge=0, le=SEQUENCE_MOST)] = 0


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    """What must hold of an op of any type, also of one that is not known here."""

    origin: Origin = field(name="o")
    sequence: _Sequence = field(name="s")
    time: _Time = field(name="t")


KnownOp = (
    Began
    | Published
    | Scheduled
    | Subscribed
    | Unsubscribed
    | Acknowledged
    | Confirmed
    | Dropped
    | Withdrawn
    | Joined
    | Left
    | Lost
    | Void
    | AccountOp
)
Op = BareOp | Published | Scheduled  # any

_MESSAGES: Final = frozenset((Published, Scheduled))
_encoder: Final = msgspec.json.Encoder()
_decode_known: Final = msgspec.json.Decoder(KnownOp).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode


class NotAnOp(ValueError):
    """The bytes are no op of any version: no object with a valid origin, sequence and time, or one too long for a record."""


def encode(op: Op) -> bytes:
    """The op as one JSON object in UTF-8, without a newline. Not for ops that were decoded: forward their bytes.

    Raises UnicodeEncodeError for text that is none: a surrogate by itself.
    """
    return _encoder.encode(op)


def decode(raw: bytes | memoryview) -> Op:
    """The op that `raw` holds; one of an unknown type, or with a value out of its bounds, as a plain `Op`.

    Total over all bytes (docs/hazards.md, H16). Raises NotAnOp only.
    """
    if len(raw) > limits.OP_BYTES:
        raise NotAnOp(f"{len(raw)} bytes: an operation has at most {limits.OP_BYTES}")
    try:
        op: Op | None = _decode_known(raw)
    except BAD_JSON:
        op = None
    kind = type(op)
    if (
        op is not None
        and _origins.has(op.origin)
        and (kind not in _WITH_TOPIC or _topics.has(op.topic))  # type: ignore[union-attr]
        and (kind not in _MESSAGES or _publishers.has(op.publisher))  # type: ignore[union-attr]
        and (kind is not Void or all(map(_topics.has, op.messages)))  # type: ignore[union-attr]
    ):
        return op
    try:
        envelope = _decode_envelope(raw)
    except BAD_JSON as error:
        raise NotAnOp(str(error)) from None
    return BareOp(envelope.origin, envelope.sequence, envelope.time)


def are_named_well(ops: Collection[Op]) -> bool:
    """Say whether origins, topics and publishers of these have their forms, which decoding by type alone leaves open."""
    kinds = set(map(type, ops))
    messages = cast(Collection[Published], ops if kinds == {Published} else [op for op in ops if type(op) in _MESSAGES])
    topics, publishers = {op.topic for op in messages}, {op.publisher for op in messages}
    if kinds - {Published}:
        topics.update(op.topic for op in ops if type(op) in _WITH_TOPIC)  # type: ignore[union-attr]
        topics.update(topic for op in ops if type(op) is Void for topic in op.messages)
    return (
        all(map(_origins.has, {op.origin for op in ops}))
        and all(map(_topics.has, topics))
        and all(map(_publishers.has, publishers))
    )


class _Remembered:
    """Texts that match a form. What matched is remembered: a file has few origins and topics, and millions of ops."""

    def __init__(self, form: str) -> None:
        self._matches = re.compile(form).fullmatch
        self._known: set[str] = set()

    def has(self, text: str) -> bool:
        """Say whether `text` has the form."""
        if text in self._known:
            return True
        if self._matches(text) is None:
            return False
        if len(self._known) >= limits.NAMES_REMEMBERED_COUNT:
            self._known.clear()
        self._known.add(text)
        return True


_origins: Final = _Remembered(names.ORIGIN_FORM)
_topics: Final = _Remembered(names.TOPIC_FORM)
_WITH_TOPIC: Final = frozenset(
    kind
    for kind in get_args(KnownOp)
    if "topic" in kind.__struct_fields__ and kind is not Withdrawn  # has a pattern itself
)
_publishers: Final = _Remembered(f"(?:{names.USERNAME_FORM})?")


class _Place(TypedDict):
    origin: str
    sequence: int
    time: int


NO_PLACE: Final[_Place] = {"origin": "", "sequence": 0, "time": 0}  # of a draft: an op that has yet to be stamped


AnyOp = TypeVar("AnyOp", bound=Op)


def with_place(op: AnyOp, origin: str, sequence: int, time: int) -> AnyOp:
    """The same op at other coordinates: how the core stamps a draft. A message lives as long as before."""
    if isinstance(op, Published) and op.expires:
        op = msgspec.structs.replace(op, expires=op.expires - op.time + time)
    return msgspec.structs.replace(op, origin=origin, sequence=sequence, time=time)
