"""What a stream brought, what of it the program took, and what follows for acknowledgement and resumption. Pure.

Three sets of messages matter: *received* (their events were read), *given* (the program has them) and *taken* (the
program is done with them: it asked for the next one, or said so). Events are received one at a time, when the program asks,
so at the moment of a reconnection nothing is received that was not given.

- A new connection starts behind what was taken, never behind what was given only: a broker counts a `Last-Event-ID` as
  an acknowledgement (docs/rules.md, OPEN), and that may only be said of what was taken.
- What is then sent again is known by its message id and dropped; the memory of ids is bounded, so a repeat that is
  further back than it reaches is given again (at least once, never silence).
- A repeat moves the place of resumption too (`ack=True`): all before it was taken.
- An acknowledgement that is lost loses nothing: the next one, or the next `Last-Event-ID`, says the same and more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

import msgspec

from newswire.client.answers import read_message
from newswire.core import limits
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.message import Gap, Message, Withdrawal
from newswire.sse import Event

Item = Message | Gap
Acks = bool | Literal["manual"]


class Opened(msgspec.Struct, frozen=True):
    """The greeting: the stream is live."""


class Moved(msgspec.Struct, frozen=True):
    """The broker serves its streams no longer; it names another, or nobody ("").

    `goes_on`: this stream does; the broker that is named has more room.
    """

    to: str
    goes_on: bool = False


class UnreadableEvent(Exception):
    """An event that no broker of ours would send."""


class _Target(msgspec.Struct):
    to: str = ""
    ip: str = ""
    address: str = ""
    broker: str = ""
    reason: str = ""


_gap: Final = msgspec.json.Decoder(Gap)
_withdrawal: Final = msgspec.json.Decoder(Withdrawal)
_target: Final = msgspec.json.Decoder(_Target)


class Delivery:
    """The state of one stream across its connections. `ack`: as in `Subscriber.stream`. One thread."""

    def __init__(self, last_event_id: str = "", ack: Acks = True, remember: int = limits.CLIENT_SEEN_MESSAGES) -> None:
        self.ack = ack
        self._resume = last_event_id
        self._unsaid = ""  # taken, not acknowledged
        self._ack_at = float("-inf")
        self._given: Item | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._remember = remember

    @property
    def resume(self) -> str:
        """The `Last-Event-ID` of the next connection, "" for the user's cursor."""
        return self._resume

    def receive(self, event: Event) -> Item | Withdrawal | Opened | Moved | None:
        """Read an event; None for a repeat and for kinds that a later broker may send. Raises Unreadable."""
        try:
            return self._read(event)
        except BAD_JSON as error:
            raise UnreadableEvent(str(error)) from None

    def next(self) -> None:
        """The program asks for another item: it is done with the last one."""
        item, self._given = self._given, None
        if item is not None and self.ack is True:
            self._take(item.event_id)

    def give_back(self) -> None:
        """The program is not done with the last item: it asks for no other one, and whoever reads next gets it again."""
        self._given = None

    def taken(self, item: Item) -> None:
        """The program says that it is done with `item`, and with all that came before it."""
        self._take(item.event_id)

    def due(self, now: float) -> str:
        """The event id to acknowledge now, "" if none is or it is too early."""
        return self._unsaid if now >= self._ack_at else ""

    def acked(self, event_id: str, now: float) -> None:
        """A broker knows that all up to `event_id` was taken."""
        if self._unsaid == event_id:
            self._unsaid = ""
        self._ack_at = now + limits.CLIENT_ACK_EVERY_SECONDS

    def not_acked(self, now: float) -> None:
        """An acknowledgement failed: another one later."""
        self._ack_at = now + limits.CLIENT_SIDE_SECONDS

    def _read(self, event: Event) -> Item | Withdrawal | Opened | Moved | None:
        if event.name == "message":
            return self._message(read_message(event.data))
        if event.name == "gap":
            gap = _gap.decode(event.data)
            return self._give(msgspec.structs.replace(gap, event_id=event.id))
        if event.name == "withdrawn":
            if self.ack is True:  # it is no item that is taken later, and all before it was taken
                self._take(event.id)
            return msgspec.structs.replace(_withdrawal.decode(event.data), event_id=event.id)
        if event.name == "moved":
            if not event.data.startswith("{"):  # the bare address
                return Moved(event.data.strip().strip('"'))
            target = _target.decode(event.data)
            to = target.to or target.ip or target.address or target.broker
            return Moved(to, goes_on=target.reason == "load")
        return Opened() if event.name == "open" else None

    def _message(self, message: Message) -> Item | None:
        if message.id not in self._seen:
            self._seen[message.id] = None
            if len(self._seen) > self._remember:
                self._seen.popitem(last=False)
            return self._give(message)
        self._seen.move_to_end(message.id)
        if self.ack is True:
            self._take(message.event_id)
        return None

    def _give(self, item: Item) -> Item:
        self._given = item
        return item

    def _take(self, event_id: str) -> None:
        if event_id and self.ack is not False:
            self._resume = self._unsaid = event_id
