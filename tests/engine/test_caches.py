"""What was stored last, in memory: given whole or not at all, and bounded."""

from __future__ import annotations

from newswire.core import limits
from newswire.engine.caches import RecordCache


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


def test_the_records_cache_is_bounded() -> None:
    records = RecordCache()
    records.add(0, [b"old"])
    records.add(1, [bytes(limits.TAIL_BYTES)])
    assert records.get([0]) is None
    assert records.get([1]) == [bytes(limits.TAIL_BYTES)]
    records.add(2, [bytes(limits.TAIL_BYTES), b"one too many"])
    assert records.get([2]) is None
