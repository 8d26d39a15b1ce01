"""What clients ask a broker to take: op bodies, without id, vector or time. The core stamps and decides them at commit.

They are decided where they are stored, in one thread and in order, so that two that meet see each other.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from newswire.core import limits
from newswire.core.model.event_ids import EventId
from newswire.core.model.message import MessageFields, rules_of


class Publish(MessageFields, frozen=True):
    """Publish a message. `key` makes a retry safe; `expires` is seconds from now, 0 for never.

    The bounds are those of what a client may give (`RULES`): no wider than those of what is stored.
    """

    topic: Annotated[str, Meta(description="a topic")]
    data: Annotated[str, Meta(description="text")] = ""
    key: Annotated[
        str,
        Meta(
            pattern=rf"^[\x20-\x7e]{{1,{limits.KEY_BYTES}}}\Z",
            description=f"1 to {limits.KEY_BYTES} printable ASCII characters, a UUID for example, or be left out",
            title="Publishing again with the same key publishes once; of a batch, what its lines' keys begin with.",
        ),
    ] = ""
    expires: Annotated[
        int, Meta(ge=1, le=limits.EXPIRES_SECONDS, description=f"a whole number from 1 to {limits.EXPIRES_SECONDS}")
    ] = 0


RULES: Final = rules_of(Publish)


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
