"""What a publish costs and how many go through, and who is served while a broker is saturated: of one checkout, or of two.

`--before PATH` names another checkout, whose brokers run in turn with those of this one, so that both meet the same load of the
machine. Two tables come out, ready for docs/results.md:

- publishes: one broker on one core and on two, two brokers (each message on both disks); 1, 8, 64 and 1,000 connections that
  are kept alive, each of which sends its next message when the last was answered. CPU is of all brokers together, user and
  system, from /proc; so are the changes of threads. Both hardly depend on what else runs; messages a second do.
- starvation: two brokers, of which the first is saturated with publishes; how long its /livez takes, and a publish at the
  other one. Nobody waits for its turn in the client: probes have a process of their own.

The load comes from two processes that do nothing but poll, send and receive: some 40 µs a message, nearly all of it the
kernel's. Where the broker has one core, they have the other. A measurement begins after a second of warming up.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Final, NamedTuple

from brokers import Broker, Failed, free_ports, wait_in_sync

ROOT: Final = Path(__file__).resolve().parent.parent
CONNECTIONS: Final = (1, 8, 64, 1_000)
SATURATING: Final = (0, 64, 1_000)
WARM_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = (1.5, 1 / 500)  # until a load is there, on a busy machine: for its processes, and for each connection
PROBE_SECONDS: Final = 0.02  # between two probes
TIMEOUT_SECONDS: Final = 30.0
TEXTS: Final = 64  # different messages, so that no cache of one text counts

Setup = tuple[str, int, Sequence[int]]  # its name, how many brokers, the cores that they may use
SETUPS: Final[tuple[Setup, ...]] = (("1 broker, 1 core", 1, (0,)), ("1 broker, 2 cores", 1, (0, 1)), ("2 brokers", 2, (0, 1)))

_spawn: Final = multiprocessing.get_context("spawn")


class Checkout(NamedTuple):
    """A tree of sources, and what it is called in the tables."""

    name: str
    root: Path


class CheckoutBroker(Broker):
    """A broker of a checkout, on some cores. It runs in this Python, with the sources of its own."""

    def __init__(self, checkout: Checkout, cores: Sequence[int], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prefix = ["taskset", "-c", ",".join(map(str, cores)), "env", f"PYTHONPATH={checkout.root / 'src'}"]

    def command(self) -> list[str]:
        return [*self._prefix, *super().command()]


# -- the load ---------------------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """When to measure, by time.monotonic(), which all processes share."""

    begin: float
    end: float


class Outcome(NamedTuple):
    """Of a load or a probe: seconds of each request, how many failed, how many are on fewer disks than they might be.

    `cost`: seconds of processor that a request took of the client.
    """

    seconds: list[float]
    failed: int
    fewer: int = 0
    cost: float = 0.0


def text(number: int) -> bytes:
    """A request that publishes 150 bytes."""
    body = b'{"topic": "news.t%d", "data": "%s"}' % (number % 20, f"{number} ".ljust(150, "x").encode())
    head = b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


LIVEZ: Final = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def connect(port: int) -> socket.socket:
    """One connection."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def is_whole(answer: bytes) -> bool:
    """Say whether all of an answer is there."""
    end = answer.find(b"\r\n\r\n")
    at = answer.find(b"Content-Length: ", 0, end) + 16
    return end >= 0 and len(answer) >= end + 4 + int(answer[at : answer.find(b"\r", at)])


