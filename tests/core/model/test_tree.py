"""Trees of full vectors say what dicts would, and look only where two differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model import tree
from newswire.core.model.tree import EMPTY, Tree

NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, 5_000), st.integers(0, 2**24))
VECTORS = st.dictionaries(NUMBERS, st.integers(1, 2**53), max_size=40)


def tree_of(vector: dict[int, int]) -> Tree:
    return EMPTY.put(sorted(vector.items()))


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the nodes that are looked at while this lasts."""
    looked = [0]

    def counting(function: Any) -> Any:
        def count(*arguments: Any) -> Any:
            looked[0] += 1
            return function(*arguments)

        return count

    names = ("put_below", "join_below", "entries_beyond")
    with patch.multiple(tree, **{name: counting(getattr(tree, name)) for name in names}):
        yield looked


@given(VECTORS, VECTORS)
def test_a_tree_is_a_dict(one: dict[int, int], other: dict[int, int]) -> None:
    a, b = tree_of(one), tree_of(other)
    for number in {*one, *other, 0, 15, 16, 2**30}:
        assert a.get(number) == one.get(number, 0)
        joined = max(one.get(number, 0), other.get(number, 0))
        assert a.join(b).get(number) == b.join(a).get(number) == joined
    assert list(a.beyond(b)) == sorted((n, other.get(n, 0)) for n, s in one.items() if s > other.get(n, 0))
    assert dict(EMPTY.put(sorted(one.items(), reverse=True)).beyond(EMPTY)) == dict.fromkeys(one, 0)
    assert bool(a) == bool(one)


@given(VECTORS, VECTORS)
def test_what_was_there_does_not_change(one: dict[int, int], other: dict[int, int]) -> None:
    a, before = tree_of(one), sorted(one.items())
    a.join(tree_of(other))
    a.put(sorted(other.items()))
    assert [(number, a.get(number)) for number, _ in a.beyond(EMPTY)] == before


def test_the_cost_is_that_of_the_difference() -> None:
    whole = tree_of(dict.fromkeys(range(100_000), 1))
    with counted() as looked:
        changed = whole.put([(77_777, 2)])
        assert list(changed.beyond(whole)) == [(77_777, 1)]
        assert whole.join(changed).get(77_777) == 2
        assert list(whole.join(changed).beyond(changed)) == []
    assert looked[0] < 300, "a few paths of five nodes and their neighbours, of 6,700 nodes"
