"""Which files make up a log: their names, the MANIFEST of one that was compacted, what a start reads and sweeps. Pure.

A log that was never compacted is its segments, `00000001.ops` and on, and has no MANIFEST. A compaction writes what stays of
all segments up to one into **base files** (`base-00000001.ops`, numbered through all compactions), and then a MANIFEST that
names them with their lengths, and says which segments they replace:

    the log   the files that the MANIFEST names, in its order; then each segment behind those that it replaces
    nothing   base files that it does not name, segments that it replaces and does not name: a crash left them

The moment at which the MANIFEST has its name is the one at which the log changes from one set of files to the other; before
it the new files are nothing, after it the old ones. The old ones are removed only when two copies of the MANIFEST are on disk.
So a copy that cannot be read is no loss: the other one is as new, or all that it names is there still. Where no copy
can be read nothing is guessed; nor where there is none and what it must have replaced is gone.

A base file has a segment's header and records, no marks: its length is in the MANIFEST, and all of it was synced before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import field

from newswire.core.model.bad_json import BAD_JSON
from newswire.engine.embedded import segment

VERSION: Final = 1
MANIFEST: Final = "MANIFEST"
COPIES: Final = (MANIFEST, "MANIFEST.copy")  # in the order in which they are written
BASE: Final = 1 << 31  # in the number of a file: it is a base file
PACKED_SUFFIX: Final = ".zst"  # behind the name of a file that is kept in compressed blocks (`blocks.py`)
_NAME: Final = re.compile(r"(base-)?([0-9]{8,10})\.ops(?:\.zst)?")


class SegmentLength(msgspec.Struct, frozen=True):
    """How many bytes of a file count."""

    segment: int
    length: int


class Layout(msgspec.Struct, frozen=True, tag_field="op", tag="manifest"):
    """What a MANIFEST says. `generation`: how many compactions there were. `replaces`: the last segment that is replaced."""

    version: int = field(name="v")
    generation: int
    files: tuple[SegmentLength, ...]
    replaces: int

    @property
    def lengths(self) -> dict[int, int]:
        """The length of each file that it names, in the order of the log."""
        return {one.segment: one.length for one in self.files}


class _Version(msgspec.Struct, frozen=True, tag_field="op", tag="manifest"):
    version: int = field(name="v")


class UnknownLayout(ValueError):
    """What makes up the log cannot be told."""


# -- names --------------------------------------------------------------------------------------------------------


def name_of(number: int) -> str:
    """The name of a file by its number."""
    return f"base-{number ^ BASE:08d}.ops" if number & BASE else f"{number:08d}.ops"


def number_of(name: str) -> int | None:
    """The number of a file by its name, whichever form it has; None for other files."""
    match = _NAME.fullmatch(name)
    number = int(match[2]) if match is not None else BASE
    if match is None or number >= BASE:
        return None
    return number | BASE if match[1] else number


# -- the MANIFEST ---------------------------------------------------------------------------------------------------


def encode(layout: Layout) -> bytes:
    """The bytes of a MANIFEST."""
    return segment.line(msgspec.json.encode(layout))


def decode(data: bytes) -> Layout | None:
    """What these bytes of a MANIFEST say; None if they are damaged. Raises UnknownLayout for another version."""
    raw = segment.body(data[:-1]) if data.endswith(b"\n") else None
    if raw is None:
        return None
    try:
        version = msgspec.json.decode(raw, type=_Version).version
        if version != VERSION:
            raise UnknownLayout(f"its {MANIFEST} has version {version}, and this newswire reads version {VERSION}")
        return msgspec.json.decode(raw, type=Layout)
    except BAD_JSON:
        return None


def newest(copies: Sequence[bytes | None]) -> Layout | None:
    """What the copies (None: not there) say together: the later one counts. None: never compacted. Raises UnknownLayout."""
    contents = [data for data in copies if data is not None]
    layouts = [layout for layout in map(decode, contents) if layout is not None]
    if contents and not layouts:
        raise UnknownLayout(
            f"its {MANIFEST} is damaged, so which files count is not known. Restore it, or the folder, from a backup"
        )
    return max(layouts, key=lambda one: one.generation, default=None)


def bad_copies(copies: Sequence[bytes | None]) -> list[str]:
    """The names of the copies that are not as they were written, or gone; not of one that a crash kept from being written.

    The first copy is written before the second, and each compaction writes both. Raises UnknownLayout, as `newest`.
    """
    its_layout = newest(copies)
    if its_layout is None:
        return []
    first, second = copies
    is_cut_short = second is None and first is not None and its_layout.generation == 1
    there = zip(COPIES[:1] if is_cut_short else COPIES, copies, strict=False)
    return [name for name, data in there if data is None or decode(data) is None]


# -- files ----------------------------------------------------------------------------------------------------------


def log_files(names: Iterable[str], layout: Layout | None) -> list[int]:
    """The numbers of the files that make up the log and are there, in its order. Raises UnknownLayout."""
    numbers = {number for number in map(number_of, names) if number is not None}
    segments = sorted(number for number in numbers if not number & BASE)
    if layout is None:
        if len(segments) < len(numbers) and 1 not in segments:
            raise UnknownLayout(f"its {MANIFEST} is not there, and it was compacted. Restore it, or the folder, from a backup")
        return segments
    named = [one.segment for one in layout.files]
    return [number for number in named if number in numbers] + [number for number in segments if number > layout.replaces]


def left_over(names: Iterable[str], layout: Layout | None) -> list[int]:
    """The numbers of the files that make up nothing: what a crash left of a compaction. Raises UnknownLayout."""
    names = list(names)
    count = set(log_files(names, layout))
    return sorted({number for number in map(number_of, names) if number is not None and number not in count})
