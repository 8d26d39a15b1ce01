"""Forecasts of hourly values: they learn days and weeks, say how far off they are, and take little."""

from __future__ import annotations

import math
import random

import pytest

from newswire.core.foresight.seasons import HORIZON_HOURS, Seasons

WEEK = 168


def load(hour: int, *, weekly: bool) -> float:
    """Of an organisation: a high noon, a dead night, a quiet weekend."""
    day = 10 + 200 * max(0.0, math.sin((hour % 24 - 6) / 24 * 2 * math.pi))
    return day * (0.2 if weekly and hour // 24 % 7 >= 5 else 1.0)


def learnt(hours: int, *, weekly: bool, noise: float = 0.0) -> Seasons:
    """What has seen so many hours of it."""
    chance, seasons = random.Random(3), Seasons()
    for hour in range(hours):
        seasons.take(load(hour, weekly=weekly) * math.exp(chance.gauss(0, noise)))
    return seasons


def test_two_days_say_nothing() -> None:
    assert learnt(47, weekly=False).ahead() == []
    assert learnt(47, weekly=False).error() is None


def test_a_day_is_learnt() -> None:
    bands = learnt(7 * 24, weekly=False).ahead()
    assert len(bands) == HORIZON_HOURS
    for ahead, band in enumerate(bands):
        assert band.middle == pytest.approx(load(7 * 24 + ahead, weekly=False), rel=0.05, abs=8)
        assert 0 <= band.low <= band.middle + 1e-6
        assert band.middle <= band.high + 1e-6


def test_a_week_is_learnt_once_it_was_seen() -> None:
    bands = learnt(4 * WEEK + 5 * 24, weekly=True).ahead()  # the next day is a Saturday
    assert max(band.middle for band in bands) == pytest.approx(42, rel=0.1)
    assert bands[12].middle < 60, "a model of a day would say 200"


def test_nine_in_ten_lie_in_the_band() -> None:
    chance, seasons = random.Random(7), Seasons()
    made: dict[int, tuple[float, float]] = {}
    inside = count = 0
    for hour in range(6 * WEEK):
        value = load(hour, weekly=True) * math.exp(chance.gauss(0, 0.15))
        if hour >= 3 * WEEK and hour in made:
            count += 1
            inside += made[hour][0] <= value <= made[hour][1]
        seasons.take(value)
        if bands := seasons.ahead():
            made[hour + HORIZON_HOURS] = bands[-1].low, bands[-1].high
    assert 0.85 < inside / count < 0.97
    error = seasons.error()
    assert error is not None
    assert 0.08 < error < 0.2, "noise of 15 percent is off by 12"


def test_nothing_is_forecast_for_what_is_never_used() -> None:
    seasons = Seasons()
    for _ in range(100):
        seasons.take(0.0)
    assert [(band.low, band.high) for band in seasons.ahead(1)] == [(0, 0)]
    assert seasons.error() == 0
