"""A backup as bytes: a tar file, compressed by gzip, of a manifest and then the segments that it names, each to its length.

The manifest comes first, so that whoever reads knows what is to come: a segment more, less, longer or shorter, a bit that
gzip's checksum does not bear, or an end that is missing, and the backup is refused (`bad-backup`). What is in a segment
stands in `segment.py`; damage that was there when the copy was taken is copied as it is. The copy of a log that was compacted
has what its MANIFEST says in the backup's manifest, whose format is 2 then.

gzip and tar, since every machine can open them without newswire; at its fastest level, since the copy is taken beside a broker
that serves. Both ways need little memory, whatever the size.
"""

from __future__ import annotations

import gzip
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias, cast

import msgspec

from newswire.core import limits
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.names import check_broker_id
from newswire.core.state.fold import State
from newswire.engine.embedded import segment
from newswire.engine.embedded.layout import Layout, SegmentLength, name_of
from newswire.engine.embedded.log_file import open_contents
from newswire.engine.embedded.ops_file import OpsFile
from newswire.engine.seam import Backup
from newswire.errors import BadRequest, Damaged, Refused

FORMAT: Final = 1
COMPACTED_FORMAT: Final = 2  # has a `layout`: who reads format 1 only would restore a part of it
_MANIFEST: Final = "manifest.json"
_LEVEL: Final = 1
_Held: TypeAlias = tuple[dict[str, int], int]  # a vector, and the newest stamp
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib: with gzip's head and checksum


class Manifest(msgspec.Struct, frozen=True):
    """What is in a backup. `time`: when it was begun, ms since 1970, by the clock of `broker`.

    `cluster`: its id, "" while it is not settled. `vector`: what it holds at least. `newest`: the stamp of the operation that
    was stored last (ms), 0 for none. `layout`: which of the segments make up the log, None if it was never compacted.
    """

    format: int
    cluster: str
    broker: str
    time: int
    newest: int
    vector: dict[str, int]
    segments: tuple[SegmentLength, ...]
    layout: Layout | None = None

    @property
    def length(self) -> int:
        """The bytes of all segments."""
        return sum(one.length for one in self.segments)


class _Format(msgspec.Struct, frozen=True):
    format: int


