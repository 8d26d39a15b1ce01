"""The disk fails under a broker, or its process is killed at a system call: it ends, and promised nothing that is not there."""

from __future__ import annotations

import pytest

from tests.scenarios.harness import Cluster, Ledger, Node, lacks, strace

WHY_NOT = lacks("strace")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

FATAL = 70  # what a broker ends with when its disk failed
REFUSED = 1  # and what, when it failed while the broker started
KILLS = {"fdatasync": (1, 2, 3, 5, 8, 13), "write": (1, 2, 5, 9), "sendto": (1, 3, 8)}


@pytest.mark.parametrize("number", [1, 3, 6, 12])
def test_a_failed_sync_ends_the_process_at_once(pair: Cluster, ledger: Ledger, number: int) -> None:
    """Each thread counts its own calls: the low numbers end it while it starts, the others while it commits."""
    first, second = pair.nodes
    first.kill9()
    start_under(first, "fdatasync", "error=EIO", number)
    with ledger.load(first, second, threads=2):
        assert first.end_code() in ((FATAL, REFUSED) if number < 6 else (FATAL,))
    assert "look at the disk" in first.last_words().lower()
    restart_and_check(first, second, ledger)


def test_a_directory_that_cannot_be_synced_ends_the_process(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    first.kill9()
    start_under(first, "fsync", "error=EIO", 1)
    with ledger.load(first, second, threads=2):
        assert first.end_code() in (FATAL, REFUSED)
    restart_and_check(first, second, ledger)


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
