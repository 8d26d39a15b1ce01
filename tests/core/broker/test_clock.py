"""Clocks that are set: stamps that go back and forth, what retention believes, what is told (docs/rules.md, CLOCK)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.broker.clock import Clocks, RetentionClock, WallClock, lived_until, newest_stamp
from newswire.core.broker.clock import start_of_clock as _start_of_clock
from newswire.core.broker.events import Now
from newswire.core.broker.stager import Stager
from newswire.core.broker.values import Identity
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Began, Joined, Left, Published, Void
from newswire.core.state.fold import State
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork

ONE, TWO = "127.0.0.1:1", "127.0.0.1:2"
HOUR = 3_600_000
DAY = 24 * HOUR
YEARS = 3_650 * DAY
NOON = 20_000 * DAY


def state_of(*stamps: tuple[str, int], follows: bool = True) -> State:
    """A log of ops: (origin, time stamp). `follows`: each run begins on what stands before it."""
    state = State()
    for origin, time in stamps:
        sequence = state.log.held(origin) + 1
        op = (
            Published(origin, sequence, time, topic="news", data="x")
            if sequence > 1
            else Began(origin, 1, time, origin[:4], dict(state.vector) if follows else {})
        )
        state.apply(op, 0, 0, None)
    return state


def hourly(origin: str, start: int, hours: int) -> list[tuple[str, int]]:
    return [(origin, start + hour * HOUR) for hour in range(hours)]


def start_of_clock(state: State, wall: int) -> int:
    return _start_of_clock(state, "1001", wall, lived_until(state))


# -- stamps -------------------------------------------------------------------------------------------------------
def test_a_stamp_follows_the_clock_back() -> None:
    state = State()
    state.apply(Began("1001-a", 1, NOON, "1001"), 0, 1, None)
    intake = Stager(state, "1001-a", 10)
    for wall in (NOON + YEARS, NOON, -5):
        intake.decide([Publish("news", "x")], wall)
    assert [op.time for op in intake.staged] == [NOON + YEARS, NOON, 0]
    assert [op.sequence for op in intake.staged] == [2, 3, 4]


def test_the_topic_s_last_time_is_that_of_its_newest_message() -> None:
    state = state_of(("1001-a", NOON), ("1001-a", NOON + YEARS), ("1001-a", NOON + 5))
    assert state.messages.last(1, NOON + YEARS) == NOON + 5


# -- from a time --------------------------------------------------------------------------------------------------
def test_from_a_time_begins_at_the_first_stamp_of_then_or_later() -> None:
    log = state_of(*(("1001-a", time) for time in (10, 20, 30, 5, 20, 40))).log
    assert [log.before(time).get("1001-a", 0) for time in (5, 11, 21, 31, 41)] == [0, 1, 2, 5, 6]


def test_from_a_time_is_deaf_to_stamps_from_the_future() -> None:
    log = state_of(*(("1001-a", time) for time in (10, 9_000, 20, 30))).log
    assert log.before(15, 100) == {"1001-a": 1}, "it was taken after 10, perhaps after 15"
    assert log.before(25, 100) == {"1001-a": 3}
    assert log.before(35, 100) == {"1001-a": 4}
    log = state_of(*(("1001-a", time) for time in (10, 20, 9_000, 9_001))).log
    assert log.before(50, 100) == {"1001-a": 2}


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 35), st.integers(0, 40))
def test_from_a_time_leaves_out_nothing_that_may_be_later(times: list[int], time: int, now: int) -> None:
    state = State()
    state.apply(Began("1001-a", 1, times[0], "1001", {}), 0, 0, None)
    ops = [(Published("1001-a", at, stamp, topic="news", data="x"), 0, 0) for at, stamp in enumerate(times[1:], 2)]
    state.replay(ops[: len(ops) // 2])
    for op in ops[len(ops) // 2 :]:
        state.apply(*op, None)
    count = state.log.before(time, now).get("1001-a", 0)
    first = next((at for at, stamp in enumerate(times) if time <= stamp <= now), len(times))
    assert all(stamp < time or stamp > now for stamp in times[:count])
    assert count <= first
    assert all(stamp > now for stamp in times[count:first]), "only what is from the future goes along"
    assert count == 0 or times[count - 1] <= now


# -- retention's clock --------------------------------------------------------------------------------------------
def test_retention_s_clock_takes_the_smaller_step() -> None:
    clock = RetentionClock(1_000, 0, 5_000, 10.0)
    assert clock.advance(5_000 + 10_000_000, 11.0) == 2_000, "the wall clock jumped ahead"
    assert clock.advance(5_000, 12.0) == 2_000, "and back"
    assert clock.advance(5_500, 100.0) == 2_500, "the process was stopped meanwhile"


def test_retention_comes_to_a_clock_that_has_run_steadily_for_a_week() -> None:
    clock, wall = RetentionClock(NOON, NOON, NOON, 0.0), NOON + YEARS
    assert clock.advance(wall, 1.0) == NOON + 1_000
    for hour in range(7 * 24):
        now = clock.advance(wall + hour * HOUR, 1.0 + hour * 3_600)
        assert now == NOON + 1_000 + hour * HOUR
    assert clock.advance(wall + 7 * DAY, 1.0 + 7 * 86_400) == wall + 7 * DAY


def test_not_while_it_is_set_again_or_others_disagree() -> None:
    for agreed, jumps in ((False, 0), (True, 2 * HOUR)):
        clock = RetentionClock(NOON, NOON, NOON + YEARS, 0.0)
        for hour in range(30 * 24):
            now = clock.advance(NOON + YEARS + hour * HOUR + jumps * (hour // 100), hour * 3_600.0, agreed=agreed)
            assert now <= NOON + hour * HOUR


def test_a_run_begins_no_later_than_any_member_s_newest_stamp() -> None:
    assert start_of_clock(State(), 77) == 77
    state = state_of(("1001-a", NOON + 9), ("1002-b", NOON), ("1002-b", NOON + 5))
    assert start_of_clock(state, NOON + DAY) == NOON + 5
    assert start_of_clock(state, NOON - 40) == NOON - 40
    state.apply(Joined("1001-a", 2, NOON + 9, "1001", "h:1"), 0, 0, None)
    assert start_of_clock(state, NOON + DAY) == NOON + 9, "1002 is no member"
    assert _start_of_clock(state, "1002", NOON + DAY, lived_until(state)) == NOON + 5, "1002 comes back"


def test_a_broker_with_a_new_disk_goes_by_what_it_is_handed() -> None:
    """The clock of the broker that made the oldest messages of the log was years behind: they are not old."""
    handed = state_of(("1002-a", NOON - YEARS), ("1002-a", NOON), ("1001-a", NOON))
    handed.apply(Joined("1002-a", 3, NOON, "1002", "h:1"), 0, 0, None)
    for trusts in (False, True):
        me = Identity("1001", "h:2", "1001-b", trust_clock=trusts)
        clocks = Clocks()
        clocks.start(me, State(), Now(5.0, NOON + HOUR))
        assert clocks.retention == NOON + HOUR
        assert not clocks.has_met
        clocks.meet(me, handed)
        assert clocks.has_met
        assert clocks.retention == (NOON + HOUR if trusts else NOON - YEARS + HOUR)
        clocks.part()
        assert not clocks.has_met, "who serves no more may be handed what he knows nothing of"


def test_a_step_of_every_clock_does_not_count_until_it_has_lasted() -> None:
    """All brokers start ten years ahead, and start again: what they stamped meanwhile is no proof."""
    before = [*hourly("1001-a", NOON, 300), *hourly("1002-a", NOON, 300)]
    later = NOON + 300 * HOUR + YEARS
    for hours, trusted in ((1, False), (100, False), (7 * 24 + 2, True)):
        state = state_of(*before, *hourly("1001-b", later, hours), *hourly("1002-b", later, hours))
        start = start_of_clock(state, later + hours * HOUR)
        assert (start >= later) == trusted
        assert start <= NOON + (301 + hours) * HOUR or trusted
        assert set(lived_until(state).values()) == {start}


def test_a_clock_that_was_ahead_and_is_right_again_leaves_no_trace() -> None:
    stamps = [*hourly("1001-a", NOON, 10), *hourly("1001-a", NOON + YEARS, 10), *hourly("1001-a", NOON + 20 * HOUR, 10)]
    state = state_of(*stamps)
    assert abs(start_of_clock(state, NOON + DAY * 9) - (NOON + 30 * HOUR)) <= 3 * HOUR


def test_a_run_that_was_lost_and_fetched_again_makes_up_for_no_step_of_a_later_one() -> None:
    """A disk lost the first run, the clock was years ahead in the second, and the first came back: it stands behind it."""
    in_order = [("1001-a", NOON), ("1001-a", NOON + 1), ("1001-b", NOON + YEARS), ("1001-b", NOON + YEARS + 1)]
    assert lived_until(state_of(*in_order)) == {"1001": NOON + HOUR + 2}
    fetched = [*in_order[2:], *in_order[:2], ("1001-c", NOON + YEARS + 5)]
    assert lived_until(state_of(*fetched, follows=False))["1001"] < NOON + 2 * HOUR


def test_a_broker_that_was_off_for_a_month_holds_what_it_held_for_a_week_more() -> None:
    start = NOON + 40 * DAY
    state = state_of(*hourly("1001-a", NOON, 10), *hourly("1001-b", start, 2))
    assert start_of_clock(state, start + DAY) == NOON + 11 * HOUR
    state = state_of(*hourly("1001-a", NOON, 10), *hourly("1001-b", start, 8 * 24))
    assert start_of_clock(state, start + 9 * DAY) == start + (8 * 24 - 1) * HOUR


def test_a_broker_whose_ops_were_left_out_has_lived_through_what_it_did() -> None:
    """A log that is compacted each day has a void for each: as steps they would hold retention's clock back for months."""
    state = State()
    state.apply(Began("1002-a", 1, NOON, "1002", {}), 0, 0, None)
    for day in range(40):
        last = state.log.held("1002-a")
        state.apply(Void("1002-a", last + 144, NOON + (day + 1) * DAY, first=last + 1), 0, 0, None)
    assert lived_until(state) == {"1002": NOON + 40 * DAY}
    state.apply(Void("1002-a", last + 200_000, NOON + YEARS, first=last + 145), 0, 0, None)
    assert lived_until(state)["1002"] <= NOON + 42 * DAY, "a clock that was set is one, however many ops a void stands for"


