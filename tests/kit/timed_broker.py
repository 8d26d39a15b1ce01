"""A broker alone whose time a test makes pass."""

from __future__ import annotations

from newswire.core.broker.events import Now
from newswire.core.model.commands import Publish, Request, Subscribe
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryLog

START = 1_700_000_000_000  # ms since 1970


class TimedBroker:
    """A broker whose time the test makes pass, and whose clock it sets."""

    def __init__(self, shift: int = 0) -> None:
        self.seconds = 0.0
        self.shift = shift  # ms by which the wall clock is ahead
        self.log, self.runs = MemoryLog(), 0
        self.restart()
        self.take(Subscribe("ann", "news"))

    def restart(self) -> None:
        self.runs += 1
        self.engine = LoneEngine(self.log, self.now, run=f"r{self.runs}")

    def now(self) -> Now:
        return Now(self.seconds, START + int(self.seconds * 1000) + self.shift)

    def take(self, *requests: Request) -> str:
        return self.engine.submit(requests).first

    def schedule(self, seconds: int = 60, data: str = "later", *, key: str = "", **fields: int) -> str:
        return self.take(Publish("news", data, key=key, delay=seconds * 1000, publisher="bob", **fields))  # type: ignore[arg-type]

    def wait(self, seconds: float) -> list[str]:
        """What is published in so many seconds."""
        before = len(self.shown())
        for _ in range(int(seconds)):
            self.seconds += 1
            self.engine.tick()
        return self.shown()[before:]

    def shown(self) -> list[str]:
        start = self.engine.open_page("ann", None, 0, START + 10**12)
        assert start is not None
        return [entry.message.data for entry in self.engine.next_page(start.position, 100).entries if hasattr(entry, "message")]
