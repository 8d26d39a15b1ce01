"""How texts are read for a page, and where it ends when one cannot be. What queries answer: tests/contract/test_queries.py."""

from __future__ import annotations

import pytest

from newswire.core.broker.events import Now
from newswire.core.model import ops
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.coverage import Coverage
from newswire.core.model.ops import Began, Op, Published
from newswire.core.model.results import Entry, Position
from newswire.core.read.pages import LogPosition
from newswire.core.read.scan import Due
from newswire.engine.caches import Newest
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryLog
from newswire.engine.queries import read_texts


def message(sequence: int) -> Published:
    return Published("1001-a", sequence, 0, topic="news", data=str(sequence))


def due(row: int) -> Due:
    return Due(row, row * 100, 10, Coverage("", {}), LogPosition(row + 1))


def test_what_is_in_memory_is_not_fetched_and_the_rest_in_one_go() -> None:
    cache, fetched = Newest[Op](100, 100), []
    cache.add([(200, 10)], [message(2)], 10)

    def fetch(places: object) -> list[bytes | None]:
        fetched.append(places)
        return [ops.encode(message(1)), None]

    assert read_texts([due(1), due(2), due(3)], cache, fetch) == [message(1), message(2), None]
    assert fetched == [[(100, 10), (300, 10)]]
    assert read_texts([due(2)], cache, fetch) == [message(2)]
    assert len(fetched) == 1, "nothing was missing"


def test_a_record_that_is_another_op_is_a_fault() -> None:
    with pytest.raises(ValueError, match="offset 1 is no message"):
        read_texts([due(1)], Newest[Op](100, 100), lambda places: [ops.encode(Began("1001-a", 1, 0, "1001", {}))])


class Holed(LoneEngine):
    """Cannot read the text of some messages."""

    bad = frozenset[str]()

    def _texts(self, dues):  # type: ignore[no-untyped-def]
        return [text if text is None or text.data not in self.bad else None for text in super()._texts(dues)]


def test_a_page_ends_before_what_cannot_be_read_and_goes_on_when_it_can() -> None:
    engine = Holed(MemoryLog(), lambda: Now(0.0, 1_700_000_000_000))
    engine.submit([Subscribe("Ann", "news")])
    start = engine.open_stream("Ann", None)
    assert start is not None
    engine.submit([Publish("news", text) for text in ("one", "two", "three")])

    def read(at: Position) -> tuple[list[str], Position]:
        page = engine.next_page(at, 10)
        return [entry.message.data for entry in page.entries if isinstance(entry, Entry)], page.position

    engine.bad = frozenset({"two"})
    texts, position = read(start.position)
    assert texts == ["one"]
    assert read(position)[0] == []
    engine.bad = frozenset()
    assert read(position)[0] == ["two", "three"]


def test_a_position_of_another_engine_is_a_fault() -> None:
    engine = LoneEngine(MemoryLog(), lambda: Now(0.0, 0))
    with pytest.raises(AssertionError, match="another engine"):
        engine.next_page(Position(), 1)
