"""The browser window of a stream: which command opens it, and where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from newswire.cli import window
from tests.kit.waiting import wait_until


@pytest.mark.parametrize(
    ("browser", "command"),
    [
        ("firefox", ["firefox", "U"]),
        ("/opt/chrome --app=%s", ["/opt/chrome", "--app=U"]),
        ("firefox %s &", ["firefox", "U"]),
        ("lynx:firefox", ["firefox", "U"]),
        ("missing:firefox", ["firefox", "U"]),
        ("w3m", []),
        ("/usr/bin/elinks %s", []),
        ("'", []),
        ("", []),
    ],
)
def test_browser_is_honoured_unless_it_lives_in_the_terminal(browser: str, command: list[str]) -> None:
    assert window.chosen_command({"BROWSER": browser}, "U", lambda name: None if name == "missing" else name) == command


def test_there_are_windows_only_with_a_display() -> None:
    assert not window.has_display({}, "linux")
    assert window.has_display({"DISPLAY": ":0"}, "linux")
    assert window.has_display({"WAYLAND_DISPLAY": "w"}, "linux")
    assert window.has_display({}, "darwin")


def test_a_window_is_opened_by_the_first_browser_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"missing-browser:{browser}")
    assert window.open_window("http://127.0.0.1:5053/stream")
    wait_until(opened.exists)
    assert opened.read_text() == "http://127.0.0.1:5053/stream\n"


@pytest.mark.parametrize(("browser", "display"), [("missing-browser", ":0"), ("", "")])
def test_without_a_browser_or_a_display_no_window_opens(monkeypatch: pytest.MonkeyPatch, browser: str, display: str) -> None:
    for name, value in (("BROWSER", browser), ("DISPLAY", display), ("WAYLAND_DISPLAY", "")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(window.webbrowser, "get", lambda: pytest.fail("no browser is looked for"))
    assert not window.open_window("http://127.0.0.1:5053/stream")


def test_a_browser_that_cannot_be_started_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"no program")
    broken.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(broken))
    assert not window.open_window("http://127.0.0.1:5053/stream")
