"""Brokers in memory whose rounds a test runs one by one, each with all that waits for it, as while a disk syncs."""

from __future__ import annotations

from collections import deque
from typing import Any

from newswire.core.broker.events import Event, Now, Received
from newswire.core.broker.peer import Peer
from newswire.core.model.ops import OpId, decode
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork

A, B, C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
START = 1_700_000_000_000  # ms since 1970


class Rounds(MemoryNetwork):
    """A network in which events wait once `by_hand` is set, and time that the test makes pass."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, deque[Event]] = {}
        self.by_hand = False
        self.seconds = 0.0

    def now(self) -> Now:
        return Now(self.seconds, START + int(self.seconds * 1000))

    def put(self, engine: MemoryEngine, event: Event) -> None:
        if self.by_hand:
            self.waiting.setdefault(engine.address, deque()).append(event)
        else:
            super().put(engine, event)

    def round(self, engine: MemoryEngine) -> None:
        """One round of `engine` with all that waits."""
        events, self.waiting[engine.address] = list(self.waiting.get(engine.address, ())), deque()
        engine.shell.run(events)

    def settle(self, *engines: MemoryEngine) -> None:
        """Rounds until nothing waits."""
        while any(self.waiting.get(engine.address) or engine.shell.has_more for engine in engines):
            for engine in engines:
                self.round(engine)

    def ticks(self, count: int, *engines: MemoryEngine, seconds: float = 1.0) -> None:
        """Let so many times `seconds` pass."""
        for _ in range(count):
            for engine in engines:
                engine.tick()
            self.seconds += seconds

    def broker(self, address: str, others: str | tuple[str, ...], log: MemoryLog | None = None, **more: Any) -> MemoryEngine:
        """The broker 1001, 1002 or 1003, by its address; the first is the primary."""
        number, peers = address[-1], (others,) if isinstance(others, str) else others
        return MemoryEngine(
            f"100{number}", address=address, peers=peers, network=self, log=log, clock=self.now, primary=address == A, **more
        )


def peer_of(engine: MemoryEngine, address: str) -> Peer:
    """What a broker knows of another one."""
    return engine.shell.broker.replication._peers[address]


def push_of(engine: MemoryEngine, to: str, raws: list[bytes], answers: list[Any]) -> Received:
    """A push of these by `engine`, as it comes to another one."""
    broker, now = engine.shell.broker, engine.network.now()  # type: ignore[attr-defined]
    return Received(answers.append, broker.replication._header(broker._announce(now), 99, to, want=0), raws)


def without(log: MemoryLog, data: str) -> MemoryLog:
    """A log whose record of a message is lost."""
    log.raws = [raw for raw in log.raws if f'"{data}"'.encode() not in raw]
    return log


def records(log: MemoryLog, data: str) -> list[bytes]:
    """The records that name a text."""
    return [raw for raw in log.raws if f'"{data}"'.encode() in raw]


def shown(engine: MemoryEngine) -> list[str]:
    """The texts of the messages that a broker shows."""
    state = engine.shell.broker.state
    names = state.messages.names
    rows = [row for row, topic in enumerate(state.log.topics) if 0 < topic < len(names)]
    return [decode(raw).data for raw in engine.log.fetch([(state.log.places[row], state.log.lengths[row]) for row in rows])]  # type: ignore[attr-defined]


def covers(engine: MemoryEngine, answer: Any, name: OpId) -> bool:
    """Whether an answer says that an op is held."""
    origin, _, sequence = name.rpartition(".")
    return engine.shell.broker.state.lineage.covers(answer.header.vector, origin, int(sequence))
