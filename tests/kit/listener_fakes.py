"""Raw sockets against a listener: a small WSGI application, a client that says exactly what it is told, a clock of ours."""

from __future__ import annotations

import gc
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from newswire.listener import Listener, Threads
from newswire.listener.phases import Phase
from tests.kit.waiting import PATIENCE_SECONDS

Serve = Callable[..., Listener]
OTHER = "127.0.0.2"  # an address that limits of one caller count for
BIG_BYTES = 8 * 1024 * 1024  # more than both ends' kernel buffers hold


def threads_of(clients: int = 4, control: int = 2) -> Threads:
    """So many threads for each kind of clients' requests, and for each of peers' and probes'."""
    return Threads(control, control, publish=clients, change=clients, large=clients, read=clients, open=clients)


def descriptors() -> int:
    """How many descriptors this process has open, beside those of forgotten objects."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def phases(listener: Listener, name: str) -> int:
    """How many connections the loop has placed in this phase, and stamped with its time; what it is yet to place is in none.

    Before a test moves its clock it waits for this: a connection is among the listener's before the loop looks at the clock,
    and an answer is with its client before its connection is idle.
    """
    placed = [channel for channel in list(listener._server.channels.values()) if channel.in_line]
    return sum(channel.phase.name == name for channel in placed if not (channel.phase is Phase.IDLE and channel.asked))


def chunked(path: str) -> bytes:
    """The head of a request whose body comes in chunks."""
    return f"POST {path} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Reply:
    """One answer as it came."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        return found


class Client:
    """One connection."""

    def __init__(self, port: int, receive_bytes: int | None = None, source: str = "127.0.0.1") -> None:
        self.sock = socket.socket()
        self.sock.bind((source, 0))
        if receive_bytes is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(("127.0.0.1", port))
        self.left = b""

    def send(self, *parts: bytes) -> Client:
        self.sock.sendall(b"".join(parts))
        return self

    def get(self, path: str, version: str = "1.1", *headers: str) -> Client:
        lines = [f"GET {path} HTTP/{version}", "Host: here", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def post(self, path: str, body: bytes, *headers: str) -> Client:
        lines = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers, "", ""]
        return self.send("\r\n".join(lines).encode(), body)

    def until(self, mark: bytes) -> bytes:
        """Read up to and including a mark."""
        while mark not in self.left:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"closed after {self.left!r}")
            self.left += data
        found, _, self.left = self.left.partition(mark)
        return found + mark

    def exactly(self, count: int) -> bytes:
        parts, missing = [self.left], count - len(self.left)
        while missing > 0:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError(f"closed, {missing} bytes early")
            parts.append(data)
            missing -= len(data)
        found = b"".join(parts)
        self.left = found[count:]
        return found[:count]

    def head(self) -> Reply:
        """Read status line and headers."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").rstrip().split("\r\n")
        version, status, _ = first.split(" ", 2)
        return Reply(int(status), version, {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, b"")

    def reply(self) -> Reply:
        """Read one whole answer."""
        reply = self.head()
        if "content-length" in reply.headers:
            reply.body = self.exactly(int(reply.headers["content-length"]))
        elif reply.headers.get("transfer-encoding") == "chunked":
            while size := int(self.until(b"\r\n"), 16):
                reply.body += self.exactly(size + 2)[:-2]
            self.exactly(2)
        else:
            reply.body = self.rest()
        return reply

    def rest(self) -> bytes:
        """Read until the other side closes."""
        data = self.left
        while more := self.sock.recv(65536):
            data += more
        self.left = b""
        return data

    def closed(self) -> bool:
        """Wait for the other side's close, of either kind; nothing else may come."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class App:
    """A WSGI application: paths to functions of the environ; what else comes is answered with the length of its body."""

    routes: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.seen.append(path)
        view: Callable[[dict[str, Any]], Any] = self.routes.get(path.partition("/-")[0], self.length)
        answer = view(environ)
        status, body = answer if isinstance(answer, tuple) else ("200 OK", answer)
        start_response(status, [("Content-Type", "text/plain")])
        return [body] if isinstance(body, bytes) else body

    def length(self, environ: dict[str, Any]) -> bytes:
        count = 0
        read: Callable[[int], bytes] = environ["wsgi.input"].read
        while data := read(65536):
            count += len(data)
        return str(count).encode()

    def block(self, environ: dict[str, Any]) -> bytes:
        """Wait until the test says go; `entered` tells the test that a thread is in here."""
        self.entered.release()
        if not self.go.wait(PATIENCE_SECONDS):
            raise AssertionError("nobody said go")
        return b"went"

    def blocked(self, count: int) -> None:
        """Wait until so many threads are blocked."""
        for _ in range(count):
            assert self.entered.acquire(timeout=PATIENCE_SECONDS)
