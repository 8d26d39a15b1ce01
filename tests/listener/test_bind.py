"""Where a broker listens, and what waitress is told."""

from __future__ import annotations

import errno
import socket
import tempfile

import pytest

from newswire.core import limits
from newswire.errors import Unavailable
from newswire.listener import Listener, bind
from tests.kit.listener_fakes import BIG_BYTES, App, Client, Serve
from tests.kit.waiting import PATIENCE_SECONDS

FAMILIES = ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))


def test_a_port_in_use_is_said_with_what_to_do(serve: Serve, app: App) -> None:
    port = serve().port
    with pytest.raises(Unavailable) as raised:
        Listener(app, host="127.0.0.1", port=port)
    assert raised.value.detail == (
        f"port {port} at 127.0.0.1 is taken: stop the other program or choose another port with --port"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_said_with_what_to_do(app: App, host: str) -> None:
    with pytest.raises(Unavailable, match="choose another"):
        Listener(app, host=host, port=0)


def test_a_port_is_free_again_after_a_stop(serve: Serve, app: App) -> None:
    for _ in range(5):  # between stop and bind another program may be given the port
        first = serve()
        with Client(first.port) as client:
            client.get("/").reply()
            first.stop(PATIENCE_SECONDS)  # our end closes first, and lingers in TIME_WAIT
            try:
                second = Listener(app, host="127.0.0.1", port=first.port)
            except Unavailable:
                continue
        second.stop(0.0)  # never started
        return
    pytest.fail("the port was never free")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EACCES, "port 80 at 127.0.0.1 is not allowed to this user: choose a port above 1023 with --port"),
        (errno.EADDRNOTAVAIL, "cannot listen at 127.0.0.1, port 80 (no): choose another address with --host"),
    ],
)
def test_why_it_cannot_listen_is_said_and_nothing_is_left_open(monkeypatch: pytest.MonkeyPatch, code: int, told: str) -> None:
    closed: list[socket.socket] = []

    class Deaf(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(code, "no")

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(bind.socket, "socket", Deaf)
    with pytest.raises(Unavailable) as raised:
        bind.bind("127.0.0.1", 80)
    assert raised.value.detail == told
    assert len(closed) == 1


def test_a_name_of_two_families_is_its_older_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are told 127.0.0.1 and a broker that listens at ::1 would not meet."""
    rows = [(family, socket.SOCK_STREAM, 6, "", (host, 0)) for family, host in FAMILIES]
    monkeypatch.setattr(bind.socket, "getaddrinfo", lambda *_, **__: rows)
    with bind.bind("localhost", 0) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


# -- what waitress is told


def test_bodies_and_answers_never_touch_the_disk(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_: pytest.fail("a file"))
    listener = serve()
    with Client(listener.port, 4096) as client:
        assert client.post("/publish", bytes(limits.BATCH_BYTES)).reply().body == str(limits.BATCH_BYTES).encode()
        assert client.get("/big").reply().body == bytes(BIG_BYTES)
