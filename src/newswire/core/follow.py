"""What is due after a position: DESIGN 4, READ. Pure over the state; the engine fetches the texts afterwards.

A page is cut after filtering, never before, and looks at a bounded part of the log (`limits.SCAN_ROWS`), so that one
call holds the state lock for less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from newswire.core import limits
from newswire.core.event_id import EventId
from newswire.core.ops import Message, op_id
from newswire.core.reading import Entry, Gap, Page, Position, Wanted
from newswire.core.state import State
from newswire.core.vector import Vector


class Due(msgspec.Struct, frozen=True):
    """A message that is due: its offset, where its record lies, and what an `Entry` says beside the text."""

    row: int
    place: int
    length: int
    event_id: EventId
    position: Position


class Plan(msgspec.Struct, frozen=True):
    """A page without its texts."""

    items: tuple[Due | Gap, ...]
    position: Position
    event_id: EventId
    wanted: Wanted
    more: bool

    def page(self, texts: Sequence[Message]) -> Page:
        """The page, given the message of each `Due` in order."""
        left = iter(texts)
        entries = (Entry(next(left), i.event_id, i.position) if isinstance(i, Due) else i for i in self.items)
        return Page(tuple(entries), self.position, self.event_id, self.wanted, self.more)

    @property
    def dues(self) -> list[Due]:
        """What has to be fetched."""
        return [item for item in self.items if isinstance(item, Due)]


def plan(state: State, at: Position, wanted: Wanted, limit: int, scan: int = limits.SCAN_ROWS) -> Plan:
    """Up to `limit` entries due after `at`, looking at no more than `scan` records."""
    return _Walk(state, at, wanted).run(limit, scan)


class _Walk:
    """One reading of a stretch of the log: the vector rolls along, gaps gather until something stands behind them."""

    def __init__(self, state: State, at: Position, wanted: Wanted) -> None:
        self.state, self.log, self.at, self.wanted = state, state.log, at, wanted
        self.vector = state.log.vector_at(at.offset)
        self.rolled = at.offset
        self.opened: Mapping[str, int] = dict(at.opened)
        self.dropped: dict[str, int] = dict(at.dropped)
        self.items: list[Due | Gap] = []
        self.is_due = self._filter()

    def run(self, limit: int, scan: int) -> Plan:
        end = len(self.log)
        stop = min(end, self.at.offset + scan)
        offset = stop
        topics = {n for pattern in self.wanted.patterns for n in self.state.messages.matching(pattern)}
        for row, topic in enumerate(self.log.topics[self.at.offset : stop], self.at.offset):
            if topic in topics and self.is_due(row, topic):
                self._take(row, topic)
                if len(self.items) >= limit:
                    offset = row + 1
                    break
        if offset >= end:
            self._tell_gaps(end)
        return self._plan(offset, more=offset < end)

    def _take(self, row: int, topic: int) -> None:
        log = self.log
        origin, sequence = log.names[log.origins[row]], log.sequences[row]
        if self.state.messages.is_dropped(topic, origin, sequence):
            name = self.state.messages.names[topic]
            self.dropped[name] = self.dropped.get(name, 0) + 1
            return
        self._tell_gaps(row)
        self._roll(row + 1)
        event_id = EventId(op_id(origin, sequence), dict(self.vector), self.opened)
        self.items.append(Due(row, log.places[row], log.lengths[row], event_id, self._position(row + 1)))

    def _tell_gaps(self, row: int) -> None:
        """If counted: a `gap` a topic. Only the last has an id, with the vector before `row`: it says that all were told."""
        if not self.dropped:
            return
        self._roll(row)
        told = sorted(self.dropped.items())
        for name, count in told[:-1]:
            del self.dropped[name]
            self.items.append(Gap(name, count, None, self._position(row)))
        self.dropped = {}
        self.items.append(Gap(*told[-1], EventId("", dict(self.vector), self.opened), self._position(row)))

    def _roll(self, offset: int) -> None:
        self.vector = self.log.advance(self.vector, self.rolled, offset)
        self.rolled = offset
        if self.opened and self.state.lineage.covers_all(self.vector, self.opened):
            self.opened = {}

    def _position(self, offset: int) -> Position:
        return Position(offset, tuple(self.opened.items()), tuple(sorted(self.dropped.items())))

    def _plan(self, offset: int, *, more: bool) -> Plan:
        self._roll(offset)
        wanted = self.wanted
        if wanted.known and all(self.state.lineage.covers_all(self.vector, dict(known)) for known in wanted.known):
            wanted = Wanted(tuple(sorted(set(wanted.patterns))))
        event_id = EventId("", dict(self.vector), self.opened)
        return Plan(tuple(self.items), self._position(offset), event_id, wanted, more)

    def _filter(self) -> Callable[[int, int], bool]:
        """Whether a row of a wanted topic is due: always when all before the position is known, else by subscription."""
        if not self.wanted.known:
            return lambda row, topic: True
        lineage, log = self.state.lineage, self.log
        known: list[tuple[set[int], Vector]] = [
            (set(self.state.messages.matching(pattern)), lineage.expand(dict(items)))
            for pattern, items in zip(self.wanted.patterns, self.wanted.known, strict=True)
        ]

        def is_due(row: int, topic: int) -> bool:
            origin, sequence = log.names[log.origins[row]], log.sequences[row]
            return any(topic in numbers and full.get(origin, 0) < sequence for numbers, full in known)

        return is_due
