"""Event ids: what a client shows to go on where it was, at any broker (docs/rules.md, EVENT ID).

An event id says three things: which message it stands behind, what the broker that sent it held up to there (D,
`after`), and what that broker held when the stream was opened (K, `opened`; left out where D covers it). It travels as
text of unreserved URL characters, so it needs no escaping in a header, a query or a form:

    e~1001-k3f9x2qa.57~1001-k3f9x2qa.57_1002-p04hd2aa.3~        stream: message ~ D ~ K
    p~1001-k3f9x2qa.57~1001-k3f9x2qa.57_1002-p04hd2aa.3~        page of /messages: good for `since` only

A page leaves out what a filter hid, so its ids would move cursors past what nobody saw: they have a letter of their own.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.model.ops import SEQUENCE_MOST
from newswire.core.model.vector import Vector

_ENTRY = r"[A-Za-z0-9]{1,16}-[a-z0-9]{1,16}\.[1-9][0-9]{0,15}"
_VECTOR = rf"(?:{_ENTRY}(?:_{_ENTRY})*)?"
_TEXT: Final = re.compile(rf"([ep])~((?:{_ENTRY})?)~({_VECTOR})~({_VECTOR})")
_MESSAGE_ID: Final = re.compile(_ENTRY)


class EventId(msgspec.Struct, frozen=True):
    """A place in the news as its holder knows it. `message` is empty for a place that is not behind a message."""

    message: str
    after: Vector
    opened: Vector = {}
    of_page: bool = False

    def __str__(self) -> str:
        return f"{'p' if self.of_page else 'e'}~{self.message}~{_write(self.after)}~{_write(self.opened)}"


def parse(text: str) -> EventId | None:
    """The event id that `text` is, None if it is none: in doubt a stream sends again, it never skips (docs/hazards.md, H13)."""
    found = _TEXT.fullmatch(text) if len(text) <= limits.EVENT_ID_CHARS else None
    if found is None:
        return None
    after, opened = _read(found[3]), _read(found[4])
    if max((0, *after.values(), *opened.values())) > SEQUENCE_MOST:  # no cursor could be stored with it
        return None
    return EventId(found[2], after, opened, found[1] == "p")


def is_message_id(text: str) -> bool:
    """Say whether `text` is a message id, which `/publish` answers and which is not an event id."""
    return _MESSAGE_ID.fullmatch(text) is not None


def _write(vector: Vector) -> str:
    return "_".join(f"{origin}.{sequence}" for origin, sequence in sorted(vector.items()))


def _read(text: str) -> dict[str, int]:
    vector: dict[str, int] = {}
    for entry in text.split("_") if text else ():
        origin, _, sequence = entry.partition(".")
        vector[origin] = int(sequence)
    return vector
