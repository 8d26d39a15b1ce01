"""Publishes through four gateways while servers of their log are killed: what is lost, what comes twice, how long none writes.

scripts/gateways [--messages 10000] [--every 2] [--gateways 4]

Three NATS servers keep the log (R3, `sync_interval: always`); one of them, by turns, is killed every `--every` seconds, as soon
as the three are well again, and starts at once. Each gateway has a publisher of its own, whose keys nobody else has, and
a subscriber. At the end each subscriber must have each message that was acknowledged, once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from brokers import Broker, free_ports
from nats_servers import NatsServers
from newswire.client.publisher import Publisher
from newswire.client.subscriber import Subscriber
from newswire.errors import NewswireError

TOPIC: Final = "news"


class Writer(threading.Thread):
    """Publishes its share, each message with a key of its own, until it has a receipt."""

    def __init__(self, number: int, address: str, others: list[str], count: int, pace: float) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self.texts = [f"{number}-{at}" for at in range(count)]
        self.at: list[float] = []  # when each receipt came
        self.retries = 0
        self._publisher = Publisher([address, *others], timeout=30.0)
        self._pace = pace

    def run(self) -> None:
        for text in self.texts:
            while True:
                try:
                    self._publisher.publish(TOPIC, text, key=text)
                    break
                except NewswireError:
                    self.retries += 1
            self.at.append(time.monotonic())
            time.sleep(self._pace)


class Reader(threading.Thread):
    """Keeps what a stream brings."""

    def __init__(self, user: str, addresses: list[str]) -> None:
        super().__init__(name=user, daemon=True)
        self.seen: Counter[str] = Counter()
        self._stream = Subscriber(addresses, user).stream()

    def run(self) -> None:
        for message in self._stream:
            if hasattr(message, "data"):
                self.seen[message.data] += 1


def main() -> int:
    """Run it; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--kills", type=int, default=15, help="servers killed at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newswire-gateways-") as folder:
        return run(options, Path(folder))


def run(options: argparse.Namespace, folder: Path) -> int:
    """As `main`, in a folder."""
    servers = NatsServers(folder / "nats", 3).start()
    words = ["--engine", "jetstream", "--nats", ",".join(servers.urls), "--nats-monitor", ",".join(servers.monitors)]
    ports = free_ports(options.gateways)
    gateways = [Broker(str(1001 + at), port, folder, options=words) for at, port in enumerate(ports)]
    try:
        for gateway in gateways:
            gateway.launch()
        for gateway in gateways:
            gateway.wait_ready(60.0)
        addresses = [gateway.address for gateway in gateways]
        readers = []
        for at, address in enumerate(addresses):
            others = [one for one in addresses if one != address]
            Subscriber([address, *others], f"user{at}").subscribe(TOPIC)
            readers.append(Reader(f"user{at}", [address, *others]))
        for reader in readers:
            reader.start()
        share = options.messages // options.gateways
        pace = options.kills * options.every / share / 2
        writers = [
            Writer(at, address, addresses[at + 1 :] + addresses[:at], share, pace) for at, address in enumerate(addresses)
        ]
        begin = time.monotonic()
        for writer in writers:
            writer.start()
        kills = kill_by_turns(servers, writers, options)
        for writer in writers:
            writer.join(600.0)
        seconds = time.monotonic() - begin
        return report(writers, readers, kills, seconds)
    finally:
        for gateway in gateways:
            gateway.kill9()
        servers.end()


def kill_by_turns(servers: NatsServers, writers: list[Writer], options: argparse.Namespace) -> list[tuple[float, bool]]:
    """Kill one server after the other while somebody writes; when, and whether it led the log."""
    kills: list[tuple[float, bool]] = []
    while any(writer.is_alive() for writer in writers) and len(kills) < options.kills:
        time.sleep(options.every)
        try:
            servers.wait(30.0)
        except Exception as error:
            print(f"the servers are not well: {error}", flush=True)
        leader = servers.leader_of("newswire")
        at = leader if leader is not None and len(kills) % 2 == 0 else (len(kills) + 1) % 3
        kills.append((time.monotonic(), at == leader))
        servers.kill(at)
        servers.launch(at)
    return kills


def report(writers: list[Writer], readers: list[Reader], kills: list[tuple[float, bool]], seconds: float) -> int:
    """Print what came of it; 0 if nothing is lost or twice."""
    texts = {text for writer in writers for text in writer.texts[: len(writer.at)]}
    end = time.monotonic() + 60.0
    while time.monotonic() < end and any(texts - reader.seen.keys() for reader in readers):
        time.sleep(0.2)
    lost = sum(len(texts - reader.seen.keys()) for reader in readers)
    twice = sum(count - 1 for reader in readers for count in reader.seen.values())
    receipts = sorted(moment for writer in writers for moment in writer.at)
    pauses = {led: [pause(receipts, moment) for moment, it_led in kills if it_led is led] for led in (True, False)}
    print(f"{len(texts)} messages acknowledged in {seconds:.1f} s, {sum(writer.retries for writer in writers)} calls repeated")
    print(f"servers killed: {len(kills)}, of which led the log: {len(pauses[True])}")
    for led, each in pauses.items():
        if each:
            name, middle = "leader" if led else "follower", sorted(each)[len(each) // 2]
            print(f"without a receipt after a {name} was killed: {min(each):.1f} to {max(each):.1f} s, median {middle:.1f}")
    print(f"lost: {lost}, twice: {twice}, subscribers: {len(readers)}")
    return int(bool(lost or twice or len(texts) != sum(len(writer.texts) for writer in writers)))


def pause(receipts: list[float], moment: float) -> float:
    """The longest time between two receipts within ten seconds after `moment`."""
    near = [one for one in receipts if moment - 0.5 <= one <= moment + 10]
    return max((later - earlier for earlier, later in itertools.pairwise(near)), default=float("nan"))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # streams of readers go on
