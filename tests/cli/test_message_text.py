"""A message as text, for people and for pipes."""

from __future__ import annotations

from newswire.cli import message_text
from newswire.client import Message


def test_a_terminal_is_shown_no_controls() -> None:
    hostile = Message(
        "a-1", "e1", topic="Google", data="\x1b[2Jtwo\nlines\u202e", time="2026-11-24T21:54:12.345Z", title="\x07T"
    )
    assert message_text.terminal_text(hostile) == "2026-11-24 21:54:12 UTC Google  \\x07T: \\x1b[2Jtwo\n    lines\\u202e"
    assert (
        message_text.terminal_text(Message("a-1", "e1", topic="G", data="", time="2026-11-24T21:54:12.345Z", title="T"))
        == "2026-11-24 21:54:12 UTC G  T"
    )


def test_a_message_in_columns_can_be_read_back() -> None:
    text = "a\tb\r\nC:\\new"
    line = message_text.plain_text(Message("a", "e", topic="t", data=text, title="T"))
    assert line == "t\ta\\tb\\r\\nC:\\\\new\tT"
    assert line.split("\t")[1].encode().decode("unicode_escape") == text
