"""Looks at the files of a log: all of it in order (`Scan`), records by their place (`Reader`). Writes nothing.

A broker recovers with the one and serves older messages with the other; `opsfile check` and `show` use both, also while
a broker runs. What of a segment counts stands in `segment.py`, which files count in `layout.py`.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from newswire.core import limits
from newswire.engine.embedded import layout, segment
from newswire.engine.embedded.layout import BASE, Layout, name_of
from newswire.engine.embedded.segment import Damage, Found, split_place
from newswire.errors import Damaged, Refused

Progress = Callable[[int, int], None]  # bytes read, bytes in all

_log = logging.getLogger(__name__)
_BLOCK_BYTES: Final = 4096  # what a disk loses at once; read alone where it can't be read


class Scan:
    """One reading of a directory's segments. Changes nothing: also for a look from outside (`opsfile check`)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.layout: Layout | None = None  # None: never compacted
        self.cluster = ""  # named by the headers, "" if none names one
        self.named: dict[int, int] = {}  # kept lengths that headers or the MANIFEST name
        self.kept: dict[int, int] = {}  # kept lengths of the files that were read, in the order of the log
        self.damage: list[Damage] = []
        self.torn_bytes = 0

    def batches(self, progress: Progress | None = None) -> Iterator[list[Found]]:
        """All good ops in file order, in lists of up to some thousand.

        Raises Refused before the first list if the segments are of another version or of two clusters, or the MANIFEST is
        damaged.
        """
        self.layout = read_layout(self.directory)
        numbers = _files_in(self.directory, self.layout)
        for number in numbers:
            self._read_header(number)
        if self.layout is not None:
            replaces = self.layout.replaces
            self.named = {number: kept for number, kept in self.named.items() if replaces < number < BASE}
            self.named |= self.layout.lengths
        for number in sorted(self.named.keys() - set(numbers)):  # a later header or the MANIFEST names it, and it is not there
            if self.named[number]:
                self.damage.append(Damage(segment=number, offset=0, length=self.named[number], reason="missing"))
        for number in numbers:
            self.kept[number] = self._kept_length(number)
        read_bytes, total = 0, sum(path_of(self.directory, number).stat().st_size for number in numbers)
        for number in numbers:
            with path_of(self.directory, number).open("rb", buffering=0) as file:
                window = _Window(file.fileno())
                for rows in self._records(window, number):
                    yield rows
                    if progress is not None and rows:
                        progress(read_bytes + (rows[-1][1] & 0xFFFFFFFF) + rows[-1][2], total)
            read_bytes += len(window)
            if progress is not None:
                progress(read_bytes, total)

    def names_in_damage(self) -> tuple[list[tuple[str, int]], int]:
        """Origin and sequence of ops that damage has hit, as far as its bytes tell; and how many places tell nothing."""
        result: list[tuple[str, int]] = []
        silent = 0
        for one in self.damage:
            names = self.names_in(one)
            if names is not None:
                result += names
                silent += not names
        return result, silent

    def names_in(self, damage: Damage) -> list[tuple[str, int]] | None:
        """Origin and sequence of the ops that one place held, as far as its bytes tell; None: it was but a mark."""
        if damage.reason == "missing":
            return []
        with path_of(self.directory, damage.segment).open("rb", buffering=0) as file:
            return segment.names_in(pread(file.fileno(), damage.length, damage.offset))

    def _read_header(self, number: int) -> None:
        with path_of(self.directory, number).open("rb", buffering=0) as file:
            data = pread(file.fileno(), limits.SEGMENT_HEADER_BYTES, 0)
        try:
            header, _ = segment.read_header(data, number)
        except segment.OtherVersion as error:
            raise unusable(self.directory, f"{error}: run the version that wrote it") from None
        if header is None:
            return
        self.named.update(header.kept)
        if header.cluster and self.cluster not in ("", header.cluster):
            raise unusable(self.directory, f"it holds segments of two clusters, {self.cluster} and {header.cluster}")
        self.cluster = header.cluster or self.cluster

    def _kept_length(self, number: int) -> int:
        """What counts of a segment. One that no header names is looked at as a whole, now, while memory is still empty."""
        path = path_of(self.directory, number)
        if number in self.named:
            kept, length = self.named[number], path.stat().st_size
        else:
            with path.open("rb", buffering=0) as file:
                data = pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)  # zeros for blocks that the disk can't read
            unnamed = self.kept.keys() - self.named.keys()
            kept, length = segment.kept_length(data, number, segment.longest_header(number, unnamed)), len(data)
            if kept < length:
                _log.warning("%s: a torn write of %d bytes at its end is ignored", name_of(number), length - kept)
        self.torn_bytes += max(0, length - kept)  # now: a running broker goes on writing behind it
        return kept

    def _records(self, window: _Window, number: int) -> Iterator[list[Found]]:
        kept = self.kept[number]
        before = len(self.damage)
        yield from segment.records(window, number, kept, self.damage)
        for one in self.damage[before:]:
            _log.error("%s: %d bytes at %d are damaged (%s)", name_of(number), one.length, one.offset, one.reason)


