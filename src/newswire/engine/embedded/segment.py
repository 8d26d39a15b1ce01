"""One segment: the format of its lines, and what of its bytes counts after a crash or damage. Pure, over `bytes`.

A record is one line: CRC-32 of the JSON object (8 hex digits), a space, the JSON object, a newline. Two kinds of lines
are no operations. The **header** is the first line of a segment; a **mark** begins each batch (what one `append` wrote).
Neither can be an op, whatever a peer sends: a mark has exactly three fields, none of which an op can lack, and no op
stands at offset 0.

What may have happened to a file that a process, a machine or a disk left behind:

- *A torn write.* Bytes that no sync covered are there, gone, zeros, or have holes. Nobody was told of them.
- *Damage.* Bytes that were synced, and perhaps answered for, have changed or are gone.

The bytes of a bad line can't say which it was. Their neighbours can. Let `vouched` be the length that a sync is known
to have covered; then bad bytes below it are damage, and bad bytes above it are a torn write. Two things vouch:

- A mark says how much of its own segment had been synced when it was written; it is believed whatever lies before it.
  A closing mark was written when all before it was synced. One that stands before the place that it names lost bytes
  that stood before it: all that is left of them is vouched for, and the lost ones are missing.
- The header of a later segment names the **kept length** of each earlier segment that no earlier header names. Before
  a header is written those lengths are synced. A segment never changes after that (a new start opens a new segment),
  so once named, exactly so many bytes count for ever: all of them are vouched for, and what lies behind them, the torn
  end that the start in between ignored, is nothing.

The kept length of a segment that no header names (the one in use when the process ended) is found by `kept_length`:
all that its last valid mark vouches for, and then batch by batch as long as each is whole. The first batch that is
not whole ends it, and what follows is ignored too, good records as well. That loses nothing, since only a finished sync
is answered, streamed or pushed, and it finishes for the whole batch and what lies before it; and it keeps two promises
that good records behind a bad one would break: a batch is stored all or none, and one number says what was kept. (The
price: damage to the very last batch before a crash can't be told from a torn write. After a second without a batch, and
at an orderly stop, a closing mark is written, so there it can; after a crash within that second the other copy is
fetched, as the vector of what was kept does not cover it.)

In the kept part nothing is given up: each line stands alone, good ones around a bad one are found even when the newline
between them was hit, and each stretch that is no good line becomes a `Damage`. Gaps that this leaves are the caller's:
it takes only the next sequence of an origin (docs/rules.md, TAKE) and fetches the rest from a peer.

What can't happen: a record that was not written (a CRC-32 in each line, its content checked again by `ops.decode`), and
an exception, whatever the bytes.
"""

from __future__ import annotations

import re
import struct
from binascii import unhexlify
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, Protocol
from zlib import crc32

import msgspec
from msgspec import field

from newswire.core import limits
from newswire.core.model import ops
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.ops import Op

VERSION: Final = 1  # of a log that was never compacted
PACKED_VERSION: Final = 3  # of segments that may have others before them in compressed blocks: who reads less would miss those
COMPACTED_VERSION: Final = 2  # of all segments of one that was: who reads version 1 only would take a part of it for all
FRAME_BYTES: Final = 10  # of a line beside its JSON object: eight digits, a space, a newline
MARK_BYTES: Final = 128  # a mark is never longer: three numbers of at most 20 digits
_BLOCK_BYTES: Final = 4096  # a file system may show a whole block where less was written
_CHUNK_BYTES: Final = 256 * 1024  # looked at in one go: fits the processor's cache, and spreads the cost of a call

Found = tuple[Op, int, int]  # an op, its place, the length of its line


class SegmentHeader(msgspec.Struct, frozen=True, tag_field="op", tag="segment"):
    """The first line. `kept`: the lengths of earlier segments that no earlier header names."""

    version: int = field(name="v")
    segment: int
    cluster: str
    origin: str
    kept: dict[int, int]


class Mark(msgspec.Struct, frozen=True, tag_field="op", tag="mark", forbid_unknown_fields=True):
    """The first line of a batch: `synced` bytes of this segment were synced before, `batch` bytes follow."""

    segment: int
    synced: int
    batch: int


class Damage(msgspec.Struct, frozen=True):
    """Bytes of synced history that are no good record."""

    segment: int
    offset: int
    length: int
    reason: str


class _Version(msgspec.Struct, frozen=True, tag_field="op", tag="segment"):
    version: int = field(name="v")


_encode: Final = msgspec.json.Encoder().encode
_decode_any: Final = msgspec.json.Decoder(ops.KnownOp | Mark).decode
_decode_mark: Final = msgspec.json.Decoder(Mark).decode
_decode_version: Final = msgspec.json.Decoder(_Version).decode
_decode_header: Final = msgspec.json.Decoder(SegmentHeader).decode
_MARK: Final = re.compile(rb'([0-9a-f]{8}) (\{"op":"mark","segment":(\d{1,20}),"synced":(\d{1,20}),"batch":(\d{1,20})\})')
_NAME: Final = re.compile(rb'"o":"([A-Za-z0-9]{1,16}-[a-z0-9]{1,16})","s":([1-9][0-9]{0,9})[,}]')
_MARK_START: Final = b'{"op":"mark","segment":'
# Where a line may begin. It can't stand inside a JSON string, where the quotation mark would be escaped.
_LINE_START: Final = re.compile(rb'[0-9a-f]{8} \{"[a-z]')