def publish(port: int, connections: int, copies: int, span: Span, core: int | None, result: Queue[Outcome]) -> None:
    """So many connections that publish until the span is over. A process."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    texts = [text(number) for number in range(TEXTS)]
    copies_text, status_line = b'"copies":%d' % copies, b"HTTP/1.1 200 "
    poll = select.epoll()
    socks = {sock.fileno(): sock for sock in (connect(port) for _ in range(connections))}
    for fd, sock in socks.items():
        sock.setblocking(False)
        poll.register(fd, select.EPOLLIN)
    time.sleep(max(0.0, span.begin - WARM_SECONDS - time.monotonic()))
    sent_at, parts = {}, dict.fromkeys(socks, b"")
    for number, (fd, sock) in enumerate(socks.items()):
        sent_at[fd] = time.monotonic()
        sock.send(texts[number % TEXTS])
    seconds: list[float] = []
    failed = fewer = number = 0
    began = time.process_time()
    while (now := time.monotonic()) < span.end and socks:
        for fd, _ in poll.poll(0.1):
            answer = parts[fd] + socks[fd].recv(65_536)
            if not is_whole(answer):
                parts[fd] = answer
                if not answer:  # closed
                    failed += 1
                    poll.unregister(fd)
                    socks.pop(fd).close()
                continue
            parts[fd] = b""
            now = time.monotonic()
            if span.begin <= now < span.end:
                seconds.append(now - sent_at[fd])
                failed += not answer.startswith(status_line)
                fewer += copies_text not in answer
            number += 1
            sent_at[fd] = now
            socks[fd].send(texts[number % TEXTS])
    result.put(Outcome(seconds, failed, fewer, (time.process_time() - began) / max(1, number)))


def probe(port: int, request: bytes, span: Span, result: Queue[Outcome]) -> None:
    """One request after the other, with a pause between, until the span is over. A process."""
    seconds: list[float] = []
    failed = 0
    sock = connect(port)
    while (began := time.monotonic()) < span.end:
        answer = b""
        sock.sendall(request)
        while not is_whole(answer):
            answer += sock.recv(65_536) or _closed()
        if began >= span.begin:
            seconds.append(time.monotonic() - began)
            failed += not answer.startswith(b"HTTP/1.1 200 ")
        time.sleep(PROBE_SECONDS)
    result.put(Outcome(seconds, failed))


def _closed() -> bytes:
    raise OSError("the broker closed the connection")


class Running:
    """Processes that send requests during one span."""

    def __init__(self, seconds: float, connections: int) -> None:
        base, each = CONNECT_SECONDS
        begin = time.monotonic() + base + each * connections + WARM_SECONDS
        self.span = Span(begin, begin + seconds)
        self._started: list[tuple[SpawnProcess, Queue[Outcome]]] = []

    def load(self, port: int, connections: int, copies: int, core: int | None = None) -> None:
        """Publish from two processes, or one where there is one connection."""
        shares = [connections // 2, connections - connections // 2]
        for share in filter(None, shares):
            self._start(publish, port, share, copies, self.span, core)

    def probe(self, port: int, request: bytes) -> None:
        """Ask now and then."""
        self._start(probe, port, request, self.span)

    def _start(self, target: Any, *arguments: Any) -> None:
        result: Queue[Outcome] = _spawn.Queue()
        process = _spawn.Process(target=target, args=(*arguments, result), daemon=True)
        process.start()
        self._started.append((process, result))

    def outcomes(self) -> list[Outcome]:
        """What each process saw, in the order in which they were begun."""
        outcomes = [result.get(timeout=TIMEOUT_SECONDS) for _, result in self._started]
        for process, _ in self._started:
            process.join(TIMEOUT_SECONDS)
        return outcomes


# -- what a broker used ---------------------------------------------------------------------------------------------


class Usage(NamedTuple):
    """Of some brokers so far: seconds of processors, and how often a thread went to sleep."""

    seconds: float
    switches: int


def usage(brokers: Iterable[Broker]) -> Usage:
    """What they used so far."""
    seconds, switches = 0.0, 0
    for broker in brokers:
        if broker.process is None:
            raise Failed(f"broker {broker.id} is gone")
        folder = Path(f"/proc/{broker.process.pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        for status in folder.glob("task/*/status"):
            switches += int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return Usage(seconds, switches)


def wait_until(moment: float) -> None:
    """Sleep until a moment of time.monotonic()."""
    time.sleep(max(0.0, moment - time.monotonic()))


@contextmanager
def cluster(checkout: Checkout, count: int, cores: Sequence[int], folder: Path | None) -> Iterator[list[CheckoutBroker]]:
    """So many brokers, in sync."""
    with tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=folder) as home:
        ports = free_ports(count)
        brokers = [
            CheckoutBroker(
                checkout, cores, f"100{i + 1}", ports[i], Path(home), peers=[p for p in ports if p != ports[i]], primary=i == 0
            )
            for i in range(count)
        ]
        try:
            for broker in brokers:
                broker.launch()
            for broker in brokers:
                broker.wait_ready()
            if count > 1:
                wait_in_sync(brokers)
            yield brokers
        finally:
            for broker in brokers:
                broker.kill9()


# -- the tables -----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One measurement of publishes."""

    a_second: float
    cpu: float  # µs a message
    switches: float  # a message
    client: float  # µs a message
    median: float  # ms
    p99: float  # ms
    failed: int
    fewer: int


def measure(brokers: Sequence[CheckoutBroker], connections: int, seconds: float, core: int | None) -> Row:
    """Saturate the first of the brokers with so many connections."""
    running = Running(seconds, connections)
    running.load(brokers[0].port, connections, len(brokers), core)
    wait_until(running.span.begin)
    before = usage(brokers)
    wait_until(running.span.end)
    after = usage(brokers)
    outcomes = running.outcomes()
    times = [1_000 * one for outcome in outcomes for one in outcome.seconds]
    count = max(1, len(times))
    return Row(
        a_second=len(times) / seconds,
        cpu=1e6 * (after.seconds - before.seconds) / count,
        switches=(after.switches - before.switches) / count,
        client=1e6 * statistics.mean(outcome.cost for outcome in outcomes),
        median=quantile(times, 50),
        p99=quantile(times, 99),
        failed=sum(outcome.failed for outcome in outcomes),
        fewer=sum(outcome.fewer for outcome in outcomes),
    )


