"""scripts/jitter: a race that is planted is found, the same seeds find it again, and what failed is told with its seeds."""

from __future__ import annotations

import sys
import threading

import pytest

import jitter
from tests.kit.pauses import Pauses
from tests.kit.waiting import PATIENCE_SECONDS


def note(came: list[int]) -> None:
    came.append(1)


def is_found(seed: int) -> bool:
    """Whether a test that counts on its thread having noted something would see that it has not."""
    came: list[int] = []
    stands, has_looked = threading.Event(), threading.Event()

    def run() -> None:
        note(came)
        stands.set()

    def sleep(seconds: float) -> None:
        """A pause of the thread lasts until the test has looked."""
        if threading.current_thread() is thread:
            stands.set()
            assert has_looked.wait(PATIENCE_SECONDS)

    pauses, thread = Pauses(seed, sleep), threading.Thread(target=run)
    pauses.begin("planted")
    try:
        thread.start()
        assert stands.wait(PATIENCE_SECONDS)
        found = not came
    finally:
        pauses.end()
        has_looked.set()
        thread.join()
    return found


def test_a_planted_race_is_found_by_some_seeds_and_always_by_these() -> None:
    seeds = [seed for seed in range(100) if is_found(seed)]
    assert 0 < len(seeds) < 50
    assert all(is_found(seed) for seed in seeds)


def test_a_test_without_threads_is_left_alone() -> None:
    pauses = Pauses(1)
    pauses.begin("alone")
    assert sys.getprofile() is None
    pauses.end()
    assert pauses.count == 0


def test_what_failed_is_told_with_its_seeds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {4: ["a::x", "b::y"], 5: [], 6: ["a::x"]}
    asked: list[list[str]] = []

    def failures(seed: int, arguments: list[str]) -> tuple[list[str], int]:
        asked.append(arguments)
        return failed[seed], int(bool(failed[seed]))

    monkeypatch.setattr(jitter, "failures", failures)
    assert jitter.main(["--runs", "3", "--seed", "4", "tests/web", "-k", "x"]) == 1
    assert asked == [["tests/web", "-k", "x"]] * 3
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "a::x failed with seed 4, 6",
        "b::y failed with seed 4",
        "2 tests failed in 3 runs",
    ]
