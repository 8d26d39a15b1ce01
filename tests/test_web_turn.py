"""Long batches take turns, and rest between them."""

from __future__ import annotations

import pytest

from newswire.errors import Unavailable
from newswire.web.turn import Turn


def test_a_batch_whose_turn_does_not_come_is_told_that_nothing_was_stored() -> None:
    turn = Turn(0.0, 0.0)
    with turn, pytest.raises(Unavailable, match="nothing was stored"), turn:
        pass
    with turn:
        pass  # it was given back


@pytest.mark.parametrize(
    ("takes", "later", "rests"), [(0.25, 0.0, [0.25]), (0.25, 0.125, [0.125]), (0.25, 1.0, []), (9.0, 0.0, [0.5])]
)
def test_it_rests_as_long_as_it_was_used_within_a_bound(takes: float, later: float, rests: list[float]) -> None:
    now, slept = [1.0], list[float]()
    turn = Turn(1.0, 0.5, lambda: now[0], slept.append)
    with turn:
        now[0] += takes
    now[0] += later
    with turn:
        pass
    assert slept == rests
