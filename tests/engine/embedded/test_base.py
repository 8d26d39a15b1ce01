"""What a compaction writes: base files, the MANIFEST; and what any crash on the way leaves."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from newswire.engine.embedded import base, layout
from newswire.engine.embedded.base import BaseWriter
from newswire.engine.embedded.layout import BASE, SegmentLength
from newswire.engine.embedded.ops_file import OpsFile, path_of
from newswire.engine.embedded.scan import Reader, read_layout
from newswire.errors import Refused
from tests.kit.ops_files import ORIGIN, Opener, held, raw, raws
from tests.kit.power import Files, PowerLog, lay_out


def writer(directory: Path, segment_bytes: int = 1000) -> BaseWriter:
    return BaseWriter(directory, BASE | 5, "cluster", ORIGIN, segment_bytes)


def compact(file: OpsFile, *sequences: int) -> None:
    """Have these records be all of the log up to now."""
    replaces, base_writer = file.begin_base()
    for sequence in sequences:
        base_writer.write(raws(sequence))
    its_layout = file.commit_base(base_writer.finish(), replaces)
    file.switch(its_layout)
    assert file.remove_replaced()


def test_what_is_written_stands_where_it_says(tmp_path: Path) -> None:
    one = writer(tmp_path, segment_bytes=500)
    places = [*one.write(raws(1, 2)), *one.write(raws(3)), *one.write(raws(4, 5, 6))]
    files = one.finish()
    assert [file.segment for file in files] == [BASE | 5, BASE | 6]
    assert [file.length for file in files] == [path_of(tmp_path, file.segment).stat().st_size for file in files]
    assert sum(file.length for file in files) == one.size
    assert Reader(tmp_path).read_lines(places) == raws(1, 2, 3, 4, 5, 6)


def test_a_piece_that_no_file_has_room_for_has_one_of_its_own(tmp_path: Path) -> None:
    one = writer(tmp_path, segment_bytes=100)
    places = [one.write([raw(1, "x" * 500)])[0], one.write(raws(2))[0]]
    assert len(one.finish()) == 2
    assert Reader(tmp_path).read_lines(places) == [raw(1, "x" * 500), raw(2)]


def test_nothing_is_a_base_too(tmp_path: Path) -> None:
    assert writer(tmp_path).finish() == ()


@pytest.mark.parametrize("is_finished", [False, True])
def test_what_is_abandoned_is_gone(tmp_path: Path, is_finished: bool) -> None:
    one = writer(tmp_path, segment_bytes=300)
    for sequence in (1, 2, 3):
        one.write(raws(sequence))
    if is_finished:
        one.finish()
    one.abandon()
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_begun_leaves_the_base_before_it(tmp_path: Path) -> None:
    """A scenario with a small disk found it: the file before the first, which was the log, went."""
    first = BaseWriter(tmp_path, BASE | 4, "cluster", ORIGIN)
    first.write(raws(1))
    first.finish()
    writer(tmp_path).abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["base-00000004.ops"]


def test_a_full_disk_is_an_error_and_what_was_written_can_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = writer(tmp_path)
    one.write(raws(1))

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "write", full)
        one.write(raws(2))
    one.abandon()
    assert list(tmp_path.iterdir()) == []


def test_both_copies_of_the_manifest_are_written_and_one_that_is_right_is_left(tmp_path: Path) -> None:
    its_layout = layout.Layout(version=1, generation=1, files=(SegmentLength(segment=BASE | 1, length=7),), replaces=3)
    base.store_layout(tmp_path, its_layout)
    assert [path.name for path in sorted(tmp_path.iterdir())] == list(layout.COPIES)
    (tmp_path / layout.MANIFEST).write_bytes(b"damaged")
    before = (tmp_path / layout.COPIES[1]).stat().st_ino
    assert read_layout(tmp_path) == its_layout
    base.store_layout(tmp_path, its_layout)
    assert (tmp_path / layout.MANIFEST).read_bytes() == (tmp_path / layout.COPIES[1]).read_bytes()
    assert (tmp_path / layout.COPIES[1]).stat().st_ino == before


def test_a_power_cut_at_any_step_leaves_the_log_as_it_was_or_as_it_is(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two compactions of a log that goes on: after each crash a start finds all of one, and what was synced behind."""
    old, new = [1, 2, 3, 4, 5, 6], [2, 4, 6]
    file = opened(tmp_path / "ops", segment_bytes=400)
    for sequence in old:
        file.append(raws(sequence))
        file.sync()
    states: list[tuple[str, list[list[int]], Files]] = []
    may_be = [old]
    seen: set[tuple[tuple[str, bytes], ...]] = set()

    def look(step: str) -> None:
        for files in log.states():
            key = tuple(sorted(files.items()))
            if key not in seen:
                seen.add(key)
                states.append((step, list(may_be), files))

    log = PowerLog(monkeypatch, tmp_path / "ops", look)
    for before, after, more in ((old, new, [7, 8]), ([*new, 7, 8], [4, 8], [9])):
        may_be = [[*before, *more[:count]] for count in range(len(more) + 1)]
        replaces, base_writer = file.begin_base()
        for sequence in after:
            base_writer.write(raws(sequence))
        for sequence in more:
            file.append(raws(sequence))
            file.sync()
        may_be = [[*before, *more], [*after, *more]]
        its_layout = file.commit_base(base_writer.finish(), replaces)
        may_be = [[*after, *more]]
        file.switch(its_layout)
        assert file.remove_replaced()
    look("end")
    monkeypatch.undo()
    assert held(tmp_path / "ops") == [4, 8, 9]
    assert log.steps.count("rename MANIFEST.tmp") == 2
    assert len(states) > 60
    for at, (step, sequences, files) in enumerate(states):
        directory = lay_out(files, tmp_path / f"cut{at}")
        assert held(directory) in sequences, f"a look from outside, after {step}"
        found = check_start(directory)
        assert found in sequences, f"after {step}"


