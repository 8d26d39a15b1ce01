"""Gateways over a log in memory: in schedules of chance, with bugs planted that the schedules find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from newswire.core import limits
from newswire.core.broker.log_place import LogPlace
from newswire.engine.jetstream import log as log_room
from newswire.engine.jetstream.log import Log
from tests.kit.fake_gateways import Schedule
from tests.kit.fake_log import FakeServers

SEEDS = 12


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_AGAIN_SECONDS", "LOG_LOOK_SECONDS", "LOG_SEE_SECONDS"):
        monkeypatch.setattr(limits, name, 0.0)


def play(seed: int, folder: Path, *, rolls_back: bool = True) -> list[str]:
    schedule = Schedule(seed, folder / f"{seed}-{rolls_back}", rolls_back=rolls_back)
    try:
        schedule.run(60)
        return schedule.faults()
    finally:
        schedule.end()


@pytest.mark.parametrize("rolls_back", [False, True])
def test_whatever_happens_nothing_that_was_acknowledged_is_lost_or_shown_twice(tmp_path: Path, rolls_back: bool) -> None:
    for seed in range(SEEDS):
        assert play(seed, tmp_path, rolls_back=rolls_back) == [], f"seed {seed}"


def believe_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new connection is to the same log, and so is an old one."""
    monkeypatch.setattr(limits, "LOG_SEE_SECONDS", 10.0**9)
    monkeypatch.setattr(FakeServers, "epoch", lambda servers: 1)


def forget_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of ours beyond what was read is not looked for."""
    monkeypatch.setattr(LogPlace, "newest", property(lambda place: (place.sequence, place.token)))


def give_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log lost is lost."""
    monkeypatch.setattr(log_room, "give_back", lambda *_: iter(()))


def believe_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a copy holds beyond its place is in the log."""
    recover = Log.recover

    def believing(log: Log, *arguments: Any) -> bool:
        result = recover(log, *arguments)
        log._sure = None
        return result

    monkeypatch.setattr(Log, "recover", believing)


@pytest.mark.parametrize(
    ("bug", "seeds"),
    [(believe_connections, (2, 4)), (forget_own, (42, 43)), (give_nothing_back, (0, 2)), (believe_copies, (0, 34))],
)
def test_a_planted_bug_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: Callable[..., None], seeds: tuple[int, ...]
) -> None:
    """In the schedules that found it first."""
    bug(monkeypatch)
    assert any(play(seed, tmp_path) for seed in seeds), bug.__doc__
