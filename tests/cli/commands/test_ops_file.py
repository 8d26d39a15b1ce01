"""`newswire opsfile check` and `show` on real ops files: whole, torn, damaged, incomplete, and in use."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from newswire.cli import main, output
from newswire.core.model import ops
from newswire.core.model.ops import Began, Lost, Op, Published, Subscribed, Void
from newswire.engine.embedded import segment
from newswire.engine.embedded.ops_file import OpsFile, Scan, path_of
from tests.kit.waiting import PATIENCE_SECONDS

ORIGIN = "1001-k3f9x2qa"
Capture = pytest.CaptureFixture[str]


def message(sequence: int, data: str = "x", origin: str = ORIGIN) -> Published:
    return Published(origin, sequence, 1_700_000_000_000 + sequence, topic="Google", data=data)


def began(origin: str = ORIGIN, **vector: int) -> Began:
    return Began(origin, 1, 1_700_000_000_000, broker="1001", vector={f"1001-{name}": s for name, s in vector.items()})


def store(file: OpsFile, *stored: Op) -> list[tuple[int, int]]:
    places = file.append([ops.encode(op) for op in stored])
    file.sync()
    return places


@pytest.fixture
def opened() -> Iterator[Callable[..., OpsFile]]:
    """Open ops files that are closed at the end, also those of a failed test."""
    files: list[OpsFile] = []

    def opener(directory: Path, **options: Any) -> OpsFile:
        file = OpsFile(directory, **options)
        files.append(file)
        list(file.scan())
        file.start(file.cluster or "cluster", ORIGIN)
        return file

    yield opener
    for file in files:
        file.close()


Opener = Callable[..., OpsFile]


@pytest.fixture
def folder(tmp_path: Path, opened: Opener) -> Path:
    """The folder of a broker that has stopped: three runs, a segment each; ten operations."""
    directory = tmp_path / "ops_logs" / "1001"
    for first, last in ((2, 5), (6, 8), (9, 10)):
        file = opened(directory)
        store(file, *([began()] if first == 2 else []), *(message(i, f"text {i}") for i in range(first, last + 1)))
        file.close()
    return directory


def checked(capsys: Capture, directory: Path) -> tuple[int, dict[str, Any]]:
    """The exit code and the one report of `check --json`."""
    code = main.run(["opsfile", "check", str(directory), "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    return code, json.loads(line)


def flip(path: Path, needle: bytes) -> int:
    """Turn a bit of the first line that has `needle`; where the line begins."""
    data = bytearray(path.read_bytes())
    at = data.index(needle)
    data[at] ^= 1
    path.write_bytes(data)
    return data.rfind(b"\n", 0, at) + 1


def picture(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that a look could change."""
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes()) for path in directory.iterdir()}


# -- check ----------------------------------------------------------------------------------------------------------
def test_a_whole_folder(folder: Path, capsys: Capture) -> None:
    before = picture(folder)
    code, report = checked(capsys, folder)
    assert code == output.DONE
    assert report["verdict"] == "Whole: 10 operations, each as it was written, and none is missing."
    assert (report["whole"], report["error"], report["missing"], report["damage"], report["torn_bytes"]) == (True, "", 0, [], 0)
    assert (report["segments"], report["cluster"]) == (3, "cluster")
    assert report["bytes"] == sum(path.stat().st_size for path in folder.glob("*.ops"))
    assert report["kinds"] == {"msg": 9, "began": 1}
    assert report["origins"] == [{"origin": ORIGIN, "operations": 10, "last": 10, "gaps": []}]
    assert picture(folder) == before


def test_a_report_for_people(folder: Path, capsys: Capture) -> None:
    assert main.run(["opsfile", "check", str(folder)]) == output.DONE
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert [str(folder)] in rows
    assert ["Segments", "3"] in rows
    assert ["Operations", "msg", "9,", "began", "1"] in rows
    assert [ORIGIN, "10", "10", "none"] in rows
    assert out.splitlines()[-1] == "Whole: 10 operations, each as it was written, and none is missing."


