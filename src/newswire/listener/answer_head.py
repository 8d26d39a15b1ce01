"""The head that most answers have, as waitress writes it: 1.5 µs where waitress takes 9. Pure.

It is for an answer of known length to a client that keeps its connection (RFC 9112, 9.3), and for a stream, whose length
nobody knows. Everything else - a close, a status without a body, HTTP/1.0 - is waitress's, and what is written here is byte for
byte what it would write (`tests/listener/test_answer_head.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final

from waitress.utilities import build_http_date

_FRAMES_COUNT: Final = 256  # of status and headers: routes have some thirty, and pages of other members come with their origin
# A cookie is for one client and once, and is not to be remembered here
_RARE_NAMES: Final = frozenset({"Connection", "Date", "Server", "Content-Length", "Set-Cookie", "Transfer-Encoding"})
_OF_A_LENGTH: Final = (("Content-Length", "%d"), ("Date", "%s"))
_OF_A_STREAM: Final = (("Connection", "close"), ("Date", "%s"), ("Transfer-Encoding", "chunked"))


def build(status: str, headers: Sequence[tuple[str, str]], length: int | None, at: float) -> bytes | None:
    """The head of an answer with a body of `length` bytes, begun at `at` (seconds since 1970); None: waitress has to.

    `length` None: of a body in chunks, behind which the connection ends (RFC 9112, 7.1).
    """
    lines = tuple([line for line in headers if line[0] != "Content-Length"])
    lengths = len(headers) - len(lines)
    if lengths > 1 or (lengths and ("Content-Length", str(length)) not in headers):
        return None
    frame = _frame(status, lines, _OF_A_STREAM if length is None else _OF_A_LENGTH)
    places = (_date(int(at)),) if length is None else (length, _date(int(at)))
    return (frame % places).encode("latin-1") if frame else None


@lru_cache(_FRAMES_COUNT)
def _frame(status: str, headers: tuple[tuple[str, str], ...], framing: tuple[tuple[str, str], ...]) -> str:
    """The head with a place for the length, if there is one, and one for the date; "" for waitress: they come in this order."""
    lines = list(framing)
    for name, value in headers:
        spelling = "-".join(word.capitalize() for word in name.split("-"))
        if spelling in _RARE_NAMES:
            return ""
        lines.append((spelling.replace("%", "%%"), value.replace("%", "%%")))
    lines.sort(key=itemgetter(0))
    return "\r\n".join([f"HTTP/1.1 {status.replace('%', '%%')}", *(f"{name}: {value}" for name, value in lines), "\r\n"])


@lru_cache(2)
def _date(second: int) -> str:
    date: str = build_http_date(second)
    return date
