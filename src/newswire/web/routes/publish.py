"""`POST /publish`: one message, or a batch of them as NDJSON, all or none (docs/http.md, Publish)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
from flask import Blueprint, Response

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model.commands import RULES, Publish, batch_sentence
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine, Principal, Receipt
from newswire.errors import BadRequest, FewerCopies, NewswireError
from newswire.web import message_fields, request_fields
from newswire.web.auth import caller_of
from newswire.web.availability import serving
from newswire.web.deferred import STORE_CODES, DeferredResponse, stored
from newswire.web.ownership import check_replaced
from newswire.web.request_fields import Environ, Fields
from newswire.web.responses import answer
from newswire.web.route import MAY_PUBLISH, Field, Route, Success
from newswire.web.turn import Turn
from newswire.web.usual_fields import Topic

_MOST_COPIES: Final = limits.PEERS_COUNT
_KEY_HEADER: Final = "HTTP_IDEMPOTENCY_KEY"


class PublishAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one message is answered with; `duplicate`: its key was used for the same before; `due`: RFC 3339, where it waits.

    `withdrawn`: so it was before, and is withdrawn, or its time is over.
    """

    message: str
    id: str
    copies: int
    duplicate: bool = False
    due: str = ""
    withdrawn: bool = False


class BatchAnswer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a batch is answered with. `scheduled`: how many of `count` wait; `waiting`, `withdrawn`: how many of `duplicates`
    wait for their time, and are withdrawn or over.

    `ids`, `duplicate_lines`, `withdrawn_lines`: where it asked for them.
    """

    message: str
    count: int
    first: str
    last: str
    copies: int
    duplicates: int = 0
    scheduled: int = 0
    waiting: int = 0
    withdrawn: int = 0
    ids: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    duplicate_lines: tuple[int, ...] = ()
    withdrawn_lines: tuple[int, ...] = ()


_SAYS_SOMETHING: Final = msgspec.Meta(min_length=1)  # what is left out is not given as ""
_BOUNDS: Final = {"data": msgspec.Meta(max_length=limits.MESSAGE_BYTES), "title": _SAYS_SOMETHING, "click": _SAYS_SOMETHING}


def _message_field(name: str) -> Field[Any]:
    """A field of a message, declared as `message_fields.publish` reads it."""
    rule = RULES[name]
    type = Topic if name in ("topic", "escalate") else get_type_hints(Publish, include_extras=True)[name]
    if rule.least is not None:
        type = Annotated[int, msgspec.Meta(ge=rule.least, le=rule.most)]
    return Field(
        name=name,
        read=lambda value: value,
        type=Annotated[type, _BOUNDS[name]] if name in _BOUNDS else type,
        words=rule.help or f"{rule.words[0].upper()}{rule.words[1:]}.",
        is_required=name == "topic",
        codes={"topic": ("bad-topic",), "data": ("missing-field", "too-large")}.get(name, ()),
    )


AT: Final = Field(
    name="at",
    read=lambda value: value,
    type=Annotated[str, msgspec.Meta(examples=["2026-11-24T09:41:00Z"])] | int,
    words=f"When it is delivered: {message_fields.WHEN['at']}.",
    codes=("bad-field", "bad-time"),
)
DELAY: Final = Field(
    name="delay",
    read=lambda value: value,
    type=Annotated[str, msgspec.Meta(examples=["30m"])] | int,
    words=f"In how long it is delivered: {message_fields.WHEN['delay']}.",
    codes=("bad-field",),
)
COPIES: Final = Field(
    name="copies",
    read=lambda value: message_fields.whole("copies", value, 1, _MOST_COPIES),
    type=Annotated[int, msgspec.Meta(ge=1, le=_MOST_COPIES)],
    words="On how many brokers it must be stored.",
)
IDS: Final = Field(
    name="ids",
    read=lambda value: message_fields.whole("ids", value, 0, 1) == 1,
    type=Literal[0, 1],
    words="`1`: the answer to a batch names every message, as that to one message does.",
)
_CONTROLS: Final = [chr(code) for code in range(32) if chr(code) not in "\b\t\n\f\r"]  # these are two: a letter behind `\`
KEY_HEADER: Final = Field(
    name="Idempotency-Key",
    read=str,
    type=get_type_hints(Publish, include_extras=True)["key"],
    words="Is the `key` of a publish.",
    place="header",
    codes=("double-field",),
)
PUBLISH: Final = Route(
    method="POST",
    path="/publish",
    words="Publishes one message or a batch.",
    rights=(MAY_PUBLISH,),
    fields=(*map(_message_field, RULES), AT, DELAY, COPIES, IDS, KEY_HEADER),
    answers=(Success(PublishAnswer), Success(BatchAnswer)),
    codes=(
        "bad-line",
        "too-many",
        "key-reused",
        "no-message",
        "replaced",
        "not-enough-copies",
        "fewer-copies-than-asked",
        *STORE_CODES,
    ),
    takes_lines=True,
    is_light=True,
    is_shared=True,
)


def routes(engine: Engine, settings: ServiceSettings, give_way: Callable[[], None]) -> Blueprint:
    """The route that publishes. `give_way` is called by a batch between its steps, so that one message goes first."""
    blueprint = Blueprint("publish", __name__)
    blueprint.before_request(serving(engine))
    parsing = threading.Lock()  # what takes long is parsed one at a time: together they would only hold up what is short
    # and stored so while others publish: one message waits for one batch, not for eight
    storing = Turn(limits.RECEIPT_SECONDS, limits.BATCH_REST_SECONDS, limits.BATCH_QUIET_SECONDS)

    @PUBLISH.on(blueprint)
    def publish() -> Response:
        environ = request_fields.request_now().environ
        caller = caller_of(environ)
        by = caller.principal
        if request_fields.content_type(environ) == request_fields.NDJSON:
            fields = message_fields.from_text(request_fields.query(environ))
            copies = _copies(fields, settings.min_copies)
            with_ids = "ids" in fields and IDS.read(fields.pop("ids"))
            with parsing:
                messages = batch(environ, fields, caller.username, give_way)
            few = list(messages.values()) if len(messages) <= limits.STEP_LINES else []
            if few and sum(map(stored_characters, few)) <= limits.STEP_BYTES:  # quickly stored and copied
                storing.note_other()
                return _publish_batch(engine, messages, copies, by, give_way, with_ids=with_ids)
            with storing.take():
                response = _publish_batch(engine, messages, copies, by, give_way, with_ids=with_ids)
                response.wait()
                return response
        with parsing if request_fields.is_large(environ) else nullcontext():
            fields = request_fields.fields(environ, message_fields.from_text)
        copies = _copies(fields, settings.min_copies)
        if "ids" in fields:
            IDS.read(fields.pop("ids"))  # one message is always named
        message = single(environ, fields, caller.username)
        if len(message.data) <= limits.LIGHT_TEXT_CHARS or stored_characters(message) <= limits.LONG_TEXT_CHARS:
            storing.note_other()
            return _publish_one(engine, message, copies, by)
        with storing.take():
            one = _publish_one(engine, message, copies, by)
            one.wait()
            return one

    return blueprint


def stored_characters(message: Publish) -> int:
    """How long the text is where it is stored and copied: a control character is six there (RFC 8259, section 7)."""
    text = message.data
    return len(text) if text.isprintable() else len(text) + 5 * sum(map(text.count, _CONTROLS))


def single(environ: Environ, fields: Fields, publisher: str) -> Publish:
    """The one message of a request of `publisher`; its key may stand in the header that is usual for it."""
    header = environ.get(_KEY_HEADER)
    if header is not None and fields.setdefault("key", header) != header:
        raise BadRequest("`key` and the header Idempotency-Key differ: give one of them", code="double-field")
    return message_fields.publish(fields, publisher)


def batch(environ: Environ, fields: Fields, publisher: str, give_way: Callable[[], None] = lambda: None) -> dict[int, Publish]:
    """The messages of an NDJSON body by line; what the query gives stands for each. Raises with the number of a bad line."""
    if "key" in fields or _KEY_HEADER in environ:
        raise BadRequest("one `key` cannot stand for a batch: give each line its own, or none", code="bad-field")
    lines = request_fields.split_lines(request_fields.read(environ, limits.BATCH_BYTES))
    messages: dict[int, Publish] = {}
    for before in range(0, len(lines), limits.STEP_LINES):
        give_way()
        step = lines[before : before + limits.STEP_LINES]
        is_plain = not fields and len(lines) <= limits.BATCH_MESSAGES
        usual = message_fields.publish_lines(step, publisher) if is_plain else None
        messages.update(enumerate(usual, before + 1) if usual else _each(step, before, len(messages), fields, publisher))
    if not messages:
        raise BadRequest("the batch holds no message: send one JSON object a line", code="bad-body")
    return messages


def _each(lines: list[bytes], before: int, count: int, fields: Fields, publisher: str) -> Iterator[tuple[int, Publish]]:
    """The messages of some lines, by line, each looked at by itself. `before`, `count`: as for `json_lines`."""
    for number, line in request_fields.json_lines(lines, before, count):
        try:
            more = request_fields.json_object(line)
            yield number, message_fields.publish(request_fields.merged(fields, more) if fields else more, publisher)
        except NewswireError as error:
            code = "bad-line" if error.code == "bad-body" else error.code
            raise type(error)(f"line {number}: {error.detail}", code=code, line=number) from None


def _publish_one(engine: Engine, message: Publish, copies: int, by: Principal | None) -> DeferredResponse[Receipt]:
    check_replaced(engine, message, by)

    def published(receipt: Receipt) -> Response:
        due = rfc3339(receipt.due) if receipt.due else ""
        text = f"topic {message.topic} data {message.data or message.title}"
        done = f"Scheduled {text} for {due}" if due else f"Published {text}"
        return answer(
            PublishAnswer(
                message=f"Not published, as it was withdrawn or is over: {text}" if receipt.withdrawn else done,
                id=receipt.first,
                copies=receipt.copies,
                duplicate=receipt.duplicates > 0,
                due=due,
                withdrawn=receipt.withdrawn,
            )
        )

    def amend(error: NewswireError) -> NewswireError:
        for name in ("index", "ids"):  # of a batch
            error.extra.pop(name, None)
        return error

    return stored(engine, (message,), published, copies=copies, amend=amend, by=by)


def _publish_batch(
    engine: Engine,
    messages: dict[int, Publish],
    copies: int,
    by: Principal | None,
    give_way: Callable[[], None],
    *,
    with_ids: bool,
) -> DeferredResponse[Receipt]:
    def published(receipt: Receipt) -> Response:
        scheduled = 0
        if len(messages) <= limits.BATCH_LONG_OPS:  # a longer one is published now
            repeated = set(receipt.repeated)
            scheduled = sum(one.is_scheduled for at, one in enumerate(messages.values()) if at not in repeated)
        lines = list(messages) if with_ids and receipt.repeated else []
        waiting, withdrawn = _not_shown(engine, receipt, give_way)
        counts = len(waiting), len(withdrawn)
        return answer(
            BatchAnswer(
                message=batch_sentence(receipt.count, scheduled, receipt.duplicates - sum(counts), *counts),
                count=receipt.count,
                first=receipt.first,
                last=receipt.last,
                copies=receipt.copies,
                duplicates=receipt.duplicates,
                scheduled=scheduled,
                waiting=len(waiting),
                withdrawn=len(withdrawn),
                ids=receipt.ids if with_ids else msgspec.UNSET,
                duplicate_lines=tuple(lines[at] for at in receipt.repeated) if lines else (),
                withdrawn_lines=tuple(lines[at] for at in withdrawn) if lines else (),
            )
        )

    def amend(error: NewswireError) -> NewswireError:
        if "index" in error.extra:
            number = list(messages)[error.extra.pop("index")]
            return type(error)(f"line {number}: {error.detail}", code=error.code, line=number, **error.extra)
        if isinstance(error, FewerCopies) and not with_ids:
            error.extra.pop("ids", None)
        return error

    checked = set[str]()
    for at, message in enumerate(messages.values()):
        if message.replaces in checked:
            continue  # once is enough: whoever stores them refuses the second
        checked.add(message.replaces)
        try:
            check_replaced(engine, message, by)
        except NewswireError as error:
            error.extra["index"] = at
            raise amend(error) from None
    return stored(
        engine,
        list(messages.values()),
        published,
        copies=copies,
        amend=amend,
        by=by,
        reads=lambda receipt: bool(receipt.repeated),
    )


def _not_shown(engine: Engine, receipt: Receipt, give_way: Callable[[], None]) -> tuple[list[int], list[int]]:
    """Of what is not stored again (`receipt.repeated`) what waits for its time, and what is withdrawn or over."""
    waiting, withdrawn = list[int](), list[int]()
    for start in range(0, len(receipt.repeated), limits.STEP_LINES):
        give_way()
        part = receipt.repeated[start : start + limits.STEP_LINES]
        waits, gone = engine.not_shown([receipt.ids[at] for at in part])
        waiting += [at for at in part if receipt.ids[at] in waits - gone]
        withdrawn += [at for at in part if receipt.ids[at] in gone]
    return waiting, withdrawn


def _copies(fields: Fields, least: int) -> int:
    """Take `copies` out of `fields`: never fewer than the broker was told to ask for."""
    return max(least, COPIES.read(fields.pop("copies"))) if "copies" in fields else least
