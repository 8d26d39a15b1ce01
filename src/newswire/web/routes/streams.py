"""`GET /stream`: checks what is asked for and hands the connection over to whoever writes the events.

The view answers the head only. As its last act it puts an adopter into the environ; the listener gives it the socket
once the head is out. Nothing here knows who adopts. What is final is refused with its status; "not now" is a stream of
one comment that ends, with a longer `retry:`, since a browser gives up for good on any status but 200 (docs/http.md, Stream).

A GET moves cursors only on the reader's word. What a page of another site opens in the background is refused; what else is
not certainly the reader's is streamed and acknowledges nothing (docs/rules.md, WHO MAY ACT).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from flask import Blueprint, Response, request

from newswire import sse
from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model import event_ids
from newswire.core.model.event_ids import EventId
from newswire.core.model.names import check_username
from newswire.engine.seam import Engine
from newswire.errors import BadRequest, NotRegistered, Refused
from newswire.quotas.networks import network_of
from newswire.stream_order import StreamOrder
from newswire.threads import NeedsThread, must_not_wait
from newswire.web import origins, request_fields
from newswire.web.askers import Asker, is_in_background, is_reader
from newswire.web.availability import may_be_known, not_registered, why_not
from newswire.web.light import light
from newswire.web.pace import Pace
from newswire.web.request_fields import Environ
from newswire.web.routes import pages

Adopter = Callable[[socket.socket, bool], None]
HandOver = Callable[[StreamOrder], Adopter]

ENVIRON_KEY: Final = "newswire.hand_over"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}
_EVENT_STREAM: Final = "text/event-stream"


def routes(
    engine: Engine, settings: ServiceSettings, hand_over: HandOver | None, no_room: Callable[[StreamOrder], str], pace: Pace
) -> Blueprint:
    """The route of the stream; a browser that navigates to it gets the page that shows it.

    `no_room`: why there is none for a stream, "" if there is. It is asked before the socket leaves the listener, which bounds
    how many wait for an answer.
    """
    blueprint = Blueprint("streams", __name__)

    @blueprint.get("/stream")
    @light
    def stream() -> Response:
        environ = request.environ
        fields = request_fields.query(environ)
        if is_navigation(environ, fields):
            if must_not_wait():
                raise NeedsThread  # a page is read and written
            return pages.feed(engine, settings, fields.get("username", ""))
        stream_order = _on_its_word(engine, environ, order(environ, fields))
        later = pace.refusal(stream_order.user) or _why_not_now(engine, stream_order.user) or no_room(stream_order)
        if later:
            return _events([sse.comment(later, retry=limits.RETRY_LATER_MILLISECONDS)])
        if hand_over is not None:
            environ[ENVIRON_KEY] = hand_over(stream_order)
        return _events([])

    return blueprint


def order(environ: Environ, fields: Mapping[str, str]) -> StreamOrder:
    """What the request asks for. Raises BadRequest. Fields that nobody knows are let pass: trackers add them to links."""
    user = check_username(request_fields.text(dict(fields), "username", strict=False)["username"])
    return StreamOrder(
        user,
        last_event_id(environ, fields),
        format=_one_of(fields, "format", ("text", "json")),
        ack=_one_of(fields, "ack", ("auto", "client")),
        caller=network_of(environ.get("REMOTE_ADDR", "")),
    )


def _on_its_word(engine: Engine, environ: Environ, stream_order: StreamOrder) -> StreamOrder:
    """The order as far as the word of who asks for it goes. Raises Refused (`cross-site`)."""
    asker = origins.asker(engine, environ)
    if asker is Asker.FOREIGN and is_in_background(environ):
        raise Refused(
            "a page of another site may not open this stream: use the page of this broker, or a program", code="cross-site"
        )
    if asker is Asker.OURS and is_reader(environ):
        return stream_order
    return msgspec.structs.replace(stream_order, ack="none")


def last_event_id(environ: Environ, fields: Mapping[str, str]) -> EventId | None:
    """Where the client says it was: the header beats the query, which a page sets once and a reconnect repeats.

    Unreadable, or of a page of `/messages`: None, so what is undelivered is sent again (docs/hazards.md, H13 and H28).
    """
    text = environ.get("HTTP_LAST_EVENT_ID") or fields.get("lastEventId") or fields.get("last_event_id") or ""
    event_id = event_ids.parse(text)
    return None if event_id is None or event_id.of_page else event_id


def is_navigation(environ: Environ, fields: Mapping[str, str]) -> bool:
    """Say whether a browser's user went to this address, rather than a program or a page's EventSource."""
    accept = environ.get("HTTP_ACCEPT", "").lower()
    if fields.get("raw") == "1" or fields.get("format") == "json":
        return False
    return "text/html" in accept and _EVENT_STREAM not in accept


def _why_not_now(engine: Engine, user: str) -> str:
    """Why the stream cannot begin now, "" if it can. Raises NotRegistered when it is certain that it never will."""
    view = engine.describe()
    if not view.serves:
        return why_not(view)
    if view.why_behind:
        return view.why_behind
    if engine.patterns_of(user):
        return ""
    if view.all_in_sync:
        raise NotRegistered(not_registered(user))
    return may_be_known(user, view)


def _events(blocks: list[bytes]) -> Response:
    # an iterator, not a list: the length of a stream is not known, so none may be sent
    return Response(iter(blocks), 200, _HEADERS, content_type=_EVENT_STREAM)


def _one_of(fields: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = fields.get(name, choices[0])
    if value not in choices:
        raise BadRequest(f"`{name}` must be {' or '.join(choices)}", code="bad-field")
    return value