# -- lines ------------------------------------------------------------------------------------------------------


def line(raw: bytes) -> bytes:
    """The line that holds this JSON object."""
    return b"%08x %b\n" % (crc32(raw), raw)


def bodies(lines: Sequence[bytes], end: int | None = None) -> list[bytes] | None:
    """The JSON objects of lines (each cut at `end`: -1 for lines with their newline); None if any is bad."""
    raws = [one[9:end] for one in lines]
    try:
        sums = struct.unpack(f">{len(raws)}I", unhexlify(b"".join([one[:8] for one in lines])))
    except (ValueError, struct.error):
        return None
    return raws if tuple(map(crc32, raws)) == sums else None


def body(one: bytes) -> bytes | None:
    """The JSON object of a line without its newline; None if it is bad."""
    raws = bodies((one,))
    return raws[0] if raws else None


def header_line(number: int, cluster: str, origin: str, kept: dict[int, int], version: int = VERSION) -> bytes:
    """The first line of segment `number`."""
    return line(_encode(SegmentHeader(version=version, segment=number, cluster=cluster, origin=origin, kept=kept)))


def batch(number: int, offset: int, synced: int, raws: Sequence[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes of one batch that is to stand at `offset`, and place and length of each of its records.

    Raises ValueError for what no line can hold.
    """
    lines = [b"%08x %b\n" % (crc32(raw), raw) for raw in raws]
    lengths = list(map(len, lines))
    mark = line(_encode(Mark(number, synced, sum(lengths))))
    data = b"".join((mark, *lines))
    if data.count(b"\n") > len(lines) + 1:
        raise ValueError("an operation's JSON has a line break")
    starts = accumulate(lengths, initial=place(number, offset + len(mark)))
    return data, list(zip(starts, lengths, strict=False))


def place(number: int, offset: int) -> int:
    """Where a line begins, in one number."""
    return number << 32 | offset


def split_place(where: int) -> tuple[int, int]:
    """Segment number and byte offset of a place."""
    return where >> 32, where & 0xFFFFFFFF


class Bytes(Protocol):
    """What is asked of a segment to read its records: `bytes`, or a file of which a part is in memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...
    def find(self, what: bytes, start: int, end: int, /) -> int: ...
    def rfind(self, what: bytes, start: int, end: int, /) -> int: ...


# -- what counts ------------------------------------------------------------------------------------------------


class OtherVersion(ValueError):
    """A segment of a format that this version can't read."""


def read_header(data: Bytes, number: int) -> tuple[SegmentHeader | None, int]:
    """The header and its length, (None, 0) if it is bad. Raises OtherVersion."""
    end = data.find(b"\n", 0, limits.SEGMENT_HEADER_BYTES) + 1
    raw = body(data[: end - 1]) if end else None
    if raw is None:
        return None, 0
    try:
        version = _decode_version(raw).version
    except BAD_JSON:
        return None, 0
    if not VERSION <= version <= PACKED_VERSION:
        raise OtherVersion(
            f"segment {number} has format version {version}; this newswire reads versions {VERSION} to {PACKED_VERSION}"
        )
    try:
        header = _decode_header(raw)
    except BAD_JSON:
        return None, 0
    return (header, end) if header.segment == number else (None, 0)


def longest_header(number: int, earlier: Iterable[int]) -> int:
    """The most bytes that a torn write of segment `number`'s header leaves, if it names the lengths of `earlier` ones."""
    length = len(header_line(number, "x" * 64, "x" * 64, dict.fromkeys(earlier, 1 << 32)))
    return -(-length // _BLOCK_BYTES) * _BLOCK_BYTES


def kept_length(data: bytes, number: int, header_bytes: int = limits.SEGMENT_HEADER_BYTES) -> int:
    """How much counts of a segment that no later header names: what marks vouch for, then each whole batch.

    It is more than there is where bytes were lost that a mark stood behind. A header is synced before anything is written
    behind it: where it is bad, no mark is left, and more than `header_bytes` are there, as no torn header leaves, all counts.
    """
    kept, lost = _vouched(data, number)
    kept = kept or read_header(data, number)[1] or (len(data) if len(data) > header_bytes else 0)
    while kept and (end := _batch_end(data, number, kept)):
        kept = end
    return kept + lost


def _vouched(data: bytes, number: int) -> tuple[int, int]:
    """How much was synced by the word of the last valid mark, 0 if there is none; and how many bytes were lost before it."""
    at = data.rfind(_MARK_START)
    while at >= 0:
        start = at - 9
        mark = _mark_at(data, number, start)
        if mark is not None:
            return (start if mark.batch == 0 else min(start, mark.synced)), max(0, mark.synced - start)
        at = data.rfind(_MARK_START, 0, at)
    return 0, 0


def _mark_at(data: bytes, number: int, at: int) -> Mark | None:
    """The valid mark of this segment that begins at `at`."""
    match = _MARK.match(data, at) if at >= 0 else None
    if match is None or crc32(match[2]) != int(match[1], 16):
        return None
    mark = Mark(int(match[3]), int(match[4]), int(match[5]))
    return mark if mark.segment == number else None


def _batch_end(data: bytes, number: int, at: int) -> int:
    """Where the batch at `at` ends if it is whole; else 0."""
    mark = _mark_at(data, number, at)
    start = data.find(b"\n", at, at + MARK_BYTES) + 1
    if mark is None or not start or start + mark.batch > len(data):
        return 0
    end = start + mark.batch
    lines = data[start:end].split(b"\n")
    return end if not lines.pop() and bodies(lines) is not None else 0


def names_in(damaged: bytes) -> list[tuple[str, int]] | None:
    """Origin and sequence of the ops that these bytes were, as far as they can still be read. None: they were but a mark.

    What is read so may be wrong itself.
    """
    names = [(match[1].decode(), int(match[2])) for match in _NAME.finditer(damaged)]
    if not names and len(damaged) <= MARK_BYTES and (b'"synced":' in damaged or b'"batch":' in damaged):
        return None
    return names


# -- what is in it ----------------------------------------------------------------------------------------------


def records(data: Bytes, number: int, kept: int, damage: list[Damage]) -> Iterator[list[Found]]:
    """All good ops of the first `kept` bytes, in order, a list a chunk. Adds to `damage` what is not good."""
    end = min(kept, len(data))
    at = min(read_header(data, number)[1], end)
    while at < end:
        stop = data.rfind(b"\n", at, min(at + _CHUNK_BYTES, end)) + 1 or data.find(b"\n", at, end) + 1 or end
        chunk = data[at:stop]
        rows = _read_good(chunk, place(number, at))
        yield rows if rows is not None else _read_any(chunk, number, at, damage)
        at = stop
    if kept > len(data):
        _note(damage, number, len(data), kept, "missing")


def _read_good(chunk: bytes, base: int) -> list[Found] | None:
    """The ops of a chunk in which all is as usual, about 1 µs each; None if anything is not."""
    lines = chunk.split(b"\n")
    raws = None if lines.pop() else bodies(lines)
    if raws is None:
        return None
    try:
        decoded = list(map(_decode_any, raws))
    except BAD_JSON:
        return None
    lengths = [len(one) + 1 for one in lines]
    rows = [row for row in zip(decoded, accumulate(lengths, initial=base), lengths, strict=False) if type(row[0]) is not Mark]
    return rows if ops.are_named_well([row[0] for row in rows]) else None


def _read_any(chunk: bytes, number: int, base: int, damage: list[Damage]) -> list[Found]:
    """The good ops of any chunk, whatever it holds."""
    rows: list[Found] = []
    for start, end, raw in _pieces(chunk):
        if raw is None:
            _note(damage, number, base + start, base + end, "checksum")
        elif not _is_mark(raw):
            try:
                op = ops.decode(raw)
            except ops.NotAnOp:
                _note(damage, number, base + start, base + end, "not an operation")
                continue
            rows.append((op, place(number, base + start), end - start))
    return rows


def _pieces(chunk: bytes) -> Iterator[tuple[int, int, bytes | None]]:
    """Cut a chunk into lines: start, end, JSON object (None: bad)."""
    at = 0
    lines = chunk.split(b"\n")
    rest = lines.pop()
    for one in lines:
        raw = body(one)
        if raw is not None:
            yield at, at + len(one) + 1, raw
        else:
            yield from _pieces_of_bad(one, at)
        at += len(one) + 1
    if rest:
        yield at, len(chunk), None


def _pieces_of_bad(one: bytes, base: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Cut a bad line where lines may begin in it: a newline that was hit joins two, of which both may be good."""
    cuts = sorted({0, *(match.start() for match in _LINE_START.finditer(one))})
    for start, end in pairwise((*cuts, len(one) + 1)):
        yield base + start, base + end, body(one[start : end - 1])


def _is_mark(raw: bytes) -> bool:
    """Tell a mark from an op, also from one of a later version that is named so."""
    if not raw.startswith(b'{"op":"mark"'):
        return False
    try:
        _decode_mark(raw)
    except BAD_JSON:
        return False
    return True


def _note(damage: list[Damage], number: int, start: int, end: int, reason: str) -> None:
    """Add a stretch, or lengthen the last one."""
    last = damage[-1] if damage else None
    if last is not None and (last.segment, last.offset + last.length, last.reason) == (number, start, reason):
        damage[-1] = Damage(segment=number, offset=last.offset, length=end - last.offset, reason=reason)
    else:
        damage.append(Damage(segment=number, offset=start, length=end - start, reason=reason))
