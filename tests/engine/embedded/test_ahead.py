"""Work that is done ahead gives what it gives here, whatever becomes of the processes that do it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from newswire.core import limits
from newswire.engine.embedded.ahead import Ahead
from tests.kit.waiting import wait_until


def count_to(most: int) -> Iterator[tuple[int, int]]:
    for number in range(most):
        yield most, hash(f"{most} {number}")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


ITEMS = [3, 0, 5, 1, 2]
RESULTS = [list(count_to(item)) for item in ITEMS]


@pytest.mark.parametrize("processes", [0, 1, 2, 3, 7])
def test_results_come_in_order(processes: int) -> None:
    ahead = Ahead(ITEMS, count_to, processes)
    assert [list(ahead.take(item)) for item in ITEMS] == RESULTS
    ahead.close()


def test_the_processes_do_it() -> None:
    ahead = Ahead([1, 2, 3], lambda item: iter([os.getpid()]), 2)
    first, second, third = (pid for item in (1, 2, 3) for pid in ahead.take(item))
    assert first == third != second
    assert os.getpid() not in (first, second)
    ahead.close()
    assert not is_alive(first)
    assert not is_alive(second)


def test_what_a_process_that_dies_did_not_hand_over_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AHEAD_RESULT_BYTES", 64)
    parent = os.getpid()

    def work(item: int) -> Iterator[tuple[int, int]]:
        for number, result in enumerate(count_to(item)):
            if os.getpid() != parent and (item, number) == (5, 3):
                os.kill(os.getpid(), signal.SIGKILL)
            yield result

    ahead = Ahead(ITEMS, work, 2)
    assert [list(ahead.take(item)) for item in ITEMS] == RESULTS
    ahead.close()


def test_what_is_wrong_is_met_here() -> None:
    def work(item: int) -> Iterator[int]:
        yield item
        raise OSError("the disk fails")

    ahead = Ahead([1, 2], work, 2)
    results = ahead.take(1)
    assert next(results) == 1
    with pytest.raises(OSError, match="the disk fails"):
        next(results)
    ahead.close()


def test_without_room_for_a_process_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", fork)
    before = pipes()
    ahead = Ahead(ITEMS, count_to, 3)
    assert [list(ahead.take(item)) for item in ITEMS] == RESULTS
    assert pipes() <= before


def pipes() -> set[str]:
    """Those that this process has open. Of other descriptors threads of other tests may have more or fewer by now."""
    found: set[str] = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(os.readlink(path))
    return {name for name in found if name.startswith("pipe:")}


def test_a_process_lets_go_of_what_its_parent_has_open() -> None:
    """Else the lock of the ops directory would outlive a broker that is killed."""
    reader, writer = os.pipe()
    ahead = Ahead([1, 2], lambda item: iter([sorted(map(int, os.listdir("/proc/self/fd")))]), 2)
    for item in (1, 2):
        opened = [fd for fd in next(ahead.take(item)) if fd > 2]
        assert len(opened) == 2, "its end of the pipe, and the directory that it lists"
    ahead.close()
    os.close(reader)
    os.close(writer)


def test_children_that_the_kernel_lets_go_of_by_itself_are_no_fault() -> None:
    """A program that ignores SIGCHLD (`trap '' CHLD` in a shell) hands that on to what it starts."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        ahead = Ahead(ITEMS, count_to, 2)
        assert [list(ahead.take(item)) for item in ITEMS] == RESULTS
        pids = list(ahead._pids)
        wait_until(lambda: not any(map(is_alive, pids)))
        ahead.close()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_what_is_not_taken_ends_with_it() -> None:
    ahead = Ahead([100_000] * 4, count_to, 2)
    pids = list(ahead._pids)
    next(ahead.take(100_000))
    ahead.close()
    assert not any(map(is_alive, pids))
