"""A run of messages by the column: what the fold needs of each, without the ops. Pure.

It is what most of a log is made of, and a batch. It can be made in one process and folded in another that was forked from
the same: hashes of strings are those of one process and its children (`core.state.keys`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from newswire.core.model.ops import Published
from newswire.core.state.keys import contents, fingerprints

_expires: Final = attrgetter("expires")
_asks: Final = attrgetter("confirm")
_about: Final = attrgetter("about")
_replaces: Final = attrgetter("replaces")


class MessageRun(msgspec.Struct, frozen=True):
    """Messages of one origin, each the next, from the sequence `first` on; none of them was stored `again`.

    `names`: topics, each once; `topics`: by message, which of these it has. `marks`, `contents`: of keys (`core.state.keys`),
    no two of them the same; where one message has none, none has. `lifetimes`: which messages have a time, and how many ms.
    """

    origin: str
    first: int
    times: Sequence[int]
    names: Sequence[str]
    topics: Sequence[int]
    marks: Sequence[int]
    contents: Sequence[int]
    lifetimes: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.times)

    def packed(self) -> MessageRun:
        """The same with arrays for columns: how it travels."""
        return msgspec.structs.replace(
            self,
            times=array("Q", self.times),
            topics=array("I", self.topics),
            marks=array("q", self.marks),
            contents=array("Q", self.contents),
        )


def run_of(messages: Sequence[Published]) -> MessageRun | None:
    """The run that these are, of which `runs.are_run` is true; None where some have keys and others not, or two the same.

    None also where one asks to be confirmed, is about one that did, or replaces one: those are few, and looked at one by one.
    """
    if any(map(_asks, messages)) or any(map(_about, messages)) or any(map(_replaces, messages)):
        return None
    topics, keys = [op.topic for op in messages], [op.key for op in messages]
    marks: list[int] = []
    if any(keys):
        marks = fingerprints([op.publisher for op in messages], topics, keys)
        if not all(keys) or len(set(marks)) < len(marks):
            return None
    numbers = {name: number for number, name in enumerate(dict.fromkeys(topics))}
    mortal = [(at, op) for at, op in enumerate(messages) if op.expires] if any(map(_expires, messages)) else ()
    return MessageRun(
        origin=messages[0].origin,
        first=messages[0].sequence,
        times=[op.time for op in messages],
        names=list(numbers),
        topics=[numbers[topic] for topic in topics],
        marks=marks,
        contents=contents(messages) if marks else (),
        lifetimes=[(at, max(0, op.expires - op.time)) for at, op in mortal],
    )
