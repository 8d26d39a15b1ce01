"""The thread that compacts, with jobs that are no core's: what it asks of a job, and what is on disk after each end of one."""

from __future__ import annotations

import errno
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from newswire.core import limits
from newswire.core.broker.events import (
    CatchUp,
    DropParts,
    Event,
    KeepPart,
    Rewrite,
    RewriteFailed,
    Rewritten,
    Switched,
    Unreadable,
)
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.engine.embedded import compactor as module
from newswire.engine.embedded.compactor import Compactor
from newswire.engine.embedded.layout import BASE
from newswire.engine.embedded.ops_file import OpsFile, path_of
from tests.kit.ops_files import Opener, flip, held, raw, raws
from tests.kit.waiting import PATIENCE_SECONDS


class ListJob:
    """Keeps what it is told to, and a new record between."""

    def __init__(self, *pieces: Sequence[tuple[int, int] | bytes], adopts: bool = False) -> None:
        self._pieces, self.adopts = pieces, adopts
        self.stopped = False
        self.bytes_before = self.bytes_after = 0
        self.calls: list[str] = []
        self.looked: list[bytes] = []
        self.taken: list[tuple[bytes, tuple[int, int]]] = []
        self.to_read: list[tuple[int, int]] = []
        self.why = ""
        self.here: list[bytes] = []
        self.behind = 2
        self.at_piece: Callable[[], object] = lambda: None

    def survey(self, state: State) -> Pieces[None]:
        self.calls.append("survey")
        yield

    def to_look_at(self) -> Iterator[list[tuple[int, int]]]:
        self.calls.append("to_look_at")
        yield self.to_read

    def look(self, raws: Sequence[bytes]) -> None:
        self.looked += raws

    def choose(self) -> Iterator[None]:
        self.calls.append("choose")
        yield

    def pieces(self) -> Iterator[Sequence[tuple[int, int] | bytes]]:
        self.calls.append("pieces")
        for piece in self._pieces:
            self.at_piece()
            yield piece

    def take(self, raws: Sequence[bytes], places: Sequence[tuple[int, int]]) -> None:
        self.taken += zip(raws, places, strict=True)

    def merge(self, raws: Sequence[bytes]) -> list[bytes]:
        return [raw for raw in raws if raw not in self.here]

    def check(self) -> str:
        self.calls.append("check")
        return self.why

    def catch_up(self) -> bool:
        self.calls.append("catch_up")
        self.behind -= 1
        return self.behind > 0


