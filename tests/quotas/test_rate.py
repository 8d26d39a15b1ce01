"""Rate: a burst at once, so many a second on average, and no memory without bound."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.quotas.rate import Rate


def test_a_burst_then_so_many_a_second() -> None:
    rate = Rate(per_second=2.0, burst=5.0)
    assert [rate.take("a", 100.0) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert rate.take("b", 100.0) == 0  # others have their own
    assert [rate.take("a", 101.0) for _ in range(3)] == [0, 0, 1]
    assert [rate.take("a", 1000.0) for _ in range(6)] == [0, 0, 0, 0, 0, 1]  # no more than a burst is saved up


def test_it_says_how_long_to_wait() -> None:
    rate = Rate(per_second=0.1, burst=1.0)
    assert rate.take("a", 0.0) == 0
    assert rate.take("a", 0.0) == 10
    assert rate.take("a", 7.0) == 3
    assert rate.take("a", 10.0) == 0


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    rate = Rate(per_second=1.0, burst=1.0)
    assert rate.take("a", 10.0) == 0
    assert rate.take("a", 5.0) > 0


def test_none_is_no_limit() -> None:
    rate = Rate(per_second=0.0, burst=0.0)
    assert not any(rate.take("a", 0.0) for _ in range(1000))
    assert len(rate) == 0


def test_callers_without_number_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RATE_CALLERS_COUNT", 10)
    rate = Rate(per_second=1.0, burst=1.0)
    for number in range(100):
        rate.take(str(number), 0.0)
    assert len(rate) == 10
    assert rate.take("99", 0.0) > 0  # who came last is remembered
