"""A compressed stream of blocks that many streams share."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from newswire.streams import gzip_blocks

TEXTS = st.lists(st.binary(max_size=400), max_size=6)


def stream_of(parts: list[bytes]) -> bytes:
    plain = b"".join(parts)
    blocks = b"".join(map(gzip_blocks.block, parts))
    return gzip_blocks.HEAD + blocks + gzip_blocks.end(zlib.crc32(plain), len(plain))


@given(TEXTS)
def test_blocks_that_were_made_alone_are_one_stream(parts: list[bytes]) -> None:
    assert gzip.decompress(stream_of(parts)) == b"".join(parts)


@given(TEXTS)
def test_each_block_can_be_read_as_soon_as_it_is_there(parts: list[bytes]) -> None:
    inflater = zlib.decompressobj(31)
    assert inflater.decompress(gzip_blocks.HEAD) == b""
    for part in parts:
        assert inflater.decompress(gzip_blocks.block(part)) == part
        assert not inflater.eof


def test_a_block_means_the_same_in_any_stream() -> None:
    block = gzip_blocks.block(b"for both")
    for before in (b"", b"one", b"another " * 9_000):
        whole = before + b"for both"
        stream = gzip_blocks.HEAD + gzip_blocks.block(before) + block + gzip_blocks.end(zlib.crc32(whole), len(whole))
        assert gzip.decompress(stream) == whole


def test_what_is_said_at_once() -> None:
    assert gzip.decompress(gzip_blocks.whole(b": no room\n\n")) == b": no room\n\n"


def test_a_stream_of_more_than_four_gibibytes_counts_on_from_zero() -> None:
    assert gzip_blocks.end(1, (5 << 30) + 7)[-4:] == ((1 << 30) + 7).to_bytes(4, "little")
