"""Lines of a pipe or terminal as they come, with a word when it is time to go on without more.

A program that writes a line now and then (`tail -f`) must not wait for the ten thousandth. Nothing is read ahead of whoever
asks: while that one is busy the pipe fills, and its writer waits.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

from newswire.core import limits
from newswire.errors import TooLarge

IDLE_SECONDS: Final = 0.2  # nothing more has come: what writes a block at once does so within less
OLDEST_SECONDS: Final = 0.5  # that the first line waits for others which come all the time: with the request, under a second
_READ_BYTES: Final = 64 * 1024


def lines_of(file: BinaryIO) -> Iterable[bytes | None]:
    """The lines of `file`, with their ends; None where those before should wait no longer. Of a file on a disk, lines alone."""
    try:
        descriptor = file.fileno()
    except OSError:  # io.UnsupportedOperation is one: it is none of the system's
        return file
    return file if stat.S_ISREG(os.fstat(descriptor).st_mode) else lines_as_they_come(descriptor)


def lines_as_they_come(descriptor: int, clock: Callable[[], float] = time.monotonic) -> Iterator[bytes | None]:
    """The lines that `descriptor` brings; None where those before should wait no longer. Raises TooLarge.

    Ctrl-C while nothing comes is the end, as Ctrl-D is; a line that was begun is left out then.
    """
    held, oldest = b"", None
    while True:
        try:
            is_there = select.select([descriptor], [], [], None if oldest is None else IDLE_SECONDS)[0]
            part = os.read(descriptor, _READ_BYTES) if is_there else b""
        except KeyboardInterrupt:
            return
        if is_there and not part:
            break
        *lines, held = (held + part).split(b"\n")
        if len(held) > limits.BATCH_BYTES:
            raise TooLarge(f"a line is longer than {limits.BATCH_BYTES} bytes, the most a batch may have")
        if lines and oldest is None:
            oldest = clock()
        for line in lines:
            yield line + b"\n"
        if oldest is not None and (not is_there or clock() - oldest >= OLDEST_SECONDS):
            oldest = None
            yield None
    if held:
        yield held
