"""Lines in, lines out: over a pipe and on a terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
import threading
from collections.abc import Callable

from newswire.cli.terminal import Lines, Terminal
from newswire.core import limits
from tests.kit.fake_broker import PUBLISHED, Fake
from tests.kit.menu_programs import Pty


def test_a_line_that_a_terminal_cuts_is_not_taken(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    menu = terminal("publisher")
    menu.expect("Enter your choice: ")
    menu.type("1\n")
    menu.expect("Enter topic: ")
    menu.type("Google\n")
    menu.expect("Enter data: ")
    menu.type("x" * 5000)
    menu.type("\n")
    menu.expect("That line was too long: a terminal passes on 4,095 bytes of one")
    menu.expect("Enter data: ", after="That line was too long")
    menu.type("Hi\n")
    menu.expect("{'message': 'Published topic Google data Hello Google'}")
    menu.type("\x04")
    assert menu.close() == 0
    assert [sent["data"] for sent in fake.sent("/publish")] == ["Hi"]


def test_lines_are_read_one_by_one() -> None:
    reader, writer = os.pipe()
    lines = Lines(reader)
    assert not lines.wait(0)
    os.write(writer, "\ufeffeins\r\nzw\u00f6lf\nlast".encode() + b"\xff")
    assert lines.wait(0)
    assert [lines.next(), lines.next()] == ["eins", "zwölf"]
    assert not lines.wait(0)
    os.close(writer)
    assert lines.wait(1)
    assert [lines.next(), lines.next(), lines.next()] == ["last\ufffd", None, None]
    os.close(reader)


def test_a_line_without_an_end_is_cut() -> None:
    reader, writer = os.pipe()
    feeder = threading.Thread(target=lambda: os.write(writer, b"x" * (limits.FORM_BYTES + 9000)))
    feeder.start()
    assert len(Lines(reader).next() or "") > limits.FORM_BYTES
    os.close(reader)
    feeder.join()
    os.close(writer)


def test_a_sentence_keeps_its_words_whole_on_a_terminal() -> None:
    master, slave = pty.openpty()
    sentence = "No broker is there (127.0.0.1:5053: no connection (nobody listens there)): try again."
    with os.fdopen(slave, "w") as out:
        for columns in (40, 0):
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            Terminal(Lines(slave), out).tell(sentence)
            shown = ""
            while not shown.endswith("again.\r\n"):
                shown += os.read(master, 4096).decode()
            lines = shown.split("\r\n")[:-1]
            assert " ".join(lines) == sentence
            assert max(map(len, lines)) <= 40 or not columns
    os.close(master)


def test_a_pipe_is_echoed_safely() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a\x1b[2J\n")
    out = io.StringIO()
    assert Terminal(Lines(reader), out).ask("Enter: ") == "a\x1b[2J"
    assert out.getvalue() == "Enter: a\\x1b[2J\n"
    os.close(reader)
    os.close(writer)


def test_what_is_typed_as_soon_as_a_secret_is_asked_for_is_not_shown() -> None:
    master, slave = pty.openpty()
    shows: list[bool] = []

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            shows.append(bool(termios.tcgetattr(slave)[3] & termios.ECHO))
            return len(text)

    os.write(master, b"secret\n")
    assert Terminal(Lines(slave), Out()).ask_secret("Enter your password: ") == "secret"
    assert shows[0] is False
    os.close(slave)
    os.close(master)
