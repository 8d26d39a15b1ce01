"""A log in memory, as `engine.jetstream.servers` asks for one, with the faults that a real one has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from newswire.core.broker.log_place import LogLook
from newswire.engine.jetstream.servers import Checkpoint, LogAway, LogMoved, LogRefused, Record


class FakeJetStream:
    """What the servers keep: a log and checkpoints. `keep` and `restore` are a copy of their disks."""

    def __init__(self) -> None:
        self.incarnation, self.first = "i1", 1
        self.records: dict[int, Record] = {}
        self.last = 0
        self.base: dict[int, Record] = {}
        self.sealed: Checkpoint | None = None
        self.renamed = 0
        self.full = False
        self.views: list[FakeServers] = []

    def keep(self) -> FakeJetStream:
        """A copy of now."""
        one = copy.copy(self)
        one.records, one.base = dict(self.records), dict(self.base)
        return one

    def restore(self, old: FakeJetStream, *, seen: bool = True) -> None:
        """Go on from that copy; `seen`: connections break, as they do when servers start again."""
        self.incarnation, self.first, self.last, self.sealed = old.incarnation, old.first, old.last, old.sealed
        self.records, self.base = dict(old.records), dict(old.base)
        for view in self.views if seen else ():
            view.reconnect()

    def write(self, token: str, payload: bytes) -> int:
        """Append a record."""
        self.last += 1
        self.records[self.last] = Record(self.last, token, payload)
        return self.last


class FakeServers:
    """What one gateway reaches."""

    def __init__(self, stream: FakeJetStream) -> None:
        self.stream = stream
        self.is_away = False
        self.loses_acks = 0  # of so many appends the answer is lost
        self.lags = 0  # reads do not show the last so many records
        self.told: list[tuple[str, bytes]] = []
        self.take: Callable[[str, bytes], object] = lambda kind, payload: None
        self._epoch = 1
        stream.views.append(self)

    def reconnect(self) -> None:
        """The connection breaks, and there is another one."""
        self._epoch += 1

    def _check(self) -> None:
        if self.is_away:
            raise LogAway("cut")

    def epoch(self) -> int:
        return self._epoch

    def look(self, sequence: int) -> LogLook:
        self._check()
        record = self.stream.records.get(sequence)
        return LogLook(
            incarnation=self.stream.incarnation,
            first=self.stream.first,
            last=self.stream.last,
            token=record.token if record is not None else None,
        )

    def append(self, incarnation: str, token: str, payload: bytes) -> tuple[int, bool]:
        self._check()
        if self.stream.full:
            raise LogRefused("no room")
        if incarnation != self.stream.incarnation:
            raise LogMoved("nobody answers")
        known = next((record.sequence for record in self.stream.records.values() if record.token == token), 0)
        sequence = known or self.stream.write(token, payload)
        if self.loses_acks:
            self.loses_acks -= 1
            raise LogAway("no answer in time")
        return sequence, bool(known)

    def read(self, sequence: int) -> Sequence[Record]:
        self._check()
        start = max(sequence, self.stream.first)
        end = min(self.stream.last - self.lags, start + 2)
        return [self.stream.records[one] for one in range(start, end + 1)]

    def bounds(self) -> tuple[int, int]:
        self._check()
        self.lags = max(0, self.lags - 1)
        return self.stream.first, self.stream.last

    def rename(self, old: str, new: str) -> None:
        self._check()
        if self.stream.incarnation == old:
            self.stream.incarnation = new
            self.stream.renamed += 1

    def shout(self, kind: str, payload: bytes) -> None:
        self.told.append((kind, payload))
        for view in self.stream.views:
            if view is not self and not view.is_away:
                view.take(kind, payload)

    def on_news(self, take: Callable[[str, bytes], object]) -> None:
        self.take = take

    def checkpoint(self) -> Checkpoint | None:
        self._check()
        return self.stream.sealed

    def read_checkpoint(self, sequence: int) -> Sequence[Record]:
        self._check()
        return [record for number, record in sorted(self.stream.base.items()) if number >= sequence][:2]

    def append_checkpoint(self, payload: bytes) -> int:
        self._check()
        number = max(self.stream.base, default=0) + 1
        self.stream.base[number] = Record(number, "", payload)
        return number

    def seal(self, checkpoint: Checkpoint) -> None:
        self._check()
        if min(self.stream.base, default=0) > checkpoint.first:
            raise LogAway("another checkpoint")
        self.stream.sealed = checkpoint
        self.stream.base = {number: record for number, record in self.stream.base.items() if number >= checkpoint.first}
        self.stream.first = checkpoint.upto + 1
        self.stream.records = {number: one for number, one in self.stream.records.items() if number > checkpoint.upto}

    def close(self) -> None:
        pass
