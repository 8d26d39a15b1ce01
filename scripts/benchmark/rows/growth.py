"""How cost grows: one thing at a time in steps of ten, everything else as it is in the table. One broker."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from typing import Final

from benchmark.load import Load
from benchmark.machine import load_cores, processor_seconds, resident_bytes
from benchmark.report import Figures, quantile
from benchmark.rows.declared import ONE, Measure, Row, Sizes, only_newswire, parts
from benchmark.rows.failures import written
from benchmark.rows.publishes import saturate
from benchmark.rows.streams import deliver_steadily
from benchmark.services import BATCH, READY_SECONDS, NewswireService, Publishing, Streaming, Subscribing, System, pid_of
from benchmark.talk import ask_all, ask_steadily, http_post, read_streams, text

PATTERN_READERS: Final = 20
PATTERN_MESSAGES_A_SECOND: Final = 100
TOPICS: Final = (10, 100, 1_000, 10_000, 100_000)
LEVELS: Final = "news.a.a.a.a.a.a.a.a.a"


class Spread(Publishing):
    """Messages to many topics, in turn."""

    def __init__(self, port: int, copies: int, topics: int) -> None:
        super().__init__(port, copies)
        self._topics = topics

    def request(self, number: int) -> bytes:
        return http_post(
            "/publish", "application/json", b'{"topic": "spread.t%d", "data": "%b"}' % (number % self._topics, text(number))
        )


class Large(Publishing):
    """Messages of so many bytes."""

    def __init__(self, port: int, size: int) -> None:
        super().__init__(port, 1)
        self._request = http_post("/publish", "application/json", b'{"topic": "news.t1", "data": "%b"}' % (b"x" * size))

    def request(self, number: int) -> bytes:
        return self._request


class Patterns(Subscribing):
    """Subscriptions of some users to patterns that all match one topic."""

    def __init__(self, port: int, patterns: int) -> None:
        super().__init__(port)
        levels = (LEVELS[:5] + ".".join(words) for words in itertools.product("a*", repeat=9))
        whole = (level + end for level in levels for end in (".*", ".>"))
        self._patterns = list(itertools.islice(whole, patterns))
        self.count = PATTERN_READERS * patterns

    def request(self, number: int) -> bytes:
        form = f"username=user{number % PATTERN_READERS}&topic={self._patterns[number // PATTERN_READERS]}"
        return http_post("/subscribe", "application/x-www-form-urlencoded", form.encode())


class ToPatterns(Publishing):
    """Messages to the topic that all patterns match."""

    def request(self, number: int) -> bytes:
        return http_post("/publish", "application/json", b'{"topic": "%b.a", "data": "%b"}' % (LEVELS.encode(), text(number)))


def scaled(count: int, sizes: Sizes) -> int:
    """The step, or what a quick run makes of it."""
    return max(1, int(count * sizes.growth_factor))


def grown(count: int, prepare: Callable[[NewswireService, int], Publishing], unit: str) -> Measure:
    """Publishes after something was prepared so many times; the memory that each took."""

    def measure(system: System, sizes: Sizes) -> Figures:
        many = scaled(count, sizes)
        with only_newswire(system).brokers(ONE) as service:
            before = resident_bytes(service.pids)
            talk = prepare(service, many)
            memory = resident_bytes(service.pids) - before
            figures = saturate(service, talk, ONE, sizes.connections, sizes)
        figures.beside[f"B a {unit}"] = memory / many
        return figures

    return measure


def make_topics(service: NewswireService, count: int) -> Publishing:
    """A message to each topic."""
    line = b'{"topic": "spread.t%d", "data": "x"}'
    bounds = range(0, count, BATCH)
    bodies = (b"\n".join(line % number for number in range(at, min(at + BATCH, count))) for at in bounds)
    ask_all(service.publishing(), [http_post("/publish", "application/x-ndjson", body) for body in bodies], 4)
    return Spread(service.port, service.copies, count)


def make_subscribers(service: NewswireService, count: int) -> Publishing:
    """Users who are away."""
    service.register(count)
    return Publishing(service.port, 1, live=True)


def large(size: int) -> Measure:
    """Publishes of so many bytes."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with only_newswire(system).brokers(ONE) as service:
            figures = saturate(service, Large(service.port, size), ONE, sizes.connections, sizes)
        figures.beside["MB/s"] = figures.value * size / 1e6
        return figures

    return measure


def patterns(count: int) -> Measure:
    """Deliveries to users with so many patterns that match."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with only_newswire(system).brokers(ONE) as service, Load(load_cores(ONE[0])) as load:
            subscribing = Patterns(service.port, scaled(count, sizes))
            ask_all(subscribing, [subscribing.request(number) for number in range(subscribing.count)], sizes.connections)
            for part in parts(PATTERN_READERS, sizes.processes):
                load.start(read_streams(Streaming(service.port), part, stamps=True))
            load.start(ask_steadily(ToPatterns(service.port, 1), PATTERN_MESSAGES_A_SECOND))
            measured = load.measure(service.pids, sizes.seconds, sizes.warm)
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
        )

    return measure


def history(count: int) -> Measure:
    """Publishes to a broker that holds so many messages, and what its start took."""

    def measure(system: System, sizes: Sizes) -> Figures:
        newswire, many = only_newswire(system), scaled(count, sizes)
        source = written(many, newswire.folder)
        with newswire.placed(ONE, ("--retention-days", "10000")) as service:
            (broker,) = service.brokers
            shutil.copytree(source.name, broker.ops_dir)
            began = time.monotonic()
            broker.launch()
            broker.wait_ready(READY_SECONDS)
            took, used = time.monotonic() - began, processor_seconds([pid_of(broker)])
            memory = resident_bytes(service.pids)
            figures = saturate(service, service.publishing(), ONE, sizes.connections, sizes)
        figures.beside.update({"s to start": took, "s of CPU to start": used, "MiB": memory / 2**20})
        return figures

    return measure


def steps(
    name: str, counts: tuple[int, ...], title: str, unit: str, measure: Callable[[int], Measure], group: str = "growth"
) -> list[Row]:
    """A row for each step; `title` holds a place for the count."""
    return [Row(f"{name}-{n}", f"{group} {name}", title.format(f"{n:,}"), unit, measure(n), rounds=1) for n in counts]


ROWS: Final = (
    *steps("streams", (10, 100, 1_000), "20 msg/s to {} streams", "deliveries/s", lambda n: deliver_steadily(n, 20)),
    *steps("streams", (10_000,), "2 msg/s to {} streams", "deliveries/s", lambda n: deliver_steadily(n, 2)),
    *steps(
        "topics", (10, 100, 1_000, 10_000, 100_000), "publish to {} topics", "msg/s", lambda n: grown(n, make_topics, "topic")
    ),
    *steps(
        "subscribers",
        (10, 100, 1_000, 10_000),
        "publish to {} subscribers who are away",
        "msg/s",
        lambda n: grown(n, make_subscribers, "subscriber"),
    ),
    *steps("patterns", (1, 10, 100, 1_000), "20 streams, each of a user with {} patterns that match", "deliveries/s", patterns),
    *steps("history", (1_000, 10_000, 100_000, 1_000_000), "publish to a broker that holds {} messages", "msg/s", history),
    *steps("size", (100, 1_000, 10_000, 60_000), "publish {} bytes", "msg/s", large),
)
