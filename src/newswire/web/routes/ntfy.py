"""ntfy's wire: `POST /<topic>`, `GET /<topics>/json` and what else its clients ask for (docs/ntfy.md).

What is published is a message like any other. A reader has no subscription and no cursor: a stream brings what is published to
its topics, from where the reader says on, and acknowledges nothing. Answers and errors have ntfy's shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, get_args

import msgspec
from flask import Blueprint, Response, request

from newswire import ntfy
from newswire.config import ServiceSettings
from newswire.core.model import event_ids
from newswire.core.model.commands import Publish, Withdraw
from newswire.core.model.names import check_topic
from newswire.core.model.ops import Scheduled
from newswire.engine.seam import Engine, Receipt
from newswire.errors import BadRequest, NewswireError, NotFound, Refused
from newswire.ntfy import NtfyWire, Shape
from newswire.quotas.networks import network_of
from newswire.stream_order import StreamOrder
from newswire.web import ntfy_fields, origins, responses
from newswire.web.askers import Asker, is_in_background
from newswire.web.auth import Caller, caller_of
from newswire.web.availability import reading, serving
from newswire.web.deferred import STORE_CODES, DeferredResponse, stored
from newswire.web.ownership import check_replaced, own_message
from newswire.web.request_fields import Environ
from newswire.web.responses import answer
from newswire.web.route import MAY_PUBLISH, PUBLIC, SIGNED_IN, Field, Right, Route, Success, text_field
from newswire.web.routes.streams import ENVIRON_KEY, HandOver
from newswire.web.usual_fields import MESSAGE_IN_PATH, Topic, message_id

_OFF: Final = (
    "topics are read by their registered subscribers: POST /subscribe, then GET /stream. To let anybody read them by ntfy's"
    " wire an operator starts brokers with --open-reading"
)
_BY_GET: Final = (
    "a message is published by GET only with a credential in the header Authorization: any page, link or preview of a chat"
    " could do it otherwise. Use POST"
)
_NO_SOCKETS: Final = "web sockets are not spoken here: read GET /<topic>/json or /<topic>/sse, which bring the same"


class NtfyMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message as ntfy's clients read it. `withdrawn`: not its: that it was before, and is withdrawn, or its time is over."""

    id: str
    time: int
    event: str
    topic: str
    message: str
    expires: int = 0
    title: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    click: str = ""
    withdrawn: bool = False


class NtfyDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """That a message is withdrawn, as ntfy's clients read it. `sequence_id`: the id that was named."""

    id: str
    time: int
    event: str
    topic: str
    sequence_id: str


class Healthy(msgspec.Struct, frozen=True):
    """Whether a broker serves."""

    healthy: bool


class MayRead(msgspec.Struct, frozen=True):
    """That topics may be read."""

    success: bool


def _fields(names: Mapping[str, tuple[str, ...]], *shown: str) -> tuple[Field[Any], ...]:
    """The fields of a query that are described; all of them stand on a page of their own."""
    return tuple(text_field(name, str, str, _WORDS[name]) for name in shown if name in names)


