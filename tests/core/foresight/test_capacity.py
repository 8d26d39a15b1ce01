"""The limit is where the line reaches one processor, and nothing is said where there is no line."""

from __future__ import annotations

import random

import pytest

from newswire.core.foresight.capacity import Capacity


def test_the_limit_is_found_far_below_it() -> None:
    chance, capacity = random.Random(1), Capacity()
    for _ in range(120):
        rate = chance.uniform(0, 200)
        capacity.take(rate, 0.02 + rate * 0.0004 + chance.gauss(0, 0.005))
    assert capacity.limit() == pytest.approx(0.98 / 0.0004, rel=0.05)


@pytest.mark.parametrize(
    "minutes",
    [
        [(10, 0.1), (200, 0.2)],  # too few
        [(100, 0.1)] * 50,  # all alike
        [(100 + 20 * (at % 2), 0.1 + 0.3 * (at // 2 % 2)) for at in range(60)],  # what else goes on
        [(at % 50, 0.5 - 0.001 * (at % 50)) for at in range(60)],  # less work for more messages
    ],
)
def test_nothing_is_said_where_there_is_no_line(minutes: list[tuple[float, float]]) -> None:
    capacity = Capacity()
    for rate, share in minutes:
        capacity.take(rate, share)
    assert capacity.limit() is None


def test_what_a_message_costs_may_change() -> None:
    chance, capacity = random.Random(1), Capacity()
    for cost in (0.001, 0.0002):
        for _ in range(3_000):
            rate = chance.uniform(0, 200)
            capacity.take(rate, rate * cost)
    assert capacity.limit() == pytest.approx(5_000, rel=0.15)
