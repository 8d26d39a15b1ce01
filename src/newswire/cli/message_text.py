"""A message as text: for people on a terminal, in columns for a pipe, as the fields of JSON. Pure but for the zone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from newswire import escape

if TYPE_CHECKING:
    from newswire.client import Gap, Message

_IN_A_COLUMN: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def as_object(message: Message) -> dict[str, Any]:
    """The message as the stream's JSON has it: absent fields left out."""
    from newswire.core.model.message import shown_object

    return shown_object(message, id=message.id, event_id=message.event_id, time=message.time)


def plain_text(message: Message) -> str:
    """Topic, text and, if it has one, title, with tabs between: one line, of which a program can make them again."""
    parts = (message.topic, message.data, message.title) if message.title else (message.topic, message.data)
    return "\t".join(part.translate(_IN_A_COLUMN) for part in parts)


def terminal_text(message: Message, user: str | None = None) -> str:
    """Time, topic, title and text; further lines are indented, controls are escaped."""
    from datetime import datetime

    from newswire.cli.local_time import on_a_line

    title = f"{escape.line(message.title)}: " if message.title and message.data else escape.line(message.title)
    text = escape.block(message.data).replace("\n", "\n    ")
    if message.confirm:
        command = " ".join(["newswire confirm", *([user] if user else []), message.id])
        text += f"\n    To confirm it within {message.confirm} s: {escape.line(command)}"
    if message.replaces:
        text += f"\n    In place of the message {escape.line(message.replaces)}."
    when = on_a_line(message.time, datetime.now().astimezone())
    return f"{escape.line(when)} {escape.line(message.topic)}  {title}{text}"


def gap_text(gap: Gap) -> str:
    """Say what is missing, and why."""
    why = {
        "waiting": f"{gap.dropped} messages of topic {gap.topic} wait behind damage at a broker and come when it is mended.",
        "lost": f"Up to {gap.dropped} messages of topic {gap.topic} were lost to damage at a broker, and given up.",
    }
    text = f"{gap.dropped} messages of topic {gap.topic} were removed by retention before they were delivered."
    return why.get(gap.reason, text)
