"""Real brokers (`brokers.Broker`): pairs and clusters of them, behind strace, on wires, stopped and let go on."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from brokers import (
    CREDENTIALS,
    UNREACHABLE,
    Broker,
    Failed,
    ask,
    free_ports,
    get,
    post,
    until,
    wait_in_sync,
)
from newswire.core.model import conditions
from newswire.core.model.conditions import condition_of
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.wires import Wire

HEARTBEAT: Final = ("--heartbeat", "0.5")
PASSWORD: Final = "correct horse"  # of the first admin
AUDITOR: Final = "Auditor"  # subscribed to everything from the earliest on: sees what a broker holds


class Pair:
    """Broker 1001 (primary) and 1002 (secondary), each the other's peer, on free ports."""

    def __init__(self, home: Path, *options: str) -> None:
        one, two = free_ports(2)
        self.first = Broker("1001", one, home, peers=[two], primary=True, options=options)
        self.second = Broker("1002", two, home, peers=[one], options=options)
        self.brokers = (self.first, self.second)
        self.made = list(self.brokers)
        self.addresses = [b.address for b in self.brokers]

    def start(self) -> Pair:
        """Start both at once and wait until both are ready."""
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()
        return self

    def end(self) -> None:
        """Kill what runs; tests that care how a broker ends it end it themselves."""
        for broker in self.brokers:
            broker.kill9()

    @property
    def copies(self) -> int:
        """How many a publish gets now."""
        return len(self.living())

    def living(self) -> list[Broker]:
        """Those that have a process, primary first."""
        return [b for b in self.brokers if b.process is not None]


def write_admin_password(home: Path) -> None:
    """Have brokers that start in this folder make the first admin."""
    file = home / "newswire.toml"
    file.write_text(f'admin-password = "{PASSWORD}"\n')
    file.chmod(0o600)


def sign_in_as_admin(brokers: Sequence[Broker]) -> None:
    """Wait until these brokers have made the first admin, who asks from now on where nobody else is said to."""
    until("there is an admin", lambda: any("the first admin" in broker.last_words(100) for broker in brokers))
    CREDENTIALS[""] = CREDENTIALS["admin"] = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()


class Guarded(Pair):
    """A pair that asks everybody who he is. Users are shown by tokens (`brokers.CREDENTIALS`), which go with `end`."""

    def __init__(self, home: Path, *options: str) -> None:
        super().__init__(home, "--auth", "required", *options)
        write_admin_password(home)

    def start(self) -> Guarded:
        """Start both, and have `admin` known at both, whose word counts where no other's is known."""
        super().start()
        sign_in_as_admin(self.brokers)
        wait_in_sync(self.brokers)
        return self

    def add(self, user: str, **rights: str) -> None:
        """Add a user with a token and these rights (a pattern for each verb). "": who names nobody, as `Press`."""
        name, as_admin = user or "Press", {"Authorization": CREDENTIALS["admin"]}
        for path, fields in (
            ("/users", {"username": name}),
            *(("/grants", {"who": name, "verb": verb, "topic": pattern}) for verb, pattern in rights.items()),
        ):
            assert ask(self.first.address, "POST", path, fields, headers=as_admin).status == 200
        wait_in_sync(self.brokers)
        token = ask(self.second.address, "POST", "/tokens", {"username": name}, headers=as_admin).json()["token"]
        CREDENTIALS[user] = f"Bearer {token}"

    def revoke(self, user: str, verb: str, pattern: str, *, at: Broker) -> None:
        """End a right."""
        path = f"/grants?{urlencode({'who': user, 'verb': verb, 'topic': pattern})}"
        assert ask(at.address, "DELETE", path, headers={"Authorization": CREDENTIALS["admin"]}).status == 200

    def end(self) -> None:
        """Kill what runs, and forget who is who."""
        CREDENTIALS.clear()
        super().end()


class WiredPair(Pair):
    """A pair in which each broker is reached by the other through a wire; clients reach both directly."""

    def __init__(self, home: Path, *options: str) -> None:
        super().__init__(home, *options)
        self.to_first, self.to_second = Wire(self.first.port), Wire(self.second.port)
        self.wires = (self.to_first, self.to_second)
        self.first.peers, self.second.peers = [self.to_second.address], [self.to_first.address]
        for broker, wire in zip(self.brokers, self.wires, strict=True):
            broker.options += ["--advertise", wire.address]

    def end(self) -> None:
        """Kill the brokers, end the wires."""
        super().end()
        for wire in self.wires:
            wire.close()


class GuardedWiredPair(Guarded, WiredPair):
    """A pair that asks everybody who he is, and wires between."""


class Traced(Broker):
    """A broker behind strace, which can write its system calls down (`watch`) or break some of them (`inject`)."""

    inject = ""

    def command(self) -> list[str]:
        """Behind strace, which ends with it, and with its exit code."""
        words = ["strace", "-f", "-qq", "-o", str(self.home / f"{self.id}.trace")]
        if self.inject:
            words += ["-e", f"trace={self.inject.partition(':')[0]}", "-e", f"inject={self.inject}"]
        return [*words, *super().command()]

    def signal(self, number: int) -> None:
        """Send a signal to the broker itself."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)

    def kill9(self) -> None:
        """The broker first: it would outlive strace."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
        super().kill9()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        return process.wait(seconds)

    def calls(self) -> set[str]:
        """The names of the calls that were traced."""
        text = (self.home / f"{self.id}.trace").read_text()
        return set(re.findall(r"^\d+ +([a-z_][a-z0-9_]*)\(", text, re.MULTILINE))


