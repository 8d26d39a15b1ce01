"""Attempts: ten failures a minute for a name and from an address, and nobody locks out whose name it is."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.quotas.attempts import Attempts


def test_so_many_failures_from_an_address_whatever_the_name() -> None:
    attempts = Attempts(most=3, seconds=60)
    assert [attempts.begin(f"user{n}", "a", 100.0 + n) for n in range(4)] == [0, 0, 0, 57]
    assert attempts.begin("user9", "b", 103.0) == 0
    assert attempts.begin("user9", "a", 160.0) == 0  # the first was a minute ago
    assert attempts.begin("user9", "a", 160.0) == 1


def test_so_many_failures_for_a_name_but_its_owner_gets_in() -> None:
    attempts = Attempts(most=3, seconds=60)
    assert [attempts.begin("ann", address, 100.0) for address in "abc"] == [0, 0, 0]
    assert attempts.begin("ann", "a", 101.0) == 59
    assert attempts.begin("ann", "home", 101.0) == 0  # has not failed
    attempts.take_back("ann", "home")
    assert attempts.begin("ann", "home", 102.0) == 0
    assert attempts.begin("ann", "home", 103.0) > 0  # now it has
    assert attempts.begin("ben", "home", 103.0) == 0


def test_a_name_has_so_many_from_everywhere_and_who_signed_in_before_counts_alone() -> None:
    attempts = Attempts(most=3, seconds=60, most_of_name=6)
    attempts.begin("ann", "home", 50.0)
    attempts.went_well("ann", "home", 50.0)
    outcomes = [attempts.begin("ann", f"a{n}", 100.0) for n in range(1_000)]
    assert [wait == 0 for wait in outcomes].count(True) == 6
    assert attempts.wait("ann", "elsewhere", 101.0) == 59
    assert attempts.begin("ben", "elsewhere", 101.0) == 0
    assert [attempts.begin("ann", "home", 101.0 + n) == 0 for n in range(4)] == [True] * 3 + [False]
    assert attempts.begin("ann", "elsewhere", 161.0) == 0, "what failed at home is not counted for the name"
    attempts = Attempts(most=3, seconds=60, most_of_name=3)
    attempts.went_well("ann", "home", 0.0)
    later = limits.TRUSTED_SOURCE_SECONDS
    assert [attempts.begin("ann", address, later) for address in "abc"] == [0, 0, 0]
    assert attempts.begin("ann", "home", later) > 0, "that was a month ago"


def test_a_clock_that_was_ahead_and_is_set_back_keeps_nobody_out() -> None:
    """Failures of a day to come are none of the last minute: else who has had ten since then waits until that day."""
    attempts, ahead = Attempts(most=3, seconds=60), 100.0 + 365 * 86_400
    assert [attempts.begin("ann", "office", ahead) for _ in range(4)] == [0, 0, 0, 60]
    assert attempts.wait("ann", "office", 100.0) == 0
    assert [attempts.begin("ann", "office", 100.0 + n) for n in range(4)] == [0, 0, 0, 57]
    assert attempts.begin("ann", "office", 160.0) == 0
    attempts.begin("ben", "home", ahead)
    attempts.begin("ann", "office", 161.0)
    attempts.begin("eve", "cafe", 500.0)
    assert len(attempts) == 1, "they are forgotten, too"


def test_what_went_well_is_not_counted() -> None:
    attempts = Attempts(most=2, seconds=60)
    for second in range(100):
        assert attempts.begin("ann", "a", 100.0 + second / 10) == 0
        attempts.went_well("ann", "a", 100.0 + second / 10)


def test_it_counts_what_has_begun() -> None:
    attempts = Attempts(most=10, seconds=60)
    assert [attempts.begin("ann", "a", 100.0) > 0 for _ in range(100)].count(False) == 10


def test_taking_back_what_was_forgotten_does_nothing() -> None:
    Attempts().take_back("ann", "a")


def test_strangers_without_number_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RATE_CALLERS_COUNT", 10)
    attempts = Attempts()
    for number in range(100):
        attempts.begin(f"u{number}", f"a{number}", 1.0)
        attempts.went_well(f"t{number}", f"t{number}", 1.0)
    assert len(attempts) <= 10
    assert len(attempts._trusted) <= 10
    attempts.begin("later", "elsewhere", 100.0)
    assert len(attempts) == 1  # what was a minute ago is forgotten
