"""One kept-alive HTTP connection to a peer, through which a link speaks.

Every receipt waits for a push, so it is lean: head and body leave in one piece (two would reach a peer's loop as two
events), and an answer as brokers write it is taken as it comes. `http.client`, which takes as long as all the rest of an
exchange, reads any other: one in pieces, or of a proxy.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Final, NamedTuple

from newswire import tls
from newswire.core import limits
from newswire.core.model.addresses import HTTPS, place_of

_BEGIN_BYTES: Final = 16_384  # of an answer: the whole of most
_PART_BYTES: Final = 1 << 20  # and of the rest of one with ops


class PeerReply(NamedTuple):
    """What a peer answered."""

    status: int
    content_type: str
    body: bytes


def head_of(path: str, headers: Mapping[str, str]) -> bytes:
    """The head of a POST. Raises ValueError for what would be read as another line: nothing that is replicated writes one."""
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(not line.isprintable() for line in lines):
        raise ValueError("a line of a request holds a control character")
    return "\r\n".join((*lines, "", "")).encode()


class Wire:
    """The connection to `address`, opened when it is needed. One thread, but for `cut`."""

    def __init__(self, address: str, timeout: float, ca_file: str = "") -> None:
        """`timeout`: seconds for each step on the way: connecting, sending, each part of the answer.

        `ca_file`: see `newswire.tls`. It is read at each connection, so that another CA takes no restart.
        """
        self.address, self._timeout, self._ca_file = address, timeout, ca_file
        self._socket: socket.socket | None = None
        self.is_cut = False

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> PeerReply:
        """Post, once more if the kept connection turned out to be closed: the peer may have evicted it.

        So a push may arrive twice. Raises OSError (TimeoutError: no answer in time; ssl.SSLError), http.client.HTTPException.
        """
        host = self.address.removeprefix(HTTPS)
        data = head_of(path, {"Host": host, "Content-Length": str(len(body)), **headers}) + body
        if self._socket is not None:
            try:
                return self._exchange(self._socket, data)
            except (ConnectionError, ssl.SSLError):
                self.close()
        return self._exchange(self._connect(), data)

    def hung_up(self) -> bool:
        """Say whether the peer has closed the idle connection (or sent what nobody asked for)."""
        if self._socket is None:
            return False
        poll = select.poll()  # not select(), which fails beyond descriptor 1023
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(0):
            return False
        return not (isinstance(self._socket, ssl.SSLSocket) and _is_about_tls(self._socket, self._timeout))

    def close(self) -> None:
        """Let go of the connection; the next `post` opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def cut(self) -> None:
        """End the exchange under way, and any later one: whoever drips an answer would keep it up for ever. Any thread."""
        self.is_cut = True
        sock = self._socket
        if sock is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(
                    sock, socket.SHUT_RDWR
                )  # that of TLS forgets the keys, which another thread may be using

    def _connect(self) -> socket.socket:
        """Open the connection. What is waited for can be cut at any time."""
        host, port, is_tls = place_of(self.address)
        sock = self._socket = socket.create_connection((host, port), self._timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_tls:
                trust = tls.context(self._ca_file)
                sock = self._socket = trust.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            if self.is_cut:
                raise ConnectionAbortedError("nobody waits for the answer any more")
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        except BaseException:
            self.close()
            raise
        return sock

    def _exchange(self, sock: socket.socket, data: bytes) -> PeerReply:
        keep = False
        try:
            sock.sendall(data)
            reply, keep = read_answer(sock, sock.recv(_BEGIN_BYTES))
            return reply
        finally:
            if not keep:
                self.close()


def read_answer(sock: socket.socket, begin: bytes) -> tuple[PeerReply, bool]:
    """An answer of which `begin` was read already, and whether the connection goes on. Raises OSError, HTTPException."""
    return _read_lean(sock, begin) or _read_any(sock, begin)


def _read_lean(sock: socket.socket, begin: bytes) -> tuple[PeerReply, bool] | None:
    """The answer, if its whole head has come, and it is as brokers write it; None: `http.client` has to read it.

    That is one of known length over a connection that stays (RFC 9112, 6.3), each of its fields there once.
    """
    head, end, body = begin.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = {name.lower(): value.strip() for name, colon, value in (line.partition(b":") for line in lines) if colon}
    length, status = fields.get(b"content-length", b""), first[9:12]
    if (
        not (end and first.startswith(b"HTTP/1.1 ") and status.isdigit() and length.isdigit() and len(fields) == len(lines))
        or status.startswith(b"1")
        or status in (b"204", b"304")
        or fields.keys() & {b"transfer-encoding", b"connection"}
        or len(length) > len(str(limits.PEER_BODY_BYTES))
        or int(length) > limits.PEER_BODY_BYTES
    ):
        return None
    parts, lacks = [body], int(length) - len(body)
    while lacks > 0 and (part := sock.recv(min(lacks, _PART_BYTES))):
        parts.append(part)
        lacks -= len(part)
    body = b"".join(parts)[: int(length)]
    return PeerReply(int(status), fields.get(b"content-type", b"").decode("latin-1"), body), lacks == 0


def _read_any(sock: socket.socket, begin: bytes) -> tuple[PeerReply, bool]:
    """Any answer."""
    with closing(HTTPResponse(_Begun(sock, begin), method="POST")) as response:  # type: ignore[arg-type]
        response.begin()
        reply = PeerReply(response.status, response.headers.get("Content-Type", ""), response.read(limits.PEER_BODY_BYTES))
        return reply, response.isclosed() and not response.will_close


class _Begun(RawIOBase):
    """A socket of which something was read already, as far as `HTTPResponse` needs one."""

    def __init__(self, sock: socket.socket, begin: bytes) -> None:
        self._socket, self._begin, self._ended = sock, begin, not begin

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._ended or not self._begin:
            return 0 if self._ended else self._socket.recv_into(buffer)
        part, self._begin = self._begin[: len(buffer)], self._begin[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def makefile(self, mode: str) -> BufferedReader:
        return BufferedReader(self)


def _is_about_tls(sock: ssl.SSLSocket, timeout: float) -> bool:
    """Take what has come on an idle connection; say whether it is of TLS itself (a session ticket): no end, no answer."""
    sock.settimeout(0)
    try:
        sock.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(timeout)
    return False
