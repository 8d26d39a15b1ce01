"""Which streams are sent to other brokers, because this one has too many (docs/rules.md, SHARE). Pure; hub thread only.

A stream that is sent goes on until its client has opened another one where it was sent, and is sent once: one whose client
does not reach that broker stays. Only those are sent whose clients said that they follow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from newswire.core import limits
from newswire.core.model.balance import Balance, Load
from newswire.engine.seam import BrokerStatus

T = TypeVar("T", bound=Hashable)


class Moves(Generic[T]):
    """The streams that may be sent, and those that were. Times are in seconds; `chance` gives 0 to 1."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chances = iter(chance, None)
        self._balance = Balance()
        self._movable: dict[T, None] = {}
        self._sent: dict[T, float] = {}  # when, of those that have not gone yet

    def __bool__(self) -> bool:
        """Whether there is any that may be sent."""
        return bool(self._movable)

    def put(self, stream: T) -> None:
        """Have `stream` be sent, if that is due."""
        self._movable[stream] = None

    def remove(self, stream: T) -> None:
        """`stream` has gone; nothing happens if it could not be sent."""
        self._movable.pop(stream, None)
        self._sent.pop(stream, None)

    def choose(self, count: int, limit: int, rows: Iterable[BrokerStatus], now: float) -> list[tuple[T, str]]:
        """The streams to send now, and where. `count`: how many are here, of so many that there may be."""
        up = [row for row in rows if row.state == "up"]
        me = next((row.ip for row in up if row.self), "")
        loads = {row.ip: row.load for row in up if row.streams_limit and not row.self}
        if not (me and loads):
            return []
        self._sent = {stream: at for stream, at in self._sent.items() if now - at < limits.MOVE_WAIT_SECONDS}
        loads[me] = Load(max(0, count - len(self._sent)), limit)
        names = self._balance.choose(me, loads, len(self._movable), self._chances, now)
        streams = [self._movable.popitem()[0] for _ in names]  # the newest first: they have read least here
        self._sent.update(dict.fromkeys(streams, now))
        return list(zip(streams, names, strict=True))
