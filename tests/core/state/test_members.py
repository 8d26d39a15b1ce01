"""Memberships: any order of what is said of them leaves the same, and who joins again beside a removal stays."""

from __future__ import annotations

from itertools import permutations

from newswire.core.model.ops import Joined, Left
from newswire.core.state.members import Members

ONE, MOVED = "10.0.0.1:1", "10.0.0.1:2"


def joined(sequence: int, address: str = ONE, *, broker: str = "1001", seen: tuple[str, ...] = (), time: int = 0) -> Joined:
    return Joined("1001-a", sequence, time or sequence, broker, address, seen)


def fold(*ops: Joined | Left) -> Members:
    members = Members()
    for op in ops:
        if isinstance(op, Joined):
            members.joined(op)
        else:
            members.left(op)
    return members


def test_any_order_of_ops_leaves_the_same() -> None:
    first, moved = joined(1), joined(2, MOVED, seen=("1001-a.1",))
    away = Left("1002-b", 1, 3, "1001", ("1001-a.1",))  # of who has not seen the move
    for order in permutations((first, moved, away)):
        members = fold(*order)
        assert "1001" in members
        assert members.ids("1001") == ("1001-a.2",)
        assert members.addresses["1001"] == MOVED


def test_a_removal_ends_what_it_has_seen_and_nothing_else() -> None:
    members = fold(joined(1), Left("1002-b", 1, 3, "1001", ("1001-a.1",)))
    assert "1001" not in members
    assert (members.ids("1001"), members.anybody()) == ((), False)
    assert members.ever("1001"), "its address is still known"
    assert members.addresses["1001"] == ONE
    members.joined(joined(2))
    assert "1001" in members
    assert not members.ever("1003")


def test_of_two_memberships_at_once_the_newest_says_the_address() -> None:
    assert fold(joined(1, MOVED, time=9), joined(2, ONE, time=5)).addresses["1001"] == MOVED
    assert fold(joined(2, ONE, time=5), joined(1, MOVED, time=9)).addresses["1001"] == MOVED


def test_an_address_is_that_of_who_joined_with_it_last() -> None:
    members = fold(joined(1, time=5), joined(2, broker="1002", time=7))
    assert members.whose(ONE) == "1002"
    assert members.whose(MOVED) == ""
    members.joined(joined(3, broker="1003", time=6))
    assert members.whose(ONE) == "1002", "whatever order they come in"
