"""Measure two brokers over HTTP: starts them on free ports and a new folder, and prints what clients saw.

Every publish is answered with `copies: 2`, on both disks, or it counts as an error. The clients are one more process on the
same machine, so on few processors they take from the brokers what they measure. `cpu µs` is what
both brokers together used of processors for a message, `client` what the clients did: they say more than the rest where others
use the machine.

- latency     one client, one message after the other on one connection
- publishes   64 connections at once, one message a request
- batches     4 connections at once, 1,000 messages a request
- subscribes  1,000 connections that all open before the first sends: POST /subscribe, each of another user
- publishers  the same with POST /publish (1,000 at once is what must do)
- catchup     one stream that gets all that `batches` has stored, while nothing else happens; a request is 1,000 messages
- client1     the client library: one thread, one message after the other
- client8     8 threads that share one Publisher
- client64    64 threads that do
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

from brokers import Broker, Failed, free_ports, most_memory, wait_in_sync
from newswire.client import Publisher
from newswire.errors import NewswireError

CROWD: Final = 1_000
BATCH: Final = 1_000
TIMEOUT_SECONDS: Final = 60.0

Request = tuple[str, str, bytes]  # path, content type, body


class Client:
    """One kept-alive connection, as cheap as it can be: what it costs is missing to the brokers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def post(self, request: Request) -> tuple[int, bytes]:
        """Status and body of the answer."""
        path, kind, body = request
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        return self._answer()

    def _answer(self) -> tuple[int, bytes]:
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r")[0])
        while len(data) < end + 4 + length:
            data += self._more()
        self._rest = data[end + 4 + length :]
        return int(head[9:12]), data[end + 4 : end + 4 + length]

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise OSError("the broker closed the connection")
        return data

    def close(self) -> None:
        """Leave."""
        self._socket.close()


class Tally:
    """What became of the requests of one measurement."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def time(self, client: Client, request: Request) -> None:
        """Send one request; note how long it took, or what was wrong."""
        began = time.perf_counter()
        try:
            status, body = client.post(request)
        except OSError as error:
            self.errors.append(str(error))
            return
        self.seconds.append(time.perf_counter() - began)
        if status != 200:
            self.errors.append(f"{status} {body.decode(errors='replace')[:200]}")
        elif json.loads(body).get("copies", 2) != 2:
            self.errors.append("one copy only")


def text(number: int) -> bytes:
    """One message as JSON, with a key as a publisher's library gives it."""
    fields = {"topic": f"news.t{number % 20}", "data": f"{number} ".ljust(150, "x"), "key": os.urandom(16).hex()}
    return json.dumps(fields).encode()


def message(number: int) -> Request:
    """One message."""
    return "/publish", "application/json", text(number)


def batch(number: int) -> Request:
    """A batch, as NDJSON."""
    return "/publish", "application/x-ndjson", b"\n".join(text(number + i) for i in range(BATCH))


def subscription(number: int) -> Request:
    """A subscription of a user of its own."""
    form = f"username={quote(f'user{number}')}&topic=news.t{number % 20}"
    return "/subscribe", "application/x-www-form-urlencoded", form.encode()


class Outcome(NamedTuple):
    """Of one measurement: how long each request took, what was wrong, seconds in all, and of processors."""

    seconds: list[float]
    errors: list[str]
    took: float
    used: float


