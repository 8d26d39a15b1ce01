"""How cost grows over JetStream: one thing at a time in steps of ten, over one NATS server (R1) and over three (R3).

What all servers used is also told apart: gateways, and NATS servers. How many brokers share the work is measured of brokers
that replicate, too.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Final

from benchmark.load import Load
from benchmark.machine import CORES, children_seconds, processor_seconds
from benchmark.report import Figures
from benchmark.rows.declared import ONE, Measure, Row, Sizes, only_newswire, parts
from benchmark.rows.growth import grown, make_topics, scaled, steps
from benchmark.rows.publishes import published, saturate
from benchmark.rows.streams import deliver_steadily
from benchmark.services import BATCH, READY_SECONDS, Gateways, NewswireService, System, pid_of
from benchmark.talk import ask_all, ask_in_turn


def over_jetstream(servers: int, inner: Measure) -> Measure:
    """The same, of gateways over so many NATS servers."""

    def measure(system: System, sizes: Sizes) -> Figures:
        return inner(Gateways(only_newswire(system), servers), sizes)

    return measure


def start_again(service: NewswireService) -> tuple[float, float]:
    """Seconds until the first broker is ready, after it was ended in order, and what it used of processors for that."""
    broker = service.brokers[0]
    began = time.monotonic()
    broker.launch()
    broker.wait_ready(READY_SECONDS)
    took, pid = time.monotonic() - began, pid_of(broker)
    return took, processor_seconds([pid]) + children_seconds(pid)


def history(count: int) -> Measure:
    """Publishes where the log holds so many messages, and what a start takes with a copy of it and without."""

    def measure(system: System, sizes: Sizes) -> Figures:
        many = scaled(count, sizes)
        with only_newswire(system).brokers(ONE) as service:
            talk = service.batches(min(many, BATCH))
            ask_all(talk, [talk.request(number) for number in range(max(1, many // BATCH))], 4)
            service.brokers[0].stop()
            took, used = start_again(service)
            service.brokers[0].stop()
            shutil.rmtree(service.brokers[0].ops_dir)
            took_bare, used_bare = start_again(service)
            figures = saturate(service, service.publishing(), ONE, sizes.connections, sizes)
        figures.beside.update({"s to start": took, "s of CPU to start": used})
        figures.beside.update({"s without its copy": took_bare, "s of CPU without it": used_bare})
        return figures

    return measure


def share(brokers: int) -> Measure:
    """Publishes that so many brokers share, on any core; each has what all took."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with only_newswire(system).brokers([CORES] * brokers) as service, Load(CORES) as load:
            for at, part in enumerate(parts(sizes.connections, brokers)):
                load.start(ask_in_turn(service.publishing(at), len(part), first=part.start))
            return published(load.measure(service.pids, sizes.seconds, sizes.warm))

    return measure


def rows_over(servers: int) -> list[Row]:
    """What grows, over so many servers."""

    def grow(name: str, counts: tuple[int, ...], title: str, unit: str, measure: Callable[[int], Measure]) -> list[Row]:
        return steps(
            f"r{servers}-{name}",
            counts,
            f"R{servers}: {title}",
            unit,
            lambda n: over_jetstream(servers, measure(n)),
            "jetstream",
        )

    return [
        *grow("streams", (10, 100, 1_000), "20 msg/s to {} streams", "deliveries/s", lambda n: deliver_steadily(n, 20)),
        *grow("topics", (1, 100, 10_000), "publish to {} topics", "msg/s", lambda n: grown(n, make_topics, "topic")),
        *grow("history", (1_000, 10_000, 100_000), "publish to a log of {} messages", "msg/s", history),
        *grow("gateways", (1, 2, 4), "publish by {} gateways", "msg/s", share),
    ]


ROWS: Final = (
    *rows_over(1),
    *rows_over(3),
    *steps("brokers", (1, 2, 4), "publish by {} brokers that replicate", "msg/s", share, "jetstream"),
)
