"""Long answers whose parts are read as they are sent: one at a time, by a thread of its own that waits for disk and client.

The listener keeps answers in memory and never waits for a client, so what has no bound leaves it: the socket is handed over as
that of a stream is. An answer that cannot go on is broken off without its last chunk, so that nobody takes it for whole.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from newswire import sse
from newswire.core import limits
from newswire.errors import NewswireError
from newswire.threads import OnFatal, supervise

_log = logging.getLogger(__name__)


class Downloads:
    """Sends at most one. `adopt`: the listener's loop; `is_busy`: any thread; `stop`: the owner."""

    def __init__(self, on_fatal: OnFatal) -> None:
        """`on_fatal` must end the process: the thread died."""
        self._on_fatal = on_fatal
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
        count = 0
        try:
            sock.settimeout(limits.BACKUP_PART_SECONDS)
            sock.sendall(head)
            for part in parts:
                sock.sendall(sse.chunk(part) if chunked else part)
                count += len(part)
            if chunked:
                sock.sendall(sse.chunk(b""))
            _log.info("sent a backup of %d bytes", count)
        except (OSError, NewswireError) as error:
            why = error.detail if isinstance(error, NewswireError) else error.strerror or error
            _log.warning("a backup was broken off after %d bytes: %s", count, why)
        finally:
            with self._lock:
                self._sock = None
            sock.close()
