"""Brokers that start at once: forked from a process that has imported newswire already.

What a forked broker runs is what `python -m newswire broker` runs; it saves the 0.4 s of CPU that importing takes, a
thousand times in a run of all tests. Forks of one process share what Python decides once for a process: the seed of its
hashes. So two processes fork in turn, each with a seed of its own: brokers of a cluster must not agree by that.

This module is both sides: the tests' (`install`), and the program that forks (`serve`).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import IO, Any, Final

from brokers import Broker, clean_environment, newswire

ROOT: Final = Path(__file__).resolve().parents[2]
_REQUEST_BYTES: Final = 1 << 17  # of a request: words and environment
_NUMBER_BYTES: Final = 32  # of a process id, and of a status, in decimal
_FORKERS: Final = 2  # processes that fork in turn
start_alone: Final = Broker.spawn  # as a process that shares nothing: set it as `spawn` of a broker that must be one


class Forked:
    """A process that another one forked for this one: what tests use of `subprocess.Popen`. Any thread may ask it."""

    def __init__(self, args: Sequence[str], line: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self._line = line
        self.pid = int(line.recv(_NUMBER_BYTES))

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None and _is_readable(self._line, 0):
            text = self._line.recv(_NUMBER_BYTES, socket.MSG_PEEK)  # what stays there each thread sees
            assert text, "who forked it is gone"
            self.returncode = os.waitstatus_to_exitcode(int(text))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; its exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            _is_readable(self._line, timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Switch it off."""
        self.send_signal(signal.SIGKILL)


def _is_readable(line: socket.socket, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1_000))


class Forker:
    """A process that forks on request until the line to it ends. One thread at a time asks it."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            paths = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.forks", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=clean_environment(PYTHONPATH=paths),
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def fork(self, words: Sequence[str], log: IO[bytes], home: Path, environment: dict[str, str], own_session: bool) -> Forked:
        """Have `newswire WORDS` run in the folder `home`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            request = {"words": words, "home": str(home), "environment": environment, "own_session": own_session}
            socket.send_fds(self._line, [json.dumps(request).encode()], [log.fileno(), theirs.fileno()])
        return Forked(words, ours)

    def close(self) -> None:
        """Have it end with the last that it forked."""
        self._line.close()


def install() -> None:
    """Have every `Broker` of this process started by forks, unless something stands before its command."""
    plain = newswire()
    lock = threading.Lock()
    forkers: list[Forker] = []
    turns = cycle(range(_FORKERS))

    def spawn(command: Sequence[str], log: IO[bytes], home: Path, own_session: bool) -> Any:
        if list(command[: len(plain)]) != plain:
            return start_alone(command, log, home, own_session)
        with lock:
            if not forkers:
                forkers.extend(Forker() for _ in range(_FORKERS))
        return forkers[next(turns)].fork(command[len(plain) :], log, home, clean_environment(), own_session)

    Broker.spawn = staticmethod(spawn)  # type: ignore[method-assign]


def serve(line: socket.socket) -> dict[str, Any]:
    """Fork for each request, and say how each child ended. Returns in children: what to be. Exits behind the last child."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: dict[int, socket.socket] = {}
    asked = [line]
    while asked or children:
        ready, _, _ = select.select([*asked, ours], [], [])
        if ours in ready:
            ours.recv(4096)
            _say_ended(children)
        if line not in ready:
            continue
        text, descriptors, _, _ = socket.recv_fds(line, _REQUEST_BYTES, 2)
        if not text:
            asked.clear()
            continue
        log, status = descriptors
        child = os.fork()
        if child == 0:
            break
        os.close(log)
        children[child] = socket.socket(fileno=status)
        children[child].send(str(child).encode())
    else:
        os._exit(0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for end in (line, ours, theirs, socket.socket(fileno=status), *children.values()):
        end.close()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    return json.loads(text)  # type: ignore[no-any-return]


def _say_ended(children: dict[int, socket.socket]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        with children.pop(child) as line, contextlib.suppress(OSError):  # nobody may ask any more
            line.send(str(status).encode())


def become(request: dict[str, Any]) -> None:
    """Have the session, the folder, the environment and the words that a new process would have been given."""
    if request["own_session"]:
        os.setsid()
    os.chdir(request["home"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = ["newswire", *request["words"]]


if __name__ == "__main__":
    import newswire.cli.main
    import newswire.server

    gc.collect()
    gc.freeze()  # no child copies what it only looks through
    become(serve(socket.socket(fileno=int(sys.argv[1]))))
    newswire.cli.main.main()
