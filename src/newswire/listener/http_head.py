"""What the head of a request must be before anything is made of it, and what its path entitles it to. Pure.

Refused is what two servers may read in two ways, which is how requests are smuggled past a proxy: a length and an
encoding together, two lengths, no Host, folded headers (RFC 9112, 3.2, 5.2, 6.1, 6.3).
"""

from __future__ import annotations

import re
from typing import Final

from newswire.core import limits

PEER_PATHS: Final = frozenset({"/replicate", "/heartbeat/receive"})
PROBE_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics", "/list_replicas"})
"""Cheap, and needed most when clients fill everything else."""
_SHORT_PATHS: Final = frozenset(
    """/subscribe /unsubscribe /ack /confirm /add_replica /remove_replica /accept_loss /compact
    /login /logout /tickets /users /tokens /grants""".split()
)
"""What they need is a few names and an event id."""
SIGN_IN_PATHS: Final = frozenset({"/login", "/users"})
"""What they need is a password hashed, which takes long; also what is below them."""

CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_NO_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # what no header's value holds (RFC 9110, 5.5)
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")  # RFC 9110, 7.2, without rarities
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")  # more digits than any size; Python refuses to read 4,300


def head_problem(head: bytes) -> str | None:
    """Say what is wrong with a request head; None if nothing is.

    In steps linear in its bytes, and so that waitress's own patterns match whatever passes: on what they do not match they
    try every way to split a long target or value, which took 15 s for one head of 16 KiB.
    """
    first, *lines = head.split(b"\r\n")
    version = first.rpartition(b" ")[2]
    if problem := _line_problem(first, version):
        return problem
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        if not line:
            continue
        if line[:1] in (b" ", b"\t"):
            return "a header is folded over two lines; write it in one"
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or _NO_VALUE.search(value):
            return "a header is not a name, a colon and a value without control characters"
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return _host_problem(fields.get(b"host", []), version) or _framing_problem(
        fields.get(b"content-length", []), fields.get(b"transfer-encoding", []), version
    )


def _line_problem(line: bytes, version: bytes) -> str | None:
    """Say what is wrong with a request line."""
    if CONTROL.search(line):
        return "the request line holds a control character"
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        return "only HTTP/1.0 and HTTP/1.1 are spoken here"
    method, _, rest = line.partition(b" ")
    if line.count(b" ") != 2 or rest.startswith(b" ") or not _TOKEN.fullmatch(method):
        return "the request line is not a method, a target and a version with one space between"
    return None


def too_many_headers(head: bytes) -> bool:
    """Say whether a head has more lines than any client sends: each costs far more than its bytes."""
    return head.count(b"\r\n") > limits.HEADERS_COUNT + 2


def is_host(text: str) -> bool:
    """Say whether `text` may be the value of a `Host` header."""
    return bool(_HOST.fullmatch(text.encode("latin-1", "replace")))


def _host_problem(hosts: list[bytes], version: bytes) -> str | None:
    if not hosts:
        return "the header Host is missing" if version == b"HTTP/1.1" else None
    if len(hosts) > 1:
        return "the header Host is given twice"
    return None if _HOST.fullmatch(hosts[0]) else "the header Host is not a host name or address with an optional port"


def _framing_problem(lengths: list[bytes], encodings: list[bytes], version: bytes) -> str | None:
    """Refuse a body whose end two servers may see at two places."""
    if lengths and encodings:
        return "both Content-Length and Transfer-Encoding are given; send one of them"
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        return "Content-Length must be given once, as a number of at most 18 digits"
    if encodings and (version == b"HTTP/1.0" or [e.lower() for e in encodings] != [b"chunked"]):
        return "the only Transfer-Encoding is one chunked, on HTTP/1.1"
    return None


def route(path: str) -> str:
    """The path as the application will see it: its leading slashes are merged, one at its end is dropped."""
    merged = "/" + path.lstrip("/")
    return merged[:-1] if merged.endswith("/") and merged != "/" else merged


def is_sign_in(path: str) -> bool:
    """Say whether a password comes with what is asked for there."""
    return path in SIGN_IN_PATHS or path.startswith("/users/")


def body_limit_bytes(path: str) -> int:
    """The largest body taken for a path; a peer's is larger than any client's (docs/hazards.md, H15)."""
    if path in PEER_PATHS:
        return limits.PEER_BODY_BYTES
    if path in _SHORT_PATHS or is_sign_in(path):
        return limits.CHANGE_BYTES
    return limits.BATCH_BYTES if path == "/publish" else limits.FORM_BYTES
