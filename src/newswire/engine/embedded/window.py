"""Parts of a file in memory, whatever blocks of it a disk cannot read: those are zeros."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from newswire.core import limits

_BLOCK_BYTES: Final = 4096  # what a disk loses at once; read alone where it can't be read


class Window:
    """The bytes of a file, of which a few MiB are in memory (`segment.Bytes`): a start needs room for what it keeps only."""

    def __init__(self, read: Callable[[int, int], bytes], length: int) -> None:
        """`read`: so many bytes from an offset on."""
        self._read, self._length = read, length
        self._base, self._data = 0, b""

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        at = self._look(start, stop)
        return self._data[at : at + stop - start]

    def find(self, what: bytes, start: int, end: int) -> int:
        """As of `bytes`, for one byte."""
        while start < end:
            stop = min(start + limits.SCAN_BYTES, end)
            at = self._look(start, stop)
            index = self._data.find(what, at, at + stop - start)
            if index >= 0:
                return index + self._base
            start = stop
        return -1

    def rfind(self, what: bytes, start: int, end: int) -> int:
        """As of `bytes`."""
        at = self._look(start, end)
        index = self._data.rfind(what, at, at + end - start)
        return index + self._base if index >= 0 else -1

    def _look(self, start: int, stop: int) -> int:
        """Have these bytes in memory; where they start there."""
        if start < self._base or stop > self._base + len(self._data):
            self._data = b""  # before the next are read, so that never two are held
            self._base, self._data = start, self._read(max(stop - start, limits.SCAN_BYTES), start)
        return start - self._base


def pread(fd: int, length: int, offset: int) -> bytes:
    """`length` bytes, or up to the end of the file."""
    parts: list[bytes] = []
    while length > 0:
        part = _pread_part(fd, min(length, limits.SEGMENT_BYTES), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _pread_part(fd: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(fd, length, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    if length <= _BLOCK_BYTES:
        return bytes(length)
    half = length // 2 // _BLOCK_BYTES * _BLOCK_BYTES or _BLOCK_BYTES
    return pread(fd, half, offset) + pread(fd, length - half, offset + half)
