"""Publishers' keys: which message each one names (docs/rules.md, KEY). Pure.

A key names a message per (publisher, topic, key). What is kept of one is 64 bits, which stand for the three, and for
each message that it names a **use**: 64 bits that stand for the content, and the message's offset. Both are hashes of
this process, seeded anew at each start. Of a full memory two keys are taken for one, so that the second is refused, once in
10^13 look-ups, and two messages for one once in 10^32.

A key has more than one use where brokers that did not know of each other took other content under it, or where it
was used again a day later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from newswire.core import limits
from newswire.core.model.commands import RULES, Publish
from newswire.core.model.ops import Published, Scheduled

_GENERATION_KEYS: Final = limits.KEYS_COUNT // 4  # that are forgotten at a time
_GENERATIONS: Final = 5  # so that the newest `limits.KEYS_COUNT` are among the others when the last one has just begun
_OFFSET_BITS: Final = 32
OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1
_CONTENT_MASK: Final = (1 << 64) - 1
_NEXT_USE: Final = 1 << 64  # between the entries of one key: beyond what a fingerprint reaches


class Use(NamedTuple):
    """A message that a key names: `content` stands for what it says, `offset` is where it stands in the log."""

    content: int
    offset: int


class Keys:
    """The newest `limits.KEYS_COUNT` keys, and up to a quarter more. The commit thread writes, under the state lock."""

    def __init__(self) -> None:
        self._generations: list[dict[int, int]] = [{}]
        self._moved: dict[int, int | None] = {}  # offsets that stand for another, or for nothing any more

    def uses(self, mark: int) -> list[Use]:
        """What the key that `mark` stands for names, the oldest first."""
        result: list[Use] = []
        entry, at = self._get(mark), 0
        while entry is not None:
            offset: int | None = entry & OFFSET_MASK
            while offset in self._moved:
                offset = self._moved[offset]
            if offset is not None:
                result.append(Use(entry >> _OFFSET_BITS, offset))
            at += 1
            entry = self._get(mark + at * _NEXT_USE)
        return result

    def has_any(self, marks: Iterable[int]) -> bool:
        """Say whether one of these is known."""
        return not all(generation.keys().isdisjoint(marks) for generation in self._generations)

    def entries(self) -> Iterator[list[int]]:
        """All entries, some at a time; of each the low bits (`OFFSET_MASK`) are the offset of the message that it names."""
        for generation in list(self._generations):
            yield list(generation.values())
        yield [to for to in self._moved.values() if to is not None]

    def move(self, offset: int, to: int | None) -> None:
        """Have what names the message at `offset` name that at `to`, which says the same; None: nothing any more."""
        self._moved.setdefault(offset, to)  # once: what names it now is named there

    def note(self, mark: int, content: int, offset: int) -> None:
        """Remember one more use of a key; all of its uses are as new as this one."""
        newest = self._generations[0]
        if len(newest) >= _GENERATION_KEYS:
            self._generations.insert(0, newest := {})
            del self._generations[_GENERATIONS:]
        uses = [*self.uses(mark), Use(content, offset)][-limits.KEY_USES_COUNT :]
        for at, use in enumerate(uses):
            newest[mark + at * _NEXT_USE] = use.content << _OFFSET_BITS | use.offset

    def note_run(self, marks: Sequence[int], contents: Iterable[int], offset: int) -> bool:
        """Remember all of these, the first at `offset`.

        False: nothing was noted, since some are known or a generation ends among them; `note` them one by one.
        """
        newest = self._generations[0]
        count = len(newest) + len(marks)
        if count > _GENERATION_KEYS or self.has_any(marks):
            return False
        entries = [content << _OFFSET_BITS | at for at, content in enumerate(contents, offset)]
        newest.update(zip(marks, entries, strict=True))
        if len(newest) == count:
            return True
        for mark in marks:
            newest.pop(mark, None)
        return False

    def _get(self, mark: int) -> int | None:
        for generation in self._generations:
            entry = generation.get(mark)
            if entry is not None:
                return entry
        return None


def fingerprint(publisher: str, topic: str, key: str) -> int:
    """The 64 bits that stand for a key in this process."""
    return hash((publisher, topic, key))


def fingerprints(publishers: Iterable[str], topics: Iterable[str], keys: Iterable[str]) -> list[int]:
    """`fingerprint` of many."""
    return list(map(hash, zip(publishers, topics, keys, strict=True)))


_fields: Final = attrgetter(*(name for name in RULES if name not in ("topic", "key", "expires")))
_expires: Final = attrgetter("expires")


def content(message: Published | Scheduled | Publish) -> int:
    """The 64 bits that stand in this process for what a publisher says, `expires` as a number of ms from the start.

    Of what is scheduled that is from when it is due; when that is counts as it was asked for.
    """
    content_hash = hash(_fields(message))
    if isinstance(message, Scheduled):
        lives = message.expires and message.expires - message.due
        when = (0 if message.delay else message.due, message.delay)
        return hash((content_hash, lives, when)) & _CONTENT_MASK
    if isinstance(message, Publish) and message.is_scheduled:
        return hash((content_hash, message.expires * 1000, (message.at, message.delay))) & _CONTENT_MASK
    lives = message.expires
    if lives:
        lives = lives * 1000 if isinstance(message, Publish) else lives - message.time
    return (hash((content_hash, lives)) if lives else content_hash) & _CONTENT_MASK


def contents(messages: Sequence[Published | Publish]) -> list[int]:
    """`content` of many."""
    if any(map(_expires, messages)):
        return [content(message) for message in messages]
    return [content_hash & _CONTENT_MASK for content_hash in map(hash, map(_fields, messages))]
