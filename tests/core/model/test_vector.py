"""Version vectors stay short over restarts and cover just what they should."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model.vector import FullVector, Lineage
from tests.core.model.test_tree import counted

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
    """A lineage of up to forty runs; each began with some of what was there, and what each covers in full."""
    lineage, names, full = Lineage(), list[str](), dict[str, dict[str, int]]()
    dense = chance.choice((0.5, 0.1))
    for number in range(chance.randint(1, chance.choice((8, 40)))):
        began = {name: chance.randint(1, 4) for name in names if chance.random() < dense or (number > 8 and name is names[-1])}
        reach: dict[str, int] = {}
        for name, sequence in began.items():
            for implied, upto in {**full[name], name: max(sequence, full[name].get(name, 0))}.items():
                reach[implied] = max(reach.get(implied, 0), upto)
        origin = f"1001-x{number}"
        lineage.began(origin, lineage.shorten(began) if chance.random() < 0.5 else began)
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


@given(SEEDS)
def test_renewing_is_shortening(seed: int) -> None:
    """What a `began` implies beyond what it names is in no short vector of all that was held before."""
    chance = Random(seed)
    lineage, names, full = Lineage(), list[str](), dict[str, int]()
    vector: dict[str, int] = {}
    for number in range(30):
        for name in chance.sample(names, min(len(names), 2)):
            full[name] += 1
            vector[name] = full[name]
        held = {name: chance.randint(1, full[name]) for name in names if chance.random() < 0.3}
        origin = f"1001-x{number}"
        lineage.began(origin, lineage.shorten(held))
        names.append(origin)
        full[origin] = 1
        lineage.renew(vector, origin)
        assert vector == lineage.shorten(vector)
        assert lineage.expand(vector) == full


def test_a_full_vector_is_a_mapping() -> None:
    lineage = Lineage()
    lineage.began("1001-a", {})
    lineage.began("1001-b", {"1001-a": 3})
    full = lineage.expand({"1001-b": 2, "1009-z": 7})
    assert full == {"1001-a": 3, "1001-b": 2, "1009-z": 7}
    assert len(full) == 3
    assert full.get("1008-y") == 0
    assert "1008-y" not in full
    assert full.raise_to({"1001-a": 2, "1001-b": 9}) == {"1001-a": 3, "1001-b": 9, "1009-z": 7}
    assert not FullVector(lineage)


def starts(lineage: Lineage, count: int, first: int = 0) -> dict[str, int]:
    """So many starts of one broker beside one that goes on."""
    vector = {"1002-b": 1}
    for run in range(first, first + count):
        if run:
            vector = {"1002-b": run, f"1001-r{run - 1}": 3}
        lineage.began(f"1001-r{run}", vector)
    return vector


def test_a_start_costs_the_same_after_twenty_thousand() -> None:
    lineage = Lineage()
    lineage.began("1002-b", {})
    with counted() as looked:
        starts(lineage, 200)
        few = looked[0]
        starts(lineage, 19_600, 200)
        looked[0] = 0
        starts(lineage, 200, 19_800)
    assert looked[0] < 3 * few, "a path is a little longer"
    assert looked[0] < 200 * 20
    with counted() as looked:
        assert lineage.covers({"1001-r19999": 1}, "1001-r0", 3)
        assert not lineage.covers({"1001-r19999": 1}, "1001-r0", 4)
        assert lineage.shorten({"1001-r19999": 5, "1001-r7": 3, "1002-b": 19_999}) == {"1001-r19999": 5}
    assert looked[0] < 400


def test_origins_without_relation_cost_what_they_say() -> None:
    """Each names nothing, and all stand in the vector: a start, an expansion and a comparison are linear in that."""
    lineage = Lineage()
    with counted() as looked:
        vector = dict[str, int]()
        for number in range(5_000):
            origin = f"66-x{number}"
            lineage.began(origin, {})
            lineage.renew(vector, origin)
        assert len(vector) == 5_000
        assert looked[0] == 0
        assert len(lineage.shorten(vector)) == 5_000
        assert lineage.covers_all(lineage.expand(vector), vector)
    assert looked[0] < 5_000


def test_origins_that_all_name_all_before_them_cost_what_they_say() -> None:
    lineage = Lineage()
    named = 0
    with counted() as looked:
        for number in range(400):
            before = {f"66-x{earlier}": 1 for earlier in range(number)}
            named += len(before)
            lineage.began(f"66-x{number}", before)
    assert looked[0] < named


class Looked(dict[str, int]):
    """A vector that counts how many of its entries were looked at."""

    entries = 0

    def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]
        for entry in super().items():
            self.entries += 1
            yield entry


def test_a_vector_that_names_runs_nobody_knows_is_not_looked_through() -> None:
    lineage = Lineage()
    lineage.began("1001-a", {})
    made_up = Looked({f"9{number}-x": 1 for number in range(1_000)})
    assert not lineage.covers_all({"1001-a": 5}, made_up)
    assert made_up.entries == 1
