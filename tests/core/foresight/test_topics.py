"""Which topics are unusual: not those that are as always, however that is; and few are watched, however many there are."""

from __future__ import annotations

import math
import random

from newswire.core.foresight.topics import TOPICS_COUNT, Topics

WEEK = 168


def usual(hour: int) -> float:
    """Messages an hour, of a day's load."""
    return 60 + 600 * max(0.0, math.sin((hour % 24 - 6) / 24 * 2 * math.pi))


def learnt(hours: int = 3 * WEEK, names: tuple[str, ...] = ("news",)) -> Topics:
    """What has seen so many hours of these topics."""
    chance, topics = random.Random(5), Topics()
    for hour in range(hours):
        topics.learn(hour, {name: round(usual(hour) * math.exp(chance.gauss(0, 0.15))) for name in names})
    return topics


def live(topics: Topics, hour: int, factor: float = 1.0) -> list[str]:
    """Have an hour pass as usual, times a factor; what was unusual at the end of each ten minutes."""
    said = []
    for _ in range(6):
        for _ in range(10):
            topics.take({"news": round(usual(hour) / 60 * factor)})
            topics.look(hour)
        topics.end_slot(hour)
        said += [one.topic for one in topics.unusual]
    topics.end_hour(hour)
    return said


def test_what_is_as_always_is_not_unusual() -> None:
    topics = learnt()
    assert [live(topics, hour) for hour in range(3 * WEEK, 3 * WEEK + 48)] == [[]] * 48


def test_a_busy_topic_is_told_while_the_ten_minutes_run_and_until_they_are_calm() -> None:
    topics, noon = learnt(), 3 * WEEK + 12
    live(topics, noon - 1)
    topics.take({"news": 1_000})
    topics.look(noon)
    assert [(one.topic, one.count, one.minutes) for one in topics.unusual] == [("news", 1_000, 10)]
    topics.end_slot(noon)
    topics.look(noon)
    assert topics.unusual, "the ten minutes that run have nothing yet"
    topics.take({"news": 100})
    topics.end_slot(noon)
    assert topics.unusual == ()


def test_a_topic_that_falls_silent_is_told_within_the_hour() -> None:
    topics, noon = learnt(), 3 * WEEK + 12
    live(topics, noon - 1)
    assert live(topics, noon, factor=0.0) == ["news"] * 2, "after fifty minutes"
    assert topics.unusual[0].count < topics.unusual[0].usual


def test_a_new_topic_is_not_unusual_and_neither_is_a_small_one() -> None:
    topics = learnt(names=("news", "small"))
    topics.take({"brand.new": 10_000})
    topics.end_slot(3 * WEEK)
    assert topics.unusual == ()
    few = Topics()
    for hour in range(200):
        few.learn(hour, {"small": 1})
    few.take({"small": 25})
    few.end_slot(200)
    assert few.unusual == ()


def test_what_was_unusual_is_not_learnt_as_the_spread() -> None:
    topics, hour = learnt(), 3 * WEEK + 12
    live(topics, hour - 1)
    for _ in range(3):
        assert live(topics, hour, factor=20)
    assert topics._watched["news"]._spread < 100


def test_the_busiest_are_watched_and_no_more() -> None:
    topics = Topics()
    for hour in range(3):
        topics.learn(hour, {f"t{number}": number for number in range(2 * TOPICS_COUNT)})
    assert len(topics) == TOPICS_COUNT
    assert f"t{2 * TOPICS_COUNT - 1}" in topics._watched
    topics.take({f"n{number}": 1 for number in range(100_000)})
    assert len(topics._hour) <= 5 * TOPICS_COUNT
