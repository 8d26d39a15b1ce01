"""What is said on connections: requests that are answered one after the other, and streams that are read.

Each service has its own `Talk` for publishing and for streams. A message that is published holds MARK once, which nothing else
that a service sends holds: so a reader counts events without reading them. Behind it stands when it was published, in ns.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from benchmark.load import Span

MARK: Final = b"^"
TEXT_BYTES: Final = 150
OPENING_AT_ONCE: Final = 250  # connections that a process opens at the same time: below what kernels keep for a listener
SILENCE_SECONDS: Final = 60.0
STRIDE: Final = 10_007  # a request's number modulo this is its connection's: a prime, so that numbers modulo anything differ
_SO_TIMESTAMPNS: Final = 35  # the kernel says when bytes came: however late the reader is
_STAMP: Final = struct.Struct("ll")


class Talk(Protocol):
    """How a service is spoken to on a connection."""

    port: int

    def hello(self, number: int) -> bytes:
        """What is sent first on connection `number`; b"" for nothing."""

    def is_welcome(self, received: bytes) -> bool:
        """Say whether the answer to `hello` is there."""

    def request(self, number: int) -> bytes:
        """Message `number`, on connection `number % STRIDE`."""

    def is_whole(self, answer: bytes) -> bool:
        """Say whether all of the answer to a request is there."""

    def is_good(self, answer: bytes) -> bool:
        """Say whether it is the answer that was hoped for."""


def text(number: int) -> bytes:
    """What is published: TEXT_BYTES of text with MARK and the time."""
    return b"%b%d %d " % (MARK, time.time_ns(), number) + b"x" * (TEXT_BYTES - 22 - len(str(number)))


def connect(port: int) -> socket.socket:
    """A connection that blocks; whoever reads from it has asked epoll before."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Http:
    """What all HTTP services say: an answer with a length."""

    def __init__(self, port: int) -> None:
        self.port = port

    def hello(self, number: int) -> bytes:
        return b""

    def is_welcome(self, received: bytes) -> bool:
        return True

    def request(self, number: int) -> bytes:
        raise NotImplementedError

    def is_whole(self, answer: bytes) -> bool:
        end = answer.find(b"\r\n\r\n")
        at = answer.find(b"Content-Length: ", 0, end) + 16
        return end >= 0 and len(answer) >= end + 4 + int(answer[at : answer.find(b"\r", at)])

    def is_good(self, answer: bytes) -> bool:
        return answer.startswith(b"HTTP/1.1 2")