def test_a_torn_end_is_no_damage(folder: Path, opened: Opener, capsys: Capture, caplog: pytest.LogCaptureFixture) -> None:
    file = opened(folder)
    store(file, message(11))
    whole = path_of(folder, 4).stat().st_size
    file.append([ops.encode(message(12, "y" * 100))])
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    os.truncate(path_of(copy, 4), path_of(copy, 4).stat().st_size - 30)
    code, report = checked(capsys, copy)
    assert (code, report["whole"], report["origins"][0]["last"]) == (output.DONE, True, 11)
    assert report["torn_bytes"] == path_of(copy, 4).stat().st_size - whole > 0
    assert main.run(["opsfile", "check", str(copy)]) == output.DONE
    assert "nobody was told of it" in capsys.readouterr().out


def test_a_flipped_bit_in_synced_history(folder: Path, capsys: Capture) -> None:
    at = flip(path_of(folder, 1), b"text 3")
    code, report = checked(capsys, folder)
    assert (code, report["whole"], report["missing"]) == (output.FAILED, False, 1)
    (damage,) = report["damage"]
    assert (damage["segment"], damage["offset"], damage["reason"]) == ("00000001.ops", at, "checksum")
    assert report["origins"] == [{"origin": ORIGIN, "operations": 9, "last": 10, "gaps": [[3, 3]]}]
    assert report["verdict"].startswith(f"Damaged: {damage['length']} bytes in 1 place, and 1 operation missing.")
    assert main.run(["opsfile", "check", str(folder)]) == output.FAILED
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert ["00000001.ops", str(at), str(damage["length"]), "checksum"] in rows
    assert [ORIGIN, "9", "10", "3"] in rows
    assert err == ""


