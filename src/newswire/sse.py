"""Reading and writing Server-Sent Events, as the HTML standard (section 9.2) parses them.

Both sides are pure: the hub writes with `event`, `comment` and `chunk`; the client reads with `EventReader`.
`data` is split at CRLF, CR and LF only (not at other Unicode line ends), and each line becomes a `data:` line. An id
never comes from a publisher: it would have to be free of CR, LF and NUL.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from newswire.core.model.event_ids import EventId
from newswire.core.model.message import shown_object
from newswire.core.model.ops import Published
from newswire.core.model.results import WithdrawalEntry
from newswire.core.model.times import rfc3339

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_RETRY_DIGITS: Final = 12  # more would be thirty years; a longer number from a stranger must not fail
_encode: Final = msgspec.json.Encoder().encode

KEEPALIVE: Final = "keepalive"  # the comment that says only that the stream lives
GREETING: Final = "Listening to new message for subscribed topics"  # given, to the letter (docs/decisions.md, The menus)


def event(data: str, *, id: str = "", name: str = "", retry: int | None = None) -> bytes:
    """One event block; `retry` in milliseconds."""
    head = f"id: {id}\n" if id else ""
    if name:
        head = f"event: {name}\n{head}"
    if retry is not None:
        head = f"retry: {retry}\n{head}"
    if "\n" in data or "\r" in data:
        data = "\ndata: ".join(_LINE_END.split(data))
    return f"{head}data: {data}\n\n".encode()


def comment(text: str, *, retry: int | None = None) -> bytes:
    """A comment, which readers skip; with `retry` (milliseconds) in the same block."""
    head = "" if retry is None else f"retry: {retry}\n"
    return (head + "".join(f": {line}\n" for line in _LINE_END.split(text)) + "\n").encode()


def chunk(body: bytes) -> bytes:
    """`body` as one chunk (RFC 9112, 7.1); empty, it is the last chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def message_object(message: Published, event_id: str) -> dict[str, Any]:
    """A message as `format=json` and `/messages` show it (docs/http.md, Stream): absent fields left out."""
    return shown_object(message, id=message.id, event_id=event_id, time=rfc3339(message.time))


def message_event(message: Published, event_id: EventId, *, as_json: bool) -> bytes:
    """The event block of a message in either format."""
    text = event_id.text
    before = replaced_event(message) if message.replaces else b""
    if as_json:
        return b"%bid: %b\ndata: %b\n\n" % (before, text.encode(), _encode(message_object(message, text)))  # JSON is one line
    data = f"{message.title}\n{message.data}" if message.title and message.data else message.data or message.title
    return before + event(data, id=text)


def replaced_event(message: Published) -> bytes:
    """The event block before a message that takes the place of another one: readers that show that show it no more.

    It has no id: it comes with its message, in one piece.
    """
    fields = {"topic": message.topic, "id": message.replaces, "original": message.original, "by": message.id}
    return event(_encode(fields).decode(), name="replaced")


def withdrawn_event(withdrawal: WithdrawalEntry) -> bytes:
    """The event block that says that a message was withdrawn."""
    fields = {"topic": withdrawal.topic, "id": withdrawal.id}
    if withdrawal.original:
        fields["original"] = withdrawal.original
    return event(_encode(fields).decode(), id=withdrawal.event_id.text, name="withdrawn")


def gap_event(topic: str, dropped: int, event_id: EventId | None, reason: str = "") -> bytes:
    """The event block that says that undelivered messages are not there; without an id, more of them follow.

    `reason`: "" (removed by retention), "waiting" or "lost": see `core.model.results.Gap`.
    """
    fields = {"topic": topic, "dropped": dropped} | ({"reason": reason} if reason else {})
    return event(_encode(fields).decode(), id=str(event_id or ""), name="gap")


class Event(msgspec.Struct, frozen=True):
    """What a reader dispatches: `id` is the last event id seen so far, `name` is "message" unless the block named one."""

    data: str
    id: str
    name: str


class EventReader:
    """Parses a stream of bytes into events. `retry` is the last reconnection time read, in milliseconds, or None.

    `comment` is the last comment, if no event and no keepalive came after it: a stream that ends says why in one.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.comment = ""
        self._rest = bytearray()
        self._skip_newline = False
        self._data: list[str] = []
        self._name = ""
        self._id = last_event_id
        self._first = True

    def feed(self, received: bytes) -> list[Event]:
        """Take bytes, return the events that they complete."""
        if not received:
            return []
        if self._skip_newline:
            received = received.removeprefix(b"\n")
        # a CR at the very end may be half of a CRLF: the line is complete, a LF that follows is not another line
        self._skip_newline = received.endswith(b"\r")
        end = max(received.rfind(b"\n"), received.rfind(b"\r")) + 1
        self._rest += received[:end] if end else received  # a long line comes in many pieces: nothing of it is looked at twice
        if not end:
            return []
        text = self._rest.decode("utf-8", "replace")
        self._rest = bytearray(received[end:])
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if self._first:
            self._first = False
            text = text.removeprefix("\ufeff")
        lines = text.split("\n")
        lines.pop()  # behind the last line end
        events: list[Event] = []
        for line in lines:
            if line.startswith("data: "):  # this and the next are nearly all that comes
                self._data.append(line[6:])
            elif not line:
                self._dispatch(events)
            else:
                self._field(line)
        return events

    def _field(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            self.comment = "" if value == KEEPALIVE else value
        elif field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value[:_RETRY_DIGITS])

    def _dispatch(self, events: list[Event]) -> None:
        self.last_event_id = self._id
        if self._data:
            data = self._data[0] if len(self._data) == 1 else "\n".join(self._data)
            events.append(Event(data, self._id, self._name or "message"))
            self._data = []
            self.comment = ""
        self._name = ""
