"""A push and its answer as bytes, and bytes that are neither."""

from __future__ import annotations

import msgspec
import pytest
import zstandard

from newswire.core import limits
from newswire.core.broker.events import Header
from newswire.engine.peers import push_codec
from tests.core.model.test_ops import HEADER

TWO = [b'{"op":"msg"}', b'{"op":"ack"}']


def header_of(**changed: object) -> Header:
    return push_codec.read(msgspec.json.encode({**HEADER, **changed}))[0]


def many(size: int = 40 * 1024) -> list[bytes]:
    raw = b'{"op":"msg","o":"1001-k3f9x2qa","s":%d,"t":1700000000000,"topic":"Google","data":"Hello"}'
    return [raw % sequence for sequence in range(1, size // len(raw))]


@pytest.mark.parametrize("raws", [[], TWO])
def test_what_is_written_is_read(raws: list[bytes]) -> None:
    header = header_of()
    assert push_codec.read(push_codec.write(header, raws)) == (header, raws)


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"null", b"[]", b'{"broker":', b"\xff\xfe", b'{"broker":"\xff"}', b'{"a":' * 100_000, b"[" * 1_000_000],
    ids=["nothing", "a line", "null", "a list", "cut off", "no text", "no UTF-8", "deep", "deeper"],
)
def test_whatever_cannot_be_read_is_one_error(body: bytes) -> None:
    """A link's thread and a route expect this one alone."""
    with pytest.raises(msgspec.DecodeError):
        push_codec.read(body)


def test_what_is_packed_is_read_and_small() -> None:
    header, raws = header_of(), many()
    packed = push_codec.write(header, raws, pack=True)
    assert packed.startswith(zstandard.FRAME_HEADER)
    assert len(packed) < len(push_codec.write(header, raws)) / 4
    assert push_codec.read(packed) == (header, raws)


def test_what_is_small_is_not_worth_it() -> None:
    header = header_of()
    assert push_codec.write(header, TWO, pack=True) == push_codec.write(header, TWO)
    assert len(push_codec.write(header, TWO)) < limits.PACK_LEAST_BYTES


def frame(body: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (frame(bytes(limits.PEER_BODY_BYTES + 1)), "longer than"),
        (frame(bytes(8_000), write_content_size=False), "longer than"),
        (frame(b"\n".join(many()))[:-1], "damaged"),
        (frame(b"\n".join(many())) + b"x", "damaged"),
        (frame(b"\n".join(many()))[:7], "damaged"),
        (frame(b"\n".join(many())).replace(b"Google", b"google", 1)[:-9] + bytes(9), "damaged"),
        (frame(push_codec.write(header_of(), [b"x"]) + b"\n" * limits.PUSH_LINES), "lines"),
        (frame(b""), "truncated"),
        (frame(frame(push_codec.write(header_of(), many()))), "malformed"),
        (zstandard.FRAME_HEADER, "damaged"),
    ],
    ids=[
        "a bomb",
        "of no known length",
        "cut off",
        "more behind it",
        "a head",
        "damaged",
        "lines",
        "nothing",
        "twice",
        "a beginning",
    ],
)
def test_a_frame_that_is_none_or_too_long_is_no_push(body: bytes, why: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=why):
        push_codec.read(body)


def test_a_frame_that_names_a_shorter_length_than_it_holds_is_no_push() -> None:
    """So nothing is made of it that is longer than what was looked at."""
    long, short = frame(bytes(60_000)), frame(bytes(300))
    assert long[4] == short[4], "both have two bytes of length"
    with pytest.raises(msgspec.DecodeError, match="damaged"):
        push_codec.read(short[:7] + long[7:])
