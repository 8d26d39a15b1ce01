"""What was stored last, in memory: given whole or not at all, and bounded."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.model.ops import Began, Published
from newswire.engine.caches import MessageCache, RecordCache


def message(sequence: int, data: str = "x") -> Published:
    return Published("1001-a", sequence, 0, topic="news", data=data)


def at(*places: int) -> list[tuple[int, int]]:
    return [(place, 1) for place in places]


def test_messages_are_kept_by_place_and_other_ops_are_not() -> None:
    messages = MessageCache()
    messages.add(at(4, 9), [Began("1001-a", 1, 0, "1001", {}), message(2)])
    assert (messages.get(4), messages.get(9), messages.get(6)) == (None, message(2), None)


def test_so_many_messages_are_kept_and_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FRAME_CACHE_MESSAGES", 3)
    monkeypatch.setattr(limits, "FRAME_CACHE_BYTES", 100)
    messages = MessageCache()
    messages.add(at(0, 1, 2, 3), [message(sequence) for sequence in range(1, 5)])
    assert [messages.get(place) is not None for place in range(4)] == [False, True, True, True]
    messages.add(at(4), [message(5, "x" * 98)])
    assert [messages.get(place) is not None for place in range(5)] == [False, False, True, True, True]
    messages.add(at(5), [message(6, "xx")])
    assert [messages.get(place) is not None for place in range(6)] == [False, False, False, False, True, True]


def test_the_records_cache_gives_what_it_has() -> None:
    records = RecordCache()
    assert records.get(at(0)) is None
    records.add(at(7, 8), [b"a", b"b"])
    records.add(at(), [])
    records.add(at(19), [b"c"])
    assert records.get(at(7, 8, 19)) == [b"a", b"b", b"c"]
    assert records.get(at(19)) == [b"c"]
    assert records.get(at(6, 7)) is None
    assert records.get(at(19, 20)) is None


def test_the_records_cache_is_bounded() -> None:
    records = RecordCache()
    records.add(at(0), [b"old"])
    records.add(at(1), [bytes(limits.TAIL_BYTES)])
    assert records.get(at(0)) is None
    assert records.get(at(1)) == [bytes(limits.TAIL_BYTES)]
    records.add(at(2, 3), [bytes(limits.TAIL_BYTES), b"one too many"])
    assert records.get(at(2)) is None
