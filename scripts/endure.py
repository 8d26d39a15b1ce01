"""Run two brokers for long under a steady load, with few messages kept, and see that disk and memory stay flat.

    scripts/endure                                    1,000,000 messages at 5,000 a second, killed once a minute
    scripts/endure --messages 20000000                over an hour
    scripts/endure --rate 20000 --kill-seconds 20     faster
    scripts/endure --without-keys                     a message with a key stays for a day, however few are kept
    scripts/endure --json FILE                        the curve for programs

A publisher sends batches of 100 messages, with keys, on the first broker, or on the other while that is away, and sends a batch
again until it is answered. A subscriber reads everything from a stream, at whichever broker answers, and counts each number.
A second publisher asks for one message every 50 ms: its latency is the one that is told, apart for the time in which a broker
compacts its log. Every `--kill-seconds` one of the brokers is killed (kill -9), in turns, and started again two seconds later.
The brokers are started on free ports with folders of their own, and end with the run.

It prints a row for each twentieth of the run. The status is 1 if a message that was acknowledged did not come, if one was told
to be dropped before it came, or if disk or memory are not flat: if the most of the last quarter is over `MOST_GROWTH` times the
most of the second.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import re
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from brokers import UNREACHABLE, Broker, Failed, ask, free_ports, post, until, wait_in_sync
from newswire import sse

BATCH: Final = 100
TOPICS: Final = 20
TIMEOUT_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 0.05
SAMPLE_SECONDS: Final = 2.0
DOWN_SECONDS: Final = 2.0
AFTER_SECONDS: Final = 120.0  # that the subscriber may need after the last message
ROWS: Final = 20
MOST_GROWTH: Final = 1.25
CONTEXT: Final = multiprocessing.get_context("spawn")


# -- the load: each in a process of its own -------------------------------------------------------------------------


class Anywhere:
    """A connection to one of the brokers; to the other when it fails."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, kind: str, body: bytes) -> bytes:
        """Publish until it is answered with 200; the body."""
        while True:
            with contextlib.suppress(*UNREACHABLE):
                address = f"127.0.0.1:{self._ports[0]}"
                self._connection = self._connection or http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
                self._connection.request("POST", "/publish", body, {"Content-Type": kind})
                response = self._connection.getresponse()
                answer = response.read()
                if response.status == 200:
                    return answer
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._ports.append(self._ports.pop(0))
            time.sleep(0.02)


