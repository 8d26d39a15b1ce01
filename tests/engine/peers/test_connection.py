"""The connection between brokers: kept, opened again when the peer closed it, and never waiting for ever."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from brokers import free_ports
from newswire.engine.peers import connection
from newswire.engine.peers.connection import PeerReply, Wire, head_of
from newswire.tls import NoTrust
from tests.kit.authority import Authority, server_side
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nok"
CLOSE, WAIT = b"", b"..."


class Peer:
    """Answers each request with the next of `answers`; at CLOSE it closes the connection, at WAIT it lets the other side."""

    def __init__(self, answers: list[bytes], context: ssl.SSLContext | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"{'https://' if context else ''}127.0.0.1:{self.listening.getsockname()[1]}"
        self._context = context
        self.heard: list[bytes] = []
        self.connections = 0
        self._answers = answers
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while self._answers:
                sock, _ = self.listening.accept()
                self.connections += 1
                try:
                    secure = self._context.wrap_socket(sock, server_side=True) if self._context else sock
                except ssl.SSLError:  # the other side does not trust it, or speaks no TLS
                    sock.close()
                    continue
                with secure:
                    self._talk(secure)

    def _talk(self, sock: socket.socket) -> None:
        while self._answers:
            answer = self._answers.pop(0)
            if answer in (CLOSE, WAIT):
                _ = answer == WAIT and sock.recv(1)
                return
            self.heard.append(sock.recv(65_536))
            sock.sendall(answer)
        sock.recv(1)  # until the other side closes

    def close(self) -> None:
        self.listening.close()
        self._thread.join(PATIENCE_SECONDS)


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    started: list[Peer] = []
    yield started
    for peer in started:
        peer.close()


def connect(peers: list[Peer], *answers: bytes, timeout: float = PATIENCE_SECONDS) -> tuple[Peer, Wire]:
    peers.append(Peer(list(answers)))
    return peers[-1], Wire(peers[-1].address, timeout)


def test_pushes_share_a_connection(peers: list[Peer]) -> None:
    peer, wire = connect(peers, OK, OK)
    with closing(wire):
        assert wire.post("/replicate", {"X": "1"}, b"body") == PeerReply(200, "application/octet-stream", b"ok")
        assert wire.post("/replicate", {}, b"more").body == b"ok"
    assert peer.connections == 1
    head, _, body = peer.heard[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /replicate HTTP/1.1", b"Host: " + peer.address.encode(), b"Content-Length: 4", b"X: 1",
    ]  # fmt: skip
    assert body == b"body"  # in one piece with the head


def test_a_connection_that_the_peer_closed_is_opened_again(peers: list[Peer]) -> None:
    peer, wire = connect(peers, OK, CLOSE, OK)
    with closing(wire):
        assert [wire.post("/", {}, b"").body for _ in range(2)] == [b"ok", b"ok"]
    assert peer.connections == 2


def test_a_connection_that_the_peer_will_close_is_not_used_again(peers: list[Peer]) -> None:
    peer, wire = connect(peers, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), WAIT, OK)
    with closing(wire):
        assert [wire.post("/", {}, b"").body for _ in range(2)] == [b"ok", b"ok"]
    assert peer.connections == 2


def test_a_new_connection_that_is_closed_is_a_failure(peers: list[Peer]) -> None:
    _, wire = connect(peers, CLOSE)
    with closing(wire), pytest.raises(ConnectionError):
        wire.post("/", {}, b"")


def test_an_answer_that_does_not_come_is_not_waited_for(peers: list[Peer]) -> None:
    peer, wire = connect(peers, b"HTTP/1.1 200 OK\r\n", WAIT, OK, timeout=0.1)
    with closing(wire):
        with pytest.raises(TimeoutError):
            wire.post("/", {}, b"late")
        wire._timeout = PATIENCE_SECONDS
        assert wire.post("/", {}, b"next").body == b"ok"  # not what is left of the late answer
    assert peer.connections == 2


def test_a_problem_is_an_answer(peers: list[Peer]) -> None:
    _, wire = connect(
        peers, b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"
    )
    with closing(wire):
        assert wire.post("/", {}, b"") == PeerReply(401, "application/problem+json", b"{}")


def test_an_answer_as_brokers_write_it_needs_no_http_client(peers: list[Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HTTPResponse", None)
    peer, wire = connect(peers, OK, OK)
    with closing(wire):
        assert [wire.post("/", {}, b"") for _ in range(2)] == [PeerReply(200, "application/octet-stream", b"ok")] * 2
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("answer", "is_kept"),
    [
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (OK.replace(b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), False),
        (OK.replace(b"\r\n\r\n", b"\r\nVary: a\r\nVary: b\r\n\r\n"), True),
        (OK.replace(b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), True),
        (OK + b"more", False),
    ],
)
def test_any_other_answer_is_read_as_well(peers: list[Peer], answer: bytes, is_kept: bool) -> None:
    """Of one in chunks nothing is read beyond its body, which is why its connection is not used again."""
    peer, wire = connect(peers, answer, *(() if is_kept else (WAIT,)), OK)
    with closing(wire):
        assert wire.post("/", {}, b"") == PeerReply(200, "application/octet-stream", b"ok")
        assert wire.post("/", {}, b"").body == b"ok"
    assert peer.connections == (1 if is_kept else 2)


@pytest.mark.parametrize("cut", [1, 20, len(OK) - 4, len(OK) - 1])
def test_an_answer_may_come_in_two_pieces(cut: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK[cut:])
        reply, _ = connection.read_answer(ours, OK[:cut])
    assert reply == PeerReply(200, "application/octet-stream", b"ok")


def test_nobody_there() -> None:
    with closing(Wire(f"127.0.0.1:{free_ports(1)[0]}", PATIENCE_SECONDS)) as wire, pytest.raises(ConnectionRefusedError):
        wire.post("/", {}, b"")


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nb", "a\x00", "a\u2028b"])
def test_nothing_writes_a_line_of_its_own(text: str) -> None:
    for path, headers in ((f"/{text}", {}), ("/", {"Host": text}), ("/", {text: "x"})):
        with pytest.raises(ValueError, match="control character"):
            head_of(path, headers)
    assert head_of("/x", {"Host": "a:1", "Length": "0"}) == b"POST /x HTTP/1.1\r\nHost: a:1\r\nLength: 0\r\n\r\n"


def test_an_answer_that_drips_is_cut_off() -> None:
    """No part of it is late, so no timeout ends it; the next exchange is not begun."""
    dripping, over = threading.Event(), threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        sock, _ = listening.accept()
        with sock, suppress(OSError):
            sock.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.01):
                sock.sendall(b"z")
                dripping.set()

    wire = Wire(f"127.0.0.1:{listening.getsockname()[1]}", PATIENCE_SECONDS)

    def post() -> None:
        with suppress(OSError, HTTPException):  # or what came until then, cut short
            wire.post("/", {}, b"")

    threads = [threading.Thread(target=drip), threading.Thread(target=post)]
    for thread in threads:
        thread.start()
    assert dripping.wait(PATIENCE_SECONDS)
    wire.cut()
    threads[1].join(PATIENCE_SECONDS)
    ended = not threads[1].is_alive()
    over.set()
    threads[0].join(PATIENCE_SECONDS)
    assert ended
    with closing(listening), pytest.raises(OSError, match="nobody waits"):
        wire.post("/", {}, b"")


def connect_in_tls(peers: list[Peer], authority: Authority, *answers: bytes) -> tuple[Peer, Wire]:
    peers.append(Peer(list(answers), server_side(authority.issue("127.0.0.1"))))
    return peers[-1], Wire(peers[-1].address, PATIENCE_SECONDS, authority.file)


def test_tls_shares_a_connection_and_sees_its_end(peers: list[Peer], tmp_path: Path) -> None:
    """Session tickets come on a connection that is idle: they are neither an end nor an answer."""
    peer, wire = connect_in_tls(peers, Authority(tmp_path), OK, OK, CLOSE, OK)
    with closing(wire):
        assert wire.post("/replicate", {}, b"body") == PeerReply(200, "application/octet-stream", b"ok")
        assert not wire.hung_up()
        assert wire.post("/replicate", {}, b"more").body == b"ok"
        assert peer.connections == 1
        wait_until(wire.hung_up)
        assert wire.post("/replicate", {}, b"again").body == b"ok"
    assert peer.connections == 2
    assert b"\r\nHost: " + peer.address.removeprefix("https://").encode() + b"\r\n" in peer.heard[0]


def test_a_ticket_that_comes_late_is_no_end(peers: list[Peer], tmp_path: Path) -> None:
    peer, wire = connect_in_tls(peers, Authority(tmp_path), OK, WAIT)
    with closing(wire):
        wire.post("/", {}, b"")
        for _ in range(3):
            assert not wire.hung_up()
    assert peer.connections == 1


def test_nobody_is_spoken_to_who_is_not_trusted(peers: list[Peer], tmp_path: Path) -> None:
    peer, wire = connect_in_tls(peers, Authority(tmp_path / "one"), OK)
    for trust, kind in (
        (Authority(tmp_path / "other").file, ssl.SSLCertVerificationError),
        ("", ssl.SSLCertVerificationError),
        (str(tmp_path / "absent"), NoTrust),
    ):
        with closing(Wire(peer.address, PATIENCE_SECONDS, trust)) as other, pytest.raises(kind):
            other.post("/", {}, b"secret")
    with closing(wire):
        assert wire.post("/", {}, b"").body == b"ok"
    assert len(peer.heard) == 1


def test_plain_http_at_the_port_is_seen(peers: list[Peer], tmp_path: Path) -> None:
    peer, _ = connect(peers, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with (
        closing(Wire(f"https://{peer.address}", PATIENCE_SECONDS, Authority(tmp_path).file)) as wire,
        pytest.raises(ssl.SSLError),
    ):
        wire.post("/", {}, b"")


def test_a_handshake_can_be_cut() -> None:
    """A peer that takes the connection and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        wire = Wire(f"https://127.0.0.1:{listening.getsockname()[1]}", 60.0)

        def post() -> None:
            with suppress(OSError):
                wire.post("/", {}, b"")

        thread = threading.Thread(target=post)
        thread.start()
        sock, _ = listening.accept()
        with sock:
            assert sock.recv(1)  # its hello: it waits for ours
            wire.cut()
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
