"""The ops file of one broker: numbered segments in a directory. Beside `base.py` the only one that writes to it.

Promised: what was appended when `sync` returned is yielded by every later `scan`, whatever ends the process and
whatever is appended after it. What was not synced may be kept or gone, a batch whole or not at all. What happens to a
file, and how a torn write is told from damage, stands in `segment.py`; this file adds the order in which things reach
the disk (`scan.py` reads):

    start   lock; each segment: fdatasync, drop from the page cache, read (so what is read is what the disk holds, also
            after a crash that left it in the cache alone, or a sync that failed and left the cache clean and wrong);
            then a new segment, whose header names the kept length of the ones before: header, fdatasync, directory
    batch   mark and records in one write, fdatasync
    roll    fdatasync the old segment, then as at the start
    quiet   a closing mark, so that damage to the last batch is told from a torn write; synced
    close   the same

A compaction replaces what lies before the segment in use, while that goes on (`layout.py`, `base.py`):

    begin_base   roll, the new segment of the later version; then what stays is written beside, by a thread of its own
    commit_base  the MANIFEST names the new files: that thread
    switch       from now on this object, too, has the new files, as the index of the state has
    remove       what is replaced goes, once no backup reads it: that thread

What does not change any more may be compressed (`blocks.py`, `log_file.py`); all places stay what they are:

    pack_one     its compressed form: written, synced, read back, renamed, the directory synced; then the file goes: that thread

A failed sync is never retried: the kernel may have forgotten the dirty pages, and then the second sync succeeds without
them. After `DiskFailed` this object only reads. A disk without room is no failure: the batch is taken back, so that the
next one finds the file as it was (`_take_back`), and the caller hears StorageFull.

Longer than other rooms: what may be done to a log, and in which order, is to be read in one place.

Threads: `scan`, `start`, `append`, `sync`, `vouch`, `roll`, `begin_base`, `switch`, `close` are the commit thread's;
`commit_base`, `remove_replaced`, `pack_one` the rewriting one's; `read`, `read_lines`, `pin`, `free_bytes` are anyone's.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from newswire.core import limits
from newswire.engine.embedded import disk, layout, segment
from newswire.engine.embedded.base import BaseWriter, remove, store_layout
from newswire.engine.embedded.directory import take
from newswire.engine.embedded.layout import BASE, PACKED_SUFFIX, Layout, SegmentLength, bad_copies
from newswire.engine.embedded.log_file import open_contents, pack_file, path_on_disk
from newswire.engine.embedded.pieces import Piece
from newswire.engine.embedded.scan import Progress, Reader, Scan, layout_copies, path_of, segments_in
from newswire.engine.embedded.segment import Damage, Found
from newswire.errors import DiskFailed, StorageFull, TooLarge

__all__ = ["Damage", "Found", "OpsFile", "Progress", "Reader", "Scan", "bad_copies", "layout_copies", "path_of", "segments_in"]

T = TypeVar("T")

_log = logging.getLogger(__name__)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # EFBIG: a limit on file size (ulimit -f)


_SETTLED_NS: Final = 1_000_000_000  # after which a directory whose time of change is the same has not changed
_SyncedPoint = tuple[Layout | None, dict[int, int], int, int]  # layout, earlier lengths, number and length of the one in use


class Pin:
    """What was synced at one moment: a copy of so much is the log as of then. As long as it lives, its files stay."""

    def __init__(self, its_layout: Layout | None, lengths: dict[int, int]) -> None:
        self.layout, self.lengths = its_layout, lengths


class OpsFile:
    """See above. `synced=False`: no sync at all, for a copy that can be built again; it then vouches for nothing."""

    def __init__(
        self, directory: Path, *, synced: bool = True, segment_bytes: int = limits.SEGMENT_BYTES, packs: bool = False
    ) -> None:
        """Take the directory: make it, lock it, sweep what a crash left. Raises Refused with a sentence.

        `packs`: files that do not change any more may be compressed (`pack_one`).
        """
        self.directory = directory
        self._synced_mode = synced
        self._segment_bytes = segment_bytes
        self._reader = Reader(directory)
        self._lock, self._layout = take(directory)
        self._scan = Scan(directory)
        self._fd = -1  # of the segment in use
        self._number = 0  # and its number
        self._length = 0  # written
        self._synced = 0  # known to be on disk
        self._empty_length = 0  # of its header
        self._vouched = 0  # up to here marks say that it was synced; a closing mark itself holds nothing
        self._unnamed: dict[int, int] = {}  # kept lengths that the next header names
        self._earlier: dict[int, int] = {}  # kept lengths of all segments before the one in use: replaced, never changed
        self._synced_point: _SyncedPoint = (None, {}, 0, 0)
        self._next_base = 0  # the number of the next base file
        self._replaced: list[int] = []  # files that are no part of the log any more, and not removed yet
        self._pins: weakref.WeakSet[Pin] = weakref.WeakSet()
        self._pins_lock = threading.Lock()  # of `_pins` and `_replaced`
        self._version = segment.VERSION if self._layout is None else segment.COMPACTED_VERSION
        if packs or any(directory.glob(f"*{PACKED_SUFFIX}")):
            self._version = segment.PACKED_VERSION
        self.packs = packs and synced
        self._stays: set[int] = set()  # files that were looked at, and are not worth it
        self._sizes = (0, 0, 0)  # when the directory had changed last, the segment in use, what all others took
        self._origin = ""
        self._cluster = ""
        self._failed = False

    # -- start --------------------------------------------------------------------------------------------------

    def scan(self, progress: Progress | None = None) -> Iterator[list[Found]]:
        """All good ops in file order, as (op, place, length). Once, to its end, before `start`. Raises Refused, DiskFailed."""
        yield from self._read_all(self._scan.batches, progress)

    def pieces(self, progress: Progress | None = None) -> Iterator[Piece]:
        """As `scan`, for a fold (`Scan.pieces`). Each time from the first record on."""
        self._scan = Scan(self.directory)
        yield from self._read_all(self._scan.pieces, progress)

    def _read_all(self, read: Callable[[Progress | None], Iterator[T]], progress: Progress | None) -> Iterator[T]:
        try:
            if self._synced_mode:
                for number in segments_in(self.directory):
                    disk.drop_cached(path_on_disk(self.directory, number))
            yield from read(progress)
        except OSError as error:
            self._fail("read", error)

    @property
    def cluster(self) -> str:
        """The cluster id that the headers name, "" for none."""
        return self._cluster or self._scan.cluster

    @property
    def damage(self) -> list[Damage]:
        """What the scan found bad in synced history."""
        return self._scan.damage

    def names_in_damage(self) -> tuple[list[tuple[str, int]], int]:
        """What of it can be told: see `Scan`."""
        return self._scan.names_in_damage()

    @property
    def torn_bytes(self) -> int:
        """How much the scan ignored behind the kept length of any segment."""
        return self._scan.torn_bytes

    def start(self, cluster: str, origin: str) -> None:
        """Open a new segment for this run; `cluster` may still be "". Raises DiskFailed, StorageFull."""
        scan = self._scan
        if list(scan.kept) != segments_in(self.directory):
            raise RuntimeError("scan to the end before start")
        self._cluster, self._origin = cluster, origin
        self._unnamed = {number: kept for number, kept in scan.kept.items() if number not in scan.named}
        used = {*scan.kept, *scan.named}
        self._number = max((self._layout.replaces if self._layout is not None else 0, *(n for n in used if n < BASE)))
        self._next_base = max((BASE, *used)) + 1
        self._earlier = dict(scan.kept)
        self._open_next()

    # -- the commit thread --------------------------------------------------------------------------------------

    def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write JSON objects of ops as one batch; (place, length) of each. Durable only after `sync`.

        Raises StorageFull, TooLarge: nothing is stored. DiskFailed. ValueError for what no line can hold.
        """
        self._writable()
        if not raws:
            return []
        if max(map(len, raws)) > limits.RECORD_BYTES:
            raise TooLarge(f"an operation may have {limits.RECORD_BYTES} bytes at most")
        size = sum(map(len, raws)) + segment.FRAME_BYTES * len(raws) + segment.MARK_BYTES  # at most
        if self._length + size > self._segment_bytes and self._length > self._empty_length:
            self._open_next()
        data, places = segment.batch(self._number, self._length, self._synced, raws)
        self._write(data)
        return places

    def sync(self) -> None:
        """Bring all that was appended to the disk. Raises DiskFailed."""
        if self._synced_mode:
            self._writable()
            self._sync_fd(self._fd)
            self._see_that_it_is_there()
            self._synced = self._length
        self._synced_point = (self._layout, self._earlier, self._number, self._length)

    def vouch(self) -> None:
        """Write and sync a closing mark, unless nothing was appended since the last. Raises StorageFull, DiskFailed."""
        self._writable()
        if self._synced_mode and self._vouched < self._length == self._synced:
            self._write(segment.batch(self._number, self._length, self._synced, ())[0])
            self.sync()
            self._vouched = self._length

    def roll(self, cluster: str) -> None:
        """Go on in a new segment, whose header names `cluster`. Raises StorageFull (still in the old one), DiskFailed."""
        self._writable()
        before, self._cluster = self._cluster, cluster
        try:
            self._open_next()
        except StorageFull:
            self._cluster = before
            raise

    # -- compaction ---------------------------------------------------------------------------------------------

    def begin_base(self) -> tuple[int, BaseWriter]:
        """Go on in a new segment; the last of those that a base can replace now, and who writes it.

        The commit thread. Raises StorageFull (still in the old segment), DiskFailed.
        """
        self._writable()
        before, self._version = self._version, max(self._version, segment.COMPACTED_VERSION)
        try:
            self._open_next()
        except StorageFull:
            self._version = before
            raise
        writer = BaseWriter(self.directory, self._next_base, self._cluster, self._origin, self._segment_bytes)
        return self._number - 1, writer

    def commit_base(self, files: Sequence[SegmentLength], replaces: int) -> Layout:
        """Make `files`, finished and in the order of the log, the log up to segment `replaces`: of all starts from now on.

        The rewriting thread; `switch` must follow. Raises DiskFailed: nobody knows which it is.
        """
        self._next_base = max([self._next_base - 1, *(one.segment for one in files)]) + 1
        generation = self._layout.generation + 1 if self._layout is not None else 1
        result = Layout(version=layout.VERSION, generation=generation, files=tuple(files), replaces=replaces)
        try:
            store_layout(self.directory, result)
        except OSError as error:
            self._fail("name the files of a compaction", error)
        return result

    def switch(self, its_layout: Layout) -> None:
        """Have the files of `its_layout`, which was committed, in place of those that it replaces. The commit thread."""
        behind = {number: length for number, length in self._earlier.items() if its_layout.replaces < number < BASE}
        replaced = sorted(self._earlier.keys() - behind.keys() - its_layout.lengths.keys())
        self._layout, self._earlier = its_layout, its_layout.lengths | behind
        self._synced_point = (self._layout, self._earlier, self._number, self._synced)
        with self._pins_lock:  # after that: who pins from now on names none of these
            self._replaced += replaced

    def remove_replaced(self) -> bool:
        """Remove the files that were replaced; False: a backup still reads some. The rewriting thread. Raises OSError."""
        with self._pins_lock:
            if any(number in pin.lengths for pin in list(self._pins) for number in self._replaced):
                return False
            numbers, self._replaced = self._replaced, []
        self._reader.forget(numbers)  # an open file keeps its room
        remove(self.directory, numbers)
        return True

    # -- compression --------------------------------------------------------------------------------------------

    def pack_one(self, goes_on: Callable[[], bool]) -> bool:
        """Compress one of the files that do not change any more; False: there is none, or it was broken off.

        `goes_on` is asked after each piece, and may wait. The rewriting thread. Raises OSError: the file stays as it is.
        """
        for number, kept in self._earlier.items() if self.packs else ():
            if kept < limits.PACK_FILE_BYTES or number in self._stays or not path_of(self.directory, number).exists():
                continue
            if self.free_bytes() < kept:
                return False
            if not pack_file(self.directory, number, kept, goes_on):
                if not goes_on():
                    return False
                self._stays.add(number)
                continue
            self._reader.forget([number])
            return True
        return False

    def close(self) -> None:
        """Write a closing mark if all is synced, and let go of the directory. Once more does nothing."""
        if self._fd >= 0:
            if not self._failed:
                try:
                    self.vouch()
                except (DiskFailed, StorageFull) as error:
                    _log.warning("no closing mark: %s", error.detail)
            os.close(self._fd)
            self._fd = -1
        self._reader.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open_next(self) -> None:
        """Make the next segment the one in use, once its header and its name are on disk."""
        if self._fd >= 0:
            self.sync()
        number = self._number + 1
        kept = {**self._unnamed, **({self._number: self._length} if self._fd >= 0 else {})} if self._synced_mode else {}
        header = segment.header_line(number, self._cluster, self._origin, kept, self._version)
        fd = self._create(path_of(self.directory, number), header)
        if self._fd >= 0:
            os.close(self._fd)
            self._earlier = {**self._earlier, self._number: self._length}
        self._fd, self._number, self._unnamed = fd, number, {}
        self._length = self._empty_length = self._vouched = len(header)
        self._synced = len(header) if self._synced_mode else 0
        self._synced_point = (self._layout, self._earlier, number, self._synced)

    def _create(self, path: Path, header: bytes) -> int:
        """Make a segment that holds its header. Without room it leaves no trace: its number was never used then."""
        fd = -1
        try:
            fd = disk.create(path)
            disk.write_all(fd, header)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._fail("create a segment", error)
            try:
                if fd >= 0:
                    os.close(fd)
                    path.unlink()
            except OSError as second:
                self._fail("remove an unused segment", second)
            raise _full(error) from error
        if self._synced_mode:
            self._sync_fd(fd)
            try:
                disk.sync_directory(self.directory)
            except OSError as error:
                self._fail("sync the directory", error)
        return fd

    def _write(self, data: bytes) -> None:
        try:
            disk.write_all(self._fd, data)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._fail("write", error)
            self._take_back()
            raise _full(error) from error
        self._length += len(data)

    def _take_back(self) -> None:
        """Cut a partly written batch off, so that the next batch follows the last whole one.

        The one place where bytes are cut: they were written a moment ago, are covered by no sync, and nobody was told
        of them. Synced at once: the caller says "certainly not stored", and a power cut must not bring them back.
        """
        try:
            os.ftruncate(self._fd, self._length)
        except OSError as error:
            self._fail("take a batch back", error)
        if self._synced_mode:
            self._sync_fd(self._fd)

    def _sync_fd(self, fd: int) -> None:
        try:
            disk.sync_data(fd)
        except OSError as error:
            self._fail("sync", error)

    def _see_that_it_is_there(self) -> None:
        """A sync says nothing of a segment that was removed or cut: what is written to it is gone with the process."""
        status = os.fstat(self._fd)
        if not status.st_nlink or status.st_size < self._length:
            gone = "it was removed" if not status.st_nlink else f"{self._length - status.st_size} bytes of it were cut off"
            self._fail(
                f"keep segment {path_of(self.directory, self._number).name}", OSError(errno.EIO, f"{gone} while the broker ran")
            )

    def _fail(self, what: str, error: OSError) -> NoReturn:
        self._failed = True
        raise DiskFailed(
            f"could not {what} in {self.directory}: {error.strerror or error}; the broker ends, so that it promises nothing "
            "that is not on disk. Look at the disk, then start it again"
        ) from error

    def _writable(self) -> None:
        if self._failed:
            raise DiskFailed(f"a write or sync in {self.directory} failed before; nothing is written any more")
        if self._fd < 0:
            raise RuntimeError(f"{self.directory} is not started, or closed")

    # -- any thread ---------------------------------------------------------------------------------------------

    def read(self, place: int, length: int) -> bytes:
        """The JSON object of one record. Raises Damaged."""
        return self._reader.read(place, length)

    def read_lines(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The JSON objects of many records, in the order asked for. Raises Damaged."""
        return self._reader.read_lines(places)

    def read_each(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """The JSON objects of many records, in the order asked for; None for each that cannot be read."""
        return self._reader.read_each(places)

    def pin(self) -> Pin:
        """How much of each file of the log was synced, at one moment. Its files are not removed while anybody has it.

        What a segment has behind its kept length is nothing, and what was cut off it is not there to be copied.
        """
        while True:
            point = its_layout, earlier, number, synced = self._synced_point
            pin = Pin(its_layout, {**earlier, number: synced})
            with self._pins_lock:
                self._pins.add(pin)
            if point is self._synced_point:  # else they may have been replaced, and removed, before it was there
                break
        there = {one: open_contents(self.directory, one).length for one in earlier}
        pin.lengths.update({one: min(length, there[one]) for one, length in earlier.items()})
        return pin

    def size_bytes(self) -> int:
        """What the files of the log take on the disk, with those that a compaction writes and those that it has replaced.

        It is asked for each second, and there may be a file for each start: they are looked at when one has come or gone.
        """
        number, length = (self._number, self._length) if self._fd >= 0 else (0, 0)
        changed, size, is_written = os.stat(self.directory).st_mtime_ns, 0, False
        if self._sizes[:2] == (changed, number):
            return self._sizes[2] + length
        with os.scandir(self.directory) as entries:
            for entry in entries:
                is_written |= entry.name.endswith(".tmp")  # it grows, and the directory does not change
                with suppress(FileNotFoundError):  # it was removed a moment ago
                    if layout.number_of(entry.name.removesuffix(".tmp")) not in (None, number):
                        size += entry.stat().st_size
        if not is_written and time.time_ns() - changed > _SETTLED_NS:
            self._sizes = changed, number, size
        return size + length

    def free_bytes(self) -> int:
        """What this process may still write on the disk."""
        stat = os.statvfs(self.directory)
        return stat.f_bavail * stat.f_frsize


def _full(error: OSError) -> StorageFull:
    return StorageFull(f"nothing was stored: {error.strerror or error}. Make room on the broker's disk; it goes on by itself")
