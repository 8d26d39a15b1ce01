"""Durable publishes: one a request, in batches, by the client library; and who is served beside them."""

from __future__ import annotations

import resource
import subprocess
import time
from typing import Final

from benchmark.clients import Client
from benchmark.load import Load, Measurement
from benchmark.machine import load_cores, processor_seconds
from benchmark.report import Figures, quantile
from benchmark.rows.declared import ONE, OWN, SHARED, Measure, Placement, Row, Sizes, cores_of, in_ms, only_newswire, parts
from benchmark.services import BATCH, Livez, Service, System, Tool
from benchmark.talk import Talk, ask_in_turn, ask_once, ask_steadily

PROBES_A_SECOND = 50


def saturate(
    service: Service, talk: Talk, placement: Placement, connections: int, sizes: Sizes, *, messages: int = 1
) -> Figures:
    """Publish on so many connections; `messages`: in a request."""
    with Load(load_cores(cores_of(placement))) as load:
        for part in parts(connections, sizes.processes):
            load.start(ask_in_turn(talk, len(part), first=part.start))
        return published(load.measure(service.pids, sizes.seconds, sizes.warm), messages)


def published(measured: Measurement, messages: int = 1) -> Figures:
    """What connections saw that published so many messages a request."""
    seconds = [one for answered in measured.results for one in answered.seconds]
    count = messages * len(seconds)
    return Figures(
        value=count / measured.seconds,
        cpu=1e6 * measured.server_seconds / max(1, count),
        p50=in_ms(quantile(seconds, 50)),
        p99=in_ms(quantile(seconds, 99)),
        generator=measured.generator_share,
        failed=sum(answered.failed for answered in measured.results),
        beside=measured.apart(count),
    )


def saturate_by_tool(service: Service, tool: Tool, placement: Placement) -> Figures:
    """Have a program make the load."""
    cores = ",".join(map(str, load_cores(cores_of(placement))))
    before, began = processor_seconds(service.pids), time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(["taskset", "-c", cores, *tool.command], capture_output=True, text=True, check=True).stdout
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    servers = processor_seconds(service.pids) - before
    rate, p50, p99 = tool.read(output)
    own = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return Figures(value=rate, cpu=1e6 * servers / tool.requests, p50=p50, p99=p99, generator=own / took)


def publish(placement: Placement, connections: int | None = None) -> Measure:
    """One message a request."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with system.durable(placement) as service:
            count = connections or sizes.connections
            tool = service.tool(count, sizes.seconds)
            if tool is not None:
                return saturate_by_tool(service, tool, placement)
            return saturate(service, service.publishing(), placement, count, sizes)

    return measure


def batches(placement: Placement) -> Measure:
    """1,000 messages a request."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with system.durable(placement) as service:
            return saturate(service, service.batches(BATCH), placement, sizes.batch_connections, sizes, messages=BATCH)

    return measure


def library(placement: Placement, threads: int | None = None) -> Measure:
    """Threads of one process that share a Publisher; 0: one that does not wait."""

    def measure(system: System, sizes: Sizes) -> Figures:
        newswire = only_newswire(system)
        with newswire.brokers(placement) as service:
            cores, count = load_cores(cores_of(placement)), sizes.connections if threads is None else threads
            copies, addresses = len(service.brokers), service.addresses
            with Client(newswire.root, cores, "publish", addresses, copies, count, sizes.warm, sizes.seconds) as client:
                client.line()
                before = processor_seconds(service.pids)
                client.line()
                used = processor_seconds(service.pids) - before
                outcome = client.line()
        messages = max(1, len(outcome["seconds"]))
        return Figures(
            value=messages / sizes.seconds,
            cpu=1e6 * used / messages,
            p50=in_ms(quantile(outcome["seconds"], 50)),
            p99=in_ms(quantile(outcome["seconds"], 99)),
            generator=outcome["cpu"] / sizes.seconds,
            failed=outcome["failed"],
            beside={"µs of the client": 1e6 * outcome["cpu"] / messages},
        )

    return measure


