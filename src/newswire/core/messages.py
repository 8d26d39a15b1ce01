"""What the fold keeps of messages: topics, who published what where, retention's horizons, publishers' keys.

Kept per message: one sequence number in the array of its (topic, origin), and for a while a hash of its key. The text
stays on disk. What retention dropped stays counted, so `index` and `unread` stay exact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

from newswire.core import limits
from newswire.core.ops import Message
from newswire.core.vector import Lineage, Vector

_GENERATIONS: Final = 4  # of keys: the oldest quarter is forgotten at a time
_GENERATION_KEYS: Final = limits.KEYS_COUNT // _GENERATIONS
_GENERATION_MILLISECONDS: Final = limits.KEY_SECONDS * 1000 // _GENERATIONS


class Keys:
    """Publishers' keys, each with the offset of the message that it first named (DESIGN 5, Keys).

    A (publisher, topic, key) is kept as 96 bits: Python's hash of the three, seeded anew in each process, beside a CRC
    of the key. Two are taken for one only if both agree: of different keys, once in 10^22 look-ups of a full memory.
    """

    def __init__(self) -> None:
        self._generations: list[dict[int, int]] = [{}]
        self._began = 0  # time (ms) of the first key of the newest generation

    def find(self, print_: int) -> int | None:
        """The offset that `print_` was noted with."""
        for generation in self._generations:
            offset = generation.get(print_)
            if offset is not None:
                return offset
        return None

    def note(self, print_: int, offset: int, time: int) -> bool:
        """Remember `print_`, stamped `time` (ms), unless it is known (False); the oldest are forgotten by age and count."""
        for generation in self._generations:
            if print_ in generation:
                return False
        newest = self._generations[0]
        if len(newest) >= _GENERATION_KEYS or time - self._began > _GENERATION_MILLISECONDS:
            if newest:
                self._generations.insert(0, newest := {})
                del self._generations[_GENERATIONS:]
            self._began = time
        newest[print_] = offset
        return True

    def note_run(self, prints: Sequence[int], offset: int, latest: int) -> bool:
        """Remember all of these, the first with `offset`, none stamped after `latest` (ms).

        False: nothing was noted, since some are known or a generation ends among them; `note` them one by one.
        """
        newest = self._generations[0]
        count = len(newest) + len(prints)
        if count > _GENERATION_KEYS or latest - self._began > _GENERATION_MILLISECONDS:
            return False
        if not all(held.keys().isdisjoint(prints) for held in self._generations):
            return False
        for at, print_ in enumerate(prints, offset):
            newest[print_] = at
        if len(newest) == count:
            return True
        for print_ in prints:
            newest.pop(print_, None)
        return False


def fingerprint(publisher: str, topic: str, key: str) -> int:
    """The 96 bits that stand for a key in this process."""
    return hash((publisher, topic, key)) << 32 | crc32(key.encode(errors="surrogatepass"))


def fingerprints(named: Iterable[tuple[str, str, str]], keys: Sequence[str]) -> list[int]:
    """`fingerprint` of many: of each its publisher, topic and key, and the keys once more."""
    return [high << 32 | low for high, low in zip(map(hash, named), map(crc32, map(str.encode, keys)), strict=True)]


class Messages:
    """Topics by number (from 1) and each one's visible messages by origin. Commit thread writes, under the state lock."""

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.names: list[str] = [""]
        self.numbers: dict[str, int] = {}
        self.sequences: list[dict[str, array[int]]] = [{}]  # by topic number: origin -> sequences, ascending
        self.last: list[int] = [0]  # by topic number: newest time stamp, ms
        self.newest = array("I", (0,))  # by topic number: offset of the message that was applied last
        self.horizons: dict[str, dict[str, int]] = {}  # by topic: what retention has dropped; also of topics not seen yet
        self.keys = Keys()

    def number(self, topic: str) -> int:
        """The number of `topic`, given at its first message."""
        number = self.numbers.get(topic)
        if number is None:
            number = self.numbers[topic] = len(self.names)
            self.names.append(topic)
            self.sequences.append({})
            self.last.append(0)
            self.newest.append(0)
        return number

    def take(self, op: Message, offset: int) -> int:
        """APPLY msg, at `offset`: the number of its topic, 0 for a twin.

        A twin's (publisher, topic, key) is in this log already: it stays hidden here.
        """
        key, topic = op.key, op.topic
        if key and not self.keys.note(fingerprint(op.publisher, topic, key), offset, op.time):
            return 0
        number = self.numbers.get(topic) or self.number(topic)
        self._add(number, op.origin, op.sequence)
        self.newest[number] = offset
        if op.time > self.last[number]:
            self.last[number] = op.time
        return number

    def take_run(self, ops: Sequence[Message], offset: int, times: Sequence[int]) -> list[int]:
        """`take` many of one origin, the first at `offset`: what recovery is made of, so by the column where that can be."""
        keys, topics = [op.key for op in ops], [op.topic for op in ops]
        if any(keys):
            publishers = [op.publisher for op in ops]
            if not all(keys) or not self.keys.note_run(
                fingerprints(zip(publishers, topics, keys, strict=True), keys), offset, max(times)
            ):
                return [self.take(op, at) for at, op in enumerate(ops, offset)]
        origin, last, newest = ops[0].origin, self.last, self.newest
        numbers = [self.numbers.get(topic) or self.number(topic) for topic in topics]
        for at, (op, number, time) in enumerate(zip(ops, numbers, times, strict=True), offset):
            self._add(number, origin, op.sequence)
            newest[number] = at
            if time > last[number]:
                last[number] = time
        return numbers

    def _add(self, number: int, origin: str, sequence: int) -> None:
        by_origin = self.sequences[number]
        if origin in by_origin:
            by_origin[origin].append(sequence)
        else:
            by_origin[origin] = array("I", (sequence,))

    def drop(self, topic: str, vector: Vector) -> None:
        """APPLY dropped(topic, V): horizon[topic] := max(horizon, V)."""
        self.horizons[topic] = self.lineage.join(self.horizons.get(topic, {}), vector)

    def is_dropped(self, number: int, origin: str, sequence: int) -> bool:
        """Say whether retention removed this message."""
        horizon = self.horizons.get(self.names[number])
        return horizon is not None and self.lineage.covers(horizon, origin, sequence)

    def count(self, number: int) -> int:
        """How many messages of a topic retention has left."""
        return sum(map(len, self.sequences[number].values())) - self.count_covered(number, {})

    def count_covered(self, number: int, vector: Vector) -> int:
        """How many messages of a topic, dropped ones included, `vector` or the horizon covers."""
        full = self.lineage.expand(self.lineage.join(vector, self.horizons.get(self.names[number], {})))
        return sum(bisect_right(held, full.get(origin, 0)) for origin, held in self.sequences[number].items())
