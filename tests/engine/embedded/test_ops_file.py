"""The ops file on a real disk: what is promised after a crash, a full or failing disk, and damage."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from newswire.core import limits
from newswire.engine.embedded import disk, segment
from newswire.engine.embedded.ops_file import Damage, Scan, path_of, segments_in
from newswire.errors import DiskFailed, StorageFull, TooLarge
from tests.kit.ops_files import ORIGIN, Opener, crash, flip, held, raw, raws
from tests.kit.waiting import PATIENCE_SECONDS

# -- storing and reading ----------------------------------------------------------------------------------------


def test_what_was_appended_is_found_again_in_order(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path / "ops" / "1001")
    places = file.append(raws(1, 2, 3)) + file.append(raws(4))
    file.sync()
    file.close()
    again = opened(tmp_path / "ops" / "1001", start=False)
    rows = [row for found in again.scan() for row in found]
    assert [op.sequence for op, _, _ in rows] == [1, 2, 3, 4]
    assert [(place, length) for _, place, length in rows] == places
    assert (again.cluster, again.damage, again.torn_bytes) == ("cluster", [], 0)


def test_nothing_appended_writes_nothing(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    before = path_of(tmp_path, 1).stat().st_size
    assert file.append([]) == []
    assert path_of(tmp_path, 1).stat().st_size == before


def test_what_no_line_can_hold_is_refused_whole(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    with pytest.raises(TooLarge):
        file.append([raw(1), raw(2, "x" * limits.RECORD_BYTES)])
    with pytest.raises(ValueError, match="line break"):
        file.append([raw(1), b'{"op":\n"x"}'])
    file.append(raws(1))
    assert held(tmp_path) == [1]


def test_free_bytes(tmp_path: Path, opened: Opener) -> None:
    assert 0 < opened(tmp_path).free_bytes() <= shutil.disk_usage(tmp_path).total


def test_its_files_are_looked_at_when_one_has_come_or_gone(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start leaves one, and the size is asked for each second, in the thread that stores: 10,000 took 40 ms of it."""
    looks: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (looks.append(path), scandir(path))[1])

    def settle() -> None:
        os.utime(tmp_path, (1, 1 + len(looks)))  # its last change was long ago

    def check(expected: int) -> None:
        looks.clear()
        assert file.size_bytes() == sum(path.stat().st_size for path in tmp_path.iterdir() if ".ops" in path.name)
        assert len(looks) == expected

    file = opened(tmp_path)
    check(1)
    check(1)  # it may have changed within the tick of its clock
    settle()
    check(1)
    file.append(raws(1, 2))
    check(0)
    file.roll("cluster")
    check(1)
    settle()
    check(1)
    check(0)
    beside = tmp_path / "base-00000001.ops.tmp"
    beside.write_bytes(b"x" * 100)
    settle()
    check(1)
    beside.write_bytes(b"x" * 200)
    check(1)  # what is written beside grows
    beside.unlink()
    check(1)


# -- segments ---------------------------------------------------------------------------------------------------


def test_every_start_opens_a_new_segment_and_never_touches_an_old_one(tmp_path: Path, opened: Opener) -> None:
    seen: dict[int, bytes] = {}
    for run in range(1, 4):
        file = opened(tmp_path)
        file.append(raws(run))
        file.sync()
        file.close()
        for number, before in seen.items():
            assert path_of(tmp_path, number).read_bytes() == before
        seen = {number: path_of(tmp_path, number).read_bytes() for number in segments_in(tmp_path)}
        assert list(seen) == list(range(1, run + 1))
    assert held(tmp_path) == [1, 2, 3]


def test_a_segment_ends_before_a_batch_that_does_not_fit(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path, segment_bytes=2_000)
    for i in range(1, 40):
        file.append(raws(i))
        file.sync()
    file.append([raw(40, "y" * 5_000)])  # larger than a segment: gets one for itself
    file.append(raws(41))
    sizes = [path_of(tmp_path, number).stat().st_size for number in segments_in(tmp_path)]
    assert len(sizes) > 4
    assert [size > 2_000 for size in sizes].count(True) == 1
    assert held(tmp_path) == list(range(1, 42))


