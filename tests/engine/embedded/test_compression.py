"""A log whose complete files are compressed: the same log, for whoever reads it; and what an older version makes of it."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from newswire.cli import main, output
from newswire.config import EngineSettings
from newswire.core import limits
from newswire.core.model.commands import Publish, Subscribe
from newswire.engine.embedded import compactor
from newswire.engine.embedded.archive import Archive
from newswire.engine.embedded.blocks import BLOCK_BYTES
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.embedded.ops_file import OpsFile, Scan
from newswire.engine.embedded.pieces import StoredRun
from newswire.engine.embedded.restore import restore
from newswire.engine.embedded.segment import split_place
from newswire.engine.seam import Entry, TopicRow
from newswire.engine.waiting import wait_for
from newswire.errors import Unknown
from tests.kit.ops_files import Opener, crash, flip, held, raws
from tests.kit.versions import Before
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

COUNT = 1_500


def yes() -> bool:
    return True


def stored(file: OpsFile, first: int, last: int) -> list[tuple[int, int]]:
    places = []
    for start in range(first, last, 100):
        places += file.append(raws(*range(start, min(start + 100, last))))
    file.sync()
    return places


def pack_all(file: OpsFile) -> None:
    while file.pack_one(yes):
        pass


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.ops*"))


@pytest.fixture
def packed(tmp_path: Path, opened: Opener) -> Path:
    """A log of three files, two of them compressed: 2 MB, of which a third is left."""
    file = opened(tmp_path / "log", packs=True, segment_bytes=120_000)
    stored(file, 1, COUNT + 1)
    pack_all(file)
    file.close()
    return tmp_path / "log"


# -- the log --------------------------------------------------------------------------------------------------------
def test_all_but_the_file_in_use_is_compressed_and_read_as_before(tmp_path: Path, opened: Opener) -> None:
    file = opened(tmp_path / "log", packs=True, segment_bytes=120_000)
    places = stored(file, 1, COUNT + 1)
    assert {split_place(place)[0] for place, _ in places} == {1, 2}
    before, size = file.read_lines(places), file.size_bytes()
    lengths = file.pin().lengths
    pack_all(file)
    assert names(tmp_path / "log") == ["00000001.ops.zst", "00000002.ops"]
    assert file.read_lines(places) == [file.read(*place) for place in places] == before
    assert file.pin().lengths == lengths
    assert file.size_bytes() < size
    assert not file.pack_one(yes)
    file.close()
    for _ in range(2):
        file = opened(tmp_path / "log", packs=True)
        assert file.read_lines(places) == before
        assert (file.damage, file.torn_bytes) == ([], 0)
        pack_all(file)
        file.close()
    assert held(tmp_path / "log") == list(range(1, COUNT + 1))
    assert names(tmp_path / "log") == ["00000001.ops.zst", "00000002.ops", "00000003.ops", "00000004.ops"], "small files stay"


def test_who_does_not_ask_for_it_compresses_nothing_and_reads_what_is(packed: Path, opened: Opener) -> None:
    file = opened(packed)
    assert not file.pack_one(yes)
    stored(file, COUNT + 1, COUNT + 50)
    file.close()
    assert held(packed) == list(range(1, COUNT + 50))
    assert Scan(packed).damage == []


def test_a_start_reads_it_in_processes_of_its_own(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AHEAD_BYTES", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    flip(packed / "00000001.ops.zst", 5_000)
    scan, plain = Scan(packed), Scan(packed)
    count = sum(len(piece.places) if isinstance(piece, StoredRun) else len(piece) for piece in scan.pieces())
    assert count == sum(map(len, plain.batches())) < COUNT
    assert scan.damage == plain.damage != []


def test_damage_to_a_block_loses_what_lies_in_it_and_nothing_else(packed: Path, opened: Opener) -> None:
    path = packed / "00000001.ops.zst"
    whole = held(packed)
    flip(path, path.stat().st_size // 2)
    scan = Scan(packed)
    left = [op.sequence for rows in scan.batches() for op, _, _ in rows]
    lost = sorted(set(whole) - set(left))
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 0 < sum(one.length for one in scan.damage) <= BLOCK_BYTES + 400
    assert {(one.segment, one.reason) for one in scan.damage} == {(1, "checksum")}
    file = opened(packed)
    stored(file, COUNT + 1, COUNT + 5)
    file.close()
    assert held(packed) == [*left, *range(COUNT + 1, COUNT + 5)]


def test_a_file_that_was_cut_off_is_missing_from_there_on(packed: Path) -> None:
    path = packed / "00000001.ops.zst"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    scan = Scan(packed)
    left = [op.sequence for rows in scan.batches() for op, _, _ in rows]
    assert left[:300] == list(range(1, 301))
    assert left[-1] == COUNT
    assert scan.damage[-1].reason == "missing"


@pytest.mark.parametrize("left", ["00000001.ops", "00000001.ops.zst", "00000001.ops.zst.tmp"])
def test_a_crash_between_the_two_forms(tmp_path: Path, opened: Opener, left: str) -> None:
    """Both are there: what was written counts, and the other is swept."""
    file = opened(tmp_path / "log", packs=True, segment_bytes=120_000)
    stored(file, 1, COUNT + 1)
    plain = crash(tmp_path / "log", tmp_path / "plain")
    pack_all(file)
    if left != "00000001.ops":
        (plain / left).write_bytes((tmp_path / "log" / "00000001.ops.zst").read_bytes()[:-100])
    assert held(plain) == list(range(1, COUNT + 1))
    file = opened(plain, start=False)
    assert names(plain) == ["00000001.ops", "00000002.ops"]
    assert len(list(itertools.chain.from_iterable(file.scan()))) == COUNT


# -- looked at from outside -------------------------------------------------------------------------------------------
def test_check_and_show_read_it(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["opsfile", "check", str(packed), "--json"]) == output.DONE
    report = json.loads(capsys.readouterr().out)
    assert (report["whole"], report["segments"], report["kinds"]) == (True, 2, {"msg": COUNT})
    assert report["bytes"] == sum(path.stat().st_size for path in packed.glob("*.ops*"))
    assert main.run(["opsfile", "show", str(packed)]) == output.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["s"] for line in lines] == list(range(1, COUNT + 1))
    flip(packed / "00000001.ops.zst", 2_000)
    assert main.run(["opsfile", "check", str(packed)]) == output.FAILED
    out = capsys.readouterr().out
    assert "00000001.ops" in out
    assert "checksum" in out


def test_the_version_before_refuses_it_in_a_sentence_and_touches_nothing(packed: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in packed.iterdir()}
    told = Before(tmp_path).run("broker", "--id", "log", "--ops-dir", str(tmp_path), "--port", "0")
    assert told.returncode == 1
    assert "format version 3" in told.stderr
    assert "run the version that wrote it" in told.stderr
    assert {path.name: path.read_bytes() for path in packed.iterdir() if path.suffix != ""} == {
        name: data for name, data in before.items() if "." in name
    }


# -- an engine ------------------------------------------------------------------------------------------------------
@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], EmbeddedEngine]]:
    """Starts an engine on one directory, after the one before has ended."""
    monkeypatch.setattr(compactor, "_REMOVE_SECONDS", 0)
    monkeypatch.setattr(limits, "PACK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(limits, "PACK_FILE_BYTES", 1_000)
    engines: list[EmbeddedEngine] = []
    fatal: list[BaseException] = []

    def begin() -> EmbeddedEngine:
        for before in engines:
            before.close()
        settings = EngineSettings(ops_dir=tmp_path, primary=True, retention_messages=300, heartbeat=0.2, compress_segments=True)
        engine = EmbeddedEngine(settings, on_fatal=fatal.append)
        engines.append(engine)
        engine.start("127.0.0.1:1")
        wait_until(lambda: engine.describe().serves)
        return engine

    yield begin
    for engine in engines:
        engine.close()
    assert not fatal


def texts(engine: EmbeddedEngine) -> list[str]:
    start = engine.open_stream("ann", None)
    assert start is not None
    return [one.message.data for one in engine.next_page(start.position, 5_000).entries if isinstance(one, Entry)]


def count(engine: EmbeddedEngine) -> int:
    """How many messages there are."""
    rows: list[TopicRow] = []
    engine.topics(limits.TIME_MILLISECONDS - limits.CLOCK_SKEW_SECONDS * 1000, rows.extend)
    return sum(row.messages for row in rows)


def test_a_broker_compresses_compacts_is_copied_and_starts_again(begun: Callable[[], EmbeddedEngine], tmp_path: Path) -> None:
    home = tmp_path / "1001"
    engine = begun()
    engine.submit([Subscribe("ann", "news")])
    engine.submit([Publish("news", f"message {number}") for number in range(900)])
    engine = begun()
    wait_until(lambda: names(home) == ["00000001.ops", "00000002.ops.zst", "00000003.ops"])
    assert texts(engine)[-300:] == [f"message {number}" for number in range(600, 900)], "read from what is compressed"

    wait_until(lambda: count(engine) == 300)  # retention drops the others at a tick
    whole = b"".join(engine.backup().parts)
    made = restore(Archive(io.BytesIO(whole)), tmp_path / "restored")
    assert (made.messages, made.damaged_bytes) == (300, 0)
    assert "00000002.ops" in names(tmp_path / "restored" / "1001"), "a backup has files as they were written"

    done = wait_for(lambda then: engine.compact_later(then), PATIENCE_SECONDS, Unknown("late"))
    assert done.bytes_after < done.bytes_before / 2
    wait_until(lambda: names(home) == ["00000004.ops", "base-00000001.ops.zst"])
    assert texts(engine)[-300:] == [f"message {number}" for number in range(600, 900)]
    engine = begun()
    assert engine.restored.messages == 300
    engine.submit([Publish("news", "last")])
    wait_until(lambda: texts(engine)[-1] == "last")
