"""What a request gives: named fields, from its query and its body, each at most once.

The body is read from `wsgi.input` and decoded with msgspec: half the cost of Flask's own `request.form` and
`get_json`, and strict. Fields of a query or form are text; those of a JSON object have JSON's types. `text` and
the builders in `drafts` decide which types and names are right.

Strict means 400, with a sentence, for: a field twice (RFC 8259 leaves a JSON name given twice to chance), a field nobody
knows (a misspelled `titel` must not be lost silently), NaN, integers beyond all bounds, lone surrogates, invalid UTF-8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from flask import Request
from flask.globals import _cv_request

from newswire.core import limits
from newswire.errors import BadRequest, NewswireError, Refused, TooLarge
from newswire.text import without_mark
from newswire.web.content_coding import inflate, is_gzip
from newswire.web.responses import shown

Environ = dict[str, Any]
Fields = dict[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
KINDS: Final = frozenset({FORM, JSON, NDJSON})

_decode: Final = msgspec.json.Decoder().decode
_decode_names: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ESCAPED_ASCII: Final = re.compile(rb"\\u00[2-7]")
ACCEPTED: Final = (
    f"send the fields as {FORM} (curl -d), as an {JSON} object, or in the query;"
    f" a batch of messages as {NDJSON}: with that Content-Type"
)


# -- the request --------------------------------------------------------------------------------------------------
def request_now() -> Request:
    """The request that is served. What every request asks for it asks this: `flask.request` takes twenty times as long."""
    return _cv_request.get().request


def fields(
    environ: Environ, typed: Callable[[dict[str, str]], Fields] = dict, repeatable: frozenset[str] = frozenset()
) -> Fields:
    """All fields of a request: its query, and its form or JSON object. `typed` gives text of the former JSON's types.

    `repeatable`: names that may stand in a query or form several times, where JSON has a list; commas go between.
    """
    in_query = query(environ, repeatable)
    values = typed(in_query) if in_query else {}
    body = read(environ, limits.FORM_BYTES)
    if not body:
        return values
    kind = content_type(environ)
    if kind == JSON:
        more = json_object(body)
    elif kind == FORM and not _is_like_json(body):
        more = typed(pairs(_utf8(without_mark(body)), repeatable))
    else:
        raise Refused(_hint_at_json(body) or ACCEPTED, code="wrong-type")
    return merged(values, more) if values else more


def query(environ: Environ, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """The fields of the query; `repeatable` as for `fields`."""
    raw = environ.get("QUERY_STRING", "")
    return pairs(_utf8(raw.encode("latin-1")), repeatable) if raw else {}


def read(environ: Environ, most: int) -> bytes:
    """The body, inflated if it came compressed, of at most `most` bytes. Raises TooLarge, `wrong-type`, `bad-body`."""
    if "HTTP_CONTENT_ENCODING" in environ and is_gzip(environ):
        return inflate(body, most) if (body := read_as_sent(environ, most)) else body
    return read_as_sent(environ, most)


def read_as_sent(environ: Environ, most: int) -> bytes:
    """The body as it came, of at most `most` bytes. Raises TooLarge."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        size = int(length[:20])
        if size > most:
            raise _too_long(most)
        body: bytes = environ["wsgi.input"].read(size) if size else b""
        return body
    if not environ.get("wsgi.input_terminated"):
        return b""  # without a length the end of the body is unknown, so it has none (PEP 3333)
    body = environ["wsgi.input"].read(most + 1)
    if len(body) > most:
        raise _too_long(most)
    return body


def is_large(environ: Environ) -> bool:
    """Say whether the body takes milliseconds to parse, or may hold as much, compressed."""
    return (
        "HTTP_CONTENT_ENCODING" in environ
        or len(environ.get("CONTENT_LENGTH") or "") > 5
        or int(environ.get("CONTENT_LENGTH") or 0) > limits.LARGE_BODY_BYTES
    )


def content_type(environ: Environ) -> str:
    """The media type of the body in lower case, "" for none. Raises `wrong-type` for a charset or coding that is not taken."""
    header: str = environ.get("CONTENT_TYPE", "")
    if header in KINDS and "HTTP_CONTENT_ENCODING" not in environ:
        return header
    kind, _, parameters = header.lower().partition(";")
    if "charset=" in parameters and parameters.partition("charset=")[2].strip(' "').replace("utf8", "utf-8") != "utf-8":
        raise Refused("the body must be UTF-8: convert it, and leave `charset` out", code="wrong-type")
    is_gzip(environ)
    return kind.strip()


def _is_like_json(body: bytes) -> bool:
    return without_mark(body).lstrip()[:1] in (b"{", b"[")


