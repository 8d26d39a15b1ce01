"""What was stored last, in memory: decoded messages for streams, records as they were written for links."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from newswire.core import limits
from newswire.core.model.ops import Op, Published


class MessageCache:
    """The newest messages, decoded, by offset: what live streams read. The commit thread writes, anyone reads."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Published] = OrderedDict()  # of a dict the oldest is ever slower to find
        self._bytes = 0

    def add(self, first: int, ops: Sequence[Op]) -> None:
        """Take the ops that are applied from offset `first` on; the oldest leave at the bounds."""
        for offset, op in enumerate(ops, first):
            if isinstance(op, Published):
                self._messages[offset] = op
                self._bytes += len(op.data)
        while len(self._messages) > limits.FRAME_CACHE_MESSAGES or self._bytes > limits.FRAME_CACHE_BYTES:
            self._bytes -= len(self._messages.popitem(last=False)[1].data)

    def get(self, offset: int) -> Published | None:
        """The message at `offset`, if it is here."""
        return self._messages.get(offset)


class RecordCache:
    """The newest records as they were written, by offset: what links push, mostly a moment later. Under the state lock."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, Sequence[bytes], int]] = deque()  # first offset, records, bytes
        self._bytes = 0

    def add(self, first: int, raws: Sequence[bytes]) -> None:
        """Take the records from offset `first` on, which follow the last ones; the oldest batches leave at the bound."""
        if not raws:
            return
        size = sum(map(len, raws))
        self._batches.append((first, raws, size))
        self._bytes += size
        while self._bytes > limits.TAIL_BYTES:
            self._bytes -= self._batches.popleft()[2]

    def get(self, rows: Sequence[int]) -> list[bytes] | None:
        """The records at these offsets, which ascend; None if not all of them are here."""
        if not self._batches or rows[0] < self._batches[0][0]:
            return None
        records: list[bytes] = []
        batches: list[tuple[int, Sequence[bytes]]] = []
        for first, raws, _ in reversed(self._batches):  # from the end, where most are that are asked for
            batches.append((first, raws))
            if first <= rows[0]:
                break
        for first, raws in reversed(batches):
            while len(records) < len(rows) and rows[len(records)] < first + len(raws):
                if rows[len(records)] < first:
                    return None  # what waited behind damage has come between two batches
                records.append(raws[rows[len(records)] - first])
        return records if len(records) == len(rows) else None
