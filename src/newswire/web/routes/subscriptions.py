"""What a user is registered for, and how far he has read: `/subscribe`, `/unsubscribe`, `/subscriptions`, `/ack`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response, request

from newswire.config import ServiceSettings
from newswire.core.model import event_ids
from newswire.core.model.commands import Acknowledge, Subscribe, Unsubscribe
from newswire.core.model.event_ids import EventId
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine, Principal, Receipt
from newswire.errors import BadRequest, NotFound, Refused
from newswire.web import times
from newswire.web.auth import caller_of, subject_of
from newswire.web.availability import nothing_to_read, reading, serving
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.pace import Pace
from newswire.web.responses import Confirmation, answer
from newswire.web.route import MAY_READ, MAY_SUBSCRIBE, SELF_OR_ADMIN, Route, Success, text_field
from newswire.web.usual_fields import PATTERN, PATTERN_IF_ONE, USERNAME, EventIdText


class ShownSubscription(msgspec.Struct, frozen=True):
    """A subscription as JSON: `index` messages of it are delivered, `unread` not yet."""

    topic: str
    since: str
    index: int
    unread: int


class AckAnswer(msgspec.Struct, frozen=True):
    """What an acknowledgement is answered with; `moved`: whether any cursor did."""

    message: str
    moved: bool


def shown_by_stream(text: str) -> EventId:
    """The event id `text`, if a stream showed it. Raises `bad-event-id` (ids of pages are for `since` only)."""
    event_id = event_ids.parse(text)
    if event_id is not None and not event_id.of_page:
        return event_id
    if event_id is not None:
        raise BadRequest(
            "this id is of /messages, good for its `since` only: acknowledge an `id:` of a stream", code="bad-event-id"
        )
    if event_ids.is_message_id(text):
        raise BadRequest(
            "this is the id of a message: acknowledge the event id, which the stream shows as `id:` and as `event_id`",
            code="bad-event-id",
        )
    raise BadRequest("not an event id: give the `id:` of the last event of the stream as it was, whole", code="bad-event-id")


FROM: Final = text_field(
    "from",
    str,
    Annotated[str, msgspec.Meta(max_length=64, examples=["now", "earliest", "90m"])],
    "Where it begins: `now` (default), or a time.",
    codes=("bad-time",),
)
EVENT_ID: Final = text_field(
    "id", shown_by_stream, EventIdText, "The event id up to which all was taken.", is_required=True, codes=("bad-event-id",)
)
SUBSCRIBE: Final = Route(
    method="POST",
    path="/subscribe",
    words="Begins a subscription.",
    rights=(SELF_OR_ADMIN, MAY_SUBSCRIBE),
    fields=(USERNAME, PATTERN, FROM),
    answers=(Success(Confirmation),),
    codes=("too-many", *STORE_CODES),
    is_light=True,
    is_shared=True,
)
UNSUBSCRIBE: Final = Route(
    method="POST",
    path="/unsubscribe",
    words="Ends a subscription.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, PATTERN),
    answers=(Success(Confirmation),),
    codes=("no-subscription", *STORE_CODES),
    is_light=True,
    is_shared=True,
)
SUBSCRIPTIONS: Final = Route(
    method="GET",
    path="/subscriptions",
    words="What a user is subscribed to, and how much of it is delivered.",
    rights=(SELF_OR_ADMIN,),
    fields=(USERNAME,),
    answers=(Success(list[ShownSubscription]),),
    codes=("not-ready", "too-many"),
    is_shared=True,
)
ACKNOWLEDGE: Final = Route(
    method="POST",
    path="/ack",
    words="Acknowledges what a stream brought.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, EVENT_ID, PATTERN_IF_ONE),
    answers=(Success(AckAnswer),),
    codes=("not-registered", "no-subscription", *STORE_CODES),
    is_light=True,
    is_shared=True,
)


def routes(engine: Engine, settings: ServiceSettings, clock: Callable[[], float], pace: Pace) -> Blueprint:
    """The routes of subscriptions and cursors."""
    blueprint = Blueprint("subscriptions", __name__)
    blueprint.before_request(serving(engine))

    @SUBSCRIBE.on(blueprint)
    def subscribe() -> Response:
        fields = SUBSCRIBE.read(request.environ)
        by = caller_of(request.environ).principal
        user, account = subject_of(engine, caller_of(request.environ), fields.get(USERNAME, None))
        pattern, since = fields[PATTERN], starting(fields.get(FROM, "now"), clock())
        patterns, most = engine.patterns_of(user, by), settings.subscriptions_per_user
        if len(patterns) >= most and pattern not in patterns:  # the engine checks it again where it is stored
            detail = f"user {user} has {most} subscriptions, the most there may be: unsubscribe from one, or use a pattern"
            raise Refused(detail, code="too-many")
        text = f"Successfully subscribed {user} to topic {pattern}"
        command = Subscribe(user, pattern, since, account=account)
        return stored(engine, (command,), lambda receipt: answer(Confirmation(text)), by=by)

    @UNSUBSCRIBE.on(blueprint)
    def unsubscribe() -> Response:
        fields = UNSUBSCRIBE.read(request.environ)
        caller, pattern = caller_of(request.environ), fields[PATTERN]
        user, account = subject_of(engine, caller, fields.get(USERNAME, None))
        text = f"Successfully unsubscribed {user} from topic {pattern}"
        command = Unsubscribe(user, pattern, account)
        return stored(engine, (command,), lambda receipt: answer(Confirmation(text)), by=caller.principal)

    @SUBSCRIPTIONS.on(blueprint)
    def subscriptions() -> Response:
        reading(engine)()  # it counts messages: fewer than there are where they find no room
        caller = caller_of(request.environ)
        user = subject_of(engine, caller, SUBSCRIPTIONS.read(request.environ).get(USERNAME, None)).username
        pace.check(user)
        rows = engine.subscriptions_of(user, caller.principal)
        return answer([ShownSubscription(topic=r.topic, since=rfc3339(r.since), index=r.index, unread=r.unread) for r in rows])

    @ACKNOWLEDGE.on(blueprint)
    def ack() -> Response:
        fields = ACKNOWLEDGE.read(request.environ)
        caller, place, pattern = caller_of(request.environ), fields[EVENT_ID], fields.get(PATTERN_IF_ONE, None)
        user, account = subject_of(engine, caller, fields.get(USERNAME, None))
        _check_registered(engine, user, pattern, caller.principal)

        def acknowledged(receipt: Receipt) -> Response:
            return answer(AckAnswer(f"Acknowledged for {user}", receipt.first != ""))

        by = caller.principal
        command = Acknowledge(user, place, pattern, account=account, token=by.token if by is not None else "")
        return stored(engine, (command,), acknowledged, by=by)

    return blueprint


def starting(text: str, now: float) -> int | None:
    """Where a subscription starts: None for now, else ms since 1970. Raises `bad-time`."""
    if text == "now":
        return None
    at = times.moment(text, now)
    if at is None:
        raise BadRequest(f"`from` must be `now`, {times.FORMS}", code="bad-time")
    return at


def _check_registered(engine: Engine, user: str, pattern: str | None, by: Principal | None) -> None:
    patterns = engine.patterns_of(user, by)
    if not patterns:
        raise nothing_to_read(engine, user, by)
    if pattern is not None and pattern not in patterns:
        raise NotFound(
            f"user {user} has no subscription to {pattern}: name it as GET /subscriptions does, or leave `topic` out for all",
            code="no-subscription",
        )
