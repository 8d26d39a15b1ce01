"""Which messages' time is over, as `withdrawn` ops (docs/rules.md, EXPIRY). Pure over the state."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from newswire.core import limits
from newswire.core.broker.clock import Clocks
from newswire.core.broker.events import Now
from newswire.core.broker.values import Stamp
from newswire.core.model.ops import NO_PLACE, Withdrawn, op_id
from newswire.core.state.fold import State
from newswire.core.state.rewriting import ROW_BITS

_ROW_MASK: Final = (1 << ROW_BITS) - 1


class Expiry:
    """When each message's time is over by what has passed in this run, and what is withdrawn then. Commit thread only.

    Every broker keeps this, since any may become the primary, which alone decides. An op that has a time is named once, at its
    own end, be it a twin or not: so it stays withdrawn whatever becomes of its twins.
    """

    def __init__(self, state: State) -> None:
        self.become(state, len(state.log))

    def become(self, state: State, found: int, ends: Sequence[int] = ()) -> None:
        """Go on with this state, where what stands before the offset `found` was there before: as at a start.

        `ends`: what is known of its messages (`ends`, below), ascending.
        """
        self._state = state
        self._found_until = found
        self._looked_until = 0  # offset: stamps before it were looked at
        self._newest = 0  # ms: the newest of these, none from the future
        self._known = {entry & _ROW_MASK for entry in ends}  # rows that `learn` need not take up
        self._ends = list(ends)  # heap: of each op the end, in ms that this run has lasted, and its row in the low bits
        self._named: list[int] = []  # of these what was named last: again in the heap, if that was not stored
        self._next_at = 0.0  # on `Now.clock`: when something may be named

    @property
    def ends(self) -> list[int]:
        """A copy of what is known of when messages end, with their offsets in the low `ROW_BITS` bits."""
        return self._ends[:]

    def is_due(self, clocks: Clocks, now: Now) -> bool:
        """Say whether there is something to look at."""
        if self._state.messages.lifetimes:
            return True
        is_over = self._named or (self._ends and self._ends[0] >> ROW_BITS <= clocks.lasted)
        return bool(is_over) and now.clock >= self._next_at

    def look(self, clocks: Clocks, latest: int, now: Now, *, decides: bool) -> Stamp:
        """Do one piece of the work; name what is over, if this broker decides. `latest`: the latest time that it may be, ms."""
        self.learn(clocks, latest + limits.CLOCK_FUTURE_MILLISECONDS)
        for entry in self._named:
            if self._is_shown(entry & _ROW_MASK):
                heappush(self._ends, entry)
        self._named = []
        if now.clock < self._next_at:
            return Stamp([])
        log, end = self._state.log, (clocks.lasted + 1) << ROW_BITS
        for _ in range(limits.WITHDRAWN_OPS):
            if not self._ends or self._ends[0] >= end:
                self._next_at = now.clock + limits.EXPIRY_EVERY_SECONDS  # many that end one by one are named by few ops
                break
            if self._is_shown(self._ends[0] & _ROW_MASK):
                if not decides:
                    self._next_at = now.clock + limits.EXPIRY_EVERY_SECONDS
                    break
                self._named.append(self._ends[0])
            heappop(self._ends)
        rows = [entry & _ROW_MASK for entry in self._named]
        ids = tuple(op_id(log.names[log.origins[row]], log.sequences[row]) for row in rows)
        return Stamp([Withdrawn(**NO_PLACE, ids=ids)] if ids else [])

    def _is_shown(self, row: int) -> bool:
        """Whether the op at `row` still publishes something: it was neither withdrawn nor given up."""
        messages = self._state.messages
        is_message = self._state.log.topics[row] or messages.twins.topic_of(row)
        return bool(is_message) and not messages.withdrawals.has_row(row)

    def learn(self, clocks: Clocks, until: int) -> None:
        """Take up some messages that have a time. Stamps later than `until` (ms) are from the future."""
        messages, count = self._state.messages, 0
        for row, lifetime in messages.lifetimes.peek(limits.PIECE_ROWS):
            if row in self._known:
                self._known.discard(row)
                count += 1
                continue
            left = lifetime
            if row < self._found_until:
                end = min(row + 1, self._looked_until + limits.SCAN_ROWS)
                stamps = self._state.log.times[self._looked_until : end]
                self._newest = max([self._newest, *(stamp for stamp in stamps if stamp <= until)])
                self._looked_until = max(end, self._looked_until)
                if self._looked_until <= row:
                    break
                stamp = self._state.log.times[row]
                if stamp <= until:
                    left = min(lifetime, max(0, self._newest + lifetime - clocks.retention))
            heappush(self._ends, clocks.lasted + left << ROW_BITS | row)
            count += 1
        messages.lifetimes.pass_by(count)
