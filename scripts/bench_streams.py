"""Measure what streams cost the hub's thread, in CPU time, and how long a publish takes beside streams that acknowledge.

One process has the hub, over an engine in memory (`beside`: over one on the disk, in a temporary folder); another one reads
all streams as fast as they come. CPU time says what a thing costs wherever the machine is busy; the times of `beside` do
not. To compare two versions, run this script with both in turns: `PYTHONPATH=OTHER/src scripts/bench_streams`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import select
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newswire.config import Settings
from newswire.core import limits
from newswire.core.model.commands import Publish, Subscribe
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.memory import MemoryEngine
from newswire.stream_order import StreamOrder
from newswire.streams import Hub

POLL_SECONDS = 0.0005
WARM_MESSAGES = 50
PARTS = ("fan-out", "slow", "idle", "opening", "beside")


def read_all(address: tuple[str, int], streams: int) -> None:
    """Open connections and read from all until they are closed."""
    connections = [socket.create_connection(address) for _ in range(streams)]
    by_number = {connection.fileno(): connection for connection in connections}
    poll, buffer = select.epoll(), bytearray(1 << 20)
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    while by_number:
        for number, _ in poll.poll():
            try:
                alive = by_number[number].recv_into(buffer)
            except OSError:
                alive = 0
            if not alive:
                poll.unregister(number)
                by_number.pop(number).close()


class Bench:
    """A hub and its readers. `users`: how many share the streams."""

    def __init__(self, engine: MemoryEngine | EmbeddedEngine, hub: Hub, users: int) -> None:
        self.engine, self.hub, self.users = engine, hub, users
        hub.start()
        thread = next(thread for thread in threading.enumerate() if thread.name == "hub")
        self._clock = time.pthread_getcpuclockid(thread.ident or 0)
        for number in range(users):
            engine.submit([Subscribe(f"user{number}", "news")])

    @property
    def cpu(self) -> float:
        """Seconds that the hub's thread has computed."""
        return time.clock_gettime(self._clock)

    def open(self, sockets: list[socket.socket]) -> None:
        """Have a stream on each, and wait until all are served."""
        for number, sock in enumerate(sockets):
            self.hub.adopt(StreamOrder(f"user{number % self.users}", format="json"), sock, chunked=True)
        while self.hub.count < len(sockets):
            time.sleep(POLL_SECONDS)

    def publish(self, number: int) -> None:
        """A message of 70 bytes to all."""
        self.engine.submit([Publish(topic="news", data=f"{number:10}" + "x" * 60)])

    def wait(self, events: int) -> None:
        """Wait until so many were sent."""
        while self.hub.message_count < events:
            time.sleep(POLL_SECONDS)


@contextmanager
def running(streams: int, *, users: int = 1, on_disk: bool = False) -> Iterator[tuple[Bench, list[socket.socket]]]:
    """A bench, and the sockets of readers that wait for their streams."""
    server = socket.create_server(("127.0.0.1", 0), backlog=streams)
    readers = multiprocessing.get_context("spawn").Process(target=read_all, args=(server.getsockname(), streams), daemon=True)
    readers.start()
    sockets = [server.accept()[0] for _ in range(streams)]
    server.close()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(streams_per_user=streams + 1, ops_dir=Path(folder))
        engine = EmbeddedEngine(settings, on_fatal=lambda error: os._exit(70)) if on_disk else MemoryEngine()
        hub = Hub(engine, settings)
        engine.on_wake(hub.wake)
        if isinstance(engine, EmbeddedEngine):
            engine.start("127.0.0.1:1")
        yield Bench(engine, hub, users), sockets
        hub.stop()
        engine.close()
    readers.join()


def fan_out(streams: int, messages: int, pause: float) -> float:
    """µs of CPU an event; each message is sent to all before the next one is published, `pause` seconds later."""
    with running(streams) as (bench, sockets):
        bench.open(sockets)
        for number in range(WARM_MESSAGES):
            bench.publish(number)
        bench.wait(WARM_MESSAGES * streams)
        start = bench.cpu
        for number in range(messages):
            bench.publish(number)
            bench.wait((WARM_MESSAGES + number + 1) * streams)
            time.sleep(pause)
        return 1e6 * (bench.cpu - start) / (messages * streams)


def idle(streams: int, seconds: float) -> float:
    """Percent of a processor that streams cost to which nothing is sent but keepalives."""
    with running(streams) as (bench, sockets):
        bench.open(sockets)
        time.sleep(limits.KEEPALIVE_SECONDS)
        start, began = bench.cpu, time.monotonic()
        time.sleep(seconds)
        return 100 * (bench.cpu - start) / (time.monotonic() - began)


def opening(streams: int) -> float:
    """µs of CPU to open a stream, of a user who has a hundredth of them."""
    with running(streams, users=100) as (bench, sockets):
        start = bench.cpu
        bench.open(sockets)
        return 1e6 * (bench.cpu - start) / streams


def beside(streams: int, seconds: float) -> list[float]:
    """How long a publish takes, in ms, sorted; 20 a second to streams of as many users, whose receipts move cursors."""
    with running(streams, users=streams, on_disk=True) as (bench, sockets):
        bench.open(sockets)
        times: list[float] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            start = time.monotonic()
            bench.publish(len(times))
            times.append(1e3 * (time.monotonic() - start))
            time.sleep(0.05)
        return sorted(times)


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be given more than once")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    parts, streams, messages, seconds = options.only or PARTS, options.streams, options.messages, options.seconds
    if "fan-out" in parts:
        print(f"fan-out, {messages} messages to {streams} streams: {fan_out(streams, messages, 0.0):.1f} µs of CPU an event")
    if "slow" in parts:
        print(f"20 messages a second to {streams} streams: {fan_out(streams, int(20 * seconds), 0.05):.1f} µs of CPU an event")
    if "idle" in parts:
        print(f"{streams} idle streams: {idle(streams, seconds):.2f} % of a processor")
    if "opening" in parts:
        print(f"{streams} streams are opened: {opening(streams):.0f} µs of CPU each")
    if "beside" in parts:
        times = beside(streams, seconds)
        p50, p99 = statistics.median(times), times[len(times) * 99 // 100]
        print(f"publishes beside {streams} streams that acknowledge: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