def test_a_broker_that_nobody_uses_holds_no_clock_back_though_all_start_again_each_day() -> None:
    """Retention's clock comes to the wall clock after a week without a start: in between it goes by what all have stamped."""
    seconds = 0.0
    network, logs = MemoryNetwork(), [MemoryLog(), MemoryLog()]
    engines: list[MemoryEngine] = []

    def now() -> Now:
        return Now(seconds, NOON + int(seconds * 1_000))

    for _ in range(30):
        for engine in engines:
            engine.close()
        engines = [
            MemoryEngine("1001", address=ONE, peers=(TWO,), primary=True, network=network, log=logs[0], clock=now),
            MemoryEngine("1002", address=TWO, peers=(ONE,), network=network, log=logs[1], clock=now),
        ]
        for _ in range(48):
            seconds += 1_800
            for engine in engines:
                engine.tick()
            engines[0].submit([Publish("news", "x")])
    assert engines[0].shell.broker.clocks.retention_behind < 2 * HOUR


def test_many_ops_are_looked_at_in_blocks() -> None:
    times = [NOON + second * 1_000 for second in range(3_000)] + [NOON + YEARS + second * 1_000 for second in range(3_000)]
    state = state_of(*(("1001-a", time) for time in times))
    assert lived_until(state) == {"1001": NOON + 2_999_000 + HOUR + 2_999_000}


