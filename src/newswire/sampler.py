"""The thread that measures this broker every few seconds, and has `core.foresight` say what follows.

It asks the engine and the hub what they count, holds up nobody, and decides nothing. What it has is read by `/cluster/trends`,
`/metrics` and `/readyz`, and what is foreseen is logged once. It remembers what happened since the start, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from newswire.core.foresight.outlook import Foresight, Sample
from newswire.core.foresight.samples import SECONDS
from newswire.core.model.forecasts import ArrivalPlace, ClusterEvent, Outlook, Trends
from newswire.engine.seam import ClusterStatus, Engine, Fact, tell_changes, tell_reasons
from newswire.threads import OnFatal, supervise

_LOOK_SECONDS: Final = 1.0  # between two looks at the cluster: what comes and goes within is no event
_PATIENCE_SECONDS: Final = 60.0  # for this broker to serve: then what it holds is what there is
_NOW_MILLISECONDS: Final = 600_000  # a message stamped before that is brought by another broker, which was away
_EVENTS_COUNT: Final = 200  # some days of them; 40 kB
_WARNING: Final = 30  # as `logging` counts

_log: Final = logging.getLogger("newswire.cluster")


class Sampler:
    """Measures, in a thread of its own. `outlook`, `trends`: any thread; `start`, `stop`: the composition root."""

    def __init__(
        self,
        engine: Engine,
        *,
        streams: Callable[[], int],
        deliveries: Callable[[], int],
        streams_limit: int,
        on_fatal: OnFatal,
    ) -> None:
        """`streams`: open now; `deliveries`: messages put into streams since the start; `streams_limit`: that there may be."""
        self._engine, self._streams, self._deliveries, self._streams_limit = engine, streams, deliveries, streams_limit
        self._foresight = Foresight()
        self._lock = threading.Lock()  # around what `trends` reads, held for less than a millisecond
        self._events: deque[ClusterEvent] = deque(maxlen=_EVENTS_COUNT)
        self._stopped = threading.Event()
        self._place: ArrivalPlace | None = None
        self._view: ClusterStatus | None = None
        self._begun_at: float | None = None  # on the clock that only runs
        self._counts: _Counts | None = None  # as of the last sample
        self._compactions = 0
        self._thread = supervise(self._run, "sampler", on_fatal, may_end=self._stopped.is_set)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def outlook(self) -> Outlook:
        """What is foreseen, as of the last minute."""
        return self._foresight.outlook

    def trends(self, after: int) -> Trends:
        """What was measured later than `after` (ms since 1970; 0: all, and the day in minutes); what follows."""
        with self._lock:
            return Trends(
                recent=self._foresight.recent.series(after),
                day=None if after else self._foresight.minutes.series(),
                outlook=self.outlook,
                events=tuple(self._events),
            )

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self.turn(time.monotonic(), time.time_ns() // 1_000_000, time.process_time())

    def turn(self, clock: float, wall: int, processor: float) -> None:
        """Look at the cluster, and measure if it is due. `clock`: seconds; `wall`: ms since 1970; `processor`: seconds used."""
        view = self._engine.describe()
        if self._begun_at is None:
            self._begun_at = clock
        if self._place is None:
            if not view.serves and clock - self._begun_at < _PATIENCE_SECONDS:
                return
            self._begin(clock, wall)
        if self._view is not None and view is not self._view:
            self._note(tell_changes(self._view, view), wall)
        self._view = view
        if self._counts is None or clock - self._counts.clock >= SECONDS:
            self._measure(view, clock, wall, processor)

    def _begin(self, clock: float, wall: int) -> None:
        past = self._engine.past(wall)
        self._place = self._engine.arrivals(None, 0).place
        with self._lock:
            self._foresight.restore(past, clock, wall)
            self._events.append(ClusterEvent(time=wall, text="this broker was started"))

    def _measure(self, view: ClusterStatus, clock: float, wall: int, processor: float) -> None:
        arrivals = self._engine.arrivals(self._place, wall - _NOW_MILLISECONDS)
        numbers = self._engine.numbers()
        self._place = arrivals.place
        counts = _Counts(
            clock=clock,
            processor=processor,
            deliveries=self._deliveries(),
            commits=numbers.commit_seconds.count,
            commit_seconds=numbers.commit_seconds.total,
        )
        before, self._counts = self._counts, counts
        if numbers.compactions > self._compactions:
            size = f"{numbers.ops_file_bytes / 1e6:,.1f} MB"
            self._note([Fact(0, f"the ops file was compacted: it takes {size} now")], wall)
        self._compactions = numbers.compactions
        if before is None or clock <= before.clock:
            return
        told = self.outlook.warnings
        disk = view.disk
        sample = Sample(
            clock=clock,
            wall=wall,
            seconds=clock - before.clock,
            counts=arrivals.counts,
            deliveries=counts.deliveries - before.deliveries,
            commits=counts.commits - before.commits,
            commit_seconds=counts.commit_seconds - before.commit_seconds,
            processor_seconds=counts.processor - before.processor,
            streams=self._streams(),
            streams_limit=self._streams_limit,
            free_bytes=None if disk is None else disk.free_bytes,
            reserve_bytes=0 if disk is None else disk.reserve_bytes,
            log_bytes=0 if disk is None else disk.log_bytes,
        )
        with self._lock:
            self._foresight.take(sample)
        facts = list(tell_reasons(told, self.outlook.warnings))
        for fact in facts:
            _log.log(fact.level, "%s", fact.text)
        self._note(facts, wall)

    def _note(self, facts: Iterable[Fact], wall: int) -> None:
        events = [ClusterEvent(time=wall, text=fact.text, is_warning=fact.level >= _WARNING) for fact in facts]
        with self._lock:
            self._events.extend(events)


class _Counts(NamedTuple):
    """What is counted since the start, at one moment."""

    clock: float
    processor: float
    deliveries: int
    commits: int
    commit_seconds: float
