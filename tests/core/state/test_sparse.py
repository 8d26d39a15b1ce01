"""Offsets of an origin with voids: they read like an array, and cost an entry a void."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.state.sparse import SparseOffsets

RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=12)


@given(RUNS, st.integers(0, 70), st.integers(0, 70))
def test_it_reads_like_the_array_that_it_stands_for(runs: list[tuple[bool, int]], start: int, stop: int) -> None:
    plain, sparse = array("I", (7,)), SparseOffsets(array("I", (7,)))
    for row, (is_void, count) in enumerate(runs, 10):
        plain.extend([row] * count)
        if is_void:
            sparse.add_void(row, count)
        else:
            sparse.extend([row] * count)
    assert len(sparse) == len(plain)
    assert [sparse[at] for at in range(len(plain))] == list(plain)
    assert sparse[-1] == plain[-1]
    assert sparse[start:stop] == plain[start:stop]
    assert len(sparse.rows) == 1 + sum(1 if is_void else count for is_void, count in runs)


def test_it_knows_its_voids() -> None:
    sparse = SparseOffsets(array("I", (0, 1)))
    sparse.add_void(2, 3)
    sparse.append(3)
    sparse.add_void(4, 1)
    assert list(sparse.voids()) == [(3, 5, 2), (7, 7, 4)]
    assert [sparse.has_void(first, last) for first, last in ((1, 2), (2, 3), (6, 6), (6, 9), (8, 9))] == [
        False,
        True,
        False,
        True,
        False,
    ]
