"""Reading without a stream: `GET /messages`, a page of what a user is subscribed to, and `GET /topics`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model import event_ids
from newswire.core.model.commands import Withdraw
from newswire.core.model.event_ids import EventId
from newswire.core.model.message import Message, shown_object
from newswire.core.model.ops import OpId
from newswire.core.model.times import rfc3339
from newswire.core.model.words import Words, words_of
from newswire.engine.seam import Engine, Entry, GapEntry, Position, Principal, TopicRow, WithdrawalEntry
from newswire.errors import BadRequest, NewswireError, NotFound, Refused
from newswire.sse import message_object
from newswire.web import times
from newswire.web.auth import Caller, caller_of, subject_of
from newswire.web.availability import nothing_to_read, reading
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.ownership import own_message
from newswire.web.pace import Pace
from newswire.web.responses import Confirmation, Rows, answer
from newswire.web.route import MAY_READ, SELF_OR_ADMIN, SIGNED_IN, Route, Success, text_field
from newswire.web.usual_fields import MESSAGE_IN_PATH, PATTERN_IF_ONE, USERNAME, flag_field, message_id, whole_field


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


class ShownWithdrawal(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A message that was withdrawn, as JSON."""

    topic: str
    id: str
    original: str = ""


class MessagesPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `/messages` answers; it is written in parts (`Rows`)."""

    messages: tuple[Message, ...]
    more: bool
    next: str = ""
    gaps: tuple[ShownGap, ...] = ()
    withdrawn: tuple[ShownWithdrawal, ...] = ()


class ShownScheduled(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that waits, as JSON, with the fields that it is to have. `due`, `time` (when it was taken): RFC 3339."""

    id: str
    topic: str
    data: str
    time: str
    due: str


class ScheduledPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `/messages?scheduled=1` answers."""

    messages: tuple[ShownScheduled, ...]
    more: bool
    next: str = ""


_SOME_WORDS: Final = rf"^\s*\S+(?:\s+\S+){{0,{limits.SEARCH_WORDS_COUNT - 1}}}\s*$"
SINCE: Final = text_field(
    "since",
    str,
    Annotated[str, msgspec.Meta(max_length=limits.EVENT_ID_CHARS, examples=["1h", "earliest", "2026-11-24T09:41:00Z"])],
    "Only what follows: an event id of a stream or page, or a time; else the cursor. With `scheduled`: the `next` before.",
    codes=("bad-event-id", "bad-time"),
)
BEFORE: Final = text_field(
    "before",
    str,
    Annotated[str, msgspec.Meta(max_length=limits.EVENT_ID_CHARS, examples=["now", "2d", "2026-11-24T09:41:00Z"])],
    "Only what came before, the newest first: `now` for all, `next` of the page before, an event id, or a time.",
    codes=("bad-event-id", "bad-time"),
)
Q: Final = text_field(
    "q",
    words_of,
    Annotated[str, msgspec.Meta(max_length=limits.SEARCH_CHARS, pattern=_SOME_WORDS, examples=["invoice march"])],
    "Only what has all of these words in its text, title, tags or topic, the newest first.",
)
LIMIT: Final = whole_field("limit", 1, limits.PAGE_MESSAGES, f"At most so many messages, else {limits.PAGE_DEFAULT_MESSAGES}.")
SCHEDULED: Final = flag_field(
    "scheduled", "`1`: what waits to be published, of one publisher; for an admin who gives no `username` of all."
)
_ALL_THAT_WAITS: Final = "`scheduled` lists all that waits: leave `topic`, `before` and `q` out"
_SCHEDULED_PLACE: Final = re.compile(r"([0-9]{1,16})~(.+)")
MESSAGES: Final = Route(
    method="GET",
    path="/messages",
    words="A page of what a user is subscribed to; with `q` or `before` the newest first.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, PATTERN_IF_ONE, SINCE, LIMIT, BEFORE, Q, SCHEDULED),
    answers=(Success(MessagesPage), Success(ScheduledPage)),
    codes=("not-ready", "unavailable", "too-many", "not-registered", "no-subscription", "damaged"),
    is_shared=True,
)
WITHDRAW: Final = Route(
    method="DELETE",
    path="/messages/<id>",
    words="Withdraws a message: for its publisher, and for admins.",
    rights=(SIGNED_IN,),
    fields=(MESSAGE_IN_PATH,),
    answers=(Success(Confirmation),),
    codes=STORE_CODES,
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
        if fields.get(SCHEDULED, False):
            if any(field in fields for field in (PATTERN_IF_ONE, BEFORE, Q)):
                raise BadRequest(_ALL_THAT_WAITS, code="bad-field")
            after = _scheduled_place(fields[SINCE]) if SINCE in fields else None
            return _scheduled(caller, fields.get(USERNAME, None), limit, after)
        user = subject_of(engine, caller, fields.get(USERNAME, None)).username
        pace.check(user)
        since = _place("since", fields[SINCE], clock()) if SINCE in fields else None
        goes_back = Q in fields or BEFORE in fields
        before = _place("before", fields[BEFORE], clock()) if fields.get(BEFORE, "now") != "now" else None
        if goes_back and since is None:
            since = 0  # not the cursor: what was delivered is looked for, too
        start = engine.open_page(user, topic, since, int(clock() * 1000), caller.principal)
        if start is None:
            raise _nothing_there(engine, user, topic, caller.principal)
        if goes_back:
            entries, rest = read_older(engine, start.position, before, fields.get(Q, None), limit, give_way)
            go_on = {"next": str(rest.for_page())} if rest is not None else {}
            return _rows_of(entries).answer("messages", {"more": rest is not None, **go_on})
        entries, others, more = read_page(engine, start.position, limit, give_way)
        gaps = [ShownGap(one.topic, one.dropped, one.reason) for one in others if isinstance(one, GapEntry)]
        withdrawn = [ShownWithdrawal(one.topic, one.id, one.original) for one in others if isinstance(one, WithdrawalEntry)]
        more_members = {name: members for name, members in (("gaps", gaps), ("withdrawn", withdrawn)) if members}
        return _rows_of(entries).answer("messages", {"more": more, **more_members})

    def _scheduled(caller: Caller, username: str | None, limit: int, after: tuple[int, OpId] | None) -> Response:
        if caller.principal is not None and caller.principal.feed:
            raise Refused("this was opened with a ticket for a user's news: to see what waits, sign in")
        is_for_all = caller.principal is None or (username is None and caller.admin)
        user = None if is_for_all else subject_of(engine, caller, username)
        whose, account = (user.username, user.account) if user is not None else (None, "")
        waiting = engine.scheduled(whose, limit + 1, account, caller.principal, after)
        rows = Rows()
        count = size = 0
        for op in waiting[:limit]:
            if size > limits.PAGE_BYTES:
                break
            if count % limits.STEP_MESSAGES == 0:
                give_way()
            shown = shown_object(op, id=op.id, event_id="", time=rfc3339(op.time)) | {"due": rfc3339(op.due)}
            del shown["event_id"]
            rows.add([shown])
            count += 1
            size += len(op.data)
        if len(waiting) == count:
            return rows.answer("messages", {"more": False})
        last = waiting[count - 1]
        return rows.answer("messages", {"more": True, "next": f"{last.due}~{last.id}"})

    def _rows_of(entries: Sequence[Entry]) -> Rows:
        rows = Rows()
        for at in range(0, len(entries), limits.STEP_MESSAGES):
            give_way()
            part = entries[at : at + limits.STEP_MESSAGES]
            rows.add([message_object(entry.message, str(entry.event_id.for_page())) for entry in part])
        return rows

    @WITHDRAW.on(blueprint)
    def withdraw(id: str) -> Response:
        WITHDRAW.read(request.environ)
        by, name = caller_of(request.environ).principal, message_id(id)
        message = own_message(engine, name, by)
        done = Confirmation(f"Withdrew message {name}")
        return stored(engine, (Withdraw(name, message.topic),), lambda receipt: answer(done), by=by)

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
) -> tuple[list[Entry], list[GapEntry | WithdrawalEntry], bool]:
    """At most `limit` messages, fewer where they are big; what is not there among them; whether more are due at once.

    `give_way` is called between steps of a millisecond.
    """
    entries, others = list[Entry](), list[GapEntry | WithdrawalEntry]()
    size = 0
    while True:
        give_way()
        page = engine.next_page(at, min(limit + 1 - len(entries), limits.STEP_MESSAGES))
        for entry in page.entries:
            is_full = len(entries) == limit or size > limits.PAGE_BYTES
            if isinstance(entry, (GapEntry, WithdrawalEntry)):
                others += [] if is_full else [entry]
            elif is_full:
                return entries, others, True  # one is read to know
            else:
                entries.append(entry)
                size += len(entry.message.data)
        if not page.more or page.moved:
            return entries, others, page.more  # `moved`: the log was written anew meanwhile; who asks for more asks by an id
        at = page.position


def read_older(
    engine: Engine,
    at: Position,
    before: EventId | int | None,
    words: Words | None,
    limit: int,
    give_way: Callable[[], None] = lambda: None,
) -> tuple[list[Entry], EventId | None]:
    """At most `limit` entries that `before` covers and that have all `words`, the newest first; from where to go on, or None.

    It looks at a bounded count of messages, of their bytes, and of rows of the log. `give_way`: as of `read_page`.
    """
    entries = list[Entry]()
    count = size = 0
    for _ in range(limits.SEARCH_STEPS):
        give_way()
        step = limits.STEP_MESSAGES if words else min(limit - len(entries), limits.STEP_MESSAGES)
        page = engine.older_page(at, before, step)
        for entry in page.entries:
            assert isinstance(entry, Entry), "gaps are told to who reads forwards"
            count += 1
            size += len(entry.message.data)
            if words is None or words.are_in(entry.message):
                entries.append(entry)
            if len(entries) == limit:
                is_last = entry is page.entries[-1] and not page.more
                return entries, None if is_last else entry.event_id
        before = page.event_id
        if not page.more:
            return entries, None
        if count >= limits.SEARCH_MESSAGES or size > limits.PAGE_BYTES:
            break
    assert isinstance(before, EventId)
    return entries, before


def _place(name: str, text: str, now: float) -> EventId | int:
    event_id = event_ids.parse(text)
    if event_id is not None:
        return event_id
    if event_ids.is_message_id(text):
        raise BadRequest(f"this is the id of a message: `{name}` takes its `event_id`", code="bad-event-id")
    at = times.moment(text, now)
    if at is None:
        raise BadRequest(f"`{name}` must be an event id, {times.FORMS}", code="bad-time")
    return at


def _scheduled_place(text: str) -> tuple[int, OpId]:
    """When what was listed last is due (ms), and its id: what the `next` of a list says. Raises `bad-event-id`."""
    match = _SCHEDULED_PLACE.fullmatch(text)
    if match is None or not event_ids.is_message_id(match[2]):
        raise BadRequest("with `scheduled`, `since` takes the `next` of the page before", code="bad-event-id")
    return int(match[1]), match[2]


def _nothing_there(engine: Engine, user: str, topic: str | None, by: Principal | None) -> NewswireError:
    if not engine.patterns_of(user, by):
        return nothing_to_read(engine, user, by)
    return NotFound(
        f"user {user} is not subscribed to {topic}: GET /subscriptions?username={user} says to what", code="no-subscription"
    )
