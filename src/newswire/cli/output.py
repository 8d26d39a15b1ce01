"""Standard output and standard error that may fail without anything else failing (docs/rules.md, OUTPUT).

What a command did stays done when its output cannot be written: a full disk, a reader that has left, a stream that is
closed. `install` puts files in place of `sys.stdout` and `sys.stderr` that drop what cannot be written and remember why, so
that nothing which prints (click, rich, logging, a traceback) has to know. `failure` tells those whose work the output is.

Standard output is given up at its first failure: what follows would stand behind a hole. Standard error is not: the log of a
broker goes on when there is room on the disk again.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Final

_FAILED: Final = "_newswire_failed"  # the attribute of a stream's raw file
_QUIET: Final = (errno.EPIPE, errno.EBADF)  # the reader left, or nobody ever wanted it


class _Tolerant(io.FileIO):
    """Takes all that is written. `failed` is why something of it was dropped."""

    def __init__(self, descriptor: int, *, for_good: bool, failed: OSError | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failed = failed
        self._for_good = for_good

    def write(self, data: object, /) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer
        if self.failed is not None and self._for_good:
            return size
        try:
            written = super().write(data)  # type: ignore[arg-type]
            if written is None:  # somebody has made it non-blocking, and it is full
                select.select([], [self.fileno()], [])
                return self.write(data)
            return written
        except OSError as error:
            self.failed = error
            return size


def install() -> None:
    """Put tolerant files in place of `sys.stdout` and `sys.stderr`. Descriptors that are closed come to lead nowhere.

    `sys.stdin` is then a file, too, so that nobody who asks whether it is a terminal fails.

    They must not stay closed: the next socket or ops file would get the number, and the output of a child with it.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    sys.stdout = _file(1, for_good=True, closed=1 in closed)
    sys.stderr = _file(2, for_good=False, closed=2 in closed)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # as long as the process lives


def is_input_closed() -> bool:
    """Say whether there is no standard input at all; an empty one is there."""
    return sys.stdin is None or getattr(sys.stdin, "name", "") == os.devnull


def failure() -> OSError | None:
    """Why standard output lacks something, None if all is written. Flushes it first."""
    try:
        sys.stdout.flush()
    except OSError as error:  # not one of ours: a test's, or of a program that calls `run`
        return error
    return getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "failed", None)


def is_quiet(error: OSError) -> bool:
    """Say whether a failure of standard output is what its reader wanted, so that nobody needs to be told."""
    return error.errno in _QUIET


def reader_left(descriptor: int, then: Callable[[], object]) -> None:
    """Call `then`, in a thread of its own, once nobody reads what is written to `descriptor`, a pipe, any more."""
    poll = select.poll()
    poll.register(descriptor, 0)

    def watch() -> None:
        poll.poll()
        then()

    threading.Thread(target=watch, name="reader", daemon=True).start()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        return False
    return True


def _file(descriptor: int, *, for_good: bool, closed: bool) -> io.TextIOWrapper:
    failed = OSError(errno.EBADF, "it is closed") if closed else None
    raw = _Tolerant(descriptor, for_good=for_good, failed=failed)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(sys.__stdout__, "encoding", None) or "utf-8",
        errors="backslashreplace",  # what a terminal of another character set cannot show
        line_buffering=descriptor == 2 or raw.isatty(),
        write_through=bool(os.environ.get("PYTHONUNBUFFERED")),
    )