def test_nothing_of_it_is_logged(folder: Path) -> None:
    """What a broker's start logs would stand beside the report: only a process of its own has no handler."""
    flip(path_of(folder, 1), b"text 3")
    done = subprocess.run([sys.executable, "-m", "newswire", "opsfile", "check", folder], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (output.FAILED, b"")


def test_damage_that_a_peer_has_made_good(folder: Path, opened: Opener, capsys: Capture) -> None:
    flip(path_of(folder, 1), b"text 3")
    file = opened(folder)
    store(file, message(3, "text 3"))
    file.close()
    code, report = checked(capsys, folder)
    assert (code, report["missing"]) == (output.FAILED, 0)
    assert [damage["reason"] for damage in report["damage"]] == ["checksum, healed"]
    assert "no operation is missing" in report["verdict"]
    assert "empty folder" in report["verdict"]


def test_what_was_given_up_is_not_missing(folder: Path, opened: Opener, capsys: Capture) -> None:
    flip(path_of(folder, 1), b"text 3")
    _, report = checked(capsys, folder)
    assert (report["missing"], report["damage"][0]["reason"]) == (1, "checksum")
    file = opened(folder)
    lost = message(3, "text 3")
    store(file, Lost("1002-b", 1, 0, lost.origin, 3, 3))
    file.close()
    _, report = checked(capsys, folder)
    assert (report["missing"], report["damage"][0]["reason"]) == (0, "checksum, healed")
    assert report["kinds"]["lost"] == 1


def test_a_missing_segment(folder: Path, capsys: Capture) -> None:
    length = path_of(folder, 2).stat().st_size
    path_of(folder, 2).unlink()
    code, report = checked(capsys, folder)
    assert code == output.FAILED
    assert report["damage"] == [{"segment": "00000002.ops", "offset": 0, "length": length, "reason": "missing"}]
    assert report["origins"][0]["gaps"] == [[6, 8]]


def test_a_segment_that_was_cut(folder: Path, capsys: Capture) -> None:
    path = path_of(folder, 2)
    at = path.stat().st_size - 40
    os.truncate(path, at)
    code, report = checked(capsys, folder)
    assert code == output.FAILED
    assert report["damage"][-1]["reason"] == "missing"
    assert report["damage"][-1]["offset"] + report["damage"][-1]["length"] == at + 40


def test_a_foreign_version(folder: Path, capsys: Capture) -> None:
    raw = segment.header_line(3, "cluster", ORIGIN, {})[9:-1].replace(b'"v":1', b'"v":7')
    path_of(folder, 3).write_bytes(segment.line(raw))
    code, report = checked(capsys, folder)
    assert (code, report["whole"]) == (output.FAILED, False)
    assert report["verdict"].startswith("Unreadable: ")
    assert "version 7" in report["error"]
    assert main.run(["opsfile", "check", str(folder)]) == output.FAILED
    assert "version 7" in capsys.readouterr().out
    assert main.run(["opsfile", "show", str(folder)]) == output.FAILED
    assert "version 7" in capsys.readouterr().err


def test_no_ops_directory(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    for command in ("check", "show"):
        for path, why in ((tmp_path, "is no ops directory"), (tmp_path / "none", "No such file"), (tmp_path / "file", "Not a")):
            assert main.run(["opsfile", command, str(path)]) == output.FAILED
            assert why in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_folder_that_lost_all_its_segments(folder: Path, capsys: Capture) -> None:
    for path in folder.glob("*.ops"):
        path.unlink()
    code, report = checked(capsys, folder.parent)
    assert (code, report["directory"]) == (output.FAILED, str(folder))
    assert "no segment" in report["error"]


def test_a_segment_that_cannot_be_read(folder: Path, capsys: Capture) -> None:
    path_of(folder, 2).unlink()
    path_of(folder, 2).mkdir()
    code, report = checked(capsys, folder)
    assert (code, report["whole"], report["error"]) == (output.FAILED, False, f"Is a directory ({path_of(folder, 2)}).")
    assert main.run(["opsfile", "show", str(folder)]) == output.FAILED
    assert "Is a directory" in capsys.readouterr().err


def test_the_parent_of_several_folders(folder: Path, opened: Opener, capsys: Capture) -> None:
    other = folder.parent / "1002"
    store(opened(other), began("1002-abc"))
    (folder.parent / "1001.log").touch()
    (folder.parent / "notes").mkdir()
    flip(path_of(folder, 1), b"text 3")
    assert main.run(["opsfile", "check", str(folder.parent), "--json"]) == output.FAILED
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["directory"], one["whole"]) for one in reports] == [(str(folder), False), (str(other), True)]
    assert main.run(["opsfile", "show", str(folder.parent)]) == output.FAILED
    assert "2 brokers" in capsys.readouterr().err


def test_while_a_broker_runs(tmp_path: Path, opened: Opener, capsys: Capture) -> None:
    """Every look finds a whole beginning of what is written meanwhile, and the writer is never in its way."""
    file = opened(tmp_path / "1001", segment_bytes=20_000)
    store(file, began())
    lock = picture(tmp_path / "1001")["LOCK"]
    looked, written, errors = threading.Event(), 1, []

    def write() -> None:
        nonlocal written
        try:
            while not looked.is_set() and written < 50_000:
                store(file, *(message(written + i) for i in range(1, 8)))
                written += 7
        except Exception as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        last = 0
        for _ in range(15):
            code, report = checked(capsys, tmp_path / "1001")
            assert (code, report["whole"], report["error"]) == (output.DONE, True, "")
            assert report["origins"][0]["last"] >= last
            last = report["origins"][0]["last"]
    finally:
        looked.set()
        writer.join()
    assert errors == []
    assert picture(tmp_path / "1001")["LOCK"] == lock
    assert checked(capsys, tmp_path / "1001")[1]["origins"][0]["last"] == written
    file.close()
    opened(tmp_path / "1001")  # nobody else holds it


def compact(file: OpsFile, *stays: Op) -> None:
    """Have these be all of the log up to now."""
    replaces, writer = file.begin_base()
    writer.write([ops.encode(op) for op in stays])
    file.switch(file.commit_base(writer.finish(), replaces))
    assert file.remove_replaced()


