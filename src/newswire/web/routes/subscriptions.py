"""What a user is registered for, and how far he has read: `/subscribe`, `/unsubscribe`, `/subscriptions`, `/ack`."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from newswire.config import ServiceSettings
from newswire.core.model import event_ids
from newswire.core.model.commands import Acknowledge, Subscribe, Unsubscribe
from newswire.core.model.event_ids import EventId
from newswire.core.model.names import check_pattern, check_username
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine, Receipt
from newswire.errors import BadRequest, NotFound, Refused
from newswire.web import request_fields, times
from newswire.web.availability import serving, unknown_user
from newswire.web.deferred import stored
from newswire.web.light import light
from newswire.web.pace import Pace
from newswire.web.responses import answer


def routes(engine: Engine, settings: ServiceSettings, clock: Callable[[], float], pace: Pace) -> Blueprint:
    """The routes of subscriptions and cursors."""
    blueprint = Blueprint("subscriptions", __name__)
    blueprint.before_request(serving(engine))

    @blueprint.post("/subscribe")
    @light
    def subscribe() -> Response:
        fields = request_fields.text(request_fields.fields(request.environ), "username", "topic", optional=("from",))
        user, pattern = check_username(fields["username"]), check_pattern(fields["topic"])
        since = starting(fields.get("from", "now"), clock())
        patterns, most = engine.patterns_of(user), settings.subscriptions_per_user
        if len(patterns) >= most and pattern not in patterns:  # the engine checks it again where it is stored
            detail = f"{user} has {most} subscriptions, the most there may be: unsubscribe from one, or use a pattern"
            raise Refused(detail, code="too-many")
        text = f"Successfully subscribed {user} to topic {pattern}"
        return stored(engine, (Subscribe(user, pattern, since),), lambda receipt: answer({"message": text}))

    @blueprint.post("/unsubscribe")
    @light
    def unsubscribe() -> Response:
        fields = request_fields.text(request_fields.fields(request.environ), "username", "topic")
        user, pattern = check_username(fields["username"]), check_pattern(fields["topic"])
        text = f"Successfully unsubscribed {user} from topic {pattern}"
        return stored(engine, (Unsubscribe(user, pattern),), lambda receipt: answer({"message": text}))

    @blueprint.get("/subscriptions")
    def subscriptions() -> Response:
        user = check_username(request_fields.text(request_fields.query(request.environ), "username")["username"])
        pace.check(user)
        rows = engine.subscriptions_of(user)
        return answer([{"topic": r.topic, "since": rfc3339(r.since), "index": r.index, "unread": r.unread} for r in rows])

    @blueprint.post("/ack")
    @light
    def ack() -> Response:
        fields = request_fields.text(request_fields.fields(request.environ), "username", "id", optional=("topic",))
        user, place = check_username(fields["username"]), shown_by_stream(fields["id"])
        pattern = check_pattern(fields["topic"]) if "topic" in fields else None
        _check_registered(engine, user, pattern)

        def acknowledged(receipt: Receipt) -> Response:
            return answer({"message": f"Acknowledged for {user}", "moved": receipt.first != ""})

        return stored(engine, (Acknowledge(user, place, pattern),), acknowledged)

    return blueprint


def starting(text: str, now: float) -> int | None:
    """Where a subscription starts: None for now, else ms since 1970. Raises `bad-time`."""
    if text == "now":
        return None
    at = times.moment(text, now)
    if at is None:
        raise BadRequest(f"`from` must be `now`, {times.FORMS}", code="bad-time")
    return at


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


def _check_registered(engine: Engine, user: str, pattern: str | None) -> None:
    patterns = engine.patterns_of(user)
    if not patterns:
        raise unknown_user(engine, user)
    if pattern is not None and pattern not in patterns:
        raise NotFound(
            f"{user} has no subscription to {pattern}: name it as GET /subscriptions does, or leave `topic` out for all",
            code="no-subscription",
        )