class Source(Protocol):
    """What a backup is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


# -- writing ------------------------------------------------------------------------------------------------------


def back_up(read: Callable[[Callable[[State], _Held]], _Held], opsfile: OpsFile, broker: str, wall: int) -> Backup:
    """A copy of what is in the state: that is looked at first, what it holds was written before, so the copy holds it.

    `read`: see `Shell`. `wall`: the time of day, ms.
    """
    vector, newest = read(lambda state: (dict(state.vector), state.log.times[-1] if state.log.times else 0))
    pin = opsfile.pin()
    manifest = Manifest(
        format=FORMAT if pin.layout is None else COMPACTED_FORMAT,
        cluster=opsfile.cluster,
        broker=broker,
        time=wall,
        newest=newest,
        vector=vector,
        segments=tuple(SegmentLength(number, length) for number, length in sorted(pin.lengths.items())),
        layout=pin.layout,
    )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(manifest.time // 1000))
    return Backup(f"newswire-{broker}-{stamp}.tar.gz", pack(manifest, opsfile.directory, pin))


def pack(manifest: Manifest, directory: Path, pin: object = None) -> Iterator[bytes]:
    """The bytes of the backup that `manifest` describes. Reads the segments as it goes: for a thread that may wait.

    `pin` has the segments stay, and is let go of with the iterator. Raises Damaged where a segment is shorter by now, OSError
    where one cannot be read. Blocks that the disk lost are zeros.
    """
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for part in _members(manifest, directory):
        if packed := compressor.compress(part):
            yield packed
    yield compressor.flush()


def _members(manifest: Manifest, directory: Path) -> Iterator[bytes]:
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    seconds = manifest.time // 1000
    yield _head(_MANIFEST, len(content), seconds) + content + _padding(len(content))
    for one in manifest.segments:
        yield _head(name_of(one.segment), one.length, seconds)
        yield from _read(directory, one)
        yield _padding(one.length)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _head(name: str, length: int, seconds: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = length, seconds, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padding(length: int) -> bytes:
    return bytes(-length % tarfile.BLOCKSIZE)


def _read(directory: Path, one: SegmentLength) -> Iterator[bytes]:
    """The bytes of a file as they were written, whichever form it has."""
    contents = open_contents(directory, one.segment)
    at = 0
    while at < one.length:
        part = contents.read(min(limits.BACKUP_PART_BYTES, one.length - at), at)
        if not part:
            lost = one.length - at
            raise Damaged(f"{name_of(one.segment)} lost {lost} bytes while it was copied: run `newswire opsfile check`")
        yield part
        at += len(part)


# -- reading ------------------------------------------------------------------------------------------------------


class Archive:
    """A backup that is read once, from its beginning to its end. Everything raises Refused (`bad-backup`)."""

    def __init__(self, source: Source) -> None:
        """Read the manifest."""
        self._gzip = gzip.GzipFile(fileobj=cast(IO[bytes], source), mode="rb")
        with _as_refusal():
            self._tar = tarfile.open(fileobj=self._gzip, mode="r|")  # noqa: SIM115  # it has nothing to close
            self.manifest = self._read_manifest()

    def segments(self) -> Iterator[tuple[SegmentLength, Iterator[bytes]]]:
        """Each segment with its bytes, in order. The bytes are to be read to their end before the next is asked for.

        Behind the last one is the end of the backup, or this raises: what was read before is good only then.
        """
        for one in self.manifest.segments:
            with _as_refusal():
                member = self._tar.next()
            if member is None or (member.name, member.size) != (name_of(one.segment), one.length) or not member.isreg():
                raise _bad(f"{name_of(one.segment)} is not in it as its manifest says")
            yield one, self._read(member)
        with _as_refusal():
            if self._tar.next() is not None:
                raise _bad("it holds more than its manifest says")
            while self._gzip.read(limits.BACKUP_PART_BYTES):
                pass

    def _read_manifest(self) -> Manifest:
        member = self._tar.next()
        if member is None or member.name != _MANIFEST or not 0 < member.size <= limits.BACKUP_MANIFEST_BYTES:
            raise _bad("it does not begin with a manifest")
        content = b"".join(self._read(member))
        try:
            number = msgspec.json.decode(content, type=_Format).format
            if not FORMAT <= number <= COMPACTED_FORMAT:
                raise _bad(
                    f"it has format {number}, and this newswire reads formats {FORMAT} and {COMPACTED_FORMAT}: "
                    "use the version that wrote it"
                )
            manifest = msgspec.json.decode(content, type=Manifest)
        except BAD_JSON as error:
            raise _bad(f"its manifest cannot be read ({error})") from None
        numbers = [one.segment for one in manifest.segments]
        layout = manifest.layout
        if (
            sorted({*numbers}) != numbers
            or any(one.segment < 1 or one.length < 0 for one in manifest.segments)
            or (layout is not None) != (manifest.format == COMPACTED_FORMAT)
            or (layout is not None and not layout.lengths.keys() <= {*numbers})
        ):
            raise _bad("its manifest names segments that cannot be")
        try:
            check_broker_id(manifest.broker)
        except BadRequest as error:
            raise _bad(error.detail) from None
        return manifest

    def _read(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        with _as_refusal():
            file = cast(IO[bytes], self._tar.extractfile(member))
            left = member.size
            while left:
                part = file.read(min(limits.BACKUP_PART_BYTES, left))
                if not part:
                    raise _bad("it ends too early")
                left -= len(part)
                yield part


class LineTally:
    """Counts the records of a segment as its bytes come, and what is none: its checksum is wrong."""

    def __init__(self) -> None:
        self.records = 0  # header and marks among them
        self.bad = 0
        self._rest = b""

    def add(self, part: bytes) -> None:
        """Count what ends in `part`."""
        lines = (self._rest + part).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > limits.RECORD_BYTES + segment.FRAME_BYTES:
            self.bad, self._rest = self.bad + 1, b""
        bad = 0 if segment.bodies(lines) is not None else sum(segment.body(one) is None for one in lines)
        self.bad += bad
        self.records += len(lines) - bad

    def end(self) -> None:
        """The segment has ended: it ends with a line."""
        self.bad += bool(self._rest)
        self._rest = b""


@contextmanager
def _as_refusal() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise _bad("it ends too early") from None
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad(f"{error}") from None


def _bad(why: str) -> Refused:
    return Refused(f"this is no whole backup: {why}. Nothing of it is used: take another one", code="bad-backup")
