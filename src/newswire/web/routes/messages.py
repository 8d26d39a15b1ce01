"""Reading without a stream: `GET /messages`, a page of what a user is subscribed to, and `GET /topics`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model import event_ids
from newswire.core.model.event_ids import EventId
from newswire.core.model.message import Message
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine, Entry, GapEntry, Position, Principal, TopicRow
from newswire.errors import BadRequest, NewswireError, NotFound
from newswire.sse import message_object
from newswire.web import times
from newswire.web.auth import caller_of, subject_of
from newswire.web.availability import nothing_to_read, reading
from newswire.web.pace import Pace
from newswire.web.responses import Rows
from newswire.web.route import MAY_READ, SELF_OR_ADMIN, SIGNED_IN, Route, Success, text_field
from newswire.web.usual_fields import PATTERN_IF_ONE, USERNAME, whole_field


class ShownTopic(msgspec.Struct, frozen=True, gc=False):
    """A topic as JSON; `last`: RFC 3339, None where no message has a time."""

    topic: str
    messages: int
    last: str | None


class ShownGap(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Messages that are not there, as JSON."""

    topic: str
    dropped: int
    reason: str = ""


class MessagesPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `/messages` answers; it is written in parts (`Rows`)."""

    messages: tuple[Message, ...]
    more: bool
    gaps: tuple[ShownGap, ...] = ()


SINCE: Final = text_field(
    "since",
    str,
    Annotated[str, msgspec.Meta(max_length=limits.EVENT_ID_CHARS, examples=["1h", "earliest", "2026-11-24T09:41:00Z"])],
    "Only what follows: an event id of a stream or page, or a time; else the cursor.",
    codes=("bad-event-id", "bad-time"),
)
LIMIT: Final = whole_field("limit", 1, limits.PAGE_MESSAGES, f"At most so many messages, else {limits.PAGE_DEFAULT_MESSAGES}.")
MESSAGES: Final = Route(
    method="GET",
    path="/messages",
    words="A page of what a user is subscribed to.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, PATTERN_IF_ONE, SINCE, LIMIT),
    answers=(Success(MessagesPage),),
    codes=("not-ready", "unavailable", "too-many", "not-registered", "no-subscription", "damaged"),
    is_shared=True,
)
TOPICS: Final = Route(
    method="GET",
    path="/topics",
    words="All topics.",
    rights=(SIGNED_IN,),
    answers=(Success(list[ShownTopic]),),
    codes=("not-ready",),
    is_shared=True,
)


def routes(engine: Engine, clock: Callable[[], float], pace: Pace, give_way: Callable[[], None]) -> Blueprint:
    """The routes that read. `give_way` is called between two steps of work."""
    blueprint = Blueprint("messages", __name__)
    blueprint.before_request(reading(engine))

    @MESSAGES.on(blueprint)
    def messages() -> Response:
        fields = MESSAGES.read(request.environ)
        caller, topic = caller_of(request.environ), fields.get(PATTERN_IF_ONE, None)
        limit = fields.get(LIMIT, limits.PAGE_DEFAULT_MESSAGES)
        user = subject_of(engine, caller, fields.get(USERNAME, None)).username
        pace.check(user)
        since = _since(fields[SINCE], clock()) if SINCE in fields else None
        start = engine.open_page(user, topic, since, int(clock() * 1000), caller.principal)
        if start is None:
            raise _nothing_there(engine, user, topic, caller.principal)
        entries, gaps, more = read_page(engine, start.position, limit, give_way)
        rows = Rows()
        for at in range(0, len(entries), limits.STEP_MESSAGES):
            give_way()
            part = entries[at : at + limits.STEP_MESSAGES]
            rows.add([message_object(entry.message, str(entry.event_id.for_page())) for entry in part])
        tellings = [ShownGap(gap.topic, gap.dropped, gap.reason) for gap in gaps]
        return rows.answer("messages", {"more": more, **({"gaps": tellings} if gaps else {})})

    @TOPICS.on(blueprint)
    def topics() -> Response:
        TOPICS.read(request.environ)
        rows = Rows()

        def take(part: list[TopicRow]) -> None:
            rows.add([ShownTopic(row.topic, row.messages, rfc3339(row.last) if row.last else None) for row in part])
            give_way()

        engine.topics(int(clock() * 1000), take, caller_of(request.environ).principal)
        return rows.answer()

    return blueprint


def read_page(
    engine: Engine, at: Position, limit: int, give_way: Callable[[], None] = lambda: None
) -> tuple[list[Entry], list[GapEntry], bool]:
    """At most `limit` entries, fewer where they are big; what is not there among them; whether more are due at once.

    `give_way` is called between steps of a millisecond.
    """
    entries, gaps = list[Entry](), list[GapEntry]()
    size = 0
    while True:
        give_way()
        page = engine.next_page(at, min(limit + 1 - len(entries), limits.STEP_MESSAGES))
        for entry in page.entries:
            is_full = len(entries) == limit or size > limits.PAGE_BYTES
            if isinstance(entry, GapEntry):
                gaps += [] if is_full else [entry]
            elif is_full:
                return entries, gaps, True  # one is read to know
            else:
                entries.append(entry)
                size += len(entry.message.data)
        if not page.more or page.moved:
            return entries, gaps, page.more  # `moved`: the log was written anew meanwhile; who asks for more asks by an id
        at = page.position


def _since(text: str, now: float) -> EventId | int:
    event_id = event_ids.parse(text)
    if event_id is not None:
        return event_id
    if event_ids.is_message_id(text):
        raise BadRequest("this is the id of a message: `since` takes its `event_id`", code="bad-event-id")
    at = times.moment(text, now)
    if at is None:
        raise BadRequest(f"`since` must be an event id, {times.FORMS}", code="bad-time")
    return at


def _nothing_there(engine: Engine, user: str, topic: str | None, by: Principal | None) -> NewswireError:
    if not engine.patterns_of(user, by):
        return nothing_to_read(engine, user, by)
    return NotFound(
        f"user {user} is not subscribed to {topic}: GET /subscriptions?username={user} says to what", code="no-subscription"
    )
