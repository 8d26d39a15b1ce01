"""Play attacks on two brokers and measure what an honest publisher sees meanwhile.

    scripts/abuse                      all attacks, a table as Markdown
    scripts/abuse --only json-names    one of them
    scripts/abuse --seconds 20         each for so long (default 8)
    scripts/abuse --turns 8            quiet and attack in turns, so that both meet the same load of the machine
    scripts/abuse --json FILE          the figures for programs

The brokers are started on free ports with folders of their own, and end with the run. An honest publisher posts one message
every 20 ms on one connection from 127.0.0.1; a probe asks /readyz five times a second; both run before each attack as well,
and with `--turns` between its parts, while the attackers stand still: that is the quiet time that the attack is compared with.
Attackers come from 127.0.0.2, hold no secret, and run at the lowest priority, since they stand for other machines. Some
attacks are of people: then the brokers ask who one is, the attackers are signed in or guess passwords, the honest publisher
shows a token, and once a second somebody signs in beside it.
`--flat-out`: the honest publisher does not wait between two messages, so that the rate says what is left of it. The status is 1
if a p99 is over 5 times the quiet one, if less than half of the quiet rate is left (9 tenths while passwords are guessed), if a
publish or a sign-in failed, or if the other broker said that the attacked one is down.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import json
import multiprocessing
import os
import resource
import select
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from brokers import UNREACHABLE, Broker, Failed, free_ports, get, until

ATTACKER: Final = "127.0.0.2"
EVERY_SECONDS: Final = 0.02  # between two honest publishes: they must not be a load of their own
PROBE_SECONDS: Final = 0.2
SETTLE_SECONDS: Final = 0.3  # until what an attacker asked before is answered, or what it asks now is under way
REACH_SECONDS: Final = 120.0  # until attackers have been told something: a head that drips takes ten
TIMEOUT_SECONDS: Final = 15.0
MOST_RATIO: Final = 5.0  # of the p99 under attack to the quiet one
LEAST_SHARE: Final = 0.5  # of the quiet rate of publishes
LEAST_P99_SECONDS: Final = 0.010  # what a quiet p99 counts as at least: a sync of a shared disk alone takes that at times
SECRET: Final = "a-secret-of-the-abuse-script-that-nobody-else-has"
PASSWORD: Final = "a-password-of-the-abuse-script"
HONEST: Final = "127.0.0.1"
_SHOWN: Final[dict[str, str]] = {}  # by source address: the header that shows who asks, where the brokers ask
_FROM: Final[dict[str, str]] = {}  # by source address: another one to come from
_PAUSE: Final = [EVERY_SECONDS]


# -- what clients do ------------------------------------------------------------------------------------------------


class Wire:
    """One connection, as plain as an attacker's: bytes out, bytes in, an HTTP status where one is due."""

    def __init__(self, port: int, source: str = ATTACKER, timeout: float = TIMEOUT_SECONDS) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout, source_address=(_FROM.get(source, source), 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = [f"Host: 127.0.0.1:{port}", *([_SHOWN[source]] if source in _SHOWN else [])]
        self._rest = b""

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """A request's head as bytes."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", *self._lines, *lines, "", ""]).encode()

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """Send a request and read its answer: status and body."""
        lines = [f"Content-Type: {kind}", f"Content-Length: {len(body)}"] if body else []
        self.socket.sendall(self.head(method, path, *lines) + body)
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        """Read one answer that has a Content-Length. Raises OSError when the broker closes."""
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r")[0] or 0)
        pieces, size = [data[end + 4 :]], len(data) - end - 4
        while size < length:
            pieces.append(self._more())
            size += len(pieces[-1])
        body = b"".join(pieces)
        self._rest = body[length:]
        return int(head[9:12]), body[:length]

    def _more(self) -> bytes:
        data = self.socket.recv(262_144)
        if not data:
            raise OSError("closed")
        return data

    def close(self) -> None:
        """Leave."""
        self.socket.close()


class Figures(NamedTuple):
    """What honest clients saw: seconds of each publish, what failed, the slowest /readyz, how the peer called the broker."""

    seconds: list[float]
    failures: list[str]
    slowest_probe: float
    peer_said: set[str]

    def add(self, others: Figures) -> Figures:
        """These and others."""
        return Figures(
            self.seconds + others.seconds,
            self.failures + others.failures,
            max(self.slowest_probe, others.slowest_probe),
            self.peer_said | others.peer_said,
        )

    def at(self, share: float) -> float:
        """The publish latency that this share of publishes stayed under."""
        ordered = sorted(self.seconds) or [TIMEOUT_SECONDS]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def watch(broker: Broker, other: Broker, seconds: float) -> Figures:
    """Publish, probe and look at the peer for so long."""
    figures = Figures([], [], 0.0, set())
    end = time.monotonic() + seconds
    slowest = [0.0]
    threads = [
        threading.Thread(target=_publish, args=(broker.port, end, figures)),
        threading.Thread(target=_probe, args=(broker.port, end, slowest)),
        threading.Thread(target=_look, args=(broker.id, other.address, end, figures)),
    ]
    if _SHOWN:
        threads.append(threading.Thread(target=_sign_in, args=(broker.port, end, figures)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return figures._replace(slowest_probe=slowest[0])


def _publish(port: int, end: float, figures: Figures) -> None:
    wire: Wire | None = None
    for number in itertools.count():
        if time.monotonic() > end:
            break
        body = json.dumps({"topic": "honest", "data": f"news {number}"}).encode()
        began = time.perf_counter()
        try:
            wire = wire or Wire(port, "127.0.0.1")
            status, answer = wire.ask("POST", "/publish", body)
            if status != 200:
                figures.failures.append(f"{status} {answer[:120].decode(errors='replace')}")
        except (OSError, ValueError) as error:
            figures.failures.append(str(error) or type(error).__name__)
            wire = None
        spent = time.perf_counter() - began
        figures.seconds.append(spent)
        time.sleep(max(0.0, _PAUSE[0] - spent))


def _probe(port: int, end: float, slowest: list[float]) -> None:
    while time.monotonic() < end:
        began = time.perf_counter()
        with contextlib.suppress(OSError, ValueError):
            wire = Wire(port, "127.0.0.1")
            wire.ask("GET", "/readyz")
            wire.close()
        slowest[0] = max(slowest[0], time.perf_counter() - began)
        time.sleep(PROBE_SECONDS)


def _sign_in(port: int, end: float, figures: Figures) -> None:
    while time.monotonic() < end:
        wire = Wire(port, HONEST)
        try:
            status, answer = wire.ask("POST", "/login", json.dumps({"username": "admin", "password": PASSWORD}).encode())
            if status != 200:
                figures.failures.append(f"sign-in: {status} {answer[:120].decode(errors='replace')}")
        except (OSError, ValueError) as error:
            figures.failures.append(f"sign-in: {error}")
        wire.close()
        time.sleep(1.0)


def _look(id: str, address: str, end: float, figures: Figures) -> None:
    while time.monotonic() < end:
        with contextlib.suppress(*UNREACHABLE, Failed):
            figures.peer_said.update(row["state"] for row in get(address, "/readyz")["peers"] if row["id"] == id)
        time.sleep(PROBE_SECONDS)


# -- attacks ----------------------------------------------------------------------------------------------------------


class Attack(NamedTuple):
    """`play(port, told)` runs over and over in each of `threads` threads; `prepare(port)` once before the quiet time."""

    what: str
    play: Callable[[int, Counter[str]], None]
    threads: int = 8
    prepare: Callable[[int], None] = lambda port: None
    descriptors: int = 0  # of the attacked broker; 0: as many as there are
    is_near: bool = False  # from the address of the honest publisher
    user: str | None = None  # as whom attackers are signed in, "" for nobody; None: nobody is asked
    least_share: float = LEAST_SHARE


def names(count: int) -> bytes:
    """A JSON object with so many names."""
    return b"{" + b",".join(b'"n%d":1' % number for number in range(count)) + b"}"


def json_names(port: int, told: Counter[str]) -> None:
    """One JSON object with 30,000 distinct names."""
    _ask(port, told, "POST", "/publish", names(30_000))


def json_many(port: int, told: Counter[str]) -> None:
    """One JSON object of 500 KB, half of it one name again and again."""
    _ask(port, told, "POST", "/publish", names(25_000)[:-1] + b',"a":1' * 30_000 + b"}")


def form_names(port: int, told: Counter[str]) -> None:
    """A form with 60,000 fields."""
    _ask(port, told, "POST", "/publish", b"&".join(b"n%d=1" % n for n in range(60_000)), "application/x-www-form-urlencoded")


def json_depth(port: int, told: Counter[str]) -> None:
    """100,000 opening brackets."""
    _ask(port, told, "POST", "/publish", b'{"topic":' + b"[" * 100_000)


def bad_lines(port: int, told: Counter[str]) -> None:
    """A batch of 10,000 lines whose last one is bad, each line with 20 unknown names."""
    line = json.dumps({"topic": "t", "data": "x"}).encode()
    _ask(port, told, "POST", "/publish", b"\n".join([line] * 9_999 + [names(1_000)]), "application/x-ndjson")


def long_batches(port: int, told: Counter[str]) -> None:
    """A good batch of 9,999 lines and 7 MB."""
    _ask(port, told, "POST", "/publish", b'{"topic":"flood","data":"%s"}\n' % (b"x" * 700) * 9_999, "application/x-ndjson")


def large_messages(port: int, told: Counter[str]) -> None:
    """A good batch of 120 messages of 64 KiB."""
    _ask(port, told, "POST", "/publish", b'{"topic":"flood","data":"%s"}\n' % (b"x" * 65_536) * 120, "application/x-ndjson")


def make_tarpit(port: int) -> None:
    """Listen at an address, take connections, never answer."""
    _TARPIT[:] = [socket.create_server(("127.0.0.3", 0), backlog=4_096)]


def tarpit(port: int, told: Counter[str]) -> None:
    """Ask for a broker there to be added."""
    address = "{}:{}".format(*_TARPIT[0].getsockname())
    _ask(port, told, "POST", "/add_replica", json.dumps({"broker_ip": address}).encode())


def _ask(port: int, told: Counter[str], method: str, path: str, body: bytes = b"", kind: str = "application/json") -> None:
    wire = Wire(port)
    try:
        told[str(wire.ask(method, path, body, kind)[0])] += 1
    finally:
        wire.close()


def publish_topics(port: int, count: int, levels: str = "t{}.a") -> None:
    """One message to each of so many topics."""
    wire = Wire(port, "127.0.0.1", 60.0)
    for start in range(0, count, 5_000):
        lines = [json.dumps({"topic": levels.format(n), "data": "x"}) for n in range(start, min(count, start + 5_000))]
        status, answer = wire.ask("POST", "/publish", "\n".join(lines).encode(), "application/x-ndjson")
        if status != 200:
            raise Failed(f"the topics could not be published: {answer.decode(errors='replace')[:200]}")
    wire.close()


def make_topics(port: int) -> None:
    """50,000 topics."""
    publish_topics(port, 50_000)


def make_patterns(port: int) -> None:
    """A user with 500 patterns, and 10,000 topics."""
    publish_topics(port, 10_000, "p{}.a")
    wire = Wire(port, "127.0.0.1", 60.0)
    for number in range(500):
        pattern = f"*.{'abcdefghij'[number % 10]}{number}" if number % 2 else f"p{number}.>"
        status, answer = wire.ask("POST", "/subscribe", json.dumps({"username": "eve", "topic": pattern}).encode())
        if status != 200:
            raise Failed(f"a pattern could not be subscribed: {answer.decode(errors='replace')[:200]}")
    wire.ask("POST", "/subscribe", json.dumps({"username": "eve", "topic": ">", "from": "earliest"}).encode())
    wire.close()


def subscriptions(port: int, told: Counter[str]) -> None:
    """GET /subscriptions of a user with 501 patterns over 10,000 topics."""
    _ask(port, told, "GET", "/subscriptions?username=eve")


def patterned_stream(port: int, told: Counter[str]) -> None:
    """Open that user's stream, read for a while, leave."""
    _stream(port, told, "/stream?username=eve&raw=1", 1.0)


def _stream(port: int, told: Counter[str], path: str, seconds: float) -> None:
    wire = Wire(port)
    try:
        wire.socket.sendall(wire.head("GET", path))
        end = time.monotonic() + seconds
        while time.monotonic() < end and select.select([wire.socket], [], [], 0.1) is not None:
            with contextlib.suppress(BlockingIOError):
                if select.select([wire.socket], [], [], 0.1)[0] and not wire.socket.recv(262_144):
                    told["closed"] += 1
                    return
        told["read"] += 1
    finally:
        wire.close()


def topics(port: int, told: Counter[str]) -> None:
    """GET /topics of 100,000."""
    _ask(port, told, "GET", "/topics")


def make_history(port: int) -> None:
    """A reader with 20,000 messages of 100 bytes before it."""
    wire = Wire(port, "127.0.0.1", 60.0)
    wire.ask("POST", "/subscribe", json.dumps({"username": "mallory", "topic": "history"}).encode())
    for _ in range(4):
        line = json.dumps({"topic": "history", "data": "x" * 100})
        wire.ask("POST", "/publish", "\n".join([line] * 5_000).encode(), "application/x-ndjson")
    wire.close()


def messages(port: int, told: Counter[str]) -> None:
    """GET /messages of 1,000."""
    _ask(port, told, "GET", "/messages?username=mallory&since=earliest&limit=1000")


def pipelined(port: int, told: Counter[str]) -> None:
    """5,000 requests on one connection at once."""
    wire = Wire(port)
    with wire.socket:
        threading.Thread(target=_swallow, args=(wire.socket,), daemon=True).start()
        wire.socket.sendall(wire.head("GET", "/livez") * 5_000)
        told["sent"] += 1
        time.sleep(0.5)


def _swallow(held: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while held.recv(262_144):
            pass


def chunks(port: int, told: Counter[str]) -> None:
    """A body of 800,000 chunks of one byte."""
    wire = Wire(port)
    try:
        lines = ["Transfer-Encoding: chunked", "Content-Type: application/x-ndjson"]
        wire.socket.sendall(wire.head("POST", "/publish", *lines))
        for _ in range(80):
            wire.socket.sendall(b"1\r\nx\r\n" * 10_000)
        wire.socket.sendall(b"0\r\n\r\n")
        told[str(wire.answer()[0])] += 1
    finally:
        wire.close()


def half_bodies(port: int, told: Counter[str]) -> None:
    """Half of a push of 16 MiB, unsigned, and then nothing."""
    _half(port, told, "/replicate", "application/octet-stream", 16)


def half_batches(port: int, told: Counter[str]) -> None:
    """Half of a batch of 8 MiB, and then nothing."""
    _half(port, told, "/publish", "application/x-ndjson", 8)


def _half(port: int, told: Counter[str], path: str, kind: str, size: int) -> None:
    wire = Wire(port)
    try:
        wire.socket.sendall(wire.head("POST", path, f"Content-Length: {size << 20}", f"Content-Type: {kind}"))
        for _ in range(size << 3):
            wire.socket.sendall(bytes(65_536))
        told["taken"] += 1
        with contextlib.suppress(TimeoutError):
            wire.socket.settimeout(3.0)
            wire.answer()
    finally:
        wire.close()


def slow_heads(port: int, told: Counter[str]) -> None:
    """A head of which one byte comes every tenth of a second."""
    wire = Wire(port)
    with wire.socket:
        for byte in wire.head("GET", "/livez", "X-Slow: " + "y" * 50):
            wire.socket.sendall(bytes([byte]))
            time.sleep(0.1)
        told[str(wire.answer()[0])] += 1


def never_read(port: int, told: Counter[str]) -> None:
    """Ask for much, read nothing."""
    wire = Wire(port)
    with wire.socket:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        wire.socket.sendall(wire.head("GET", "/messages?username=mallory&since=earliest&limit=1000") * 4)
        told["sent"] += 1
        time.sleep(5.0)


def connects(port: int, told: Counter[str]) -> None:
    """Connect and leave, as fast as it goes."""
    for _ in range(100):
        Wire(port).close()
    told["connections"] += 100


def not_found(port: int, told: Counter[str]) -> None:
    """Requests for what is not there, on one connection, one after the other."""
    wire = Wire(port)
    try:
        for number in range(200):
            told[str(wire.ask("GET", f"/nothing{number}\x7f")[0])] += 1
    finally:
        wire.close()


def subscribe_storm(port: int, told: Counter[str]) -> None:
    """A subscription of a new user with each request."""
    wire = Wire(port)
    try:
        for _ in range(50):
            body = json.dumps({"username": os.urandom(8).hex(), "topic": "honest"}).encode()
            told[str(wire.ask("POST", "/subscribe", body)[0])] += 1
    finally:
        wire.close()


def stream_storm(port: int, told: Counter[str]) -> None:
    """Streams opened and left at once."""
    _stream(port, told, "/stream?username=mallory&raw=1&last_event_id=e~~~", 0.05)


def many_streams(port: int, told: Counter[str]) -> None:
    """One more stream that stays, of one user after the other."""
    wire = Wire(port)
    _HELD.append(wire)
    body = json.dumps({"username": f"sleeper{len(_HELD) // 20}", "topic": "silence"}).encode()
    wire.ask("POST", "/subscribe", body)
    wire.socket.sendall(wire.head("GET", f"/stream?username=sleeper{len(_HELD) // 20}&raw=1"))
    told["opened"] += 1
    time.sleep(0.01)


def event_ids(port: int, told: Counter[str]) -> None:
    """Acknowledge with an event id of 8 KiB that names 340 runs that never were, of a user with 501 patterns."""
    vector = "_".join(f"{n}-aaaaaaaa.{n + 1}" for n in range(1_000, 1_340))
    wire = Wire(port)
    try:
        for _ in range(20):
            body = json.dumps({"username": "eve", "id": f"e~~{vector}~"}).encode()
            told[str(wire.ask("POST", "/ack", body)[0])] += 1
    finally:
        wire.close()


def new_topics(port: int, told: Counter[str]) -> None:
    """A batch of 1,000 messages, each to a topic that is new."""
    word = os.urandom(6).hex()
    lines = [json.dumps({"topic": f"{word}.n{n}", "data": "x"}) for n in range(1_000)]
    _ask(port, told, "POST", "/publish", "\n".join(lines).encode(), "application/x-ndjson")


def publishes(port: int, told: Counter[str]) -> None:
    """Publish, one message after the other on one connection."""
    wire = Wire(port)
    try:
        for number in range(200):
            told[str(wire.ask("POST", "/publish", b'{"topic":"flood","data":"%d"}' % number)[0])] += 1
    finally:
        wire.close()


def tokens(port: int, told: Counter[str]) -> None:
    """Make token after token."""
    wire = Wire(port)
    try:
        for _ in range(50):
            told[str(wire.ask("POST", "/tokens", b'{"label":"storm"}')[0])] += 1
    finally:
        wire.close()


def guesses(port: int, told: Counter[str]) -> None:
    """A wrong password for the admin, 20 a second."""
    body = json.dumps({"username": "admin", "password": os.urandom(8).hex()}).encode()
    _ask(port, told, "POST", "/login", body)
    time.sleep(0.05)


def guess_storm(port: int, told: Counter[str]) -> None:
    """A wrong password for somebody, as fast as it goes."""
    wire = Wire(port)
    try:
        for _ in range(50):
            body = json.dumps({"username": os.urandom(4).hex(), "password": "wrong"}).encode()
            told[str(wire.ask("POST", "/login", body)[0])] += 1
    finally:
        wire.close()


_TARPIT: list[socket.socket] = []
_HELD: list[Wire] = []  # of one attacking process: what stays open until it ends

ATTACKS: Final = {
    "json-names": Attack("a JSON object with 30,000 names", json_names),
    "json-many": Attack("64 at once: 25,000 names and 30,000 times one", json_many, 64),
    "json-depth": Attack("100,000 opening brackets", json_depth),
    "form-names": Attack("a form with 60,000 fields", form_names),
    "bad-lines": Attack("a batch whose last line of 10,000 is bad", bad_lines),
    "subscriptions": Attack("GET /subscriptions, 501 patterns, 10,000 topics", subscriptions, 4, make_patterns),
    "patterned-stream": Attack("that user's stream, opened and left", patterned_stream, 4, make_patterns),
    "topics": Attack("GET /topics of 100,000", topics, 4, lambda port: publish_topics(port, 100_000)),
    "messages": Attack("100 clients: GET /messages of 1,000", messages, 100, make_history),
    "pipelined": Attack("50 connections: 5,000 pipelined /livez", pipelined, 50),
    "chunks": Attack("4 bodies of 800,000 one-byte chunks", chunks, 4),
    "half-bodies": Attack("50 times half of a push of 16 MiB", half_bodies, 50),
    "half-batches": Attack("50 times half of a batch of 8 MiB", half_batches, 50),
    "slow-heads": Attack("500 heads that drip", slow_heads, 500),
    "never-read": Attack("200 clients that read nothing", never_read, 200, make_history),
    "connects": Attack("8 clients that connect and leave", connects, 8),
    "not-found": Attack("8 clients: what is not there", not_found, 8),
    "subscribe-storm": Attack("16 clients: new users subscribe", subscribe_storm, 16),
    "event-ids": Attack("8 clients: event ids of 8 KiB, 501 patterns", event_ids, 8, make_patterns),
    "new-topics": Attack("2 clients: batches of 1,000 new topics, 501 patterns", new_topics, 2, make_patterns),
    "long-batches": Attack("8 clients: good batches of 9,999 lines, 7 MB", long_batches, 8),
    "large-messages": Attack("8 clients: good batches of 120 x 64 KiB", large_messages, 8),
    "tarpit": Attack("64 clients: add a broker that never answers", tarpit, 64, make_tarpit),
    "stream-storm": Attack("16 clients: streams opened and left", stream_storm, 16, make_history),
    "signed-publishes": Attack("64 clients of one user publish", publishes, 64, user="mallory"),
    "near-publishes": Attack("the same from the honest publisher's address", publishes, 64, is_near=True, user="mallory"),
    "signed-messages": Attack("100 clients of one user: GET /messages of 1,000", messages, 100, make_history, user="mallory"),
    "signed-topics": Attack("4 clients of one user: GET /topics of 50,000", topics, 4, make_topics, user="mallory"),
    "signed-patterns": Attack(
        "4 clients of one user: GET /subscriptions, 501 patterns", subscriptions, 4, make_patterns, user="eve"
    ),
    "signed-tokens": Attack("16 clients of one user make tokens", tokens, 16, user="mallory"),
    "guesses": Attack("20 wrong passwords a second for one name", guesses, 1, user="", least_share=0.9),
    "guess-storm": Attack("16 clients: wrong passwords for any name", guess_storm, 16, user=""),
    "many-streams": Attack("streams that stay, at a limit of 200 descriptors", many_streams, 1, descriptors=200),
}


def attack(play: Callable[[int, Counter[str]], None], threads: int, port: int, results: Any) -> None:
    """A process of attackers, until it is ended; what they were told goes to `results` now and then."""
    os.nice(19)
    told: Counter[str] = Counter()

    def run() -> None:
        while True:
            try:
                play(port, told)
            except (OSError, ValueError) as error:
                told[type(error).__name__] += 1
                time.sleep(0.05)

    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()
    while True:
        time.sleep(0.5)
        with contextlib.suppress(OSError):
            results.send(dict(told))


# -- the run ----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A line of the table, in seconds."""

    name: str
    what: str
    quiet_p99: float
    p50: float
    p99: float
    most: float
    failed: int
    slowest_probe: float
    peer_said: str
    told: dict[str, int]
    memory: int  # MiB, of the attacked broker at the end
    failures: tuple[str, ...]
    share: float = 1.0  # of the quiet rate of publishes
    least_share: float = LEAST_SHARE

    @property
    def ratio(self) -> float:
        """How many times slower the slowest hundredth of publishes became."""
        return self.p99 / max(self.quiet_p99, LEAST_P99_SECONDS)

    @property
    def holds(self) -> bool:
        """Whether the broker stood it."""
        is_slow = self.ratio > MOST_RATIO or self.share < self.least_share
        return not is_slow and not self.failed and "down" not in self.peer_said


@contextlib.contextmanager
def pair(folder: Path, descriptors: int, *, asks: bool = False) -> Iterator[tuple[Broker, Broker]]:
    """Two brokers in sync, the first with so many descriptors; ended behind it. `asks`: they ask who one is."""
    first, second = free_ports(2)
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    settings = folder / "newswire.toml"
    settings.write_text(f'cluster-secret-file = "{secret}"\n')
    if asks:
        settings.write_text(f'{settings.read_text()}auth = "required"\nadmin-password = "{PASSWORD}"\n')
        settings.chmod(0o600)
    options = ["--config", str(settings)]
    brokers = (
        Broker("1001", first, folder / "1001", peers=[second], primary=True, options=options),
        Broker("1002", second, folder / "1002", peers=[first], options=options),
    )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, limit[1]))
        brokers[0].launch()
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        if descriptors and brokers[0].process is not None:
            resource.prlimit(brokers[0].process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
        brokers[1].launch()
        for broker in brokers:
            broker.wait_ready()
        _wait_in_sync(brokers)
        yield brokers
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        for broker in brokers:
            broker.kill9()


def _wait_in_sync(brokers: Sequence[Broker]) -> None:
    """Wait until what is published at either is on both; anybody may ask for that."""
    for broker in brokers:
        until("both are in sync", lambda at=broker.address: get(at, "/readyz")["copies"] == len(brokers), 60.0)  # type: ignore[misc]


def sign_in(port: int, user: str) -> None:
    """Have the honest show an admin's token from here on, and attackers that of `user`, if there is one."""
    _SHOWN[HONEST] = "Authorization: Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()

    def is_there() -> bool:
        time.sleep(2.0)  # ten wrong answers a minute are all that an address gets, and until then each is one
        return _tell(port, "GET", "/me", {}) is not None

    until("there is an admin", is_there)
    for name in ("eve", "mallory"):
        _tell(port, "POST", "/users", {"username": name})
        for verb in ("publish", "subscribe"):
            _tell(port, "POST", "/grants", {"who": name, "verb": verb, "topic": ">"})
    for source, name in ((HONEST, "admin"), *(((ATTACKER, user),) if user else ())):
        made = _tell(port, "POST", "/tokens", {"username": name})
        _SHOWN[source] = f"Authorization: Bearer {made['token'] if made else ''}"


def _tell(port: int, method: str, path: str, fields: dict[str, str]) -> dict[str, Any] | None:
    wire = Wire(port, HONEST)
    status, answer = wire.ask(method, path, json.dumps(fields).encode() if fields else b"")
    wire.close()
    return json.loads(answer) if status == 200 else None


def measure(name: str, chosen: Attack, seconds: float, turns: int) -> Row:
    """Play one attack on a pair of its own."""
    asks = chosen.user is not None
    _SHOWN.clear()
    _FROM.clear()
    if chosen.is_near:
        _FROM[ATTACKER] = HONEST
    with (
        tempfile.TemporaryDirectory(prefix="newswire-abuse-") as folder,
        pair(Path(folder), chosen.descriptors, asks=asks) as (one, two),
    ):
        if chosen.user is not None:
            sign_in(one.port, chosen.user)
        chosen.prepare(one.port)
        _wait_in_sync((one, two))
        quiet = watch(one, two, seconds / 2 / turns)
        results, sender = multiprocessing.Pipe(duplex=False)
        arguments = (chosen.play, chosen.threads, one.port, sender)
        attacker = multiprocessing.get_context("fork").Process(target=attack, args=arguments, daemon=True)
        attacker.start()
        assert attacker.pid is not None
        told: dict[str, int] = {}
        try:
            # at the lowest priority that takes long where others compute, and what has not begun is no attack
            until("the attackers reach the broker", lambda: told.update(_latest(results)) or told, REACH_SECONDS)
            time.sleep(SETTLE_SECONDS)
            figures = watch(one, two, seconds / turns)
            for _ in range(turns - 1):
                os.kill(attacker.pid, signal.SIGSTOP)
                time.sleep(SETTLE_SECONDS)
                quiet = quiet.add(watch(one, two, seconds / 2 / turns))
                os.kill(attacker.pid, signal.SIGCONT)
                time.sleep(SETTLE_SECONDS)
                figures = figures.add(watch(one, two, seconds / turns))
            memory = _memory(one)
        finally:
            attacker.kill()
            attacker.join()
        told.update(_latest(results))
    return Row(
        name, chosen.what, quiet.at(0.99), statistics.median(figures.seconds), figures.at(0.99), max(figures.seconds),
        len(figures.failures), figures.slowest_probe, ", ".join(sorted(figures.peer_said)), told, memory,
        tuple(text for text, _ in Counter(figures.failures).most_common(3)),
        len(figures.seconds) / (2 * len(quiet.seconds) or 1), chosen.least_share,
    )  # fmt: skip


def _latest(results: Any) -> dict[str, int]:
    """What attackers say that they were told so far; nothing if they have said nothing since this was asked."""
    told: dict[str, int] = {}
    with contextlib.suppress(EOFError, OSError):
        while results.poll():
            told = results.recv()
    return told


def _memory(broker: Broker) -> int:
    try:
        text = Path(f"/proc/{broker.process.pid}/status").read_text() if broker.process else ""
        return int(text.partition("VmRSS:")[2].split()[0]) // 1024
    except (OSError, IndexError):
        return 0


def write(row: Row) -> str:
    """The row as Markdown; times in milliseconds."""
    told = ", ".join(f"{count}x {what}" for what, count in sorted(row.told.items()))
    cells = [
        row.name, row.what, f"{row.quiet_p99 * 1000:.0f}", f"{row.p50 * 1000:.0f}", f"{row.p99 * 1000:.0f}",
        f"{row.most * 1000:.0f}", f"{row.ratio:.1f}", f"{row.share * 100:.0f} %",
        str(row.failed), f"{row.slowest_probe * 1000:.0f}", row.peer_said,
        str(row.memory), told or "nothing", "holds" if row.holds else "FAILS",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD: Final = (
    "| attack | what | quiet p99 | p50 | p99 | most | ratio | rate | failed | slowest /readyz | peer says | MiB"
    " | attackers were told | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0 when the brokers stood it all."""
    parser = argparse.ArgumentParser(
        prog="scripts/abuse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=sorted(ATTACKS), metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="of each attack (default 8)")
    parser.add_argument(
        "--turns", type=int, default=1, metavar="N", help="of quiet and attack, one after the other (default 1)"
    )
    parser.add_argument("--flat-out", action="store_true", help="the honest publisher does not wait between two messages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    asked = parser.parse_args(arguments)
    _PAUSE[0] = 0.0 if asked.flat_out else EVERY_SECONDS
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    print(f"Times in ms. {os.cpu_count()} processors, {time.strftime('%Y-%m-%d')}.\n\n{HEAD}", flush=True)
    found: list[Row] = []
    for name in asked.only or ATTACKS:
        row = measure(name, ATTACKS[name], asked.seconds, asked.turns)
        found.append(row)
        print(write(row), flush=True)
        for failure in row.failures:
            print(f"  failed: {failure}", file=sys.stderr, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([row._asdict() for row in found], indent=1))
    return 0 if all(row.holds for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
