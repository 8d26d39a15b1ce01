"""The servers of a log, as the rest of this room asks them: `link` is NATS, tests have one in memory.

All calls wait for an answer, `LOG_ANSWER_SECONDS` at most, and raise LogAway for none. One thread calls; any may `shout`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from newswire.core.broker.log_place import LogLook


class LogAway(Exception):
    """No answer, of nobody: what was asked may have been done. The text says why, in a few words."""


class LogElsewhere(LogAway):
    """This server does not serve the log now, as it reaches no majority of them: another one may."""


class LogMoved(LogAway):
    """Nobody takes what is appended to that incarnation: there is another one, or no leader now."""


class LogRefused(Exception):
    """The servers say why they store nothing; nothing was stored."""


class Record(msgspec.Struct, frozen=True):
    """A record of the log, or of a checkpoint. `payload`: operations, as lines."""

    sequence: int
    token: str
    payload: bytes


class Checkpoint(msgspec.Struct, frozen=True):
    """What stands for the log up to `upto`, itself included: the records of the other log from `first` to `last`."""

    upto: int
    token: str
    first: int
    last: int


class LogServers(Protocol):
    """See above."""

    def epoch(self) -> int:
        """Another number with every connection; 0 while there is none."""
        ...

    def look(self, sequence: int) -> LogLook:
        """What the leader says of the log, and of its record `sequence`."""
        ...

    def append(self, incarnation: str, token: str, payload: bytes) -> tuple[int, bool]:
        """Append a record; its number, and whether it stood there before. Raises LogMoved, LogRefused."""
        ...

    def read(self, sequence: int) -> Sequence[Record]:
        """Records from `sequence` on, some; what another server has not yet is not among them. [] for none."""
        ...

    def bounds(self) -> tuple[int, int]:
        """The first and the last record that the leader has; one more than the last where it has none."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Have the log be another incarnation, unless it is not `old` any more."""
        ...

    def shout(self, kind: str, payload: bytes) -> None:
        """Tell all other brokers of this log, now and never again; returns at once, whatever becomes of it. Any thread."""
        ...

    def on_news(self, take: Callable[[str, bytes], object]) -> None:
        """Once, before anything: `take` gets what others shout. A thread of its own calls it."""
        ...

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that is whole."""
        ...

    def read_checkpoint(self, sequence: int) -> Sequence[Record]:
        """Records of the log of checkpoints from `sequence` on, some."""
        ...

    def append_checkpoint(self, payload: bytes) -> int:
        """Append a record to that log; its number."""
        ...

    def seal(self, checkpoint: Checkpoint) -> None:
        """Have this one count, and purge what it stands for."""
        ...

    def close(self) -> None:
        """Let go of all."""
        ...
