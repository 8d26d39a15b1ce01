"""The log of a broker: what a line looks like, and a log that cannot be written."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
import pytest

from newswire.cli import logs
from newswire.cli.logs import LogOptions


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(click.ClickException, match="cannot write the log"):
        logs.start(LogOptions(), tmp_path / "file" / "1001.log")


def test_a_broker_runs_without_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1001.log").mkdir()  # so that root cannot write it, too
    (tmp_path / "1002.log").symlink_to("/dev/full")
    try:
        logs.start(LogOptions(), tmp_path / "1001.log")
        logging.getLogger("newswire").warning("to nobody")
        assert "the broker runs without one" in capsys.readouterr().err
        logs.start(LogOptions(), tmp_path / "1002.log")
        logging.getLogger("newswire").warning("to a full disk")
        assert capsys.readouterr().err == ""
    finally:
        logging.basicConfig(handlers=[], force=True)


def record_of(text: str, *values: object, failed: bool = False) -> logging.LogRecord:
    if not failed:
        return logging.LogRecord("newswire.x", logging.WARNING, "", 0, text, values, None)
    try:
        raise ValueError("told\x1b[2J\nby a stranger")
    except ValueError:
        return logging.LogRecord("newswire.x", logging.WARNING, "", 0, text, values, sys.exc_info())


def test_lines_for_people_are_plain_and_safe() -> None:
    line = logs.TextFormatter().format(record_of("user %s", "a\x1b[2J\nb"))
    assert line.endswith(" WARNING newswire.x user a\\x1b[2J\\x0ab")
    assert datetime.fromisoformat(line.split()[0]).utcoffset() is not None, "the time names its zone"
    traceback = logs.TextFormatter().format(record_of("failed", failed=True)).split("\n")
    assert len(traceback) > 3
    assert all(line.startswith("    ") for line in traceback[1:])


def test_lines_for_programs_are_an_object_each() -> None:
    line = logs.JsonFormatter().format(record_of("user %s", "a\x1b[2J\nb"))
    told = json.loads(line)
    assert datetime.fromisoformat(told.pop("time")).utcoffset() is not None
    assert told == {"level": "warning", "logger": "newswire.x", "message": "user a\\x1b[2J\\x0ab"}
    failed = logs.JsonFormatter().format(record_of("failed", failed=True))
    assert "\n" not in failed
    assert "\x1b" not in json.loads(failed)["traceback"]
    assert json.loads(failed)["traceback"].startswith("Traceback")


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("error", 0)])
def test_a_level_is_the_least_that_is_logged(level: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.start(LogOptions("json", level))  # type: ignore[arg-type]
    logging.getLogger("newswire").debug("a detail")
    logging.getLogger("newswire").info("a fact")
    assert len(capsys.readouterr().err.splitlines()) == lines
