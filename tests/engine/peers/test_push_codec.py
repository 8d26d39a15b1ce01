"""A push and its answer as bytes, and bytes that are neither."""

from __future__ import annotations

import msgspec
import pytest

from newswire.core.broker.events import Header
from newswire.engine.peers import push_codec
from tests.core.model.test_ops import HEADER

TWO = [b'{"op":"msg"}', b'{"op":"ack"}']


def header_of(**changed: object) -> Header:
    return push_codec.read(msgspec.json.encode({**HEADER, **changed}))[0]


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
