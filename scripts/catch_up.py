"""A new third broker joins two that hold many messages and serve: how long until it has all, how many bytes, how much work.

    scripts/catch_up                                  1,000,000 messages of 150 bytes
    scripts/catch_up --messages 100000                sooner
    scripts/catch_up --source CHECKOUT                brokers of another checkout, as one from before pushes were compressed

Two brokers are filled with batches. Then one message every 50 ms is published at the first (its latency is told, before and
while the third catches up), and a subscriber reads a stream of the second. The third is started on an empty folder; it has all
when the others call it up and lacking nothing; in the end all three are asked how many messages they hold. Bytes are those of a
loopback interface that the run has for itself (Linux, as root), with the headers of TCP, less what flows in the same time
without the third; elsewhere they are not told. The status is 1 if a message is missing at any broker.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from brokers import UNREACHABLE, Broker, Failed, free_ports, get, post, rows, until, wait_in_sync
from newswire import sse

BATCH: Final = 1_000
TOPICS: Final = 20
PROBE_SECONDS: Final = 0.05
QUIET_SECONDS: Final = 10.0  # of load without the third
MOST_SECONDS: Final = 1_800.0
WORDS: Final = 3_000


class Texts:
    """Texts of words that are as frequent as in a language."""

    def __init__(self, size: int) -> None:
        chance = random.Random(5)
        letters = "abcdefghijklmnoprstuvwz"
        words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(WORDS)]
        weights = [1 / rank for rank in range(1, WORDS + 1)]
        self._pool = " ".join(chance.choices(words, weights, k=200_000))
        self._size, self._chance = size, chance

    def next(self) -> str:
        """Another one."""
        at = self._chance.randrange(len(self._pool) - self._size)
        return self._pool[at : at + self._size]


class Source(Broker):
    """A broker of a checkout."""

    def __init__(self, source: Path | None, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._source = source

    def command(self) -> list[str]:
        """What starts it."""
        path = ["env", f"PYTHONPATH={self._source / 'src'}"] if self._source is not None else []
        return [*path, *super().command()]

    def cpu_seconds(self) -> float:
        """What it has used of the processors."""
        pid = self.process.pid if self.process is not None else 0
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Probe(threading.Thread):
    """Publishes one message after the other, and keeps how long each took."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection(address, timeout=30.0)
        self.end = threading.Event()
        self.milliseconds: list[float] = []

    def run(self) -> None:
        """Until `end`."""
        while not self.end.wait(PROBE_SECONDS):
            began = time.perf_counter()
            body = json.dumps({"topic": "probe", "data": "x"})
            self._connection.request("POST", "/publish", body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            response.read()
            if response.status != 200:
                raise Failed(f"a publish was answered with {response.status}")
            self.milliseconds.append((time.perf_counter() - began) * 1000)

    def take(self) -> str:
        """Median and p99 since the last time, in words."""
        taken, self.milliseconds = sorted(self.milliseconds), []
        return f"{taken[len(taken) // 2]:.0f} / {taken[len(taken) * 99 // 100]:.0f} ms, {taken[-1]:.0f} at most"


class Subscriber(threading.Thread):
    """Reads the stream of the probe's topic, and counts."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection(address, timeout=30.0)
        self.count = 0

    def run(self) -> None:
        """Until the broker ends."""
        self._connection.request("GET", f"/stream?{urlencode({'username': 'reader'})}")
        response = self._connection.getresponse()
        reader = sse.EventReader()
        with contextlib.suppress(*UNREACHABLE):  # it is killed in the end
            while received := response.read1(65_536):
                self.count += sum(event.data == "x" for event in reader.feed(received))


def fill(address: str, count: int, texts: Texts) -> None:
    """Publish `count` messages in batches."""
    connection = http.client.HTTPConnection(address, timeout=60.0)
    for first in range(0, count, BATCH):
        lines = [
            json.dumps({"topic": f"load.t{n % TOPICS}", "data": texts.next(), "key": f"k{n}-{random.random():.12f}"})
            for n in range(first, min(first + BATCH, count))
        ]
        connection.request("POST", "/publish", "\n".join(lines).encode(), {"Content-Type": "application/x-ndjson"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise Failed(f"a batch was answered with {response.status}: {answer[:200]!r}")


def loopback_bytes() -> int | None:
    """What the loopback interface has carried; None if it is not ours alone."""
    if "CATCH_UP_APART" not in os.environ:
        return None
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[0])


def messages_at(address: str) -> int:
    """How many messages of the load a broker holds."""
    return sum(row["messages"] for row in get(address, "/topics") if row["topic"].startswith("load."))


def is_up(at: Broker, id: str) -> bool:
    """Whether a broker calls another one up and lacking nothing."""
    row = rows(at.address).get(id)
    return row is not None and row["state"] == "up" and row["lag"] == 0


def run(home: Path, count: int, size: int, source: Path | None) -> int:
    """The whole of it; the exit code."""
    ports = free_ports(3)
    first = Source(source, "1001", ports[0], home, peers=[ports[1]], primary=True)
    second = Source(source, "1002", ports[1], home, peers=[ports[0]])
    third = Source(source, "1003", ports[2], home, peers=ports[:2])
    brokers = [first, second, third]
    try:
        for broker in brokers[:2]:
            broker.start()
        wait_in_sync(brokers[:2])
        post(first.address, "/subscribe", username="reader", topic="probe")
        began = time.monotonic()
        fill(first.address, count, Texts(size))
        print(f"filled with {count:,} messages of {size} bytes in {time.monotonic() - began:.0f} s")
        until("both hold all", lambda: is_up(first, "1002") and is_up(second, "1001"), MOST_SECONDS)
        probe, subscriber = Probe(first.address), Subscriber(second.address)
        subscriber.start()
        probe.start()
        time.sleep(2.0)
        probe.take()
        before = loopback_bytes()
        time.sleep(QUIET_SECONDS)
        after = loopback_bytes()
        quiet_rate = (after - before) / QUIET_SECONDS if before is not None and after is not None else 0.0
        print(f"publish p50 / p99 before: {probe.take()}")
        used = [broker.cpu_seconds() for broker in brokers[:2]]
        before, began = loopback_bytes(), time.monotonic()
        third.launch()
        until("the third has all", lambda: is_up(first, "1003") and is_up(second, "1003"), MOST_SECONDS)
        seconds = time.monotonic() - began
        after = loopback_bytes()
        print(f"the third has all after {seconds:.1f} s: {count / seconds:,.0f} messages a second")
        print(f"publish p50 / p99 meanwhile: {probe.take()}")
        if before is not None and after is not None:
            moved = after - before - quiet_rate * seconds
            print(f"bytes on the wire: {moved:,.0f}, {moved / count:.0f} a message")
        each = [broker.cpu_seconds() - at for broker, at in zip(brokers, [*used, 0.0], strict=True)]
        print("processor, s: " + ", ".join(f"{broker.id} {one:.1f}" for broker, one in zip(brokers, each, strict=True)))
        until("the third serves", third.is_ready, 60.0)
        probe.end.set()
        probe.join()
        published = len(probe.milliseconds)
        until("the subscriber has read on", lambda: subscriber.count >= published, 30.0)
        held = [messages_at(broker.address) for broker in brokers]
        print(f"messages held: {held}")
        return 0 if held == [count] * 3 else 1
    finally:
        for broker in brokers:
            broker.kill9()


def main(arguments: Sequence[str]) -> int:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=150, help="of each text")
    parser.add_argument("--source", type=Path, help="a checkout whose brokers are run")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="catch-up-") as home:
        return run(Path(home), options.messages, options.bytes, options.source)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
