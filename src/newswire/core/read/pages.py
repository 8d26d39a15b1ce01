"""Where in the log reading goes on, and for whom (docs/rules.md, READ). Data only; below the seam."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from newswire.core.model.results import Position
from newswire.core.model.vector import Vector


class LogPosition(msgspec.Struct, frozen=True, gc=False):
    """A place in this broker's log, between two records. Equal positions read on alike.

    `offset`: records before it. `opened`: K, what the broker held when the stream opened, empty once covered.
    `dropped`: (topic, reason, count) of due messages that are gone and no gap has told yet. `waiting`: how many that wait
    behind damage were told.
    """

    offset: int
    opened: tuple[tuple[str, int], ...] = ()
    dropped: tuple[tuple[str, str, int], ...] = ()
    waiting: int = 0
    generation: int = 0  # of the log that it is a place in: `State.generation`


class Wanted(msgspec.Struct, frozen=True, dict=True, weakref=True):
    """What a reader wants: for each subscription its pattern and what is known of it (nothing that this covers is due).

    `known` of () means: all before the position is known. Equal ones share what is read and encoded; the hash of one is
    worked out once, and so is what follows from it (`core.read.selection`).
    """

    patterns: tuple[str, ...]
    known: tuple[tuple[tuple[str, int], ...], ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.patterns, self.known))

    @property
    def worked_out(self) -> tuple[int, Any] | None:
        """What `keep` kept."""
        kept: tuple[int, Any] | None = self.__dict__.get("kept")
        return kept

    def keep(self, version: int, worked_out: object) -> None:
        """Remember what was worked out of this, and at which version of what it was worked out with."""
        self.__dict__["kept"] = (version, worked_out)


class ReadPosition(Position, frozen=True, gc=False):
    """What a `Position` is below the seam: a place in the log, and what is wanted from there on."""

    log: LogPosition
    wanted: Wanted


_in_use: Final[WeakValueDictionary[tuple[str, ...], Wanted]] = WeakValueDictionary()


def all_of(patterns: tuple[str, ...]) -> Wanted:
    """All that these match, one object for all that have it in use."""
    wanted_of = _in_use.get(patterns)
    if wanted_of is None:
        wanted_of = _in_use[patterns] = Wanted(patterns)
    return wanted_of


def as_items(vector: Vector) -> tuple[tuple[str, int], ...]:
    """A vector as a hashable value."""
    return tuple(sorted(vector.items()))
