"""The thread that compacts: it writes what stays of a log beside it, while the commit thread goes on (docs/rules.md, DISK).

The core says what is to be written: a job, of which it looks at the ops that are no messages, chooses what is left out, gives
what stays piece by piece, and folds what was written into the state that the core then has in place of its own. Here each
piece is read, written and synced, and the MANIFEST that makes the files the log. Before that anything that goes wrong
leaves the log as it was: the job is told to have failed, its files are removed. After it the job is done, or the process ends.

What a peer hands over is staged in one file until a job takes it; no start looks at it.

It works half of the time at most, so that whoever publishes waits for a piece and not for a compaction.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from newswire.core import limits
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.engine.embedded import disk, segment
from newswire.engine.embedded.base import BaseWriter
from newswire.engine.embedded.layout import BASE, Layout
from newswire.engine.embedded.ops_file import OpsFile
from newswire.errors import StorageFull
from newswire.threads import OnFatal, supervise

_log: Final = logging.getLogger("newswire.engine")
_BUSY_SECONDS: Final = 0.005  # of the processor; then it rests as long: who publishes meanwhile waits no longer than that
_REMOVE_SECONDS: Final = (
    1.0  # after the switch, for who has looked a place up and not read it yet; and between two looks at backups
)
_STAGED: Final = "incoming.tmp"  # a start removes it
_STAGED_BYTES: Final = 512 * 1024  # of it, written as one piece

Places = Sequence[tuple[int, int]]


class Job(Protocol):
    """What a base is made of (`core.state.rewriting.Rewriting`). One thread calls it; `stopped` is anyone's."""

    adopts: bool  # what is staged follows what stays
    stopped: bool  # the core gave it up
    bytes_before: int
    bytes_after: int

    def survey(self, state: State) -> Pieces[None]:
        """Copy what it needs of the state. Under the state lock, in pieces."""
        ...

    def to_look_at(self) -> Iterator[list[tuple[int, int]]]:
        """The places of what it has to read first."""
        ...

    def look(self, raws: Sequence[bytes]) -> None:
        """Take what stands at the places that were asked for last."""
        ...

    def choose(self) -> Iterator[None]:
        """Choose what is left out, step by step."""
        ...

    def pieces(self) -> Iterator[Sequence[tuple[int, int] | bytes]]:
        """What is to be written, in order: places of what stays, JSON objects of what is new."""
        ...

    def take(self, raws: Sequence[bytes], places: Places) -> None:
        """Fold in what was written."""
        ...

    def check(self) -> str:
        """Why it must not be had in place of the log; "" if it may."""
        ...

    def catch_up(self) -> bool:
        """Fold in some of what was stored meanwhile; False when there is hardly any."""
        ...


class Outcomes(Protocol):
    """Whom the compactor tells. Its thread calls."""

    def rewritten(self, job: Any) -> None:
        """The files of `job` are the log from the next start on: it is to be switched to."""
        ...

    def rewrite_failed(self, job: Any, why: str) -> None:
        """Nothing has changed."""
        ...

    def unreadable(self, places: Sequence[int]) -> None:
        """These records cannot be read."""
        ...


class _GivenUp(Exception):
    """The job is not gone on with, for this reason."""


