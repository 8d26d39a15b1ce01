"""What a request of ntfy's wire says, in headers, query or JSON: read, checked, and made a message or a reader's wishes.

Each field has ntfy's names, with or without `X-` in a header; a header beats the query, as there. Three kinds of fields are
told apart. What this service acts upon is read. What only says how a message looks on some screen (`icon`) is taken
and has no effect here. What would have something happen that does not happen here is refused with a sentence, never dropped.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any, Final

from newswire import ntfy
from newswire.core import limits
from newswire.core.model import event_ids
from newswire.core.model.commands import Publish
from newswire.core.model.event_ids import EventId
from newswire.core.model.names import check_topic
from newswire.engine.seam import LATEST
from newswire.errors import BadRequest, NewswireError, NotFound
from newswire.ntfy import Filters, bad
from newswire.web import message_fields, request_fields, times, webhooks
from newswire.web.request_fields import Environ, Fields

NAMES: Final[Mapping[str, tuple[str, ...]]] = {  # of a message: each with the other names that it goes by
    "title": ("t",),
    "message": ("m",),
    "priority": ("prio", "p"),
    "tags": ("tag", "ta"),
    "click": (),
    "template": ("tpl",),
    "markdown": ("md",),
    "icon": (),
    "firebase": (),
    "cache": (),
    "delay": ("at", "in"),
    "attach": ("a",),
    "filename": ("file", "f"),
    "actions": ("action",),
    "email": ("e-mail", "mail", "e"),
    "call": (),
    "unifiedpush": ("up",),
    "poll-id": (),
    "sequence-id": ("sequence_id", "sid"),
}
READER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "since": ("si",),
    "poll": ("po",),
    "scheduled": ("sched",),
    "id": (),
    "message": ("m",),
    "title": ("t",),
    "priority": ("prio", "p"),
    "tags": ("tag", "ta"),
    "auth": ("authorization",),
}
EMPTY_TEXT: Final = "triggered"  # what a message says that says nothing, as there
SCHEDULED: Final = "a delay is a duration (30m, 2 hours), a Unix time, or a time like 2026-11-24T09:41:00Z, in no other words"
REFUSED: Final[Mapping[str, tuple[int, str]]] = {  # number and sentence
    "attach": (40014, "attachments are not taken: give a link as `click`, or in the text"),
    "filename": (40014, "files are not kept: put the text into the body, or give a link as `click`"),
    "actions": (40018, "action buttons are not taken: give one address as `click`"),
    "email": (40001, "no mail is sent from here: an operator can have a subscriber's news mailed with `newswire forward`"),
    "call": (40033, "nobody is called from here: an operator can have a subscriber's news handed on with `newswire forward`"),
    "unifiedpush": (40050, "UnifiedPush is not spoken here: publish text"),
    "poll-id": (40051, "poll requests are not taken: readers keep a stream open, or poll with GET /<topic>/json?poll=1"),
    "cache": (40002, "every message is kept until retention removes it: leave `cache` out"),
}
_IN: Final = re.compile(  # "2 hours", "in 30 min"
    r"(?:in\s+)?([0-9]{1,9})\s*(?:(s)(?:ec(?:ond)?s?)?|(m)(?:in(?:ute)?s?)?|(h)(?:(?:ou)?rs?)?|(d)(?:ays?)?)",
    re.ASCII | re.IGNORECASE,
)
_YES: Final = frozenset({"1", "yes", "true"})
_NO: Final = frozenset({"", "0", "no", "false"})
_UNIX: Final = re.compile(r"[0-9]{1,11}", re.ASCII)
_FOREIGN_ID: Final = re.compile(r"[A-Za-z0-9]{12}", re.ASCII)  # a message id of an ntfy server
_IN_BASE64: Final = re.compile(r"=\?[^?]*\?[bB]\?([^?]*)\?=")  # RFC 2047, section 2: encoded words
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_FORM_OF_OURS: Final = (b"username=", b"topic=", b"broker_ip=")
_IN_JSON: Final = frozenset({*NAMES, "topic", "sequence_id"}) - {"sequence-id", "poll-id"}


# -- what is published ----------------------------------------------------------------------------------------------
def of_body(environ: Environ, topic: str, publisher: str) -> Publish:
    """The message whose text is the body. Raises BadRequest, TooLarge."""
    values = texts(environ, NAMES)
    body = _body(environ, topic)
    template = values.pop("template", "")
    if template in webhooks.TEMPLATES:
        parts = webhooks.render(template, request_fields.json_object(body.encode()))
        return _message(environ, {**parts, **values, "topic": topic}, publisher)
    if template not in _NO:
        raise bad(
            f"`template` must be {' or '.join(sorted(webhooks.TEMPLATES))}: templates of one's own are not filled in here",
            40046,
        )
    if "message" in values:
        if body:
            raise BadRequest("the text is given twice, in the body and as `message`: leave one out", code="double-field")
        values["message"] = values["message"].replace("\\n", "\n")
    return _message(environ, {"message": body, **values, "topic": topic}, publisher)


def of_json(environ: Environ, publisher: str) -> Publish:
    """The message that a JSON object describes, with headers beside it. Raises BadRequest, TooLarge."""
    members = request_fields.json_object(request_fields.read(environ, limits.FORM_BYTES))
    request_fields.only(members, _IN_JSON)
    values = texts(environ, NAMES)
    for name, value in members.items():
        text = _json_text(name, value)
        if text and values.setdefault(name.replace("_", "-"), text) != text:
            raise BadRequest(f"`{name}` is given twice, in a header and in the JSON object: leave one out", code="double-field")
    if "topic" not in values:
        raise request_fields.missing("topic")
    return _message(environ, values, publisher)


def _json_text(name: str, value: Any) -> str:
    """A value as its header would have it; "" for one that says nothing. Raises `bad-field`."""
    if value in (None, False, 0, "", []):
        return ""
    if name in ("tags", "actions"):
        return str(value) if name == "actions" else ",".join(_tag(tag) for tag in _list(value))
    if isinstance(value, bool):
        return "yes"
    if name == "priority" and isinstance(value, int):
        return str(value)
    return request_fields.as_text(name, value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad('`tags` must be a list: ["warning", "disk"]', 40024)
    return value


def _tag(value: Any) -> str:
    tag = request_fields.as_text("tags", value)
    if "," in tag:
        raise bad("a tag has no comma", 40024)
    return tag


def _message(environ: Environ, values: Mapping[str, str], publisher: str) -> Publish:
    for name, value in values.items():
        if name == "cache":
            refuses = not _flag(name, value)
        else:
            refuses = name in REFUSED and value.strip().lower() not in _NO
        if refuses:
            number, sentence = REFUSED[name]
            raise bad(sentence, number)
    _flag("firebase", values.get("firebase", ""))
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    text = values.get("message", "").strip()
    tags = [word.strip() for word in values.get("tags", "").split(",") if word.strip()]
    sequence = values.get("sequence-id", "").strip()
    if sequence and not event_ids.is_message_id(sequence):
        raise bad("a sequence id is the id of the message that this one replaces, as its publish answered it", 40049)
    fields: Fields = {
        **_when(values.get("delay", "").strip()),
        "topic": check_topic(values["topic"]),
        "replaces": sequence,
        "data": text or EMPTY_TEXT,
        "title": values.get("title", "").strip(),
        "priority": ntfy.read_priority(values.get("priority", "")),
        "tags": tags,
        "click": values.get("click", "").strip(),
        "markdown": _flag("markdown", values.get("markdown", "")) or kind == ntfy.MARKDOWN,
        "key": environ.get("HTTP_IDEMPOTENCY_KEY", ""),
    }
    return message_fields.publish({name: value for name, value in fields.items() if value}, publisher)


def _when(text: str) -> Fields:
    """When a message is delivered, as `message_fields.publish` takes it: {} for now. Raises `bad-field`."""
    if not text:
        return {}
    match = _IN.fullmatch(text)
    if match is not None:
        return {"delay": f"{match[1]}{match[match.lastindex or 0].lower()}"}
    if times.length(text) is not None and not text.isdecimal():
        return {"delay": text}
    if times.moment_to_come(text) is not None:
        return {"at": text}
    raise bad(SCHEDULED, 40004)


def _body(environ: Environ, topic: str) -> str:
    """The text that is the body. Raises `bad-field`, TooLarge; `not-found` for fields of ours at a mistyped address."""
    raw = request_fields.read(environ, limits.FORM_BYTES)
    if raw.startswith(_FORM_OF_OURS) and environ.get("CONTENT_TYPE", "").startswith(request_fields.FORM):
        raise NotFound(
            f"there is nothing at /{topic}: this looks like the fields of another request. To publish such a text, use"
            " POST /publish"
        )
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        raise bad("the text is not valid UTF-8, and files are not kept: put a link into the text", 40011) from None


# -- what is read ---------------------------------------------------------------------------------------------------
def topics_of(path: str) -> tuple[str, ...]:
    """The topics that a path names, with commas between. Raises `bad-topic`, TooLarge."""
    topics = tuple(dict.fromkeys(topic for topic in path.split(",") if topic))
    if len(topics) > limits.READ_TOPICS_COUNT:
        raise BadRequest(f"one stream reads at most {limits.READ_TOPICS_COUNT} topics: open several", code="bad-topic")
    return tuple(check_topic(topic) for topic in topics or ("",))


def filters_of(values: Mapping[str, str]) -> Filters:
    """What a reader wants of its topics. Raises `bad-field`."""
    words = [word for word in values.get("priority", "").split(",") if word.strip()]
    return Filters(
        id=values.get("id", ""),
        message=values.get("message", ""),
        title=values.get("title", ""),
        priorities=tuple(sorted({ntfy.read_priority(word) for word in words} - {0})),
        tags=tuple(sorted({tag.strip() for tag in values.get("tags", "").split(",") if tag.strip()})),
    )


def polls(values: Mapping[str, str]) -> bool:
    """Whether a reader wants what there is, and no stream. Raises `bad-field`."""
    _flag("scheduled", values.get("scheduled", ""))  # what waits is for its publisher: GET /messages?scheduled=1
    return _flag("poll", values.get("poll", ""))


def since_of(text: str, now: float, *, of_poll: bool) -> EventId | str | int | None:
    """From where on a reader reads, as `Engine.open_topics` takes it. `now`: seconds since 1970. Raises `bad-time`."""
    if text == "none" or (not text and not of_poll):
        return None
    if text in ("", "all"):
        return 0
    if text == "latest":
        return LATEST
    event_id = event_ids.parse(text)
    if event_id is not None or event_ids.is_message_id(text):
        return event_id or text
    if _UNIX.fullmatch(text):
        return int(text) * 1000
    at = times.moment(text, now)
    if at is None and not _FOREIGN_ID.fullmatch(text):
        raise BadRequest(
            "`since` must be all, none, latest, a duration like 10m, a Unix time, or the id of a message", code="bad-time"
        )
    return text if at is None else at


# -- fields ---------------------------------------------------------------------------------------------------------
def texts(environ: Environ, names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The fields of `names` that headers or the query have, by their first name. Raises `unknown-field`, `double-field`."""
    query = request_fields.query(environ)
    of_query = {other: name for name, others in names.items() for other in (name, *others)}
    values: dict[str, str] = {}
    for word, value in query.items():
        name = of_query.get(word.lower().removeprefix("x-"))
        if name is None:
            request_fields.only({word: value}, frozenset(of_query))
            continue
        if values.setdefault(name, value) != value:
            raise BadRequest(f"`{name}` is given twice, under two names: leave one out", code="double-field")
    for name, others in names.items():
        keys = [word.upper().replace("-", "_") for word in (name, *others)]
        headers = [text for key in keys for place in (f"HTTP_X_{key}", f"HTTP_{key}") if (text := environ.get(place))]
        if not headers or name == "auth":
            continue
        if len(set(headers)) > 1 and name != "priority":  # of which HTTP has a header of its own (RFC 9218): the first counts
            raise BadRequest(f"`{name}` is given twice, in two headers: leave one out", code="double-field")
        values[name] = _header(name, headers[0])
    return values


def _header(name: str, value: str) -> str:
    """The text of a header: UTF-8, else latin-1, which is what WSGI took it for, or as RFC 2047 has it. Raises `bad-field`."""
    try:
        text = value.encode("latin-1").decode()
    except UnicodeError:
        text = value
    if "=?" not in text:
        return text
    if not all(_BASE64.fullmatch(word) for word in _IN_BASE64.findall(text)):  # the parser leaves out what is none
        raise _unreadable(name)
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, UnicodeError, LookupError, binascii.Error, ValueError):
        raise _unreadable(name) from None


def _unreadable(name: str) -> NewswireError:
    return BadRequest(f"`{name}` cannot be read: send it as UTF-8, or as RFC 2047 has it", code="bad-field")


def _flag(name: str, value: str) -> bool:
    word = value.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise BadRequest(f"`{name}` must be yes or no", code="bad-field")
