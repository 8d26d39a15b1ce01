"""One ring for all that comes while the loop sleeps, and none after the end."""

from __future__ import annotations

from newswire.listener.bell import Bell


def test_it_rings_once_until_it_is_heard_and_never_after_the_end() -> None:
    pulls: list[int] = []
    bell = Bell()
    for number in range(3):
        bell.ring(lambda number=number: pulls.append(number))  # type: ignore[misc]
    assert pulls == [0]
    bell.heard()
    bell.ring(lambda: pulls.append(3))
    assert pulls == [0, 3]
    bell.heard()
    bell.end()
    bell.ring(lambda: pulls.append(4))
    assert pulls == [0, 3]
