"""A push and its answer as bytes: a header object and the ops, one JSON object a line. The ops travel as they lie on disk.

Where the receiver reads it (`Header.packs`) and it is worth it, all of that is one Zstandard frame (RFC 8878): no JSON begins
as one does, so the bytes say themselves which it is, and what is signed is what is sent. A frame is read only as far as it
names its length, and that is no longer than any push.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import zstandard

from newswire import escape
from newswire.core import limits
from newswire.core.broker.events import Header
from newswire.core.model.bad_json import BAD_JSON

CONTENT_TYPE: Final = "application/octet-stream"  # of both: whoever is no broker does not look into them
REPLICATE: Final = "/replicate"
HEARTBEAT: Final = "/heartbeat/receive"
_LEVEL: Final = 1  # a third of the bytes; 3 is a tenth less, and takes half as long again

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Header).decode


def path_of(raws: Sequence[bytes]) -> str:
    """Where a push goes: one without ops is a heartbeat. Both have one handler."""
    return REPLICATE if raws else HEARTBEAT


def write(header: Header, raws: Sequence[bytes], *, pack: bool = False) -> bytes:
    """The body of a push or an answer. `pack`: the receiver reads a compressed one."""
    body = b"\n".join((_encode(header), *raws))
    if not pack or len(body) < limits.PACK_LEAST_BYTES:
        return body
    return zstandard.ZstdCompressor(level=_LEVEL).compress(body)  # one of its own, as two threads must not use one at once


def read(body: bytes) -> tuple[Header, list[bytes]]:
    """What `write` wrote; the sender's own words are made fit to be shown and logged. Raises msgspec.DecodeError."""
    if body.startswith(zstandard.FRAME_HEADER):
        body = _unpack(body)
    if body.count(b"\n") > limits.PUSH_LINES:
        raise msgspec.DecodeError(f"more than {limits.PUSH_LINES} lines")
    head, *raws = body.split(b"\n")
    try:
        header = _decode(head)
    except BAD_JSON as error:
        raise msgspec.DecodeError(str(error)) from None
    if header.detail:
        header = msgspec.structs.replace(header, detail=words(header.detail))
    return header, [raw for raw in raws if raw]


def _unpack(body: bytes) -> bytes:
    """What a frame holds, at most `PEER_BODY_BYTES`. Raises msgspec.DecodeError."""
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size > limits.PEER_BODY_BYTES:  # also where it does not say (CONTENTSIZE_UNKNOWN)
            raise msgspec.DecodeError(f"compressed, and longer than {limits.PEER_BODY_BYTES} bytes")
        return zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise msgspec.DecodeError(f"compressed, and damaged ({error})") from None


def words(text: str) -> str:
    """A peer's own words on one line of bounded length."""
    return escape.line(text[: limits.DETAIL_CHARS])[: limits.DETAIL_CHARS]
