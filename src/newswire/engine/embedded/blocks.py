"""A file of a log in compressed blocks: its format, and what of its bytes counts after damage. Pure.

A segment that is closed, and a base file, never change again. Such a file may be kept as `00000001.ops.zst`: the same bytes in
blocks of 32 KiB, each of them a Zstandard frame with a checksum (RFC 8878), and a *head* before it. A head is a skippable frame
(3.1.2), so `zstdcat` shows the lines. It says the number of its block, how long the frame is, and how many bytes are in it.

So places in the log stay what they are: the byte at offset n is in block n // 32 KiB, and to read a record takes one block, two
where it lies across. Heads are the index, read one after the other when the file is opened. Where one is damaged the next is
looked for by how it begins, so damage to a block is damage to no other. What a damaged block held are zeros, as of blocks that
a disk cannot read, and `segment.py` says what that means.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from typing import Final
from zlib import crc32

import zstandard

BLOCK_BYTES: Final = (
    32 * 1024
)  # of the log in one: half as many are 5 % larger together, twice as many take twice as long to read
HEAD_BYTES: Final = 24
_BEGIN: Final = struct.pack("<II", 0x184D2A5E, HEAD_BYTES - 8)  # of a skippable frame, and its length
_FIELDS: Final = struct.Struct("<III")  # number, length of the frame, bytes in it
_LEVEL: Final = 3  # a fifteenth less than 1, for half as much time again: nobody waits for it
_MOST_BLOCKS: Final = (1 << 32) // BLOCK_BYTES  # places of a file have 32 bits
_SEARCH_BYTES: Final = 1024 * 1024

Read = Callable[[int, int], bytes]
"""So many bytes of a file from an offset on, fewer at its end."""


class Index:
    """Where the blocks of a file are. `length`: how many bytes of the log they hold, as far as they tell."""

    def __init__(self) -> None:
        self._offsets = array("Q")  # of frames; 0: the block is not there
        self._lengths = array("I")
        self._last_bytes = 0

    @property
    def length(self) -> int:
        """How many bytes of the log the file holds: where its end is lost, up to the last block that is there."""
        return (len(self._offsets) - 1) * BLOCK_BYTES + self._last_bytes if self._offsets else 0

    def put(self, number: int, offset: int, length: int, size: int) -> None:
        """Block `number`, with `size` bytes in it, has its frame there."""
        missing = number + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.frombytes(bytes(missing * self._offsets.itemsize))
            self._lengths.frombytes(bytes(missing * self._lengths.itemsize))
            self._last_bytes = size
        self._offsets[number], self._lengths[number] = offset, length

    def frame_of(self, number: int) -> tuple[int, int]:
        """Length and offset of the frame of a block; its offset is 0 if it is not there."""
        return self._lengths[number], self._offsets[number]

    def size_of(self, number: int) -> int:
        """How many bytes are in a block."""
        return self._last_bytes if number == len(self._offsets) - 1 else BLOCK_BYTES


def pack(read: Read, length: int) -> Iterator[bytes]:
    """The blocks of a file of `length` bytes. Raises EOFError where it is shorter, and what `read` raises."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    for number, at in enumerate(range(0, length, BLOCK_BYTES)):
        size = min(BLOCK_BYTES, length - at)
        plain = read(size, at)
        if len(plain) < size:
            raise EOFError(f"it ends after {at + len(plain)} of {length} bytes")
        frame = compressor.compress(plain)
        fields = _FIELDS.pack(number, len(frame), size)
        yield b"".join((_BEGIN, fields, struct.pack("<I", crc32(fields)), frame))


def find(read: Read, size: int) -> Index:
    """The blocks of a file of `size` bytes."""
    index = Index()
    at = behind = 0  # `behind`: the head that was read last; what it says of its frame is wrong where bytes of that are gone
    while at < size:
        head = _read_head(read(HEAD_BYTES, at))
        if head is None or at + HEAD_BYTES + head[1] > size:
            at = behind = _next_head(read, size, max(behind, at + 1) if head is not None else behind)
            continue
        number, length, plain = head
        behind = at + HEAD_BYTES
        index.put(number, behind, length, plain)
        at = behind + length
    return index


def unpack(frame: bytes, size: int) -> bytes:
    """The `size` bytes in a frame; zeros if it is damaged."""
    try:
        if zstandard.get_frame_parameters(frame).content_size == size:
            return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        pass
    return bytes(size)


def _read_head(data: bytes) -> tuple[int, int, int] | None:
    """Number, length of the frame and bytes in it; None if this is no head."""
    fields = data[8:20]
    if len(data) < HEAD_BYTES or not data.startswith(_BEGIN) or data[20:24] != struct.pack("<I", crc32(fields)):
        return None
    number, length, size = _FIELDS.unpack(fields)
    return (number, length, size) if number < _MOST_BLOCKS and 0 < size <= BLOCK_BYTES else None


def _next_head(read: Read, size: int, at: int) -> int:
    """Where the next head is behind damage; the end if there is none."""
    while at < size:
        data = read(_SEARCH_BYTES + HEAD_BYTES, at)
        index = data.find(_BEGIN)
        while index >= 0:
            if _read_head(data[index : index + HEAD_BYTES]) is not None:
                return at + index
            index = data.find(_BEGIN, index + 1)
        at += _SEARCH_BYTES
    return size
