"""`newswire stream --notify`: a message as a notification of the desktop, or of the terminal where there is none.

Text of strangers: nothing in it is markup, nothing controls the terminal, and a flood of it is a few notifications.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from newswire import escape

if TYPE_CHECKING:
    from newswire.client import Message

_EVERY_SECONDS: Final = 1.0  # what comes within is counted by the next one; the highest priority is always told
_HIGHEST: Final = 5
_URGENCIES: Final = {1: "low", 2: "low", 5: "critical"}  # as notify-send names them, by priority
_TITLE_CHARS: Final = 100  # desktops cut longer ones off
_TEXT_CHARS: Final = 1_000
_TERMINAL_CHARS: Final = 200
_RUN_SECONDS: Final = 5.0  # a desktop that hangs must not hold up the news


class Notifier:
    """Tells of messages. One thread. `program`: notify-send, "" without it; `ring` writes to the terminal, None without one."""

    def __init__(
        self,
        program: str,
        ring: Callable[[str], object] | None,
        *,
        run: Callable[[Sequence[str]], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program, self._ring, self._run, self._clock = program, ring, run, clock
        self._next, self._untold = float("-inf"), 0

    @property
    def is_mute(self) -> bool:
        """Whether there is nothing that could tell anybody."""
        return not self._program and self._ring is None

    def tell(self, message: Message) -> None:
        """Tell of `message`, unless one was told of a moment ago."""
        if self._clock() < self._next and message.priority < _HIGHEST:
            self._untold += 1
            return
        self._next = self._clock() + _EVERY_SECONDS
        more, self._untold = f" (and {self._untold} more)" if self._untold else "", 0
        if self._program and not self._run([self._program, *arguments(message, more)]):
            self._program = ""  # no desktop is there
        if not self._program and self._ring is not None:
            self._ring(terminal_notice(message, more))


def standard() -> Notifier:
    """What this machine has: a desktop, or the terminal that standard error leads to."""
    program = shutil.which("notify-send") if os.environ.get("DBUS_SESSION_BUS_ADDRESS") or os.environ.get("DISPLAY") else None
    return Notifier(program or "", _ring if sys.stderr.isatty() else None, run=_run)


def arguments(message: Message, more: str) -> list[str]:
    """What notify-send is given: title and text as they are, where it would read markup."""
    title = escape.line(message.title or message.topic)[:_TITLE_CHARS] + more
    text = escape.block(message.data)[:_TEXT_CHARS]
    if message.title:
        text = f"{message.topic}\n{text}"
    urgency = _URGENCIES.get(message.priority, "normal")
    return ["--app-name=newswire", f"--urgency={urgency}", "--", title, html.escape(text, quote=False)]


def terminal_notice(message: Message, more: str, kind: str | None = None) -> str:
    """OSC 9, which terminals that notify take and others skip, then the bell. `kind`: of the terminal, as TERM says."""
    text = escape.line(f"{message.topic}: {message.title or message.data}")[:_TERMINAL_CHARS] + more
    kind = os.environ.get("TERM", "") if kind is None else kind
    return "\a" if kind in ("linux", "dumb", "") else f"\x1b]9;{text}\x1b\\\a"  # the console of Linux would show the text


def _run(command: Sequence[str]) -> bool:
    try:
        ended = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_RUN_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def _ring(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
