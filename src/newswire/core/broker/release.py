"""Which messages are due that were scheduled, and what is published then (docs/rules.md, SCHEDULE). Pure over the state."""

from __future__ import annotations

from heapq import heappop, heappush

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.clock import Clocks
from newswire.core.broker.events import Now
from newswire.core.broker.values import Stamp
from newswire.core.model.ops import NO_PLACE, Audited, Op, OpId, Scheduled, Withdrawn, split_op_id
from newswire.core.state.fold import State
from newswire.core.state.timetable import release


class Release:
    """When what waits is due by what has passed in this run, and what is published then. Commit thread only.

    Every broker keeps this, since any may become the primary, which alone decides. Two that do not see each other may both
    publish: what they publish for one scheduled message is one message (TWINS).

    What this run took waits all of its time by what the run lasts (`Clocks.lasted`). What was found in the log, or came from
    another broker, waits that long at most, and is due when it is by `Clocks.told`.
    """

    def __init__(self, state: State, run: str) -> None:
        """`run`: the origin of this run, with which those of its long batches begin."""
        self._run = run
        self._ends: dict[OpId, int] = {}  # by message: when it is due, ms of `Clocks.lasted`
        self.become(state)

    def become(self, state: State) -> None:
        """Go on with this state."""
        self._timetable, self._state = state.messages.timetable, state
        self._timetable.news = list(self._timetable.waiting)
        names = {op.id for op in self._timetable.waiting.values()}
        self._ends = {name: end for name, end in self._ends.items() if name in names}
        self._by_run: list[tuple[int, int]] = []  # heap: when it is due, as above, and the row of the op
        self._by_clock: list[tuple[int, int]] = []  # the same, by the time of day; not of what this run took
        self._asked: list[int] = []  # rows of what was handed out last: due once more, if that was not stored
        self._next_at = 0.0  # on `Now.clock`

    def is_due(self, clocks: Clocks, now: Now) -> bool:
        """Say whether something is to be published by now."""
        self._learn(clocks)
        waiting = self._timetable.waiting
        if not waiting or (now.clock < self._next_at and any(row in waiting for row in self._asked)):
            return False
        for heap in (self._by_run, self._by_clock):
            while heap and heap[0][1] not in waiting:
                heappop(heap)
        if self._asked or (self._by_run and self._by_run[0][0] <= clocks.lasted):
            return True
        return bool(self._by_clock) and self._by_clock[0][0] <= clocks.told

    def _learn(self, clocks: Clocks) -> None:
        """Take in what waits since the last time."""
        rows, self._timetable.news = self._timetable.news, []
        for row in rows:
            op = self._timetable.waiting.get(row)
            if op is None:
                continue
            whole = max(0, op.due - op.time)
            heappush(self._by_run, (self._ends.setdefault(op.id, clocks.lasted + whole), row))
            if not op.origin.startswith(self._run):
                heappush(self._by_clock, (op.due, row))

    def look(self, clocks: Clocks, now: Now, *, decides: bool, lacks_news: bool) -> Stamp:
        """Publish some of what is due, if this broker decides; what may be published no more is withdrawn.

        `lacks_news`: another broker has what is not here, perhaps that it was withdrawn. That is waited for, for a while.
        """
        for row in self._asked:
            heappush(self._by_run, (0, row))
        self._asked = []
        if not decides:
            return Stamp([])
        spare = limits.RELEASE_CATCH_UP_MILLISECONDS if lacks_news else 0
        ops: dict[int, Scheduled] = {}
        for heap, until in ((self._by_run, clocks.lasted - spare), (self._by_clock, clocks.told - spare)):
            while heap and heap[0][0] <= until and len(ops) < limits.RELEASE_OPS:
                row = heappop(heap)[1]
                if row in self._timetable.waiting:
                    ops[row] = self._timetable.waiting[row]
        self._asked = list(ops)
        self._next_at = now.clock + limits.RELEASE_AGAIN_SECONDS  # it waits no more when it is stored
        due = sorted(ops.values(), key=lambda op: (op.due, split_op_id(op.id)))
        return Stamp([draft for op in due for draft in self._drafts(op, now)])

    def _drafts(self, op: Scheduled, now: Now) -> list[Op]:
        """What publishes `op`; where its publisher may not any more, what drops it, and says so in the audit trail."""
        if op.account:
            accounts = self._state.accounts
            rights = accounts.rights(Principal(op.account), now.wall)
            may = rights is not None and all(rights.may("publish", topic) for topic in (op.topic, op.escalate) if topic)
            if not may or op.token in accounts.revoked:  # one that has expired was good when this was taken
                drops = Withdrawn(**NO_PLACE, ids=tuple(self._state.messages.scheduled_names(op.id)))
                return [drops, Audited(**NO_PLACE, what="not-published", who=op.publisher, at=op.first_id)]
        return [release(op)]
