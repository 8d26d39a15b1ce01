"""A shell over a log that counts, can be full and calls back while it syncs; what it wants done is only written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Now, Reply, Submitted
from newswire.core.broker.values import BrokerStatus, Identity
from newswire.core.model.commands import Publish
from newswire.core.model.results import Receipt
from newswire.core.state.fold import State
from newswire.engine.group_commit import Outward
from newswire.engine.memory import MemoryLog
from newswire.engine.shell import Shell
from newswire.errors import NewswireError, StorageFull


class Disk(MemoryLog):
    """A log that counts, can be full, and calls back while it syncs."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.vouched = 0
        self.full = False
        self.while_syncing = lambda: None

    def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        if self.full:
            raise StorageFull("no room")
        return super().append(raws)

    def sync(self) -> None:
        self.syncs += 1
        self.while_syncing()

    def vouch(self) -> None:
        if self.full:
            raise StorageFull("no room")
        self.vouched += 1


class Told:
    """Keeps what was told, in order."""

    def __init__(self) -> None:
        self.actions: list[Outward] = []

    def execute(self, action: Outward) -> None:
        self.actions.append(action)

    def replies(self) -> list[Receipt | BrokerStatus | NewswireError]:
        return [action.result for action in self.actions if isinstance(action, Reply)]


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> Now:
        return Now(self.seconds, 1_700_000_000_000 + int(self.seconds * 1000))


Parts: TypeAlias = tuple[Shell, Disk, Told, Clock]


def begun() -> Parts:
    """A shell whose run is open, and its parts; nothing is counted or told yet."""
    disk, told, clock = Disk(), Told(), Clock()
    shell = Shell(Broker(Identity("1001", "127.0.0.1:1", "1001-a"), State(), "c", settled=False), disk, told.execute, clock)
    shell.begin()
    told.actions.clear()
    disk.syncs = 0
    return shell, disk, told, clock


def publish(reply_to: str, data: str = "x") -> Submitted:
    return Submitted(reply_to, (Publish("news", data),), 1, 100.0)
