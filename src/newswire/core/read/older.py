"""What is due before a place, the newest first (docs/rules.md, OLDER). Pure over the state; the engine fetches the texts.

A reader of older news, or of what a search finds, goes back through the log: each page ends at an event id, and who shows it
is read what that covers. So pages go on at another broker as well, whose log has another order. It is about messages that are
there: gaps are told to who reads forwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from heapq import merge
from itertools import islice

from newswire.core import limits
from newswire.core.model.coverage import Coverage
from newswire.core.model.ops import op_id
from newswire.core.model.vector import Vector
from newswire.core.read.pages import LogPosition, Wanted
from newswire.core.read.pieces import Pieces
from newswire.core.read.scan import Due, Plan
from newswire.core.read.selection import Column, Selection, Stretch
from newswire.core.state.fold import State
from newswire.core.state.op_index import MARKS

_FIRST = 4  # times as many rows are looked at first as messages are asked for


class _Reach:
    """What is read: all that an event id covers, without the message that it stands behind; all there is without one."""

    def __init__(self, state: State, before: Coverage | None) -> None:
        log = state.log
        self.state = state
        self.full: Mapping[str, int] | None = None  # None: everything
        self.end, self.named = len(log), -1  # the offset behind the last row that is covered; the row of the message
        # an origin that is not held here implies nothing here yet: all is read again, and never too little
        if before is not None and all(map(log.held, before.after)):
            held = {origin: min(sequence, log.held(origin)) for origin, sequence in before.after.items()}
            self.full, self.end = state.lineage.expand(held), log.end_of(held)
            origin, _, number = before.message.rpartition(".")
            row = log.row(origin, int(number)) if before.message else None
            self.named = -1 if row is None else row

    def covers(self, row: int) -> bool:
        log = self.state.log
        return row != self.named and (self.full is None or log.sequences[row] <= self.full.get(log.names[log.origins[row]], 0))

    def rest(self, offset: int) -> Vector:
        """What of it stands before `offset`: where the next page begins."""
        there = self.state.log.vector_at(offset)
        if self.full is None or all(self.full.get(origin, 0) >= sequence for origin, sequence in there.items()):
            return there
        full = self.full
        both = {name: min(upto, full.get(name, 0)) for name, upto in self.state.lineage.expand(there).items()}
        return self.state.lineage.shorten({name: upto for name, upto in both.items() if upto})


def read_older(
    state: State,
    at: LogPosition,
    wanted: Wanted,
    before: Coverage | int | None,
    now: int,
    limit: int,
    scan: int = limits.SCAN_ROWS,
) -> Pieces[Plan]:
    """Up to `limit` messages, the newest first, that `before` covers and `wanted` is due from `at` on.

    `before`: an event id, a time in ms, or None for all there is; `now`: the time of day, ms. It looks at no more than `scan`
    rows. The plan's coverage is what was not looked at, `more` whether there is any.
    """
    if isinstance(before, int):
        before = Coverage("", state.log.before(before, now + limits.CLOCK_SKEW_SECONDS * 1000))
    selection = yield from Selection.of(state, wanted)
    reach = _Reach(state, before)
    low, generation = at.offset if at.generation == state.generation else 0, state.generation
    most = max(limit, limits.PIECE_ROWS) if state.messages.horizons else limit  # some may be dropped
    columns = selection.columns(state)
    if columns is not None:
        rows = list(islice(_rows_of_topics(state, selection, columns, reach.full), most))
        stop = rows[-1] if len(rows) == most else low
    else:
        rows, stop, step = [], max(low, reach.end), _FIRST * limit  # few rows are enough where most are due
        while len(rows) < most and low < stop and reach.end - stop < scan:
            start = max(low, stop - step, reach.end - scan)
            rows += yield partial(_rows_of_stretch, Stretch(state, start, stop), selection, most - len(rows))
            if state.generation != generation:  # the log was written anew beside it: the same again, from the same place
                place = before or Coverage("", dict(state.vector))
                return Plan(items=(), position=at, coverage=place, wanted=wanted, more=True)
            stop, step = rows[-1] if len(rows) == most else start, scan
    picked, stop = _pick(state, reach, rows, limit, scan, stop)
    rest = reach.rest(stop)  # vectors are made from here on upwards: each goes on from the last
    items = tuple(_due(state, at, row) for row in reversed(picked))[::-1]
    return Plan(items=items, position=at, coverage=Coverage("", rest), wanted=wanted, more=stop > low)


def _rows_of_stretch(stretch: Stretch, selection: Selection, most: int) -> list[int]:
    rows = selection.due_rows(stretch, len(stretch.topics))
    return rows[: -most - 1 : -1]


def _rows_of_topics(
    state: State, selection: Selection, columns: Iterable[Column], full: Mapping[str, int] | None
) -> Iterator[int]:
    """The offsets of the messages of these columns, the last one first."""

    def run(column: Column) -> Iterator[int]:
        match, origin, sequences = column
        offsets = state.log.offsets_of[state.log.numbers[origin]]
        first = bisect_right(sequences, selection.least(match, origin))
        last = len(sequences) if full is None else bisect_right(sequences, full.get(origin, 0))
        return (offsets[sequences[index] - 1] for index in range(last - 1, first - 1, -1))

    return merge(*map(run, columns), reverse=True)


def _pick(state: State, reach: _Reach, rows: Iterable[int], limit: int, scan: int, stop: int) -> tuple[list[int], int]:
    """Of these rows, which go back, those that are shown, and the offset of the last that was looked at (`stop` if all were).

    Each costs a vector, which is made of a stretch of the log: of no more than `scan` rows in all.
    """
    log, messages = state.log, state.messages
    picked: list[int] = []
    steps = 0
    for row in rows:
        topic = log.topics[row]
        if topic in MARKS or not reach.covers(row) or messages.is_dropped(topic, row):
            continue
        name_row = messages.name_row(row)
        if name_row in log.unreadable or name_row == reach.named:
            continue
        picked.append(row)
        steps += min((picked[-2] if len(picked) > 1 else len(log)) - row, limits.CHECKPOINT_ROWS)
        if len(picked) == limit or steps >= scan:
            return picked, row
    return picked, stop


def _due(state: State, at: LogPosition, row: int) -> Due:
    log, name_row = state.log, state.messages.name_row(row)
    coverage = Coverage(op_id(log.names[log.origins[name_row]], log.sequences[name_row]), log.vector_at(row + 1))
    return Due(row=name_row, place=log.places[name_row], length=log.lengths[name_row], coverage=coverage, position=at)
