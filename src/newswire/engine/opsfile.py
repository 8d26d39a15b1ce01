"""The ops file of one broker: numbered segments in a directory. The only write and sync calls of the package.

Promised: what was appended when `sync` returned is yielded by every later `scan`, whatever ends the process and
whatever is appended after it. What was not synced may be kept or gone, a batch whole or not at all. What happens to a
file, and how a torn write is told from damage, stands in `segment.py`; this file adds the order in which things reach
the disk:

    start   lock; each segment: fdatasync, drop from the page cache, read (so what is read is what the disk holds, also
            after a crash that left it in the cache alone, or a sync that failed and left the cache clean and wrong);
            then a new segment, whose header names the kept length of the ones before: header, fdatasync, directory
    batch   mark and records in one write, fdatasync
    roll    fdatasync the old segment, then as at the start
    close   a closing mark, so that damage to the last batch is told from a torn write

A failed sync is never retried: the kernel may have forgotten the dirty pages, and then the second sync succeeds without
them. After `DiskFailed` this object only reads. A disk without room is no failure: the batch is taken back, so that the
next one finds the file as it was (`_take_back`), and the caller hears StorageFull.

Threads: `scan`, `start`, `append`, `sync`, `roll`, `close` are the commit thread's; `read`, `read_lines`, `free_bytes`
are anyone's.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from newswire.core import limits
from newswire.engine import segment
from newswire.engine.segment import Damage, Found, split_place
from newswire.errors import Damaged, DiskFailed, Refused, StorageFull, TooLarge

__all__ = ["Damage", "Found", "OpsFile", "Progress", "Scan"]

Progress = Callable[[int, int], None]  # bytes read, bytes in all

_log = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[0-9]{8,12}\.ops")
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # EFBIG: a limit on file size (ulimit -f)
_BLOCK_BYTES: Final = 4096  # what a disk loses at once; read alone where it can't be read


class Scan:
    """One reading of a directory's segments. Changes nothing: also for a look from outside (`opsfile check`)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster = ""  # named by the headers, "" if none names one
        self.named: dict[int, int] = {}  # kept lengths that headers name
        self.kept: dict[int, int] = {}  # kept lengths of the segments that were read
        self.damage: list[Damage] = []
        self.torn_bytes = 0
        self._origins: set[str] = set()

    def batches(self, progress: Progress | None = None, *, settle: bool = False) -> Iterator[list[Found]]:
        """All good ops in file order, in lists of up to some thousand. `settle`: sync and drop the page cache first.

        Raises Refused before the first list if the segments are of another version or of two clusters.
        """
        numbers = segments_in(self.directory)
        if settle:
            for number in numbers:
                _settle(path_of(self.directory, number))
        for number in numbers:
            self._read_header(number)
        self._miss(numbers)
        done, total = 0, sum(path_of(self.directory, number).stat().st_size for number in numbers)
        for number in numbers:
            data = _read_file(path_of(self.directory, number))
            for found in self._records(data, number):
                yield found
                if progress is not None and found:
                    progress(done + (found[-1][1] & 0xFFFFFFFF) + found[-1][2], total)
            done += len(data)
            if progress is not None:
                progress(done, total)

    def _read_header(self, number: int) -> None:
        with path_of(self.directory, number).open("rb", buffering=0) as file:
            data = _pread(file.fileno(), limits.SEGMENT_HEADER_BYTES, 0)
        try:
            header, _ = segment.read_header(data, number)
        except segment.OtherVersion as error:
            raise _unusable(self.directory, f"{error}: run the version that wrote it") from None
        if header is None:
            return
        self.named.update(header.kept)
        if header.cluster and self.cluster not in ("", header.cluster):
            raise _unusable(self.directory, f"it holds segments of two clusters, {self.cluster} and {header.cluster}")
        self.cluster = header.cluster or self.cluster

    def _miss(self, numbers: list[int]) -> None:
        """Note segments that a later header names and that are not there."""
        for number in sorted(self.named.keys() - set(numbers)):
            if self.named[number]:
                self.damage.append(Damage(number, 0, self.named[number], "missing"))

    def _records(self, data: bytes, number: int) -> Iterator[list[Found]]:
        kept = self.named.get(number)
        if kept is None:
            kept = segment.kept_length(data, number)
            if kept < len(data):
                _log.warning("%s: a torn write of %d bytes at its end is ignored", _name(number), len(data) - kept)
        self.kept[number] = kept
        self.torn_bytes += max(0, len(data) - kept)
        known = len(self.damage)
        yield from segment.records(data, number, kept, self._origins, self.damage)
        for one in self.damage[known:]:
            _log.error("%s: %d bytes at %d are damaged (%s)", _name(number), one.length, one.offset, one.reason)


