"""What `newswire forward` does with a message: its text, how often it is tried, and where what nobody takes goes. Pure.

A message is done with when every target took it, or when it lies in the topic of dead letters. What is done with is
acknowledged before the next message is looked at, so who takes over repeats at most the one that was in flight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import unquote

from newswire.core import limits
from newswire.errors import BadRequest

if TYPE_CHECKING:
    from newswire.client import Message

FIELDS: Final = ("title", "data", "topic", "time", "publisher", "tags", "priority", "click", "id")
_FIELD: Final = re.compile(r"\{(\w*)\}|\{\{|\}\}|\\n|[{}]")
_URGENT: Final = 4  # from this priority on
_PART: Final = re.compile(r"[^:/@?&=#,]{3,}")  # of an address that may be a secret


class Notice(NamedTuple):
    """What a target is handed: plain text, which it escapes as it needs."""

    title: str
    body: str
    is_urgent: bool = False


class Target(Protocol):
    """Where messages go."""

    name: str

    def hand_over(self, notice: Notice) -> str:
        """Hand it over; "" if it was taken, else why not."""


class Template:
    r"""A text with fields of a message in braces: `{topic}: {data}`. `{{` is a brace, `\n` a line end.

    A field is put in as it is, and what it holds is not looked at again.
    """

    def __init__(self, text: str) -> None:
        """Raises BadRequest for a field that there is not."""
        for match in _FIELD.finditer(text):
            if match[0] in ("{", "}") or (match[1] is not None and match[1] not in FIELDS):
                names = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise BadRequest(f"a template holds {names} and text, and a brace is written twice; not {match[0]}")
        self._text = text

    def fill(self, message: Message) -> str:
        """The text of `message`; what it lacks is empty."""
        fields = {name: getattr(message, name) or "" for name in FIELDS} | {"tags": ", ".join(message.tags)}
        plain = {"{{": "{", "}}": "}", "\\n": "\n"}
        return _FIELD.sub(lambda match: plain.get(match[0]) or str(fields[match[1]]), self._text)


def notice_of(message: Message, template: Template | None) -> Notice:
    """What of `message` is handed over. Without a template: its text, and the address that it opens."""
    title = message.title or message.topic
    if template is not None:
        body = template.fill(message)
    else:
        body = "\n".join(part for part in (message.data, message.click) if part)
    return Notice(title=title, body=body or title, is_urgent=message.priority >= _URGENT)


def retry_seconds(tries: int) -> float:
    """How long to wait after so many tries in vain."""
    return min(limits.FORWARD_RETRY_SECONDS * 2.0 ** min(tries - 1, 10), limits.FORWARD_RETRY_MOST_SECONDS)


def without_secrets(text: str, address: str) -> str:
    """`text`, with every part of a target's address out of it, as it stands there and decoded."""
    _, _, rest = address.partition("://")
    parts = {part for word in _PART.findall(rest) for part in (word, unquote(word))}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


class Forwarder:
    """Hands messages to targets, one message at a time. One thread."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        template: Template | None = None,
        tries: int = 0,
        bury: Callable[[Message], bool] | None = None,
        dead_letters: str = "",
        goes_on: Callable[[float], bool],
        say: Callable[[str], None],
    ) -> None:
        """`tries`: after so many in vain `bury` puts a message into the topic `dead_letters`, and says whether that is done;
        without it a message is tried for ever.

        `goes_on` waits for seconds and says whether messages are still to be handed on from here.
        """
        self._targets = targets
        self._template = template
        self._tries, self._bury, self._dead_letters = tries, bury, dead_letters
        self._goes_on, self._say = goes_on, say

    def forward(self, message: Message) -> bool:
        """Hand `message` to each target; False: not done with it, as it is no more for here. Raises what `bury` does."""
        notice = notice_of(message, self._template)
        targets, tries = list(self._targets), 0
        while True:
            reasons = {target.name: target.hand_over(notice) for target in targets}
            targets = [target for target in targets if reasons[target.name]]
            if not targets:
                return True
            tries += 1
            why = "; ".join(f"{target.name}: {reasons[target.name]}" for target in targets)
            if self._bury is not None and tries >= self._tries:
                return self._give_up(message, why)
            seconds = retry_seconds(tries)
            self._say(f"message {message.id} was not taken, again in {seconds:g} s ({why})")
            if not self._goes_on(seconds):
                return False

    def _give_up(self, message: Message, why: str) -> bool:
        assert self._bury is not None
        if message.topic == self._dead_letters:  # it lies there already
            self._say(f"message {message.id} of {message.topic} was not taken in {self._tries} tries and stays there ({why})")
            return True
        if not self._bury(message):
            return False
        self._say(f"message {message.id} was not taken in {self._tries} tries and lies in {self._dead_letters} ({why})")
        return True
