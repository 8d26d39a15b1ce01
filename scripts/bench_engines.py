"""Publishes, fan-out and starts over each engine, side by side: brokers that replicate, and gateways over NATS servers.

scripts/bench_engines [--rounds 3] [--seconds 2]

All run at once and are measured in turns, round by round, so that what else the machine does falls on each. Single: one
connection, one message after the other. Many: 16 connections. Batches: of 1,000 lines. Fan-out: from a publish at the first
broker until the last of 20 streams, which are spread over all brokers, has it. Start: the last broker again, on what it has.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from brokers import Broker, Stream, free_ports, post, until
from nats_servers import NatsServers

STREAMS: Final = 20
WRITERS: Final = 16
LINES: Final = 1_000


class Setup:
    """Some brokers that are one service."""

    def __init__(self, name: str, brokers: list[Broker], home: Path) -> None:
        self.name, self.brokers, self.home = name, brokers, home
        self.results: dict[str, list[float]] = {}

    def start(self, stack: ExitStack) -> None:
        """Start all, with streams spread over them."""
        for broker in self.brokers:
            stack.callback(broker.kill9)
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready(60.0)
        self.streams = []
        for at in range(STREAMS):
            post(self.brokers[0].address, "/subscribe", username=f"user{at}", topic="seen")
        for at in range(STREAMS):
            address = self.brokers[at % len(self.brokers)].address
            self.streams.append(stack.enter_context(Stream(f"user{at}", [address])))
        until(f"streams of {self.name}", lambda: all(stream.at for stream in self.streams))

    def note(self, what: str, number: float) -> None:
        """Keep a result of this round."""
        self.results.setdefault(what, []).append(number)


def publish(connection: http.client.HTTPConnection, body: str, kind: str = "application/json") -> None:
    """One request. Raises RuntimeError."""
    connection.request("POST", "/publish", body, {"Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(text.decode())


def single(setup: Setup, seconds: float) -> None:
    """Milliseconds of a publish, median."""
    connection, times, end = http.client.HTTPConnection(setup.brokers[0].address), list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        publish(connection, '{"topic": "news", "data": "a message of some words"}')
        times.append(time.monotonic() - begin)
    setup.note("single, ms", statistics.median(times) * 1000)


def many(setup: Setup, seconds: float) -> None:
    """Messages a second of WRITERS connections, spread over the brokers."""
    counts, end = [0] * WRITERS, time.monotonic() + seconds

    def write(at: int) -> None:
        connection = http.client.HTTPConnection(setup.brokers[at % len(setup.brokers)].address)
        while time.monotonic() < end:
            publish(connection, '{"topic": "news", "data": "a message of some words"}')
            counts[at] += 1

    threads = [threading.Thread(target=write, args=(at,)) for at in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    setup.note("16 writers, messages/s", sum(counts) / seconds)


def batches(setup: Setup, seconds: float) -> None:
    """Messages a second in batches."""
    connection = http.client.HTTPConnection(setup.brokers[0].address)
    body = "\n".join(json.dumps({"topic": "news", "data": f"a message of some words {at}"}) for at in range(LINES))
    count, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        publish(connection, body, "application/x-ndjson")
        count += LINES
    setup.note("batches, messages/s", count / (time.monotonic() - begin))


def fan_out(setup: Setup, seconds: float) -> None:
    """Milliseconds until all streams have a message, median."""
    connection, times, end = http.client.HTTPConnection(setup.brokers[0].address), list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        have = [len(stream.texts) for stream in setup.streams]
        begin = time.monotonic()
        publish(connection, '{"topic": "seen", "data": "news"}')
        while any(len(stream.texts) == before for stream, before in zip(setup.streams, have, strict=True)):
            time.sleep(0.0002)
        times.append(time.monotonic() - begin)
    setup.note("publish to last of 20 streams, ms", statistics.median(times) * 1000)


def start_again(setup: Setup, seconds: float) -> None:
    """Seconds from the start of the last broker to its readiness."""
    broker = setup.brokers[-1]
    broker.stop()
    begin = time.monotonic()
    broker.launch()
    broker.wait_ready(120.0)
    setup.note("start, s", time.monotonic() - begin)


MEASURES: Final[tuple[Callable[[Setup, float], None], ...]] = (single, many, batches, fan_out)


def main() -> None:
    """Run it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newswire-engines-") as folder, ExitStack() as stack:
        setups = make(Path(folder), stack)
        for setup in setups:
            setup.start(stack)
        for _ in range(options.rounds):
            for measure in MEASURES:
                for setup in setups:
                    measure(setup, options.seconds)
        for setup in setups:
            start_again(setup, 0.0)
        print("| |", " | ".join(setup.name for setup in setups), "|")
        print("|---|" + "---|" * len(setups))
        for what in setups[0].results:
            print(f"| {what} |", " | ".join(f"{statistics.median(setup.results[what]):,.1f}" for setup in setups), "|")


def make(folder: Path, stack: ExitStack) -> list[Setup]:
    """One, two and three brokers that replicate; two gateways to one NATS server and to three."""
    setups = []
    for count in (1, 2, 3):
        ports = free_ports(count)
        home = folder / f"x{count}"
        brokers = [
            Broker(str(1001 + at), port, home, peers=[p for p in ports if p != port], primary=not at)
            for at, port in enumerate(ports)
        ]
        setups.append(Setup(f"embedded x{count}", brokers, home))
    for count in (1, 3):
        servers = NatsServers(folder / f"nats{count}", count).start()
        stack.callback(servers.end)
        words = ["--engine", "jetstream", "--nats", ",".join(servers.urls), "--nats-monitor", ",".join(servers.monitors)]
        home = folder / f"r{count}"
        brokers = [Broker(str(1001 + at), port, home, primary=not at, options=words) for at, port in enumerate(free_ports(2))]
        setups.append(Setup(f"JetStream R{count}, 2 gateways", brokers, home))
    return setups


if __name__ == "__main__":
    main()
