"""The operation types and their codec (DESIGN 1): everything a broker learns is one of these.

An op carries its own coordinates: `origin` and `sequence` name it for ever and everywhere, `time` (milliseconds since
1970, wall clock of the broker that took it) is display and an attribute, never a reason to deliver or not. On disk and
on the wire it is one JSON object; a peer stores and forwards the very bytes that it received, so a type or a field that
this version does not know survives it (RELIABILITY H15).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, field

from newswire.core import limits

_Sequence = Annotated[int, Meta(ge=1, le=2**53)]
_Time = Annotated[int, Meta(ge=0, le=2**53)]
_Origin = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,16}-[a-z0-9]{1,16}\Z")]
_OpId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,16}-[a-z0-9]{1,16}\.[1-9][0-9]{0,15}\Z")]
_Vector = Annotated[Mapping[_Origin, _Sequence], Meta(max_length=limits.VECTOR_ENTRIES)]

OpId = str  # "<origin>.<sequence>": no separator stands in an origin


def op_id(origin: str, sequence: int) -> OpId:
    """The name of an op; of a message it is the message id that `/publish` answers."""
    return f"{origin}.{sequence}"


def split_op_id(name: OpId) -> tuple[str, int]:
    """Origin and sequence of an op id (which `op_id` made or the codec checked)."""
    origin, _, sequence = name.rpartition(".")
    return origin, int(sequence)


class Op(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="op", tag="unknown"):
    """What all ops carry. By itself: an op of a type that this version does not know, kept for those that do."""

    origin: str = field(name="o")
    sequence: _Sequence = field(name="s")
    time: _Time = field(name="t")

    @property
    def id(self) -> OpId:
        """The op's name."""
        return op_id(self.origin, self.sequence)


class Began(Op, frozen=True, omit_defaults=True, gc=False, tag="began"):
    """The first op of an origin: a run of `broker` started on a file that held `vector`."""

    broker: str = ""
    vector: _Vector = {}


class Message(Op, frozen=True, omit_defaults=True, gc=False, tag="msg"):
    """Published: `data` to `topic`. Absent fields are empty, 0 or ()."""

    topic: str = ""
    data: str = ""
    key: str = ""
    publisher: str = ""
    title: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    click: str = ""
    expires: int = 0


class Subscribed(Op, frozen=True, omit_defaults=True, gc=False, tag="sub"):
    """`user` subscribed to `pattern`; everything after `since` is due. Asleep while any op it `follows` is alive."""

    user: str = ""
    pattern: str = ""
    since: _Vector = {}
    follows: tuple[_OpId, ...] = ()
    replaces: tuple[_OpId, ...] = ()


class Unsubscribed(Op, frozen=True, omit_defaults=True, gc=False, tag="unsub"):
    """Exactly these subscriptions end (observed-remove: one that was made meanwhile elsewhere stays)."""

    ids: tuple[_OpId, ...] = ()


class Acknowledged(Op, frozen=True, omit_defaults=True, gc=False, tag="ack"):
    """The cursors of these subscriptions cover `vector`."""

    ids: tuple[_OpId, ...] = ()
    vector: _Vector = {}


class Dropped(Op, frozen=True, omit_defaults=True, gc=False, tag="drop"):
    """Retention removed the messages of `topic` that `vector` covers."""

    topic: str = ""
    vector: _Vector = {}


class Joined(Op, frozen=True, omit_defaults=True, gc=False, tag="join"):
    """`broker`, reached at `address`, is a member; it replaces the memberships `seen`."""

    broker: str = ""
    address: str = ""
    seen: tuple[_OpId, ...] = ()


class Left(Op, frozen=True, omit_defaults=True, gc=False, tag="left"):
    """The memberships `seen` of `broker` end."""

    broker: str = ""
    seen: tuple[_OpId, ...] = ()


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    """What must hold of an op of any type, also of one that is not known here."""

    origin: _Origin = field(name="o")
    sequence: _Sequence = field(name="s")
    time: _Time = field(name="t")


KnownOp = Began | Message | Subscribed | Unsubscribed | Acknowledged | Dropped | Joined | Left

_encoder: Final = msgspec.json.Encoder()
_decode_known: Final = msgspec.json.Decoder(KnownOp).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode


class NotAnOp(ValueError):
    """The bytes are no op of any version: no object with a valid origin, sequence and time."""


def encode(op: Op) -> bytes:
    """The op as one JSON object in UTF-8, without a newline. Not for ops that were decoded: forward their bytes."""
    return _encoder.encode(op)


def decode(raw: bytes | memoryview) -> Op:
    """The op that `raw` holds; one of an unknown type, or with fields unknown types gave other shapes, as a plain `Op`.

    Total over all bytes (RELIABILITY H16). Raises NotAnOp only.
    """
    try:
        op: Op | None = _decode_known(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        op = None
    if op is not None and _is_origin(op.origin):
        return op
    try:
        envelope = _decode_envelope(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnOp(str(error)) from None
    return Op(envelope.origin, envelope.sequence, envelope.time)


_origins: dict[str, None] = {}


def _is_origin(text: str) -> bool:
    """Match the pattern of `_Origin`, remembering what matched: a file has few origins and millions of ops."""
    if text in _origins:
        return True
    try:
        msgspec.convert(text, _Origin)
    except msgspec.ValidationError:
        return False
    if len(_origins) > limits.VECTOR_ENTRIES:
        _origins.clear()
    _origins[text] = None
    return True


def with_place(op: Op, origin: str, sequence: int, time: int) -> Op:
    """The same op at other coordinates: how the core stamps a draft."""
    return msgspec.structs.replace(op, origin=origin, sequence=sequence, time=time)
