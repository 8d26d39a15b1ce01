"""deploy/newswire.service lets a broker do what it does: every system call that a real one makes passes its filter."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from brokers import Broker, Stream, free_ports, post, wait_in_sync

UNIT = Path(__file__).resolve().parent.parent.parent / "deploy" / "newswire.service"


class Traced(Broker):
    """A broker whose system calls are written down."""

    def command(self) -> list[str]:
        """Behind strace, which ends with it."""
        return ["strace", "-f", "-qq", "-o", str(self.home / "trace"), *super().command()]

    def end_in_order(self) -> int:
        """SIGTERM to the broker, not to strace; its exit code."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGTERM)
        return self.process.wait(30)

    def calls(self) -> set[str]:
        """The names of the calls that it made."""
        return set(re.findall(r"^\d+ +([a-z_][a-z0-9_]*)\(", (self.home / "trace").read_text(), re.MULTILINE))


def names(group: str) -> set[str]:
    """The system calls of one of systemd's groups."""
    done = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    found: set[str] = set()
    for line in map(str.strip, done.stdout.splitlines()[1:]):
        if line.startswith("@"):
            found |= names(line)
        elif line and not line.startswith("#"):
            found.add(line)
    return found


def allowed() -> set[str]:
    """What the unit's SystemCallFilter lines let through."""
    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(), re.MULTILINE):
        for group in line.removeprefix("~").split():
            found = found - names(group) if line.startswith("~") else found | names(group)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_filter_lets_a_broker_work(tmp_path: Path) -> None:
    one, two = free_ports(2)
    traced = Traced("1001", one, tmp_path, peers=[two], primary=True)
    other = Broker("1002", two, tmp_path, peers=[one])
    try:
        traced.start()
        other.start()
        wait_in_sync((traced, other))
        post(traced.address, "/subscribe", username="Alice", topic="news")
        with Stream("Alice", [traced.address]) as alice:
            post(traced.address, "/publish", topic="news", data="Hello")
            alice.wait_texts("Hello")
        assert traced.end_in_order() == 0
        assert {"fdatasync", "pwrite64", "accept4"} & traced.calls()  # it was traced at all
        assert traced.calls() - allowed() == set()
    finally:
        traced.kill9()
        other.kill9()