def _hint_at_json(body: bytes) -> str:
    """What to say to a client that sends JSON and calls it something else, as curl does unless it is told; else ""."""
    if not _is_like_json(body):
        return ""
    body = body.replace(b"\r", b"")
    several = b"}\n{" in body or b"}{" in body  # `curl -d` drops line ends
    kind = f"{NDJSON}', and keep its lines (curl --data-binary)" if several else f"{JSON}'"
    return f"the body looks like JSON, but its Content-Type says otherwise: add the header 'Content-Type: {kind}"


_NAME_CHARS: Final = 64  # of a name that nobody knows, looked at for a near one
_OTHER_WORDS: Final = dict.fromkeys(("message", "text", "body", "msg", "content", "payload"), "data") | {
    "user": "username",
    "name": "username",
    "channel": "topic",
    "subject": "topic",
    "link": "click",
    "url": "click",
    "address": "broker_ip",
    "broker": "broker_ip",
}


# -- fields -------------------------------------------------------------------------------------------------------
def text(values: Fields, *required: str, optional: tuple[str, ...] = (), strict: bool = True) -> dict[str, str]:
    """`values` if it has the `required` fields, perhaps `optional` ones, no others (unless not `strict`), and all are text."""
    if strict:
        only(values, (*required, *optional))
    for name in required:
        if name not in values:
            raise missing(name, values)
    return {name: as_text(name, values[name]) for name in (*required, *optional) if name in values}


def only(values: Mapping[str, Any], allowed: tuple[str, ...] | frozenset[str]) -> None:
    """Raise `unknown-field` if `values` has a field that is not `allowed`."""
    for name in values:
        if name not in allowed:
            names = ", ".join(f"`{k}`" for k in sorted(allowed)) or "none"
            hint = _hint_at_field(name, values[name], allowed)
            raise BadRequest(f"`{shown(name)}` is not a field of this request{hint}; it takes {names}", code="unknown-field")


def _hint_at_field(name: str, value: Any, allowed: tuple[str, ...] | frozenset[str]) -> str:
    """What to say of a field that nobody knows: which one was perhaps meant; "" where none is near."""
    word = name[:_NAME_CHARS].lower()
    near = _OTHER_WORDS.get(word) or next(iter(get_close_matches(word, allowed, 1)), "")
    if near in allowed:
        return f", perhaps `{near}` is meant"
    return ", a text is sent as data=TEXT" if value == "" and "data" in allowed else ""


def as_text(name: str, value: Any) -> str:
    """`value` if it is text."""
    if type(value) is not str:
        raise BadRequest(f'`{name}` must be text: put it in quotes ("{name}": "...")', code="bad-field")
    return value


def missing(name: str, values: Iterable[str] = ()) -> NewswireError:
    """What to raise when `name` is not among the fields `values`."""
    other = next((word for word in values if _OTHER_WORDS.get(word) == name), "")
    instead = f" (`{other}` is not a field)" if other else ""
    return BadRequest(
        f"`{name}` is missing{instead}: give it in the query, as a form field or in a JSON object", code="missing-field"
    )


def merged(values: Fields, more: Fields) -> Fields:
    """Both; a field in both is refused, since one of the two values would be lost."""
    for name in values:
        if name in more:
            raise _twice(name, "in the query and in the body")
    return {**values, **more}


