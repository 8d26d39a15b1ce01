"""Version vectors stay short over restarts and cover just what they should."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.vector import Lineage

SEEDS = st.integers(0, 2**32)


def test_an_unknown_origin_implies_nothing() -> None:
    lineage = Lineage()
    assert lineage.covers({"1001-a": 3}, "1001-a", 3)
    assert not lineage.covers({"1001-a": 3}, "1001-a", 4)
    assert not lineage.covers({"1002-b": 9}, "1001-a", 1)


def test_began_is_followed_transitively() -> None:
    lineage = Lineage()
    lineage.began("1001-a", {})
    lineage.began("1001-b", {"1001-a": 7})
    lineage.began("1001-c", {"1001-b": 2})
    assert lineage.covers({"1001-c": 1}, "1001-a", 7)
    assert not lineage.covers({"1001-c": 1}, "1001-a", 8)
    assert lineage.expand({"1001-c": 1}) == {"1001-c": 1, "1001-b": 2, "1001-a": 7}


def test_nothing_follows_from_a_broker_s_name() -> None:
    """A rolled-back disk begins with the vector that it held, and covers only that."""
    lineage = Lineage()
    lineage.began("1001-a", {})
    lineage.began("1001-b", {"1001-a": 3})
    assert not lineage.covers({"1001-b": 5}, "1001-a", 4)


def test_a_thousand_restarts_leave_a_vector_of_one_entry() -> None:
    lineage = Lineage()
    vector: dict[str, int] = {}
    for run in range(1_000):
        origin = f"1001-r{run}"
        lineage.began(origin, vector)
        vector = lineage.shorten({**vector, origin: 1})
        vector = lineage.shorten({**vector, origin: 5})
        assert vector == {origin: 5}
    assert lineage.covers(vector, "1001-r0", 5)
    assert not lineage.covers(vector, "1001-r0", 6)


def test_two_brokers_that_restart_in_turn_keep_vectors_of_two_entries() -> None:
    lineage = Lineage()
    vector: dict[str, int] = {}
    for run in range(200):
        for broker in ("1001", "1002"):
            origin = f"{broker}-r{run}"
            lineage.began(origin, vector)
            vector = lineage.shorten({**vector, origin: 3})
            assert len(vector) <= 2


def history(chance: Random) -> tuple[Lineage, list[str], dict[str, dict[str, int]]]:
    """A lineage of up to eight runs; each began with some of what was there, and what each covers in full."""
    lineage, names, full = Lineage(), list[str](), dict[str, dict[str, int]]()
    for number in range(chance.randint(1, 8)):
        began = {name: chance.randint(1, 4) for name in names if chance.random() < 0.5}
        reach: dict[str, int] = {}
        for name, sequence in began.items():
            for implied, upto in {**full[name], name: max(sequence, full[name].get(name, 0))}.items():
                reach[implied] = max(reach.get(implied, 0), upto)
        origin = f"1001-x{number}"
        lineage.began(origin, lineage.shorten(began))
        names.append(origin)
        full[origin] = reach
    return lineage, names, full


def some(names: list[str], chance: Random) -> dict[str, int]:
    """A vector of some of these."""
    return {name: chance.randint(1, 4) for name in names if chance.random() < 0.5}


@given(SEEDS)
def test_shortening_changes_nothing_that_is_covered(seed: int) -> None:
    chance = Random(seed)
    lineage, names, full = history(chance)
    vector = some(names, chance)
    expected: dict[str, int] = {}
    for name, sequence in vector.items():
        for implied, upto in (*full[name].items(), (name, sequence)):
            expected[implied] = max(expected.get(implied, 0), upto)
    assert lineage.expand(vector) == expected
    assert lineage.expand(lineage.shorten(vector)) == expected
    for name in names:
        for sequence in range(1, 6):
            assert lineage.covers(vector, name, sequence) == (expected.get(name, 0) >= sequence)


@given(SEEDS)
def test_join_is_commutative_associative_idempotent(seed: int) -> None:
    chance = Random(seed)
    lineage, names, _ = history(chance)
    a, b, c = (some(names, chance) for _ in range(3))
    assert lineage.join(a, b) == lineage.join(b, a)
    assert lineage.join(lineage.join(a, b), c) == lineage.join(a, lineage.join(b, c))
    assert lineage.join(a, a) == lineage.shorten(a)
    assert lineage.covers_all(lineage.join(a, b), a)
