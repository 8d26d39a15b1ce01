"""A progress bar: on a terminal only, and only for what takes long."""

from __future__ import annotations

import sys
import time

import pytest
import rich.progress  # noqa: F401  # before the test holds the clock, which its modules look at

from newswire.cli import progress


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    now = iter((0.0, 0.5, 1.5))
    monkeypatch.setattr(time, "monotonic", lambda: next(now, 2.0))
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.bar("Checking it") as moved:
        assert moved is not None
        moved(1, 4)
        assert "Checking it" not in capsys.readouterr().err
        moved(2, 4)
        moved(3, 4)
    assert "Checking it" in capsys.readouterr().err


def test_none_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("Checking it") as moved:
        assert moved is None
    assert capsys.readouterr().err == ""
