"""Streams: live, idle, opened by thousands, behind."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Final

from benchmark.clients import Client
from benchmark.load import Load, Measurement
from benchmark.machine import load_cores, processor_seconds, resident_bytes, server_cores
from benchmark.report import Figures, quantile
from benchmark.rows.declared import ONE, Measure, Row, Sizes, in_ms, only_newswire, parts
from benchmark.services import BATCH, NewswireService, System
from benchmark.talk import MARK, Talk, ask_all, ask_in_turn, ask_steadily, read_streams

BACKLOG_SECONDS = 120.0


def read_along(
    system: System, streams: int, publisher: Callable[[Load, Talk], None], sizes: Sizes, *, stamps: bool, seconds: float
) -> Measurement:
    """Streams that read while a process publishes; its result comes last."""
    cores = server_cores(1)
    with system.live(cores) as service, Load(load_cores(cores)) as load:
        service.register(streams)
        for part in parts(streams, sizes.processes):
            load.start(read_streams(service.streaming(), part, stamps=stamps))
        publisher(load, service.live_publishing())
        return load.measure(service.pids, seconds, sizes.warm)


def deliver_steadily(streams: int | None, a_second: float) -> Measure:
    """How long a message is on its way, by the time at which the reader's kernel had it."""

    def measure(system: System, sizes: Sizes) -> Figures:
        def publish(load: Load, talk: Talk) -> None:
            load.start(ask_steadily(talk, a_second))

        seconds = sizes.steady_seconds
        many = sizes.streams if streams is None else max(1, int(streams * sizes.growth_factor))
        measured = read_along(system, many, publish, sizes, stamps=True, seconds=seconds)
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
            beside={"ms a publish": in_ms(quantile(answered.seconds, 50)) or 0.0} | measured.apart(events),
        )

    return measure


def fan_out(publishers: int) -> Measure:
    """As many events a second as come out."""

    def measure(system: System, sizes: Sizes) -> Figures:
        def publish(load: Load, talk: Talk) -> None:
            load.start(ask_in_turn(talk, publishers))

        measured = read_along(system, sizes.streams, publish, sizes, stamps=False, seconds=sizes.seconds)
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


def opening(system: System, sizes: Sizes) -> Figures:
    """Seconds until thousands of streams are greeted that all come back at once."""
    streams, cores = sizes.many_streams, server_cores(1)
    with system.live(cores) as service, Load(load_cores(cores)) as load:
        service.register(streams)
        before = processor_seconds(service.pids)
        for part in parts(streams, sizes.processes):
            load.start(read_streams(service.streaming(), part))
        load.wait_ready()
        used = processor_seconds(service.pids) - before
        reads = load.measure(service.pids, 0.0, 0.0).results
    seconds = max(read.opened for read in reads) - min(read.began for read in reads)
    shares = [read.opening_cpu / (read.opened - read.began) for read in reads]
    return Figures(value=seconds, cpu=1e6 * used / streams, generator=max(shares))


def idle(system: System, sizes: Sizes) -> Figures:
    """Percent of a core that thousands of streams cost which get nothing, and the memory of each."""
    streams, cores = sizes.many_streams, server_cores(1)
    with system.live(cores) as service, Load(load_cores(cores)) as load:
        service.register(streams)
        before = resident_bytes(service.pids)
        for part in parts(streams, sizes.processes):
            load.start(read_streams(service.streaming(), part))
        measured = load.measure(service.pids, sizes.idle_seconds, sizes.warm)
        memory = resident_bytes(service.pids) - before
    return Figures(
        value=100 * measured.server_seconds / measured.seconds,
        cpu=1e6 * measured.server_seconds / measured.seconds / streams,
        generator=measured.generator_share,
        failed=sum(read.failed for read in measured.results),
        beside={"KB a stream": memory / streams / 1e3},
    )


# -- behind -----------------------------------------------------------------------------------------------------------


def store_backlog(service: NewswireService, count: int) -> str:
    """Store so many messages; a user to whom they are due."""
    user = f"behind-{os.urandom(4).hex()}"
    talk = service.batches(BATCH)
    ask_all(talk, [talk.request(number) for number in range(count // BATCH)], 4)
    service.subscribe(user, "news.>", "earliest")
    return user


def catch_up(system: System, sizes: Sizes) -> Figures:
    """One stream that gets all there is."""
    with only_newswire(system).brokers(ONE) as service:
        user = store_backlog(service, sizes.backlog)
        with socket.create_connection(("127.0.0.1", service.port), timeout=BACKLOG_SECONDS) as sock:
            before, began, used = processor_seconds(service.pids), time.monotonic(), time.process_time()
            sock.sendall(f"GET /stream?username={user} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            left = sizes.backlog
            while left > 0:
                data = sock.recv(1_048_576)
                if not data:
                    raise OSError("the stream ended")
                left -= data.count(MARK)
            took, own = time.monotonic() - began, time.process_time() - used
            servers = processor_seconds(service.pids) - before
    return Figures(value=sizes.backlog / took, cpu=1e6 * servers / sizes.backlog, generator=own / took)


def catch_up_subscriber(system: System, sizes: Sizes) -> Figures:
    """The Subscriber of the library that gets all there is."""
    newswire, count = only_newswire(system), sizes.subscriber_backlog
    with newswire.brokers(ONE) as service:
        user = store_backlog(service, count)
        with Client(newswire.root, load_cores(ONE[0]), "read", service.addresses, user, count) as client:
            client.line()
            before = processor_seconds(service.pids)
            outcome = client.line()
            servers = processor_seconds(service.pids) - before
    return Figures(
        value=count / outcome["seconds"],
        cpu=1e6 * servers / count,
        generator=outcome["cpu"] / outcome["seconds"],
        beside={"µs of the client": 1e6 * outcome["cpu"] / count},
    )


ROWS: Final = (
    Row("fanout-4", "table streams", "fan-out at saturation, 1,000 streams, 4 publishers", "events/s", fan_out(4)),
    Row("fanout-64", "table streams", "fan-out at saturation, 1,000 streams, 64 publishers", "events/s", fan_out(64)),
    Row("steady", "table streams", "20 msg/s to 1,000 streams", "deliveries/s", deliver_steadily(None, 20)),
    Row("idle", "table streams", "10,000 idle streams", "% of a core", idle),
    Row("opening", "table streams", "10,000 streams open", "s", opening),
    Row("catchup", "table streams", "one stream catches up", "msg/s", catch_up),
    Row("catchup-subscriber", "table streams library", "the library's Subscriber catches up", "msg/s", catch_up_subscriber),
)
