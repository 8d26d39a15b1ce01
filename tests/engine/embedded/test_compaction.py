"""A broker's engine whose log is compacted while it is used."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from newswire.config import EngineSettings
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.results import Compacted
from newswire.engine.embedded import compactor
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.embedded.scan import read_layout, segments_in
from newswire.engine.seam import Entry, GapEntry
from newswire.engine.waiting import wait_for
from newswire.errors import Refused, Unknown
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

KEEP = 300


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], EmbeddedEngine]]:
    """Starts an engine on one directory, after the one before has ended."""
    monkeypatch.setattr(compactor, "_REMOVE_SECONDS", 0)
    engines: list[EmbeddedEngine] = []
    fatal: list[BaseException] = []

    def begin() -> EmbeddedEngine:
        for before in engines:
            before.close()
        settings = EngineSettings(ops_dir=tmp_path, primary=True, retention_messages=KEEP, compacts=True, heartbeat=0.2)
        engine = EmbeddedEngine(settings, on_fatal=fatal.append)
        engines.append(engine)
        engine.start("127.0.0.1:1")
        wait_until(lambda: engine.describe().serves)
        return engine

    yield begin
    for engine in engines:
        engine.close()
    assert not fatal


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def publish(engine: EmbeddedEngine, first: int, last: int) -> None:
    for start in range(first, last, 500):
        engine.submit([Publish("news", str(number)) for number in range(start, min(last, start + 500))])


def count(engine: EmbeddedEngine) -> int:
    rows: list[int] = []
    engine.topics(2**52, lambda part: rows.extend(row.messages for row in part))
    return sum(rows)


def drop_old(engine: EmbeddedEngine) -> None:
    """Have retention look once more, as its first look came before all was published, perhaps; and then not again."""
    retention = engine._shell.broker.retention
    retention._due_at = 0.0
    wait_until(lambda: retention._due_at and not retention._sweep.is_busy and count(engine) == KEEP)
    retention._due_at = math.inf


def compact(engine: EmbeddedEngine) -> Compacted:
    return wait_for(lambda then: engine.compact_later(then), PATIENCE_SECONDS, Unknown("late"))


def entries(engine: EmbeddedEngine, user: str) -> list[Entry | GapEntry]:
    """All that is due to a user."""
    start = engine.open_stream(user, None)
    assert start is not None
    position, result = start.position, list[Entry | GapEntry]()
    while True:
        page = engine.next_page(position, 1_000)
        result += page.entries
        if page.position == position or not page.more:
            return result
        position = page.position


def texts(due: list[Entry | GapEntry]) -> list[int]:
    return [int(one.message.data) for one in due if isinstance(one, Entry)]


def without_positions(due: list[Entry | GapEntry]) -> list[object]:
    """What a reader is told."""
    return [(one.message, one.event_id) if isinstance(one, Entry) else (one.topic, one.dropped, one.event_id) for one in due]


def test_what_was_dropped_frees_the_disk_and_nobody_sees_it(begun: Callable[[], EmbeddedEngine], tmp_path: Path) -> None:
    engine = begun()
    engine.submit([Subscribe("ann", "news")])
    publish(engine, 0, 4_000)
    drop_old(engine)
    before, size = entries(engine, "ann"), engine.numbers().ops_file_bytes
    done = compact(engine)
    assert (done.rows_after < KEEP + 50, done.rows_before > 4_000) == (True, True)
    assert done.bytes_after < done.bytes_before / 5
    assert without_positions(entries(engine, "ann")) == without_positions(before)
    assert texts(before) == list(range(3_700, 4_000))
    wait_until(lambda: engine.numbers().ops_file_bytes < size / 5)
    assert engine.numbers().compactions == 1
    publish(engine, 4_000, 4_010)
    assert texts(entries(engine, "ann"))[-310:] == list(range(3_700, 4_010))
    engine = begun()
    # Its retention looks at once, whoever asks: it has dropped the ten that are too many, or will.
    assert engine.restored.messages == KEEP + 10
    assert texts(entries(engine, "ann"))[-KEEP:] == list(range(3_710, 4_010))
    assert len(segments_in(tmp_path / "1001")) == 3


def test_what_was_in_memory_before_is_freed_though_the_garbage_collector_does_not_look_at_it(
    begun: Callable[[], EmbeddedEngine], no_collector: None
) -> None:
    """A broker has it pass over all that its start made (`gc.freeze`)."""
    engine = begun()
    engine.submit([Subscribe("ann", "news")])
    publish(engine, 0, 2_000)
    drop_old(engine)
    for _ in range(2):
        state = engine._shell.broker.state
        parts = [state, state.log, state.messages, state.subscriptions, state.members, state.accounts]
        old = [weakref.ref(part) for part in parts]
        del state, parts
        compact(engine)
        wait_until(lambda old=old: [one().__class__.__name__ for one in old if one() is not None] == [])
        publish(engine, 2_000, 2_100)


def test_commits_go_on_beside_it_and_are_there_after_it_and_after_a_start(begun: Callable[[], EmbeddedEngine]) -> None:
    engine = begun()
    engine.submit([Subscribe("ann", "other")])
    publish(engine, 0, 4_000)
    stop = threading.Event()
    taken: list[int] = []

    def go_on() -> None:
        number = 0
        while not stop.is_set() or number < 20:
            engine.submit([Publish("other", str(number))])
            taken.append(number)
            number += 1

    publisher = threading.Thread(target=go_on)
    publisher.start()
    try:
        for _ in range(3):
            compact(engine)
    finally:
        stop.set()
        publisher.join()
    kept = taken[-KEEP:]
    assert texts(entries(engine, "ann"))[-len(kept) :] == kept
    assert texts(entries(begun(), "ann"))[-len(kept) :] == kept


def test_a_backup_of_a_compacted_log_is_restored(begun: Callable[[], EmbeddedEngine], tmp_path: Path) -> None:
    from newswire.engine.embedded.archive import Archive
    from newswire.engine.embedded.restore import restore

    engine = begun()
    publish(engine, 0, 2_000)
    drop_old(engine)
    compact(engine)
    publish(engine, 2_000, 2_005)
    stays = count(engine)
    with (tmp_path / "backup").open("wb") as file:
        file.writelines(engine.backup().parts)
    with (tmp_path / "backup").open("rb") as file:
        done = restore(Archive(file), tmp_path / "elsewhere")
    assert (done.messages, done.damaged_bytes) == (stays, 0)
    assert read_layout(tmp_path / "elsewhere" / "1001") == read_layout(tmp_path / "1001")


def test_one_compaction_at_a_time(begun: Callable[[], EmbeddedEngine]) -> None:
    engine = begun()
    publish(engine, 0, 2_000)
    told: list[object] = []
    with engine.together():
        for _ in range(3):
            engine.compact_later(told.append)
    wait_until(lambda: len(told) == 3)
    assert [type(one) for one in told].count(Compacted) == 1
    assert [type(one) for one in told].count(Refused) == 2
