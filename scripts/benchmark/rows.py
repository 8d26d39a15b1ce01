"""What is measured, a function each: it gets a system and the sizes, starts what it needs, and returns figures.

A row raises NotOffered where a system has nothing like it. What is measured has the first cores, the load the rest; if none is
left, as for two brokers on two cores, the load shares theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from benchmark.load import Load, Measurement
from benchmark.machine import CORES, load_cores, server_cores
from benchmark.report import Figures, quantile
from benchmark.services import BATCH, Newswire, NotOffered, Service, System
from benchmark.talk import Talk, ask_in_turn, ask_steadily, read_streams


@dataclass(frozen=True)
class Sizes:
    """How much and how long. The defaults are those of the table."""

    seconds: float = 4.0
    warm: float = 1.0
    connections: int = 64
    batch_connections: int = 4
    streams: int = 1_000
    steady_seconds: float = 10.0
    processes: int = 2  # of the load, each half of it


QUICK: Final = Sizes(seconds=0.3, warm=0.1, connections=8, batch_connections=2, streams=20, steady_seconds=0.5, processes=1)

Measure = Callable[[System, Sizes], Figures]


class Row(NamedTuple):
    """A row of the table: `group` is another word that selects it."""

    name: str
    group: str
    title: str
    unit: str
    measure: Measure


ROWS: Final[dict[str, Row]] = {}


def row(name: str, group: str, title: str, unit: str) -> Callable[[Measure], Measure]:
    """Declare a row."""

    def declare(measure: Measure) -> Measure:
        ROWS[name] = Row(name, group, title, unit, measure)
        return measure

    return declare


def only_newswire(system: System) -> Newswire:
    """The system, if it is newswire."""
    if not isinstance(system, Newswire):
        raise NotOffered
    return system


def shares(count: int, processes: int) -> list[range]:
    """Numbers 0 to `count` - 1 in as many parts."""
    bounds = [count * i // processes for i in range(processes + 1)]
    return [range(a, b) for a, b in itertools.pairwise(bounds) if a < b]


ONE: Final[list[Sequence[int]]] = [server_cores(1)]
OWN: Final[list[Sequence[int]]] = [CORES[:1], CORES[1:2] or CORES]
SHARED: Final[list[Sequence[int]]] = [CORES[:2], CORES[:2]]


# -- publishes --------------------------------------------------------------------------------------------------------


def saturate(service: Service, talk: Talk, connections: int, sizes: Sizes, cores: Sequence[int], messages: int = 1) -> Figures:
    """Publish on so many connections; `messages`: in a request."""
    with Load(load_cores(cores)) as load:
        for share in shares(connections, sizes.processes):
            load.start(ask_in_turn(talk, len(share), first=share.start * 1_000_000))
        measured = load.measure(service.pids, sizes.seconds, sizes.warm)
    seconds = [one for answered in measured.results for one in answered.seconds]
    count = messages * len(seconds)
    return Figures(
        value=count / measured.seconds,
        cpu=1e6 * measured.server_seconds / max(1, count),
        p50=in_ms(quantile(seconds, 50)),
        p99=in_ms(quantile(seconds, 99)),
        generator=measured.generator_share,
        failed=sum(answered.failed for answered in measured.results),
    )


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def publish(placement: list[Sequence[int]], connections: int | None = None) -> Measure:
    """Durable publishes, one a request."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with system.durable(placement) as service:
            cores = sorted({core for cores in placement for core in cores})
            return saturate(service, service.publishing(), connections or sizes.connections, sizes, cores)

    return measure


def batches(placement: list[Sequence[int]]) -> Measure:
    """Durable batches of 1,000."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with only_newswire(system).brokers(placement) as service:
            cores = sorted({core for cores in placement for core in cores})
            return saturate(service, service.batches(), sizes.batch_connections, sizes, cores, messages=BATCH)

    return measure


row("publish", "publish", "durable publish, 64 connections, one broker", "msg/s")(publish(ONE))
row("publish-two", "publish", "the same, two brokers, each on its core", "msg/s")(publish(OWN))
row("publish-two-shared", "publish", "the same, two brokers, both on both cores", "msg/s")(publish(SHARED))
row("publish-1", "connections", "durable publish, 1 connection, one broker", "msg/s")(publish(ONE, 1))
row("publish-8", "connections", "durable publish, 8 connections, one broker", "msg/s")(publish(ONE, 8))
row("publish-1000", "connections", "durable publish, 1,000 connections, one broker", "msg/s")(publish(ONE, 1_000))
row("batches", "batches", "batches of 1,000, one broker", "msg/s")(batches(ONE))
row("batches-two", "batches", "batches of 1,000, two brokers", "msg/s")(batches(OWN))


# -- streams ----------------------------------------------------------------------------------------------------------


def read_along(
    system: System, sizes: Sizes, streams: int, publishers: Callable[[Load, Talk], Any], *, stamps: bool, seconds: float
) -> Measurement:
    """Streams that read while publishers publish; the results of the readers come first."""
    cores = server_cores(1)
    with system.live(cores) as service, Load(load_cores(cores)) as load:
        service.register(streams)
        for share in shares(streams, sizes.processes):
            load.start(read_streams(service.streaming(), share, stamps=stamps))
        publishers(load, service.live_publishing())
        return load.measure(service.pids, seconds, sizes.warm)


@row("steady", "streams", "20 msg/s to 1,000 streams", "deliveries/s")
def steady(system: System, sizes: Sizes) -> Figures:
    """How long a message is on its way, by the time at which the reader's kernel had it."""

    def publish(load: Load, talk: Talk) -> None:
        load.start(ask_steadily(talk, 20))

    measured = read_along(system, sizes, sizes.streams, publish, stamps=True, seconds=sizes.steady_seconds)
    *reads, answered = measured.results
    ways = [way for read in reads for way in read.latencies]
    events = sum(read.events for read in reads)
    return Figures(
        value=events / measured.seconds,
        cpu=1e6 * measured.server_seconds / max(1, events),
        p50=quantile(ways, 50),
        p99=quantile(ways, 99),
        generator=measured.generator_share,
        failed=sum(read.failed for read in reads) + answered.failed,
        beside={"ms a publish": in_ms(quantile(answered.seconds, 50)) or 0.0},
    )


def fan_out(publishers: int) -> Measure:
    """As many events a second as come out."""

    def measure(system: System, sizes: Sizes) -> Figures:
        def publish(load: Load, talk: Talk) -> None:
            load.start(ask_in_turn(talk, publishers))

        measured = read_along(system, sizes, sizes.streams, publish, stamps=False, seconds=sizes.seconds)
        *reads, answered = measured.results
        events = sum(read.events for read in reads)
        return Figures(
            value=events / measured.seconds,
            cpu=1e6 * measured.server_seconds / max(1, events),
            p50=in_ms(quantile(answered.seconds, 50)),
            p99=in_ms(quantile(answered.seconds, 99)),
            generator=measured.generator_share,
            failed=sum(read.failed for read in reads) + answered.failed,
            beside={"publishes/s": len(answered.seconds) / measured.seconds},
        )

    return measure


row("fanout-4", "streams", "fan-out at saturation, 1,000 streams, 4 publishers", "events/s")(fan_out(4))
row("fanout-64", "streams", "the same, 64 publishers", "events/s")(fan_out(64))
