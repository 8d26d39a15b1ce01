"""The commit thread: a failed sync ends it, and what stays is hidden from the garbage collector."""

from __future__ import annotations

import gc
import logging
import queue
import threading
import weakref
from unittest.mock import Mock

import pytest

from newswire.core import limits
from newswire.core.broker.events import Submitted, Tick
from newswire.core.model.commands import Publish
from newswire.core.model.ops import NO_PLACE, Dropped, Withdrawn
from newswire.engine import commit_thread
from newswire.engine.commit_thread import CommitThread
from tests.kit.shell_fakes import Parts, begun, publish
from tests.kit.waiting import PATIENCE_SECONDS


@pytest.fixture
def parts() -> Parts:
    return begun()


def test_a_failed_sync_ends_it_at_once_and_answers_nobody(parts: Parts) -> None:
    shell, disk, told, _ = parts

    def fail() -> None:
        raise OSError(5, "Input/output error")

    disk.while_syncing = fail
    fatal: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    thread = CommitThread(shell, lambda: 10**12, fatal.put)
    thread.start()
    thread.put(publish("a"))
    assert isinstance(fatal.get(timeout=PATIENCE_SECONDS), OSError)
    thread.stop(PATIENCE_SECONDS)
    assert disk.syncs == 1, "a failed sync is never tried again"
    assert told.replies() == []


def test_the_garbage_collector_does_not_look_through_what_stays(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, _, _, _ = parts
    frozen: list[int] = []
    monkeypatch.setattr(limits, "FREEZE_OBJECTS", 10)
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(len(shell.broker.state.messages.names)))
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    for topic in range(40):
        thread.put(Submitted(None, (Publish(f"t{topic}", "x"),), 1, 100.0))
        thread._turn()
    assert len(frozen) == 4
    thread._turn()
    assert len(frozen) == 4, "not while nothing grows"
    shell.broker.state.generation += 1
    thread._turn()
    thread._turn()
    assert len(frozen) == 5, "and once when a compaction has put another state in its place"


