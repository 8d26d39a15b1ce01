"""Event ids: what a client shows to go on where it was, at any broker (docs/rules.md, EVENT ID).

An event id is text. Above the seam it is no more than that; what it says is `core.model.coverage`'s. It is made of
unreserved URL characters, so it needs no escaping in a header, a query or a form:

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

_ENTRY = r"[A-Za-z0-9]{1,16}-[a-z0-9]{1,16}\.[1-9][0-9]{0,15}"
_VECTOR = rf"(?:{_ENTRY}(?:_{_ENTRY})*)?"
_TEXT: Final = re.compile(rf"[ep]~(?:{_ENTRY})?~({_VECTOR}~{_VECTOR})")
_SEQUENCE: Final = re.compile(r"\.([0-9]+)")
_MESSAGE_ID: Final = re.compile(_ENTRY)


class EventId(msgspec.Struct, frozen=True, dict=True):
    """A place in the news, as text; `parse` and `coverage.write` make them. Opaque: keep it, show it, hand it back."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def of_page(self) -> bool:
        """Whether a page of `/messages` showed it: it acknowledges nothing."""
        return self.text[0] == "p"

    def for_page(self) -> EventId:
        """The same place as a page shows it: without K, which is for streams only."""
        return EventId("p" + self.text[1 : self.text.rindex("~") + 1])


def parse(text: str) -> EventId | None:
    """The event id that `text` is, None if it is none: in doubt a stream sends again, it never skips (docs/hazards.md, H13)."""
    match = _TEXT.fullmatch(text) if len(text) <= limits.EVENT_ID_CHARS else None
    if match is None:
        return None
    if max(map(int, _SEQUENCE.findall(match[1])), default=0) > SEQUENCE_MOST:  # no cursor could be stored with it
        return None
    return EventId(text)


def is_message_id(text: str) -> bool:
    """Say whether `text` is a message id, which `/publish` answers and which is not an event id."""
    return _MESSAGE_ID.fullmatch(text) is not None