_WORDS: Final[Mapping[str, str]] = {
    "title": "A line above the text, also as the header `Title`.",
    "message": "The text, where the body has none.",
    "priority": "1 to 5, or min, low, default, high, max, urgent; also as the header `Priority`.",
    "tags": "With commas between; also as the header `Tags`.",
    "click": "The address that the message opens; also as the header `Click`.",
    "template": "`alertmanager` or `grafana`: the body is a webhook of it.",
    "since": "From where on: all, none, latest, a duration back from now, a Unix time, the id of a message, an event id.",
    "poll": "`1`: what there is, and no stream.",
    "id": "Only this message.",
    "auth": "The value of the header Authorization, in base64url without padding, for what cannot send it.",
}
TOPIC: Final = Field(
    name="topic", read=check_topic, type=Topic, words="The topic.", place="path", is_required=True, codes=("bad-topic",)
)
TOPICS: Final = Field(
    name="topics",
    read=ntfy_fields.topics_of,
    type=Topic,
    words="Topics, with commas between.",
    place="path",
    is_required=True,
    codes=("bad-topic",),
)
_MESSAGE_FIELDS: Final = _fields(ntfy_fields.NAMES, "title", "message", "priority", "tags")
_READER_FIELDS: Final = _fields(ntfy_fields.READER_NAMES, "since", "poll", "priority", "tags", "message", "title", "id", "auth")
_PUBLISH_CODES: Final = (
    "too-large",
    "key-reused",
    "no-message",
    "replaced",
    "not-enough-copies",
    "fewer-copies-than-asked",
    "not-found",
    *STORE_CODES,
)
POST_TOPIC: Final = Route(
    method="POST",
    path="/<topic>",
    words="Publishes the text that is the body, as ntfy does.",
    rights=(MAY_PUBLISH,),
    fields=(TOPIC, *_MESSAGE_FIELDS),
    answers=(Success(NtfyMessage),),
    codes=_PUBLISH_CODES,
    wire="ntfy",
)
PUT_TOPIC: Final = replace(POST_TOPIC, method="PUT")
POST_JSON: Final = replace(
    POST_TOPIC, path="/", words="Publishes the message that ntfy's JSON describes.", rights=(SIGNED_IN,), fields=()
)
PUT_JSON: Final = replace(POST_JSON, method="PUT")
BY_GET: Final = tuple(
    replace(
        POST_TOPIC,
        method="GET",
        path=f"/<topic>/{word}",
        words="Publishes by GET, for whoever shows a credential in the header Authorization.",
        codes=(*_PUBLISH_CODES, "forbidden", "cross-site"),
        reads_all=True,
    )
    for word in ("publish", "send", "trigger")
)
DELETE_MESSAGE: Final = replace(
    POST_TOPIC,
    method="DELETE",
    path="/<topic>/<id>",
    words="Withdraws a message, as ntfy's clients do: for its publisher, and for admins.",
    rights=(SIGNED_IN,),
    fields=(TOPIC, MESSAGE_IN_PATH),
    answers=(Success(NtfyDeletion),),
    codes=STORE_CODES,
)
_READS: Final = Right("topic", field="topics", verb="subscribe")
READERS: Final = tuple(
    Route(
        method="GET",
        path=f"/<topics>/{shape}",
        words=f"A stream of topics, or what there is of them, as ntfy's {shape}.",
        rights=(_READS,),
        fields=(TOPICS, *_READER_FIELDS),
        answers=(Success(media=ntfy.MEDIA[shape].partition(";")[0]),),
        codes=("forbidden", "bad-time", "not-ready", "too-many", "cross-site"),
        wire="ntfy",
        takes_auth_field=True,
    )
    for shape in get_args(Shape)
)
AUTH: Final = Route(
    method="GET",
    path="/<topics>/auth",
    words="Whether topics may be read.",
    rights=(_READS,),
    fields=(TOPICS, *_fields(ntfy_fields.READER_NAMES, "auth")),
    answers=(Success(MayRead),),
    codes=("forbidden",),
    wire="ntfy",
    takes_auth_field=True,
)
SOCKET: Final = replace(
    AUTH, path="/<topics>/ws", words="Web sockets, which are refused.", answers=(), codes=("forbidden", "bad-request")
)
HEALTH: Final = Route(
    method="GET",
    path="/v1/health",
    words="Does this broker serve? As ntfy's clients ask.",
    rights=(PUBLIC,),
    answers=(Success(Healthy), Success(Healthy, status=503)),
    is_lenient=True,
    wire="ntfy",
)


def routes(
    engine: Engine,
    settings: ServiceSettings,
    hand_over: HandOver | None,
    no_room: Callable[[StreamOrder], str],
    clock: Callable[[], float],
) -> Blueprint:
    """The routes of ntfy's wire. `no_room`, `hand_over`: as for `streams.routes`."""
    blueprint = Blueprint("ntfy", __name__)
    check_serves = serving(engine)
    publish = partial(_publish, engine, settings.min_copies, clock)

    @PUT_TOPIC.on(blueprint)
    @POST_TOPIC.on(blueprint)
    def publish_text(topic: str) -> Response:
        check_serves()
        caller = caller_of(request.environ)
        return publish(ntfy_fields.of_body(request.environ, topic, caller.username), caller)

    @PUT_JSON.on(blueprint)
    @POST_JSON.on(blueprint)
    def publish_json() -> Response:
        check_serves()
        caller = caller_of(request.environ)
        return publish(ntfy_fields.of_json(request.environ, caller.username), caller)

    def publish_by_get(topic: str) -> Response:
        check_serves()
        environ = request.environ
        caller = caller_of(environ)
        if caller.principal is None or "HTTP_AUTHORIZATION" not in environ:
            raise Refused(_BY_GET)
        if origins.asker(engine, environ) is not Asker.OURS:
            raise Refused(_BY_GET, code="cross-site")
        return publish(ntfy_fields.of_body(environ, topic, caller.username), caller)

    @DELETE_MESSAGE.on(blueprint)
    def withdraw(topic: str, id: str) -> Response:
        check_serves()
        DELETE_MESSAGE.read(request.environ)
        by, name = caller_of(request.environ).principal, message_id(id)
        if own_message(engine, name, by).topic != topic:
            raise NotFound(f"there is no message {name} in {topic}: it is in another topic", code="no-message")
        done = NtfyDeletion(id=name, time=int(clock()), event="message_delete", topic=topic, sequence_id=name)
        return stored(engine, (Withdraw(name, topic),), lambda receipt: answer(done), by=by, wire="ntfy")

    for route in BY_GET:
        route.on(blueprint)(publish_by_get)

    _add_readers(blueprint, engine, settings, hand_over, no_room, clock)

    @HEALTH.on(blueprint)
    def health() -> Response:
        serves = engine.describe().serves
        return answer(Healthy(healthy=serves), 200 if serves else 503)

    @blueprint.errorhandler(NewswireError)
    def refuse(error: NewswireError) -> Response:
        return responses.refused(error, request.method, request.path, "ntfy")

    @blueprint.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        return responses.unforeseen(error, request.method, request.path, "ntfy")

    return blueprint


