"""deploy/newswire.service lets a broker do what it does: every system call that a real one makes passes its filter."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from brokers import Broker, Stream, free_ports, post, wait_in_sync
from tests.kit.processes import Traced

UNIT = Path(__file__).resolve().parent.parent.parent / "deploy" / "newswire.service"


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
        traced.signal(signal.SIGTERM)
        assert traced.wait() == 0
        assert {"fdatasync", "pwrite64", "accept4"} & traced.calls()  # it was traced at all
        assert traced.calls() - allowed() == set()
    finally:
        traced.kill9()
        other.kill9()
