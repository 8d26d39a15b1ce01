"""A thread of a broker that dies is not unseen: the process ends with it, or the thread begins again and says so."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brokers import UNREACHABLE, Broker, ask, free_ports, post, until, wait_in_sync
from newswire.core import limits
from tests.kit.processes import Pair
from tests.kit.waiting import PATIENCE_SECONDS

FATAL_STATUS = 70


class Dying(Broker):
    """A broker of which one thread can be struck."""

    thread, exception = "", "SystemExit"

    def command(self) -> list[str]:
        """The same, behind what strikes."""
        words = super().command()
        return [
            sys.executable,
            str(Path(__file__).parents[1] / "kit" / "dying.py"),
            self.thread,
            self.exception,
            *words[words.index("broker") :],
        ]

    def strike(self) -> None:
        """Raise the exception in the thread."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)
        until("it is struck", lambda: f"struck {self.thread}" in self.last_words(50))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair whose first broker can be struck."""
    made = Pair(tmp_path)
    made.first.__class__ = Dying
    return made


def ended(broker: Broker) -> bool:
    """Whether the process is gone. A worker that waits for a request has to get one, to come to its exception."""
    assert broker.process is not None
    for method, path, size in (
        ("GET", "/topics", 0),
        ("GET", "/list_replicas", 0),
        ("POST", "/publish", limits.LARGE_BODY_BYTES + 1),
        ("POST", "/replicate", limits.LIGHT_BODY_BYTES + 1),
    ):
        with contextlib.suppress(*UNREACHABLE):
            ask(broker.address, method, path, body=bytes(size), headers={"Content-Type": "application/json"}, timeout=1.0)
    return broker.process.poll() is not None


@pytest.mark.parametrize("thread", ["commit", "hub", "listener", "link-", "read-", "large-", "probes-", "peers-"])
def test_the_death_of_a_thread_ends_the_broker(pair: Pair, thread: str) -> None:
    first = pair.first
    assert isinstance(first, Dying)
    first.thread = thread
    try:
        pair.start()
        wait_in_sync(pair.brokers)
        first.strike()

        until(f"the broker ends with {thread}", lambda: ended(first))
        assert first.process is not None
        assert first.process.wait() == FATAL_STATUS
        words = first.last_words(60)
        assert f"the thread {thread}" in words
        assert "died" in words
        assert "this broker ends now" in words
        first.process = None
        assert post(pair.second.address, "/publish", topic="t", data="x")["copies"] == 1
        first.start()  # what is started again serves again
        wait_in_sync(pair.brokers)
    finally:
        pair.end()


def test_a_link_that_fails_begins_again(pair: Pair) -> None:
    """A peer may have brought the fault about: it must not end this broker."""
    first = pair.first
    assert isinstance(first, Dying)
    first.thread, first.exception = "link-", "ZeroDivisionError"
    try:
        pair.start()
        wait_in_sync(pair.brokers)
        first.strike()
        until("the link says so", lambda: "begins again (1 times so far)" in first.last_words(60))
        until("it serves", lambda: post(first.address, "/publish", topic="t", data="x")["copies"] == 2)
        wait_in_sync(pair.brokers)
    finally:
        pair.end()


@pytest.mark.parametrize(
    ("thread", "words"), [("hub", "the hub's turn failed; going on"), ("listener", "the listener stumbled")]
)
def test_a_loop_that_stumbles_once_goes_on(pair: Pair, thread: str, words: str) -> None:
    first = pair.first
    assert isinstance(first, Dying)
    first.thread, first.exception = thread, "ZeroDivisionError"
    try:
        pair.start()
        wait_in_sync(pair.brokers)
        first.strike()
        until("the log says so", lambda: words in first.last_words(60))
        assert post(first.address, "/publish", topic="t", data="x")["copies"] == 2
        assert first.stop() == 0
    finally:
        pair.end()


def test_the_menu_s_end_is_the_broker_s(tmp_path: Path) -> None:
    """A menu that fails leaves no broker behind that nobody sees."""
    (port,) = free_ports(1)
    code = (
        "import sys; from newswire.cli import actions, main\n"
        "def run(*_): raise ZeroDivisionError\n"
        "actions.run = run\n"
        f"sys.argv = ['newswire', 'broker', '--menu', '--port', '{port}', '--ops-dir', {str(tmp_path)!r}]\n"
        "main.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