class Outcomes:
    """What the compactor told, as words."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        match event:
            case Rewritten(job):
                self.queue.put(("rewritten", job))
            case RewriteFailed(job, why):
                self.queue.put(("failed", job, why))
            case Unreadable(places):
                self.queue.put(("unreadable", list(places)))

    def next(self) -> tuple[Any, ...]:
        return self.queue.get(timeout=PATIENCE_SECONDS)


class Fixture:
    """A log of six records, and a compactor of it."""

    def __init__(self, file: OpsFile) -> None:
        self.file = file
        self.places = [self.append(sequence) for sequence in range(1, 7)]
        self.outcomes = Outcomes()
        self.fatal: list[BaseException] = []
        self.compactor = Compactor(file, self.query, self.outcomes.put, self.fatal.append)
        self.compactor.start()

    def query(self, query: Callable[[State], Pieces[None]]) -> None:
        list(query(State()))

    def append(self, sequence: int) -> tuple[int, int]:
        place = self.file.append(raws(sequence))[0]
        self.file.sync()
        return place

    def at_rest(self) -> None:
        """Wait until all that was asked of the compactor is done."""
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.compactor._inbox.put(lambda: done.put(None))
        done.get(timeout=PATIENCE_SECONDS)


@pytest.fixture
def log(tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fixture]:
    monkeypatch.setattr(module, "_REMOVE_SECONDS", 0)
    fixture = Fixture(opened(tmp_path, segment_bytes=400))
    yield fixture
    fixture.compactor.close(PATIENCE_SECONDS)
    assert not fixture.fatal


def test_a_job_from_its_begin_to_its_end(log: Fixture, tmp_path: Path) -> None:
    job = ListJob([log.places[1], raw(103)], [log.places[3]])
    job.to_read = log.places[:2]
    before = log.file.size_bytes()
    log.compactor.take(Rewrite(job))
    log.append(7)  # meanwhile
    assert log.outcomes.next() == ("rewritten", job)
    assert job.calls == ["survey", "to_look_at", "choose", "pieces", "check", "catch_up", "catch_up"]
    assert job.looked == raws(1, 2)
    assert [raw for raw, _ in job.taken] == raws(2, 103, 4)
    assert log.file.read_lines([place for _, place in job.taken]) == raws(2, 103, 4)
    assert held(tmp_path) == [2, 103, 4, 7], "a start has the new files from now on"
    assert log.file.read_lines(log.places) == raws(1, 2, 3, 4, 5, 6), "and who is not switched the old ones"
    assert job.bytes_before == before
    log.compactor.take(Switched(job))
    log.at_rest()
    assert log.compactor.count == 1
    assert job.bytes_after == path_of(tmp_path, BASE | 1).stat().st_size
    assert not path_of(tmp_path, 1).exists()
    assert log.file.read_lines([place for _, place in job.taken]) == raws(2, 103, 4)
    assert held(tmp_path) == [2, 103, 4, 7]


def test_one_job_after_the_other(log: Fixture, tmp_path: Path) -> None:
    for count in range(1, 4):
        job = ListJob(log.places[:3])
        log.compactor.take(Rewrite(job))
        assert log.outcomes.next() == ("rewritten", job)
        log.compactor.take(Switched(job))
        log.at_rest()
        log.places = [place for _, place in job.taken]
        assert log.compactor.count == count
    assert held(tmp_path) == [1, 2, 3]
    assert len(list(tmp_path.glob("*.ops"))) == 2


def test_more_is_folded_in_when_the_core_asks_for_it(log: Fixture) -> None:
    job = ListJob(log.places)
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("rewritten", job)
    log.compactor.take(CatchUp(job))
    assert log.outcomes.next() == ("rewritten", job)
    assert job.calls[-3:] == ["catch_up"] * 3


def as_before(log: Fixture, directory: Path) -> None:
    """Nothing of a compaction is there, and another one is possible."""
    log.at_rest()
    log.append(7)
    assert held(directory) == [1, 2, 3, 4, 5, 6, 7]
    assert not list(directory.glob("base-*")) + list(directory.glob("MANIFEST*"))
    job = ListJob(log.places[:1])
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("rewritten", job)


def test_a_job_that_is_refused_at_its_end_changes_nothing(log: Fixture, tmp_path: Path) -> None:
    job = ListJob(log.places)
    job.why = "less than was offered"
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("failed", job, "less than was offered")
    as_before(log, tmp_path)


def test_a_job_that_is_stopped_has_failed_like_any_other(log: Fixture, tmp_path: Path) -> None:
    """The core waits for it: untold, it would never adopt what it was stopped for, and keep all that is stored from then on."""
    job = ListJob(log.places[:3], log.places[3:])
    job.at_piece = lambda: setattr(job, "stopped", True)
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("failed", job, "it was stopped")
    as_before(log, tmp_path)


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_a_record_that_cannot_be_read_is_told_and_never_left_out(log: Fixture, tmp_path: Path, is_looked_at: bool) -> None:
    number, offset = log.places[2][0] >> 32, log.places[2][0] & 0xFFFFFFFF
    flip(path_of(tmp_path, number), offset + 30)
    job = ListJob(log.places)
    job.to_read = log.places if is_looked_at else []
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("unreadable", [log.places[2][0]])
    assert log.outcomes.next() == ("failed", job, "1 records cannot be read: first they have to be healed")
    assert not log.file.directory.joinpath("MANIFEST").exists()


def test_without_room_nothing_is_written(log: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ListJob(log.places)
    with monkeypatch.context() as patch:
        patch.setattr(log.file, "free_bytes", lambda: limits.DISK_RESERVE_BYTES // 8)
        log.compactor.take(Rewrite(job))
        assert log.outcomes.next() == ("failed", job, "the disk has no room for what is to be written")
    as_before(log, tmp_path)


def test_a_disk_that_becomes_full_meanwhile(log: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if "base-" in os.readlink(f"/proc/self/fd/{fd}") and bytes(data).endswith(raw(4) + b"\n"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd to name descriptors with")
    job = ListJob(*([place] for place in log.places))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        log.compactor.take(Rewrite(job))
        assert log.outcomes.next() == ("failed", job, "No space left on device")
    as_before(log, tmp_path)


def test_a_segment_that_cannot_be_begun(log: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ListJob(log.places)
    with monkeypatch.context() as patch:

        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "write", full)
        log.compactor.take(Rewrite(job))
    kind, failed, why = log.outcomes.next()
    assert (kind, failed) == ("failed", job)
    assert "Make room" in why
    as_before(log, tmp_path)


def test_what_is_handed_over_follows_what_stays(log: Fixture, tmp_path: Path) -> None:
    log.compactor.take(KeepPart(raws(90), first=True))
    log.compactor.take(KeepPart(raws(201, 202), first=True))
    log.compactor.take(KeepPart(raws(203), first=False))
    job = ListJob(log.places[:2], adopts=True)
    job.here = raws(202)
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("rewritten", job)
    assert [raw for raw, _ in job.taken] == raws(1, 2, 201, 203), "without what came meanwhile"
    assert held(tmp_path) == [1, 2, 201, 203]
    assert not (tmp_path / "incoming.tmp").exists()


def test_what_is_handed_over_is_forgotten_when_it_is_dropped(log: Fixture, tmp_path: Path) -> None:
    log.compactor.take(KeepPart(raws(201), first=True))
    log.compactor.take(DropParts())
    job = ListJob(log.places[:2], adopts=True)
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("rewritten", job)
    assert held(tmp_path) == [1, 2]


def test_a_part_that_could_not_be_staged_is_not_left_out(log: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "write", full)
        log.compactor.take(KeepPart(raws(201), first=True))
        log.at_rest()
    log.compactor.take(KeepPart(raws(202), first=False))
    job = ListJob(log.places[:2], adopts=True)
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("failed", job, "what a peer handed over could not be staged")


def test_a_part_that_was_damaged_is_not_left_out(log: Fixture, tmp_path: Path) -> None:
    log.compactor.take(KeepPart(raws(201), first=True))
    log.at_rest()
    flip(tmp_path / "incoming.tmp", 40)
    job = ListJob(log.places[:2], adopts=True)
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("failed", job, "what a peer handed over cannot be read back")


def test_what_a_backup_reads_stays_until_it_has_ended(log: Fixture, tmp_path: Path) -> None:
    pin = log.file.pin()
    job = ListJob(log.places[:2])
    log.compactor.take(Rewrite(job))
    assert log.outcomes.next() == ("rewritten", job)
    log.compactor.take(Switched(job))
    log.at_rest()
    another = ListJob([place for _, place in job.taken])
    log.compactor.take(Rewrite(another))
    assert log.outcomes.next() == ("rewritten", another), "a long backup keeps files, and holds up no compaction"
    log.compactor.take(Switched(another))
    log.at_rest()
    assert all(path_of(tmp_path, number).exists() for number in pin.lengths)
    del pin
    log.at_rest()  # a look that had begun is over
    log.at_rest()
    assert not path_of(tmp_path, 1).exists()


def test_what_is_stopped_in_the_middle_leaves_nothing(log: Fixture, tmp_path: Path) -> None:
    job = ListJob(log.places[:3], log.places[3:])
    job.at_piece = log.compactor._stop.set
    log.compactor.take(Rewrite(job))
    log.compactor.close(PATIENCE_SECONDS)
    assert not list(tmp_path.glob("base-*"))
    log.file.close()
    assert held(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_disk_that_fails_at_the_commit_ends_the_process(log: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.rename

    def fail(before: Any, after: Any) -> None:
        if "MANIFEST" in str(before):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(before, after)

    job = ListJob(log.places)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        log.compactor.take(Rewrite(job))
        log.compactor._thread.join(PATIENCE_SECONDS)
    assert [getattr(error, "code", "") for error in log.fatal] == ["disk-failed"]
    log.fatal.clear()
