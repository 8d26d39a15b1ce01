"""The time of a call, over all that is read of its answer. requests counts it anew from byte to byte.

Before each read the socket's timeout is set to what is left, so that who sends a byte now and then is waited for no longer than
who sends none. Sending, connecting and the handshake of TLS have one timeout each, which no byte begins anew.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import urllib3
from requests.adapters import HTTPAdapter


class Deadline:
    """When what is read now is to have come. One thread."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """`seconds` from now. `clock`: monotonic seconds."""
        self._seconds, self._clock = seconds, clock
        self._end: float | None = clock() + seconds

    def seconds_left(self) -> float:
        """How many seconds the next read may last. Raises TimeoutError when the time is over."""
        if self._end is None:
            return self._seconds
        rest = self._end - self._clock()
        if rest <= 0:
            raise TimeoutError("timed out")
        return rest

    def lift(self) -> None:
        """From now on each read may last as long as all of it might until now: what is read has no end."""
        self._end = None

    @contextmanager
    def of_answer(self) -> Iterator[None]:
        """What begins to be answered within this, in this thread and by a `TimedAdapter`, has this deadline."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


_current: Final[ContextVar[Deadline]] = ContextVar("newswire-deadline")


class _TimedFile(io.RawIOBase):
    """What comes on a socket, each read in what is left of the time."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.seconds_left())
        return self._file.readinto(buffer)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimedSocket:
    """As much of a socket as an HTTPResponse uses."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedFile(self._sock, _current.get()))


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(_TimedSocket(sock), *args, **options)  # type: ignore[arg-type]


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _TimedResponse


class _TlsConnection(urllib3.connection.HTTPSConnection):
    response_class = _TimedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class TimedAdapter(HTTPAdapter):
    """Sends requests, each within a `Deadline.of_answer`."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
