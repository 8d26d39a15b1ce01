"""ntfy's wire, as far as it is text: how messages stand on it, filters of readers, priorities, errors. Pure.

A stream of it is lines of JSON, Server-Sent Events that hold the same, or the bare texts, a line each. What it has no word for
stands beside its own fields, where its clients do not look: `event_id`, a place that means the same at every broker, and in a
keepalive `dropped`, how many messages of `topic` are not there. (docs/ntfy.md)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import Published
from newswire.core.model.results import WithdrawalEntry
from newswire.errors import BadRequest, NewswireError

Shape = Literal["json", "sse", "raw"]

MEDIA: Final[Mapping[str, str]] = {
    # the charset is needed: some of its clients read latin-1 without
    "json": "application/x-ndjson; charset=utf-8",
    "sse": "text/event-stream; charset=utf-8",
    "raw": "text/plain; charset=utf-8",
}
PRIORITIES: Final[Mapping[str, int]] = {"min": 1, "low": 2, "default": 3, "high": 4, "max": 5, "urgent": 5} | {
    str(number): number for number in range(1, 6)
}
MARKDOWN: Final = "text/markdown"  # the type of a text that is Markdown
_DEFAULT_PRIORITY: Final = 3
_HTTP_PRIORITY: Final = re.compile(r"\s*(?:u=\s*\d\s*(?:,\s*i)?|i)\s*")  # RFC 9218: a browser's header of the same name
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_encode: Final = msgspec.json.Encoder().encode

# its numbers of errors, by ours; what is not here has those of its status
_NUMBERS: Final[Mapping[str, int]] = {
    "bad-topic": 40009,
    "bad-time": 40008,
    "bad-body": 40024,
    "unauthenticated": 40101,
    "forbidden": 40301,
    "not-found": 40401,
    "too-large": 41301,
    "too-many": 42901,
    "internal": 50001,
}
_NUMBER: Final = "ntfy"  # of an error's extras: its number, where the code alone does not say it


def error_object(error: NewswireError) -> dict[str, Any]:
    """An error as its clients read it."""
    number = error.extra.get(_NUMBER) or _NUMBERS.get(error.code, error.status * 100)
    return {"code": number, "http": error.status, "error": error.detail}


def bad(detail: str, number: int) -> NewswireError:
    """An error in a field of its wire, which has this number there."""
    return BadRequest(detail, code="bad-field", ntfy=number)


def read_priority(text: str) -> int:
    """The priority that `text` names, 0 for none. Raises `bad-field`."""
    word = text.strip().lower()
    if not word or _HTTP_PRIORITY.fullmatch(word):
        return 0
    if word not in PRIORITIES:
        raise bad("`priority` must be 1 to 5, or min, low, default, high, max or urgent", 40007)
    return PRIORITIES[word]


class Filters(msgspec.Struct, frozen=True):
    """What a reader wants of its topics: each that is given has to fit; of priorities one, of tags all."""

    id: str = ""
    message: str = ""
    title: str = ""
    priorities: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()

    def let_pass(self, message: Published) -> bool:
        """Say whether a message is wanted."""
        return (
            (not self.id or message.id == self.id)
            and (not self.message or message.data == self.message)
            and (not self.title or message.title == self.title)
            and (not self.priorities or (message.priority or _DEFAULT_PRIORITY) in self.priorities)
            and set(self.tags) <= set(message.tags)
        )


NO_FILTERS: Final = Filters()


class NtfyWire(msgspec.Struct, frozen=True):
    """How events are written for a reader. Equal ones write the same."""

    shape: Shape
    filters: Filters = NO_FILTERS

    def message(self, message: Published, event_id: EventId) -> bytes:
        """A message, or nothing where a filter keeps it back."""
        if not self.filters.let_pass(message):
            return b""
        if self.shape == "raw":
            return (_LINE_END.sub(" ", message.data or message.title) + "\n").encode()
        line = _encode({**message_object(message), "event_id": event_id.text})
        return line + b"\n" if self.shape == "json" else b"id: %b\ndata: %b\n\n" % (event_id.text.encode(), line)

    def withdrawal(self, entry: WithdrawalEntry) -> bytes:
        """That a message was withdrawn; nothing as bare text."""
        if self.shape == "raw":
            return b""
        fields = {"id": f"withdrawn-{entry.id}", "time": 0, "event": "message_delete", "topic": entry.topic}
        line = _encode({**fields, "sequence_id": entry.original or entry.id, "event_id": entry.event_id.text})
        if self.shape == "json":
            return line + b"\n"
        return b"id: %b\nevent: message_delete\ndata: %b\n\n" % (entry.event_id.text.encode(), line)

    def opening(self, topics: str, wall: float) -> bytes:
        """That the stream is open. `wall`: seconds since 1970."""
        return self._event("open", topics, wall)

    def keepalive(self, topics: str, wall: float) -> bytes:
        """That it still is."""
        return self._event("keepalive", topics, wall)

    def gap(self, topic: str, dropped: int, reason: str) -> bytes:
        """That messages are not there. Its wire has no word for it: a keepalive that says so."""
        return self._event("keepalive", topic, 0.0, dropped=dropped, **({"reason": reason} if reason else {}))

    def _event(self, event: str, topic: str, wall: float, **more: object) -> bytes:
        if self.shape == "raw":
            return b"\n"
        line = _encode({"id": f"{event}{wall * 1000:.0f}", "time": int(wall), "event": event, "topic": topic, **more})
        return line + b"\n" if self.shape == "json" else b"event: %b\ndata: %b\n\n" % (event.encode(), line)


def message_object(message: Published) -> dict[str, Any]:
    """A message as its clients read it: absent fields left out, but for the text, which is always there."""
    fields: dict[str, Any] = {"id": message.id, "time": message.time // 1000}
    if message.original:
        fields["sequence_id"] = message.original
    if message.expires:
        fields["expires"] = message.expires // 1000
    return {**fields, "event": "message", "topic": message.topic, "message": message.data, **looks(message)}


def looks(message: Any) -> dict[str, Any]:
    """Those of title, priority, tags and click that `message` has, and that its text is Markdown."""
    named = {name: value for name in ("title", "priority", "tags", "click") if (value := getattr(message, name))}
    return {**named, "content_type": MARKDOWN} if message.markdown else named
