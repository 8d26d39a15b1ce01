"""What clients ask a broker to take: op bodies, without id, vector or time. The core stamps and decides them at commit.

They are decided where they are stored, in one thread and in order, so that two that meet see each other.
"""

from __future__ import annotations

import msgspec

from newswire.core.model.event_ids import EventId


class Publish(msgspec.Struct, frozen=True):
    """Publish `data` to `topic`. `key` makes a retry safe; `expires` is seconds from now, 0 for never."""

    topic: str
    data: str
    key: str = ""
    publisher: str = ""
    title: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    click: str = ""
    expires: int = 0


class Subscribe(msgspec.Struct, frozen=True):
    """Subscribe `user` to `pattern`: from now (`since` None), from the earliest (0), or from a time (ms since 1970)."""

    user: str
    pattern: str
    since: int | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    """End the subscriptions of `user` to exactly `pattern`. Refused with `no-subscription` when there is none."""

    user: str
    pattern: str


class Acknowledge(msgspec.Struct, frozen=True):
    """Move the cursors of `user` (of one `pattern`, or all) to `event_id`; never backwards."""

    user: str
    event_id: EventId
    pattern: str | None = None


Request = Publish | Subscribe | Unsubscribe | Acknowledge
