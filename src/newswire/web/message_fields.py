"""A message that a client publishes: its fields checked and made a `Publish`. Every field is refused with its rule.

In a query or form all fields are text, so numbers and lists are read from it first (`from_text`); JSON has its own types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from newswire.core import limits
from newswire.core.model.commands import RULES, Publish
from newswire.core.model.names import ROUTES, check_topic
from newswire.errors import BadRequest, NewswireError, TooLarge
from newswire.web import request_fields, times
from newswire.web.request_fields import Fields

_WHOLE: Final = re.compile(r"[0-9]{1,16}")
_FIELD_OF: Final = re.compile(r"`\$\.(\w+)")  # in what msgspec says of a value that is out of its bounds
_SURELY_SHORT: Final = limits.MESSAGE_BYTES // 4  # characters: UTF-8 needs at most 4 bytes for one
# `publisher` is not among them: who publishes is a matter of authentication, never of what the client says
WHEN: Final[Mapping[str, str]] = {  # when it is published, where that is not now: what each must be
    "at": "a time like 2026-11-24T09:41:00Z, or in seconds since 1970",
    "delay": f"a length of time like 30m or 1h30m, or seconds, up to {limits.SCHEDULE_AHEAD_SECONDS // 86_400} days",
}
FIELDS: Final = frozenset((*RULES, *WHEN))
_NUMBERS: Final = (*(name for name, rule in RULES.items() if rule.kind is int), "copies", "ids")
_FLAGS: Final = tuple(name for name, rule in RULES.items() if rule.kind is bool)
FLAG_WORDS: Final[Mapping[str, bool]] = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_LISTS: Final = tuple(name for name, rule in RULES.items() if rule.kind is tuple)
_EMPTY: Final = frozenset(("data", *_LISTS, *_FLAGS))  # may be given, and be empty


class _Line(Publish, frozen=True):
    """A line of a batch, whose key is checked with those of all others: one by one, that is most of what decoding costs."""

    key: Annotated[str, msgspec.Meta(max_length=limits.KEY_BYTES)] = ""


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_encode_lines: Final = msgspec.json.Encoder().encode_lines


def publish(fields: Fields, publisher: str = "") -> Publish:
    """The message of `publisher` that `fields` describes. What a type or bound refuses is told with that field's rule in words.

    Raises BadRequest, and TooLarge for over 64 KiB of `data`.
    """
    request_fields.only(fields, FIELDS)
    topic = fields.get("topic")
    if topic is None:
        raise request_fields.missing("topic")
    check_topic(request_fields.as_text("topic", topic))
    data = _data(fields)
    if len(fields) == 2 and "data" in fields:
        return Publish(topic=topic, data=data, publisher=publisher)
    if "at" in fields or "delay" in fields:
        if fields.get("replaces"):  # before it is looked for: where it is makes no difference
            raise _bad("a message that takes the place of another one is published now: leave `at` and `delay` out")
        now = publish({name: value for name, value in fields.items() if name not in WHEN}, publisher)
        return msgspec.structs.replace(now, **{name: _when(name, fields[name]) for name in WHEN if name in fields})
    try:
        message = msgspec.convert({**fields, "publisher": publisher} if publisher else fields, Publish)
    except msgspec.ValidationError as error:
        numbers = {name: fields[name] for name in _NUMBERS if name in fields}
        exact = {name: _exact(value) for name, value in numbers.items()}
        if any(type(exact[name]) is not type(numbers[name]) for name in numbers):
            return publish({**fields, **exact})
        field = _FIELD_OF.search(str(error))
        raise _broken(field[1] if field else "data") from None
    for name, value in fields.items():
        if not value and name not in _EMPTY:
            raise _broken(name)
    if message.click and not _is_web_address(message.click):
        raise _broken("click")
    if message.escalate and not message.confirm:
        raise _bad("`escalate` goes with `confirm`: say within how many seconds it is to be confirmed")
    if message.escalate in ROUTES:
        raise _bad(f"`escalate` is {message.escalate}, which names a part of this service: choose another topic")
    return message


def _when(name: str, value: Any) -> int:
    """`at` in ms since 1970, `delay` in ms."""
    value = _exact(value)
    text = str(value) if type(value) in (int, str) else ""
    milliseconds = (times.moment_to_come if name == "at" else times.length)(text)
    most = limits.TIME_MILLISECONDS if name == "at" else limits.SCHEDULE_AHEAD_SECONDS * 1000
    if name == "at" and milliseconds is not None:
        milliseconds = min(max(milliseconds, 1), most)  # as long past as 1970, or as far off: refused as such, not as no time
    if milliseconds is None or not 0 < milliseconds <= most:
        raise _bad(f"`{name}` must be {WHEN[name]}")
    return milliseconds


def publish_lines(lines: Sequence[bytes], publisher: str = "") -> list[Publish] | None:
    """The messages of `publisher` that JSON objects, one a line, describe: what `publish` makes of each, in one pass.

    None where any is not as usual, or seems not to be: then `publish` takes each, or says what is wrong with it.
    """
    if not lines or max(map(len, lines)) > limits.FORM_BYTES:
        return None
    try:
        messages: list[Publish] = list(map(_decode_line, lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    others = {one.publisher or one.again or one.about or one.original or one.click or one.escalate for one in messages}
    if not _says_all(messages, b"\n".join(lines)) or others - {""} or any(one.is_scheduled for one in messages):
        return None
    keys = "".join([one.key for one in messages])
    if not (keys.isascii() and keys.isprintable()):
        return None
    sizes = [len(one.data) for one in messages]
    if max(sizes) > _SURELY_SHORT or (not all(sizes) and not all(one.data or one.title for one in messages)):
        return None
    try:
        for topic in {message.topic for message in messages}:
            check_topic(topic)
    except BadRequest:
        return None
    return [msgspec.structs.replace(one, publisher=publisher) for one in messages] if publisher else messages


def _says_all(messages: Sequence[Publish], text: bytes) -> bool:
    """Say whether surely nothing else stands in `text` than what `messages` say: no field twice, empty, or unknown.

    Each field that stands there has two quotation marks around its name, and what is written anew has no field twice and none
    that is as if it was not given. Marks within texts are the same in both, as long as none is spelled `\\u0022`.
    """
    has_spelled = b"\\" in text and b"\\u0022" in text  # the first is found ten times as fast
    return not has_spelled and text.count(b'"') == _encode_lines(messages).count(b'"')


def from_text(texts: Mapping[str, str]) -> Fields:
    """The fields of a query or form in the types that JSON would have them in; what is no number stays text and is refused."""
    typed: Fields = dict(texts)
    for name in _NUMBERS:
        if name in typed and _WHOLE.fullmatch(typed[name]):
            typed[name] = int(typed[name])
    for name in _FLAGS:
        if name in typed:
            typed[name] = FLAG_WORDS.get(typed[name].lower(), typed[name])
    for name in _LISTS:
        if name in typed and len(typed[name]) <= limits.LIST_BYTES:
            typed[name] = [word.strip() for word in typed[name].split(",") if word.strip()]
    return typed


def whole_of_text(name: str, value: Any, least: int, most: int) -> int:
    """`whole`, of a number that may be text."""
    return whole(name, int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value, least, most)


def whole(name: str, value: Any, least: int, most: int) -> int:
    """`value` if it is a whole number within the bounds."""
    value = _exact(value)
    if type(value) is not int or not least <= value <= most:
        raise _bad(f"`{name}` must be a whole number from {least} to {most}")
    return value


def _exact(value: Any) -> Any:
    """A whole number as one: JSON knows no difference between 3 and 3.0, and some programs write the latter."""
    return int(value) if type(value) is float and value.is_integer() else value


def _data(fields: Fields) -> str:
    data = fields.get("data", "")
    if type(data) is not str:
        raise _bad('`data` must be text: put it in quotes ("data": "42"), encode an object as text yourself')
    if not data and not fields.get("title"):
        if "data" in fields:
            raise _bad("`data` is empty, which is allowed only with a `title`: say something in one of them")
        raise request_fields.missing("data")
    if len(data) > _SURELY_SHORT and len(data.encode()) > limits.MESSAGE_BYTES:
        raise TooLarge(f"`data` is over {limits.MESSAGE_BYTES // 1024} KiB: publish a link to it, nothing was stored")
    return data


def _is_web_address(url: str) -> bool:
    if not url.isprintable() or any(c.isspace() or c in '"<>\\' for c in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a broken IPv6 host, a port that is none
        return False


def _broken(name: str) -> NewswireError:
    return _bad(f"`{name}` must be {RULES[name].words}")


def _bad(detail: str) -> NewswireError:
    return BadRequest(detail, code="bad-field")
