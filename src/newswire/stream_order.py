"""What a client orders with `GET /stream`, or by ntfy's wire.

The web checks it, the streams serve it, and neither knows the other.
"""

from __future__ import annotations

import math

import msgspec

from newswire.core.access import Principal
from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import OpId
from newswire.ntfy import NtfyWire


class StreamOrder(msgspec.Struct, frozen=True):
    """What a stream is asked for, checked. `format`: text or json; `ack`: auto, client, or none.

    `none`: nothing is acknowledged, `event_id` says where to start and no more; for whoever may not be the reader.
    `caller`: whose it is, as far as limits are concerned (`quotas.networks`). `by`: who asks, and `asker`,
    by name; None where nobody is asked. `until`: when that expires, seconds since 1970. `follows`: the client goes to
    another broker when it is sent there. `gzip`: compressed.

    `wire`: how events are written for a reader of ntfy's wire. Then `topics` are read from `since` on, without a subscription
    (`engine.seam.Engine.open_topics`), and nothing is acknowledged; `polls`: what there is now, and no more. `user`: who asks.
    """

    user: str
    event_id: EventId | None = None
    format: str = "text"
    ack: str = "auto"
    caller: str = ""
    by: Principal | None = None
    asker: str = ""
    until: float = math.inf
    follows: bool = False
    gzip: bool = False
    wire: NtfyWire | None = None
    topics: tuple[str, ...] = ()
    since: EventId | str | int | None = None
    polls: bool = False

    @property
    def token(self) -> OpId:
        """The token that was shown, "" for none."""
        return self.by.token if self.by is not None else ""

    @property
    def users(self) -> tuple[str, ...]:
        """On whose subscriptions and rights the stream depends; the first is whose it is."""
        return (self.user, self.asker) if self.asker not in ("", self.user) else (self.user,)
