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
from typing import Final

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
from newswire.core.state.rewriting import Rewriting
from newswire.engine.embedded import disk, segment
from newswire.engine.embedded.base import BaseWriter
from newswire.engine.embedded.layout import BASE, Layout
from newswire.engine.embedded.ops_file import OpsFile
from newswire.errors import StorageFull
from newswire.threads import OnFatal, supervise

_log: Final = logging.getLogger("newswire.engine")
_BUSY_SECONDS: Final = 0.005  # of the processor; then it rests as long: who publishes meanwhile waits no longer than that
_REMOVE_SECONDS: Final = 1.0  # from the switch on, for who has looked a place up and not read it; and until another look
_STAGED: Final = "incoming.tmp"  # a start removes it
_STAGED_BYTES: Final = 512 * 1024  # of it, written as one piece

Doing = Rewrite | CatchUp | Switched | KeepPart | DropParts
Places = Sequence[tuple[int, int]]


class _GivenUp(Exception):
    """The job is not gone on with, for this reason."""


class Compactor:
    """Runs jobs, one at a time. `take`: the commit thread; `start`, `close`: the owner."""

    def __init__(
        self,
        opsfile: OpsFile,
        query: Callable[[Callable[[State], Pieces[None]]], object],
        put: Callable[[Event], object],
        on_fatal: OnFatal,
        reserve: int = limits.DISK_RESERVE_BYTES // 8,
    ) -> None:
        """`query`: see `Shell`. `put`: takes what came of a job. `reserve`: bytes of the disk that are never written."""
        self._opsfile, self._query, self._put, self._reserve = opsfile, query, put, reserve
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

    def take(self, action: Doing) -> None:
        """Do what the core wants of a compaction, or have its thread do it. Raises DiskFailed.

        What is appended after a `Rewrite` lies behind it. With `Switched` the log has the new files, as the state has.
        """
        match action:
            case Rewrite(job):
                try:
                    replaces, writer = self._opsfile.begin_base()
                except StorageFull as error:
                    self._put(RewriteFailed(job, error.detail))
                else:
                    self._inbox.put(lambda: self._run(job, replaces, writer))
            case CatchUp(job):
                self._inbox.put(lambda: self._catch_up(job))
            case Switched(job):
                assert self._layout is not None, "nothing was committed"
                self._opsfile.switch(self._layout)
                self._layout = None
                self.count += 1
                _log.info("compacted: %d bytes became %d", job.bytes_before, job.bytes_after)
                self._inbox.put(self._remove)
            case KeepPart(raws, first):
                self._inbox.put(lambda: self._staged.add(raws, first=first))
            case DropParts():
                self._inbox.put(self._staged.drop)

    # -- its own thread -----------------------------------------------------------------------------------------

    def _main(self) -> None:
        while not self._stop.is_set():
            try:
                work = self._inbox.get(timeout=limits.PACK_EVERY_SECONDS if self._opsfile.packs else None)
            except queue.Empty:
                work = self._pack
            if work is not None:
                work()

    def _pack(self) -> None:
        """Compress what does not change any more, while there is nothing else to do."""
        self._busy_from = time.thread_time()

        def goes_on() -> bool:
            self._leave_processor()
            return self._inbox.empty() and not self._stop.is_set()

        try:
            while goes_on() and self._opsfile.pack_one(goes_on):
                pass
        except (OSError, EOFError) as error:
            _log.warning("a part of the ops file could not be compressed, and stays as it is: %s", error)

    def _run(self, job: Rewriting, replaces: int, writer: BaseWriter) -> None:
        lengths = self._opsfile.pin().lengths
        job.bytes_before = sum(length for number, length in lengths.items() if number <= replaces or number & BASE)
        self._busy_from = time.thread_time()
        try:
            self._write(job, writer)
            files = writer.finish()
        except (_GivenUp, OSError, StorageFull) as error:
            try:
                writer.abandon()
            except OSError as second:
                _log.warning("what a compaction wrote could not be removed, the next start does it: %s", second)
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._put(RewriteFailed(job, why))  # whatever the reason: the core begins nothing else before it hears of this one
            return
        job.bytes_after = writer.size
        self._layout = self._opsfile.commit_base(files, replaces)
        self._staged.drop()
        self._catch_up(job)

    def _write(self, job: Rewriting, writer: BaseWriter) -> None:
        """Raises _GivenUp, StorageFull, OSError."""
        self._query(job.survey)
        for places in job.to_look_at():
            job.look(self._read(places))
            self._rest(job)
        for _ in job.choose():
            self._rest(job)
        for piece in job.pieces():
            lines = iter(self._read([one for one in piece if not isinstance(one, bytes)]))
            raws = [one if isinstance(one, bytes) else next(lines) for one in piece]
            self._check_room(sum(map(len, raws)))
            job.take(raws, writer.write(raws))
            self._rest(job)
        for part in self._staged.pieces() if job.adopts else ():
            raws = job.merge(part)
            self._check_room(sum(map(len, raws)))
            job.take(raws, writer.write(raws))
            self._rest(job)
        if why := job.check():
            raise _GivenUp(why)

    def _read(self, places: Places) -> list[bytes]:
        raws = self._opsfile.read_each(places) if places else []
        if bad := [place for (place, _), raw in zip(places, raws, strict=True) if raw is None]:
            self._put(Unreadable(tuple(bad)))
            raise _GivenUp(f"{len(bad)} records cannot be read: first they have to be healed")
        return [raw for raw in raws if raw is not None]

    def _check_room(self, size: int) -> None:
        if self._opsfile.free_bytes() < self._reserve + size:  # room for what a full disk still takes, as cursors
            raise _GivenUp("the disk has no room for what is to be written")

    def _rest(self, job: Rewriting) -> None:
        """Leave the processor to others, for as long as it was taken. Raises _GivenUp."""
        self._leave_processor()
        if job.stopped or self._stop.is_set():
            raise _GivenUp("it was stopped")

    def _leave_processor(self) -> None:
        busy = time.thread_time() - self._busy_from
        if busy >= _BUSY_SECONDS:
            self._stop.wait(busy)
            self._busy_from = time.thread_time()

    def _catch_up(self, job: Rewriting) -> None:
        while job.catch_up() and not self._stop.is_set():
            self._stop.wait(0)
        self._put(Rewritten(job))

    def _remove(self) -> None:
        """Remove what was replaced, once nobody reads it. While a backup does, other work comes between two looks."""
        if self._stop.wait(_REMOVE_SECONDS):
            return
        try:
            if not self._opsfile.remove_replaced():
                self._inbox.put(self._remove)
        except OSError as error:
            _log.warning("what was compacted could not be removed, the next start does it: %s", error)


class _Staged:
    """What a peer hands over, in a file, until a job takes it: lines as of a log, without a header, never synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_whole = True

    def add(self, raws: Sequence[bytes], *, first: bool) -> None:
        """`first`: in place of what was staged before."""
        if first:
            self.drop()
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
