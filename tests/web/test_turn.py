"""While others publish, long batches take turns and rest between them; while nobody does, they are stored together."""

from __future__ import annotations

import pytest

from newswire.errors import Unavailable
from newswire.web.turn import Turn


def test_a_batch_whose_turn_does_not_come_is_told_that_nothing_was_stored() -> None:
    turn = Turn(0.0, 0.0, 2.0)
    turn.note_other()
    with turn.take(), pytest.raises(Unavailable, match="nothing was stored"), turn.take():
        pass
    with turn.take():
        pass  # it was given back


def test_while_nobody_else_publishes_nobody_waits() -> None:
    now, slept = [10.0], list[float]()
    turn = Turn(0.0, 0.5, 2.0, lambda: now[0], slept.append)
    with turn.take(), turn.take():
        now[0] += 0.25
    turn.note_other()
    now[0] += 2.0
    with turn.take(), turn.take():
        pass
    assert slept == []


def test_a_turn_is_given_back_when_storing_fails() -> None:
    turn = Turn(0.0, 0.0, 2.0)
    turn.note_other()
    with pytest.raises(ZeroDivisionError), turn.take():
        raise ZeroDivisionError
    with turn.take():
        pass


@pytest.mark.parametrize(
    ("takes", "later", "rests"), [(0.25, 0.0, [0.25]), (0.25, 0.125, [0.125]), (0.25, 1.0, []), (9.0, 0.0, [0.5])]
)
def test_it_rests_as_long_as_it_was_used_within_a_bound(takes: float, later: float, rests: list[float]) -> None:
    now, slept = [1.0], list[float]()
    turn = Turn(1.0, 0.5, 2.0, lambda: now[0], slept.append)
    turn.note_other()
    with turn.take():
        now[0] += takes
    now[0] += later
    turn.note_other()
    with turn.take():
        pass
    assert slept == rests