# -- what is told -------------------------------------------------------------------------------------------------
def test_a_clock_that_is_set_is_told_for_an_hour() -> None:
    clock = WallClock(NOON, 10.0, NOON - 5)
    assert clock.last_jump(10.0) == 0
    clock.note(NOON + 1_000, 11.0)
    assert clock.last_jump(11.0) == 0
    clock.note(NOON + YEARS, 12.0)
    assert clock.last_jump(12.0) == YEARS - 2_000
    clock.note(NOON + YEARS + HOUR - 1_000, 12.0 + 3_599)
    assert clock.last_jump(12.0 + 3_599) > 0
    assert clock.last_jump(12.0 + 3_600) == 0


def test_a_clock_behind_what_this_broker_has_stamped_is_told_at_a_start() -> None:
    state = state_of(("1001-a", NOON), ("1002-a", NOON + YEARS))
    assert newest_stamp(state, "1001") == NOON
    assert newest_stamp(state, "1003") == 0
    assert WallClock(NOON - DAY, 10.0, newest_stamp(state, "1001")).last_jump(10.0) == -DAY
    assert WallClock(NOON - 59_000, 10.0, NOON).last_jump(10.0) == 0


def test_clocks_that_differ_are_told_before_brokers_refuse_each_other() -> None:
    assert limits.CLOCK_APART_SECONDS < limits.CLOCK_SKEW_SECONDS


