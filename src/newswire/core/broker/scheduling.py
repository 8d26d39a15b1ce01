"""SCHEDULE (docs/rules.md): whether a message may wait for its time, and the op that has it wait; `release` publishes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import msgspec

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.model import times
from newswire.core.model.commands import Publish, Request
from newswire.core.model.ops import NO_PLACE, OpId, Scheduled
from newswire.core.state.fold import State
from newswire.core.state.timetable import text_bytes
from newswire.errors import BadRequest, NewswireError, Refused


class Scheduling:
    """What waits for its time, and what of the batch that gathers will. Commit thread only."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._staged: list[Scheduled] = []

    def clear(self) -> None:
        """Begin the next batch."""
        self._staged = []

    def note(self, op: Scheduled) -> None:
        """`op` is staged."""
        self._staged.append(op)

    def unstage(self, ids: Collection[OpId]) -> None:
        """These are staged no more."""
        self._staged = [op for op in self._staged if op.id not in ids]

    def check(self, requests: Iterable[tuple[int, Request]], wall: int) -> None:
        """Check those of the requests, each with its index, that are to be delivered later. Raises BadRequest, Refused."""
        room: ScheduleRoom | None = None
        for at, request in requests:
            if not (isinstance(request, Publish) and request.is_scheduled):
                continue
            room = room or ScheduleRoom(self.state, self._staged)
            try:
                check_scheduled(request, wall)
                room.take(request)
            except NewswireError as error:
                error.extra["index"] = at
                raise

    def due(self, request: Request, name: OpId) -> int:
        """When `request`, which is stored or staged as `name`, is published, ms since 1970; 0: it was, or it is no such one."""
        if not (isinstance(request, Publish) and request.is_scheduled):
            return 0
        staged = next((op for op in self._staged if op.id == name), None)
        waiting = staged or self.state.messages.waiting_as(name)
        return waiting.due if waiting is not None else 0


def draft_scheduled(request: Publish, wall: int, by: Principal | None) -> Scheduled:
    """The op that has what `by` publishes wait from now on: `wall`, ms since 1970."""
    fields = msgspec.structs.asdict(request)
    due = times.stamp(fields.pop("at") or times.stamp(wall) + request.delay)
    if request.expires:
        fields["expires"] = due + request.expires * 1000
    account, token = (by.account, by.token) if by is not None else ("", "")
    return Scheduled(**NO_PLACE, due=due, account=account, token=token, **fields)


def check_scheduled(request: Publish, wall: int) -> None:
    """SCHEDULE: what is to be delivered later is no replacement, and its time is not too far off. Raises BadRequest."""
    if request.replaces:
        raise BadRequest(
            "a message that takes the place of another one is published now: leave `at` and `delay` out", code="bad-field"
        )
    if request.at and request.delay:
        raise BadRequest("`at` and `delay` both say when it is delivered: leave one out", code="double-field")
    if request.at and not -limits.SCHEDULE_LATE_SECONDS * 1000 <= request.at - wall <= limits.SCHEDULE_AHEAD_SECONDS * 1000:
        days = limits.SCHEDULE_AHEAD_SECONDS // 86_400
        raise BadRequest(
            f"a message is delivered within {days} days from now, and no time that has passed is taken", code="bad-time"
        )


class ScheduleRoom:
    """How many more messages may wait for their time (SCHEDULE)."""

    def __init__(self, state: State, staged: Sequence[Scheduled]) -> None:
        """`staged`: what is not stored yet."""
        timetable = state.messages.timetable
        self._rows_of = timetable.rows_of
        self._count, self._bytes = len(timetable.waiting) + len(staged), timetable.bytes + sum(map(text_bytes, staged))
        self._new = Counter(op.publisher for op in staged)

    def take(self, request: Publish) -> None:
        """Count one more. Raises Refused where too many wait."""
        user = request.publisher
        self._count, self._bytes = self._count + 1, self._bytes + text_bytes(request)
        self._new[user] += 1
        if user and len(self._rows_of.get(user, ())) + self._new[user] > limits.SCHEDULED_PER_USER:
            raise Refused(
                f"{limits.SCHEDULED_PER_USER:,} messages of {user} wait for their time, the most allowed:"
                " withdraw some, or wait",
                code="too-many",
            )
        if self._count > limits.SCHEDULED_COUNT or self._bytes > limits.SCHEDULED_BYTES:
            raise Refused("as many messages wait for their time as there may: withdraw some, or wait", code="too-many")
