"""Writes what a compaction keeps: base files beside the log, then the MANIFEST that makes them the log (`layout.py`).

    write    base-*.ops.tmp, in pieces, each synced: one large write would have the log's own syncs wait for it
    finish   each file synced and renamed, the directory synced
    store    MANIFEST.tmp written, synced, renamed: from here on the log is another; the directory synced; the copy likewise
    remove   what is replaced, the first first, so that one that is there proves nothing is gone; the directory synced

A crash before the MANIFEST has its name leaves files that make up nothing: the next start removes them, as `abandon` does.
Everything raises OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from newswire.core import limits
from newswire.engine.embedded import disk, layout, segment
from newswire.engine.embedded.layout import Layout, SegmentLength
from newswire.engine.embedded.log_file import remove_file
from newswire.engine.embedded.scan import layout_copies, path_of


class BaseWriter:
    """The files of one base. One thread; after an OSError only `abandon` is left."""

    def __init__(
        self, directory: Path, number: int, cluster: str, origin: str, segment_bytes: int = limits.SEGMENT_BYTES
    ) -> None:
        """`number`: of the first file, never used before. `cluster`, `origin`: as in the headers of the log's segments."""
        self._directory, self._segment_bytes = directory, segment_bytes
        self._cluster, self._origin = cluster, origin
        self._next = number
        self._number = 0  # of the file that is written, 0 for none
        self._fd = -1
        self._length = self._empty_length = 0  # of it
        self._done: list[SegmentLength] = []

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return sum(one.length for one in self._done) + self._length

    def write(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write a piece, the JSON objects of records, and sync it; (place, length) of each."""
        lines = [segment.line(raw) for raw in raws]
        lengths = list(map(len, lines))
        is_full = self._length + sum(lengths) > self._segment_bytes and self._length > self._empty_length
        if self._fd < 0 or is_full:
            self._end_file()
            self._number, self._next = self._next, self._next + 1
            header = segment.header_line(self._number, self._cluster, self._origin, {}, segment.COMPACTED_VERSION)
            self._fd = disk.create(_beside(path_of(self._directory, self._number)))
            disk.write_all(self._fd, header)
            self._length = self._empty_length = len(header)
        starts = accumulate(lengths, initial=segment.place(self._number, self._length))
        disk.write_all(self._fd, b"".join(lines))
        disk.sync_data(self._fd)
        self._length += sum(lengths)
        return list(zip(starts, lengths, strict=False))

    def finish(self) -> tuple[SegmentLength, ...]:
        """Give the files their names; return them. They count from `store_layout` on."""
        self._end_file()
        for one in self._done:
            path = path_of(self._directory, one.segment)
            os.rename(_beside(path), path)
        disk.sync_directory(self._directory)
        return tuple(self._done)

    def abandon(self) -> None:
        """Remove what was written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for number in {*(one.segment for one in self._done), self._number} - {0}:
            path = path_of(self._directory, number)
            _beside(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def _end_file(self) -> None:
        if self._fd < 0:
            return
        disk.sync_data(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._done.append(SegmentLength(segment=self._number, length=self._length))
        self._number = self._length = 0


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def store_layout(directory: Path, its_layout: Layout) -> None:
    """Have both copies of the MANIFEST say this, one after the other; one that says it already is left."""
    content = layout.encode(its_layout)
    for name, before in zip(layout.COPIES, layout_copies(directory), strict=True):
        if before != content:
            disk.replace(directory / name, content)


def remove(directory: Path, numbers: Iterable[int]) -> None:
    """Remove these files of a log, in this order."""
    for number in numbers:
        remove_file(directory, number)
    disk.sync_directory(directory)
