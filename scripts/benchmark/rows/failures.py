"""Starts, and what clients see of a broker that dies."""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmark.clients import Client
from benchmark.machine import CORES, children_seconds, processor_seconds, resident_bytes
from benchmark.report import Figures, median
from benchmark.rows.declared import SHARED, Measure, Row, Sizes, only_newswire
from benchmark.services import READY_SECONDS, System, pid_of
from brokers import wait_in_sync
from newswire.core.model import ops
from newswire.core.model.ops import Began, Published
from newswire.engine.embedded.ops_file import OpsFile

ORIGIN = "1001-k3f9x2qa"
START_MS = 1_700_000_000_000
TOPICS = 50
SYNC_MESSAGES = 1_000


@functools.cache
def written(messages: int, folder: Path | None, starts: int = 0) -> tempfile.TemporaryDirectory[str]:
    """An ops file of so many messages, each as the library sends it, with a key of its own; before them the broker was started
    so often, and took one message each time. It goes when the program ends.
    """
    home = tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=folder)
    file = OpsFile(Path(home.name) / "1001")
    for _ in file.scan():
        raise AssertionError("a new folder holds ops")
    file.start("bench", ORIGIN)
    before: dict[str, int] = {}
    for number in range(starts):
        origin = f"1001-r{number}"
        message = Published(origin, 2, START_MS, topic="news", data="x")
        file.append([ops.encode(Began(origin, 1, START_MS, "1001", before)), ops.encode(message)])
        before = {origin: 2}
    file.append([ops.encode(Began(ORIGIN, 1, START_MS, "1001", before))])
    text = "x" * 150
    for first in range(2, messages + 2, SYNC_MESSAGES):
        sequences = range(first, min(first + SYNC_MESSAGES, messages + 2))
        file.append([_message(sequence, text) for sequence in sequences])
    file.sync()
    file.close()
    return home


def _message(sequence: int, text: str) -> bytes:
    return ops.encode(
        Published(
            ORIGIN,
            sequence,
            START_MS + sequence,
            topic=f"news.t{sequence % TOPICS}",
            data=text,
            key=f"{sequence:032x}",
            publisher="Alice",
        )
    )


def start(records: int, starts: int = 0) -> Measure:
    """Seconds from the start of the process until it is ready: as it is after a crash, and after it was ended in order."""

    def measure(system: System, sizes: Sizes) -> Figures:
        newswire, count = only_newswire(system), int(records * sizes.record_factor)
        source = written(count, newswire.folder, int(starts * sizes.record_factor))
        with newswire.placed([CORES], ("--retention-days", "10000")) as service:  # nothing else is asked of any core
            broker = service.brokers[0]
            shutil.copytree(source.name, broker.ops_dir)
            began = time.monotonic()
            broker.launch()
            broker.wait_ready(READY_SECONDS)
            crashed = time.monotonic() - began
            pid = pid_of(broker)
            used, memory = processor_seconds([pid]) + children_seconds(pid), resident_bytes([pid], "VmHWM")
            broker.stop(READY_SECONDS)
            began = time.monotonic()
            broker.launch()
            broker.wait_ready(READY_SECONDS)
            stopped = time.monotonic() - began
        return Figures(
            value=crashed,
            cpu=1e6 * used / max(1, count),
            beside={"s after a stop in order": stopped, "MiB": memory / 2**20},
        )

    return measure


def failover(system: System, sizes: Sizes) -> Figures:
    """The longest gap of publishes and of a stream around each kill -9, of clients that use the library."""
    newswire = only_newswire(system)
    publishes: list[float] = []
    streams: list[float] = []
    with (
        newswire.brokers(SHARED) as service,
        Client(newswire.root, CORES, "watch", service.addresses, "watcher", "news.live") as client,
    ):
        client.line()
        kills: list[float] = []
        for turn in range(sizes.kills):
            broker = service.brokers[turn % 2]
            time.sleep(sizes.between_kills_seconds / 2)
            kills.append(time.monotonic())
            broker.kill9()
            time.sleep(sizes.between_kills_seconds)
            broker.launch()
            wait_in_sync(service.brokers)
        client.end()
        outcome = client.line()
        for kill in kills:
            publishes.append(longest(outcome["answered"], kill, sizes.between_kills_seconds))
            streams.append(longest(outcome["came"], kill, sizes.between_kills_seconds))
    return Figures(
        value=median(publishes) or 0.0,
        beside={
            "ms at most": max(publishes),
            "ms of the stream": median(streams) or 0.0,
            "ms of the stream at most": max(streams),
        },
    )


def longest(moments: list[float], kill: float, seconds: float) -> float:
    """The longest time between two of `moments`, in ms, of those around a kill; all of it, if there are none."""
    around = [at for at in moments if kill - 0.1 < at < kill + seconds]
    return 1e3 * max((later - earlier for earlier, later in pairwise(around)), default=seconds)


ROWS: Final = (
    Row("start-1m", "table starts", "a start, 1 M records", "s", start(1_000_000)),
    Row("start-5m", "table starts", "a start, 5 M records", "s", start(5_000_000), rounds=1),
    Row("start-starts", "starts", "a start, 1,000 records after 100,000 starts", "s", start(1_000, 100_000)),
    Row("failover", "table failover", "kill -9: longest gap of publishes", "ms", failover),
)
