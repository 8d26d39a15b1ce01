"""What is wanted from where: equal values are told apart by nothing, and share what follows from them."""

from __future__ import annotations

import gc

from newswire.core.read.pages import LogPosition, ReadPosition, Wanted, all_of, as_items


def test_equal_positions_are_one_key() -> None:
    one, other = (ReadPosition(LogPosition(4, (("1001-a", 3),)), Wanted(("news",))) for _ in range(2))
    assert len({one, other}) == 1
    assert one != ReadPosition(LogPosition(4), Wanted(("news",)))
    assert Wanted(("news",)) != Wanted(("news",), ((("1001-a", 1),),))


def test_what_was_worked_out_is_kept_with_one_object_and_its_version() -> None:
    wanted = Wanted(("news",))
    assert wanted.worked_out is None
    wanted.keep(7, "so")
    assert wanted.worked_out == (7, "so")
    assert Wanted(("news",)).worked_out is None
    assert hash(wanted) == hash(Wanted(("news",))), "what is kept is no part of the value"


def test_all_who_want_the_same_have_one_object_for_as_long_as_it_is_in_use() -> None:
    wanted = all_of(("pages.test",))
    assert all_of(("pages.test",)) is wanted
    wanted.keep(1, "so")
    del wanted
    gc.collect()
    assert all_of(("pages.test",)).worked_out is None


def test_a_vector_as_items_has_one_order() -> None:
    assert as_items({"b": 2, "a": 1}) == as_items({"a": 1, "b": 2}) == (("a", 1), ("b", 2))
