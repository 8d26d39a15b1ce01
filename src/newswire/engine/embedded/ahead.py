"""Works in processes of its own, ahead of who needs the results: checking and decoding is most of a start.

A process takes every so many-th item, and hands over its results in order. It is forked, so that hashes of strings mean
the same there and here, and it must change nothing. Whatever goes wrong in it (it is killed, memory is short, the disk
fails), the work is done here from there on, and meets what is wrong.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import BinaryIO, Final, Generic, NoReturn, TypeVar

from newswire.core import limits

T = TypeVar("T")
Item = TypeVar("Item")

_SIZE_BYTES: Final = 8  # before each result, its length
_READ_BYTES: Final = 1024 * 1024  # of a pipe at once
_END: Final = b"."  # in place of a result, behind the last one of an item


class Ahead(Generic[Item, T]):
    """The results of `work` for each item. The owner's thread; `close` ends it."""

    def __init__(self, items: Sequence[Item], work: Callable[[Item], Iterator[T]], processes: int) -> None:
        """`work`: the same results each time. `processes`: how many to use; 0: nothing is done ahead."""
        self._work = work
        self._pipes: list[int] = []
        self._pids: list[int] = []
        self._turn = 0
        try:
            for first in range(processes):
                self._fork(items[first::processes])
        except OSError:  # no room for another process, or no more descriptors
            self.close()

    def take(self, item: Item) -> Iterator[T]:
        """The results for an item. Each is asked for once, in order, and to its end."""
        count = 0
        if self._pipes:
            pipe = self._pipes[self._turn % len(self._pipes)]
            self._turn += 1
            while size := int.from_bytes(_read(pipe, _SIZE_BYTES), "big"):
                raw = _read(pipe, size)
                if len(raw) < size:
                    break
                if raw == _END:
                    return
                count += 1
                result: T = pickle.loads(raw)  # of a child of this process
                yield result
        yield from islice(self._work(item), count, None)

    def close(self) -> None:
        """End the processes; what they have not handed over is not wanted any more."""
        for pipe in self._pipes:
            os.close(pipe)
        for pid in self._pids:
            with suppress(ProcessLookupError, ChildProcessError):  # where SIGCHLD is ignored the kernel has let go of it
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self._pipes, self._pids = [], []

    def _fork(self, items: Sequence[Item]) -> None:
        reader, writer = os.pipe()
        self._pipes.append(reader)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: the child needs nothing of theirs
                pid = os.fork()
            if pid == 0:
                _be_child(items, self._work, writer)
            self._pids.append(pid)
        finally:
            os.close(writer)


def _be_child(items: Sequence[Item], work: Callable[[Item], Iterator[T]], writer: int) -> NoReturn:
    """Work, and end. It lets go of all that its parent has open: the lock of a directory lives as long as one who has it."""
    try:
        gc.disable()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, writer)
        os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        with os.fdopen(writer, "wb", buffering=limits.AHEAD_RESULT_BYTES) as pipe:
            for item in items:
                for result in work(item):
                    _write(pipe, pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
                _write(pipe, _END)
                pipe.flush()
    finally:
        os._exit(0)


def _write(pipe: BinaryIO, raw: bytes) -> None:
    pipe.write(len(raw).to_bytes(_SIZE_BYTES, "big"))
    pipe.write(raw)


def _read(pipe: int, size: int) -> bytes:
    """So many bytes, fewer where the other end is gone."""
    parts: list[bytes] = []
    while size > 0 and (part := os.read(pipe, min(size, _READ_BYTES))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