def check_start(directory: Path) -> list[int]:
    """The sequences that a start finds, which then settles what it has found: the next one finds the same, and nothing else."""
    file = OpsFile(directory, synced=False)
    found = [op.sequence for rows in file.scan() for op, _, _ in rows]
    assert file.damage == []
    file.start("cluster", ORIGIN)
    file.close()
    names = os.listdir(directory)
    its_layout = read_layout(directory)
    assert layout.left_over(names, its_layout) == []
    assert [name for name in names if name.endswith(".tmp")] == []
    assert its_layout is None or set(layout.COPIES) < set(names)
    assert held(directory) == found
    return found


def test_a_compacted_log_opens_again_and_again_and_goes_on(tmp_path: Path, opened: Opener) -> None:
    for start in range(1, 4):
        file = opened(tmp_path, segment_bytes=300)
        file.append(raws(10 * start, 10 * start + 1))
        file.sync()
        compact(file, *(10 * one for one in range(1, start + 1)))
        file.append(raws(10 * start + 2))
        file.close()
        assert held(tmp_path) == [*(10 * one for one in range(1, start + 1)), 10 * start + 2]
    its_layout = read_layout(tmp_path)
    assert its_layout is not None
    assert its_layout.generation == 3


def test_an_older_newswire_refuses_what_was_compacted(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.append(raws(1))
    assert b'"v":1' in path_of(tmp_path, 1).read_bytes()
    compact(file, 1)
    file.close()
    opened(tmp_path).close()
    assert [b'"v":2' in path.read_bytes().splitlines()[0] for path in sorted(tmp_path.glob("*.ops"))] == [True] * 3


@pytest.mark.parametrize("name", layout.COPIES)
def test_a_damaged_copy_of_the_manifest_is_written_anew(
    tmp_path: Path, opened: Opener, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = opened(tmp_path)
    file.append(raws(1, 2))
    compact(file, 2)
    file.close()
    opened(tmp_path).close()
    assert caplog.messages == []
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(good[:-3])
    file = opened(tmp_path)
    (line,) = caplog.messages
    assert line.startswith(f"{name} was damaged or gone, and is written anew")
    assert (tmp_path / name).read_bytes() == good
    assert held(tmp_path) == [2]


def test_a_start_refuses_where_no_manifest_can_be_read_and_lets_the_directory_go(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.append(raws(1, 2))
    compact(file, 2)
    file.close()
    contents = {name: (tmp_path / name).read_bytes() for name in layout.COPIES}
    for name in layout.COPIES:
        (tmp_path / name).write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(Refused, match="its MANIFEST is damaged"):
            OpsFile(tmp_path)
    for name in layout.COPIES:
        (tmp_path / name).unlink()
    with pytest.raises(Refused, match="its MANIFEST is not there"):
        OpsFile(tmp_path)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    opened(tmp_path)
    assert held(tmp_path) == [2]


@pytest.mark.parametrize("cut", [None, 5])
def test_a_base_file_that_lost_bytes_is_damage(tmp_path: Path, opened: Opener, cut: int | None) -> None:
    file = opened(tmp_path)
    file.append(raws(1, 2))
    compact(file, 1, 2)
    file.close()
    path = path_of(tmp_path, BASE | 1)
    length = path.stat().st_size
    if cut is None:
        path.unlink()
    else:
        os.truncate(path, length - cut)
    for _ in range(2):
        file = opened(tmp_path)
        damage = [(one.segment, one.reason) for one in file.damage]
        assert damage == ([(BASE | 1, "missing")] if cut is None else [(BASE | 1, "checksum"), (BASE | 1, "missing")])
        file.close()


def test_a_number_of_a_base_file_is_not_used_again(tmp_path: Path, opened: Opener) -> None:
    """A reader that comes late finds no other file under the name."""
    file = opened(tmp_path)
    for sequence in (1, 2, 3):
        file.append(raws(sequence))
        compact(file, sequence)
        assert next(iter(file.pin().lengths)) == BASE | sequence
    file.close()


def test_what_is_pinned_stays_until_it_is_let_go(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.append(raws(1, 2))
    file.sync()
    pin = file.pin()
    replaces, base_writer = file.begin_base()
    base_writer.write(raws(2))
    its_layout = file.commit_base(base_writer.finish(), replaces)
    file.switch(its_layout)
    assert not file.remove_replaced()
    assert path_of(tmp_path, 1).stat().st_size == pin.lengths[1]
    later = file.pin()
    assert (pin.layout, later.layout) == (None, its_layout)
    assert list(later.lengths) == [BASE | 1, 2]
    del pin
    assert file.remove_replaced()
    assert not path_of(tmp_path, 1).exists()
    assert file.size_bytes() == sum(later.lengths.values())


def test_a_segment_that_was_not_rewritten_may_stay_part_of_the_log(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path, segment_bytes=300)
    for sequence in (1, 2, 3):
        file.append(raws(sequence))
        file.sync()
    lengths = file.pin().lengths
    assert list(lengths) == [1, 2, 3]
    replaces, base_writer = file.begin_base()
    files = [SegmentLength(segment=1, length=lengths[1]), *base_writer.finish(), SegmentLength(segment=3, length=lengths[3])]
    file.switch(file.commit_base(files, replaces))
    assert file.remove_replaced()
    file.append(raws(4))
    file.close()
    assert held(tmp_path) == [1, 3, 4]
    opened(tmp_path)
    assert held(tmp_path) == [1, 3, 4]
