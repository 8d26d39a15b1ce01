"""What was stored last, in memory, by place: decoded messages for streams, records as they were written for links.

A place names one record for as long as the process runs, also when a log was rewritten meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from newswire.core import limits
from newswire.core.model.ops import Op, Published


class MessageCache:
    """The newest messages, decoded: what live streams read. The commit thread writes, anyone reads."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Published] = OrderedDict()  # of a dict the oldest is ever slower to find
        self._bytes = 0

    def add(self, places: Sequence[tuple[int, int]], ops: Sequence[Op]) -> None:
        """Take the ops whose records lie at these (place, length); the oldest leave at the bounds."""
        messages = {place: op for (place, _), op in zip(places, ops, strict=True) if type(op) is Published}
        self._messages.update(messages)
        self._bytes += sum([len(op.data) for op in messages.values()])
        while len(self._messages) > limits.FRAME_CACHE_MESSAGES or self._bytes > limits.FRAME_CACHE_BYTES:
            self._bytes -= len(self._messages.popitem(last=False)[1].data)

    def get(self, place: int) -> Published | None:
        """The message whose record lies at `place`, if it is here."""
        return self._messages.get(place)


class RecordCache:
    """The newest records as they were written: what links push, a moment later. The commit thread writes, anyone reads."""

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}
        self._batches: deque[tuple[Sequence[tuple[int, int]], int]] = deque()  # where they lie, bytes
        self._bytes = 0

    def add(self, places: Sequence[tuple[int, int]], raws: Sequence[bytes]) -> None:
        """Take the records at these (place, length); the oldest batches leave at the bound."""
        if not raws:
            return
        size = sum(map(len, raws))
        self._records.update(zip([place for place, _ in places], raws, strict=True))
        self._batches.append((places, size))
        self._bytes += size
        while self._bytes > limits.TAIL_BYTES:
            old, size = self._batches.popleft()
            self._bytes -= size
            for place, _ in old:
                self._records.pop(place, None)

    def get(self, places: Sequence[tuple[int, int]]) -> list[bytes] | None:
        """The records at these places; None if not all of them are here."""
        records = [raw for place, _ in places if (raw := self._records.get(place)) is not None]
        return records if len(records) == len(places) else None
