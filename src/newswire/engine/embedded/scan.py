"""Looks at the files of a log: all of it in order (`Scan`), records by their place (`Reader`). Writes nothing.

A broker recovers with the one and serves older messages with the other; `opsfile check` and `show` use both, also while
a broker runs. What of a segment counts stands in `segment.py`, which files count in `layout.py`.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from newswire.core import limits
from newswire.engine.embedded import layout, segment
from newswire.engine.embedded.ahead import Ahead
from newswire.engine.embedded.layout import BASE, Layout, name_of
from newswire.engine.embedded.log_file import Contents, open_contents
from newswire.engine.embedded.pieces import Piece, condense, end_of
from newswire.engine.embedded.segment import Damage, Found, split_place
from newswire.engine.embedded.window import Window, pread
from newswire.errors import Damaged, Refused

Progress = Callable[[int, int], None]  # bytes read, bytes in all

_log = logging.getLogger(__name__)


class LogFile(NamedTuple):
    """A file of a log, how much of it counts, and how long it is."""

    directory: Path
    number: int
    kept: int
    length: int


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
        read_bytes, files = 0, self._open()
        total = sum(file.length for file in files)
        for file in files:
            damage: list[Damage] = []
            for rows in _records(file, damage):
                yield rows
                if progress is not None and rows:
                    progress(read_bytes + end_of(rows), total)
            self._note(damage)
            read_bytes += file.length
            if progress is not None:
                progress(read_bytes, total)

    def pieces(self, progress: Progress | None = None) -> Iterator[Piece]:
        """As `batches`, for a fold: long runs by the column, and large logs read in several processes."""
        files = self._open()
        ahead = Ahead(files, _read_file, _count_processes(files))
        read_bytes, total = 0, sum(file.length for file in files)
        try:
            for file in files:
                for pieces, damage in ahead.take(file):
                    self._note(damage)
                    yield from pieces
                    if progress is not None and pieces:
                        progress(read_bytes + end_of(pieces[-1]), total)
                read_bytes += file.length
                if progress is not None:
                    progress(read_bytes, total)
        finally:
            ahead.close()

    def _open(self) -> list[LogFile]:
        """Look at the headers and ends of all files; the files in order."""
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
        files = []
        for number in numbers:
            self.kept[number], length = self._kept_length(number)
            files.append(LogFile(directory=self.directory, number=number, kept=self.kept[number], length=length))
        return files

    def _note(self, damage: list[Damage]) -> None:
        self.damage += damage
        for one in damage:
            _log.error("%s: %d bytes at %d are damaged (%s)", name_of(one.segment), one.length, one.offset, one.reason)

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
        return segment.names_in(open_contents(self.directory, damage.segment).read(damage.length, damage.offset))

    def _read_header(self, number: int) -> None:
        data = open_contents(self.directory, number).read(limits.SEGMENT_HEADER_BYTES, 0)
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

    def _kept_length(self, number: int) -> tuple[int, int]:
        """What counts of a segment, and how long it is.

        One that no header names is looked at as a whole, now, while memory is still empty.
        """
        contents = open_contents(self.directory, number)
        if number in self.named:
            kept, length = self.named[number], contents.length
        else:
            data = contents.read(contents.length, 0)  # zeros for blocks that the disk can't read
            unnamed = self.kept.keys() - self.named.keys()
            kept, length = segment.kept_length(data, number, segment.longest_header(number, unnamed)), len(data)
            if kept < length:
                _log.warning("%s: a torn write of %d bytes at its end is ignored", name_of(number), length - kept)
        self.torn_bytes += max(0, length - kept)  # now: a running broker goes on writing behind it
        return kept, length


def _count_processes(files: Sequence[LogFile]) -> int:
    """How many processes pay for reading these ahead; 0: none."""
    if sys.platform != "linux" or len(files) < 2 or sum(file.kept for file in files) < limits.AHEAD_BYTES:
        return 0
    cores = len(os.sched_getaffinity(0))
    return min(cores, len(files), limits.AHEAD_PROCESSES) if cores > 1 else 0


def _read_file(file: LogFile) -> Iterator[tuple[list[Piece], list[Damage]]]:
    """What a file holds, and in the end what of it is damaged."""
    damage: list[Damage] = []
    for rows in _records(file, damage):
        yield list(condense(rows)), []
    yield [], damage


def _records(file: LogFile, damage: list[Damage]) -> Iterator[list[Found]]:
    contents = open_contents(file.directory, file.number)
    yield from segment.records(Window(contents.read, contents.length), file.number, file.kept, damage)


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
            data = self._handles.get(number).read_once((last & 0xFFFFFFFF) + length - base, base)
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


class _Handles:
    """The segments read last."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Contents] = OrderedDict()

    def get(self, number: int) -> Contents:
        """The bytes of a file; raises OSError."""
        with self._lock:
            handle = self._open.get(number)
            if handle is None:
                try:
                    handle = open_contents(self._directory, number)
                except OSError as error:
                    if error.errno != errno.EMFILE or not self._open:
                        raise
                    self._open.popitem(last=False)  # descriptors are short: the one that was read longest ago goes for it
                    handle = open_contents(self._directory, number)
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
