"""One file of a log, as it was written and compressed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from newswire.engine.embedded import blocks, disk, log_file
from newswire.engine.embedded.blocks import BLOCK_BYTES
from newswire.engine.embedded.log_file import open_contents, pack_file, path_on_disk, remove_file
from tests.engine.embedded.test_blocks import text

PLAIN = text(12 * BLOCK_BYTES + 77)
KEPT = len(PLAIN) - 50  # what is behind it is a torn end


def yes() -> bool:
    return True


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "00000001.ops").write_bytes(PLAIN)
    return tmp_path


def test_what_counts_of_it_is_read_alike_in_both_forms(home: Path) -> None:
    before = open_contents(home, 1)
    assert before.length == len(PLAIN)
    assert pack_file(home, 1, KEPT, yes)
    assert os.listdir(home) == ["00000001.ops.zst"]
    assert path_on_disk(home, 1).stat().st_size < KEPT / 2
    after = open_contents(home, 1)
    assert after.length == KEPT
    for length, offset in (
        (KEPT, 0),
        (10, 0),
        (10, BLOCK_BYTES - 5),
        (3 * BLOCK_BYTES, 5),
        (100, KEPT - 3),
        (1, KEPT),
        (9, 1 << 31),
    ):
        expected = PLAIN[offset : min(offset + length, KEPT)]
        assert after.read(length, offset) == after.read_once(length, offset) == expected
    assert before.read(20, 5) == PLAIN[5:25], "who had it open reads on"


def test_a_record_after_the_other_unpacks_each_block_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_file(home, 1, KEPT, yes)
    contents, count = open_contents(home, 1), []
    real = blocks.unpack
    monkeypatch.setattr(blocks, "unpack", lambda frame, size: (count.append(size), real(frame, size))[1])
    for offset in range(0, KEPT, 300):
        contents.read_once(300, offset)
    assert len(count) == 13


def test_it_stays_where_it_is_short_or_gets_no_smaller(home: Path) -> None:
    assert not pack_file(home, 1, len(PLAIN) + 1, yes)
    (home / "00000002.ops").write_bytes(os.urandom(50_000))
    assert not pack_file(home, 2, 50_000, yes)
    assert sorted(os.listdir(home)) == ["00000001.ops", "00000002.ops"]


def test_broken_off_it_stays_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "_PIECE_BYTES", 20_000)
    for after in range(3):
        answers = iter([True] * after)
        assert not pack_file(home, 1, KEPT, lambda answers=answers: next(answers, False))
        assert os.listdir(home) == ["00000001.ops"]
    assert (home / "00000001.ops").read_bytes() == PLAIN


@pytest.mark.parametrize("call", ["write_all", "sync_data", "drop_cached", "sync_directory"])
def test_a_disk_that_fails_leaves_what_counts(home: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(disk, call, fail)
    with pytest.raises(OSError, match="bad sector"):
        pack_file(home, 1, KEPT, yes)
    assert open_contents(home, 1).read(len(PLAIN), 0) == PLAIN
    assert not list(home.glob("*.tmp"))


def test_a_file_that_cannot_be_read_is_not_packed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros in place of what a disk does not give back now would be all that is left of it."""

    def fail(fd: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(OSError, match="bad sector"):
        pack_file(home, 1, KEPT, yes)
    monkeypatch.undo()
    assert os.listdir(home) == ["00000001.ops"]


def test_what_is_read_back_otherwise_does_not_count(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = disk.write_all

    def rot(fd: int, data: bytes) -> None:
        spoilt = bytearray(data)
        spoilt[len(data) // 2] ^= 4
        real(fd, bytes(spoilt))

    monkeypatch.setattr(disk, "write_all", rot)
    assert not pack_file(home, 1, KEPT, yes)
    assert os.listdir(home) == ["00000001.ops"]


def test_blocks_that_the_disk_cannot_read_are_zeros_or_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_file(home, 1, KEPT, yes)
    contents, real = open_contents(home, 1), os.pread
    third = contents._index.frame_of(2)[1]  # type: ignore[attr-defined]

    def pread(fd: int, length: int, offset: int) -> bytes:
        if offset <= third < offset + length:
            raise OSError(errno.EIO, "bad sector")
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    found = contents.read(4 * BLOCK_BYTES, 0)
    assert found == PLAIN[: 2 * BLOCK_BYTES] + bytes(BLOCK_BYTES) + PLAIN[3 * BLOCK_BYTES : 4 * BLOCK_BYTES]
    contents.read(1, 0)
    with pytest.raises(OSError, match="bad sector"):
        contents.read_once(10, 2 * BLOCK_BYTES)


def test_it_is_removed_in_both_forms(home: Path) -> None:
    (home / "00000001.ops.zst").write_bytes(b"")
    remove_file(home, 1)
    remove_file(home, 1)
    assert os.listdir(home) == []
    with pytest.raises(FileNotFoundError, match=r"00000001\.ops'"):
        open_contents(home, 1)
