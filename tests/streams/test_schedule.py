"""When something is to be done next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.streams.schedule import NEVER, Schedule, rest_seconds, select_timeout


def drain(schedule: Schedule[str], now: float) -> set[str]:
    items = set()
    while (item := schedule.pop(now)) is not None:
        items.add(item)
    return items


def test_what_is_due_comes_once_and_not_before_its_time() -> None:
    schedule: Schedule[str] = Schedule(0.25)
    schedule.put("a", 5.0)
    schedule.put("b", 5.1)
    assert schedule.next_due == 5.0
    assert drain(schedule, 4.99) == set()
    assert drain(schedule, 5.0) == {"a"}
    assert schedule.next_due == 5.25
    assert drain(schedule, 5.25) == {"b"}
    assert (drain(schedule, 100.0), schedule.next_due, len(schedule)) == (set(), NEVER, 0)


def test_another_time_replaces_the_first() -> None:
    schedule: Schedule[str] = Schedule(0.25)
    schedule.put("a", 5.0)
    schedule.put("a", 9.0)
    assert drain(schedule, 8.0) == set()
    assert drain(schedule, 9.0) == {"a"}


def test_what_was_removed_does_not_come() -> None:
    schedule: Schedule[str] = Schedule(0.25)
    schedule.put("a", 5.0)
    schedule.remove("a")
    schedule.remove("a")
    assert (drain(schedule, 9.0), len(schedule)) == (set(), 0)


def test_what_is_not_popped_this_time_comes_the_next_time() -> None:
    schedule: Schedule[str] = Schedule(0.25)
    for name in "abc":
        schedule.put(name, 5.0)
    first = schedule.pop(6.0)
    assert first is not None
    assert {first, *drain(schedule, 6.0)} == {"a", "b", "c"}


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.floats(0, 50)), max_size=40))
def test_nothing_is_early_lost_or_more_than_a_slot_late(steps: list[tuple[int, float | None]]) -> None:
    schedule: Schedule[int] = Schedule(0.5)
    dues: dict[int, float] = {}
    for item, due in steps:
        if due is None:
            schedule.remove(item)
            dues.pop(item, None)
        else:
            schedule.put(item, due)
            dues[item] = due
    now = 0.0
    while dues:
        assert schedule.next_due <= max(min(dues.values()) + 0.5, now)
        now += 0.1
        while (popped := schedule.pop(now)) is not None:
            assert now - 0.6 - 1e-6 <= dues.pop(popped) <= now
        assert all(due > now - 0.5 for due in dues.values())


def test_the_hub_waits_for_what_is_due_first_and_never_longer_than_a_keepalive_takes() -> None:
    assert select_timeout(10.0) == limits.KEEPALIVE_SECONDS
    assert select_timeout(10.0, NEVER, NEVER) == limits.KEEPALIVE_SECONDS
    assert select_timeout(10.0, NEVER, 10.5, 12.0) == 0.5
    assert select_timeout(10.0, 3.0) == 0.0


def test_rest_is_as_long_as_work_but_no_message_waits_longer_than_told() -> None:
    assert rest_seconds(0.002, 0.0) == 0.002
    assert rest_seconds(0.5, 0.0) == limits.REST_SECONDS
    assert rest_seconds(0.5, 0.004) == pytest.approx(limits.REST_SECONDS - 0.004)
    assert rest_seconds(0.5, 3.0) == 0.0
