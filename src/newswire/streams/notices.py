"""What a stream says that is no news: its greeting, why there is none, where to go on. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Final

from newswire import sse
from newswire.core import limits
from newswire.engine.seam import BrokerStatus

NOTHING_AWAKE: Final = "not registered for any topic; subscribe first, then connect again"
NO_RIGHTS: Final = "nothing is left that may be read with this: no registered topic, or what it was opened with is good no more"
EXPIRED: Final = "what this stream was opened with has expired: sign in again, or take another token"


@cache
def greeting(broker: str, *, as_json: bool) -> bytes:
    """The first block of a stream of `broker` (docs/http.md, Stream)."""
    if as_json:
        fields = json.dumps({"message": sse.GREETING, "broker": broker})
        return sse.event(fields, name="open", retry=limits.RETRY_MILLISECONDS)
    return sse.event(sse.GREETING, retry=limits.RETRY_MILLISECONDS)


def not_now(reason: str, retry_seconds: float = limits.RETRY_LATER_MILLISECONDS / 1000) -> bytes:
    """The last block of a stream that may come again in `retry_seconds`."""
    return sse.comment(reason, retry=round(retry_seconds * 1000))


def moved(rows: Iterable[BrokerStatus]) -> bytes:
    """The last block of a stream whose broker serves no more: where it finds another."""
    return sse.event(json.dumps({"to": successor(rows)}), name="moved", retry=limits.RETRY_MILLISECONDS)


def successor(rows: Iterable[BrokerStatus]) -> str:
    """Where clients of this broker go when it leaves: the primary among the other living brokers, "" if there is none."""
    others = [row for row in rows if not row.self and row.state in ("up", "catching-up")]
    best = min(others, key=lambda row: (row.state != "up", not row.is_primary, row.id), default=None)
    return best.ip if best is not None else ""
