"""A disk that is slow, low, or full soon: told when it begins and when it ends, counted, never each time."""

from __future__ import annotations

from newswire.core.model import conditions
from newswire.core.model.conditions import condition_of
from newswire.engine.disk_watch import DiskWatch

MIB = 2**20
RESERVE = 16 * MIB


def codes(watch: DiskWatch, clock: float = 0.0) -> list[str]:
    return [found.code for one in watch.reasons(clock) if (found := condition_of(one))]


def test_no_disk_is_no_matter() -> None:
    watch = DiskWatch(RESERVE)
    assert watch.facts is None
    assert watch.reasons(0.0) == []


def test_a_slow_sync_is_told_with_the_longest_until_there_was_none_for_a_minute() -> None:
    watch = DiskWatch(RESERVE)
    watch.note_sync(0.99, 10.0)
    assert watch.reasons(10.0) == []
    for seconds, clock in ((1.0, 20.0), (3.21, 50.0), (1.5, 70.0)):
        watch.note_sync(seconds, clock)
    assert watch.reasons(129.0) == [conditions.DISK_SLOW.say(count=3, longest="3.2")]
    assert watch.reasons(130.0) == []
    watch.note_sync(1.0, 200.0)
    assert watch.reasons(200.0) == [conditions.DISK_SLOW.say(count=1, longest="1.0")], "what was slow before is told"
    assert watch.slow_syncs == 4


def test_room_that_goes_up_and_down_about_the_bound_is_told_once() -> None:
    watch, said = DiskWatch(RESERVE), []
    for free in (129, 127, 129, 127, 143, 127, 145, 129, 127):
        assert watch.look(free * MIB, 1024 * MIB, 0.0)
        said.append(codes(watch) == ["disk-low"])
    assert said == [False, True, True, True, True, True, False, False, True]


def test_a_full_disk_is_the_cores_to_say() -> None:
    watch = DiskWatch(RESERVE)
    assert watch.look(RESERVE + 1, 0, 0.0)
    assert codes(watch) == ["disk-low"]
    assert not watch.look(RESERVE, 0, 1.0)
    assert codes(watch) == []


def test_room_is_made_while_half_of_the_log_can_still_be_written_beside_it() -> None:
    watch = DiskWatch(RESERVE)
    seen = []
    for free, size in ((1000, 0), (116, 200), (115, 200), (16, 0), (15, 0)):
        watch.look(free * MIB, size * MIB, 0.0)
        seen.append(watch.wants_room)
    assert seen == [False, False, True, False, True]


def test_near_the_reserve_room_has_to_be_looked_at_all_the_time() -> None:
    watch = DiskWatch(RESERVE)
    seen = []
    for free in (128, 127, 16, 1000):
        watch.look(free * MIB, 0, 0.0)
        seen.append(watch.is_near)
    assert seen == [False, True, True, False]


def test_a_larger_reserve_is_low_earlier() -> None:
    watch = DiskWatch(1024 * MIB)
    watch.look(2047 * MIB, 10_000 * MIB, 0.0)
    assert watch.reasons(0.0) == [conditions.DISK_LOW.say(room="2047 MiB", reserve="1024 MiB")]


def test_a_small_disk_is_low_when_a_tenth_of_it_is_left_above_the_reserve() -> None:
    watch, said = DiskWatch(RESERVE), []
    for free in (64, 30, 23, 22, 17, 25, 26):
        assert watch.look(free * MIB, (64 - free) * MIB, 0.0)
        said.append(codes(watch) == ["disk-low"])
    assert said == [False, False, False, True, True, True, False]


def test_what_is_seen_is_told_as_numbers() -> None:
    watch = DiskWatch(RESERVE)
    watch.look(300 * MIB, 5, 1.0)
    facts = watch.facts
    assert facts is not None
    assert (facts.free_bytes, facts.reserve_bytes, facts.log_bytes) == (300 * MIB, RESERVE, 5)
