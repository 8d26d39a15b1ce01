"""Kinds of requests: each has threads of its own for what is not light, so that none waits behind another. Pure.

Peers are apart, as receipts of other brokers wait for them; a probe says whether the broker lives, not whether it is busy;
reading is work for the processor, so nobody waits behind readers, nor who asks for a page; what is large takes long to parse,
whatever it is, and a long batch waits for its turn; who adds a broker waits for that broker, whoever it is, and who signs in
for a hash that takes long on purpose, and subscribers do not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import Final

from newswire.core import limits
from newswire.core.model.names import ROUTES
from newswire.listener.http_head import PEER_PATHS, PROBE_PATHS, is_sign_in


class Kind(Enum):
    """What a request is for; the value is the name of its threads."""

    __hash__ = object.__hash__  # as of `Phase`

    PEER = "peers"
    PROBE = "probes"
    PUBLISH = "publish"
    CHANGE = "change"
    CLUSTER = "cluster"
    SIGN_IN = "sign_in"
    LARGE = "large"
    READ = "read"
    OPEN = "open"


SAFE_KINDS: Final = frozenset({Kind.READ, Kind.OPEN})  # of GET and HEAD: what nobody reads the answer of need not be done


@dataclass(frozen=True)
class Threads:
    """How many threads each kind has."""

    peers: int = limits.PEER_THREADS
    probes: int = limits.PROBE_THREADS
    publish: int = limits.PUBLISH_THREADS
    change: int = limits.CHANGE_THREADS
    cluster: int = limits.CLUSTER_THREADS
    sign_in: int = limits.PASSWORD_CHECKS_COUNT
    large: int = limits.LARGE_THREADS
    read: int = limits.READ_THREADS
    open: int = limits.OPEN_THREADS

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, field.name) for field in fields(self))


_BATCH_TYPE: Final = "application/x-ndjson"
_READ_PATHS: Final = frozenset({"/messages", "/topics", "/subscriptions", "/users", "/tokens", "/grants", "/audit"})
_CLUSTER_PATHS: Final = frozenset({"/add_replica", "/remove_replica", "/accept_loss", "/compact"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def kind_of(method: str, path: str, body_bytes: int, body_type: str = "", body_coding: str = "") -> Kind:
    """The kind of a request to `path` (as `head.route` gives it).

    A batch is large however small, as it waits for others; and what is compressed, as it may become large.
    """
    if path in PEER_PATHS:
        return Kind.PEER
    if body_bytes > limits.LARGE_BODY_BYTES or body_coding or body_type.lower().startswith(_BATCH_TYPE):
        return Kind.LARGE
    if path in PROBE_PATHS:
        return Kind.PROBE
    if method in _SAFE:
        return Kind.READ if path in _READ_PATHS else Kind.OPEN
    if path in _CLUSTER_PATHS:
        return Kind.CLUSTER
    if is_sign_in(path):
        return Kind.SIGN_IN
    return Kind.PUBLISH if path == "/publish" or wire_of(method, path) else Kind.CHANGE


def wire_of(method: str, path: str) -> str:
    """`ntfy` for what its clients publish, to a topic or as JSON, or read; "" for what is none of its wire.

    `path`: as `head.route` gives it, "" where the head could not be read so far.
    """
    if not path:
        return ""
    first, *more = path[1:].split("/")
    is_published, is_read = method in ("POST", "PUT") and not more, method == "GET" and len(more) == 1
    return "ntfy" if first not in ROUTES and (is_published or is_read) else ""
