"""Numbers that one thread counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.metrics import Distribution, Histogram


def test_a_value_counts_for_each_bound_that_it_does_not_exceed() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.read() == Distribution((1.0, 2.0), (2, 4), 5, 14.0)


@given(st.lists(st.floats(0, 100)))
def test_counts_are_cumulative(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    seen = histogram.read()
    assert seen.count == len(values)
    assert seen.counts == tuple(sum(value <= bound for value in values) for bound in seen.bounds)


def test_nothing_observed_is_zero() -> None:
    assert Histogram().read() == Distribution()
