"""What follows from samples: rows, forecasts, sentences; and from what the log tells of before."""

from __future__ import annotations

import math

import pytest

from newswire.core.foresight.outlook import COLUMNS, Foresight, Sample
from newswire.core.model.conditions import condition_of
from newswire.core.model.forecasts import Past

HOUR = 3_600_000
START = 500_000 * HOUR  # ms since 1970
GIB = 2**30


def sample(seconds: float, **more: object) -> Sample:
    """One after so many seconds, five after the last."""
    wall = START + int(seconds * 1000)
    return Sample(**{"clock": seconds, "wall": wall, "seconds": 5.0, "counts": {}, **more})  # type: ignore[arg-type]


def rate(hour: int) -> float:
    """Messages a second: a day's load."""
    return 2 + 20 * max(0.0, math.sin((hour % 24 - 6) / 24 * 2 * math.pi))


def past(hours: int) -> Past:
    """So many whole hours, and one that began."""
    first = START // HOUR - hours
    counts = [{"news": round(3_600 * rate(first + at))} for at in range(hours)]
    return Past(first=first, hours=[*counts, {}], peaks=[*(rate(first + at) for at in range(hours)), 0.0])


def codes(foresight: Foresight) -> list[str]:
    return [condition.code for text in foresight.outlook.warnings if (condition := condition_of(text)) is not None]


def test_a_sample_is_a_row_and_a_minute_of_them_another() -> None:
    foresight = Foresight()
    for step in range(25):
        foresight.take(
            sample(
                step * 5,
                counts={"a": 5, "b": 5},
                deliveries=20,
                commits=2,
                commit_seconds=0.01,
                processor_seconds=0.5,
                streams=step,
                free_bytes=GIB,
            )
        )
    recent, minutes = foresight.recent.series(), foresight.minutes.series()
    assert recent.columns.keys() == minutes.columns.keys() == set(COLUMNS)
    assert [column[-1] for column in recent.columns.values()] == [2, 4, 5, 24, GIB, 0, 0.1]
    assert (minutes.times, minutes.columns["messages"]) == ([START, START + 60_000], [2, 2])
    assert minutes.columns["streams"] == [5.5, 17.5]


def test_what_the_log_tells_of_before_is_forecast_at_once() -> None:
    foresight = Foresight()
    foresight.restore(past(10 * 24), 0.0, START)
    for step in range(13):
        foresight.take(sample(step * 5))
    publish = foresight.outlook.publish
    assert publish.peak is not None
    assert publish.peak.middle == pytest.approx(22, rel=0.05)
    assert len(publish.hours) == 24
    assert publish.error is not None
    assert publish.error < 0.1
    assert foresight.outlook.streams.peak is None, "no log tells of streams"
    assert foresight.outlook.topics == 1
    assert foresight.outlook.hours[-1] == pytest.approx(rate(START // HOUR - 1), abs=0.01)


def test_a_load_that_comes_near_its_limit_is_told() -> None:
    foresight = Foresight()
    foresight.restore(past(10 * 24), 0.0, START)
    for step in range(12 * 70):  # a message costs 50 ms: 20 a second are the limit
        now = rate(START // HOUR) * (1 + 9 * (step // 12 % 2))
        foresight.take(sample(step * 5, counts={"news": round(5 * now)}, processor_seconds=5 * round(5 * now) / 5 / 20))
    limit = foresight.outlook.publish.limit
    assert limit == pytest.approx(20, rel=0.05)
    assert codes(foresight).count("load-nears") == 1


def test_a_limit_of_streams_is_told_once_days_were_seen() -> None:
    foresight = Foresight()
    for minute in range(50 * 60):
        foresight.take(sample(minute * 60, streams=95, streams_limit=100 if minute < 48 * 60 + 30 else 90))
        if minute == 48 * 60 + 20:
            assert codes(foresight) == []
    assert codes(foresight) == ["streams-near"]


def test_a_disk_that_is_full_in_a_week_is_told_until_it_is_a_day_better() -> None:
    foresight, speed = Foresight(), 1_000
    for minute in range(3 * 24 * 60):
        foresight.take(sample(minute * 60, free_bytes=10**12, log_bytes=minute * 60 * speed))
    said = []
    for step, left in enumerate((7.5, 6.5, 7.5, 8.5, 7.5)):
        seconds = (3 * 24 * 60 + step) * 60
        free = 5 + int(left * 86_400 * speed)
        foresight.take(sample(seconds, free_bytes=free, reserve_bytes=5, log_bytes=seconds * speed))
        said.append(codes(foresight) == ["disk-fills"])
    assert said == [False, True, True, False, False]
    full = foresight.outlook.disk_full_seconds
    assert full is not None
    assert full[0] == pytest.approx(7.5 * 86_400, rel=0.01)


def test_what_a_log_that_never_dropped_anything_took_is_known_after_a_start() -> None:
    foresight = Foresight()
    hours = 3 * 24
    first = START // HOUR - hours
    foresight.restore(
        Past(
            first=first,
            hours=[{}] * (hours + 1),
            peaks=[0.0] * (hours + 1),
            sizes=[at * 3_600 * 100 for at in range(1, hours + 2)],
        ),
        0.0,
        START,
    )
    for minute in range(2):
        foresight.take(sample(60 * minute + 1, free_bytes=100 * 86_400 * 10, log_bytes=hours * 3_600 * 100))
    full = foresight.outlook.disk_full_seconds
    assert full is not None
    assert full[0] == pytest.approx(10 * 86_400, rel=0.05)


def test_unusual_topics_are_told_a_few_by_name() -> None:
    foresight = Foresight()
    names = [f"t{number}" for number in range(5)]
    quiet = Past(first=START // HOUR - 72, hours=[dict.fromkeys(names, 10)] * 72, peaks=[1.0] * 72)
    foresight.restore(quiet, 0.0, START)
    for step in range(14):
        foresight.take(sample(step * 5, counts=dict.fromkeys(names, 100)))
    assert codes(foresight) == ["topic-busy"] * 3 + ["more-topics"]
    assert len(foresight.outlook.unusual) == 5


def test_hours_that_a_machine_slept_are_hours_without_messages_and_a_clock_set_back_starts_anew() -> None:
    foresight = Foresight()
    foresight.take(sample(0, counts={"a": 5}))
    foresight.take(sample(5 * 3_600))
    assert len(foresight.outlook.hours) == 5
    foresight.take(sample(0))
    foresight.take(sample(61))
    assert len(foresight.outlook.hours) == 5
