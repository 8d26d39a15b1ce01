"""Which messages' time is over, as `withdrawn` ops (docs/rules.md, EXPIRY). Pure over the state."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from newswire.core import limits
from newswire.core.broker.clock import Clocks
from newswire.core.broker.events import Now
from newswire.core.broker.values import Stamp
from newswire.core.model.ops import NO_PLACE, Withdrawn, op_id
from newswire.core.state.fold import State
from newswire.core.state.rewriting import Rewriting
from newswire.core.state.withdrawals import ROW_BITS, ROW_MASK, Ages, Ends, Lifetimes, Moment


class Expiry:
    """When each message's time is over by what has passed in this run, and what is withdrawn then. Commit thread only.

    Every broker keeps this, since any may become the primary, which alone decides. An op that has a time is named once, at its
    own end, be it a twin or not: so it stays withdrawn whatever becomes of its twins.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._found = state.messages.take_lifetimes()  # what stood in the log at the start; what comes is not held up by it
        self._ages = Ages(state.log)
        self._ends: list[int] = []  # heap: entries as those of `Ends`
        self._named: list[int] = []  # of these what was named last: again in the heap, if that was not stored
        self._next_at = 0.0  # on `Now.clock`: when something may be named

    def become(self, job: Rewriting, *, same_rows: bool) -> None:
        """Go on with the state of a log that was written anew.

        `same_rows`: what was stored meanwhile has the rows from `job.cut_after` on, as it had those from `job.cut` on.
        """
        messages, shift = job.state.messages, job.cut - job.cut_after
        since = [entry - shift for entry in (*self._ends, *self._named) if same_rows and entry & ROW_MASK >= job.cut]
        messages.lifetimes.leave_out({entry & ROW_MASK for entry in since})
        self._state, self._found = job.state, Lifetimes()  # of what stood there before the end is known
        self._ages = Ages(job.state.log)  # asked for nothing any more, and it would keep the log that was replaced
        self._ends = [*job.ends, *since]
        heapify(self._ends)
        self._named = []

    def ends(self, clocks: Clocks, latest: int) -> Ends:
        """A copy of what is known of when messages end, and what the end of others follows from. `latest`: as for `look`.

        `clocks` were looked at in this moment.
        """
        lasted = clocks.lasted
        new = [lasted + lifetime << ROW_BITS | row for row, lifetime in self._state.messages.lifetimes.all()]
        retention = clocks.retention if clocks.has_met else 0  # else some would end too soon
        at = Moment(lasted=lasted, retention=retention, until=latest + limits.CLOCK_FUTURE_MILLISECONDS)
        return Ends(entries=[*self._ends, *self._named, *new], at=at)

    def is_due(self, clocks: Clocks, now: Now) -> bool:
        """Say whether there is something to look at."""
        if self._state.messages.lifetimes or self._found:
            return True
        is_over = self._named or (self._ends and self._ends[0] >> ROW_BITS <= clocks.lasted)
        return bool(is_over) and now.clock >= self._next_at

    def look(self, clocks: Clocks, latest: int, now: Now, *, decides: bool) -> Stamp:
        """Do one piece of the work; name what is over, if this broker decides. `latest`: the latest time that it may be, ms."""
        self.learn(clocks, latest + limits.CLOCK_FUTURE_MILLISECONDS)
        for entry in self._named:
            if self._is_shown(entry & ROW_MASK):
                heappush(self._ends, entry)
        self._named = []
        if now.clock < self._next_at:
            return Stamp([])
        log, end = self._state.log, (clocks.lasted + 1) << ROW_BITS
        for _ in range(limits.WITHDRAWN_OPS):
            if not self._ends or self._ends[0] >= end:
                self._next_at = now.clock + limits.EXPIRY_EVERY_SECONDS  # many that end one by one are named by few ops
                break
            if self._is_shown(self._ends[0] & ROW_MASK):
                if not decides:
                    self._next_at = now.clock + limits.EXPIRY_EVERY_SECONDS
                    break
                self._named.append(self._ends[0])
            heappop(self._ends)
        rows = [entry & ROW_MASK for entry in self._named]
        ids = tuple(op_id(log.names[log.origins[row]], log.sequences[row]) for row in rows)
        return Stamp([Withdrawn(**NO_PLACE, ids=ids)] if ids else [])

    def _is_shown(self, row: int) -> bool:
        """Whether the op at `row` still publishes something: it was neither withdrawn nor given up."""
        messages = self._state.messages
        is_message = self._state.log.topics[row] or messages.twins.topic_of(row)
        return bool(is_message) and not messages.withdrawals.has_row(row)

    def learn(self, clocks: Clocks, until: int) -> None:
        """Take up some messages that have a time. Stamps later than `until` (ms) are from the future."""
        lasted, new = clocks.lasted, self._state.messages.lifetimes
        came = new.peek(limits.PIECE_ROWS)
        for row, lifetime in came:
            heappush(self._ends, lasted + lifetime << ROW_BITS | row)
        new.pass_by(len(came))
        count, at = 0, Moment(lasted=lasted, retention=clocks.retention, until=until)
        for row, lifetime in self._found.peek(limits.PIECE_ROWS):
            end = self._ages.end(row, lifetime, at)
            if end is None:
                break
            heappush(self._ends, end << ROW_BITS | row)
            count += 1
        self._found.pass_by(count)
