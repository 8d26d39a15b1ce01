"""`GET /stream`: checks what is asked for and hands the connection over to whoever writes the events.

The view answers the head only. As its last act it puts an adopter into the environ; the listener gives it the socket and the
bytes of the head. Nothing here knows who adopts. What is final is refused with its status; "not now" is a stream of
one comment that ends, with a longer `retry:`, since a browser gives up for good on any status but 200 (docs/http.md, Stream).

A GET moves cursors only on the reader's word. What a page of another site opens in the background is refused; what else is
not certainly the reader's is streamed and acknowledges nothing (docs/rules.md, WHO MAY ACT).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from flask import Blueprint, Response, request

from newswire import sse
from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model import event_ids
from newswire.core.model.event_ids import EventId
from newswire.engine.seam import Engine, Principal
from newswire.errors import BadRequest, Refused
from newswire.quotas.networks import network_of
from newswire.stream_order import StreamOrder
from newswire.threads import NeedsThread, must_not_wait
from newswire.web import origins, request_fields
from newswire.web.askers import Asker, accepts_page, is_in_background, is_reader
from newswire.web.auth import Caller, caller_of, subject_of, ticket_user
from newswire.web.availability import may_be_known, why_not, why_nothing_to_read
from newswire.web.content_coding import accepts_gzip
from newswire.web.pace import Pace
from newswire.web.request_fields import Environ
from newswire.web.responses import KEEP_NO_COPY, ReadyResponse
from newswire.web.route import MAY_READ, SELF_OR_ADMIN, Field, Route, Success, Values, text_field
from newswire.web.routes import pages
from newswire.web.usual_fields import USERNAME, flag_field

Adopter = Callable[[socket.socket, bytes, bool], None]
HandOver = Callable[[StreamOrder], Adopter]

ENVIRON_KEY: Final = "newswire.hand_over"
_EVENT_STREAM: Final = "text/event-stream"
_OF_ALL: Final = (("Content-Type", _EVENT_STREAM), *KEEP_NO_COPY, ("X-Accel-Buffering", "no"))
_LINES: Final = (*_OF_ALL, ("Vary", "Accept"))
_GZIP_LINES: Final = (*_OF_ALL, ("Vary", "Accept, Accept-Encoding"), ("Content-Encoding", "gzip"))


def _choice(name: str, type: Any, words: str) -> Field[str]:
    """A field that has one of the values of the literal `type`."""
    choices = get_args(type)

    def check(value: str) -> str:
        if value not in choices:
            raise BadRequest(f"`{name}` must be {' or '.join(choices)}", code="bad-field")
        return value

    return text_field(name, check, type, words)


_Place = Annotated[str, msgspec.Meta(examples=["e~1001-k3b9.7~1001-k3b9.7~"])]  # what cannot be read gets all again
FORMAT: Final = _choice(
    "format",
    Literal["text", "json"],
    "`text` (default): `data:` is the text, with the title on a line before it; `json`: an object.",
)
ACK: Final = _choice(
    "ack",
    Literal["auto", "client"],
    "`auto` (default): what the other end's kernel confirmed is acknowledged; `client`: only `POST /ack` and `Last-Event-ID`"
    " count.",
)
LAST_EVENT_ID: Final = text_field(
    "last_event_id",
    str,
    _Place,
    "Where to go on: the id of the last event. One that cannot be read gets all that is undelivered.",
)
LAST_EVENT_ID_TOO: Final = text_field("lastEventId", str, _Place, "The same, as EventSource polyfills call it.")
LAST_EVENT_ID_HEADER: Final = Field(
    name="Last-Event-ID", read=str, type=_Place, words="The same, and wins: browsers send it.", place="header"
)
FOLLOW: Final = flag_field(
    "follow", "`1`: the client goes where `moved` sends it, and is sent while the stream goes on, to share the load."
)
RAW: Final = flag_field("raw", "`1`: the stream, also for a browser that would get the page.")
GZIP: Final = flag_field(
    "gzip", "`1`: compressed by gzip, if `Accept-Encoding` takes that: for slow lines, and for who catches up."
)
TICKET: Final = text_field("ticket", str, str, "In place of a credential, once: what `POST /tickets` gave within 30 seconds.")
STREAM: Final = Route(
    method="GET",
    path="/stream",
    words="A user's stream, as Server-Sent Events; for a browser's navigation the feed page.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, FORMAT, ACK, LAST_EVENT_ID, LAST_EVENT_ID_TOO, FOLLOW, RAW, GZIP, TICKET, LAST_EVENT_ID_HEADER),
    answers=(Success(media=_EVENT_STREAM), Success(media="text/html"), Success(media="text/html", status=403)),
    codes=("not-registered", "cross-site", "no-user"),
    is_light=True,
    is_shared=True,
    is_lenient=True,
)


def routes(
    engine: Engine, settings: ServiceSettings, hand_over: HandOver | None, no_room: Callable[[StreamOrder], str], pace: Pace
) -> Blueprint:
    """The route of the stream; a browser that navigates to it gets the page that shows it.

    `no_room`: why there is none for a stream, "" if there is. It is asked before the socket leaves the listener, which bounds
    how many wait for an answer.
    """
    blueprint = Blueprint("streams", __name__)

    @STREAM.on(blueprint)
    def stream() -> Response:
        environ = request.environ
        fields = request_fields.query(environ)
        if wants_feed(environ, fields):
            if must_not_wait():
                raise NeedsThread  # a page is read and written
            return pages.feed(engine, settings, fields.get("username", ""))
        caller, values = caller_of(environ), STREAM.values(fields)
        user = subject_of(engine, caller, _whose(environ, values)).username
        stream_order = _on_its_word(engine, environ, order(environ, values, user, caller))
        later = pace.refusal(user) or _why_not_now(engine, user, caller.principal) or no_room(stream_order)
        if later:
            return _events([sse.comment(later, retry=limits.RETRY_LATER_MILLISECONDS)])
        if hand_over is not None:
            environ[ENVIRON_KEY] = hand_over(stream_order)
            return _events([], gzip=stream_order.gzip)
        return _events([])

    return blueprint


def _whose(environ: Environ, fields: Values) -> str | None:
    """Whose stream the request is for, None: the caller's. A ticket is for one. Raises `forbidden`."""
    user, username = ticket_user(environ), fields.get(USERNAME, None)
    if user is not None and username not in (None, user):
        raise Refused("this ticket is for the stream of another user: leave `username` out")
    return user or username


