"""The menus as programs: over a pipe, and on a terminal (pty)."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Sequence

from tests.kit.waiting import PATIENCE_SECONDS, wait_until


def clean(environment: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    return kept | environment


AS_IT_IS = ("-m", "newswire")
_PATIENCE = f"""
from newswire.core import limits
for name in ("CLIENT_CONNECT", "CLIENT_TRY", "CLIENT_BATCH_TRY", "CLIENT_SIDE", "MENU_TRY", "MENU_QUIET"):
    setattr(limits, f"{{name}}_SECONDS", {PATIENCE_SECONDS})
limits.SETTLE_SECONDS = 5.0
from newswire.cli.main import main
main()
"""
PATIENT = ("-c", _PATIENCE)  # it takes no broker for a silent one that is slow


def piped(command: str, lines: Sequence[str], *, program: Sequence[str] = PATIENT, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *program, command],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=clean(environment),
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    return done.stdout


class Pty:
    """A program on a terminal of its own."""

    def __init__(self, command: str) -> None:
        self.master, slave = pty.openpty()
        environment = clean({"TERM": "xterm"})
        self.child = subprocess.Popen(
            [sys.executable, "-m", "newswire", command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, after: str = "") -> None:
        """Read until `text` has come (after `after`, if given)."""
        wait_until(lambda: self._has(text, after))

    def _has(self, text: str, after: str) -> bool:
        if select.select([self.master], [], [], 0.05)[0]:
            self.seen += os.read(self.master, 4096).decode().replace("\r\n", "\n")
        return text in self.seen.partition(after)[2] if after else text in self.seen

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> int:
        code = self.child.wait(PATIENCE_SECONDS)
        os.close(self.master)
        return code
