"""Room: a bound for what all hold, and who makes room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.quotas.room import Room


def test_those_go_that_hold_most_for_longest() -> None:
    room: Room[str] = Room(800)
    for name, size in (("large", 300), ("old", 200), ("small", 10), ("working", 400)):
        room.hold(name, size)
    seconds = {"large": 0.0, "old": 9.0, "small": 30.0, "working": None}
    assert room.is_full
    assert room.choose(lambda name: seconds[name]) == ["old", "small"] or room.choose(lambda n: seconds[n])[0] == "old"
    for name in room.choose(lambda name: seconds[name]):
        room.hold(name, 0)
    assert not room.is_full
    assert "working" not in room.choose(lambda name: seconds[name])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300), st.floats(0, 60))))
def test_the_bound_holds_whatever_comes(steps: list[tuple[int, int, float]]) -> None:
    room: Room[int] = Room(1000)
    held: dict[int, int] = {}
    for holder, size, seconds in steps:
        room.hold(holder, size)
        held[holder] = size
        if room.is_full:
            for gone in room.choose(lambda holder, seconds=seconds: seconds * holder):  # type: ignore[misc]
                room.hold(gone, 0)
                held[gone] = 0
            assert room.held_bytes <= 1000 * 7 // 8
        assert room.held_bytes == sum(held.values()) <= 1000
