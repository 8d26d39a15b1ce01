"""Whom a message names who was asked to confirm another one and has not (docs/rules.md, CONFIRM).

Pure over the state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from newswire.core import limits
from newswire.core.broker.clock import Clocks
from newswire.core.broker.events import Now
from newswire.core.broker.values import Stamp
from newswire.core.model.ops import NO_PLACE, OpId, Published
from newswire.core.read.reports import Readership, missing_of, shown_row
from newswire.core.state.fold import State
from newswire.core.state.notices import Addressee, AskingMessage

_TITLE: Final = "Not confirmed in time: "


class Escalation:
    """Which messages were not confirmed in time. Commit thread only.

    Every broker keeps this, since any may become the primary, which alone decides. Two that do not see each other may both
    decide: what they publish about one message is one message (TWINS).

    The time to confirm a message passes by what this run lasts (`Clocks.lasted`), from when the message came to it: no clock
    that is wrong, or was, makes it shorter. What the run found in the log has as much of it left as is left by retention's
    clock, and all of it at most: after a start that clock may be weeks behind.

    What comes is looked at first, then what there was, the last one first. Of those whose time is over the last one is named
    first. After a start, a compaction or a failover there may be thousands from before, of which nothing is to be said any
    more: none that is new waits for these.
    """

    def __init__(self, state: State) -> None:
        self._ends: dict[OpId, int] = {}  # by message: when its time is over, ms of `Clocks.lasted`
        self._confirmed: set[OpId] = set()  # that all had when its time was over
        self._found = {notice.id for notice in state.messages.notices.of.values()}  # at the start, and not looked at yet
        self.become(state)

    def become(self, state: State) -> None:
        """Go on with this state."""
        self._state = state
        names = {notice.id for notice in state.messages.notices.of.values()}
        self._ends = {name: end for name, end in self._ends.items() if name in names}
        self._confirmed &= names
        self._before = list(state.messages.notices.of)  # rows of notices that are to be looked at
        self._seen = len(self._before)  # notices that were looked at, or are among these: there come only more
        self._due: list[tuple[int, int]] = []  # heap: when its time is over, as above, and the row
        self._late: OrderedDict[int, None] = OrderedDict()  # rows of those whose time is over, the last one at the end
        self._row = -1  # of the one that is worked on
        self._work: Iterator[object] | None = None  # looks for its readers, a piece at a time
        self._readership: Readership | None = None
        self._next_at = 0.0  # on `Now.clock`

    def is_due(self, clocks: Clocks, now: Now) -> bool:
        """Say whether something was to be confirmed by now."""
        notices = self._state.messages.notices.of
        new = list(islice(notices, self._seen, self._seen + limits.PIECE_ROWS)) if len(notices) > self._seen else []
        self._seen += len(new)
        for row in new:
            self._learn(row, clocks)
        for row in reversed(self._before[-limits.PIECE_ROWS :]):
            self._learn(row, clocks)
        del self._before[-limits.PIECE_ROWS :]
        while self._due and self._due[0][0] <= clocks.lasted:
            self._late[heappop(self._due)[1]] = None
            self._next_at = 0.0  # it need not wait for what became of another one
        if not self._late:
            return False
        last = next(reversed(self._late))
        return now.clock >= self._next_at or self._is_over(notices[last])  # stored: the next one need not wait

    def _learn(self, row: int, clocks: Clocks) -> None:
        """Note when the time of a message is over. One that is over already is late behind all that were."""
        notice = self._state.messages.notices.of[row]
        if notice.escalate and notice.id not in self._confirmed and not self._is_over(notice):
            whole = notice.seconds * 1000
            left = min(whole, max(0, notice.until - clocks.retention)) if notice.id in self._found else whole
            end = self._ends.setdefault(notice.id, clocks.lasted + left)
            if end > clocks.lasted:
                heappush(self._due, (end, row))
            else:
                self._late[row] = None
                self._late.move_to_end(row, last=False)
        self._found.discard(notice.id)

    def look(self, now: Now, *, decides: bool) -> Stamp:
        """Do one piece of the work; name who has not confirmed the last message that is due, if this broker decides."""
        notices = self._state.messages.notices.of
        for _ in range(limits.PIECE_ROWS):
            if self._work is None and self._late:
                self._row = next(reversed(self._late))
            if not self._late or not self._is_over(notices[self._row]):
                break
            self._end()
        else:
            return Stamp([])
        if not self._late:
            return Stamp([])
        notice = notices[self._row]
        if not decides:
            self._next_at = now.clock + limits.EXPIRY_EVERY_SECONDS
            return Stamp([])
        if self._work is None:
            shown = shown_row(self._state, notice.id)
            assert shown is not None  # else it is over
            self._readership = Readership(self._state, shown, now.wall)
            self._work = self._readership.look()
        if next(self._work, self) is not self:
            return Stamp([])
        readership, self._work, self._readership = self._readership, None, None
        assert readership is not None
        missing = missing_of(readership)
        if not missing:
            self._confirmed.add(notice.id)
            self._end()
            return Stamp([])
        self._next_at = now.clock + limits.ESCALATE_AGAIN_SECONDS  # it is over when it is stored
        return Stamp([_message(notice, self._state.messages.name(readership.row), missing, len(readership.delivered))])

    def _is_over(self, notice: AskingMessage) -> bool:
        messages, shown = self._state.messages, shown_row(self._state, notice.id)
        return shown is None or messages.notices.is_escalated(messages.ids(shown))

    def _end(self) -> None:
        del self._late[self._row]
        self._next_at = 0.0
        self._work = self._readership = None


def _message(notice: AskingMessage, name: str, missing: Sequence[Addressee], of: int) -> Published:
    """What is published: the words of the message that was not confirmed, and by whom."""
    users = [reader.user for reader in missing]
    shown = ", ".join(users[: limits.ESCALATE_NAMES])
    more = f" and {len(users) - limits.ESCALATE_NAMES} more" if len(users) > limits.ESCALATE_NAMES else ""
    have = "has" if len(users) == 1 else "have"
    text = f"{len(users)} of {of} {have} not confirmed \u201c{notice.words}\u201d within {notice.seconds} s: {shown}{more}"
    return Published(
        **NO_PLACE,
        topic=notice.escalate,
        data=text,
        title=f"{_TITLE}{notice.words}"[: limits.TITLE_CHARS],
        priority=notice.priority,
        about=name,
    )