class _Window:
    """The bytes of a file, of which a few MiB are in memory (`segment.Bytes`): a start needs room for what it keeps only."""

    def __init__(self, fd: int) -> None:
        self._fd, self._length = fd, os.fstat(fd).st_size
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
            self._base, self._data = start, pread(self._fd, max(stop - start, limits.SCAN_BYTES), start)
        return start - self._base


class Reader:
    """Reads records by their place. Any thread."""

    def __init__(self, directory: Path) -> None:
        self._handles = _Handles(directory)

    def read(self, place: int, length: int) -> bytes:
        """The JSON object of one record. Raises Damaged."""
        return self.read_lines(((place, length),))[0]

    def read_lines(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The JSON objects of many records, in the order asked for; neighbours are read in one go. Raises Damaged."""
        raws: list[bytes] = []
        for start, stop in _runs(places):
            raws += self._read_run(places[start:stop])
        return raws

    def read_each(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """As `read_lines`, with None for each record that cannot be read."""
        try:
            return list(self.read_lines(places))
        except Damaged:
            return [self._read_or_none(place) for place in places]

    def _read_or_none(self, place: tuple[int, int]) -> bytes | None:
        try:
            return self.read(*place)
        except Damaged:
            return None

    def _read_run(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        number, base = split_place(places[0][0])
        last, length = places[-1]
        try:
            handle = self._handles.get(number)
            data = os.pread(handle.fd, (last & 0xFFFFFFFF) + length - base, base)
        except OSError as error:
            raise Damaged(f"{name_of(number)} can't be read at {base}: {error.strerror or error}") from error
        lines = [data[at : at + size] for at, size in ((where - places[0][0], size) for where, size in places)]
        raws = segment.bodies(lines, -1)
        if raws is None:
            bad = next(i for i, one in enumerate(lines) if segment.body(one[:-1]) is None)
            raise Damaged(f"{name_of(number)} is damaged at {places[bad][0] & 0xFFFFFFFF}: run `newswire opsfile check`")
        return raws

    def forget(self, numbers: Iterable[int]) -> None:
        """Let go of these segments: they are removed. A read in another thread ends as if nothing had happened."""
        self._handles.forget(numbers)

    def close(self) -> None:
        """Let go of the segments; a read in another thread ends as if nothing had happened."""
        self._handles.close()


class _Handle:
    """An open segment. Closed when the cache and the last reader have let go of it, so never under a reader."""

    __slots__ = ("fd",)

    def __init__(self, path: Path) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class _Handles:
    """The segments read last."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _Handle] = OrderedDict()

    def get(self, number: int) -> _Handle:
        """Keep the answer while its descriptor is in use."""
        with self._lock:
            handle = self._open.get(number)
            if handle is None:
                try:
                    handle = _Handle(path_of(self._directory, number))
                except OSError as error:
                    if error.errno != errno.EMFILE or not self._open:
                        raise
                    self._open.popitem(last=False)  # descriptors are short: the one that was read longest ago goes for it
                    handle = _Handle(path_of(self._directory, number))
                self._open[number] = handle
                if len(self._open) > limits.OPEN_SEGMENTS:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return handle

    def forget(self, numbers: Iterable[int]) -> None:
        with self._lock:
            for number in numbers:
                self._open.pop(number, None)

    def close(self) -> None:
        with self._lock:
            self._open.clear()


# -- names ----------------------------------------------------------------------------------------------------


def path_of(directory: Path, number: int) -> Path:
    """The file of a segment."""
    return directory / name_of(number)


def segments_in(directory: Path) -> list[int]:
    """The numbers of the files that make up the log, in its order. Raises Refused."""
    return _files_in(directory, read_layout(directory))


def read_layout(directory: Path) -> Layout | None:
    """What the MANIFEST says; None where nothing was ever compacted. Raises Refused."""
    try:
        return layout.newest(layout_copies(directory))
    except layout.UnknownLayout as error:
        raise unusable(directory, str(error)) from None


def layout_copies(directory: Path) -> list[bytes | None]:
    """The bytes of each copy of the MANIFEST, None for one that is not there."""
    copies: list[bytes | None] = []
    for name in layout.COPIES:
        try:
            with (directory / name).open("rb", buffering=0) as file:
                copies.append(pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
        except FileNotFoundError:
            copies.append(None)
    return copies


def _files_in(directory: Path, its_layout: Layout | None) -> list[int]:
    try:
        return layout.log_files(os.listdir(directory), its_layout)
    except layout.UnknownLayout as error:
        raise unusable(directory, str(error)) from None


def unusable(directory: Path, why: str) -> Refused:
    """The error that says why a directory can't be an ops directory."""
    return Refused(f"the ops directory {directory} can't be used: {why}", code="ops-dir")


# -- system calls ---------------------------------------------------------------------------------------------


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


def _runs(places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Cut into slices that lie close together in one segment, each at most `READ_BYTES` long if it can be."""
    start = 0
    for i in range(1, len(places) + 1):
        if i == len(places) or not _joins(places[start], places[i - 1], places[i]):
            yield start, i
            start = i


def _joins(first: tuple[int, int], before: tuple[int, int], this: tuple[int, int]) -> bool:
    """Say whether `this` goes on the read from `first` to `before`. Another segment is 4 GiB away."""
    gap = this[0] - before[0] - before[1]
    return 0 <= gap <= limits.READ_GAP_BYTES and this[0] + this[1] - first[0] <= limits.READ_BYTES
