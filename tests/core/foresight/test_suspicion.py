"""Phi: nothing while a peer is as it always was, much when it is silent for longer, and again nothing."""

from __future__ import annotations

import math

import pytest

from newswire.core.foresight.suspicion import SUSPICIOUS, Suspicion, Waits

HEARTBEAT = 5.0


def met(minutes: float = 10, answer: float = 0.004) -> tuple[Suspicion, float]:
    """A peer that was heard of each heartbeat and answers at once; and the time."""
    suspicion, clock = Suspicion(HEARTBEAT), 0.0
    suspicion.look(clock)
    for _ in range(int(minutes * 60 / HEARTBEAT)):
        suspicion.ask(clock)
        clock += answer
        suspicion.answer(clock)
        suspicion.hear(clock)
        clock = wait(suspicion, clock, HEARTBEAT - answer)
    return suspicion, clock


def wait(suspicion: Suspicion, clock: float, seconds: float) -> float:
    """Let time pass, and look on as the core does; what time it is then."""
    end = clock + seconds
    while clock + 0.05 < end:
        clock += 0.05
        suspicion.look(clock)
    return end


@pytest.mark.parametrize(("deviations", "tail"), [(0, 0.5), (1, 0.1587), (2, 0.02275), (3, 0.00135), (5, 2.87e-7)])
def test_it_is_the_tail_of_the_normal_distribution(deviations: float, tail: float) -> None:
    waits = Waits()
    for at in range(100):
        waits.note(10 + (1 if at % 2 else -1))  # 10, give or take 1
    assert waits.phi(10 + deviations) == pytest.approx(-math.log10(tail), abs=0.05)
    assert waits.phi(0) == pytest.approx(0, abs=0.01)
    assert waits.phi(10_000) == 99


def test_a_few_say_nothing() -> None:
    waits = Waits()
    for _ in range(11):
        waits.note(1)
    assert waits.phi(1_000) == 0


def test_only_the_last_two_hundred_count() -> None:
    waits = Waits()
    for seconds in [100.0] * 200 + [1.0] * 200:
        waits.note(seconds)
    assert waits.mean == pytest.approx(1)
    assert waits.phi(3) > SUSPICIOUS


def test_a_peer_that_is_as_always_is_not_suspicious() -> None:
    assert met()[0].phi < 1.5


def test_an_answer_that_is_late_is_suspicious_long_before_the_push_times_out() -> None:
    suspicion, clock = met()
    suspicion.hear(clock)
    suspicion.ask(clock)
    clock = wait(suspicion, clock, 0.2)
    assert suspicion.phi < SUSPICIOUS
    wait(suspicion, clock, 0.7)
    assert suspicion.phi > SUSPICIOUS, "the core waits for two seconds"
    assert suspicion.seconds == pytest.approx(0.7, abs=0.3)
    assert suspicion.usual == pytest.approx(0.004, abs=0.001)


def test_silence_is_suspicious_only_beyond_a_heartbeat() -> None:
    suspicion, clock = met()
    for _ in range(100):  # it was busy: heard of all the time
        suspicion.hear(clock)
        clock = wait(suspicion, clock, 0.1)
    clock = wait(suspicion, clock, HEARTBEAT - 0.2)
    assert suspicion.phi < 1.5
    wait(suspicion, clock, 1.2)
    assert suspicion.phi > SUSPICIOUS


def test_who_is_late_now_and_then_is_less_suspicious() -> None:
    suspicion, clock = Suspicion(HEARTBEAT), 0.0
    for turn in range(100):
        suspicion.ask(clock)
        clock = wait(suspicion, clock, 1.0 if turn % 5 == 0 else 0.01)
        suspicion.answer(clock)
        clock = wait(suspicion, clock, 1)
    calm = suspicion.phi
    suspicion.ask(clock)
    wait(suspicion, clock, 1.0)
    assert max(calm, suspicion.phi) < SUSPICIOUS


def test_a_pause_of_this_process_is_nobodys_fault() -> None:
    suspicion, clock = met()
    suspicion.ask(clock)
    suspicion.look(clock + 1.5)
    assert suspicion.phi < 1.5


def test_who_is_down_is_not_waited_for_and_the_peak_passes() -> None:
    suspicion, clock = met()
    suspicion.ask(clock)
    clock = wait(suspicion, clock, 1.0)
    peak = suspicion.phi
    assert peak > SUSPICIOUS
    suspicion.lose()
    clock = wait(suspicion, clock, 30)
    assert suspicion.phi == peak, "for a minute"
    wait(suspicion, clock, 40)
    assert suspicion.phi == 0
