"""Lines in, lines out: the terminal (or pipe) that a menu talks through."""

from __future__ import annotations

import os
import select
import sys
import termios
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from newswire.core import limits
from newswire.text import without_mark

_READ_BYTES: Final = 4096


class Lines:
    """Reads lines from a descriptor by itself, so that what it holds and what `select` sees are all there is. One thread."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_terminal = os.isatty(fd)
        self.ended = False
        self.is_cut = False  # whether the last line was longer than a terminal passes on
        self._held = b""
        self._first = True

    def next(self) -> str | None:
        """Wait for a line and return it without its end; None when there will be no more."""
        while not self._ready():
            self._receive()
        if not self._held:
            return None
        line, _, self._held = self._held.partition(b"\n")
        if self._first:
            self._first, line = False, without_mark(line)
        self.is_cut = self.is_terminal and len(line) >= limits.TERMINAL_LINE_BYTES
        return line.removesuffix(b"\r").decode("utf-8", "replace")

    def wait(self, seconds: float) -> bool:
        """Say whether a line or the end has come within `seconds`."""
        if not self._ready() and select.select([self.fd], [], [], seconds)[0]:
            self._receive()
        return self._ready()

    def _ready(self) -> bool:
        return self.ended or b"\n" in self._held or len(self._held) > limits.FORM_BYTES

    def _receive(self) -> None:
        try:
            received = os.read(self.fd, _READ_BYTES)
        except OSError:  # the terminal has gone
            received = b""
        self._held += received
        self.ended = not received


class Terminal:
    """What a menu's shell reads and prints with. A pipe does not echo what is read, so it is shown: the same transcript."""

    def __init__(self, lines: Lines, out: TextIO) -> None:
        self.lines = lines
        self.out = out

    def say(self, text: str) -> None:
        """Print `text` at once; what came from strangers in it must have been escaped."""
        print(text, file=self.out, flush=True)

    def tell(self, sentence: str) -> None:
        """Print a sentence; a terminal's lines end between its words."""
        try:
            width = os.get_terminal_size(self.out.fileno()).columns  # 0 where it is not known
        except OSError:  # io.UnsupportedOperation is one, too: it is no terminal
            width = 0
        self.say(textwrap.fill(sentence, width, break_on_hyphens=False, break_long_words=False) if width > 0 else sentence)

    def ask(self, prompt: str) -> str | None:
        """Show `prompt` and wait for a line; None at the end of input."""
        print(prompt, end="", file=self.out, flush=True)
        line = self.lines.next()
        if line is None:
            self.say("")
        elif not self.lines.is_terminal:
            from newswire import escape

            self.say(escape.line(line))
        return line

    def ask_secret(self, prompt: str) -> str | None:
        """Show `prompt` and wait for a line that nobody sees; None at the end of input."""
        with silent(self.lines.fd):  # before the prompt: who sees that types
            print(prompt, end="", file=self.out, flush=True)
            line = self.lines.next()
        self.say("")
        return line


@contextmanager
def silent(fd: int) -> Iterator[None]:
    """Keep a terminal from showing what is typed; a pipe shows nothing anyway."""
    try:
        before = termios.tcgetattr(fd)
    except termios.error:
        yield
        return
    after = [*before]
    after[3] &= ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSADRAIN, after)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def standard() -> Terminal:
    """The terminal of this process."""
    return Terminal(Lines(sys.stdin.fileno() if sys.stdin else 0), sys.stdout)