def test_a_compacted_folder(tmp_path: Path, opened: Opener, capsys: Capture) -> None:
    file = opened(tmp_path)
    store(file, began(), *map(message, range(2, 6)))
    void = Void(ORIGIN, 4, 1_700_000_000_000, first=2, messages={"Google": (3, 4)})
    compact(file, began(), void, message(5))
    store(file, message(6))
    file.close()
    code, report = checked(capsys, tmp_path)
    assert (code, report["kinds"], report["missing"]) == (output.DONE, {"msg": 2, "began": 1, "void": 1}, 0)
    assert (report["compactions"], report["compacted"], report["segments"]) == (1, 3, 2)
    assert report["origins"] == [{"origin": ORIGIN, "operations": 6, "last": 6, "gaps": []}]
    assert main.run(["opsfile", "check", str(tmp_path)]) == output.DONE
    assert "3 operations, by 1 compaction" in capsys.readouterr().out
    assert main.run(["opsfile", "show", str(tmp_path), "--op", "void"]) == output.DONE
    assert json.loads(capsys.readouterr().out)["first"] == 2
    for name in ("MANIFEST", "MANIFEST.copy"):
        good = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"damaged")
        code, report = checked(capsys, tmp_path)
        assert (code, report["whole"], report["damaged_manifests"]) == (output.FAILED, False, [name])
        assert f"{name} is damaged or gone. The other copy is whole" in report["verdict"]
        assert "Whole: 4 operations" in report["verdict"]
        (tmp_path / name).write_bytes(good)
    for name in ("MANIFEST", "MANIFEST.copy"):
        (tmp_path / name).write_bytes(b"damaged")
    code, report = checked(capsys, tmp_path)
    assert code == output.FAILED
    assert "its MANIFEST is damaged" in report["error"]


def test_a_folder_that_is_compacted_while_it_is_read_is_read_anew(
    tmp_path: Path, opened: Opener, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path, segment_bytes=400)
    for op in (began(), *map(message, range(2, 9))):
        store(file, op)
    real, times = Scan.batches, list[int]()

    def batches(scan: Scan, progress: Any = None) -> Iterator[Any]:
        times.append(1)
        for rows in real(scan, progress):
            yield rows
            if len(times) == 1:
                times.append(0)
                compact(file, began(), *map(message, range(2, 9)))

    monkeypatch.setattr(Scan, "batches", batches)
    code, report = checked(capsys, tmp_path)
    assert code == output.DONE
    assert (report["missing"], report["damage"], report["kinds"]) == (0, [], {"msg": 7, "began": 1})
    assert sum(times) == 2


def test_torn_bytes_of_a_file_that_grows_meanwhile(tmp_path: Path, opened: Opener) -> None:
    """What a broker appends between the two readings of a segment is no torn write."""
    file = opened(tmp_path)
    store(file, began(), message(2))
    scan = Scan(tmp_path)
    batches = scan.batches()
    next(batches)
    store(file, message(3))
    assert list(batches) == []
    assert (scan.torn_bytes, scan.damage) == (0, [])


