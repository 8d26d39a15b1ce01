"""Notifications: what a desktop and a terminal are told of a message, and how often."""

from __future__ import annotations

from collections.abc import Sequence

from newswire.cli import notifying
from newswire.client import Message


def message(data: str = "Soup is ready", **more: object) -> Message:
    return Message("a-1", "e1", topic="kitchen", data=data, **more)  # type: ignore[arg-type]


def test_a_desktop_is_told_text_and_no_markup() -> None:
    hostile = message("<b>5 > 3 & 2</b>\x1b", title="--urgency=low\n", priority=5)
    head, text = notifying.arguments(hostile, "")[:3], notifying.arguments(hostile, "")[3:]
    assert head == ["--app-name=newswire", "--urgency=critical", "--"]
    assert text == ["--urgency=low\\x0a", "kitchen\n&lt;b&gt;5 &gt; 3 &amp; 2&lt;/b&gt;\\x1b"]
    assert notifying.arguments(message(), " (and 2 more)")[3:] == ["kitchen (and 2 more)", "Soup is ready"]


def test_a_terminal_is_told_nothing_that_controls_it() -> None:
    notice = notifying.terminal_notice(message("a\x07b\x1b]0;x"), "", "xterm")
    assert notice == "\x1b]9;kitchen: a\\x07b\\x1b]0;x\x1b\\\a"
    assert notifying.terminal_notice(message(), "", "linux") == "\a"


def test_a_flood_is_a_few_notifications() -> None:
    commands: list[Sequence[str]] = []
    times = [0.0]
    notifier = notifying.Notifier("send", None, run=lambda command: not commands.append(command), clock=lambda: times[0])
    for number in range(5):
        notifier.tell(message(str(number)))
    assert [command[-1] for command in commands] == ["0"]
    notifier.tell(message("urgent", priority=5))
    assert commands[-1][-2:] == ["kitchen (and 4 more)", "urgent"]
    times[0] = 10.0
    notifier.tell(message("later"))
    assert commands[-1][-2:] == ["kitchen", "later"]


def test_where_the_desktop_does_not_answer_the_terminal_is_told() -> None:
    rung: list[str] = []
    notifier = notifying.Notifier("send", rung.append, run=lambda command: False)
    notifier.tell(message(priority=5))
    notifier.tell(message(priority=5))
    assert len(rung) == 2
    assert notifying.Notifier("", None, run=lambda command: True).is_mute