def pairs(encoded: str, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """The fields of a query or form; `repeatable` as for `fields`. Raises TooLarge before it decodes too many escapes."""
    if len(encoded) - 2 * encoded.count("%") > limits.FORM_TEXT_BYTES:
        raise _too_long(limits.FORM_TEXT_BYTES)
    _check_count(encoded.count("&") + 1)
    values: dict[str, str] = {}
    try:
        for name, value in _split(encoded):
            if name in values and name not in repeatable:
                raise _twice(name, "in the query or form")
            values[name] = f"{values[name]},{value}" if name in values else value
    except UnicodeDecodeError:
        raise _not_utf8() from None
    return values


def _split(encoded: str) -> Iterable[tuple[str, str]]:
    """Names and values of a query or form. Raises UnicodeDecodeError."""
    if "%" in encoded or "+" in encoded:
        return parse_qsl(encoded, keep_blank_values=True, errors="strict")
    parts = (part.partition("=") for part in encoded.split("&") if part)
    return [(name, value) for name, _, value in parts]  # in a third of the time


# -- JSON ---------------------------------------------------------------------------------------------------------
def json_object(raw: bytes) -> Fields:
    """The object that `raw` holds. Raises `bad-body`, `double-field`. Takes a time that is linear in the bytes of `raw`."""
    raw = without_mark(raw)
    try:
        value = _decode(raw) if len(raw) <= limits.LIST_BYTES else _decode_large(raw)
    except msgspec.DecodeError as error:
        more = f"; one object a line is a batch, sent as {NDJSON}" if b"}" in raw and "trailing" in str(error) else ""
        raise BadRequest(f"not valid JSON: {error}{more}", code="bad-body") from None
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply: a flat object is enough", code="bad-body") from None
    if type(value) is not dict:
        raise BadRequest('not a JSON object: send one like {"topic": "Google", "data": "Hello Google"}', code="bad-body")
    _check_count(len(value))
    if not _surely_once(raw, value):
        _refuse_twice(raw)
    return value


def _decode_large(raw: bytes) -> Any:
    """Decode without making what no request needs: `[[],[],...]` would take twenty times its bytes in memory."""
    if not raw.lstrip().startswith(b"{"):
        msgspec.json.decode(raw, type=msgspec.Raw)  # raises what is wrong with it, if it is no JSON at all
        return None
    if raw.count(b'"') - raw.count(b'\\"') > limits.QUOTES_COUNT:  # counting takes a hundredth of reading
        raise BadRequest(
            f"more than {limits.FIELDS_COUNT} fields, or lists of too many texts: no request needs so many", code="bad-request"
        )
    values = _decode_names(raw)
    _check_count(len(values))
    for name, value in values.items():
        if len(value) > limits.LIST_BYTES and bytes(memoryview(value)[:1]) in (b"{", b"["):
            raise BadRequest(f"`{shown(name)}` is a list or object of over {limits.LIST_BYTES} bytes", code="bad-field")
    return {name: _decode(value) for name, value in values.items()}


def _check_count(count: int) -> None:
    if count > limits.FIELDS_COUNT:
        raise BadRequest(f"more than {limits.FIELDS_COUNT} fields: no request needs so many", code="bad-request")


def split_lines(body: bytes) -> list[bytes]:
    """The lines of an NDJSON body; one more than a batch may have stands for all the rest."""
    lines = body.split(b"\n", limits.BATCH_LINES)
    return lines if lines[-1] else lines[:-1]


def json_lines(lines: Iterable[bytes], before: int = 0, count: int = 0) -> Iterator[tuple[int, bytes]]:
    """Those of an NDJSON body's lines that hold something, numbered from 1. Raises TooLarge at one too many or too long.

    `before`: how many lines stand before these, `count` of which hold something.
    """
    for number, line in enumerate(lines, before + 1):
        if number > limits.BATCH_LINES:
            raise TooLarge(f"a batch has at most {limits.BATCH_LINES} lines, empty ones included: nothing was stored")
        if len(line) > limits.FORM_BYTES:
            raise TooLarge(f"line {number} is over {limits.FORM_BYTES // 1024} KiB: nothing was stored", line=number)
        raw = without_mark(line).strip()
        if not raw:
            continue
        count += 1
        if count > limits.BATCH_MESSAGES:
            raise TooLarge(f"a batch has at most {limits.BATCH_MESSAGES} messages: send several, nothing was stored")
        yield number, raw


def _surely_once(raw: bytes, value: Fields) -> bool:
    """Say whether surely no name of `value` is in `raw` twice: it holds no more texts than `value` does.

    Else, as with escapes and lists: each name stands there once, and none is spelled with escapes. Far cheaper than reading
    again, which decides where this leaves a doubt (a text may be the name of a field).
    """
    if b"\\" not in raw:
        texts = len(value) + [type(part) for part in value.values()].count(str)
        if raw.count(b'"') == 2 * texts:
            return True
    if len(value) > limits.SCANNED_NAMES or (b"\\u" in raw and _ESCAPED_ASCII.search(raw)):
        return False
    return all(name.isascii() and name.isidentifier() and raw.count(b'"%b"' % name.encode()) == 1 for name in value)


def _refuse_twice(raw: bytes) -> None:
    """Read again with the standard library, which shows each name as often as it is there."""

    def once(items: list[tuple[str, Any]]) -> Fields:
        values = dict(items)
        if len(values) < len(items):
            raise _twice(_first_twice(name for name, _ in items), "in the JSON object")
        return values

    try:
        json.loads(raw, object_pairs_hook=once)
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply: a flat object is enough", code="bad-body") from None


def _first_twice(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("each is there once")


# -- sentences ----------------------------------------------------------------------------------------------------
def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None


def _twice(name: str, where: str) -> NewswireError:
    return BadRequest(f"`{shown(name)}` is given twice ({where}): leave one out", code="double-field")


def _not_utf8() -> NewswireError:
    return BadRequest("the text is not valid UTF-8: encode it as UTF-8", code="bad-body")


def _too_long(most: int) -> NewswireError:
    return TooLarge(f"the body is over {most // 1024} KiB: send less at once, nothing was stored")
