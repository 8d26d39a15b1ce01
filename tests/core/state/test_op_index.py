"""The columns of the log: what was taken before a time, where a record lies."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.ops import Began, Published, Void
from newswire.core.model.vector import Vector
from newswire.core.state.fold import State
from newswire.core.state.op_index import OpIndex
from tests.kit.lines import lines_of


class Logged:
    """A state of many short runs."""

    def __init__(self) -> None:
        self.state = State()

    def begin(self, origin: str, time: int, vector: Vector | None = None) -> None:
        self.state.apply(Began(origin, 1, time, origin[:4], dict(vector or {})), 0, 1, None)

    def publish(self, origin: str, time: int, place: int = 0) -> None:
        self.state.apply(Published(origin, self.state.log.held(origin) + 1, time, topic="news", data="x"), place, 1, None)

    def compact(self, origin: str, count: int, time: int) -> None:
        """Hold the next `count` ops as a void."""
        first = self.state.log.held(origin) + 1
        self.state.log.add_void(Void(origin, first + count - 1, time, first=first), 0, 1)

    def publish_run(self, origin: str, times: list[int]) -> None:
        log, ones = self.state.log, [1] * len(times)
        log.add_run(origin, times, ones, ones, ones)

    def before(self, time: int, now: int) -> Vector:
        """Each record of each origin looked at."""
        log = self.state.log
        counts = {name: self._count_before(number, time, now) for number, name in enumerate(log.names)}
        return self.state.lineage.shorten({name: count for name, count in counts.items() if count})

    def _count_before(self, number: int, time: int, now: int) -> int:
        log, count = self.state.log, 0
        for origin, sequence, stamp in zip(log.origins, log.sequences, log.times, strict=True):
            if origin == number and stamp <= now:
                if stamp >= time:
                    return count
                count = sequence
        return count


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 60))
def test_what_was_taken_before_a_time_is_that_of_each_origin(seed: int, time: int, now: int) -> None:
    chance, logged = Random(seed), Logged()
    log = logged.state.log
    for step in range(chance.randint(1, 40)):
        stamp = max(0, step + chance.randint(-8, 8)) if chance.random() < 0.9 else 50
        if not log.names or chance.random() < 0.4:
            vector = {name: chance.randint(1, log.held(name)) for name in log.names if chance.random() < 0.5}
            logged.begin(f"1001-{step}", stamp, dict(log.vector) if chance.random() < 0.5 else vector)
        else:
            origin, kind = chance.choice(log.names), chance.random()
            if kind < 0.6:
                logged.publish(origin, stamp)
            elif kind < 0.75:
                logged.compact(origin, chance.randint(1, 4), stamp)
            elif kind < 0.9:
                logged.publish_run(origin, [max(0, stamp + chance.randint(-2, 2)) for _ in range(chance.randint(1, 4))])
            else:
                log.fill(origin, log.held(origin) + chance.randint(1, 3))  # given up
    assert log.before(time, now) == logged.before(time, now)


def chain(runs: int) -> Logged:
    logged = Logged()
    for run in range(runs):
        logged.begin(f"1001-{run}", 10 * run, logged.state.vector)
        logged.publish(f"1001-{run}", 10 * run + 5)
    return logged


@pytest.mark.parametrize("runs_since", [0, 5])
def test_a_time_does_not_cost_more_for_the_runs_that_later_ones_imply(runs_since: int) -> None:
    few, many = (
        lines_of(partial(chain(runs).state.log.before, 10 * (runs - runs_since) - 2, limits.TIME_MILLISECONDS))
        for runs in (1_200, 4_800)
    )
    assert many < 2 * few


@pytest.mark.parametrize("given_up", [False, True])
def test_a_time_does_not_cost_more_for_the_records_of_a_run_of_which_something_is_void(given_up: bool) -> None:
    few, many = (
        lines_of(partial(long_run(count, given_up=given_up).before, count // 2, 2 * count)) for count in (1_000, 16_000)
    )
    assert many < 2 * few


def long_run(count: int, *, given_up: bool) -> OpIndex:
    logged = Logged()
    logged.begin("1001-a", 0)
    logged.compact("1001-a", 5, 0)
    if given_up:
        logged.state.log.fill("1001-a", 8)
    logged.publish_run("1001-a", list(range(count)))
    return logged.state.log


def test_a_record_is_found_by_its_place_also_where_it_was_healed() -> None:
    logged = Logged()
    logged.begin("1001-a", 0)
    for place in (10, 20, 30, 40):
        logged.publish("1001-a", 0, place)
    log = logged.state.log
    assert [log.find_place(place) for place in (10, 40, 25, 50)] == [1, 4, None, None]
    log.places[2] = 60
    assert [log.find_place(place) for place in (60, 20, 30)] == [2, None, 3]


@given(st.integers(0, 10_000))
def test_what_a_broker_lacks_is_counted_as_the_log_grows(seed: int) -> None:
    chance, logged = Random(seed), chain(3)
    log = logged.state.log
    held = [logged.state.lineage.expand({name: chance.randint(1, log.held(name))}) for name in log.names]
    for step in range(20):
        if chance.random() < 0.2:
            logged.begin(f"1002-{step}", step, log.vector)
        else:
            logged.publish(chance.choice(log.names), step)
        for holds in chance.sample(held, 2):
            assert log.count_lacking(holds) == sum(log.held(name) - holds.get(name) for name in log.names)


def test_what_a_broker_that_is_away_lacks_costs_what_came_since() -> None:
    logged = chain(2_000)
    log, holds = logged.state.log, logged.state.lineage.expand({"1001-0": 1})
    before = lines_of(partial(log.count_lacking, holds))
    logged.publish("1001-1999", 0)
    assert lines_of(partial(log.count_lacking, holds)) < before / 100
