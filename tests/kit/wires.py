"""What stands between real brokers and can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading


class Wire(threading.Thread):
    """A TCP relay in front of a broker: others reach it through this, so what they hear of it can be cut.

    `cut("refuse")`: connections are closed, as by a machine that is there without a broker. `cut("silence")`: bytes go
    nowhere, as through a cut cable.
    """

    def __init__(self, port: int) -> None:
        super().__init__(name=f"wire to {port}", daemon=True)
        self._to = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._mode = "pass"
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.start()

    def cut(self, mode: str) -> None:
        """From now on nothing gets through, on open connections too."""
        self._mode = mode
        if mode == "refuse":
            self._close_all()

    def mend(self) -> None:
        """Let all through again. What stood in silence is closed: its bytes are lost."""
        self._mode = "pass"
        self._close_all()

    def close(self) -> None:
        """End it."""
        self._mode = "refuse"
        self._server.close()
        self._close_all()

    def run(self) -> None:
        """Accept."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self._mode == "refuse":
                    near.close()
                else:
                    threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._to, 5.0)
            far.settimeout(None)  # who is silent is not cut off
        except OSError:
            near.close()
            return
        with self._lock:
            self._open += [near, far]
        if self._mode == "refuse":  # it was cut meanwhile
            self._close_all()
        threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
        self._pump(near, far)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(65_536):
                if self._mode == "pass":
                    target.sendall(received)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _close_all(self) -> None:
        with self._lock:
            sockets, self._open = self._open, []
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
