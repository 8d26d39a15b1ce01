"""The disk fails under a broker, or its process is killed at a system call: it ends, and promised nothing that is not there."""

from __future__ import annotations

import subprocess

import pytest

from brokers import Stream, post, until
from tests.kit.ledger import Ledger
from tests.kit.machine import lacks, strace
from tests.kit.processes import Cluster, Node

WHY_NOT = lacks("strace")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

FATAL = 70  # what a broker ends with when its disk failed
REFUSED = 1  # and what, when it failed while the broker started
KILLS = {"fdatasync": (1, 3, 5, 9), "write": (1, 5, 9), "sendto": (2, 8)}


def test_a_failed_sync_ends_the_process_at_once(pair: Cluster, ledger: Ledger) -> None:
    """Each thread counts its own calls: the low numbers end it while it starts, the others while it commits."""
    first, second = pair.nodes
    with ledger.load(first, second, threads=2):
        for call, number in (("fdatasync", 1), ("fdatasync", 3), ("fdatasync", 12), ("fsync", 1)):
            ledger.wait_more(5)
            first.kill9()
            start_under(first, call, "error=EIO", number)
            assert first.end_code() in ((FATAL,) if number == 12 else (FATAL, REFUSED))
            assert "look at the disk" in first.last_words(3).lower()
            ledger.check_copies(first, second)
    restart_and_check(first, second, ledger)


def test_a_disk_that_hangs_does_not_hold_up_the_other_broker(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    assert second.process is not None
    post(first.address, "/subscribe", username="reader", topic="later")
    with Stream("reader", [second.address, first.address]) as reader:
        reader.wait_open(second.address)
        tracer = subprocess.Popen(strace("fdatasync", "delay_enter=3s", follow=second.process.pid))
        try:
            with ledger.load(first, second):
                until("it does not count any more", lambda: ledger.publish(first).copies == 1)
                until("it is not ready, and says why", lambda: is_held_up(second))
                reader.wait_open(first.address)  # where the broker that hangs has sent it
                ledger.wait_more(30)
                tracer.terminate()
                tracer.wait()
                second.wait_ready()
                ledger.wait_more(30)
        finally:
            tracer.kill()
            tracer.wait()
    ledger.check(first, second)
    ledger.many(5, first, second, copies=2)


@pytest.mark.parametrize("call", ["fdatasync", "write", "sendto"])
def test_killed_at_a_system_call(pair: Cluster, ledger: Ledger, call: str) -> None:
    first, second = pair.nodes
    with ledger.load(first, second):
        for number in KILLS[call]:
            ledger.wait_more(5)
            first.kill9()
            start_under(first, call, "signal=SIGKILL", number)
            assert first.end_code() == -9
            ledger.check_copies(first, second)
    restart_and_check(first, second, ledger)


def is_held_up(node: Node) -> bool:
    """Whether it says that it serves nobody because of its disk."""
    status, told = node.readiness()
    return status == 503 and "disk" in told["detail"]


def start_under(node: Node, call: str, effect: str, number: int) -> None:
    """Start it so that `effect` meets the call with this number of any of its threads."""
    node.before = strace(call, f"{effect}:when={number}")
    node.launch()
    node.before = []


def restart_and_check(node: Node, other: Node, ledger: Ledger) -> None:
    """It starts as if nothing had been; both hold all."""
    node.start()
    ledger.check_copies(node, other)
    ledger.many(5, node, copies=2)
    ledger.check(node, other)
    node.wait_whole()