def order(environ: Environ, fields: Values, user: str, caller: Caller) -> StreamOrder:
    """What `caller` asks for: a stream of `user`."""
    return StreamOrder(
        user,
        last_event_id(environ, fields),
        by=caller.principal,
        asker=caller.username,
        until=caller.until,
        format=fields.get(FORMAT, "text"),
        ack=fields.get(ACK, "auto"),
        follows=fields.get(FOLLOW, False),
        caller=network_of(environ.get("REMOTE_ADDR", "")),
        gzip=fields.get(GZIP, False) and accepts_gzip(environ),
    )


def _on_its_word(engine: Engine, environ: Environ, stream_order: StreamOrder) -> StreamOrder:
    """The order as far as the word of who asks for it goes. Raises Refused (`cross-site`)."""
    asker = origins.asker(engine, environ)
    if asker is Asker.FOREIGN and is_in_background(environ):
        raise Refused(
            "a page of another site may not open this stream: use the page of this broker, or a program", code="cross-site"
        )
    if asker is Asker.OURS and is_reader(environ) and stream_order.asker in ("", stream_order.user):
        return stream_order  # an admin who reads what is another's leaves it unread
    return msgspec.structs.replace(stream_order, ack="none")


def last_event_id(environ: Environ, fields: Values) -> EventId | None:
    """Where the client says it was: the header beats the query, which a page sets once and a reconnect repeats.

    Unreadable, or of a page of `/messages`: None, so what is undelivered is sent again (docs/hazards.md, H13 and H28).
    """
    place = environ.get("HTTP_LAST_EVENT_ID") or fields.get(LAST_EVENT_ID_TOO, "") or fields.get(LAST_EVENT_ID, "")
    event_id = event_ids.parse(place)
    return None if event_id is None or event_id.of_page else event_id


def wants_feed(environ: Environ, fields: Mapping[str, str]) -> bool:
    """Say whether a browser's user went to this address, and did not ask for the stream itself."""
    return accepts_page(environ) and not RAW.read(fields.get("raw", False)) and fields.get("format") != "json"


def _why_not_now(engine: Engine, user: str, by: Principal | None) -> str:
    """Why the stream cannot begin now, "" if it can. Raises NotRegistered, `forbidden` when that is final."""
    view = engine.describe()
    if not view.serves:
        return why_not(view)
    if view.why_behind:
        return view.why_behind
    if engine.patterns_of(user, by):
        return ""
    if view.all_in_sync:
        raise why_nothing_to_read(engine, user, by)
    return may_be_known(user, view)


def _events(blocks: list[bytes], *, gzip: bool = False) -> Response:
    return ReadyResponse(iter(blocks), 200, _GZIP_LINES if gzip else _LINES)
