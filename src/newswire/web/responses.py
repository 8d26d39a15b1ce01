"""Answers: JSON for what went well, RFC 9457 problems for everything else, also for what Flask itself refuses.

A caller that got a status of 400 or more finds `code` (a word of `errors.TABLE`) and `detail` (what to do) in it. What
nobody foresaw is logged with its traceback and answered as `internal`, without a word of what happened inside.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

import msgspec
from flask import Flask, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from newswire import escape, ntfy
from newswire.core import limits
from newswire.errors import BadRequest, NewswireError, NotFound, Refused, TooLarge

KEEP_NO_COPY: Final = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_JSON: Final = (("Content-Type", "application/json"), *KEEP_NO_COPY)  # no charset: JSON is UTF-8 (RFC 8259, 8.1)

_log = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_UNFORESEEN: Final = "the broker met an error that nobody foresaw, its log has the details: try again, or another broker"
_RETRY_AFTER: Final = {
    429: limits.RETRY_AFTER_LIMIT_SECONDS,
    503: limits.RETRY_AFTER_SECONDS,
    507: limits.RETRY_AFTER_LIMIT_SECONDS,
}


_OF_A_TOPIC: Final = {"POST", "PUT"}  # what `/<topic>` takes, and no other address does


class ReadyHeaders(Headers):
    """Headers that begin with lines of ours, `KEEP_NO_COPY` among them: they are not read and checked anew for each answer."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._list = list(lines)


class ReadyResponse(Response):
    """An answer of status, lines and body of ours: werkzeug takes 6 µs to look at each and to complete them."""

    def __init__(self, body: bytes | Iterator[bytes], status: int, lines: Iterable[tuple[str, str]]) -> None:
        """`body`: with its length among `lines`; or an iterator, of a stream, whose length nobody knows."""
        self.headers = ReadyHeaders(lines)
        self._status, self._status_code = _status_line(status), status
        self.response, self.direct_passthrough, self._on_close = [body] if isinstance(body, bytes) else body, False, []


@cache
def _status_line(status: int) -> str:
    """The status as werkzeug writes it."""
    return Response(status=status).status


class Confirmation(msgspec.Struct, frozen=True):
    """That it was done."""

    message: str


def answer(value: object, status: int = 200) -> Response:
    """Answer `value` as JSON, on a line of its own."""
    return _ready(_encode(value) + b"\n", status, "application/json")


def answer_encoded(body: bytes) -> Response:
    """Answer JSON that is encoded already."""
    return _ready(body, 200, "application/json")


def _ready(body: bytes, status: int, media: str) -> ReadyResponse:
    return ReadyResponse(body, status, (("Content-Type", media), *KEEP_NO_COPY, ("Content-Length", str(len(body)))))


def see_other(place: str) -> Response:
    """Send a browser on to `place`, a path of our own, with GET."""
    return Response(b"", 303, {"Location": place, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


class Rows:
    """A long JSON list that is written and sent in parts: made one, 8 MB would hold up every thread for 40 ms."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, rows: Sequence[object]) -> None:
        """Write some more rows."""
        if rows:
            self._parts.append((b"," if self._parts else b"") + _encode(rows)[1:-1])

    def answer(self, name: str = "", beside: Mapping[str, object] | None = None) -> Response:
        """Answer with the list; or with an object that has it as `name`, and `beside` after it."""
        before, after = b"[", b"]\n"
        if name:
            before, after = b"{" + _encode(name) + b":[", b"]," + _encode(beside)[1:] + b"\n" if beside else b"]}\n"
        parts = [before, *self._parts, after]
        response = Response(parts, 200, _JSON)
        response.content_length = sum(map(len, parts))
        return response


def problem(error: NewswireError, wire: str = "") -> Response:
    """Answer `error`, in the shape of `wire`; where trying again is right, say when."""
    if wire == "ntfy":
        response = answer(ntfy.error_object(error), error.status)
    else:
        response = _ready(_encode(error.problem()) + b"\n", error.status, "application/problem+json")
    if error.status == 415:
        response.headers["Accept-Encoding"] = "gzip"  # RFC 9110, 15.5.16
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer, Basic realm="newswire"'
    seconds = error.extra.get("retry_after", _RETRY_AFTER.get(error.status))
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def shown(text: str, most: int = 40) -> str:
    """What a stranger sent, fit to stand in a sentence on a terminal: cut, its control characters escaped."""
    return escape.line(text if len(text) <= most else text[:most] + "...")


def install(app: Flask) -> None:
    """Make `app` answer every error as a problem."""
    app.register_error_handler(NewswireError, lambda error: refused(error, request.method, request.path))
    app.register_error_handler(HTTPException, _refused_by_flask)
    app.register_error_handler(Exception, lambda error: unforeseen(error, request.method, request.path))


def refused(error: NewswireError, method: str, path: str, wire: str = "") -> Response:
    """Answer an error of the table that a request met, in the shape of `wire`, and log it where it is the broker's own."""
    if error.status == 500:
        _log.error("%s %r: %s", method, path, error.detail)
    return problem(error, wire)


def _refused_by_flask(error: HTTPException) -> Response:
    response = problem(as_ours(error))
    if isinstance(error, MethodNotAllowed) and response.status_code == 405 and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def as_ours(error: HTTPException) -> NewswireError:
    """The error of our table for one of Flask's."""
    if isinstance(error, MethodNotAllowed) and set(error.valid_methods or ()) != _OF_A_TOPIC:
        allowed = " or ".join(sorted(error.valid_methods or ()))
        return Refused(f"this address takes {allowed}", code="wrong-method")
    if error.code == 404 or isinstance(error, MethodNotAllowed):  # no topic is looked at by its name alone
        return NotFound(
            "there is nothing at this address: publish with POST /publish, subscribe with POST /subscribe, read at /stream"
        )
    if error.code == 413:
        return TooLarge("the body is too large")
    return BadRequest("the request cannot be read: check its address and headers")


def unforeseen(error: Exception, method: str, path: str, wire: str = "") -> Response:
    """Answer any other error, and log where it comes from."""
    # the path alone: queries and bodies never reach a log (docs/operate.md, The log)
    _log.error("unforeseen error in %s %r", method, path, exc_info=error)
    return problem(NewswireError(_UNFORESEEN), wire)
