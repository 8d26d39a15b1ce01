"""Long answers whose parts are read as they are sent: one at a time, by a thread of its own that waits for disk and client.

The listener keeps answers in memory and never waits for a client, so what has no bound leaves it: the socket is handed over as
that of a stream is. An answer that cannot go on is broken off without its last chunk, so that nobody takes it for whole. So is
one whose client takes too little, as it holds the one place that there is: see `_Credit`.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from newswire import sse
from newswire.core import limits
from newswire.errors import NewswireError
from newswire.threads import OnFatal, supervise

_LEAST_BYTES_PER_SECOND: Final = 64 * 1024  # half of a line of 1 Mbit/s: 10 GB take two days then, and no longer

_log = logging.getLogger(__name__)


class _Credit:
    """How long a client may be waited for: it has a minute, waiting uses that up, and what it takes earns that again.

    So who takes less than the least rate is cut off after a minute or so of it, however the bytes are spread, and who pauses
    for less than that is not. Waiting for a disk costs the client nothing.
    """

    def __init__(self) -> None:
        self.seconds = limits.BACKUP_PART_SECONDS

    def take(self, count: int, waited: float) -> None:
        """The client took `count` bytes, after it was waited for. Raises TimeoutError where nothing is left."""
        earned = count / _LEAST_BYTES_PER_SECOND
        self.seconds = min(limits.BACKUP_PART_SECONDS, self.seconds - waited + earned)
        if self.seconds <= 0:
            raise TimeoutError


class Downloads:
    """Sends at most one. `adopt`: the listener's loop; `is_busy`: any thread; `stop`: the owner."""

    def __init__(self, on_fatal: OnFatal, clock: Callable[[], float] = time.monotonic) -> None:
        """`on_fatal` must end the process: the thread died. `clock`: in seconds."""
        self._on_fatal, self._clock = on_fatal, clock
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    @property
    def is_busy(self) -> bool:
        """Whether one is under way."""
        return self._sock is not None

    def adopt(self, parts: Iterator[bytes], sock: socket.socket, head: bytes, chunked: bool) -> None:
        """Send `head` and `parts` (in chunks, if it says so) on `sock`, and own it. Never waits.

        Where another is under way, as two asked at the same moment, it is broken off.
        """
        with self._lock:
            if self._sock is not None or self._is_stopping:
                sock.close()
                return
            self._sock = sock
        send = partial(self._send, parts, sock, head, chunked)
        self._thread = supervise(send, "download", self._on_fatal, may_end=lambda: True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Break off what is under way."""
        with self._lock:
            self._is_stopping = True
            if self._sock is not None:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(timeout)

    def _send(self, parts: Iterator[bytes], sock: socket.socket, head: bytes, chunked: bool) -> None:
        credit, count = _Credit(), 0
        try:
            self._pass_on(sock, head, credit)
            for part in parts:
                self._pass_on(sock, sse.chunk(part) if chunked else part, credit)
                count += len(part)
            if chunked:
                self._pass_on(sock, sse.chunk(b""), credit)
            _log.info("sent a backup of %d bytes", count)
        except TimeoutError:
            least = _LEAST_BYTES_PER_SECOND // 1024
            _log.warning("a backup was broken off after %d bytes: the client takes less than %d KiB a second", count, least)
        except (OSError, NewswireError) as error:
            why = error.detail if isinstance(error, NewswireError) else error.strerror or error
            _log.warning("a backup was broken off after %d bytes: %s", count, why)
        finally:
            with self._lock:
                self._sock = None
            sock.close()

    def _pass_on(self, sock: socket.socket, data: bytes, credit: _Credit) -> None:
        """Send all of `data`. Raises TimeoutError when the client's credit is used up."""
        left = memoryview(data)
        while left:
            sock.settimeout(credit.seconds)
            since = self._clock()
            count = sock.send(left)
            credit.take(count, self._clock() - since)
            left = left[count:]