def test_what_nobody_refers_to_any_more_is_not_hidden_from_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each compaction hides what is there, so what waited for the collector at each would fill the memory in a year."""

    class Circle:
        def __init__(self) -> None:
            self.me = self

    thread = CommitThread(parts[0], lambda: 10**12, lambda error: None)
    alive: list[bool] = []
    monkeypatch.setattr("gc.freeze", lambda: alive.append(left() is not None))
    gc.collect()
    gc.disable()
    try:
        left = weakref.ref(Circle())
        parts[0].broker.state.generation += 1
        thread._turn()
    finally:
        gc.enable()
    assert alive == [False]


def test_so_many_requests_wait_and_what_peers_and_disks_say_waits_all_the_same(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INBOX_EVENTS", 2)
    thread = CommitThread(parts[0], lambda: 10**12, lambda error: None)
    assert [thread.put(publish(name)) for name in ("a", "b", "c")] == [True, True, False]
    assert thread.put(Tick())


def test_what_time_asks_for_is_done_though_somebody_publishes_in_each_round(parts: Parts) -> None:
    """What is scheduled, late, old or over is looked at while nothing is staged; else it would wait for a moment of silence."""
    shell, _, _, clock = parts
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    thread.put(Submitted(None, (Publish("later", "x", delay=1_000),), 1, 100.0))
    thread._turn()
    for _ in range(4):
        clock.seconds += 1.0
        thread.put(publish("a"))
        thread._turn()
    assert "later" in shell.broker.state.messages.numbers
    assert not shell.broker.state.messages.timetable.waiting


def test_what_is_handed_in_together_is_one_round(parts: Parts) -> None:
    shell, disk, told, _ = parts
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    with thread.together():
        for name in ("a", "b", "c"):
            thread.put(publish(name))
        assert thread._inbox.empty(), "nobody is woken yet"
        other = threading.Thread(target=thread.put, args=(publish("d"),))
        other.start()
        other.join()
        assert thread._inbox.qsize() == 1, "another thread waits for nobody"
    thread.put(publish("e"))
    assert thread._inbox.qsize() == 3
    thread._turn()
    assert (disk.syncs, [reply.first for reply in told.replies()]) == (1, [f"1001-a.{n}" for n in range(2, 7)])


def test_the_time_is_looked_at_now_and_then_and_not_in_each_round(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, _, _, clock = parts
    ticks: list[float] = []
    step = shell.broker.step
    monkeypatch.setattr(
        shell.broker,
        "step",
        lambda event, now: (ticks.append(now.clock) if isinstance(event, Tick) else None, step(event, now))[1],
    )
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    for round_ in range(10):
        clock.seconds = round_ / 100
        thread.put(publish(str(round_)))
        thread._turn()
    assert ticks == [0.0, 0.05]


def test_when_nothing_comes_for_a_second_the_time_is_looked_at_less_often(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def get(timeout: float) -> None:
        waits.append(timeout)
        raise queue.Empty

    thread = CommitThread(parts[0], lambda: 10**12, lambda error: None)
    with monkeypatch.context() as patched:
        patched.setattr(thread, "_inbox", Mock(get=get))
        for _ in range(25):
            thread._turn()
    assert sum(waits[:20]) == pytest.approx(1.0)
    assert waits[20:] == [0.25] * 5
    thread.put(publish("a"))
    thread._turn()
    monkeypatch.setattr(thread, "_inbox", Mock(get=get))
    thread._turn()
    assert waits[25:] == [0.05]


def test_a_round_takes_so_many_and_the_rest_is_the_next_ones(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMMIT_OPS", 2)
    shell, disk, told, _ = parts
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    for name in ("a", "b", "c"):
        thread.put(publish(name))
    thread._turn()
    assert (disk.syncs, len(told.replies())) == (1, 2)
    thread._turn()
    assert (disk.syncs, len(told.replies())) == (2, 3)


def test_what_waits_at_a_stop_is_done_first(parts: Parts) -> None:
    shell, _, told, _ = parts
    deaths: list[BaseException] = []
    thread = CommitThread(shell, lambda: 10**12, deaths.append)
    for name in ("a", "b"):
        thread.put(publish(name))
    thread.start()
    thread.stop(PATIENCE_SECONDS)
    assert len(told.replies()) == 2
    assert deaths == []


def test_a_disk_without_room_is_seen_before_a_write_fails_and_so_is_its_room(parts: Parts) -> None:
    shell, disk, _, clock = parts
    free = [limits.DISK_RESERVE_BYTES]
    thread = CommitThread(shell, lambda: free[-1], lambda error: None)
    for now, seen in ((0.0, False), (1000.0, True)):
        clock.seconds = now
        thread.put(Tick())
        thread._turn()
        assert shell.broker.writable is seen
        free.append(limits.DISK_RESERVE_BYTES + 1)
    assert disk.syncs == 0


def test_retention_is_a_line_a_minute_however_much_goes(
    parts: Parts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wait in ("_TICK_SECONDS", "_QUIET_TICK_SECONDS"):
        monkeypatch.setattr(commit_thread, wait, 0.001)  # nothing comes
    shell, _, _, clock = parts
    caplog.set_level(logging.INFO)
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    expected = []
    for step in range(200):
        for op in (Dropped(**NO_PLACE, topic="t", vector={}), Withdrawn(**NO_PLACE, ids=("1001-a.7", "1001-a.8"))):
            shell.broker.stager.stamp(op, 1_000 + step)
        clock.seconds += 1.0
        thread._turn()
        if step % 60 == 0:
            expected.append(step)
    lines = [line for line in caplog.messages if line.startswith("retention")]
    assert len(lines) == len(expected)
    assert lines[:2] == [
        "retention: dropped from topics: 1, messages whose time was over: 2",
        "retention: dropped from topics: 1, messages whose time was over: 120",
    ]


def test_the_time_is_looked_at_less_often_where_nothing_comes_and_nobody_waits(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, *_ = parts
    thread = CommitThread(shell, lambda: 10**12, lambda error: None)
    waits: list[float] = []

    def get(timeout: float) -> None:
        waits.append(timeout)
        raise queue.Empty

    monkeypatch.setattr(thread, "_inbox", Mock(get=get))
    for _ in range(commit_thread._QUIET_TURNS + 1):
        thread._gather()
    assert set(waits[:-1]) == {commit_thread._TICK_SECONDS}
    assert waits.pop() == commit_thread._QUIET_TICK_SECONDS
    monkeypatch.setattr(shell.broker, "receipts", ["one that waits for another broker"])
    thread._gather()
    assert waits.pop() == commit_thread._TICK_SECONDS