class Node(Broker):
    """A broker with more ways to start and to end. `before`: words before its command (strace, env, ip netns exec)."""

    def __init__(self, id: str, port: int, home: Path, *, host: str = "127.0.0.1", **more: Any) -> None:
        super().__init__(id, port, home, **more)
        self.address = f"{host}:{port}"
        self.before: list[str] = []

    @property
    def folder(self) -> Path:
        """Where its ops file lies."""
        return self.ops_dir / self.id

    def command(self) -> list[str]:
        """What starts it."""
        return [*self.before, *super().command()]

    def start(self, *, own_session: bool = False) -> Node:
        """Start and wait until it is ready."""
        super().start(own_session=own_session)
        return self

    def end_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until it has ended by itself; its exit code, negative for a signal."""
        assert self.process is not None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"broker {self.id} did not end within {seconds:g} seconds: {self.last_words()}") from None
        self.process = None
        return code

    @property
    def ended(self) -> bool:
        """Whether the process that was started is gone."""
        return self.process is None or self.process.poll() is not None

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /readyz; (0, {}) while nobody answers."""
        try:
            answer = ask(self.address, "GET", "/readyz", timeout=5.0)
        except UNREACHABLE:
            return 0, {}
        return answer.status, answer.json()

    def degraded(self) -> str:
        """Why readiness says that it is degraded, in one text. How slow the disk is, is the machine's matter."""
        told = self.readiness()[1].get("degraded", ())
        return "; ".join(reason for reason in told if condition_of(reason) is not conditions.DISK_SLOW)

    def wait_degraded(self, *words: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until it is ready, and degraded for a reason in which all of `words` stand."""

        def found() -> str:
            status, told = self.readiness()
            text = "; ".join(told.get("degraded", ()))
            return text if status == 200 and all(word in text for word in words) else ""

        try:
            return until("", found, seconds)
        except Failed:
            raise Failed(f"{self.id} does not say {words} but {self.readiness()}") from None

    def wait_whole(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it is ready and nothing is degraded."""
        try:
            until("", lambda: self.readiness()[0] == 200 and not self.degraded(), seconds)
        except Failed:
            raise Failed(f"{self.id} stays degraded: {self.readiness()}") from None

    def row(self, id: str) -> dict[str, Any]:
        """How it sees the broker `id`; {} when it lists none."""
        return next((row for row in get(self.address, "/list_replicas") if row["id"] == id), {})


class Cluster:
    """Brokers 1001 (primary), 1002, ... that know each other; `spare` makes one more, which knows nobody."""

    def __init__(self, home: Path, *options: str, count: int = 2) -> None:
        ports = free_ports(count) if count else []
        self.home = home
        self.options = [*HEARTBEAT, *options]
        self.nodes = [
            Node(str(1001 + i), port, home, peers=[p for p in ports if p != port], primary=i == 0, options=self.options)
            for i, port in enumerate(ports)
        ]
        self.made = list(self.nodes)

    def spare(self, id: str, *peers: Node, home: Path | None = None) -> Node:
        """Make one more broker, not started."""
        node = Node(id, free_ports(1)[0], home or self.home, peers=[p.address for p in peers], options=self.options)
        self.made.append(node)
        return node

    def start(self) -> Cluster:
        """Start all at once; wait until they are in sync and the auditor is registered."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_ready()
        wait_in_sync(self.nodes)
        audit(self.nodes[0])
        return self

    def end(self) -> None:
        """Kill what runs."""
        for node in self.made:
            node.kill9()


def audit(node: Node) -> None:
    """Register the auditor."""
    post(node.address, "/subscribe", username=AUDITOR, topic=">", **{"from": "earliest"})


SomeBrokers = TypeVar("SomeBrokers", Pair, Cluster)


@contextmanager
def lend(brokers: SomeBrokers) -> Iterator[SomeBrokers]:
    """Lend brokers to a test, kill them whatever happens, and show what they logged if it fails."""
    try:
        yield brokers
    finally:
        brokers.end()
        for broker in brokers.made:
            print(f"-- log of broker {broker.id} at {broker.address}\n{broker.last_words(40)}")


def pause(broker: Broker) -> None:
    """Hang a broker (SIGSTOP), and wait until none of its threads runs: it answers nobody, and its connections stay."""
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{broker.process.pid}/task")
    until(f"{broker.id} hangs", lambda: all(map(_stands, tasks.iterdir())))


def _stands(task: Path) -> bool:
    """Whether a thread is stopped, as proc(5) says: the word behind its name in brackets. Or it has ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return True


def resume(broker: Broker) -> None:
    """Let a hung broker go on."""
    assert broker.process is not None
    broker.process.send_signal(signal.SIGCONT)
