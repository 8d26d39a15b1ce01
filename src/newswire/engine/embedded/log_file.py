"""One file of a log, as it was written or in compressed blocks: opened, read by offset, brought from one form into the other.

Whoever reads sees the same bytes at the same offsets. A file has its compressed form first beside it, then in its place; while
both are there, the one that was written counts, so nothing depends on the other before it was read back and compared.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from newswire.core import limits
from newswire.engine.embedded import blocks, disk
from newswire.engine.embedded.layout import PACKED_SUFFIX, name_of
from newswire.engine.embedded.window import pread

_PIECE_BYTES: Final = 256 * 1024  # written and synced at once: one large write would have the log's own syncs wait for it


class Contents(Protocol):
    """The bytes of a file of a log. Closed when nobody has it any more, so never under a reader. Any thread."""

    length: int  # as far as can be told: damage may have taken the end

    def read(self, length: int, offset: int) -> bytes:
        """So many bytes, fewer at the end; zeros for what the disk cannot read and for damaged blocks."""

    def read_once(self, length: int, offset: int) -> bytes:
        """The same, but raises OSError for what the disk cannot read: nobody waits until it has tried each of its blocks."""


class PlainContents:
    """Of a file as it was written."""

    def __init__(self, path: Path) -> None:
        self.fd = -1
        self.fd = _open(path)
        self.length = os.fstat(self.fd).st_size

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def read(self, length: int, offset: int) -> bytes:
        """See `Contents`."""
        return pread(self.fd, length, offset)

    def read_once(self, length: int, offset: int) -> bytes:
        """See `Contents`."""
        return os.pread(self.fd, length, offset)


class BlockContents:
    """Of a file in compressed blocks. It remembers the block that was read last: the next record is mostly there."""

    def __init__(self, path: Path) -> None:
        self.fd = -1
        self.fd = _open(path)
        self._index = blocks.find(lambda length, offset: pread(self.fd, length, offset), os.fstat(self.fd).st_size)
        self.length = self._index.length
        self._last = (-1, b"")

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def read(self, length: int, offset: int) -> bytes:
        """See `Contents`."""
        return self._read(length, offset, pread)

    def read_once(self, length: int, offset: int) -> bytes:
        """See `Contents`."""
        return self._read(length, offset, os.pread)

    def _read(self, length: int, offset: int, raw: Callable[[int, int, int], bytes]) -> bytes:
        end = min(offset + length, self.length)
        if offset >= end:
            return b""
        first = offset // blocks.BLOCK_BYTES
        parts = [self._block(number, raw) for number in range(first, (end - 1) // blocks.BLOCK_BYTES + 1)]
        start = offset - first * blocks.BLOCK_BYTES
        return b"".join(parts)[start : start + end - offset]

    def _block(self, number: int, raw: Callable[[int, int, int], bytes]) -> bytes:
        last = self._last
        if last[0] == number:
            return last[1]
        length, offset = self._index.frame_of(number)
        plain = blocks.unpack(raw(self.fd, length, offset) if offset else b"", self._index.size_of(number))
        self._last = (number, plain)
        return plain


def open_contents(directory: Path, number: int) -> Contents:
    """The bytes of file `number`. Raises OSError."""
    path = directory / name_of(number)
    try:
        return PlainContents(path)
    except FileNotFoundError:
        try:
            return BlockContents(_packed(path))
        except FileNotFoundError:
            pass
        raise


def path_on_disk(directory: Path, number: int) -> Path:
    """Where the bytes of file `number` are: under its name, or compressed beside it."""
    path = directory / name_of(number)
    packed = _packed(path)
    return packed if not path.exists() and packed.exists() else path


def remove_file(directory: Path, number: int) -> None:
    """Remove file `number` in both of its forms. Raises OSError."""
    path = directory / name_of(number)
    path.unlink(missing_ok=True)
    _packed(path).unlink(missing_ok=True)


def pack_file(directory: Path, number: int, kept: int, goes_on: Callable[[], bool]) -> bool:
    """Have the compressed form in place of file `number`, of which `kept` bytes count. False: it stays as it is.

    `goes_on` is asked after each piece, and may wait. What is damaged already is kept byte for byte; a file that lost bytes, or
    that does not get smaller, stays. Raises OSError, and leaves what counts as it was.
    """
    path = directory / name_of(number)
    source = PlainContents(path)
    beside = _packed(path).with_name(f"{_packed(path).name}.tmp")
    if source.length < kept:
        return False
    beside.unlink(missing_ok=True)
    fd = disk.create(beside)
    try:
        try:
            size = 0
            piece: list[bytes] = []
            for block in blocks.pack(source.read_once, kept):
                piece.append(block)
                size += len(block)
                if sum(map(len, piece)) >= _PIECE_BYTES:
                    disk.write_all(fd, b"".join(piece))
                    disk.sync_data(fd)
                    piece.clear()
                    if not goes_on():
                        return False
            disk.write_all(fd, b"".join(piece))
            disk.sync_data(fd)
        finally:
            os.close(fd)
        if size >= kept or not _is_same(source, beside, kept, goes_on):
            return False
        os.rename(beside, _packed(path))
        disk.sync_directory(directory)
        path.unlink()
        disk.sync_directory(directory)
        return True
    finally:
        beside.unlink(missing_ok=True)


def _is_same(source: PlainContents, beside: Path, kept: int, goes_on: Callable[[], bool]) -> bool:
    """Read back from the disk what was written, and compare."""
    disk.drop_cached(beside)
    written = BlockContents(beside)
    if written.length != kept:
        return False
    return all(
        source.read_once(min(limits.READ_BYTES, kept - at), at) == written.read_once(min(limits.READ_BYTES, kept - at), at)
        and goes_on()
        for at in range(0, kept, limits.READ_BYTES)
    )


def _open(path: Path) -> int:
    """A descriptor to read. Raises OSError, also for a directory: of one nothing could be read, and no error would name it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return fd


def _packed(path: Path) -> Path:
    return path.with_name(path.name + PACKED_SUFFIX)
