"""Looking at segments: records by their place, and all of a directory in order, whatever was damaged."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from newswire.core import limits
from newswire.engine.embedded import segment
from newswire.engine.embedded.ops_file import Damage, path_of, segments_in
from newswire.engine.embedded.pieces import StoredRun
from newswire.engine.embedded.scan import Scan
from newswire.errors import Damaged, NewswireError
from tests.kit.ops_files import ORIGIN, Opener, crash, flip, held, raw, raws


def test_records_are_read_by_their_place(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path, segment_bytes=2_000)
    stored = [raw(i, "y" * (i % 5) * 300) for i in range(1, 60)]
    places = [place for one in stored for place in file.append([one])]
    assert len(segments_in(tmp_path)) > 5
    assert [file.read(*place) for place in places] == stored
    assert file.read_lines(places) == stored
    assert file.read_lines(places[::-3]) == stored[::-3]
    assert file.read_lines([]) == []


def test_neighbours_are_read_in_one_go(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(tmp_path)
    places = file.append([raw(i) for i in range(1, 1_001)])
    calls: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, at: calls.append(length) or real(fd, length, at))
    assert len(file.read_lines(places[::2])) == 500
    assert len(calls) == 1
    monkeypatch.setattr(limits, "READ_BYTES", 10_000)
    file.read_lines(places)
    assert max(calls[1:]) <= 10_000


def test_more_segments_are_read_than_are_kept_open(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OPEN_SEGMENTS", 2)
    file = opened(tmp_path, segment_bytes=300)
    places = [place for i in range(1, 30) for place in file.append(raws(i))]
    before = len(opened_in(tmp_path))
    errors: list[Exception] = []

    def reader() -> None:
        try:
            for _ in range(20):
                for i, place in enumerate(places, 1):
                    assert file.read(*place) == raw(i)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(opened_in(tmp_path)) <= before + 2


def opened_in(folder: Path) -> list[str]:
    """The files in a folder that this process has open, where /proc says so."""
    found: list[str] = []
    for path in Path("/proc/self/fd").iterdir() if os.path.isdir("/proc/self/fd") else ():
        with suppress(FileNotFoundError):
            found.append(os.readlink(path))
    return [name for name in found if name.startswith(f"{folder}/")]


def test_a_record_that_changed_on_disk_is_not_handed_out(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    places = file.append(raws(1, 2, 3))
    flip(path_of(tmp_path, 1), segment.split_place(places[1][0])[1] + 30)
    with pytest.raises(Damaged, match="opsfile check") as caught:
        file.read_lines(places)
    assert str(segment.split_place(places[1][0])[1]) in caught.value.detail
    assert file.read(*places[2]) == raw(3)


def test_a_segment_that_is_gone_is_an_error_with_a_sentence(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    places = file.append(raws(1))
    path_of(tmp_path, 1).unlink()
    with pytest.raises(Damaged, match=r"00000001\.ops"):
        file.read(*places[0])


def test_segments_of_another_version_are_refused(tmp_path: Path, opened: Opener) -> None:
    path_of(tmp_path, 1).write_bytes(segment.line(b'{"op":"segment","v":4,"whatever":1}'))
    with pytest.raises(NewswireError, match=r"version 4.*run the version that wrote it"):
        list(opened(tmp_path, start=False).scan())
    assert segments_in(tmp_path) == [1]


def test_segments_of_two_clusters_are_refused(tmp_path: Path, opened: Opener) -> None:
    for number, cluster in ((1, "one"), (2, ""), (3, "two")):
        path_of(tmp_path, number).write_bytes(segment.header_line(number, cluster, ORIGIN, {}))
    with pytest.raises(NewswireError, match="two clusters, one and two"):
        list(opened(tmp_path, start=False).scan())


@pytest.mark.parametrize("wreck", [bytes, lambda size: b"\xa5" * size], ids=["zeros", "garbage"])
def test_a_segment_that_cannot_be_read_at_all_is_damage(tmp_path: Path, opened: Opener, wreck: Callable[[int], bytes]) -> None:
    """More than its header was there, so that was synced, and what came behind it may have been answered for."""
    file = opened(tmp_path / "run")
    file.append([raw(i, "y" * 100) for i in range(1, 51)])
    file.sync()
    copy = crash(tmp_path / "run", tmp_path / "copy")
    size = path_of(copy, 1).stat().st_size
    path_of(copy, 1).write_bytes(wreck(size))
    for run in range(2, 4):
        file = opened(copy)
        assert (file.damage, file.torn_bytes) == ([Damage(1, 0, size, "checksum")], 0)
        file.append(raws(run))
        file.close()
    assert held(copy) == [2, 3]


def test_blocks_that_cannot_be_read_cost_only_what_lies_in_them(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path)
    places = file.append([raw(i, "y" * 100) for i in range(1, 301)])
    file.sync()
    file.close()
    file = opened(tmp_path, start=False)
    real = os.pread

    def pread(fd: int, length: int, at: int) -> bytes:
        if length > 100 and at < 12_288 and at + length > 8_192:  # the third block
            raise OSError(errno.EIO, "bad sector")
        return real(fd, length, at)

    monkeypatch.setattr(os, "pread", pread)
    found = {op.sequence for rows in file.scan() for op, _, _ in rows}
    lost = {
        i
        for i, (place, length) in enumerate(places, 1)
        if place & 0xFFFFFFFF < 12_288 and (place & 0xFFFFFFFF) + length > 8_192
    }
    assert found == set(range(1, 301)) - lost
    assert len(file.damage) == 1


def test_progress_ends_at_all(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path, segment_bytes=50_000)
    for i in range(1, 400):
        file.append([raw(i, "y" * 500)])
    file.close()
    seen: list[tuple[int, int]] = []
    file = opened(tmp_path, start=False)
    for _ in file.scan(lambda done, total: seen.append((done, total))):
        pass
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == sum(path_of(tmp_path, n).stat().st_size for n in segments_in(tmp_path))


@pytest.mark.parametrize("least", [0, limits.AHEAD_BYTES], ids=["in processes", "here"])
def test_a_fold_is_given_what_a_look_from_outside_finds_damage_and_all(
    least: int, tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AHEAD_BYTES", least)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    forks: list[int] = []
    real = os.fork
    monkeypatch.setattr(os, "fork", lambda: (forks.append(1), real())[1])
    file = opened(tmp_path / "a", segment_bytes=10_000)
    for start in range(1, 400, 80):
        file.append(raws(*range(start, start + 80)))
        file.sync()
    copy = crash(tmp_path / "a", tmp_path / "b")
    numbers = segments_in(copy)
    flip(path_of(copy, numbers[0]), 700)
    flip(path_of(copy, numbers[1]), 5_000)
    plain, scan = Scan(copy), Scan(copy)
    rows = [row for batch in plain.batches() for row in batch]
    seen: list[tuple[int, int]] = []
    places: list[int] = []
    runs = 0
    for piece in scan.pieces(lambda done, total: seen.append((done, total))):
        places += piece.places if isinstance(piece, StoredRun) else [place for _, place, _ in piece]
        runs += isinstance(piece, StoredRun)
    assert places == [place for _, place, _ in rows]
    assert scan.damage == plain.damage != []
    assert (scan.kept, scan.named, scan.torn_bytes, scan.cluster) == (plain.kept, plain.named, plain.torn_bytes, plain.cluster)
    assert runs >= 3
    assert len(forks) == (0 if least else 2)
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)
