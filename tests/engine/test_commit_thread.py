"""The commit thread: a failed sync ends it, and what stays is hidden from the garbage collector."""

from __future__ import annotations

import queue

import pytest

from newswire.core import limits
from newswire.core.broker.events import Submitted
from newswire.core.model.commands import Publish
from newswire.engine.commit_thread import CommitThread
from tests.kit.shell_fakes import Parts, begun, publish


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
    assert isinstance(fatal.get(timeout=10), OSError)
    thread.stop(10)
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
