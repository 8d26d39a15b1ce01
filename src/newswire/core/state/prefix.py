"""The part of a log that is written anew, copied, and what of it may be left out at all (docs/rules.md, COMPACT). Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

from newswire.core.model.ops import Op, OpId
from newswire.core.model.vector import FullVector, Vector


class Prefix:
    """A copy of the first rows of a log: what is to be decided about."""

    def __init__(self, cut: int) -> None:
        self.cut = cut  # rows
        self.places, self.lengths = array("Q"), array("I")
        self.origins, self.sequences, self.topics = array("I"), array("I"), array("I")
        self.times = array("Q")
        self.origin_names: Sequence[str] = ()
        self.topic_names: Sequence[str] = ()
        self.twins: Sequence[Sequence[int]] = ()  # of each message that has twins the rows
        self.scheduled: Sequence[tuple[Sequence[int], Sequence[int]]] = ()  # rows of ops that schedule one, and that publish it
        self.copies: Mapping[OpId, Sequence[int]] = {}  # by first id, rows of what stored a message again, or published it
        self.asking: Mapping[OpId, int] = {}  # messages that ask to be confirmed, and their rows
        self.pinned: frozenset[int] = frozenset()  # rows of messages that stay while what they are about does
        self.replacing: Mapping[int, OpId] = {}  # rows of messages that replace one, and which
        self.keyed = bytearray()  # by row, whether a publisher's key that is remembered names the message there
        self.ops: dict[int, Op] = {}  # by row, what is no message that is shown, and none of these:
        self.sign_ins: Mapping[str, Sequence[int]] = {}  # their rows, ascending, by what the audit trail says
        self.unreadable: frozenset[int] = frozenset()  # rows that were given up, and whose records cannot be read


class Base:
    """What several brokers hold, each of them: what may be left out. Closed under `began`, since each is."""

    def __init__(self, vectors: Sequence[FullVector]) -> None:
        self._vectors = vectors
        self._reach: dict[str, int] = {}  # what `get` said: it is asked for each op

    def get(self, origin: str) -> int:
        """How far an origin is held everywhere."""
        reach = self._reach.get(origin)
        if reach is None:
            reach = self._reach[origin] = min((vector.get(origin) for vector in self._vectors), default=0)
        return reach

    def holds(self, vector: Vector) -> bool:
        """Say whether all hold what `vector` lists."""
        return all(one.holds(vector) for one in self._vectors)
