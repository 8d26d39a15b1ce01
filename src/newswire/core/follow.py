"""What is due after a position (docs/rules.md, READ). Pure over the state; the engine fetches the texts afterwards.

A page is cut after filtering, never before, and looks at a bounded part of the log (`limits.SCAN_ROWS`). Which of its rows
are due is found beside the state lock: rows and names of topics that are there never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.event_id import EventId
from newswire.core.matching import Match
from newswire.core.ops import Message, op_id
from newswire.core.pieces import Pieces, finish
from newswire.core.reading import Entry, Gap, Page, Position, Wanted, all_of
from newswire.core.selection import Selection, Stretch
from newswire.core.state import State

_SKIP_SCANS: Final = 4  # so many scans ahead at least, or going on by rows is as good


class Due(msgspec.Struct, frozen=True):
    """A message that is due: the row that names it, where that record lies, and what an `Entry` says beside the text.

    `row` is the message's own, or that of the twin whose id it has; `position` always follows its own.
    """

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
    """`read_on` in one go."""
    return finish(read_on(state, at, wanted, limit, scan))


def read_on(state: State, at: Position, wanted: Wanted, limit: int, scan: int = limits.SCAN_ROWS) -> Pieces[Plan]:
    """Up to `limit` entries due after `at`, looking at no more than `scan` records, or skipping to the next that is due.

    A page says what was in the log when its rows were copied; what came meanwhile is `more`.
    """
    selection = yield from Selection.of(state, wanted)
    start = at.offset
    stop = min(len(state.log), start + scan)
    rows = Stretch(state, start, stop)
    most = max(limit, limits.PIECE_ROWS) if state.messages.horizons else limit  # some may be dropped
    due: list[int] = yield partial(selection.due_rows, rows, most)
    if len(due) == most:
        stop = due[-1] + 1
    elif not due and stop - start == scan:
        stop = yield from _skip(state, selection, stop, scan)
    return _Walk(state, at, wanted, selection).run(due, limit, stop)


def _skip(state: State, selection: Selection, start: int, scanned: int) -> Pieces[int]:
    """The offset of the next record that may be due, found by topic instead of by row; `start` where rows are cheaper.

    It looks at each topic that may match, so as many rows are looked at in vain before: it never costs more than they did.
    """
    selection.fruitless += scanned
    topics = selection.topics(state)
    end = len(state.log)
    if end - start < scanned * _SKIP_SCANS or selection.fruitless < len(topics):
        return start
    selection.fruitless = 0
    messages = state.messages
    active: list[tuple[int, Match[int]]] = yield partial(selection.active, messages.names, topics, messages.newest[:], start)
    first, looked_at = end, 0
    for number, match in active:
        first = min(first, selection.first_due(state, number, match, start))
        looked_at += len(messages.sequences[number])
        if looked_at >= limits.PIECE_TOPICS:
            looked_at = 0
            yield None
    return first


class _Walk:
    """One reading of a stretch of the log: the vector rolls along, gaps gather until something stands behind them."""

    def __init__(self, state: State, at: Position, wanted: Wanted, selection: Selection) -> None:
        self.state, self.log, self.at, self.wanted, self.selection = state, state.log, at, wanted, selection
        self.vector = state.log.vector_at(at.offset)
        self.rolled = at.offset
        self.opened: Mapping[str, int] = dict(at.opened)
        self.opened_until = state.log.end_of(self.opened)
        self.dropped: dict[str, int] = dict(at.dropped)
        self.items: list[Due | Gap] = []

    def run(self, due: Sequence[int], limit: int, stop: int) -> Plan:
        """The page of the rows `due`, up to `limit` entries, which ends at `stop` if they do not fill it."""
        end = len(self.log)
        offset = stop
        for row in due:
            self._take(row, self.log.topics[row])
            if len(self.items) >= limit:
                offset = row + 1
                break
        if offset >= end:
            self._tell_gaps(end)
        return self._plan(offset, more=offset < end)

    def _take(self, row: int, topic: int) -> None:
        log, messages = self.log, self.state.messages
        name, twins = messages.names[topic], messages.twins.of(row)
        if twins and self.selection.knows(self.selection.patterns.match(name), twins):
            return
        if name in messages.horizons and messages.is_dropped(topic, row):
            self.dropped[name] = self.dropped.get(name, 0) + 1
            return
        self._tell_gaps(row)
        self._roll(row + 1)
        named = messages.name_row(row) if twins else row
        event_id = EventId(op_id(log.names[log.origins[named]], log.sequences[named]), dict(self.vector), self.opened)
        self.items.append(Due(named, log.places[named], log.lengths[named], event_id, self._position(row + 1)))

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
        if offset - self.rolled > limits.CHECKPOINT_ROWS:
            self.vector = self.log.vector_at(offset)
        else:
            self.vector = self.log.advance(self.vector, self.rolled, offset)
        self.rolled = offset
        if offset >= self.opened_until:
            self.opened = {}

    def _position(self, offset: int) -> Position:
        return Position(offset, tuple(self.opened.items()), tuple(sorted(self.dropped.items())))

    def _plan(self, offset: int, *, more: bool) -> Plan:
        self._roll(offset)
        wanted = self.wanted
        if wanted.known and self.state.lineage.covers_all(self.vector, self.selection.all_known):
            wanted = all_of(tuple(sorted(set(wanted.patterns))))
        event_id = EventId("", dict(self.vector), self.opened)
        return Plan(tuple(self.items), self._position(offset), event_id, wanted, more)
