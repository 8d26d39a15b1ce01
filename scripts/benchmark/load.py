"""Processes that make the load: each is forked, connects, waits for the others, works until the end, and says what it saw.

A process says also how busy it was. One that was busy all the time may have been what limited the measurement, and not what
was measured: the table shows the share of a core that the busiest of them took.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, Final, NamedTuple

from benchmark.machine import processor_seconds, program_of
from brokers import Failed

TIMEOUT_SECONDS: Final = 120.0  # to connect, or to end after the end
_fork: Final = multiprocessing.get_context("fork")


class Span(NamedTuple):
    """When to measure, by time.monotonic(), which all processes share."""

    begin: float
    end: float


class Measurement(NamedTuple):
    """What the processes returned, what the servers used of processors during the span, by what they run, and how busy the
    busiest process was (0 to 1).
    """

    results: list[Any]
    seconds_of: dict[str, float]
    seconds: float
    generator_share: float

    @property
    def server_seconds(self) -> float:
        """What all servers used."""
        return sum(self.seconds_of.values())

    def apart(self, count: int) -> dict[str, float]:
        """µs for each of `count` operations of servers of each kind, where there are several."""
        several = len(self.seconds_of) > 1
        return {f"µs of {name}": 1e6 * used / max(1, count) for name, used in self.seconds_of.items() if several}


Work = Callable[[Callable[[], Span]], Any]
"""What a process does: it connects, calls what it is given, which waits for all others, works until the span ends."""


class Load:
    """Some processes on some cores."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._started: list[tuple[ForkProcess, Connection]] = []
        self._ready = 0

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for process, channel in self._started:
            process.kill()
            process.join()
            channel.close()

    def start(self, work: Work) -> None:
        """Start one process."""
        ours, theirs = _fork.Pipe()
        process = _fork.Process(target=_run, args=(work, theirs, self._cores), daemon=True)
        process.start()
        theirs.close()
        self._started.append((process, ours))

    def wait_ready(self) -> None:
        """Wait until all are connected."""
        for _, channel in self._started[self._ready :]:
            _receive(channel)
        self._ready = len(self._started)

    def measure(self, pids: Iterable[int], seconds: float, warm: float = 1.0) -> Measurement:
        """Wait until all are connected, let them work for `warm` seconds and then `seconds` more, in which is measured."""
        servers = {pid: program_of(pid) for pid in pids}
        self.wait_ready()
        begin = time.monotonic() + warm
        span = Span(begin, begin + seconds)
        for _, channel in self._started:
            channel.send(span)
        wait_until(span.begin)
        before, began = {pid: processor_seconds([pid]) for pid in servers}, time.monotonic()
        wait_until(span.end)
        used, took = {pid: processor_seconds([pid]) - before[pid] for pid in servers}, time.monotonic() - began
        seconds_of = dict.fromkeys(servers.values(), 0.0)
        for pid, name in servers.items():
            seconds_of[name] += used[pid]
        results, shares = [], [0.0]
        for _, channel in self._started:
            result, share = _receive(channel)
            results.append(result)
            shares.append(share)
        return Measurement(results, seconds_of, took, max(shares))


def wait_until(moment: float) -> None:
    """Sleep until a moment of time.monotonic()."""
    time.sleep(max(0.0, moment - time.monotonic()))


def _receive(channel: Connection) -> Any:
    if not channel.poll(TIMEOUT_SECONDS):
        raise Failed(f"a process of the load said nothing for {TIMEOUT_SECONDS:g} seconds")
    try:
        message = channel.recv()
    except EOFError:
        raise Failed("a process of the load ended") from None
    if isinstance(message, BaseException):
        raise Failed(f"a process of the load failed: {message!r}")
    return message


def _run(work: Work, channel: Connection, cores: Sequence[int]) -> None:
    os.sched_setaffinity(0, cores)
    began = used = 0.0

    def ready() -> Span:
        nonlocal began, used
        channel.send("ready")
        span: Span = channel.recv()
        began, used = time.monotonic(), time.process_time()
        return span

    try:
        result = work(ready)
        channel.send((result, (time.process_time() - used) / max(1e-9, time.monotonic() - began)))
    except BaseException as error:  # whatever it is, the parent has to know
        with suppress(Exception):
            channel.send(error)
        raise
