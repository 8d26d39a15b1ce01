"""Waiting for what is told later."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from newswire.engine.waiting import wait_for
from newswire.errors import NewswireError, NotFound, Unknown
from tests.kit.waiting import PATIENCE_SECONDS

LATE = Unknown("no answer in time")


def test_what_is_told_is_returned_and_an_error_raised() -> None:
    def tell(then: Callable[[str | NewswireError], None]) -> None:
        threading.Thread(target=then, args=("told",)).start()

    def refuse(then: Callable[[str | NewswireError], None]) -> None:
        then(NotFound("nothing there"))

    assert wait_for(tell, PATIENCE_SECONDS, LATE) == "told"
    with pytest.raises(NotFound):
        wait_for(refuse, PATIENCE_SECONDS, LATE)


def test_who_waits_too_long_is_told_so_and_what_comes_then_is_dropped() -> None:
    thens: list[Callable[[str | NewswireError], None]] = []
    with pytest.raises(Unknown):
        wait_for(thens.append, 0.0, LATE)
    thens[0]("late")
