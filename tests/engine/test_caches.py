"""What was stored last, in memory: given whole or not at all, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.engine.caches import Newest
from tests.kit.lines import lines_of


def at(*places: int) -> list[tuple[int, int]]:
    return [(place, 1) for place in places]


def put(newest: Newest[str], *places: int, size: int = 1) -> None:
    newest.add(at(*places), [f"at {place}" for place in places], size)


def test_what_was_stored_last_is_there_by_its_place() -> None:
    newest: Newest[str] = Newest(100, 100)
    assert newest.get(7) is None
    put(newest, 7, 8)
    put(newest)
    put(newest, 19)
    assert [newest.get(place) for place in (6, 7, 8, 9, 19, 20)] == [None, "at 7", "at 8", None, "at 19", None]


def test_all_of_some_places_or_none() -> None:
    newest: Newest[str] = Newest(100, 100)
    put(newest, 7, 8, 12)
    put(newest, 19)
    assert newest.get_all(at()) == []
    assert newest.get_all(at(7, 8, 12, 19)) == ["at 7", "at 8", "at 12", "at 19"]
    assert newest.get_all(at(19, 7, 12)) == ["at 19", "at 7", "at 12"]
    assert newest.get_all(at(6, 7)) is None
    assert newest.get_all(at(19, 20)) is None


def test_the_oldest_leave_at_the_bounds() -> None:
    newest: Newest[str] = Newest(10, 4)
    for first in (0, 2, 4):
        put(newest, first, first + 1)
    assert [newest.get(place) is not None for place in range(6)] == [False, False, True, True, True, True]
    put(newest, 6, size=9)
    assert [newest.get(place) is not None for place in range(7)] == [False] * 4 + [True] * 3
    put(newest, 7, size=11)
    assert newest.get(7) is None, "it is too large by itself"
    put(newest, 8)
    assert newest.get(8) == "at 8"


def test_a_log_that_goes_on_at_an_earlier_place_is_another_one() -> None:
    newest: Newest[str] = Newest(100, 100)
    put(newest, 7, 8)
    put(newest, 3)
    assert (newest.get(7), newest.get(3)) == (None, "at 3")


@given(st.lists(st.integers(1, 3), max_size=30), st.lists(st.integers(0, 60), max_size=10))
def test_whatever_is_asked_for_is_right_or_not_there(sizes: list[int], asked: list[int]) -> None:
    newest: Newest[str] = Newest(100, 12)
    place, stored = 0, []
    for size in sizes:
        places = list(range(place, place + size))
        put(newest, *places)
        stored += places
        place += size + 1
    kept = [one for one in stored if newest.get(one) == f"at {one}"]
    assert kept == stored[len(stored) - len(kept) :]
    assert len(kept) >= min(len(stored), 10)
    all_there = set(asked) <= set(kept)
    assert newest.get_all(at(*asked)) == ([f"at {one}" for one in asked] if all_there else None)


def test_to_keep_a_thousand_costs_as_much_as_to_keep_one() -> None:
    newest: Newest[str] = Newest(10_000, 10_000)
    one, many = at(1), at(*range(2, 1_002))
    texts = ["x"] * 1_000
    assert lines_of(lambda: newest.add(many, texts, 1_000)) <= lines_of(lambda: newest.add(one, ["x"], 1)) + 2
