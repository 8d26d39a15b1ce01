"""Messages that were taken twice: one key, one content, at brokers apart (docs/rules.md, TWINS). Pure.

A retry across a failover makes twins. They are one message: it stands where the first of them stands in this log, and
has the id of the smallest one, which all brokers compute alike. A vector that covers any of them covers the message: whose
vector it is has read past the first one in some log. All others are hidden rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Twin(NamedTuple):
    """An op that published a message, and the row of the log that it stands at. The smallest names the message."""

    origin: str
    sequence: int
    row: int


class Twins:
    """The messages that are held twice or more. The commit thread writes, under the state lock; lists grow or are made anew."""

    def __init__(self) -> None:
        self._by_row: dict[int, list[Twin]] = {}  # by the row that is shown, whose op is the first of the list
        self._by_topic: dict[int, list[list[Twin]]] = {}
        self._topics: dict[int, int] = {}  # by the row of any twin: its topic
        self.changes = 0  # how often something was added or removed

    def add(self, number: int, first: Twin, twin: Twin) -> None:
        """Note that `twin` published the message of topic `number` that is shown at the row of `first`."""
        self.changes += 1
        twins = self._by_row.get(first.row)
        if twins is None:
            twins = self._by_row[first.row] = [first]
            self._by_topic.setdefault(number, []).append(twins)
            self._topics[first.row] = number
        twins.append(twin)
        self._topics[twin.row] = number

    def remove(self, row: int) -> Twin | None:
        """Take the op at `row` out of its message, where it has twins: the one to show from now on, if it was the one shown."""
        number = self._topics.pop(row, 0)
        if not number:
            return None
        self.changes += 1
        messages = self._by_topic[number]
        twins = self._by_row.get(row) or next(twins for twins in messages if any(twin.row == row for twin in twins))
        rest = [twin for twin in twins if twin.row != row]
        others = [other for other in messages if other is not twins]
        del self._by_row[twins[0].row]
        self._by_topic[number] = [*others, rest] if len(rest) > 1 else others
        if len(rest) > 1:
            self._by_row[rest[0].row] = rest
        else:
            del self._topics[rest[0].row]
        return rest[0] if rest[0] is not twins[0] else None

    def of(self, row: int) -> Sequence[Twin]:
        """The ops that published the message that is shown at `row`; () where there is but one."""
        return self._by_row.get(row, ())

    def topic_of(self, row: int) -> int:
        """The topic of the message that the op at `row` published, where that has twins; else 0."""
        return self._topics.get(row, 0)

    def in_topic(self, number: int) -> Sequence[Sequence[Twin]]:
        """The messages of a topic that have twins: of each its ops, the one that is shown first."""
        return self._by_topic.get(number, ())
