"""Plain words that a message is searched for (docs/rules.md, OLDER). Pure."""

from __future__ import annotations

import unicodedata

import msgspec

from newswire.core import limits
from newswire.core.model.message import MessageFields
from newswire.errors import BadRequest


class Words(msgspec.Struct, frozen=True):
    """Words in the form in which texts are compared: see `folded`."""

    words: tuple[str, ...]

    def are_in(self, message: MessageFields) -> bool:
        """Say whether each of them occurs in the message's text, title, topic or one of its tags, also within a word."""
        text = folded("\n".join((message.data, message.title, message.topic, *message.tags)))
        return all(word in text for word in self.words)


def folded(text: str) -> str:
    """`text` as it is compared: without a difference of case, or of how an accent is written.

    The wider form, NFKC, would make 18 characters of one that somebody fills a message with.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def words_of(text: str) -> Words:
    """The words of `text`, with white space between. Raises BadRequest (`bad-field`) for none, and for too many."""
    words = tuple(dict.fromkeys(map(folded, text.split())))
    if not words or len(text) > limits.SEARCH_CHARS or len(words) > limits.SEARCH_WORDS_COUNT:
        raise BadRequest(
            f"`q` must be 1 to {limits.SEARCH_WORDS_COUNT} words of at most {limits.SEARCH_CHARS} characters in all",
            code="bad-field",
        )
    return Words(words)
