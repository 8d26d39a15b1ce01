"""What the tests of the command line share: a scripted broker that commands find, and how soon they give up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.fake_broker import Fake
from tests.kit.menu_programs import Pty
from tests.kit.patience import be_patient, pass_time_by_sleeping


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in the reader's zone: here it is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    made = Fake()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSWIRE_BROKERS", made.address)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _nobody_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon: for commands that find nobody who serves."""
    pass_time_by_sleeping(monkeypatch)


@pytest.fixture
def terminal() -> Iterator[Callable[[str], Pty]]:
    opened: list[Pty] = []

    def make(command: str) -> Pty:
        opened.append(Pty(command))
        return opened[-1]

    yield make
    for one in opened:
        if one.child.poll() is None:
            one.child.kill()
            one.child.wait()
