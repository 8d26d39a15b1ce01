"""Clients of this process that wait as long as a test does: a call ends by what that does, not by how slow the machine is."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.client.pool import BrokerPool
from newswire.core import limits
from tests.kit.client_fakes import FakeTime
from tests.kit.waiting import PATIENCE_SECONDS


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each try of a call last as long as a test waits. A test that ends one by time says so."""
    for name in ("CONNECT", "TRY", "BATCH_TRY", "SIDE"):
        monkeypatch.setattr(limits, f"CLIENT_{name}_SECONDS", PATIENCE_SECONDS)
    for function, name in ((BrokerPool.__init__, "timeout"), (BrokerPool.request, "try_seconds")):
        given = defaults_of(function)
        assert given[name] < PATIENCE_SECONDS
        monkeypatch.setitem(given, name, PATIENCE_SECONDS)


def pass_time_by_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the time of all tries of a call be over when so much of it was slept, which takes none."""
    time = FakeTime()
    monkeypatch.setitem(defaults_of(BrokerPool.__init__), "clock", time.clock)
    monkeypatch.setitem(defaults_of(BrokerPool.__init__), "sleep", time.sleep)


def defaults_of(function: Any) -> dict[str, Any]:
    """What a function takes for an argument that is given by name, and left out."""
    given: dict[str, Any] = function.__kwdefaults__
    return given
