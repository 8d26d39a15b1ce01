"""Errors as answers (RFC 9457): what waitress refuses, and what no worker can answer; and its words in the log."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

import msgspec
from waitress import utilities

from newswire import escape, ntfy
from newswire.core import limits
from newswire.errors import NewswireError

_CODE_OF: Final = {400: "bad-request", 413: "too-large", 431: "head-too-large", 501: "bad-request"}
_TOO_LONG_A_HEAD: Final = f"request line and headers are larger than {limits.HEAD_BYTES} bytes: send fewer or shorter headers"
TOO_MANY_HEADERS: Final = f"the request has more than {limits.HEADERS_COUNT} headers: send fewer"
NO_ROOM: Final = "the requests and answers under way fill the room that there is for them: send it again"
TOO_MANY_CONNECTIONS: Final = "your address has as many connections as it may: close some, or keep one and use it again"
TOO_MANY_REQUESTS: Final = "your address sends more requests than it may: send fewer, or several messages in a batch"
TOO_MANY_WAIT: Final = "so many requests of your address wait here already that this one would be late: send fewer at once"
LATE: Final = "the request did not arrive in time: send it again, in one go"

_RETRY_AFTER: Final = {429: limits.RETRY_AFTER_SECONDS, 503: limits.RETRY_AFTER_SECONDS}


def as_ours(error: utilities.Error) -> NewswireError:
    """Make an error of waitress one of our table; its words are kept only where they are about the request."""
    if isinstance(error, Refusal):
        return error.error
    code = _CODE_OF.get(error.code, "internal")
    if code == "bad-request":
        return NewswireError(f"the request cannot be read: {error.body}", code=code)
    if code == "head-too-large":
        return NewswireError(_TOO_LONG_A_HEAD, code=code)
    return NewswireError("an error of the broker; its log says more" if code == "internal" else error.body, code=code)


class Refusal(utilities.Error):
    """An error of our table in the shape that waitress passes on."""

    def __init__(self, error: NewswireError) -> None:
        self.code, self.body, self.error = error.status, error.detail, error


def answer(error: NewswireError, wire: str = "") -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of an error: a problem (RFC 9457), or in the shape of `wire`."""
    is_ntfy = wire == "ntfy"
    headers = [
        ("Content-Type", "application/json" if is_ntfy else "application/problem+json"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if error.status == 401:
        headers.append(("WWW-Authenticate", 'Bearer, Basic realm="newswire"'))
    if error.status == 415:
        headers.append(("Accept-Encoding", "gzip"))
    if seconds := _RETRY_AFTER.get(error.status):
        headers.append(("Retry-After", str(seconds)))
    content = ntfy.error_object(error) if is_ntfy else error.problem()
    return f"{error.status} {HTTPStatus(error.status).phrase}", headers, msgspec.json.encode(content) + b"\n"


def raw_answer(error: NewswireError) -> bytes:
    """The same as bytes, for an answer that no worker writes."""
    status, headers, body = answer(error)
    headers += [("Content-Length", str(len(body))), ("Connection", "close")]
    return (f"HTTP/1.1 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n").encode() + body


class EscapingLog(logging.LoggerAdapter[logging.Logger]):
    """waitress's words, with what strangers put into them made harmless."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Escape; waitress formats before it logs."""
        return escape.line(str(msg)), kwargs

    def isEnabledFor(self, level: int) -> bool:
        """Say whether it is worth a line: that a client left is not, as anybody may leave any number of times."""
        return level > logging.INFO and super().isEnabledFor(level)
