"""Turns: each caller in turn; of one caller, first come, first served."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.listener.turns import Turns


class Asked(NamedTuple):
    caller: str
    number: int


def test_one_caller_with_a_thousand_waits_as_long_as_one_with_one() -> None:
    turns: Turns[Asked] = Turns()
    for number in range(1000):
        turns.append(Asked("many", number))
    turns.append(Asked("one", 0))
    turns.append(Asked("two", 0))
    taken = [turns.popleft() for _ in range(5)]
    assert taken == [("many", 0), ("one", 0), ("two", 0), ("many", 1), ("many", 2)]
    assert len(turns) == 997


def test_nobody_waits() -> None:
    turns: Turns[Asked] = Turns()
    assert not turns
    with pytest.raises(IndexError):
        turns.popleft()


@given(st.lists(st.sampled_from(["a", "b", "c", None])))
def test_nobody_is_lost_and_nobody_is_passed_by(events: list[str | None]) -> None:
    """Between two turns of one caller everybody else who waited all that time had one."""
    turns: Turns[Asked] = Turns()
    waiting: list[Asked] = []
    passed: dict[Asked, set[str]] = {}
    for number, caller in enumerate(events):
        if caller is not None:
            item = Asked(caller, number)
            turns.append(item)
            waiting.append(item)
        elif waiting:
            taken = turns.popleft()
            waiting.remove(taken)
            assert not [other for other in waiting if other.caller == taken.caller and other.number < taken.number]
            heads = {min(o.number for o in waiting if o.caller == c): c for c in {o.caller for o in waiting}}
            for first, other in heads.items():
                if other != taken.caller:
                    seen = passed.setdefault(Asked(other, first), set())
                    assert taken.caller not in seen
                    seen.add(taken.caller)
        assert sorted(turns) == sorted(waiting)
        assert len(turns) == len(waiting)


def test_what_goes_last_is_taken_when_nothing_else_is_there_and_holds_up_nobody() -> None:
    """Also not what its own caller asked for behind it."""
    left: set[Asked] = set()
    turns: Turns[Asked] = Turns(left.__contains__)
    dead, alive, other = [Asked("a", n) for n in range(100)], Asked("a", 100), Asked("b", 0)
    for item in (*dead, alive, other):
        turns.append(item)
    left.update(dead)
    assert turns.count_of("a") == 101
    assert [turns.popleft(), turns.popleft()] == [alive, other]
    assert (turns.count_of("a"), len(turns), list(turns)) == (0, 100, dead)
    late = Asked("a", 101)
    turns.append(late)
    assert [turns.popleft(), turns.popleft()] == [late, dead[0]]
    assert [turns.popleft() for _ in range(99)] == dead[1:]
    with pytest.raises(IndexError):
        turns.popleft()