def test_roll_names_the_cluster_from_then_on(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path, start=False)
    assert list(file.scan()) == []
    file.start("", ORIGIN)
    file.append(raws(1))
    assert file.cluster == ""
    file.roll("c-42")
    file.append(raws(2))
    assert file.cluster == "c-42"
    file.close()
    scan = Scan(tmp_path)
    assert [len(rows) for rows in scan.batches()] == [1, 1]
    assert scan.cluster == "c-42"


def test_numbers_are_not_used_again(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.roll("cluster")
    file.close()
    path_of(tmp_path, 2).unlink()  # by hand: nothing names it yet
    path_of(tmp_path, 1).unlink()
    file = opened(tmp_path)
    file.append(raws(1))
    file.roll("cluster")
    file.close()
    path_of(tmp_path, 1).unlink()  # this one is named by 2
    file = opened(tmp_path)
    assert segments_in(tmp_path) == [2, 3]
    assert [(one.segment, one.reason) for one in file.damage] == [(1, "missing")]


def test_start_before_the_scan_has_ended_is_a_mistake(tmp_path: Path, opened: Opener) -> None:
    opened(tmp_path).close()
    file = opened(tmp_path, start=False)
    with pytest.raises(RuntimeError, match="scan"):
        file.start("cluster", ORIGIN)
    with pytest.raises(RuntimeError, match="not started"):
        file.append(raws(1))


# -- who may use it ---------------------------------------------------------------------------------------------


def test_close_lets_the_next_one_in_and_can_be_called_again(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.close()
    file.close()
    opened(tmp_path)


# -- crashes ----------------------------------------------------------------------------------------------------


def test_a_crash_at_every_byte_of_a_batch_keeps_all_synced_ones_and_the_next_run_goes_on(
    tmp_path: Path, opened: Opener
) -> None:
    file = opened(tmp_path / "run")
    file.append(raws(1, 2))
    file.sync()
    synced = path_of(tmp_path / "run", 1).stat().st_size
    file.append(raws(3, 4))
    written = path_of(tmp_path / "run", 1).stat().st_size
    for cut in range(synced, written + 1):
        copy = crash(tmp_path / "run", tmp_path / f"cut-{cut}")
        os.truncate(path_of(copy, 1), cut)
        expected = [1, 2, 3, 4] if cut == written else [1, 2]
        next_run = opened(copy, synced=cut % 16 == 0)  # the sync itself is not what is tested here
        next_run.append(raws(5))
        next_run.close()
        assert held(copy) == [*expected, 5]
        last = opened(copy, start=False, synced=False)
        assert [op.sequence for rows in last.scan() for op, _, _ in rows] == [*expected, 5]
        assert last.damage == []
        last.close()


@pytest.mark.parametrize("synced", [True, False])
def test_a_torn_end_stays_what_it_is_over_many_starts(tmp_path: Path, opened: Opener, synced: bool) -> None:
    """Also when the segments that follow it were torn at their very creation."""
    file = opened(tmp_path / "run", synced=synced)
    file.append(raws(1))
    file.sync()
    file.append(raws(2, 3))
    copy = crash(tmp_path / "run", tmp_path / "copy")
    torn = path_of(copy, 1).read_bytes()[:-1] + b"\0" * 500 + segment.line(raw(4))
    path_of(copy, 1).write_bytes(torn)
    path_of(copy, 2).write_bytes(b"")
    path_of(copy, 3).write_bytes(segment.header_line(3, "cluster", ORIGIN, {})[:20])
    path_of(copy, 4).write_bytes(bytes(4096))
    for run in range(5, 8):
        file = opened(copy, synced=synced)
        assert segments_in(copy)[-1] == run
        assert (file.damage, file.torn_bytes > 500) == ([], True)
        file.append(raws(run))
        file.sync()
        file.close()
    assert held(copy) == [1, 5, 6, 7]
    assert path_of(copy, 1).read_bytes() == torn


def test_a_header_names_every_length_that_none_before_it_does(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path / "run")
    file.append(raws(1))
    file.sync()
    copy = crash(tmp_path / "run", tmp_path / "copy")
    size = path_of(copy, 1).stat().st_size
    path_of(copy, 2).write_bytes(b"torn")
    file = opened(copy)
    assert segment.read_header(path_of(copy, 3).read_bytes(), 3)[0].kept == {1: size, 2: 0}  # type: ignore[union-attr]
    file.roll("cluster")
    size = path_of(copy, 3).stat().st_size
    assert segment.read_header(path_of(copy, 4).read_bytes(), 4)[0].kept == {3: size}  # type: ignore[union-attr]


def test_damage_in_a_segment_that_a_later_one_names_is_damage_up_to_its_last_byte(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path / "run")
    (place, length), *_ = file.append(raws(1))
    file.sync()
    copy = crash(tmp_path / "run", tmp_path / "copy")  # no closing mark
    opened(copy).close()
    flip(path_of(copy, 1), segment.split_place(place)[1] + 20)
    file = opened(copy)
    assert file.damage == [Damage(1, segment.split_place(place)[1], length, "checksum")]
    file.append(raws(2))
    assert held(copy) == [2]


@pytest.mark.parametrize("wreck", [Path.unlink, lambda path: os.truncate(path, 100)], ids=["removed", "cut"])
def test_a_segment_that_is_removed_or_cut_while_it_is_in_use_ends_all_writing(
    tmp_path: Path, opened: Opener, wreck: Callable[[Path], None]
) -> None:
    """A sync of it succeeds, and what it brought to the disk is gone with the process."""
    file = opened(tmp_path)
    file.append(raws(1))
    file.sync()
    wreck(path_of(tmp_path, 1))
    file.append(raws(2))
    with pytest.raises(DiskFailed, match="while the broker ran"):
        file.sync()
    with pytest.raises(DiskFailed):
        file.append(raws(3))


def test_damage_found_once_is_found_at_every_start(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    places = file.append(raws(1, 2, 3))
    file.sync()
    file.close()
    flip(path_of(tmp_path, 1), segment.split_place(places[1][0])[1] + 20)
    for run in range(4, 7):
        file = opened(tmp_path)
        assert [one.offset for one in file.damage] == [segment.split_place(places[1][0])[1]]
        file.append(raws(run))
        file.close()
    assert held(tmp_path) == [1, 3, 4, 5, 6]


def test_an_orderly_stop_leaves_a_closing_mark(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.append(raws(1))
    file.sync()
    file.close()
    last = path_of(tmp_path, 1).read_bytes().splitlines()[-1]
    assert b'"op":"mark"' in last
    assert last.endswith(b'"batch":0}')


def test_damage_to_the_last_batch_of_a_quiet_file_is_damage_and_not_a_torn_write(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path / "ops")
    file.append(raws(1))
    file.append(raws(2))
    file.sync()
    file.vouch()
    one, other = crash(tmp_path / "ops", tmp_path / "one"), crash(tmp_path / "ops", tmp_path / "other")
    flip(path_of(one, 1), path_of(one, 1).read_bytes().rindex(b"Google"))
    assert held(one) == [1]
    assert [(damage.segment, damage.reason) for damage in opened(one).damage] == [(1, "checksum")]
    file.append(raws(3))
    file.sync()
    assert held(tmp_path / "ops") == [1, 2, 3], "and what follows a mark is read"
    path = path_of(other, 1)
    path.write_bytes(path.read_bytes()[:-20])  # the mark itself torn off, as when the power fails while it is written
    assert held(other) == [1, 2]
    assert opened(other).damage == []


def test_a_quiet_file_is_marked_once(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.vouch()
    size = path_of(tmp_path, 1).stat().st_size
    file.append(raws(1))
    file.vouch()
    assert path_of(tmp_path, 1).read_bytes().count(b'"batch":0}') == 0, "not before what it vouches for is synced"
    file.sync()
    file.vouch()
    marked = path_of(tmp_path, 1).stat().st_size
    file.vouch()
    file.close()
    assert size < marked == path_of(tmp_path, 1).stat().st_size
    assert path_of(tmp_path, 1).read_bytes().count(b'"batch":0}') == 1


def test_a_copy_that_was_never_synced_vouches_for_nothing(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, lambda fd: pytest.fail("synced"))
    file = opened(tmp_path, synced=False)
    file.append(raws(1, 2))
    file.sync()
    file.append(raws(3))
    file.close()
    flip(path_of(tmp_path, 1), path_of(tmp_path, 1).read_bytes().index(b"Google"))
    file = opened(tmp_path, synced=False)
    assert file.damage == []
    assert held(tmp_path) == []


# -- order of calls ---------------------------------------------------------------------------------------------


def test_the_order_in_which_things_reach_the_disk(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header is synced before its name is; an old segment before the header that names its length."""
    calls: list[str] = []

    def name_of(fd: int) -> str:
        return os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))

    def noting(word: str, real: Callable[..., int]) -> Callable[..., int]:
        return lambda fd, *rest: calls.append(f"{word} {name_of(fd)}") or real(fd, *rest)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd to name descriptors with")
    for name in ("fdatasync", "fsync", "write", "pread"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    file = opened(tmp_path / "ops")
    first = ["write 00000001.ops", "fdatasync 00000001.ops", "fsync ops"]
    assert calls == [f"fsync {tmp_path.name}", *first]
    calls.clear()
    file.append(raws(1))
    file.append(raws(2))
    file.roll("cluster")
    second = ["write 00000002.ops", "fdatasync 00000002.ops", "fsync ops"]
    assert calls == ["write 00000001.ops", "write 00000001.ops", "fdatasync 00000001.ops", *second]
    file.close()
    calls.clear()
    list(opened(tmp_path / "ops", start=False).scan())
    assert [call for call in calls if call.startswith("fdatasync")] == calls[:2]  # settled before any of it is read
    assert set(calls[2:]) == {"pread 00000001.ops", "pread 00000002.ops"}


# -- a failing disk ---------------------------------------------------------------------------------------------


def failing(code: int, *, after: int | None = None) -> Callable[..., int]:
    """A write that fails once: at once, or in the call after one that wrote `after` bytes."""
    real = os.write
    script: list[int] = [] if after is None else [after]
    script.append(-1)

    def write(fd: int, data: bytes) -> int:
        most = script.pop(0) if script else len(data)
        if most < 0:
            raise OSError(code, os.strerror(code))
        return real(fd, bytes(data)[:most])

    return write


@pytest.mark.parametrize("after", [None, 1, 60, 150, 200])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_stores_nothing_of_a_batch_and_the_next_one_is_stored(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, code: int, after: int | None
) -> None:
    file = opened(tmp_path)
    file.append(raws(1))
    file.sync()
    before = path_of(tmp_path, 1).read_bytes()
    monkeypatch.setattr(os, "write", failing(code, after=after))
    with pytest.raises(StorageFull, match="nothing was stored"):
        file.append(raws(2, 3))
    assert path_of(tmp_path, 1).read_bytes() == before
    places = file.append(raws(4, 5))
    file.sync()
    assert held(tmp_path) == [1, 4, 5]
    assert file.read_lines(places) == raws(4, 5)


def test_a_short_write_is_gone_on_with(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(tmp_path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    file.append(raws(1, 2))
    assert held(tmp_path) == [1, 2]


def test_a_disk_that_is_full_when_a_segment_ends_leaves_the_old_one_in_use(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path, segment_bytes=700)
    for i in range(1, 4):
        file.append(raws(i))
    assert segments_in(tmp_path) == [1]
    with monkeypatch.context() as full:
        full.setattr(os, "write", failing(errno.ENOSPC, after=5))
        with pytest.raises(StorageFull):
            file.append([raw(4, "y" * 400)])
    assert segments_in(tmp_path) == [1]
    with monkeypatch.context() as full:
        full.setattr(os, "write", failing(errno.ENOSPC))
        with pytest.raises(StorageFull):
            file.roll("other")
    assert file.cluster == "cluster"
    file.append([raw(5, "y" * 400)])
    file.sync()
    assert segments_in(tmp_path) == [1, 2]
    assert held(tmp_path) == [1, 2, 3, 5]


def test_a_failed_write_ends_all_writing(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(tmp_path)
    places = file.append(raws(1))
    file.sync()
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", failing(errno.EIO))
        with pytest.raises(DiskFailed, match="could not write"):
            file.append(raws(2))
    for again in (lambda: file.append(raws(2)), file.sync, lambda: file.roll("cluster")):
        with pytest.raises(DiskFailed, match="failed before"):
            again()
    assert file.read(*places[0]) == raw(1)
    file.close()
    assert held(tmp_path) == [1]


def test_a_batch_that_cannot_be_taken_back_ends_all_writing(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path)
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC, after=50))
    monkeypatch.setattr(os, "ftruncate", fail_with_eio)
    with pytest.raises(DiskFailed, match="take a batch back"):
        file.append(raws(1))
    monkeypatch.undo()
    file.close()
    assert held(tmp_path) == []


def fail_with_eio(*_: object) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("name", ["fdatasync", "fsync"])
def test_a_failed_sync_is_never_tried_again(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if not hasattr(os, "fdatasync"):
        pytest.skip("no fdatasync here")
    file = opened(tmp_path)
    file.append(raws(1))
    with monkeypatch.context() as broken:
        broken.setattr(os, name, fail_with_eio)
        with pytest.raises(DiskFailed, match="sync"):
            file.roll("cluster")
    before = path_of(tmp_path, 1).read_bytes()
    monkeypatch.setattr(os, "fdatasync", lambda fd: pytest.fail("tried again"))
    with pytest.raises(DiskFailed):
        file.sync()
    file.close()
    assert path_of(tmp_path, 1).read_bytes() == before


def test_a_failed_sync_at_the_start_is_a_failed_disk(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path).close()
    monkeypatch.setattr(disk, "sync_data", fail_with_eio)
    with pytest.raises(DiskFailed):
        opened(tmp_path)


STORE = """
import os
import sys
from pathlib import Path
from newswire.core.model import ops
from newswire.engine.embedded.ops_file import OpsFile
from newswire.errors import DiskFailed, StorageFull
file = OpsFile(Path(sys.argv[1]))
list(file.scan())
file.start("cluster", "1001-k3f9x2qa")
for i in range(1, int(sys.argv[2]) + 1):
    try:
        file.append([ops.encode(ops.Published("1001-k3f9x2qa", i, 5, topic="Google", data="x" * 1000))])
        file.sync()
    except (DiskFailed, StorageFull) as error:
        os.write(1, b"%s %d\\n" % (error.code.encode(), i))
        if isinstance(error, DiskFailed):
            sys.exit(3)
    else:
        os.write(1, b"stored %d\\n" % i)
"""


def store(directory: Path, count: int, *before: str) -> list[list[str]]:
    """Store in a process of its own; what it said, a line a message."""
    command = [*before, sys.executable, "-c", STORE, str(directory), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if not found:
        pytest.skip("no strace here")
    probe = [found, "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=99", "true"]
    if subprocess.run(probe, capture_output=True, timeout=PATIENCE_SECONDS, check=False).returncode:
        pytest.skip("strace may not trace here")
    return found


def inject(strace: str, call: str, what: str) -> list[str]:
    return [strace, "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}"]


def test_a_kernel_that_fails_one_sync(tmp_path: Path, strace: str) -> None:
    said = store(tmp_path, 9, *inject(strace, "fdatasync", "error=EIO:when=4"))  # 1: the header
    assert said == [["stored", "1"], ["stored", "2"], ["disk-failed", "3"]]
    assert held(tmp_path)[:2] == [1, 2]


@pytest.mark.parametrize(("call", "most"), [("fdatasync", 8), ("fsync", 1), ("write", 8)])
def test_kill_at_every_call(tmp_path: Path, strace: str, call: str, most: int) -> None:
    """What was called stored is held by the next run, wherever the process was killed."""
    directory = tmp_path / "ops"
    kills, before = 0, 0
    for when in range(1, most + 1):
        said = store(directory, 3, *inject(strace, call, f"signal=SIGKILL:when={when}"))
        stored = [int(number) for word, number in said if word == "stored"]
        scan = Scan(directory)
        found = [op.sequence for rows in scan.batches() for op, _, _ in rows] if directory.exists() else []
        assert found[before : before + len(stored)] == stored
        assert scan.damage == []
        kills += len(stored) < 3
        before = len(found)
    assert kills >= (most + 1) // 2


def test_a_disk_that_is_really_full(tmp_path: Path, opened: Opener) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root mounts a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, timeout=PATIENCE_SECONDS, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        check_full(disk, opened)
    finally:
        subprocess.run(["umount", "-l", str(disk)], capture_output=True, timeout=PATIENCE_SECONDS, check=True)


def check_full(disk: Path, opened: Opener) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    file = opened(disk / "1001", segment_bytes=64 * 1024)
    stored: list[int] = []
    i = 0
    with pytest.raises(StorageFull):
        while True:
            i += 1
            file.append([raw(i, "y" * 3_000), raw(1000 + i, "y" * 3_000)])
            file.sync()
            stored += [i, 1000 + i]
    assert len(stored) > 10
    with pytest.raises(StorageFull):
        file.append([raw(i, "y" * 9_000)])
    ballast.unlink()
    file.append(raws(5_000))
    file.sync()
    file.close()
    assert held(disk / "1001") == [*stored, 5_000]


UNSYNCED = """
file.append([ops.encode(ops.Published("1001-k3f9x2qa", 1000 + i, 5, topic="Google", data="y" * 900)) for i in range(200)])
os.write(1, b"unsynced 200\\n")
sys.stdin.read()
"""


def test_power_cut(tmp_path: Path) -> None:
    """A disk of which only what was synced is left: an ext4 image, copied while the writer's last batch is in its cache."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mount", "mkfs.ext4"))):
        pytest.skip("only root mounts a disk image")
    images, disk = tmp_path / "images", tmp_path / "disk"
    images.mkdir()
    disk.mkdir()
    mounted: list[Path] = []

    def mount(*arguments: str) -> None:
        if subprocess.run(["mount", *arguments], capture_output=True, timeout=PATIENCE_SECONDS, check=False).returncode:
            pytest.skip("no disk image can be mounted here")
        mounted.append(Path(arguments[-1]))

    try:
        mount("-t", "tmpfs", "-o", "size=100m", "tmpfs", str(images))
        with (images / "image").open("wb") as image:
            image.truncate(32 * 2**20)
        subprocess.run(
            ["mkfs.ext4", "-q", "-F", str(images / "image")], capture_output=True, timeout=PATIENCE_SECONDS, check=True
        )
        mount("-o", "loop,commit=600", str(images / "image"), str(disk))
        command = [sys.executable, "-c", STORE + UNSYNCED, str(disk / "ops"), "40"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            stored = [int(said.split()[1]) for said in iter(writer.stdout.readline, "unsynced 200\n")]
            shutil.copy(images / "image", images / "copy")
            assert len(held(disk / "ops")) == 240  # what a kill would have left
            writer.kill()
        subprocess.run(["umount", str(mounted.pop())], capture_output=True, timeout=PATIENCE_SECONDS, check=True)
        mount("-o", "loop", str(images / "copy"), str(disk))
        scan = Scan(disk / "ops")
        found = [op.sequence for rows in scan.batches() for op, _, _ in rows]
        assert found[:40] == stored == list(range(1, 41))
        assert len(found) in (40, 240)  # the last batch is whole or not there
        assert scan.damage == []
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", "-l", str(path)], capture_output=True, timeout=PATIENCE_SECONDS, check=False)


def test_a_limit_on_file_size_is_a_full_disk(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path)
    file.append(raws(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
        with pytest.raises(StorageFull):
            file.append([raw(2, "y" * 5_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.append(raws(3))
    assert held(tmp_path) == [1, 3]


# -- what a copy may read -----------------------------------------------------------------------------------------


def test_synced_lengths_leave_out_what_is_not_synced(opened: Opener, tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.append(raws(1))
    file.sync()
    synced = file.pin().lengths
    file.append(raws(2))
    assert file.pin().lengths == synced == {1: path_of(tmp_path, 1).stat().st_size - len(raw(2)) - mark_length(tmp_path)}
    file.sync()
    assert file.pin().lengths == {1: path_of(tmp_path, 1).stat().st_size}


def mark_length(directory: Path) -> int:
    """The bytes of the last batch beside its one record's JSON object."""
    lines = path_of(directory, 1).read_bytes().splitlines(keepends=True)
    return len(lines[-2]) + segment.FRAME_BYTES


def test_synced_lengths_of_earlier_segments_are_those_that_count(opened: Opener, tmp_path: Path) -> None:
    file = opened(tmp_path, segment_bytes=400)
    for sequence in (1, 2, 3, 4):
        file.append(raws(sequence))
        file.sync()
    file.close()
    first = path_of(tmp_path, 1).stat().st_size
    last = segments_in(tmp_path)[-1]
    with path_of(tmp_path, last).open("ab") as torn:
        torn.write(b"a torn write")
    again = opened(tmp_path)
    lengths = again.pin().lengths
    assert list(lengths) == segments_in(tmp_path)
    assert lengths[1] == first
    assert lengths[last] == path_of(tmp_path, last).stat().st_size - len("a torn write")
    os.truncate(path_of(tmp_path, 1), first - 5)
    assert again.pin().lengths[1] == first - 5, "what is cut off is not there to be copied"
