"""A push and its answer as bytes: a header object and the ops, one JSON object a line. The ops travel as they lie on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from newswire import escape
from newswire.core import limits
from newswire.core.broker.events import Header
from newswire.core.model.bad_json import BAD_JSON

CONTENT_TYPE: Final = "application/octet-stream"  # of both: whoever is no broker does not look into them
REPLICATE: Final = "/replicate"
HEARTBEAT: Final = "/heartbeat/receive"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Header).decode


def path_of(raws: Sequence[bytes]) -> str:
    """Where a push goes: one without ops is a heartbeat. Both have one handler."""
    return REPLICATE if raws else HEARTBEAT


def write(header: Header, raws: Sequence[bytes]) -> bytes:
    """The body of a push or an answer."""
    return b"\n".join((_encode(header), *raws))


def read(body: bytes) -> tuple[Header, list[bytes]]:
    """What `write` wrote; the sender's own words are made fit to be shown and logged. Raises msgspec.DecodeError."""
    head, *raws = body.split(b"\n")
    try:
        header = _decode(head)
    except BAD_JSON as error:
        raise msgspec.DecodeError(str(error)) from None
    if header.detail:
        header = msgspec.structs.replace(header, detail=words(header.detail))
    return header, [raw for raw in raws if raw]


def words(text: str) -> str:
    """A peer's own words on one line of bounded length."""
    return escape.line(text[: limits.DETAIL_CHARS])[: limits.DETAIL_CHARS]