def publish(ports: Sequence[int], count: int, rate: float, with_keys: bool, stored: Queue[int]) -> None:
    """Publish `count` messages, numbered, `rate` a second; tell `stored` how many are acknowledged, all 100 batches."""
    there = Anywhere(ports)
    start = time.monotonic()
    for first in range(0, count, BATCH):
        lines = [
            json.dumps(
                {"topic": f"load.t{n % TOPICS}", "data": f"{n} ".ljust(120, "x")} | ({"key": f"n{n}"} if with_keys else {})
            ).encode()
            for n in range(first, first + BATCH)
        ]
        there.post("application/x-ndjson", b"\n".join(lines))
        if (first // BATCH + 1) % 100 == 0 or first + BATCH >= count:
            stored.put(first + BATCH)
        time.sleep(max(0.0, start + (first + BATCH) / rate - time.monotonic()))


def probe(ports: Sequence[int], ended: Event, latencies: Queue[tuple[float, float]]) -> None:
    """Publish one message after the other; tell when each began (time.time) and how many seconds it took."""
    there = Anywhere(ports)
    number = 0
    while not ended.wait(PROBE_SECONDS):
        began, at = time.perf_counter(), time.time()
        number += 1
        there.post("application/json", json.dumps({"topic": "probe", "data": str(number)}).encode())
        latencies.put((at, time.perf_counter() - began))


def read(ports: Sequence[int], count: int, news: Queue[dict[str, Any]]) -> None:
    """Read the stream of `auditor` until all numbers have come; tell every second how many have, and each gap at once."""
    seen, distinct, repeats, last_id, turn, told = bytearray(count), 0, 0, "", 0, 0.0
    while distinct < count:
        address = f"127.0.0.1:{ports[turn % len(ports)]}"
        turn += 1
        connection = http.client.HTTPConnection(address, timeout=15.0)
        with contextlib.suppress(*UNREACHABLE):
            headers = {"Last-Event-ID": last_id} if last_id else {}
            connection.request("GET", f"/stream?{urlencode({'username': 'auditor'})}", headers=headers)
            response = connection.getresponse()
            reader = sse.EventReader(last_id)
            while distinct < count and response.status == 200 and (received := response.read1(262_144)):
                for event in reader.feed(received):
                    if event.name == "gap":
                        news.put({"gap": event.data})
                    elif event.id and event.data != sse.GREETING:
                        last_id = event.id
                        number = int(event.data.partition(" ")[0])
                        repeats += seen[number]
                        distinct += not seen[number]
                        seen[number] = 1
                if time.monotonic() > told + 1.0:
                    told = time.monotonic()
                    news.put({"distinct": distinct, "repeats": repeats})
        connection.close()
        time.sleep(0.05)
    news.put({"distinct": distinct, "repeats": repeats})


# -- what is seen of the brokers ------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """The brokers at one moment: bytes, the first broker's before the second's; 0 of one that is down."""

    at: float  # time.time
    stored: int
    disk: tuple[int, ...]
    memory: tuple[int, ...]
    compacting: bool


def disk_of(broker: Broker) -> int:
    """Bytes of its ops directory."""
    size = 0
    for path in broker.ops_dir.rglob("*"):
        with contextlib.suppress(OSError):  # it goes while it is looked at
            size += path.stat().st_blocks * 512
    return size


def memory_of(broker: Broker) -> int:
    """Bytes that its process holds in memory now."""
    try:
        text = Path(f"/proc/{broker.process.pid}/status").read_text() if broker.process else ""
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def metrics_of(broker: Broker) -> dict[str, float]:
    """The numbers of `GET /metrics` that have no labels; {} while it does not answer."""
    try:
        text = ask(broker.address, "GET", "/metrics", timeout=5.0).body.decode()
    except UNREACHABLE:
        return {}
    return {name: float(value) for name, value in re.findall(r"^(newswire_\w+) ([0-9.e+-]+)$", text, re.MULTILINE)}


class Latency(NamedTuple):
    """Of one publish: when it began (time.time), how long it took, and whether a broker compacted its log then."""

    at: float
    seconds: float
    compacting: bool


class Watch:
    """What is known of the run."""

    def __init__(self, brokers: Sequence[Broker]) -> None:
        self.brokers = brokers
        self.stored = self.distinct = self.repeats = self.kills = 0
        self.compactions = 0  # of runs that were killed, too
        self.gaps: list[str] = []
        self.samples: list[Sample] = []
        self.latencies: list[Latency] = []
        self._counted = [0.0 for _ in brokers]

    def sample(self) -> None:
        """Look at the brokers now."""
        compacting = False
        for at, broker in enumerate(self.brokers):
            numbers = metrics_of(broker)
            compacting = compacting or bool(numbers.get("newswire_compacting"))
            count = numbers.get("newswire_compactions_total", 0.0)
            self.compactions += int(max(0.0, count - self._counted[at]))
            self._counted[at] = count
        disk, memory = tuple(map(disk_of, self.brokers)), tuple(map(memory_of, self.brokers))
        self.samples.append(Sample(time.time(), self.stored, disk, memory, compacting))

    def row(self, since: float) -> str:
        """A row of the table: what was seen since then."""
        samples = [sample for sample in self.samples if sample.at >= since]
        sizes = [size for what in ("disk", "memory") for size in zip(*(getattr(s, what) for s in samples), strict=True)]
        cells = [f"{self.stored:,}", self.kills, self.compactions, *(max(size) // 2**20 for size in sizes)]
        times = [self.percentiles(since, compacting=compacting) for compacting in (False, True)]
        return f"| {' | '.join(map(str, [*cells, *times]))} |"

    def percentiles(self, since: float, *, compacting: bool) -> str:
        """p50 / p99 in ms of the single publishes, of the time in which a broker compacts, or of the rest."""
        ms = sorted(1_000 * one.seconds for one in self.latencies if one.at >= since and one.compacting is compacting)
        return f"{ms[len(ms) // 2]:.0f} / {ms[len(ms) * 99 // 100]:.0f}" if ms else "-"

    def growth(self) -> dict[str, float]:
        """By what: the most of the last quarter of the run over the most of the second."""
        count = len(self.samples)
        second, last = self.samples[count // 4 : count // 2], self.samples[count * 3 // 4 :]
        return {
            f"{what} of broker {broker.id}": max(getattr(s, what)[at] for s in last)
            / max(1, *(getattr(s, what)[at] for s in second))
            for what in ("disk", "memory")
            for at, broker in enumerate(self.brokers)
        }


# -- the run --------------------------------------------------------------------------------------------------------


def kill_in_turns(watch: Watch, every: float, ended: threading.Event) -> None:
    """Kill a broker, in turns, and start it again, until ended."""
    turn = 0
    while every and not ended.wait(every):
        broker = watch.brokers[turn % len(watch.brokers)]
        turn += 1
        broker.kill9()
        watch.kills += 1
        ended.wait(DOWN_SECONDS)
        broker.start()
        with contextlib.suppress(Failed):
            wait_in_sync(watch.brokers, every)


def run(told: argparse.Namespace, folder: Path) -> int:
    """The run; its status."""
    ports = free_ports(2)
    keeps = ["--retention-messages", str(max(1, told.retention // TOPICS))]
    brokers = [
        Broker(f"100{i + 1}", ports[i], folder, peers=[ports[1 - i]], primary=i == 0, options=keeps) for i in range(len(ports))
    ]
    watch, ended = Watch(brokers), threading.Event()
    stored: Queue[int] = CONTEXT.Queue()
    latencies: Queue[tuple[float, float]] = CONTEXT.Queue()
    news: Queue[dict[str, Any]] = CONTEXT.Queue()
    all_sent = CONTEXT.Event()
    processes = [
        CONTEXT.Process(target=publish, args=(ports, told.messages, told.rate, not told.without_keys, stored), daemon=True),
        CONTEXT.Process(target=probe, args=(ports, all_sent, latencies), daemon=True),
        CONTEXT.Process(target=read, args=(ports, told.messages, news), daemon=True),
    ]
    killer = threading.Thread(target=kill_in_turns, args=(watch, told.kill_seconds, ended))
    try:
        for broker in brokers:
            broker.launch()
        wait_in_sync(brokers)
        post(brokers[0].address, "/subscribe", username="auditor", topic="load.>")
        print("| stored | kills | compactions | disk MiB: 1001 | 1002 | memory MiB: 1001 | 1002 | p50 / p99 ms | compacting |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for process in processes:
            process.start()
        killer.start()
        began = time.time()
        since, rows = began, 0
        while watch.stored < told.messages:
            time.sleep(SAMPLE_SECONDS)
            watch.sample()
            drain(watch, stored, latencies, news)
            if not processes[0].is_alive() and processes[0].exitcode:
                raise Failed("the publisher ended")
            if watch.stored * ROWS // told.messages > rows:
                rows = watch.stored * ROWS // told.messages
                print(watch.row(since), flush=True)
                since = time.time()
        took = time.time() - began
        ended.set()
        killer.join()

        messages: int = told.messages

        def all_came() -> bool:
            drain(watch, stored, latencies, news)
            return watch.distinct >= messages

        with contextlib.suppress(Failed):
            until("the subscriber has everything", all_came, AFTER_SECONDS)
        return verdict(watch, told, took)
    finally:
        all_sent.set()
        ended.set()
        for process in processes:
            process.terminate()
        if killer.is_alive():
            killer.join()
        for broker in brokers:
            broker.kill9()


def drain(watch: Watch, stored: Queue[int], latencies: Queue[tuple[float, float]], news: Queue[dict[str, Any]]) -> None:
    """Take what the processes have told."""
    while not stored.empty():
        watch.stored = stored.get()
    compacting = any(sample.compacting for sample in watch.samples[-2:])
    while not latencies.empty():
        watch.latencies.append(Latency(*latencies.get(), compacting))
    while not news.empty():
        told = news.get()
        watch.distinct, watch.repeats = told.get("distinct", watch.distinct), told.get("repeats", watch.repeats)
        if "gap" in told:
            watch.gaps.append(told["gap"])


def verdict(watch: Watch, told: argparse.Namespace, took: float) -> int:
    """Say how it went; the status."""
    growth = watch.growth()
    lost = told.messages - watch.distinct
    print(f"\n{told.messages:,} messages in {took:,.0f} s ({told.messages / took:,.0f}/s), {watch.kills} kills, ", end="")
    print(f"{watch.compactions} compactions; {lost} lost, {watch.repeats} came twice, {len(watch.gaps)} gaps told.")
    print("p50 / p99 ms of single publishes:", watch.percentiles(0.0, compacting=False), end="")
    print("; while a broker compacted:", watch.percentiles(0.0, compacting=True))
    print("the most of the last quarter over the most of the second:", ", ".join(f"{k} {v:.2f}" for k, v in growth.items()))
    if told.json:
        content = {"samples": [sample._asdict() for sample in watch.samples], "latencies": watch.latencies, "growth": growth}
        told.json.write_text(json.dumps(content))
    return int(lost > 0 or bool(watch.gaps) or max(growth.values()) > MOST_GROWTH)


def main() -> int:
    """Read the command line; run."""
    parser = argparse.ArgumentParser(prog="scripts/endure", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=1_000_000, help="in all; whole hundreds")
    parser.add_argument("--rate", type=float, default=5_000.0, help="messages a second")
    parser.add_argument("--retention", type=int, default=100_000, help="messages that are kept")
    parser.add_argument("--without-keys", action="store_true", help="what is sent again after a kill comes twice")
    parser.add_argument("--kill-seconds", type=float, default=60.0, help="between two kills; 0: none")
    parser.add_argument("--dir", type=Path, default=None, help="where to make a temporary directory: the disk to use")
    parser.add_argument("--json", type=Path, default=None)
    told = parser.parse_args()
    told.messages = max(BATCH, told.messages // BATCH * BATCH)
    with tempfile.TemporaryDirectory(prefix="newswire-endure-", dir=told.dir) as folder:
        try:
            return run(told, Path(folder))
        except Failed as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
