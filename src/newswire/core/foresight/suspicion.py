"""How suspicious a peer is by its silence, before it is called dead: the phi accrual failure detector. Pure.

N. Hayashibara, X. Defago, R. Yared, T. Katayama: *The phi accrual failure detector* (Symposium on Reliable Distributed
Systems, 2004); as in Akka and Cassandra. phi says how unlikely a silence as long as this one is, had the peer been alive as
before: at phi 1 one in ten is a mistake, at phi 8 one in 100 million. The waits until now are taken for normally distributed.

Two things are waited for. A peer is heard of once a heartbeat, whatever else it says: silence up to that means nothing. And
each push is answered, as a rule in milliseconds, and given up by the core after two seconds: an answer that takes far longer
than usual tells of a peer, a disk or a network that goes bad while it still counts as up. The larger of the two is its phi.

It only warns: who is up, whose copies count and who is primary follows from `core.broker.replication` alone.
"""

from __future__ import annotations

from collections import deque
from math import erfc, log10, sqrt
from typing import Final

_SAMPLES: Final = 200  # of each: a quarter of an hour of heartbeats
_LEAST: Final = 12  # fewer say nothing of what is usual: a minute after a start
_LEAST_SPREAD_SECONDS: Final = 0.1  # as in Akka: processes stand still for that long now and then
SUSPICIOUS: Final = 8.0  # from here on it is told, as in Akka and Cassandra: a mistake once in 100 million times
_MOST: Final = 99.0  # beyond this it is all the same
_LOOK_SECONDS: Final = 0.05  # between two looks: more often shows nothing more
_OWN_PAUSE_SECONDS: Final = 0.5  # between two looks: then it is this process that stood still
_KEEP_SECONDS: Final = 60.0  # the highest phi is shown for this long: nobody looks at the very moment


class Waits:
    """How long was waited for something, the last times. A few kB."""

    def __init__(self, least: float = 0.0) -> None:
        """`least`: seconds that are usual in any case."""
        self._least = least
        self._waits: deque[float] = deque(maxlen=_SAMPLES)
        self._sum = self._squares = 0.0

    def note(self, seconds: float) -> None:
        """It came after so long."""
        if len(self._waits) == _SAMPLES:
            oldest = self._waits[0]
            self._sum -= oldest
            self._squares -= oldest * oldest
        self._waits.append(seconds)
        self._sum += seconds
        self._squares += seconds * seconds

    @property
    def mean(self) -> float:
        """What is usual, in seconds."""
        return max(self._least, self._sum / len(self._waits)) if self._waits else self._least

    def phi(self, seconds: float) -> float:
        """How suspicious it is that nothing came for so long."""
        count = len(self._waits)
        if count < _LEAST:
            return 0.0
        mean = self._sum / count
        spread = max(_LEAST_SPREAD_SECONDS, sqrt(max(0.0, self._squares / count - mean * mean)))
        tail = erfc((seconds - self.mean) / spread / sqrt(2)) / 2
        return min(_MOST, -log10(tail)) if tail > 0 else _MOST


class Suspicion:
    """What is thought of one peer. The thread that owns the peer."""

    def __init__(self, heartbeat: float) -> None:
        """`heartbeat`: seconds in which the peer is heard of at least once."""
        self._gaps, self._answers = Waits(heartbeat), Waits()
        self._heartbeat = heartbeat
        self._heard: float | None = None
        self._counted: float | None = None  # of what was heard, the last that stands for a heartbeat
        self._asked: float | None = None
        self._looked: float | None = None
        self.phi = 0.0  # the highest of the last minute
        self.seconds = self.usual = 0.0  # the wait that was so suspicious, and what is usual
        self._peak_at = 0.0

    def hear(self, clock: float) -> None:
        """The peer said something. What it says within half a heartbeat of another word is part of that one."""
        if self._counted is None or clock - self._counted >= self._heartbeat / 2:
            if self._counted is not None:
                self._gaps.note(max(self._heartbeat, clock - self._counted))
            self._counted = clock
        self._heard = clock

    def ask(self, clock: float) -> None:
        """A push goes out, which the peer is to answer."""
        self._asked = clock

    def answer(self, clock: float) -> None:
        """It is answered."""
        if self._asked is not None:
            self._answers.note(clock - self._asked)
        self._asked = None

    def lose(self) -> None:
        """The peer is down, or another run of it began: nothing is waited for, and a long silence is no sample."""
        self._heard = self._counted = self._asked = None

    def look(self, clock: float) -> None:
        """Take what the silence says now. Now and then; where that did not happen for long, this process stood still."""
        since_look = None if self._looked is None else clock - self._looked
        if since_look is not None and since_look < _LOOK_SECONDS:
            return
        self._looked = clock
        if clock - self._peak_at > _KEEP_SECONDS:
            self.phi = 0.0
        if since_look is None or since_look > _OWN_PAUSE_SECONDS:
            return
        for since, arrivals in ((self._heard, self._gaps), (self._asked, self._answers)):
            if since is not None and (phi := arrivals.phi(clock - since)) > max(self.phi, 1.0):
                self.phi, self._peak_at = round(phi, 1), clock
                self.seconds, self.usual = clock - since, arrivals.mean
