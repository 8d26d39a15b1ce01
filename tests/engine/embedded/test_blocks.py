"""A file in compressed blocks, whole and damaged."""

from __future__ import annotations

import io
import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from newswire.engine.embedded import blocks
from newswire.engine.embedded.blocks import BLOCK_BYTES, HEAD_BYTES, Index, find, pack, unpack


def reader(data: bytes) -> blocks.Read:
    return lambda length, offset: data[offset : offset + length]


def text(size: int, seed: int = 5) -> bytes:
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randint(2, 9)).hex().encode() for _ in range(400)]
    return b" ".join(chance.choices(words, k=size // 6))[:size].ljust(size, b"x")


def packed(plain: bytes) -> bytes:
    return b"".join(pack(reader(plain), len(plain)))


def unpacked(data: bytes, index: Index) -> bytes:
    count = -(-index.length // BLOCK_BYTES)
    parts = []
    for number in range(count):
        length, offset = index.frame_of(number)
        parts.append(unpack(data[offset : offset + length] if offset else b"", index.size_of(number)))
    return b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 7])
def test_what_is_packed_is_found_and_there_again(size: int) -> None:
    plain = text(size)
    data = packed(plain)
    index = find(reader(data), len(data))
    assert index.length == size
    assert unpacked(data, index) == plain


def test_zstdcat_shows_it() -> None:
    """Heads are frames that are skipped (RFC 8878, 3.1.2)."""
    plain = text(3 * BLOCK_BYTES + 9)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed(plain)), read_across_frames=True) as stream:
        assert stream.read() == plain


def test_a_file_that_is_shorter_than_it_should_be_is_not_packed() -> None:
    with pytest.raises(EOFError, match="after 100 of 200"):
        list(pack(reader(bytes(100)), 200))


PLAIN = text(6 * BLOCK_BYTES + 100)
DATA = packed(PLAIN)
WHOLE = find(reader(DATA), len(DATA))
COUNT = 7


def hit(start: int, stop: int) -> set[int]:
    """The blocks whose frame or head these bytes touch."""
    result = set()
    for number in range(COUNT):
        length, offset = WHOLE.frame_of(number)
        if start < offset + length and stop > offset - HEAD_BYTES:
            result.add(number)
    return result


def check(data: bytes, lost: set[int]) -> None:
    """All blocks but `lost` are as they were, and those are zeros or as they were."""
    index = find(reader(data), len(data))
    found = unpacked(data, index)
    for number in range(COUNT):
        part = slice(number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES)
        if number not in lost:
            assert found[part] == PLAIN[part], number
        else:
            assert found[part] in (PLAIN[part], bytes(len(found[part]))), number
    assert index.length >= (max(set(range(COUNT)) - lost) + 1) * BLOCK_BYTES - BLOCK_BYTES


@settings(max_examples=60)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 5_000), st.binary(min_size=1, max_size=8), st.booleans())
def test_damage_hits_only_the_blocks_that_it_hits(at: int, length: int, pattern: bytes, zeros: bool) -> None:
    """Bits that changed, sectors of zeros: whatever stands before and behind is there."""
    stop = min(at + length, len(DATA))
    wreck = bytes(stop - at) if zeros else (pattern * (stop - at))[: stop - at]
    check(DATA[:at] + wreck + DATA[stop:], hit(at, stop))


@settings(max_examples=40)
@given(st.integers(0, len(DATA) - 1))
def test_a_file_that_was_cut_off_has_what_stands_before(at: int) -> None:
    data = DATA[:at]
    index = find(reader(data), len(data))
    whole = len(set(range(COUNT)) - hit(at, len(DATA)))
    assert index.length == min(whole * BLOCK_BYTES, len(PLAIN))
    assert unpacked(data, index) == PLAIN[: index.length]


@settings(max_examples=40)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 40_000))
def test_bytes_that_were_taken_out_of_it_are_missing_and_no_others(at: int, length: int) -> None:
    stop = min(at + length, len(DATA))
    data = DATA[:at] + DATA[stop:]
    if lost := hit(at, stop):
        assert len(lost) == COUNT or check(data, lost) is None


def test_a_head_that_lies_is_none() -> None:
    """A number beyond all places, a block of no bytes or too many: no memory is taken by its word."""
    for number, size in ((1 << 30, 10), (0, 0), (0, BLOCK_BYTES + 1)):
        fields = blocks._FIELDS.pack(number, 5, size)
        head = blocks._BEGIN + fields + blocks.crc32(fields).to_bytes(4, "little")
        assert find(reader(head + b"12345"), len(head) + 5).length == 0