def http_post(path: str, kind: str, body: bytes, more: str = "") -> bytes:
    """A request; `more`: another line of its head."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *filter(None, [more]), "", ""]).encode() + body


class Answered(NamedTuple):
    """Requests that were answered within a span: seconds of each, and how many were not answered as hoped."""

    seconds: list[float]
    failed: int


def _greet(sock: socket.socket, talk: Talk, number: int) -> None:
    """Say hello on connection `number`, where the service wants that, and wait for the answer."""
    hello, received = talk.hello(number), b""
    if hello:
        sock.sendall(hello)
        while not talk.is_welcome(received):
            received += sock.recv(65_536) or _closed()


def ask_in_turn(talk: Talk, connections: int, first: int = 0) -> Callable[[Callable[[], Span]], Answered]:
    """So many connections, each of which sends its next request when the last was answered."""

    def work(ready: Callable[[], Span]) -> Answered:
        poll = select.epoll()
        socks = {sock.fileno(): sock for sock in (connect(talk.port) for _ in range(connections))}
        for number, (fd, sock) in enumerate(socks.items()):
            _greet(sock, talk, first + number)
            poll.register(fd, select.EPOLLIN)
        span = ready()
        sent_at, parts, numbers = {}, dict.fromkeys(socks, b""), {}
        for number, (fd, sock) in enumerate(socks.items(), first):
            sent_at[fd], numbers[fd] = time.monotonic(), number
            sock.sendall(talk.request(number))
        seconds: list[float] = []
        failed = 0
        while time.monotonic() < span.end and socks:
            for fd, _ in poll.poll(0.1):
                received = socks[fd].recv(65_536)
                answer = parts[fd] + received
                if not talk.is_whole(answer):
                    parts[fd] = answer
                    if not received:
                        failed += 1
                        poll.unregister(fd)
                        socks.pop(fd).close()
                    continue
                parts[fd] = b""
                now = time.monotonic()
                if span.begin <= now < span.end:
                    seconds.append(now - sent_at[fd])
                    failed += not talk.is_good(answer)
                numbers[fd] += STRIDE
                sent_at[fd] = now
                socks[fd].sendall(talk.request(numbers[fd]))
        return Answered(seconds, failed)

    return work


def ask_steadily(talk: Talk, a_second: float) -> Callable[[Callable[[], Span]], Answered]:
    """One connection that sends a request now and then, whatever the answers take."""

    def work(ready: Callable[[], Span]) -> Answered:
        sock = connect(talk.port)
        _greet(sock, talk, 0)
        span = ready()
        seconds: list[float] = []
        failed = number = 0
        due = time.monotonic()
        while due < span.end:
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            sock.sendall(talk.request(number))
            answer = b""
            while not talk.is_whole(answer):
                answer += sock.recv(65_536) or _closed()
            if began >= span.begin:
                seconds.append(time.monotonic() - began)
                failed += not talk.is_good(answer)
            number += STRIDE
            due += 1 / a_second
        return Answered(seconds, failed)

    return work


def ask_once(talk: Talk, numbers: range) -> Callable[[Callable[[], Span]], Answered]:
    """A connection for each number; all of them send that request at the beginning of the span."""

    def work(ready: Callable[[], Span]) -> Answered:
        poll = select.epoll()
        socks = {sock.fileno(): sock for sock in (connect(talk.port) for _ in numbers)}
        requests = [talk.request(number) for number in numbers]
        for fd in socks:
            poll.register(fd, select.EPOLLIN)
        span = ready()
        time.sleep(max(0.0, span.begin - time.monotonic()))
        parts = dict.fromkeys(socks, b"")
        began = time.monotonic()
        for sock, request in zip(socks.values(), requests, strict=True):
            sock.sendall(request)
        seconds: list[float] = []
        failed = 0
        while parts and time.monotonic() < span.end:
            for fd, _ in poll.poll(0.1):
                parts[fd] += socks[fd].recv(65_536) or _closed()
                if talk.is_whole(parts[fd]):
                    seconds.append(time.monotonic() - began)
                    failed += not talk.is_good(parts.pop(fd))
                    poll.unregister(fd)
        return Answered(seconds, failed)

    return work


def ask_all(talk: Talk, requests: Sequence[bytes], connections: int) -> None:
    """Have all requests answered, over so many connections, as quickly as it goes. Raises OSError if one is not as hoped."""
    poll, left = select.epoll(), iter(requests)
    socks = {sock.fileno(): sock for sock in (connect(talk.port) for _ in range(min(connections, len(requests))))}
    parts = dict.fromkeys(socks, b"")
    for fd, sock in socks.items():
        poll.register(fd, select.EPOLLIN)
        sock.sendall(next(left))
    while socks:
        for fd, _ in poll.poll():
            parts[fd] += socks[fd].recv(65_536) or _closed()
            if not talk.is_whole(parts[fd]):
                continue
            if not talk.is_good(parts[fd]):
                raise OSError(parts[fd].decode(errors="replace"))
            parts[fd] = b""
            request = next(left, None)
            if request is None:
                poll.unregister(fd)
                socks.pop(fd).close()
            else:
                socks[fd].sendall(request)


class Read(NamedTuple):
    """What readers of streams saw: when the first connection was begun and the last stream greeted, and what that took of the
    processor; events within the span; how long each was on its way (ms, where that was asked for); streams that ended.
    """

    began: float
    opened: float
    opening_cpu: float
    events: int
    latencies: list[float]
    failed: int


def read_streams(talk: Talk, numbers: range, *, stamps: bool = False) -> Callable[[Callable[[], Span]], Read]:
    """Open a stream for each number, and read all of them until the span ends."""

    def work(ready: Callable[[], Span]) -> Read:
        poll, began, used = select.epoll(), time.monotonic(), time.process_time()
        socks = open_streams(talk, numbers, poll)
        opened, opening_cpu = time.monotonic(), time.process_time() - used
        if stamps:
            for sock in socks.values():
                sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        span = ready()
        events = failed = 0
        latencies: list[float] = []
        while (now := time.monotonic()) < span.end:
            is_within = now >= span.begin
            for fd, _ in poll.poll(min(0.1, span.end - now), 256):
                if stamps:
                    data, ancillary, _, _ = socks[fd].recvmsg(262_144, 64)
                else:
                    data, ancillary = socks[fd].recv(262_144), []
                if not data:
                    poll.unregister(fd)
                    failed += 1
                elif is_within:
                    events += data.count(MARK)
                    if ancillary:
                        latencies.extend(_on_the_way(data, _STAMP.unpack(ancillary[0][2])))
        return Read(began, opened, opening_cpu, events, latencies, failed)

    return work


def _on_the_way(data: bytes, stamp: tuple[int, int]) -> list[float]:
    came = stamp[0] * 10**9 + stamp[1]
    return [(came - int(part[:19])) / 1e6 for part in data.split(MARK)[1:]]


def open_streams(talk: Talk, numbers: range, poll: select.epoll) -> dict[int, socket.socket]:
    """Open a stream for each number, many at the same time; all are greeted. They block, and are in `poll`."""
    socks: dict[int, socket.socket] = {}
    hellos, parts = {}, {}
    left = iter(numbers)

    def begin(number: int) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", talk.port))
        socks[sock.fileno()], hellos[sock.fileno()] = sock, talk.hello(number)
        poll.register(sock, select.EPOLLOUT)

    for number in itertools.islice(left, OPENING_AT_ONCE):
        begin(number)
    missing = len(numbers)
    while missing:
        ready = poll.poll(SILENCE_SECONDS)
        if not ready:
            raise OSError(f"{missing} streams do not open")
        for fd, what in ready:
            if fd in hellos:
                if what & (select.EPOLLERR | select.EPOLLHUP):
                    raise OSError(socks[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "a stream does not connect")
                socks[fd].setblocking(True)
                socks[fd].sendall(hellos.pop(fd))
                parts[fd] = b""
                poll.modify(fd, select.EPOLLIN)
            elif fd in parts:
                parts[fd] += socks[fd].recv(65_536) or _closed()
                if talk.is_welcome(parts[fd]):
                    del parts[fd]
                    missing -= 1
                    for number in itertools.islice(left, 1):
                        begin(number)
            else:
                socks[fd].recv(65_536)
    return socks


def _closed() -> bytes:
    raise OSError("the service closed the connection")
