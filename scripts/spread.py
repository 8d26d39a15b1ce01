"""Watch how brokers share streams: many open at two, a third joins, then leaves; a message every second, each to all.

Each stream has a user of its own. Readers decide as the library does, with its own code (`client.failover`, `client.delivery`),
and know the address of one broker; only their sockets are asyncio's, so that thousands fit into a process. What is printed:
the streams of each broker, how many were sent elsewhere and how many connected in one second at most, and what readers lack or
were given twice. Exits with 1 if that is anything, or if the streams stay 20 % or more from even.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from brokers import Broker, ask, free_ports, post, wait_in_sync
from newswire.client.answers import Row
from newswire.client.delivery import Delivery, Moved
from newswire.client.failover import Brokers
from newswire.core.model.message import Message
from newswire.sse import EventReader

FAR: Final = 0.2  # from an even share
WAIT_SECONDS: Final = 10.0  # for an answer


class Crowd:
    """All readers, and what they see."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.at: Counter[str] = Counter()  # streams open at each broker
        self.connects: Counter[int] = Counter()  # by second
        self.moves = 0
        self.failures = 0
        self.repeats = 0  # that came again, and were not given again
        self.ended = False

    def far(self, addresses: list[str]) -> float:
        """By which part of an even share the broker that is farthest from it has too many or too few."""
        even = sum(self.at.values()) / len(addresses)
        return max(abs(self.at[address] - even) / even for address in addresses)

    def most_connects(self, since: int) -> int:
        """In one second, from the second `since` on."""
        return max((count for second, count in self.connects.items() if second >= since), default=0)


class Connection:
    """One stream, open."""

    def __init__(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address, self.reader, self.writer = address, reader, writer
        self.events = EventReader()

    def close(self) -> None:
        self.writer.close()


class Reader:
    """A user's program."""

    def __init__(self, crowd: Crowd, user: str) -> None:
        self.crowd, self.user = crowd, user
        self.brokers = Brokers(crowd.address)
        self.delivery = Delivery()
        self.texts: list[str] = []

    async def run(self) -> None:
        """Read until the end, wherever there is room."""
        connection: Connection | None = None
        while not self.crowd.ended:
            try:
                connection = connection or await self._connect()
                connection = await self._read(connection)
            except (OSError, EOFError, ValueError, TimeoutError):
                self.crowd.failures += 1
            if connection is None:
                await asyncio.sleep(random.random() / 2)
        if connection is not None:
            self._leave(connection)

    async def _connect(self) -> Connection:
        now = time.monotonic()
        usual = self.brokers.choose(now)
        if usual is None:
            raise OSError("all rest")
        await self._ask_rows(usual)
        seat = self.brokers.seat(now, random.random()) or usual
        return await self._open(seat)

    async def _read(self, connection: Connection) -> Connection | None:
        """Take what comes; where to read on, None: anywhere."""
        try:
            received = await asyncio.wait_for(connection.reader.read(65_536), 15.0)
        except (OSError, TimeoutError):
            received = b""
        if not received:
            self._leave(connection)
            return None
        for event in connection.events.feed(received):
            got = self.delivery.receive(event)
            if isinstance(got, Message):
                self.texts.append(got.data)
                self.delivery.next()
            elif isinstance(got, Moved):
                return await self._follow(connection, got)
            elif event.name == "message":
                self.crowd.repeats += 1
        return connection

    async def _follow(self, connection: Connection, moved: Moved) -> Connection | None:
        if not moved.goes_on:
            self._leave(connection)
            return await self._open(moved.to) if moved.to else None
        if not self.brokers.may_move_to(moved.to, time.monotonic()):
            return connection
        try:
            there = await self._open(moved.to)
        except (OSError, EOFError, TimeoutError):
            self.crowd.failures += 1
            return connection
        self.crowd.moves += 1
        self._leave(connection)
        return there

    def _leave(self, connection: Connection) -> None:
        self.crowd.at[connection.address] -= 1
        connection.close()

    async def _ask_rows(self, address: str) -> None:
        _, reader, writer = await self._request(address, "/list_replicas", {})
        body = await asyncio.wait_for(reader.read(), WAIT_SECONDS)
        writer.close()
        self.brokers.learn(address, msgspec.json.decode(body, type=list[Row]), time.monotonic())

    async def _open(self, address: str) -> Connection:
        resume = {"Last-Event-ID": self.delivery.resume} if self.delivery.resume else {}
        path = f"/stream?username={self.user}&format=json&ack=client&follow=1"
        status, reader, writer = await self._request(address, path, resume)
        if status != 200:
            writer.close()
            self.brokers.failed(address, time.monotonic(), random.random())
            raise OSError(f"status {status}")
        self.brokers.answered(address)
        self.crowd.at[address] += 1
        self.crowd.connects[int(time.monotonic())] += 1
        return Connection(address, reader, writer)

    async def _request(
        self, address: str, path: str, headers: dict[str, str]
    ) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = address.rpartition(":")
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), WAIT_SECONDS)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n{lines}\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
        except (OSError, EOFError, TimeoutError):
            self.brokers.failed(address, time.monotonic(), random.random())
            raise
        return int(head.split(None, 2)[1]), reader, writer


