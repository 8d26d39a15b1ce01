"""A program in a terminal (pty)."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from brokers import (
    Failed,
    clean_environment,
    newswire,
)
from tests.kit.waiting import PATIENCE_SECONDS

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program in a terminal of its own: what it shows is read until an expected text comes."""

    def __init__(self, *arguments: str, cwd: Path, **environment: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            newswire(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=clean_environment(TERM="dumb", COLUMNS="200", **environment),
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""  # all so far
        self._seen = 0  # of it, what was expected already

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def expect(self, text: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Read until `text` comes; what was shown since the last expected text, with it."""
        limit = time.monotonic() + seconds
        while (at := self.shown.find(text, self._seen)) < 0:
            left = limit - time.monotonic()
            if left <= 0 or not self._receive(left):
                raise Failed(f"the terminal did not show {text!r} but:\n{self.shown[self._seen :]}")
        since = self.shown[self._seen : at + len(text)]
        self._seen = at + len(text)
        return since

    def _receive(self, seconds: float) -> bool:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                received = os.read(self._master, 65_536)
            except OSError:  # Linux's end of file of a pty
                return False
            self.shown += _CONTROL.sub("", received.decode(errors="replace")).replace("\r\n", "\n")
            return bool(received)
        return True

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self._master, line.encode() + b"\n")

    def answer(self, prompt: str, line: str) -> None:
        """Wait for a prompt, then type."""
        self.expect(prompt)
        self.type(line)

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._master, b"\x03")

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Read to the end of the program; its exit code."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and self._receive(limit - time.monotonic()):
            pass
        return self.process.wait(max(0.1, limit - time.monotonic()))
