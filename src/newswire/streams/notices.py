"""What a stream says that is no news: its greeting, why there is none, where to go on. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

from newswire import sse
from newswire.core import limits
from newswire.core.model.balance import are_many, choose_seat
from newswire.engine.seam import BrokerStatus

NOTHING_AWAKE: Final = "not registered for any topic; subscribe first, then connect again"
NO_RIGHTS: Final = "nothing is left that may be read with this: no registered topic, or what it was opened with is good no more"
LOAD: Final = "load"  # the reason of a `moved` after which the stream goes on
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


@lru_cache(limits.PEERS_COUNT)
def moved(to: str) -> bytes:
    """The last block of a stream whose broker serves no more: it goes on at `to`, "" if nobody knows where."""
    return sse.event(json.dumps({"to": to}), name="moved", retry=limits.RETRY_MILLISECONDS)


@lru_cache(limits.PEERS_COUNT)
def move(to: str) -> bytes:
    """What a stream is told that goes on, and whose client would be served at `to` as well (docs/rules.md, SHARE)."""
    return sse.event(json.dumps({"to": to, "reason": LOAD}), name="moved")


def successor(rows: Sequence[BrokerStatus], chance: float = 0.0) -> str:
    """Where a client of this broker goes when it leaves, "" if there is nowhere.

    Of few streams all go to the primary among the other living brokers, of many each where there is room. `chance`: 0 to 1.
    """
    others = [row for row in rows if not row.self and row.state in ("up", "catching-up")]
    if are_many([row.load for row in rows]):
        seat = choose_seat({row.ip: row.load for row in others if row.state == "up"}, chance)
        if seat:
            return seat
    best = min(others, key=lambda row: (row.state != "up", not row.is_primary, row.id), default=None)
    return best.ip if best is not None else ""
