"""What SUBSCRIBE, UNSUBSCRIBE and ACK mean as ops (docs/rules.md): decided by the synced state, before anything is staged.

Pure functions: they change nothing. An op that they return has no place yet; the stager stamps it.
"""

from __future__ import annotations

from collections.abc import Sequence

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.access_drafts import draft_access
from newswire.core.model.commands import Acknowledge, Confirm, Publish, Request, Subscribe, Unsubscribe, Withdraw
from newswire.core.model.event_ids import EventId
from newswire.core.model.names import matches
from newswire.core.model.ops import (
    NO_PLACE,
    Acknowledged,
    Confirmed,
    Op,
    OpId,
    Subscribed,
    Unsubscribed,
    Withdrawn,
)
from newswire.core.read.reports import is_reader, shown_row
from newswire.core.read.start import to_acknowledge
from newswire.core.state.fold import State
from newswire.core.state.notices import Addressee
from newswire.errors import BadRequest, NotFound, Refused


def draft_all(state: State, requests: Sequence[Request], wall: int, most: int, by: Principal | None = None) -> list[list[Op]]:
    """`draft_ops` of each; where all are acknowledgements the first has those of all, which are few."""
    acks = [request for request in requests if isinstance(request, Acknowledge)]
    if acks and len(acks) == len(requests):
        return [acknowledge(state, acks), *([] for _ in acks[1:])]
    return [draft_ops(state, request, wall, most, by) for request in requests]


def draft_ops(state: State, request: Request, wall: int, most: int, by: Principal | None = None) -> list[Op]:
    """The ops of a request; none of a publish, whose op is made when it is stamped. `most`: subscriptions of one user.

    `by`: who asks, and may (`access_drafts.check`).

    Raises Refused, NotFound or BadRequest.
    """
    match request:
        case Publish():
            return []
        case Subscribe():
            return [subscribe(state, request, wall, most)]
        case Unsubscribe():
            return [unsubscribe(state, request)]
        case Acknowledge():
            return acknowledge(state, [request])
        case Confirm():
            return confirm(state, request, wall)
        case Withdraw():
            return withdraw(state, request, by)
        case _:
            return draft_access(state.accounts, request, by, wall)


def subscribe(state: State, request: Subscribe, wall: int, most: int) -> Subscribed:
    """SUBSCRIBE: always an op, so that an unsubscribe taken elsewhere meanwhile does not win over this one.

    It replaces a sleeping one only where that owes nothing that the new one takes for delivered: an id made where
    the awake one had ended already moved the cursor of that one alone.
    """
    subscriptions, covers, user, pattern = state.subscriptions, state.lineage.covers_all, request.user, request.pattern
    account = request.account
    same = subscriptions.with_pattern(user, pattern, account)
    awake = [sub for sub in same if subscriptions.is_awake(sub)]
    if awake:
        since = subscriptions.cursor(awake[0])
        follows = tuple(sub.id for sub in awake)
        replaces = tuple(sub.id for sub in same if sub not in awake and covers(subscriptions.cursor(sub), since))
        return Subscribed(
            **NO_PLACE, user=user, pattern=pattern, since=since, follows=follows, replaces=replaces, account=account
        )
    if subscriptions.count_patterns(user, account) >= most:
        raise Refused(
            f"user {user} has {most} subscriptions, the most allowed: unsubscribe from some, or use a pattern", code="too-many"
        )
    at = request.since
    begin = dict(state.vector) if at is None else state.log.before(at, wall + limits.CLOCK_SKEW_SECONDS * 1000)
    return Subscribed(**NO_PLACE, user=user, pattern=pattern, since=begin, account=account)


def unsubscribe(state: State, request: Unsubscribe) -> Unsubscribed:
    """UNSUBSCRIBE: all alive ones seen here, by id; one made meanwhile elsewhere stays."""
    ids = tuple(sub.id for sub in state.subscriptions.with_pattern(request.user, request.pattern, request.account))
    if ids:
        return Unsubscribed(**NO_PLACE, ids=ids)
    covering = [one for one in state.subscriptions.patterns_of(request.user, request.account) if matches(one, request.pattern)]
    if covering:
        raise NotFound(
            f"user {request.user} has no subscription to {request.pattern} itself: it comes by {' and '.join(covering)},"
            " which can be unsubscribed from",
            code="no-subscription",
        )
    raise NotFound(
        f"user {request.user} has no subscription to {request.pattern}: GET /subscriptions?username={request.user}"
        " lists what there is",
        code="no-subscription",
    )


