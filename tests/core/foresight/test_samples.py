"""Rings of samples: what is asked for, in order, and never more than there may be."""

from __future__ import annotations

from newswire.core.foresight.samples import Ring


def filled(count: int, most: int = 10) -> Ring:
    """A ring of at most ten rows, into which so many were put."""
    ring = Ring(("a", "b"), 5, most)
    for at in range(count):
        ring.add(at * 5_000, {"a": float(at)})
    return ring


def test_what_a_row_lacks_is_unknown() -> None:
    series = filled(3).series()
    assert (series.step, series.times) == (5, [0, 5_000, 10_000])
    assert series.columns == {"a": [0, 1, 2], "b": [None, None, None]}


def test_the_oldest_go() -> None:
    for count in (11, 12, 50):
        ring = filled(count)
        assert ring.series().times == [at * 5_000 for at in range(count - 10, count)]
        assert len(ring._times) <= 12


def test_only_what_is_later() -> None:
    ring = filled(50)
    assert ring.series(47 * 5_000).times == [240_000, 245_000]
    assert ring.series(10**9).times == []
    assert filled(0).series().times == []


def test_the_mean_of_the_last_rows() -> None:
    assert filled(5).last(2) == {"a": 3.5, "b": None}
