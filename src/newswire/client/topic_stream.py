"""A stream of topics without a subscription, by ntfy's wire (docs/ntfy.md): for those who look, and leave nothing behind.

It outlives connections and brokers as any `MessageStream` does. There is no cursor, so nothing is acknowledged: what came while
no stream was open is had with `since`, or not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from newswire.client.answers import ConnectionState
from newswire.client.delivery import Delivery, Item, Opened
from newswire.client.pool import BrokerPool
from newswire.client.stream import MessageStream
from newswire.client.transport import Call
from newswire.core.model import names
from newswire.core.model.message import Gap, Message
from newswire.core.model.times import rfc3339
from newswire.sse import Event

_CLOCK_SECONDS: Final = 2  # by which what a broker says of time, in whole seconds, may be off


class WireEvent(msgspec.Struct, frozen=True):
    """What an event of ntfy's wire holds, as far as it is read here. `dropped`: in a keepalive, messages that are not there."""

    id: str = ""
    time: int = 0
    topic: str = ""
    message: str = ""
    title: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    click: str = ""
    dropped: int = 0
    reason: str = ""


_event: Final = msgspec.json.Decoder(WireEvent)


class TopicDelivery(Delivery):
    """What a stream of topics has brought. Nothing of it is due to be acknowledged."""

    def due(self, now: float) -> str:
        """Nothing."""
        return ""

    def _read(self, event: Event) -> Item | Opened | None:
        if event.name == "open":
            return Opened()
        wire = _event.decode(event.data)
        if event.name == "keepalive" and wire.dropped:
            return self._give(Gap(topic=wire.topic, dropped=wire.dropped, reason=wire.reason))
        if event.name != "message":
            return None
        message = Message(
            id=wire.id,
            event_id=event.id,
            time=rfc3339(wire.time * 1000),
            priority=wire.priority,
            tags=wire.tags,
            topic=wire.topic,
            data=wire.message,
            title=wire.title,
            click=wire.click,
        )
        return self._message(message)


class TopicStream(MessageStream):
    """Iterate to get what is published to `topics`, from `since` on, None: from now on. As `MessageStream`.

    `since`: a duration, a Unix time, a message or event id, `all` or `latest`. Raises BadRequest for what is no topic, and when
    it iterates Refused where one may not be read so.
    """

    def __init__(
        self,
        pool: BrokerPool,
        topics: Sequence[str],
        *,
        since: str | None = None,
        stop: threading.Event | None = None,
        on_state: Callable[[ConnectionState], None] | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__(pool, None, stop=stop, on_state=on_state, pause=pause)
        self._delivery = TopicDelivery()
        self._path = f"/{','.join(map(names.check_topic, topics))}/sse"
        self._since = since
        self._has_opened = False

    def _request(self, resume: str) -> Call:
        """Go on behind what came; while nothing has, from where the last connection still was."""
        since = self._since
        if resume:
            since = None
        elif self._has_opened and since is None:
            since = f"{int(self._pool.clock() - self._heard) + _CLOCK_SECONDS}s"
        self._has_opened = True
        headers = {"Last-Event-ID": resume} if resume else {}
        headers |= {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        return Call("GET", self._path, {} if since is None else {"since": since}, headers=headers)
