"""Brokers that a menu starts on this machine: child processes of their own session, each with its log file.

They outlive the menu, as a service should; leaving the menu says which go on and how to stop them.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from newswire.cli.menus import StartBroker
from newswire.core import limits
from newswire.errors import NotFound, Refused

_SAID: Final = ("Broker ", "Role: ", "Restored: ", "Peers: ", "Ops file: ")  # how a started broker's five lines begin
_STARTED: Final = _SAID[-1]
_LOOK_EVERY_SECONDS: Final = 0.05
_LINES_SECONDS: Final = 2.0  # from when a broker serves to its five lines, if they come at all


def command(action: StartBroker, ops_dir: Path) -> list[str]:
    """The command line of a broker."""
    role = "--primary" if action.primary else "--secondary"
    peer = ["--peer", action.peer] if action.peer else []
    broker = ["broker", "--id", action.id, "--port", str(action.port), role, *peer, "--ops-dir", str(ops_dir)]
    return [sys.executable, "-m", "newswire", *broker]


class Children:
    """The brokers started here, by id. One thread."""

    def __init__(self, ops_dir: Path, make: Callable[[StartBroker, Path], list[str]] = command) -> None:
        self.ops_dir = ops_dir
        self._make = make
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, action: StartBroker) -> list[str]:
        """Start a broker and wait until it serves; returns what it said. Raises Refused with its last line if it ends."""
        if action.id in self.running():
            raise Refused(f"broker {action.id} is running already, process {self._running[action.id].pid}", code="id-in-use")
        _check_port(action.port)
        self.ops_dir.mkdir(parents=True, exist_ok=True)
        path = self.log(action.id)
        try:
            log = path.open("ab")
        except OSError:  # a broker does not need one
            log = open(os.devnull, "ab")  # noqa: SIM115  # closed below
        with log:
            offset = log.tell()
            child = subprocess.Popen(
                self._make(action, self.ops_dir), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        lines = self._wait(child, action, offset)
        self._running[action.id] = child
        return [*lines, f"Log: {path.resolve()}", f"Process: {child.pid}"]

    def stop(self, broker: str) -> None:
        """Ask a broker to stop and wait until it has. Raises NotFound if it was not started here."""
        if broker not in self.running():
            raise NotFound(f"broker {broker} was not started from this menu: stop it where it runs", code="no-broker")
        child = self._running[broker]
        child.terminate()
        try:
            child.wait(limits.MENU_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Refused(f"broker {broker}, process {child.pid}, has not stopped yet: see {self.log(broker)}") from None

    def running(self) -> dict[str, int]:
        """The process of each broker that still runs."""
        return {broker: child.pid for broker, child in self._running.items() if child.poll() is None}

    def log(self, broker: str) -> Path:
        """Where a broker's output goes."""
        return self.ops_dir / f"{broker}.log"

    def _wait(self, child: subprocess.Popen[bytes], action: StartBroker, offset: int) -> list[str]:
        deadline = time.monotonic() + limits.START_SECONDS
        path = self.log(action.id)
        serving_since = 0.0  # since when, as far as is known
        while time.monotonic() < deadline:
            has_ended = child.poll() is not None
            lines = _lines_after(path, offset)
            if any(line.startswith(_STARTED) for line in lines):
                return [line for line in lines if line.startswith(_SAID)]
            if has_ended:
                raise Refused(lines[-1].removeprefix("newswire: ") if lines else "the broker ended and said nothing")
            serving_since = serving_since or (time.monotonic() if not lines and _serves(action.port) else 0.0)
            if serving_since and not lines and time.monotonic() > serving_since + _LINES_SECONDS:
                return [f"Broker {action.id} at http://127.0.0.1:{action.port}", "It serves, but its log cannot be written."]
            time.sleep(_LOOK_EVERY_SECONDS)
        return [f"It is still starting after {limits.START_SECONDS:.0f} s."]


def _serves(port: int) -> bool:
    """Say whether a broker at `port` takes clients."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limits.CLIENT_SIDE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _check_port(port: int) -> None:
    """Raise Refused if another program listens at `port`: the broker would say so in its log."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refused(f"port {port} is taken by another program: stop that, or enter another port") from None
            if isinstance(error, PermissionError):
                raise Refused(f"port {port} is not allowed to you: enter one above 1023") from None
            raise


def _lines_after(path: Path, offset: int) -> list[str]:
    try:
        with path.open("rb") as log:
            log.seek(offset)
            return log.read(limits.FORM_BYTES).decode("utf-8", "replace").splitlines() if path.is_file() else []
    except OSError:
        return []