def quantile(times: Sequence[float], percent: int) -> float:
    """The time below which so many of a hundred are."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)] if times else float("nan")


def publish_table(checkouts: Sequence[Checkout], options: argparse.Namespace) -> None:
    """Measure publishes, and print the medians of all rounds."""
    rows: dict[tuple[str, int, str], list[Row]] = {}
    for name, count, cores in SETUPS:
        for _ in range(options.rounds):
            for checkout in checkouts:
                with cluster(checkout, count, cores, options.dir) as brokers:
                    for connections in options.connections:
                        row = measure(brokers, connections, options.seconds, 1 if len(cores) == 1 else None)
                        rows.setdefault((name, connections, checkout.name), []).append(row)
                        say(f"{name}, {connections} connections, {checkout.name}: {row.a_second:,.0f}/s, {row.cpu:.0f} µs")
    columns = "messages/s,CPU µs,thread changes,client µs,median ms,p99 ms,errors,copies < n".split(",")
    head("brokers", "connections", "checkout", *columns)
    order = [name for name, _, _ in SETUPS]
    for (name, connections, of), cells in sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        middle = Row(*(statistics.median(column) for column in zip(*cells, strict=True)))
        numbers = [f"{middle.a_second:,.0f}", f"{middle.cpu:,.0f}", f"{middle.switches:.1f}", f"{middle.client:.0f}"]
        times = [f"{middle.median:.1f}", f"{middle.p99:.1f}"]
        faults = [str(sum(row.failed for row in cells)), str(sum(row.fewer for row in cells))]
        line(name, f"{connections:,}", of, *numbers, *times, *faults)


def starvation_table(checkouts: Sequence[Checkout], options: argparse.Namespace) -> None:
    """Saturate one of two brokers, and print how long others wait: all rounds together."""
    rows: dict[tuple[int, str, str], list[Outcome]] = {}
    for _ in range(options.rounds):
        for checkout in checkouts:
            with cluster(checkout, 2, (0, 1), options.dir) as brokers:
                for connections in SATURATING:
                    running = Running(options.seconds, connections)
                    running.probe(brokers[0].port, LIVEZ)
                    running.probe(brokers[1].port, text(0))
                    running.load(brokers[0].port, connections, 2)
                    livez, other, *_ = running.outcomes()
                    for what, outcome in (("/livez at the saturated one", livez), ("a publish at the other", other)):
                        rows.setdefault((connections, what, checkout.name), []).append(outcome)
                        took = 1_000 * quantile(outcome.seconds, 50)
                        say(f"{connections} connections, {checkout.name}, {what}: {took:.1f} ms")
    print()
    head("saturated by", "what", "checkout", "median ms", "p99 ms", "max ms", "count", "errors")
    for (connections, what, name), outcomes in sorted(rows.items(), key=lambda item: item[0][:2]):
        times = [1_000 * one for outcome in outcomes for one in outcome.seconds]
        errors = str(sum(outcome.failed for outcome in outcomes))
        line(f"{connections:,}", what, name, *(f"{quantile(times, at):.1f}" for at in (50, 99, 100)), f"{len(times):,}", errors)


def head(*names: str) -> None:
    """The first lines of a table."""
    line(*names)
    line(*("---" for _ in names))


def line(*cells: str) -> None:
    """One line of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def say(what: str) -> None:
    """Show how far it is, with the load of the machine."""
    print(f"{what} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)


TABLES: Final = {"publish": publish_table, "starvation": starvation_table}


def main() -> int:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench_publish", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("tables", nargs="*", default=list(TABLES), help=f"of {', '.join(TABLES)}; all")
    parser.add_argument("--before", type=Path, default=None, help="another checkout to compare with")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is repeated, in turn")
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    parser.add_argument("--dir", type=Path, default=None, help="where to make temporary directories: the disk to measure")
    options = parser.parse_args()
    checkouts = [Checkout("before", options.before.resolve())] if options.before else []
    checkouts.append(Checkout("after" if checkouts else "this", ROOT))
    if (os.cpu_count() or 1) < 2:
        print("two cores are needed", file=sys.stderr)
        return 1
    print(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}Z, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    try:
        for name in options.tables:
            TABLES[name](checkouts, options)
    except (Failed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
