"""What was stored last, in memory: given whole or not at all, and bounded."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.model.ops import Began, Published
from newswire.engine.caches import MessageCache, RecordCache


def message(sequence: int, data: str = "x") -> Published:
    return Published("1001-a", sequence, 0, topic="news", data=data)


def test_messages_are_kept_by_offset_and_other_ops_are_not() -> None:
    messages = MessageCache()
    messages.add(4, [Began("1001-a", 1, 0, "1001", {}), message(2)])
    assert (messages.get(4), messages.get(5), messages.get(6)) == (None, message(2), None)


def test_so_many_messages_are_kept_and_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FRAME_CACHE_MESSAGES", 3)
    monkeypatch.setattr(limits, "FRAME_CACHE_BYTES", 100)
    messages = MessageCache()
    messages.add(0, [message(sequence) for sequence in range(1, 5)])
    assert [messages.get(offset) is not None for offset in range(4)] == [False, True, True, True]
    messages.add(4, [message(5, "x" * 98)])
    assert [messages.get(offset) is not None for offset in range(5)] == [False, False, True, True, True]
    messages.add(5, [message(6, "xx")])
    assert [messages.get(offset) is not None for offset in range(6)] == [False, False, False, False, True, True]


def test_the_records_cache_gives_what_it_has() -> None:
    records = RecordCache()
    assert records.get([0]) is None
    records.add(7, [b"a", b"b"])
    records.add(9, [])
    records.add(9, [b"c"])
    assert records.get([7, 8, 9]) == [b"a", b"b", b"c"]
    assert records.get([9]) == [b"c"]
    assert records.get([6, 7]) is None
    assert records.get([9, 10]) is None


def test_records_between_two_batches_are_not_made_up() -> None:
    """What waited behind damage has a row and is in no batch."""
    records = RecordCache()
    records.add(7, [b"a"])
    records.add(9, [b"c"])
    assert records.get([7, 9]) == [b"a", b"c"]
    assert records.get([7, 8, 9]) is None
    assert records.get([8]) is None


def test_the_records_cache_is_bounded() -> None:
    records = RecordCache()
    records.add(0, [b"old"])
    records.add(1, [bytes(limits.TAIL_BYTES)])
    assert records.get([0]) is None
    assert records.get([1]) == [bytes(limits.TAIL_BYTES)]
    records.add(2, [bytes(limits.TAIL_BYTES), b"one too many"])
    assert records.get([2]) is None
