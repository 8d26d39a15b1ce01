"""How fast a log grows, and when its disk is full: a band, from the record of a week."""

from __future__ import annotations

import pytest

from newswire.core.foresight.growth import Growth

HOUR, DAY = 3_600.0, 86_400.0


def grown(seconds: float, rate: float, growth: Growth | None = None, start: float = 0.0, size: float = 0.0) -> Growth:
    """A record of so long, looked at every ten seconds, in which the log grew by `rate` bytes a second."""
    growth = growth or Growth()
    for step in range(int(seconds / 10) + 1):
        growth.note(start + step * 10, int(size + step * 10 * rate))
    return growth


def test_less_than_an_hour_says_nothing() -> None:
    assert Growth().full_in(10**9) is None
    assert grown(HOUR - 60, 100).full_in(10**9) is None


def test_a_steady_log_fills_its_disk_at_one_moment() -> None:
    for length in (DAY, 2 * DAY, 20 * DAY):
        full = grown(length, 100).full_in(100 * 86_400)
        assert full is not None
        assert full == pytest.approx((DAY, DAY), rel=0.01)


def test_a_short_record_says_of_what_is_far_off_when_it_is_at_the_earliest() -> None:
    assert grown(HOUR, 100).full_in(100 * 3_600) == pytest.approx((HOUR, HOUR), rel=0.01)
    full = grown(HOUR, 100).full_in(100 * 86_400)
    assert full is not None
    assert full[0] == pytest.approx(DAY, rel=0.01)
    assert full[1] is None


@pytest.mark.parametrize("days", [2, 5, 7])
def test_days_that_differ_make_a_band_that_is_narrower_the_more_there_are(days: int) -> None:
    growth, size = Growth(), 0.0
    for day in range(days):
        growth = grown(DAY - 60, 100 + 40 * (day % 2), growth, start=day * DAY, size=size)
        size += DAY * (100 + 40 * (day % 2))
    growth.note(days * DAY, int(size))
    full = growth.full_in(120 * 86_400 * 30)
    assert full is not None
    assert full[0] < 30 * DAY
    assert full[0] > {2: 10, 5: 23, 7: 25}[days] * DAY
    assert full[1] is None if days == 2 else full[1] is not None


def test_a_flood_is_told_at_its_own_rate() -> None:
    growth = grown(5 * DAY, 100)
    growth = grown(HOUR, 100_000, growth, start=5 * DAY + 10, size=5 * DAY * 100)
    full = growth.full_in(100_000 * 3_600 * 3)
    assert full is not None
    assert full[0] == pytest.approx(3 * HOUR, rel=0.05)


def test_one_that_grows_faster_now_has_a_band() -> None:
    growth = grown(18 * HOUR, 100)
    growth = grown(6 * HOUR, 400, growth, start=18 * HOUR, size=18 * HOUR * 100)
    full = growth.full_in(100 * 86_400)
    assert full is not None
    assert full == pytest.approx((DAY / 4, DAY / 1.75), rel=0.02)


def test_one_that_stands_still_now_may_never_fill_it() -> None:
    growth = grown(18 * HOUR, 100)
    growth = grown(7 * HOUR, 0, growth, start=18 * HOUR, size=18 * HOUR * 100)
    full = growth.full_in(10**9)
    assert full is not None
    assert full[1] is None


@pytest.mark.parametrize("rate", [0, -100])
def test_one_that_does_not_grow_fills_nothing(rate: float) -> None:
    assert grown(DAY, rate, size=10**9).full_in(10**9) is None


def test_a_disk_that_is_full_is_full_now() -> None:
    assert grown(DAY, 100).full_in(-5) == (0, 0)


def test_a_month_is_kept_in_a_few_sizes() -> None:
    growth = grown(30 * DAY, 100)
    assert len(growth._sizes) < 300
    (start, _), (end, _) = growth._sizes[0], growth._sizes[-1]
    assert 6 * DAY < end - start <= 7 * DAY + HOUR
    apart = [later[0] - one[0] for one, later in zip(growth._sizes, growth._sizes[1:], strict=False)]
    assert max(apart) <= 2 * HOUR


@pytest.mark.parametrize("hours", [1, 30, 200, 2_000])
def test_a_broker_that_stood_still_for_long_goes_on(hours: int) -> None:
    """A machine that is suspended, a disk that hangs: a week's record is no longer than a week when it goes on."""
    growth = Growth()
    for minute in range(9 * 24 * 60):
        growth.note(minute * 60.0, 1_000 * minute)
    since = 9 * 86_400.0 + hours * 3_600.0
    for minute in range(3 * 24 * 60):
        growth.note(since + minute * 60.0, 1_000 * minute)
        growth.full_in(10**9)