class Compactor:
    """Runs jobs, one at a time. `rewrite`, `keep_part`, `drop_parts`, `catch_up`, `switched`: the commit thread."""

    def __init__(
        self,
        opsfile: OpsFile,
        query: Callable[[Callable[[State], Pieces[None]]], object],
        outcomes: Outcomes,
        on_fatal: OnFatal,
    ) -> None:
        """`query`: see `Shell`."""
        self._opsfile, self._query, self._outcomes = opsfile, query, outcomes
        self._inbox: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._layout: Layout | None = None  # committed, and not switched to
        self._staged = _Staged(opsfile.directory / _STAGED)
        self._busy_from = 0.0
        self.count = 0  # compactions
        self._thread = supervise(self._main, "compaction", on_fatal, may_end=self._stop.is_set)

    def start(self) -> None:
        """Take jobs from now on."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """End after the piece that is written now; what is not committed is removed, by the next start if need be."""
        self._stop.set()
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)

    # -- the commit thread --------------------------------------------------------------------------------------

    def rewrite(self, job: Job) -> None:
        """Begin a job: what is appended from now on lies behind it. Raises DiskFailed."""
        try:
            replaces, writer = self._opsfile.begin_base()
        except StorageFull as error:
            self._outcomes.rewrite_failed(job, error.detail)
            return
        self._inbox.put(lambda: self._run(job, replaces, writer))

    def keep_part(self, raws: Sequence[bytes], *, first: bool) -> None:
        """Stage what a peer hands over; `first`: in place of what was staged before."""
        if first:
            self.drop_parts()
        self._inbox.put(lambda: self._staged.add(raws))

    def drop_parts(self) -> None:
        """Forget what is staged."""
        self._inbox.put(self._staged.drop)

    def catch_up(self, job: Job) -> None:
        """Have more folded in, then be told again: too much was stored meanwhile."""
        self._inbox.put(lambda: self._catch_up(job))

    def switched(self, job: Job) -> None:
        """Have the new files in place of the old: the state has."""
        assert self._layout is not None, "nothing was committed"
        self._opsfile.switch(self._layout)
        self.count += 1
        self._inbox.put(lambda: self._remove(job))

    # -- its own thread -----------------------------------------------------------------------------------------

    def _main(self) -> None:
        while (work := self._inbox.get()) is not None and not self._stop.is_set():
            work()

    def _run(self, job: Job, replaces: int, writer: BaseWriter) -> None:
        lengths = self._opsfile.pin().lengths
        job.bytes_before = sum(length for number, length in lengths.items() if number <= replaces or number & BASE)
        self._busy_from = time.thread_time()
        try:
            self._write(job, writer)
            files = writer.finish()
        except (_GivenUp, OSError, StorageFull) as error:
            self._abandon(writer)
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if not job.stopped:
                self._outcomes.rewrite_failed(job, why)
            return
        job.bytes_after = writer.size
        self._layout = self._opsfile.commit_base(files, replaces)
        self._staged.drop()
        self._catch_up(job)

    def _write(self, job: Job, writer: BaseWriter) -> None:
        """Raises _GivenUp, StorageFull, OSError."""
        self._query(job.survey)
        for places in job.to_look_at():
            job.look(self._read(places))
            self._rest(job)
        for _ in job.choose():
            self._rest(job)
        for piece in job.pieces():
            raws = self._read_piece(piece)
            self._check_room(sum(map(len, raws)))
            job.take(raws, writer.write(raws))
            self._rest(job)
        for raws in self._staged.pieces() if job.adopts else ():
            self._check_room(sum(map(len, raws)))
            job.take(raws, writer.write(raws))
            self._rest(job)
        if why := job.check():
            raise _GivenUp(why)

    def _read_piece(self, piece: Sequence[tuple[int, int] | bytes]) -> list[bytes]:
        lines = iter(self._read([one for one in piece if not isinstance(one, bytes)]))
        return [one if isinstance(one, bytes) else next(lines) for one in piece]

    def _read(self, places: Places) -> list[bytes]:
        raws = self._opsfile.read_each(places) if places else []
        if bad := [place for (place, _), raw in zip(places, raws, strict=True) if raw is None]:
            self._outcomes.unreadable(bad)
            raise _GivenUp(f"{len(bad)} records cannot be read: first they have to be healed")
        return [raw for raw in raws if raw is not None]

    def _check_room(self, size: int) -> None:
        """Leave half of the reserve to what a full disk still takes: cursors, and what peers hand over."""
        if self._opsfile.free_bytes() < limits.DISK_RESERVE_BYTES // 2 + size:
            raise _GivenUp("the disk has no room for what is to be written")

    def _rest(self, job: Job) -> None:
        """Leave the processor to others, for as long as it was taken. Raises _GivenUp."""
        busy = time.thread_time() - self._busy_from
        if busy >= _BUSY_SECONDS:
            self._stop.wait(busy)
            self._busy_from = time.thread_time()
        if job.stopped or self._stop.is_set():
            raise _GivenUp("it was stopped")

    def _abandon(self, writer: BaseWriter) -> None:
        try:
            writer.abandon()
        except OSError as error:
            _log.warning("what a compaction wrote could not be removed, the next start does it: %s", error)

    def _catch_up(self, job: Job) -> None:
        while job.catch_up() and not self._stop.is_set():
            self._stop.wait(0)
        self._outcomes.rewritten(job)

    def _remove(self, job: Job) -> None:
        """Remove what was replaced, once nobody reads it."""
        self._layout = None
        try:
            while not self._stop.wait(_REMOVE_SECONDS) and not self._opsfile.remove_replaced():
                pass
        except OSError as error:
            _log.warning("what was compacted could not be removed, the next start does it: %s", error)
        _log.info("compacted: %d bytes became %d", job.bytes_before, job.bytes_after)


class _Staged:
    """What a peer hands over, in a file, until a job takes it: lines as of a log, without a header, never synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_whole = True

    def add(self, raws: Sequence[bytes]) -> None:
        try:
            with open(self._path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                disk.write_all(file.fileno(), b"".join(map(segment.line, raws)))
        except OSError as error:
            _log.warning("what a peer hands over cannot be staged: %s", error)
            self._is_whole = False

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)
        self._is_whole = True

    def pieces(self) -> Iterator[list[bytes]]:
        """The JSON objects, in pieces. Raises _GivenUp if not all is there, OSError."""
        if not self._is_whole:
            raise _GivenUp("what a peer handed over could not be staged")
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            while lines := file.readlines(_STAGED_BYTES):
                raws = segment.bodies(lines, -1)
                if raws is None:
                    raise _GivenUp("what a peer handed over cannot be read back")
                yield raws