def crowd(*, subscribes: bool) -> Measure:
    """The load of the paper: so many clients at once, one request each."""

    def measure(system: System, sizes: Sizes) -> Figures:
        placement = OWN
        with only_newswire(system).brokers(placement) as service, Load(load_cores(cores_of(placement))) as load:
            talk = service.subscribing() if subscribes else service.publishing()
            for part in parts(sizes.crowd, sizes.processes):
                load.start(ask_once(talk, part))
            measured = load.measure(service.pids, sizes.seconds, 0.1)
        seconds = [one for answered in measured.results for one in answered.seconds]
        return Figures(
            value=1e3 * sum(seconds) / max(1, len(seconds)),
            cpu=1e6 * measured.server_seconds / max(1, len(seconds)),
            p50=in_ms(quantile(seconds, 50)),
            p99=in_ms(quantile(seconds, 99)),
            failed=sum(answered.failed for answered in measured.results) + sizes.crowd - len(seconds),
            beside={"ms the slowest": 1e3 * max(seconds, default=0.0), "requests/s": len(seconds) / max(seconds, default=1.0)},
        )

    return measure


def served_beside(*, at_the_other: bool) -> Measure:
    """How long others wait while the first of two brokers is saturated: for /livez there, or for a publish at the other."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with only_newswire(system).brokers(SHARED) as service, Load(load_cores(cores_of(SHARED))) as load:
            probe = service.publishing(1) if at_the_other else Livez(service.port)
            load.start(ask_steadily(probe, PROBES_A_SECOND))
            for part in parts(sizes.connections, sizes.processes):
                load.start(ask_in_turn(service.publishing(), len(part)))
            measured = load.measure(service.pids, sizes.seconds, sizes.warm)
        waited, *others = measured.results
        count = sum(len(answered.seconds) for answered in others)
        return Figures(
            value=in_ms(quantile(waited.seconds, 50)) or 0.0,
            cpu=1e6 * measured.server_seconds / max(1, count),
            p50=in_ms(quantile(waited.seconds, 50)),
            p99=in_ms(quantile(waited.seconds, 99)),
            generator=measured.generator_share,
            failed=sum(answered.failed for answered in measured.results),
            beside={"publishes/s": count / measured.seconds},
        )

    return measure


ROWS: Final = (
    Row("publish", "table publish", "durable publish, 64 connections, one broker", "msg/s", publish(ONE)),
    Row(
        "publish-two", "table publish", "durable publish, 64 connections, two brokers, each on its core", "msg/s", publish(OWN)
    ),
    Row(
        "publish-two-shared",
        "table publish",
        "durable publish, 64 connections, two brokers, both on both cores",
        "msg/s",
        publish(SHARED),
    ),
    Row("publish-1", "connections", "durable publish, 1 connection, one broker", "msg/s", publish(ONE, 1)),
    Row("publish-8", "connections", "durable publish, 8 connections, one broker", "msg/s", publish(ONE, 8)),
    Row("publish-1000", "connections", "durable publish, 1,000 connections, one broker", "msg/s", publish(ONE, 1_000)),
    Row("publish-two-1", "connections", "durable publish, 1 connection, two brokers", "msg/s", publish(OWN, 1)),
    Row("publish-cores", "cores", "durable publish, 64 connections, one broker on both cores", "msg/s", publish(SHARED[:1])),
    Row("library", "table library", "client library, 64 threads, two brokers", "msg/s", library(OWN)),
    Row("library-one", "library", "client library, 64 threads, one broker", "msg/s", library(ONE)),
    Row("library-1", "library", "client library, 1 thread, two brokers", "msg/s", library(OWN, 1)),
    Row("library-later", "table library", "client library, publish_later, two brokers", "msg/s", library(OWN, 0)),
    Row("library-8", "library", "client library, 8 threads, two brokers", "msg/s", library(OWN, 8)),
    Row("batches", "table batches", "batches of 1,000, one broker", "msg/s", batches(ONE)),
    Row("batches-two", "table batches", "batches of 1,000, two brokers", "msg/s", batches(OWN)),
    Row("crowd-publish", "paper", "1,000 publishers at once, two brokers", "ms on average", crowd(subscribes=False)),
    Row("crowd-subscribe", "paper", "1,000 subscribers at once, two brokers", "ms on average", crowd(subscribes=True)),
    Row("livez-beside", "beside", "/livez of a broker that 64 connections saturate", "ms", served_beside(at_the_other=False)),
    Row(
        "publish-beside",
        "beside",
        "a publish at the other broker, of one that 64 connections saturate",
        "ms",
        served_beside(at_the_other=True),
    ),
)