class Show:
    """Three brokers and a crowd."""

    def __init__(self, home: Path, streams: int, seconds: float) -> None:
        ports = free_ports(3)
        self.streams, self.seconds = streams, seconds
        self.brokers = [
            Broker(str(1001 + n), port, home, peers=[ports[0]] if n else [], primary=not n) for n, port in enumerate(ports)
        ]
        self.crowd = Crowd(self.brokers[0].address)
        self.texts: list[str] = []
        self.wrong = False

    async def play(self) -> int:
        """The whole of it; the exit code."""
        first, second, third = self.brokers
        for broker in (first, second):
            await asyncio.to_thread(broker.start)
        await asyncio.to_thread(wait_in_sync, (first, second))
        users = [f"user{number}" for number in range(self.streams)]
        await asyncio.to_thread(subscribe, first.address, users)
        readers = [Reader(self.crowd, user) for user in users]
        publishing = asyncio.create_task(self._publish())
        tasks = []
        try:
            begin = time.monotonic()
            for reader in readers:
                tasks.append(asyncio.create_task(reader.run()))
                await asyncio.sleep(20.0 / self.streams)  # they come within 20 s
            await self._wait_open()
            print(f"{self.streams} streams came within {time.monotonic() - begin:.0f} s")
            self._print("as they came", [first, second], begin)
            await self._phase("with two brokers", [first, second])
            await asyncio.to_thread(third.start)
            await self._phase("a third broker joins", [first, second, third], until_even=True)
            await asyncio.to_thread(third.stop)
            await self._phase("it is stopped", [first, second])
            publishing.cancel()
            await self._check(readers)
        finally:
            self.crowd.ended = True
            for task in [publishing, *tasks]:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(publishing, *tasks, return_exceptions=True)
        return 1 if self.wrong else 0

    async def _publish(self) -> None:
        while True:
            text = f"text {len(self.texts)}"
            with contextlib.suppress(Exception):
                await asyncio.to_thread(post, self.brokers[0].address, "/publish", topic="news", data=text, key=text)
                self.texts.append(text)
            await asyncio.sleep(1.0)

    async def _wait_open(self) -> None:
        while sum(self.crowd.at.values()) < self.streams:
            await asyncio.sleep(0.1)

    async def _phase(self, what: str, brokers: list[Broker], *, until_even: bool = False) -> None:
        """Let `seconds` pass, or as long as it takes until all are near even."""
        begin, moved = time.monotonic(), self.crowd.moves
        addresses = [broker.address for broker in brokers]
        even_at = rate = 0.0
        sent, looked = await asyncio.to_thread(sent_elsewhere, addresses), begin
        while time.monotonic() - begin < self.seconds:
            await asyncio.sleep(0.9)
            now, count = time.monotonic(), await asyncio.to_thread(sent_elsewhere, addresses)
            rate, sent, looked = max(rate, (count - sent) / (now - looked)), count, now
            far = sum(self.crowd.at.values()) < self.streams or self.crowd.far(addresses) >= FAR
            if not far and not even_at:
                even_at = time.monotonic() - begin
            if far:
                even_at = 0.0
        self._print(what, brokers, begin)
        print(
            f"  within {FAR:.0%} of even after {even_at:.0f} s; {self.crowd.moves - moved} moved, {rate:.0f} a second at most",
            flush=True,
        )
        if not even_at:
            self.wrong = True
            print("  WRONG: it is not even")

    def _print(self, what: str, brokers: list[Broker], begin: float) -> None:
        counts = ", ".join(f"{broker.id} {self.crowd.at[broker.address]}" for broker in brokers)
        far = self.crowd.far([broker.address for broker in brokers])
        most = self.crowd.most_connects(int(begin))
        print(f"{what}: {counts} (at most {far:.0%} from even); at most {most} connected in a second", flush=True)

    async def _check(self, readers: list[Reader]) -> None:
        wanted = set(self.texts)
        for _ in range(100):
            if all(wanted <= set(reader.texts) for reader in readers):
                break
            await asyncio.sleep(0.1)
        lacking = sum(len(wanted - set(reader.texts)) for reader in readers)
        twice = sum(len(reader.texts) - len(set(reader.texts)) for reader in readers)
        print(
            f"{len(self.texts)} messages to {len(readers)} streams: {lacking} lacking, {twice} given twice;"
            f" {self.crowd.repeats} came again and were dropped; {self.crowd.failures} tries failed"
        )
        self.wrong |= bool(lacking or twice)


def sent_elsewhere(addresses: list[str]) -> int:
    """How many streams these brokers have sent to others."""
    name = "newswire_streams_sent_elsewhere_total "
    lines = [line for address in addresses for line in ask(address, "GET", "/metrics").body.decode().splitlines()]
    return sum(int(float(line.removeprefix(name))) for line in lines if line.startswith(name))


def subscribe(address: str, users: list[str]) -> None:
    """Subscribe all of them, some at a time."""
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda user: post(address, "/subscribe", username=user, topic="news"), users):
            pass


def main() -> int:
    """Run it, and print what comes of it."""
    parser = argparse.ArgumentParser(prog="scripts/spread", description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=3_000, metavar="N", help="default 3000")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="of each phase (default 60)")
    asked: Any = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as home:
        show = Show(Path(home), asked.streams, asked.seconds)
        try:
            return asyncio.run(show.play())
        finally:
            for broker in show.brokers:
                broker.kill9()


if __name__ == "__main__":
    sys.exit(main())
