"""A broker's log: where it goes, from which level on, and what a line looks like (docs/operate.md, The log)."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import click

from newswire import escape
from newswire.cli import output

FORMATS: Final = ("text", "json")
LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class LogOptions:
    """What `--log-format` and `--log-level` say."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TextFormatter(logging.Formatter):
    """One fact a line, with the time as in RFC 3339; whatever stands in it is escaped, a traceback is indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the local time with its offset."""
        return _time_of(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line: no text of anybody ends it early."""
        return escape.line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and, indented, the traceback."""
        return escape.block(super().format(record)).replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339), `level`, `logger`, `message` and, after an exception, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object. Control characters are escaped as JSON does it, so that it stays on its line."""
        line = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape.line(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = escape.block(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def start(options: LogOptions, path: Path | None = None) -> None:
    """Log to standard error, or to the file `path` while a menu owns the terminal.

    Raises click.ClickException if the directory of `path` cannot be made. One that cannot be opened is told, and done without.
    """
    handler = _open_file(path) if path else logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if options.format == "json" else TextFormatter())
    logging.basicConfig(level=options.level.upper(), handlers=[handler], force=True)


class _LogFile(logging.FileHandler):
    """A file that may fail: a line that cannot be written is lost, and the broker goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing of a full disk in the menu's terminal; a line that is wrong is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close it; what it still holds may be lost."""
        with suppress(OSError):
            super().close()


def _open_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # the ops file will lie there: without it nothing can start
    except OSError as error:
        raise click.ClickException(f"cannot write the log {path}: {error.strerror}") from None
    try:
        return _LogFile(path, encoding="utf-8")
    except OSError as error:
        output.warn(f"Cannot write the log {path} ({error.strerror}): the broker runs without one.")
        return logging.NullHandler()
