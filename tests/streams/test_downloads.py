"""Long answers: one at a time, whole or broken off without an end, and over at once when the broker stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

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
