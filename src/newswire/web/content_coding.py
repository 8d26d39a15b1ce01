"""What is compressed (RFC 9110, 8.4): bodies of publishes that come so, answers to who takes them so. gzip alone.

A body is inflated no further than its request may be long, however short it came, and in a time that is linear in its bytes:
one that has many members would be copied once for each.

Compressed are answers to GET that are JSON or plain text, of some length, and are not yet. Pages are not: what was typed stands
in them beside who is signed in, and the length of what is compressed tells how alike two texts are (docs/security.md).
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from flask import Response, request
from werkzeug.http import parse_accept_header

from newswire.core import limits
from newswire.errors import BadRequest, Refused, TooLarge

_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib: with gzip's head and checksum
_LEVEL: Final = 1  # a third of the bytes; 6 is a tenth less, and takes three times as long
_PIECE_BYTES: Final = 64 * 1024  # of a body that is inflated at once: what is behind a member is copied
_PATHS: Final = frozenset({"/publish"})  # that take a compressed body: no other is long
_TYPES: Final = ("application/json", "text/plain")


def accepts_gzip(environ: dict[str, Any]) -> bool:
    """Say whether the client takes an answer that is compressed (RFC 9110, 12.5.3). One that says nothing does not."""
    return parse_accept_header(environ.get("HTTP_ACCEPT_ENCODING")).quality("gzip") > 0


def is_gzip(environ: dict[str, Any]) -> bool:
    """Say whether the body is compressed. Raises `wrong-type` where it is, and must not be, or not in this way."""
    coding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if coding in ("", "identity"):
        return False
    if coding in ("gzip", "x-gzip") and environ["PATH_INFO"] in _PATHS:  # the same (RFC 9110, 8.4.1.3)
        return True
    raise Refused(
        "only the body of POST /publish may be compressed, and by gzip: send it so, or leave `Content-Encoding` out",
        code="wrong-type",
    )


def inflate(body: bytes, most: int) -> bytes:
    """What a body compressed by gzip holds, its members together. Raises TooLarge for more than `most` bytes, `bad-body`."""
    parts: list[bytes] = []
    at = size = 0
    for _ in range(limits.GZIP_MEMBERS_COUNT):
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = body[at : at + _PIECE_BYTES]
            try:
                part = member.decompress(piece, most - size + 1)
            except zlib.error as error:
                raise BadRequest(f"the body is no gzip, or damaged ({error}): send it anew", code="bad-body") from None
            at += len(piece) - len(member.unused_data) - len(member.unconsumed_tail)
            size += len(part)
            if size > most:
                raise TooLarge(f"the body is over {most // 1024} KiB, inflated: send less at once, nothing was stored")
            if not piece:
                raise BadRequest("the body ends before what is compressed in it does: send all of it", code="bad-body")
            parts.append(part)
        if at == len(body):
            return b"".join(parts)
    raise BadRequest(f"the body has more than {limits.GZIP_MEMBERS_COUNT} gzip members: compress it as one", code="bad-body")


def deflate(parts: list[bytes], level: int = _LEVEL) -> list[bytes]:
    """The parts of a body, together compressed by gzip."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    pieces = [compressor.compress(part) for part in parts]
    return [piece for piece in (*pieces, compressor.flush()) if piece]


def compress_answer(response: Response) -> Response:
    """Compress an answer that is worth it, for who takes it so. It says that it depends on that."""
    parts: Any = response.response
    if type(parts) is not list or sum(map(len, parts)) < limits.GZIP_LEAST_BYTES or response.status_code != 200:
        return response
    headers, environ = response.headers, request.environ
    if environ["REQUEST_METHOD"] != "GET" or not headers.get("Content-Type", "").startswith(_TYPES):
        return response
    headers.add("Vary", "Accept-Encoding")
    if "Content-Encoding" not in headers and accepts_gzip(environ):
        response.response = pieces = deflate(parts)
        headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(sum(map(len, pieces)))
    return response
