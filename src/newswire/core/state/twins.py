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
        self._groups: dict[int, list[Twin]] = {}  # by the row of any twin: all of them, first the one whose row is shown
        self._by_topic: dict[int, list[list[Twin]]] = {}
        self._topics: dict[int, int] = {}  # by the row of any twin: its topic
        self.changes = 0  # how often something was added or removed, or shown or not

    def add(self, number: int, first: Twin, twin: Twin) -> None:
        """Note that `twin` published the message of topic `number` that is shown at the row of `first`."""
        self.changes += 1
        twins = self._groups.get(first.row)
        if twins is None:
            twins = self._groups[first.row] = [first]
            self._by_topic.setdefault(number, []).append(twins)
            self._topics[first.row] = number
        twins.append(twin)
        self._groups[twin.row] = twins
        self._topics[twin.row] = number

    def remove(self, row: int) -> None:
        """Take the op at `row` out of its message, where it has twins."""
        twins = self._groups.pop(row, None)
        if twins is None:
            return
        self.changes += 1
        number = self._topics.pop(row)
        rest = [twin for twin in twins if twin.row != row]
        others = [other for other in self._by_topic[number] if other is not twins]
        self._by_topic[number] = [*others, rest] if len(rest) > 1 else others
        for twin in rest:
            if len(rest) > 1:
                self._groups[twin.row] = rest
            else:
                del self._groups[twin.row], self._topics[twin.row]

    def of(self, row: int) -> Sequence[Twin]:
        """The ops that published the message that is shown at `row`; () where there is but one."""
        twins = self._groups.get(row, ())
        return twins if twins and twins[0].row == row else ()

    def first_row(self, row: int) -> int:
        """The row at which the message that the op at `row` published is shown."""
        twins = self._groups.get(row)
        return twins[0].row if twins else row

    def rows(self) -> list[list[int]]:
        """The rows of each message that has twins, the one that is shown first."""
        return [[twin.row for twin in twins] for groups in self._by_topic.values() for twins in groups]

    def topic_of(self, row: int) -> int:
        """The topic of the message that the op at `row` published, where that has twins; else 0."""
        return self._topics.get(row, 0)

    def in_topic(self, number: int) -> Sequence[Sequence[Twin]]:
        """The messages of a topic that have twins: of each its ops, the one that is shown first."""
        return self._by_topic.get(number, ())