class OpsFile:
    """See above. `synced=False`: no sync at all, for a copy that can be built again; it then vouches for nothing."""

    def __init__(self, directory: Path, *, synced: bool = True, segment_bytes: int = limits.SEGMENT_BYTES) -> None:
        """Take the directory: make it, lock it, sweep what a crash left. Raises Refused with a sentence."""
        self.directory = directory
        self._synced_mode = synced
        self._segment_bytes = segment_bytes
        self._handles = _Handles(directory)
        self._lock = _take(directory)
        self._scan = Scan(directory)
        self._fd = -1  # of the segment in use
        self._number = 0  # and its number
        self._length = 0  # written
        self._synced = 0  # known to be on disk
        self._empty_length = 0  # of its header
        self._unnamed: dict[int, int] = {}  # kept lengths that the next header names
        self._origin = ""
        self._cluster = ""
        self._failed = False

    # -- start --------------------------------------------------------------------------------------------------

    def scan(self, progress: Progress | None = None) -> Iterator[list[Found]]:
        """All good ops in file order, as (op, place, length) in lists. Once, to its end, before `start`.

        Raises Refused (another version, two clusters), DiskFailed.
        """
        try:
            yield from self._scan.batches(progress, settle=self._synced_mode)
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

    @property
    def torn_bytes(self) -> int:
        """How much the scan ignored behind the kept length of any segment."""
        return self._scan.torn_bytes

    def start(self, cluster: str, origin: str) -> None:
        """Open a new segment for this run; `cluster` may still be "". Raises DiskFailed, StorageFull."""
        scan = self._scan
        if scan.kept.keys() != set(segments_in(self.directory)):
            raise RuntimeError("scan to the end before start")
        self._cluster, self._origin = cluster, origin
        self._unnamed = {number: kept for number, kept in scan.kept.items() if number not in scan.named}
        self._number = max((0, *scan.kept, *scan.named))
        self._open_next()

    # -- the commit thread --------------------------------------------------------------------------------------

    def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write JSON objects of ops as one batch; (place, length) of each. Durable only after `sync`.

        Raises StorageFull, TooLarge: nothing is stored. DiskFailed.
        """
        self._writable()
        if not raws:
            return []
        size = _size(raws)
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
            self._synced = self._length

    def roll(self, cluster: str) -> None:
        """Go on in a new segment, whose header names `cluster`. Raises StorageFull (still in the old one), DiskFailed."""
        self._writable()
        before, self._cluster = self._cluster, cluster
        try:
            self._open_next()
        except StorageFull:
            self._cluster = before
            raise

    def close(self) -> None:
        """Write a closing mark if all is synced, and let go of the directory. Once more does nothing."""
        if self._fd >= 0:
            if not self._failed and self._synced_mode and self._synced == self._length:
                self._close_with_mark()
            os.close(self._fd)
            self._fd = -1
        self._handles.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _close_with_mark(self) -> None:
        try:
            self._write(segment.batch(self._number, self._length, self._synced, ())[0])
            self.sync()
        except (DiskFailed, StorageFull) as error:
            _log.warning("no closing mark: %s", error.detail)

    def _open_next(self) -> None:
        """Make the next segment the one in use, once its header and its name are on disk."""
        if self._fd >= 0:
            self.sync()
        number = self._number + 1
        kept = {**self._unnamed, **({self._number: self._length} if self._fd >= 0 else {})} if self._synced_mode else {}
        header = segment.header_line(number, self._cluster, self._origin, kept)
        fd = self._create(path_of(self.directory, number), header)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._number, self._unnamed = fd, number, {}
        self._length = self._empty_length = len(header)
        self._synced = len(header) if self._synced_mode else 0

    def _create(self, path: Path, header: bytes) -> int:
        """Make a segment that holds its header. Without room it leaves no trace: its number was never used then."""
        fd = -1
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _write_all(fd, header)
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
                _sync_directory(self.directory)
            except OSError as error:
                self._fail("sync the directory", error)
        return fd

    def _write(self, data: bytes) -> None:
        try:
            _write_all(self._fd, data)
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
            _sync_data(fd)
        except OSError as error:
            self._fail("sync", error)

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
        return self.read_lines(((place, length),))[0]

    def read_lines(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The JSON objects of many records, in the order asked for; neighbours are read in one go. Raises Damaged."""
        raws: list[bytes] = []
        for start, stop in _runs(places):
            raws += self._read_run(places[start:stop])
        return raws

    def _read_run(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        number, base = split_place(places[0][0])
        last, length = places[-1]
        try:
            handle = self._handles.get(number)
            data = os.pread(handle.fd, (last & 0xFFFFFFFF) + length - base, base)
        except OSError as error:
            raise Damaged(f"{_name(number)} can't be read at {base}: {error.strerror or error}") from error
        lines = [data[at : at + size] for at, size in ((where - places[0][0], size) for where, size in places)]
        raws = segment.bodies(lines, -1)
        if raws is None:
            bad = next(i for i, one in enumerate(lines) if segment.body(one[:-1]) is None)
            raise Damaged(f"{_name(number)} is damaged at {places[bad][0] & 0xFFFFFFFF}: run `newswire opsfile check`")
        return raws

    def free_bytes(self) -> int:
        """What this process may still write on the disk."""
        stat = os.statvfs(self.directory)
        return stat.f_bavail * stat.f_frsize


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
                handle = self._open[number] = _Handle(path_of(self._directory, number))
                if len(self._open) > limits.OPEN_SEGMENTS:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return handle

    def close(self) -> None:
        with self._lock:
            self._open.clear()


# -- names and directories --------------------------------------------------------------------------------------


def path_of(directory: Path, number: int) -> Path:
    """The file of a segment."""
    return directory / _name(number)


def segments_in(directory: Path) -> list[int]:
    """The numbers of the segments there are, ascending."""
    return sorted(int(path.stem) for path in directory.iterdir() if _NAME.fullmatch(path.name))


def _name(number: int) -> str:
    return f"{number:08d}.ops"


def _take(directory: Path) -> int:
    """Make and lock the directory, sweep unfinished files; the lock's descriptor."""
    try:
        _make(directory)
        fd = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(directory, f"{error.strerror or error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        who = f"another broker (process {owner})" if owner.isdigit() else "another broker"
        raise _unusable(directory, f"{who} runs on it. Stop that one, or give this one another --id or --ops-dir") from error
    _leave_name(fd)
    for path in directory.glob("*.tmp"):
        path.unlink(missing_ok=True)
    return fd


def _leave_name(fd: int) -> None:
    """Write the process id into the lock file, for whoever finds it taken; no matter if it fails."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        _log.info("LOCK could not be written: %s", error)


def _make(directory: Path) -> None:
    """Make the directory and what it lies in, each on disk before the next."""
    for path in reversed([one for one in (directory, *directory.parents) if not one.exists()]):
        path.mkdir(mode=0o700, exist_ok=True)
        _sync_directory(path.parent)


def _unusable(directory: Path, why: str) -> Refused:
    return Refused(f"the ops directory {directory} can't be used: {why}", code="ops-dir")


# -- system calls -----------------------------------------------------------------------------------------------


def _size(raws: Sequence[bytes]) -> int:
    """What a batch takes at most. Raises TooLarge, or ValueError for what no line can hold."""
    if max(map(len, raws)) > limits.RECORD_BYTES:
        raise TooLarge(f"an operation may have {limits.RECORD_BYTES} bytes at most")
    if any(b"\n" in raw for raw in raws):
        raise ValueError("an operation's JSON has a line break")
    return sum(map(len, raws)) + segment.FRAME_BYTES * len(raws) + segment.MARK_BYTES


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it: a write may take a part only (a signal, a disk that just became full)."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _sync_data(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)  # not everywhere there is fdatasync


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _full(error: OSError) -> StorageFull:
    return StorageFull(f"nothing was stored: {error.strerror or error}. Make room on the broker's disk; it goes on by itself")


def _settle(path: Path) -> None:
    """Make what is read next what the disk holds: sync the file, then drop it from the page cache."""
    with path.open("rb", buffering=0) as file:
        _sync_data(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_file(path: Path) -> bytes:
    """All bytes of a file; zeros for blocks that the disk can't read."""
    with path.open("rb", buffering=0) as file:
        return _pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def _pread(fd: int, length: int, offset: int) -> bytes:
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
    return _pread_exact(fd, half, offset) + _pread_exact(fd, length - half, offset + half)


def _pread_exact(fd: int, length: int, offset: int) -> bytes:
    """As `_pread_part`, and whole: halves must not shift against each other."""
    part = _pread(fd, length, offset)
    return part + bytes(length - len(part))


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
