"""Long answers: one at a time, whole or broken off without an end, and over at once when the broker stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from newswire.errors import Damaged
from newswire.streams.downloads import Downloads
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture
def downloads() -> Iterator[Downloads]:
    deaths: list[BaseException] = []
    downloads = Downloads(deaths.append)
    yield downloads
    downloads.stop(PATIENCE_SECONDS)
    assert deaths == []


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # as the listener hands it over
    theirs.settimeout(PATIENCE_SECONDS)
    return ours, theirs


def rest(sock: socket.socket) -> bytes:
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


@pytest.mark.parametrize(("chunked", "told"), [(True, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), (False, b"onetwo")])
def test_all_parts_are_sent(downloads: Downloads, chunked: bool, told: bytes) -> None:
    ours, theirs = pair()
    downloads.adopt(iter([b"one", b"two"]), ours, b"head", chunked)
    assert rest(theirs) == b"head" + told
    wait_until(lambda: not downloads.is_busy)


def test_more_than_a_socket_holds_waits_for_the_client(downloads: Downloads) -> None:
    ours, theirs = pair()
    downloads.adopt(iter([b"x" * 1_000_000] * 5), ours, b"", False)
    assert len(rest(theirs)) == 5_000_000


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), Damaged("a segment lost bytes")])
def test_what_cannot_be_read_breaks_it_off_without_an_end(downloads: Downloads, error: Exception) -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise error

    ours, theirs = pair()
    downloads.adopt(parts(), ours, b"", True)
    assert rest(theirs) == b"3\r\none\r\n"
    wait_until(lambda: not downloads.is_busy)


def test_a_client_that_leaves_gives_the_place_back(downloads: Downloads) -> None:
    ours, theirs = pair()
    theirs.close()
    downloads.adopt(iter([b"x" * 1_000_000] * 5), ours, b"", False)
    wait_until(lambda: not downloads.is_busy)


def test_a_second_one_is_closed_and_the_first_goes_on(downloads: Downloads) -> None:
    go_on = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"one"
        assert go_on.wait(PATIENCE_SECONDS)
        yield b"two"

    first, second = pair(), pair()
    downloads.adopt(parts(), first[0], b"", False)
    assert downloads.is_busy
    downloads.adopt(iter([b"other"]), second[0], b"", False)
    assert rest(second[1]) == b""
    go_on.set()
    assert rest(first[1]) == b"onetwo"


def test_stop_breaks_off_and_nothing_more_is_taken(downloads: Downloads) -> None:
    ours, theirs = pair()
    downloads.adopt(iter([b"x" * 1_000_000] * 5), ours, b"", True)
    downloads.stop(PATIENCE_SECONDS)
    assert not rest(theirs).endswith(b"0\r\n\r\n")
    late = pair()
    downloads.adopt(iter([b"late"]), late[0], b"", False)
    assert rest(late[1]) == b""


class SlowClient:
    """A socket whose other end takes `count` bytes each `seconds`, by a clock of its own."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self.now = 0.0
        self.taken = 0
        self._patience = 0.0

    def clock(self) -> float:
        return self.now

    def settimeout(self, seconds: float) -> None:
        self._patience = seconds

    def send(self, data: memoryview) -> int:
        assert self._patience > 0  # 0 would be a socket that never waits
        if self.seconds > self._patience:
            self.now += self._patience
            raise TimeoutError("timed out")
        self.now += self.seconds
        count = min(self.count, len(data))
        self.taken += count
        return count

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


def download_to(client: SlowClient, parts: Iterator[bytes]) -> None:
    deaths: list[BaseException] = []
    downloads = Downloads(deaths.append, client.clock)
    downloads.adopt(parts, cast(socket.socket, client), b"head", False)
    wait_until(lambda: not downloads.is_busy)
    downloads.stop(PATIENCE_SECONDS)
    assert deaths == []


@pytest.mark.parametrize(("count", "seconds"), [(1, 1.0), (1024, 59.0), (64 * 1024, 2.0), (1, 1000.0)])
def test_who_takes_too_little_is_cut_off(caplog: pytest.LogCaptureFixture, count: int, seconds: float) -> None:
    client = SlowClient(count, seconds)
    download_to(client, iter([b"x" * 1000] * 100_000))
    assert client.taken < 10_000_000
    assert client.now < 180
    (line,) = caplog.messages
    assert "the client takes less than 64 KiB a second" in line


@pytest.mark.parametrize(("count", "seconds"), [(64 * 1024, 1.0), (1024 * 1024, 4.0), (1024, 0.0)])
def test_who_takes_enough_gets_all_of_it(count: int, seconds: float) -> None:
    client = SlowClient(count, seconds)
    download_to(client, iter([b"x" * 256 * 1024] * 4))
    assert client.taken == len(b"head") + 4 * 256 * 1024


def test_a_slow_disk_costs_the_client_nothing() -> None:
    client = SlowClient(64 * 1024, 1.0)

    def parts() -> Iterator[bytes]:
        for _ in range(10):
            client.now += 1000
            yield b"x"

    download_to(client, parts())
    assert client.taken == len(b"head") + 10
