"""Whose page is next."""

from __future__ import annotations

from newswire.core import limits
from newswire.streams.rounds import Rounds
from tests.kit.stream_fakes import Clock


def run(rounds: Rounds[str]) -> list[str]:
    return list(rounds.turns())


def test_live_ones_go_first_and_each_has_one_turn() -> None:
    rounds: Rounds[str] = Rounds(Clock())
    rounds.put_catching_up("behind")
    rounds.put_live(["a"])
    rounds.put_live(["b"])
    rounds.put_live(["a"])
    rounds.put_live(["behind"])
    assert run(rounds) == ["a", "b", "behind"]
    assert not rounds


def test_those_that_catch_up_wait_when_the_time_of_a_round_is_over() -> None:
    rounds: Rounds[str] = Rounds(Clock(limits.ROUND_SECONDS))
    for name in "xyz":
        rounds.put_catching_up(name)
    rounds.put_live(["a"])
    assert run(rounds) == ["a", "x"]
    assert (bool(rounds), rounds.has_catching_up) == (True, True)
    assert run(rounds) == ["y"]
    assert run(rounds) == ["z"]


def test_who_is_put_during_a_round_waits_for_the_next() -> None:
    rounds: Rounds[str] = Rounds(Clock())
    rounds.put_live(["a"])
    turns: list[str] = []
    for member in rounds.turns():
        turns.append(member)
        rounds.put_live(["late"])
        rounds.put_catching_up(member)
    assert turns == ["a", "a"]  # as a live one, and as one that catches up
    rounds.remove("a")
    assert run(rounds) == ["late"]


def test_who_is_removed_has_no_turn() -> None:
    rounds: Rounds[str] = Rounds(Clock())
    for name in "ab":
        rounds.put_catching_up(name)
    turns: list[str] = []
    for member in rounds.turns():
        turns.append(member)
        rounds.remove("b")
    assert turns == ["a"]
