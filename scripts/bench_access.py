"""Measure what asking who it is costs a broker, in CPU time: publishes, and streams that are opened; and beside guessing.

Three brokers, each alone, are measured in turns, the best of all rounds counts: one that asks nobody, one that is shown a
token, and one that is shown a session's cookie. CPU time is that of the broker's process, so a busy machine changes it little.
`beside guessing`: publishes by token while somebody tries 20 wrong passwords a second.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from brokers import Broker, ask, free_ports, until

PASSWORD = "correct horse"
PUBLISHES, STREAMS = 1_000, 200
TICKS = os.sysconf("SC_CLK_TCK")


class Measured(Broker):
    """A broker that is asked with these headers."""

    headers: dict[str, str]

    def cpu_seconds(self) -> float:
        """What its process has computed."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def sign_up(self, by: str) -> Measured:
        """Make a user, and remember what that shows: `none`, `token` or `session`."""
        self.headers = {}
        if by != "none":
            until("there is an admin", lambda: "the first admin" in self.last_words(100))
            cookie = ask(self.address, "POST", "/login", {"username": "admin", "password": PASSWORD}).headers["Set-Cookie"]
            as_admin = {"Cookie": cookie.partition(";")[0]}
            fields = {"username": "ann", "password": PASSWORD}
            assert ask(self.address, "POST", "/users", fields, headers=as_admin).status == 200
            for verb in ("publish", "subscribe"):
                grant = {"who": "ann", "verb": verb, "topic": "news.>"}
                assert ask(self.address, "POST", "/grants", grant, headers=as_admin).status == 200
            cookie = ask(self.address, "POST", "/login", fields).headers["Set-Cookie"].partition(";")[0]
            self.headers = {"Cookie": cookie}
            if by == "token":
                token = ask(self.address, "POST", "/tokens", {}, headers=self.headers).json()["token"]
                self.headers = {"Authorization": f"Bearer {token}"}
        subscription = {"username": "ann", "topic": "news.>"}
        assert ask(self.address, "POST", "/subscribe", subscription, headers=self.headers).status == 200
        return self

    def publish(self) -> float:
        """µs of CPU of a publish, one after the other on one connection."""
        connection = http.client.HTTPConnection(self.address)
        headers = {**self.headers, "Content-Type": "application/x-www-form-urlencoded"}
        began = self.cpu_seconds()
        for _ in range(PUBLISHES):
            connection.request("POST", "/publish", b"topic=news.kitchen&data=Soup+is+ready", headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()
        return (self.cpu_seconds() - began) / PUBLISHES * 1e6

    def open_streams(self) -> float:
        """µs of CPU of a stream that is opened, greeted and left."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        request = f"GET /stream?username=ann&ack=client HTTP/1.1\r\nHost: {self.address}\r\n{lines}\r\n".encode()
        began = self.cpu_seconds()
        for _ in range(STREAMS):
            with socket.create_connection(("127.0.0.1", self.port)) as stream:
                stream.sendall(request)
                received = b""
                while b"Listening" not in received:
                    part = stream.recv(65_536)
                    assert part, received
                    received += part
        until("they are gone", lambda: ask(self.address, "GET", "/readyz").json()["streams"] == 0)
        return (self.cpu_seconds() - began) / STREAMS * 1e6


@contextlib.contextmanager
def guessing(broker: Broker) -> Iterator[None]:
    """Have somebody try 20 wrong passwords a second."""
    is_over = threading.Event()

    def guess() -> None:
        while not is_over.wait(0.05):
            ask(broker.address, "POST", "/login", {"username": "ann", "password": "wrong"})

    thread = threading.Thread(target=guess, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def main() -> int:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench_access", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, in turn")
    rounds = parser.parse_args().rounds
    kinds = ("none", "token", "session")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as brokers:
        made: dict[str, Measured] = {}
        for kind, port in zip(kinds, free_ports(len(kinds)), strict=True):
            home = Path(folder) / kind
            home.mkdir()
            (home / "newswire.toml").write_text(f'admin-password = "{PASSWORD}"\n')
            (home / "newswire.toml").chmod(0o600)
            broker = Measured("1001", port, home, options=["--auth", "none" if kind == "none" else "required"])
            brokers.callback(broker.kill9)
            broker.start()
            made[kind] = broker.sign_up(kind)
        publishes, openings = ({kind: float("inf") for kind in kinds} for _ in range(2))
        beside = float("inf")
        for _ in range(rounds):
            for kind, broker in made.items():
                publishes[kind] = min(publishes[kind], broker.publish())
                openings[kind] = min(openings[kind], broker.open_streams())
            with guessing(made["token"]):
                beside = min(beside, made["token"].publish())
    print("| µs of CPU | `--auth none` | a token | a session |\n| --- | --- | --- | --- |")
    for name, row in (("a publish", publishes), ("a stream is opened and left", openings)):
        print(f"| {name} | " + " | ".join(f"{row[kind]:.0f}" for kind in kinds) + " |")
    print(f"| a publish beside 20 wrong passwords a second, these included | | {beside:.0f} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
