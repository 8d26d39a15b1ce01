"""The smallest engine: whose thread does what, and its end. What it answers: tests/contract/test_alone.py."""

from __future__ import annotations

import pytest

from newswire.core.broker.events import Now
from newswire.core.model.commands import Publish
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryLog
from newswire.errors import NotStored


@pytest.fixture
def lone() -> LoneEngine:
    return LoneEngine(MemoryLog(), lambda: Now(0.0, 1_700_000_000_000))


def test_what_is_asked_for_by_who_is_told_happens_when_that_is_over(lone: LoneEngine) -> None:
    counts: list[int] = []

    def then(result: object) -> None:
        lone.post([Publish("news", "second")])
        counts.append(lone.shell.read(lambda state: len(state.log)))

    lone.submit_later([Publish("news", "first")], then)
    assert counts == [2], "its `began`, and the first"
    assert lone.shell.read(lambda state: len(state.log)) == 3


def test_a_fault_of_who_is_told_is_none_of_the_engine(lone: LoneEngine) -> None:
    def then(result: object) -> None:
        raise ZeroDivisionError

    lone.submit_later([Publish("news", "first")], then)
    assert lone.submit([Publish("news", "second")]).copies == 1


def test_one_that_is_closed_takes_nothing(lone: LoneEngine) -> None:
    lone.close()
    with pytest.raises(NotStored, match="has stopped"):
        lone.submit([Publish("news", "late")])


def test_another_goes_on_from_what_it_wrote(lone: LoneEngine) -> None:
    lone.submit([Publish("news", "first", key="k")])
    again = LoneEngine(lone.log, lambda: Now(0.0, 1_700_000_000_000), run="r2")
    assert again.submit([Publish("news", "first", key="k")]).duplicates == 1
