"""PUBLISH, KEY (docs/rules.md): which message a publisher's key names already, by what is stored and what is staged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from newswire.core.model.commands import Publish, Request
from newswire.core.model.ops import OpId, Published, Scheduled, split_op_id
from newswire.core.state.fold import State
from newswire.core.state.keys import content, fingerprint, fingerprints
from newswire.errors import KeyReused


class Key(NamedTuple):
    """A publisher's key: what stands for it, and the stored message that it names; "" for none."""

    mark: int
    first: OpId


class KeyLookup:
    """The keys of the batch that gathers, beside those of the log. Commit thread only."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._staged: dict[int, Published | Scheduled] = {}  # by what stands for its key
        self.shifts: tuple[int, ...] = (0,)  # see `clock.WallClock.shifts`: a retry is known across a clock that is set

    def clear(self) -> None:
        """Begin the next batch."""
        self._staged = {}

    def note(self, key: Key, op: Published | Scheduled) -> None:
        """`op` is staged under this key."""
        self._staged[key.mark] = op

    def note_all(self, marks: Iterable[int], run: Iterable[Published]) -> None:
        """These are staged under the keys for which `marks` stand; no marks: without keys."""
        self._staged.update(zip(marks, run, strict=False))

    def unstage(self, ids: Collection[OpId]) -> None:
        """These are staged no more."""
        self._staged = {mark: op for mark, op in self._staged.items() if op.id not in ids}

    def first_under(self, key: Key | None) -> OpId:
        """The message, stored or staged, that has this key; "" for none."""
        if key is None or key.first:
            return key.first if key else ""
        staged = self._staged.get(key.mark)
        return staged.id if staged else ""

    def new_marks(self, messages: Sequence[Publish]) -> list[int] | None:
        """What stands for the keys of all; [] where none has one. None where one is known or there twice, or some have none."""
        keys = [message.key for message in messages]
        if not any(keys):
            return []
        marks = fingerprints([message.publisher for message in messages], [message.topic for message in messages], keys)
        is_new = (
            all(keys)
            and len(set(marks)) == len(marks)
            and self._staged.keys().isdisjoint(marks)
            and not self.state.messages.keys.has_any(marks)
        )
        return marks if is_new else None

    def look_up(self, requests: Sequence[Request], wall: int) -> list[Key | None]:
        """The key of each request that gives one. Raises KeyReused, with the index, if one names another content."""
        keys: list[Key | None] = []
        contents: dict[int, int] = {}
        for at, request in enumerate(requests):
            if not (isinstance(request, Publish) and request.key):
                keys.append(None)
                continue
            mark, said = mark_of(request), content(request)
            try:
                keys.append(Key(mark, self._first(request, mark, said, wall)))
            except KeyReused as error:
                error.extra["index"] = at
                raise
            if contents.setdefault(mark, said) != said:
                raise KeyReused(_reused(request, "in the same batch"), index=at)
        return keys

    def stores_nothing(self, requests: Sequence[Request], wall: int) -> bool:
        """Say whether every one of these publishes what is in the log or staged, or is refused for its key."""
        try:
            return all(
                isinstance(request, Publish) and request.key and self._first(request, mark_of(request), content(request), wall)
                for request in requests
            )
        except KeyReused:
            return True

    def _first(self, request: Publish, mark: int, said: int, wall: int) -> OpId:
        """The message that `request` publishes again; "" for none. Raises KeyReused."""
        messages = self.state.messages
        others: list[OpId] = []
        for use in messages.keys.uses(mark):
            if any(messages.is_same_day(use.offset, wall + shift) for shift in self.shifts):
                if use.content == said:
                    return messages.name(use.offset)
                others.append(messages.name(use.offset))
        staged = self._staged.get(mark)
        if staged is not None:
            if content(staged) == said:
                return staged.id
            others.append(staged.id)
        if others:
            name = min(others, key=split_op_id)
            raise KeyReused(_reused(request, f"for the message {name}"), id=name)
        return ""


def names_any(requests: Sequence[Request], marks: frozenset[int]) -> bool:
    """Say whether one of these publishes under one of these keys."""
    return bool(marks) and any(isinstance(one, Publish) and one.key and mark_of(one) in marks for one in requests)


def mark_of(request: Publish) -> int:
    """What stands for the key of a message."""
    return fingerprint(request.publisher, request.topic, request.key)


def _reused(request: Publish, where: str) -> str:
    return (
        f"the key {request.key} was used on {request.topic} {where}, which says something else: nothing was stored;"
        " a new message needs a new key, a retry the same words"
    )