def together(count: int, tally: Tally, run: Callable[[int, threading.Barrier], None]) -> Outcome:
    """`count` threads, which begin together when all have come to the barrier."""
    threading.stack_size(256 * 1024)
    ready = threading.Barrier(count + 1)
    threads = [threading.Thread(target=run, args=(number, ready)) for number in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    began, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    return Outcome(tally.seconds, tally.errors, time.perf_counter() - began, time.process_time() - used)


def crowd(port: int, count: int, requests: Callable[[int], Iterable[Request]]) -> Outcome:
    """`count` clients, each a thread with a connection."""
    tally = Tally()

    def run(number: int, ready: threading.Barrier) -> None:
        sent = list(requests(number))
        client = Client(port)
        ready.wait()
        for request in sent:
            tally.time(client, request)
        client.close()

    return together(count, tally, run)


def shared(port: int, count: int, each: int) -> Outcome:
    """`count` threads that share one Publisher of the library."""
    tally, publisher = Tally(), Publisher(f"127.0.0.1:{port}", copies=2)

    def run(number: int, ready: threading.Barrier) -> None:
        ready.wait()
        for i in range(number, number + each):
            began = time.perf_counter()
            try:
                publisher.publish(f"news.t{i % 20}", f"{i} ".ljust(150, "x"))
                tally.seconds.append(time.perf_counter() - began)
            except NewswireError as error:
                tally.errors.append(str(error))

    return together(count, tally, run)


# -- the measurements: each runs in a process of its own ------------------------------------------------------------


def latency(port: int, scale: int) -> Outcome:
    """One client."""
    return crowd(port, 1, lambda _: map(message, range(10 * scale)))


def publishes(port: int, scale: int) -> Outcome:
    """64 clients."""
    return crowd(port, 64, lambda number: map(message, range(number, number + 2 * scale)))


def batches(port: int, scale: int) -> Outcome:
    """4 clients with batches."""
    return crowd(port, 4, lambda number: map(batch, range(number, number + max(1, scale // 5))))


def subscribes(port: int, scale: int) -> Outcome:
    """1,000 subscribers."""
    return crowd(port, CROWD, lambda number: [subscription(number)])


def publishers(port: int, scale: int) -> Outcome:
    """1,000 publishers."""
    return crowd(port, CROWD, lambda number: [message(number)])


def catchup(port: int, scale: int) -> Outcome:
    """One stream from the earliest message on."""
    with urlopen(f"http://127.0.0.1:{port}/topics", timeout=TIMEOUT_SECONDS) as response:
        stored = sum(row["messages"] for row in json.load(response))
    if stored < BATCH:
        return Outcome([], ["nothing is stored: measure `batches` before"], 1.0, 0.0)
    user = f"behind-{os.urandom(4).hex()}"  # what one has read already, it does not get again
    form = f"username={user}&topic=news.%3E&from=earliest".encode()
    Client(port).post(("/subscribe", "application/x-www-form-urlencoded", form))
    seconds: list[float] = []
    began, used = time.perf_counter(), time.process_time()
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as sock:
        sock.sendall(f"GET /stream?username={user} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        found, tail, at = -1, b"", began  # the greeting is no message
        while found < stored and time.perf_counter() < began + TIMEOUT_SECONDS:
            received = sock.recv(1_048_576)
            if not received:
                return Outcome(seconds, ["the stream ended"], time.perf_counter() - began, time.process_time() - used)
            data = tail + received
            found += data.count(b"\ndata: ")
            tail = data[-6:]
            while len(seconds) < found // BATCH:
                seconds.append(time.perf_counter() - at)
                at = time.perf_counter()
    errors = [] if found >= stored else [f"{found} of {stored} came in time"]
    return Outcome(seconds, errors, time.perf_counter() - began, time.process_time() - used)


def client1(port: int, scale: int) -> Outcome:
    """One thread."""
    return shared(port, 1, 10 * scale)


def client8(port: int, scale: int) -> Outcome:
    """8 threads."""
    return shared(port, 8, 5 * scale)


def client64(port: int, scale: int) -> Outcome:
    """64 threads."""
    return shared(port, 64, 2 * scale)


MEASUREMENTS: Final = {  # messages a request
    "latency": 1,
    "publishes": 1,
    "batches": BATCH,
    "subscribes": 1,
    "publishers": 1,
    "catchup": BATCH,
    "client1": 1,
    "client8": 1,
    "client64": 1,
}


def report(name: str, outcome: Outcome, used: float) -> None:
    """One line of the table; `used` by the brokers."""
    seconds, errors, took, clients = outcome
    ms = sorted(1_000 * one for one in seconds) or [0.0]
    at = [sum(ms) / len(ms), ms[len(ms) // 2], ms[len(ms) * 99 // 100], ms[-1]]
    count = len(seconds) * MEASUREMENTS[name]
    row = f"{name:11}{len(ms):8,}{len(errors):7,}{count / took:13,.0f}" + "".join(f"{one:9.1f}" for one in at)
    cpu = "".join(f"{1e6 * one / max(1, count):9,.0f}" for one in (used, clients))
    print(f"{row}{cpu}{os.getloadavg()[0]:7.1f}", flush=True)
    for error in sorted(set(errors))[:3]:
        print(f"           {error}", flush=True)


def main() -> int:
    """Read the command line, start the brokers, measure; 1 if any request failed."""
    parser = argparse.ArgumentParser(prog="scripts/bench_http", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="*", default=list(MEASUREMENTS), help=f"of {', '.join(MEASUREMENTS)}; all")
    parser.add_argument("--scale", type=int, default=100, help="how many requests: 100 takes half a minute")
    parser.add_argument("--dir", type=Path, default=None, help="where to make a temporary directory: the disk to measure")
    told = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=told.dir) as folder:
        ports = free_ports(2)
        brokers = [
            Broker(f"100{i + 1}", ports[i], Path(folder), peers=[ports[1 - i]], primary=i == 0) for i in range(len(ports))
        ]
        try:
            for broker in brokers:
                broker.launch()
            wait_in_sync(brokers)
            print("           requests errors    a second  mean ms   median      p99      max   cpu µs   client   load")
            for name in told.what:
                before = sum(map(processor_seconds, brokers))
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    outcome = pool.apply(globals()[name], (ports[0], told.scale))
                report(name, outcome, sum(map(processor_seconds, brokers)) - before)
                failed += len(outcome.errors)
            for broker in brokers:
                print(f"broker {broker.id}: at most {most_memory(broker)} MiB")
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            for broker in brokers:
                broker.kill9()
    return 1 if failed else 0


def processor_seconds(broker: Broker) -> float:
    """What it has used so far, of all processors; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rpartition(")")[2].split() if broker.process else []
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