# -- show -----------------------------------------------------------------------------------------------------------
def test_show_prints_what_is_stored(tmp_path: Path, opened: Opener, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    raws = [
        ops.encode(began()),
        ops.encode(message(2, "ä\n\x1b[2J\u202e\x9b")),
        b'{"op":"later","o":"1001-k3f9x2qa","s":3,"t":5, "new":[1,2]}',
        ops.encode(Subscribed(ORIGIN, 4, 5, user="Alice", pattern="Google")),
    ]
    file = opened(tmp_path)
    file.append(raws[:2])
    file.append(raws[2:])
    file.sync()
    for more, wanted in (([], raws), (["--op", "msg"], raws[1:2]), (["--op", "unknown"], raws[2:3]), (["--op", "ack"], [])):
        assert main.run(["opsfile", "show", str(tmp_path), *more]) == output.DONE
        out, err = capsysbinary.readouterr()
        assert (out.splitlines(), err) == (wanted, b"")


def test_show_the_only_folder_of_a_parent(folder: Path, capsys: Capture) -> None:
    assert main.run(["opsfile", "show", str(folder.parent)]) == output.DONE
    assert [json.loads(line)["s"] for line in capsys.readouterr().out.splitlines()] == list(range(1, 11))


def test_show_knows_its_kinds(folder: Path, capsys: Capture) -> None:
    assert main.run(["opsfile", "show", str(folder), "--op", "nope"]) == output.USAGE
    assert "began, msg, scheduled, sub, unsub" in capsys.readouterr().err


def test_show_says_what_it_could_not(folder: Path, capsys: Capture) -> None:
    flip(path_of(folder, 1), b"text 3")
    assert main.run(["opsfile", "show", str(folder)]) == output.FAILED
    out, err = capsys.readouterr()
    assert [json.loads(line)["s"] for line in out.splitlines()] == [1, 2, *range(4, 11)]
    assert "1 place could not be read" in err


def test_show_reads_around_a_block_that_the_disk_cannot_read(folder: Path, capsys: Capture, monkeypatch: Any) -> None:
    """Records that are read in one go fail together; one by one only those in the block do."""
    data = path_of(folder, 1).read_bytes()
    start, real = data.index(b"text 3"), os.pread

    def pread(fd: int, length: int, at: int) -> bytes:
        if length < 4096 and at <= start < at + length and os.fstat(fd).st_size == len(data):
            raise OSError(5, "Input/output error")
        return real(fd, length, at)

    monkeypatch.setattr(os, "pread", pread)
    assert main.run(["opsfile", "show", str(folder)]) == output.FAILED
    out, err = capsys.readouterr()
    assert [json.loads(line)["s"] for line in out.splitlines()] == [1, 2, *range(4, 11)]
    assert "1 place could not be read" in err


def test_a_reader_that_leaves_early(tmp_path: Path, opened: Opener) -> None:
    """As `show ... | head -1`: no traceback, and it ends."""
    store(opened(tmp_path), *(message(i, "y" * 1_000) for i in range(1, 1_001)))
    with subprocess.Popen(
        [sys.executable, "-m", "newswire", "opsfile", "show", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        assert shown.stdout.readline().startswith(b'{"op":"msg"')
        shown.stdout.close()
        assert shown.stderr.read() == b""
        assert shown.wait(PATIENCE_SECONDS) == output.FAILED


def test_a_copy_that_is_not_complete_is_no_success(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "newswire", "opsfile", "show", folder]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == output.FAILED
    assert done.stderr == "newswire: The output could not be written (No space left on device): it is not complete.\n"


@pytest.mark.parametrize("arguments", [["show"], ["check"], ["check", "--json"]])
def test_a_terminal_gets_nothing_hostile(tmp_path: Path, opened: Opener, arguments: Sequence[str]) -> None:
    folder = tmp_path / "a\x9b2J\u202e[b]"
    store(opened(folder), began(), message(2, "\x9b2J\u202e\x7fä"))
    command = [sys.executable, "-m", "newswire", "opsfile", *arguments, str(folder)]
    seen = on_a_terminal(command).decode()
    assert not {"\x9b", "\u202e", "\x7f"} & set(seen)
    assert "\\u202e" in seen
    if arguments == ["show"]:
        assert json.loads(seen.splitlines()[1])["data"] == "\x9b2J\u202e\x7fä"


def on_a_terminal(command: Sequence[str]) -> bytes:
    """All that a command prints where its output is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONUTF8": "1", "TERM": "dumb", "COLUMNS": "200"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65_536):
                seen += part
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(ours)
        assert process.wait(PATIENCE_SECONDS) == output.DONE
    return seen


def test_the_group_alone_shows_its_help(capsys: Capture) -> None:
    assert main.run(["opsfile"]) == output.USAGE
    assert "check" in capsys.readouterr().err
