"""What is due after a position (docs/rules.md, READ). Pure over the state; the engine fetches the texts afterwards.

A page is cut after filtering, never before, and looks at a bounded part of the log (`limits.SCAN_ROWS`). Which of its rows
are due is found beside the state lock: rows and names of topics that are there never change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.matching import Match
from newswire.core.model.ops import OpId, Published, op_id
from newswire.core.model.results import Entry, GapEntry, Page, WithdrawalEntry
from newswire.core.read.pages import LogPosition, ReadPosition, Wanted, all_of
from newswire.core.read.pieces import Pieces, finish
from newswire.core.read.selection import Selection, Stretch, void_rows
from newswire.core.state.fold import State
from newswire.core.state.op_index import GIVEN_UP, MARKS, VOID, WITHDRAWN

_SKIP_SCANS: Final = 4  # so many scans ahead at least, or going on by rows is as good


class Due(msgspec.Struct, frozen=True, gc=False):
    """A message that is due: the row that names it, where that record lies, and what an `Entry` says beside the text.

    `row` is the message's own, or that of the twin whose id it has; `position` always follows its own.
    """

    row: int
    place: int
    length: int
    coverage: Coverage
    position: LogPosition


class DueGap(msgspec.Struct, frozen=True):
    """A `GapEntry`, and where in the log reading goes on behind it."""

    topic: str
    dropped: int
    coverage: Coverage | None
    position: LogPosition
    reason: str = ""


class DueWithdrawal(msgspec.Struct, frozen=True):
    """A `WithdrawalEntry`, and where in the log reading goes on behind it."""

    topic: str
    id: OpId
    original: OpId
    coverage: Coverage
    position: LogPosition


class Plan(msgspec.Struct, frozen=True):
    """A page without its texts. `moved`: see `Page`."""

    items: tuple[Due | DueGap | DueWithdrawal, ...]
    position: LogPosition
    coverage: Coverage
    wanted: Wanted
    more: bool
    moved: bool = False

    def page(self, texts: Sequence[Published], wanted: Wanted) -> Page:
        """The page that was read with `wanted`, given the message of each `Due` in order.

        Within the page reading goes on with `wanted`: what is not to be known any more holds only behind all of it.
        """
        rest, entries = iter(texts), list[Entry | GapEntry | WithdrawalEntry]()
        for item in self.items:
            position, pending = ReadPosition(item.position, wanted), bool(item.position.dropped)
            if isinstance(item, Due):
                entries.append(Entry(message=next(rest), event_id=write(item.coverage), position=position, pending_gap=pending))
            elif isinstance(item, DueWithdrawal):
                entries.append(
                    WithdrawalEntry(
                        topic=item.topic,
                        id=item.id,
                        original=item.original,
                        event_id=write(item.coverage),
                        position=position,
                        pending_gap=pending,
                    )
                )
            else:
                event_id = write(item.coverage) if item.coverage is not None else None
                entries.append(
                    GapEntry(
                        topic=item.topic,
                        dropped=item.dropped,
                        event_id=event_id,
                        position=position,
                        reason=item.reason,
                        pending_gap=pending,
                    )
                )
        return Page(
            tuple(entries),
            ReadPosition(self.position, self.wanted),
            write(self.coverage),
            more=self.more,
            pending_gap=bool(self.position.dropped),
            moved=self.moved,
        )

    @property
    def dues(self) -> list[Due]:
        """What has to be fetched."""
        return [item for item in self.items if isinstance(item, Due)]


def plan(
    state: State,
    at: LogPosition,
    wanted: Wanted,
    limit: int,
    scan: int = limits.SCAN_ROWS,
    unreadable: frozenset[int] = frozenset(),
) -> Plan:
    """`read_on` in one go."""
    return finish(read_on(state, at, wanted, limit, scan, unreadable))


def read_on(
    state: State,
    at: LogPosition,
    wanted: Wanted,
    limit: int,
    scan: int = limits.SCAN_ROWS,
    unreadable: frozenset[int] = frozenset(),
) -> Pieces[Plan]:
    """Up to `limit` entries due after `at`, found by topic where few are named, else by looking at up to `scan` records.

    A page says what was in the log when its rows were looked up or copied; what came meanwhile is `more`. It ends before a
    due message whose record cannot be read: one of `unreadable`, or known to the state.
    """
    offset = state.find_offset(at.offset, at.generation)
    if offset is None:
        return Plan(items=(), position=at, coverage=Coverage("", {}), wanted=wanted, more=True, moved=True)
    if at.generation != state.generation:
        at = msgspec.structs.replace(at, offset=offset, generation=state.generation)
    selection = yield from Selection.of(state, wanted)
    start, end = at.offset, len(state.log)
    most = max(limit, limits.PIECE_ROWS) if state.messages.horizons else limit  # some may be dropped
    columns = selection.columns(state)
    if columns is not None:
        lost = [row for row, _ in state.given_up if row >= start]
        lost += void_rows(state, selection.topics(state), start)
        lost += state.messages.told_rows(selection.topics(state), start, most)
        due, stop = sorted({*selection.rows_by_topic(state, columns, start, most), *lost})[:most], end
        yield None
    else:
        stop = min(end, start + scan)
        due = yield partial(selection.due_rows, Stretch(state, start, stop), most)
    if len(due) == most:
        stop = due[-1] + 1
    elif not due and columns is None and stop - start == scan:
        stop = yield from _skip(state, selection, stop, scan)
    return _Walk(state, at, wanted, selection, unreadable).run(due, limit, stop, scan)


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
    told = [row for row, _ in state.given_up if row >= start] + void_rows(state, (number for number, _ in active), start)
    told += state.messages.told_rows(topics, start, 1)
    first, looked_at = min(told, default=end), 0
    for number, match in active:
        columns = [(match, *column) for column in messages.sequences[number].items()]
        first = min([first, *selection.rows_by_topic(state, columns, start, 1)])
        looked_at += len(columns)
        if looked_at >= limits.PIECE_TOPICS:
            looked_at = 0
            yield None
    return first


class _Walk:
    """One reading of a stretch of the log: the vector rolls along, gaps gather until something stands behind them."""

    def __init__(
        self, state: State, at: LogPosition, wanted: Wanted, selection: Selection, unreadable: frozenset[int] = frozenset()
    ) -> None:
        self.state, self.log, self.at, self.wanted, self.selection = state, state.log, at, wanted, selection
        self.vector: dict[str, int] = {}  # at `rolled`, once it is needed: mostly at the end of the log only, where it is there
        self.rolled = at.offset
        self.steps = 0
        self.opened: Mapping[str, int] = dict(at.opened)
        self.opened_until = state.log.end_of(self.opened)
        self.dropped: dict[tuple[str, str], int] = {(topic, reason): count for topic, reason, count in at.dropped}
        self.unreadable = unreadable | state.log.unreadable.keys()
        self.waiting = at.waiting
        self.items: list[Due | DueGap | DueWithdrawal] = []

    def run(self, due: Sequence[int], limit: int, stop: int, scan: int) -> Plan:
        """The page of the rows `due`, which ends at `stop` if `limit` entries and `scan` steps of the vector do not end it."""
        end = len(self.log)
        offset = stop
        stuck: list[int] = []
        for index, row in enumerate(due):
            if not self._take(row, self.log.topics[row]):
                offset, stuck = row, list(due[index:])
                break
            if len(self.items) >= limit or self.steps >= scan:
                offset = row + 1
                break
        if offset >= end or stuck:
            self._tell_gaps(offset)
            self._tell_waiting(offset, stuck)
        return self._plan(offset, more=offset < end and not stuck)

    def _count(self, topic: str, reason: str, count: int) -> None:
        self.dropped[topic, reason] = self.dropped.get((topic, reason), 0) + count

    def _count_lost(self, row: int) -> None:
        """LOST: what was given up, which may have been of any topic: each subscription is told, under its pattern."""
        lost = next(op for at, op in self.state.given_up if at == row)
        patterns: dict[str, int] = {}
        for pattern, reach in self.selection.each_known():
            if reach(lost.origin) < lost.sequence:
                count = lost.last - max(lost.first - 1, min(lost.last, reach(lost.source)))
                patterns[pattern] = max(count, patterns.get(pattern, 0))
        for pattern, count in patterns.items():
            if count:
                self._count(pattern, "lost", count)

    def _count_void(self, row: int) -> None:
        """COMPACT: messages that retention dropped and compaction took away."""
        origin = self.log.names[self.log.origins[row]]
        for topic, (count, last) in self.log.void_messages[row].items():
            match = self.selection.patterns.match(topic)
            if match.hits and (reach := self.selection.least(match, origin)) < last:
                self._count(topic, "", min(count, last - reach))

    def _take(self, row: int, topic: int) -> bool:
        """Take a row that is due; False: its message cannot be read."""
        if topic in MARKS:  # 0: given up while the rows were looked at
            if topic == GIVEN_UP:
                self._count_lost(row)
            elif topic == VOID:
                self._count_void(row)
            elif topic == WITHDRAWN:
                self._tell_withdrawal(row)
            return True
        log, messages = self.log, self.state.messages
        name, twins = messages.names[topic], messages.twins.of(row)
        if twins and self.selection.knows(self.selection.patterns.match(name), twins):
            return True
        if name in messages.horizons and messages.is_dropped(topic, row):
            self._count(name, "", 1)
            return True
        name_row = messages.name_row(row) if twins else row
        if name_row in self.unreadable:
            return False
        self._tell_gaps(row)
        self._roll(row + 1)
        coverage = Coverage(op_id(log.names[log.origins[name_row]], log.sequences[name_row]), dict(self.vector), self.opened)
        place, length, position = log.places[name_row], log.lengths[name_row], self._position(row + 1)
        self.items.append(Due(row=name_row, place=place, length=length, coverage=coverage, position=position))
        return True

    def _tell_withdrawal(self, row: int) -> None:
        """WITHDRAW: readers of the topic are told, in their place of the log."""
        telling, log = self.state.messages.tellings[row], self.log
        name = self.state.messages.names[telling.number]
        match = self.selection.patterns.match(name)
        if not match.hits or self.selection.least(match, log.names[log.origins[row]]) >= log.sequences[row]:
            return
        self._tell_gaps(row)
        self._roll(row + 1)
        coverage, position = Coverage("", dict(self.vector), self.opened), self._position(row + 1)
        self.items.append(
            DueWithdrawal(topic=name, id=telling.id, original=telling.original, coverage=coverage, position=position)
        )

    def _tell_gaps(self, row: int) -> None:
        """If counted: a `gap` a topic. Only the last has an id, with the vector before `row`: it says that all were told."""
        if not self.dropped:
            return
        self._roll(row)
        counts = sorted(self.dropped.items())
        while counts:
            (name, reason), count = counts.pop(0)
            del self.dropped[name, reason]
            coverage = None if counts else Coverage("", dict(self.vector), self.opened)
            self.items.append(DueGap(topic=name, dropped=count, coverage=coverage, position=self._position(row), reason=reason))

    def _tell_waiting(self, offset: int, stuck: Sequence[int]) -> None:
        """HOLE: `gap` for what waits behind damage, once; no id covers it, so it is delivered when the hole is filled."""
        waiting, names = self.state.holes.topics, self.state.messages.names
        if not waiting and not stuck:
            return
        counts = Counter({topic: n for topic, n in waiting.items() if self.selection.patterns.match(topic).hits})
        counts.update(names[self.log.topics[row]] for row in stuck if self.log.topics[row] not in MARKS)
        if counts.total() > self.waiting:
            for topic, count in counts.items():
                self.dropped[topic, "waiting"] = count
            self.waiting = counts.total()
            self._tell_gaps(offset)

    def _roll(self, offset: int) -> None:
        self.steps += min(offset - self.rolled, limits.CHECKPOINT_ROWS)
        if not self.vector or offset - self.rolled > limits.CHECKPOINT_ROWS:
            self.vector = self.log.vector_at(offset)
        else:
            self.vector = self.log.advance(self.vector, self.rolled, offset)
        self.rolled = offset
        if offset >= self.opened_until:
            self.opened = {}

    def _position(self, offset: int) -> LogPosition:
        gaps = tuple(sorted((topic, reason, count) for (topic, reason), count in self.dropped.items())) if self.dropped else ()
        opened, generation = tuple(self.opened.items()), self.state.generation
        return LogPosition(offset=offset, opened=opened, dropped=gaps, waiting=self.waiting, generation=generation)

    def _plan(self, offset: int, *, more: bool) -> Plan:
        self._roll(offset)
        wanted = self.wanted
        if wanted.known and self.state.lineage.covers_all(self.vector, self.selection.all_known):
            wanted = all_of(tuple(sorted(set(wanted.patterns))))
        coverage = Coverage("", dict(self.vector), self.opened)
        return Plan(items=tuple(self.items), position=self._position(offset), coverage=coverage, wanted=wanted, more=more)
