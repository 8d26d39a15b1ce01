"""A backup as bytes: what was packed is read, and nothing else ever is."""

from __future__ import annotations

import gzip
import io
import subprocess
from pathlib import Path

import msgspec
import pytest

from newswire.core import limits
from newswire.engine.embedded import archive, segment
from newswire.engine.embedded.archive import Archive, LineTally, Manifest, pack
from newswire.engine.embedded.layout import SegmentLength
from newswire.engine.embedded.scan import path_of
from newswire.errors import Damaged, Refused

LINE = segment.line(b'{"op":"msg"}')


def manifest(**lengths: int) -> Manifest:
    """One that names segments `s1`, `s2`, ... with these lengths."""
    segments = tuple(SegmentLength(int(name[1:]), length) for name, length in lengths.items())
    return Manifest(
        format=archive.FORMAT,
        cluster="c" * 32,
        broker="1001",
        time=1_795_514_400_000,
        newest=1_795_514_399_000,
        vector={"1001-a": 3},
        segments=segments,
    )


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    path_of(tmp_path, 1).write_bytes(LINE * 20 + b"not synced yet")
    path_of(tmp_path, 3).write_bytes(LINE)
    return b"".join(pack(manifest(s1=len(LINE) * 20, s3=len(LINE)), tmp_path))


def content(data: bytes) -> tuple[Manifest, dict[int, bytes]]:
    source = Archive(io.BytesIO(data))
    return source.manifest, {one.segment: b"".join(parts) for one, parts in source.segments()}


def test_what_is_packed_is_read(packed: bytes) -> None:
    assert content(packed) == (manifest(s1=len(LINE) * 20, s3=len(LINE)), {1: LINE * 20, 3: LINE})


def test_other_programs_read_it_too(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(packed)
    listed = subprocess.run(["tar", "tzf", tmp_path / "x.tar.gz"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["manifest.json", "00000001.ops", "00000003.ops"]
    assert listed.stderr == ""


def test_a_segment_of_many_parts(tmp_path: Path) -> None:
    data = b"".join(segment.line(b"%d" % number) for number in range(60_000))
    assert len(data) > 2 * limits.BACKUP_PART_BYTES
    path_of(tmp_path, 1).write_bytes(data)
    assert content(b"".join(pack(manifest(s1=len(data)), tmp_path)))[1] == {1: data}


def test_wherever_it_is_cut_it_is_refused(packed: bytes) -> None:
    for length in range(len(packed)):
        with pytest.raises(Refused, match="no whole backup") as refusal:
            content(packed[:length])
        assert refusal.value.code == "bad-backup"


def test_a_flipped_bit_changes_nothing_that_is_taken(packed: bytes) -> None:
    """Some bits of gzip's head and padding mean nothing; all others are seen."""
    whole, refusals = content(packed), 0
    for at in range(len(packed)):
        for bit in (0x01, 0x80):
            data = bytearray(packed)
            data[at] ^= bit
            try:
                assert content(bytes(data)) == whole, at
            except Refused:
                refusals += 1
    assert refusals > 1.8 * len(packed)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 3}, "format 3"),
        ({"format": 2}, "cannot be"),
        ({"broker": "../x"}, "broker"),
        ({"segments": [{"segment": 3, "length": 1}, {"segment": 1, "length": 1}]}, "segments"),
        ({"segments": [{"segment": 1, "length": 18}]}, "more than its manifest"),
        ({"segments": [{"segment": 1, "length": 17}, {"segment": 3, "length": 18}]}, "as its manifest says"),
        ({"vector": 7}, "manifest cannot be read"),
    ],
)
def test_a_manifest_that_says_something_else(tmp_path: Path, change: dict[str, object], why: str) -> None:
    path_of(tmp_path, 1).write_bytes(b"x" * 18)
    path_of(tmp_path, 3).write_bytes(b"x" * 18)
    good = manifest(s1=18, s3=18)
    tar = gzip.decompress(b"".join(pack(good, tmp_path)))
    said = msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(good) | change), indent=1)
    rest = tar[tar.index(b"00000001.ops") :]
    data = b"".join((archive._head("manifest.json", len(said), 0), said, archive._padding(len(said)), rest))
    with pytest.raises(Refused, match=why):
        content(gzip.compress(data))


@pytest.mark.parametrize("data", [b"", b"text", gzip.compress(b""), gzip.compress(b"text" * 500)])
def test_what_is_no_backup(data: bytes) -> None:
    with pytest.raises(Refused, match="no whole backup"):
        content(data)


def test_a_segment_that_became_shorter_breaks_it_off(tmp_path: Path) -> None:
    path_of(tmp_path, 1).write_bytes(LINE)
    with pytest.raises(Damaged, match="lost 1 bytes"):
        list(pack(manifest(s1=len(LINE) + 1), tmp_path))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_records_are_counted_however_they_come(size: int) -> None:
    bad = LINE.replace(b"msg", b"mxg")
    data, tally = LINE * 3 + bad + LINE + b"torn", LineTally()
    for at in range(0, len(data), size):
        tally.add(data[at : at + size])
    tally.end()
    assert (tally.records, tally.bad) == (4, 2)


def test_a_long_stretch_without_a_line_end_takes_no_memory() -> None:
    tally = LineTally()
    for _ in range(100):
        tally.add(bytes(limits.RECORD_BYTES))
    assert len(tally._rest) <= limits.RECORD_BYTES + segment.FRAME_BYTES
    assert tally.bad > 0
