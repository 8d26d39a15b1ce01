"""A message that a client publishes: its fields checked and made a `Publish`. Every field is refused with its rule.

In a query or form all fields are text, so numbers and lists are read from it first (`from_text`); JSON has its own types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from newswire.core import limits
from newswire.core.model.commands import Publish
from newswire.core.model.names import check_topic
from newswire.errors import BadRequest, NewswireError, TooLarge
from newswire.web import request_fields
from newswire.web.request_fields import Fields

# control characters, line ends and halves of a pair: a title, a tag or an address is one line of text wherever it is shown
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KEY: Final = re.compile(rf"[\x20-\x7e]{{1,{limits.KEY_BYTES}}}")
_WHOLE: Final = re.compile(r"[0-9]{1,12}")
_SURELY_SHORT: Final = limits.MESSAGE_BYTES // 4  # characters: UTF-8 needs at most 4 bytes for one


def publish(given: Fields) -> Publish:
    """The message that `given` describes.

    Raises BadRequest, and TooLarge for over 64 KiB of `data`.
    """
    request_fields.only(given, FIELDS)
    topic = given.get("topic")
    if topic is None:
        raise request_fields.missing("topic")
    check_topic(request_fields.as_text("topic", topic))
    data = _data(given)
    if len(given) == 2 and "data" in given:
        return Publish(topic, data)
    return Publish(topic, data, **{name: _CHECKS[name](value) for name, value in given.items() if name in _CHECKS})


def from_text(given: Mapping[str, str]) -> Fields:
    """The fields of a query or form in the types that JSON would have them in; what is no number stays text and is refused."""
    typed: Fields = dict(given)
    for name in ("priority", "expires", "copies", "ids"):
        if name in typed and _WHOLE.fullmatch(typed[name]):
            typed[name] = int(typed[name])
    if len(typed.get("tags", "")) <= limits.LIST_BYTES and "tags" in typed:
        typed["tags"] = [tag.strip() for tag in typed["tags"].split(",") if tag.strip()]
    return typed


def whole(name: str, value: Any, least: int, most: int) -> int:
    """`value` if it is a whole number within the bounds."""
    if type(value) is not int or not least <= value <= most:
        raise _bad(f"`{name}` must be a whole number from {least} to {most}")
    return value


def key(value: Any) -> str:
    """`value` if it may be a key."""
    if type(value) is not str or not _KEY.fullmatch(value):
        raise _bad(f"`key` must be 1 to {limits.KEY_BYTES} printable ASCII characters, a UUID for example, or be left out")
    return value


def _data(given: Fields) -> str:
    data = given.get("data", "")
    if type(data) is not str:
        raise _bad('`data` must be text: put it in quotes ("data": "42"), encode an object as text yourself')
    if not data and not given.get("title"):
        if "data" in given:
            raise _bad("`data` is empty, which is allowed only with a `title`: say something in one of them")
        raise request_fields.missing("data")
    if len(data) > _SURELY_SHORT and len(data.encode()) > limits.MESSAGE_BYTES:
        raise TooLarge(f"`data` is over {limits.MESSAGE_BYTES // 1024} KiB: publish a link to it, nothing was stored")
    return data


def _title(value: Any) -> str:
    if type(value) is not str or not 0 < len(value) <= limits.TITLE_CHARS or _CONTROL.search(value):
        raise _bad(f"`title` must be one line of 1 to {limits.TITLE_CHARS} characters; longer text belongs into `data`")
    return value


def _priority(value: Any) -> int:
    return whole("priority", value, 1, 5)


def _expires(value: Any) -> int:
    return whole("expires", value, 1, limits.EXPIRES_SECONDS)


def _tags(value: Any) -> tuple[str, ...]:
    if type(value) is not list or len(value) > limits.TAGS_COUNT or not all(_is_tag(tag) for tag in value):
        raise _bad(
            f"`tags` must be at most {limits.TAGS_COUNT} words of 1 to {limits.TAG_CHARS} characters on one line each:"
            ' a list in JSON (["sale", "shop"]), separated by commas elsewhere'
        )
    return tuple(value)


def _is_tag(tag: object) -> bool:
    return type(tag) is str and 0 < len(tag) <= limits.TAG_CHARS and not _CONTROL.search(tag)


def _click(value: Any) -> str:
    if type(value) is not str or len(value) > limits.URL_CHARS or not _is_web_address(value):
        raise _bad(f"`click` must be an http:// or https:// address without spaces, of at most {limits.URL_CHARS} characters")
    return value


def _is_web_address(url: str) -> bool:
    if not url.isprintable() or any(c.isspace() or c in '"<>\\' for c in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a broken IPv6 host, a port that is none
        return False


def _bad(detail: str) -> NewswireError:
    return BadRequest(detail, code="bad-field")


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "title": _title,
    "priority": _priority,
    "tags": _tags,
    "click": _click,
    "key": key,
    "expires": _expires,
}
# `publisher` is not among them: who publishes is a matter of authentication, never of what the client says
FIELDS: Final = frozenset({"topic", "data", *_CHECKS})