def confirm(state: State, request: Confirm, wall: int) -> list[Op]:
    """CONFIRM: by who is a reader of it, and has not done so before."""
    row = shown_row(state, request.message)
    if row is None:
        raise NotFound(f"there is no message {request.message} (any more)", code="no-message")
    messages, reader = state.messages, Addressee(request.user, request.account)
    is_theirs = is_reader(state, row, request.user, request.account, wall)
    if request.account and not is_theirs:  # where rights are asked for, a message that one may not read is none
        raise NotFound(
            f"there is no message {request.message} (any more), or it is none for user {request.user}", code="no-message"
        )
    rows = [twin.row for twin in messages.twins.of(row)] or [row]
    if not any(one in messages.notices.of for one in rows):
        raise Refused(f"nobody asked to confirm the message {request.message}", code="confirm-not-asked")
    if reader in messages.notices.confirmed(messages.ids(row)):
        return []
    if not is_theirs:
        raise Refused(f"user {request.user} is no reader of the message {request.message}", code="not-registered")
    return [Confirmed(**NO_PLACE, message=messages.name(row), user=request.user, account=request.account)]


def withdraw(state: State, request: Withdraw, by: Principal | None) -> list[Op]:
    """WITHDRAW: the message under all its ids; no op where it is done already."""
    messages, name = state.messages, request.message
    _check_newest(state, name)
    if messages.withdrawals.has(name):
        return []
    by_whom = state.accounts.name_of(by.account) if by is not None else ""
    waiting = messages.waiting_as(name)
    if waiting is not None and waiting.topic == request.topic:
        return [Withdrawn(**NO_PLACE, ids=tuple(messages.scheduled_names(name)), by=by_whom)]  # nobody has got it
    row = shown_row(state, name)
    if row is None or messages.names[state.log.topics[row]] != request.topic:
        raise NotFound(f"there is no message {name} (any more)", code="no-message")
    shown = messages.name(row)
    ids = tuple(dict.fromkeys((shown, *messages.ids(row), *messages.earlier_ids(row))))
    original = messages.original(row)
    return [Withdrawn(**NO_PLACE, ids=ids, topic=request.topic, original=original if original != shown else "", by=by_whom)]


def check_replaced(state: State, request: Publish) -> None:
    """WITHDRAW: a message is replaced that is shown on the same topic.

    Raises NotFound where it is not shown, Refused where it was replaced already, BadRequest for another topic.
    """
    messages, name = state.messages, request.replaces
    row = shown_row(state, name)
    if row is None:
        _check_newest(state, name)
        if messages.waiting_as(name) is not None:
            raise NotFound(f"the message {name} waits for its time: withdraw it, and schedule another one", code="no-message")
        raise NotFound(f"there is no message {name} (any more), so none takes its place", code="no-message")
    topic = messages.names[state.log.topics[row]]
    if topic != request.topic:
        raise BadRequest(f"the message {name} is on {topic}: what takes its place is published there", code="bad-field")


def _check_newest(state: State, name: OpId) -> None:
    row = state.messages.replacements.row_of_newer(name)
    if row is not None:
        newer = state.messages.name(row)
        raise Refused(f"the message {name} was replaced by {newer}: name that one", code="replaced", id=newer)


def acknowledge(state: State, requests: Sequence[Acknowledge]) -> list[Op]:
    """ACK: decided here, never when folded. Of those that show one id all cursors are moved by one op, whose they may be."""
    alike: dict[EventId, list[Acknowledge]] = {}
    for request in requests:
        alike.setdefault(request.event_id, []).append(request)
    drafts: list[Op] = []
    for acks in alike.values():
        vector, ids = to_acknowledge(state, acks)
        pieces = (ids[at : at + limits.ACK_SUBSCRIPTIONS] for at in range(0, len(ids), limits.ACK_SUBSCRIPTIONS))
        drafts += [Acknowledged(**NO_PLACE, ids=tuple(piece), vector=vector) for piece in pieces]
    return drafts