def test_a_clock_that_is_read_often_loses_nothing_to_rounding() -> None:
    clock = RetentionClock(start=0, latest=0, wall=0, clock=0.0)
    for tick in range(1, 20_001):
        at = tick * 0.05037
        clock.advance(int(at * 1000), at)
    assert 20_000 * 50.37 - 5 <= clock.lasted == clock.now <= 20_000 * 50.37


# -- a clock that was ahead ---------------------------------------------------------------------------------------
def test_retention_s_clock_goes_back_with_the_wall_clock_and_what_has_passed_does_not() -> None:
    clock = RetentionClock(NOON + YEARS, 0, NOON + YEARS, 0.0)
    clock.advance(NOON + YEARS + 5_000, 5.0)
    assert clock.advance(NOON + 6_000, 6.0) == NOON + 6_000
    assert clock.lasted == 5_000
    assert clock.advance(NOON + 7_000, 7.0) == NOON + 7_000
    assert clock.lasted == 6_000


def test_what_may_be_the_time_at_most_comes_down_when_all_clocks_have_agreed_for_a_week() -> None:
    clock = RetentionClock(NOON, NOON + YEARS, NOON, 0.0)
    for day in range(7):
        clock.advance(NOON + day * DAY, day * 86_400.0)
        assert clock.latest >= NOON + YEARS
    clock.advance(NOON + 7 * DAY, 7 * 86_400.0)
    assert clock.latest == NOON + 7 * DAY


def test_nobody_asks_a_broker_that_was_removed_what_the_time_may_be() -> None:
    state = state_of(("1001-a", NOON), ("1003-a", NOON + YEARS))
    for sequence, broker in ((2, "1001"), (3, "1003")):
        state.apply(Joined("1001-a", sequence, NOON, broker, "h:1"), 0, 0, None)
    for gone, latest in ((False, NOON + YEARS), (True, NOON)):
        if gone:
            state.apply(Left("1001-a", 4, NOON, "1003", ("1001-a.3",)), 0, 0, None)
        clocks = Clocks()
        clocks.start(Identity("1001", ONE, "1001-b"), state, Now(0.0, NOON + DAY))
        assert clocks.latest == latest
