"""Some topics of a stream: what is shown, and what of it counts as delivered."""

from __future__ import annotations

import threading

from newswire.cli.chosen_topics import ChosenTopics, Cursors
from newswire.errors import NoBroker
from tests.kit.waiting import wait_until


def test_what_counts_are_subscriptions_that_are_wholly_chosen() -> None:
    chosen = ChosenTopics(["team.*", "kitchen"], ["team.red", "team.>", "kitchen", "garden", ">"])
    assert chosen.whole == ("team.red", "kitchen")
    assert chosen.parts == ("team.>", ">")
    assert chosen.subscriptions_to("team.red") == ["team.red"]
    assert chosen.subscriptions_to("team.blue") == []
    assert (chosen.cover("team.blue"), chosen.cover("team.blue.one"), chosen.cover("garden")) == (True, False, False)
    assert ChosenTopics([], ["kitchen"]).cover("anything")


def test_cursors_move_while_and_when_it_ends_and_a_failure_is_tried_again() -> None:
    moves: list[tuple[str, str]] = []
    fails = threading.Event()
    fails.set()

    def acknowledge(event_id: str, subscription: str) -> None:
        moves.append((event_id, subscription))
        if fails.is_set():
            raise NoBroker("none is there")

    with Cursors(acknowledge, every=0.001) as cursors:
        cursors.move("e1", ["kitchen"])
        wait_until(lambda: len(moves) > 1)
        fails.clear()
    assert set(moves) == {("e1", "kitchen")}
    with Cursors(acknowledge, every=3_600.0) as cursors:
        cursors.move("e2", ["kitchen", "garden"])
        cursors.move("e3", ["kitchen"])
        cursors.move("e4", [])
    assert moves[-2:] == [("e3", "kitchen"), ("e2", "garden")]