def _add_readers(
    blueprint: Blueprint,
    engine: Engine,
    settings: ServiceSettings,
    hand_over: HandOver | None,
    no_room: Callable[[StreamOrder], str],
    clock: Callable[[], float],
) -> None:
    """Add what readers of topics ask for."""
    check_reads = reading(engine)

    def read(topics: str, *, shape: Shape) -> Response:
        check_reads()
        environ = request.environ
        caller = caller_of(environ)
        names = _readable(settings, caller, topics)
        stream_order = order(environ, caller, names, shape, clock())
        if origins.asker(engine, environ) is Asker.FOREIGN and is_in_background(environ):
            raise Refused("a page of another site may not read topics here: use a program", code="cross-site")
        if why := no_room(stream_order):
            raise Refused(why, code="too-many", ntfy=42903)
        if hand_over is not None:
            environ[ENVIRON_KEY] = hand_over(stream_order)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(iter(()), 200, headers, content_type=ntfy.MEDIA[shape])

    for route, shape in zip(READERS, get_args(Shape), strict=True):
        view = partial(read, shape=shape)
        view.__name__ = f"read_{shape}"  # type: ignore[attr-defined]  # Flask names an endpoint by it
        route.on(blueprint)(view)

    @AUTH.on(blueprint)
    def may_read(topics: str) -> Response:
        ntfy_fields.texts(request.environ, ntfy_fields.READER_NAMES)
        _readable(settings, caller_of(request.environ), topics)
        return answer(MayRead(success=True))

    @SOCKET.on(blueprint)
    def socket(topics: str) -> Response:
        ntfy_fields.texts(request.environ, ntfy_fields.READER_NAMES)
        _readable(settings, caller_of(request.environ), topics)
        raise BadRequest(_NO_SOCKETS, ntfy=40016)


def order(environ: Environ, caller: Caller, topics: tuple[str, ...], shape: Shape, now: float) -> StreamOrder:
    """What a reader of these topics asks for. `now`: seconds since 1970. Raises `bad-field`, `bad-time`, `unknown-field`."""
    values = ntfy_fields.texts(environ, ntfy_fields.READER_NAMES)
    polls = ntfy_fields.polls(values)
    last = event_ids.parse(environ.get("HTTP_LAST_EVENT_ID", ""))
    return StreamOrder(
        caller.username,
        last,
        by=caller.principal,
        asker=caller.username,
        until=caller.until,
        ack="none",
        caller=network_of(environ.get("REMOTE_ADDR", "")),
        wire=NtfyWire(shape, ntfy_fields.filters_of(values)),
        topics=topics,
        since=ntfy_fields.since_of(values.get("since", ""), now, of_poll=polls),
        polls=polls,
    )


def _readable(settings: ServiceSettings, caller: Caller, path: str) -> tuple[str, ...]:
    """The topics of a path that the caller may read. Raises `forbidden`, `bad-topic`."""
    topics = ntfy_fields.topics_of(path)
    if caller.rights is None and not settings.open_reading:
        raise Refused(_OFF)
    if caller.principal is not None and caller.principal.feed:
        raise Refused("this was opened with a ticket for a user's news: to read topics, sign in")
    for topic in topics:
        if caller.rights is not None and not caller.rights.may("subscribe", topic):
            raise Refused(f"you may not read {topic}: an admin can grant it")
    return topics


def _publish(
    engine: Engine, copies: int, clock: Callable[[], float], message: Publish, caller: Caller
) -> DeferredResponse[Receipt]:
    def when(receipt: Receipt) -> int:
        """The time of the message in ms: of a retry that of the first one, where it is still held."""
        first = engine.own_message(receipt.first, caller.principal) if receipt.duplicates and not receipt.due else None
        if first is None:
            return receipt.due or int(clock() * 1000)
        return first.due if isinstance(first, Scheduled) else first.time

    def published(receipt: Receipt) -> Response:
        return answer(
            {
                "id": receipt.first,
                "time": when(receipt) // 1000,
                "event": "message",
                "topic": message.topic,
                "message": message.data,
                **ntfy.looks(message),
                **({"withdrawn": True} if receipt.withdrawn else {}),
            }
        )

    check_replaced(engine, message, caller.principal)
    return stored(
        engine,
        (message,),
        published,
        copies=copies,
        by=caller.principal,
        wire="ntfy",
        reads=lambda receipt: bool(receipt.duplicates),
    )
