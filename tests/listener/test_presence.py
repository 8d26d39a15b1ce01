"""Who is there still, as the kernel knows it: also behind unread input."""

from __future__ import annotations

import socket
import struct

from newswire.listener.presence import has_left, is_reset
from tests.kit.waiting import wait_until


class Connection:
    """A descriptor."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._fileno = None if sock is None else sock.fileno()


def test_each_way_to_go() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for how, left, reset in (("", False, False), ("half", True, False), ("close", True, False), ("reset", True, True)):
            client = socket.create_connection(server.getsockname())
            accepted, _ = server.accept()
            with accepted, client:
                client.sendall(b"unread")
                wait_until(lambda sock=accepted: sock.recv(6, socket.MSG_PEEK) == b"unread")
                if how == "half":
                    client.shutdown(socket.SHUT_WR)
                elif how:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", how == "reset", 0))
                    client.close()
                one = Connection(accepted)
                wait_until(lambda one=one, left=left: has_left(one) is left)
                wait_until(lambda one=one, reset=reset: is_reset(one) is reset)


def test_what_is_closed_here_has_nobody() -> None:
    assert has_left(Connection(None))
    assert is_reset(Connection(None))
