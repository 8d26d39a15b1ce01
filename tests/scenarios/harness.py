"""What scenarios do things with: real brokers under faults, and a ledger of what was acknowledged.

A `Node` is a broker process that can also be run under strace, in a network namespace, or with a secret. The `Ledger`
publishes numbered messages, each with a key, and remembers every answer; `check` compares it with what brokers hold.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from brokers import UNREACHABLE, Answer, Broker, Failed, ask, free_ports, get, post, until, wait_in_sync
from newswire.client import Gap, Subscriber
from tests.e2e.harness import pause

HEARTBEAT: Final = ("--heartbeat", "0.5")
AUDITOR: Final = "Auditor"  # subscribed to everything from the earliest on: sees what a broker holds
TRY_SECONDS: Final = 5.0  # of one publish: more than the 2 s that a hung peer may cost
TRIES: Final = 400
SYNC_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 0.01  # between two messages of one publisher under load, and between two tries


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

    def end_code(self, seconds: float = 20.0) -> int:
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
        """Why readiness says that it is degraded, in one text."""
        return "; ".join(self.readiness()[1].get("degraded", ()))

    def wait_degraded(self, *words: str, seconds: float = 20.0) -> str:
        """Wait until it is ready, and degraded for a reason in which all of `words` stand."""

        def found() -> str:
            status, told = self.readiness()
            text = "; ".join(told.get("degraded", ()))
            return text if status == 200 and all(word in text for word in words) else ""

        try:
            return until("", found, seconds)
        except Failed:
            raise Failed(f"{self.id} does not say {words} but {self.readiness()}") from None

    def wait_whole(self, seconds: float = 20.0) -> None:
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


@dataclass(frozen=True)
class Acknowledged:
    """What an answer said."""

    id: str
    text: str
    copies: int


class Ledger:
    """Publishes numbered messages and keeps what was answered. Any thread."""

    def __init__(self) -> None:
        self.prefix = "message "  # of each text
        self.entries: list[Acknowledged] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def publish(self, *nodes: Node, tries: int = TRIES) -> Acknowledged:
        """Publish one message at the first of `nodes`; no answer or an error: again, with the same key, at the next."""
        text = f"{self.prefix}{next(self._numbers)}"
        fields = {"topic": f"news.{len(text)}", "data": text, "key": text.replace(" ", "-")}
        refusals: set[str] = set()
        for node in itertools.islice(itertools.cycle(nodes), tries):
            try:
                answer = ask(node.address, "POST", "/publish", fields, timeout=TRY_SECONDS)
            except UNREACHABLE:
                refusals.add(f"{node.id} does not answer")
            else:
                if answer.status == 200:
                    return self._note(text, answer)
                refusals.add(f"{node.id}: {answer.status} {answer.json().get('detail')}")
            threading.Event().wait(IDLE_SECONDS)  # nobody sets it: a retry that does not spin
        raise Failed(f"{text} was not taken: {refusals}")

    def _note(self, text: str, answer: Answer) -> Acknowledged:
        told = answer.json()
        entry = Acknowledged(told["id"], text, told["copies"])
        with self._lock:
            self.entries.append(entry)
        return entry

    def batch(self, count: int, node: Node) -> None:
        """Publish `count` messages in one request."""
        texts = [f"{self.prefix}{next(self._numbers)}" for _ in range(count)]
        lines = "\n".join(json.dumps({"topic": "batch", "data": text}) for text in texts)
        answer = ask(node.address, "POST", "/publish", body=lines, headers={"Content-Type": "application/x-ndjson"})
        if answer.status != 200:
            raise Failed(f"a batch was answered with {answer.status}: {answer.body!r}")
        origin, first = answer.json()["first"].rsplit(".", 1)
        with self._lock:
            copies = answer.json()["copies"]
            self.entries += [Acknowledged(f"{origin}.{int(first) + i}", text, copies) for i, text in enumerate(texts)]

    def many(self, count: int, *nodes: Node, copies: int | None = None) -> None:
        """Publish `count` messages, one after the other; each answer says `copies`."""
        for _ in range(count):
            entry = self.publish(*nodes)
            assert copies is None or entry.copies == copies, entry

    @contextmanager
    def load(self, *nodes: Node, threads: int = 3) -> Iterator[None]:
        """Publish without end in threads, each beginning at another of `nodes`, as long as the block runs."""
        ending = threading.Event()
        failures: list[Exception] = []

        def run(first: int) -> None:
            try:
                while not ending.wait(IDLE_SECONDS):
                    self.publish(*nodes[first:], *nodes[:first])
            except Exception as error:
                failures.append(error)

        running = [threading.Thread(target=run, args=(i % len(nodes),), daemon=True) for i in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            for thread in running:
                thread.join(120)
        assert not failures, failures

    def wait_more(self, count: int, seconds: float = 60.0) -> None:
        """Wait until `count` more messages are acknowledged (by whom the load publishes at)."""
        enough = len(self.entries) + count
        until(f"{count} more messages are acknowledged", lambda: len(self.entries) >= enough, seconds)

    def texts(self, copies: int = 1) -> set[str]:
        """What was acknowledged, with `copies` at least."""
        return {entry.text for entry in list(self.entries) if entry.copies >= copies}

    def check(self, *nodes: Node, copies: int = 1) -> None:
        """Wait until `nodes` are in sync; all show the same under the same ids, what was acknowledged (with `copies`) among it.

        A retry across a crash makes two of one: all show the one with the smaller id.
        """
        wait_in_sync(nodes, SYNC_SECONDS)
        all_held = [held(node) for node in nodes]
        for node, found in zip(nodes, all_held, strict=True):
            self._check_held(node.id, found, copies)
            assert found == all_held[0], f"{node.id} and {nodes[0].id} differ"
        whole = on_disk(nodes[0])
        assert all(on_disk(node) == whole for node in nodes), "the files do not hold the same messages"

    def _check_held(self, name: str, found: Mapping[str, str], copies: int) -> None:
        missing = self.texts(copies) - set(found.values())
        assert not missing, f"acknowledged, and missing at {name}: {sorted(missing)}"
        assert len(found) == len(set(found.values())), f"a key is shown twice at {name}"
        for entry in self.entries:  # a twin of a retry may be shown instead, but an id has one value
            assert found.get(entry.id, entry.text) == entry.text

    def check_copies(self, *nodes: Node) -> None:
        """What was acknowledged with as many copies as there are `nodes` lies in the files of each. They may be down."""
        promised = {entry.text for entry in list(self.entries) if entry.copies >= len(nodes)}
        for node in nodes:
            missing = promised - set(on_disk(node).values())
            assert not missing, f"acknowledged with {len(nodes)} copies, and not on the disk of {node.id}: {sorted(missing)}"


def held(node: Node) -> dict[str, str]:
    """Everything that a broker shows the auditor: message id -> text. Raises Failed for an id shown twice."""
    found: dict[str, str] = {}
    since = "earliest"
    while True:
        page = get(node.address, "/messages", username=AUDITOR, since=since, limit="1000")
        for message in page["messages"]:
            if found.setdefault(message["id"], message["data"]) != message["data"]:
                raise Failed(f"{message['id']} has two values at {node.id}")
        if not page["more"]:
            return found
        since = page["messages"][-1]["event_id"]


def on_disk(node: Node) -> dict[str, str]:
    """The messages in a broker's files: message id -> text. An id with two values fails."""
    found: dict[str, str] = {}
    for path in segments(node.folder):
        for line in path.read_bytes().splitlines():
            with_id = read_record(line)
            if with_id:
                name, text = with_id
                assert found.setdefault(name, text) == text, f"{name} has two values on the disk of {node.id}"
    return found


def read_record(line: bytes) -> tuple[str, str] | None:
    """Message id and text of a record that is a whole message."""
    try:
        op = json.loads(line[9:])
    except ValueError:
        return None
    return (f"{op['o']}.{op['s']}", op["data"]) if isinstance(op, dict) and "data" in op else None


def segments(folder: Path) -> list[Path]:
    """The segments of an ops file, oldest first."""
    return sorted(folder.glob("*.ops"))


# -- damage -----------------------------------------------------------------------------------------------------


def flip(node: Node, *, after: str) -> None:
    """Flip a bit behind the first place where `after` stands in a broker's files."""
    for path in segments(node.folder):
        data = bytearray(path.read_bytes())
        at = data.find(after.encode())
        if at >= 0:
            data[at + len(after) + 1] ^= 0x04
            path.write_bytes(data)
            return
    raise Failed(f"{after!r} is not in the files of {node.id}")


def in_record(text: str) -> str:
    """What stands near the end of the record of a message: a bit behind it is in the record."""
    return f'"data":"{text}"'


def wipe(path: Path, begin: int, length: int) -> None:
    """Replace bytes by zeros, as a lost block reads."""
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(min(length, path.stat().st_size - begin)))


def copy_folder(source: Path, target: Path) -> None:
    """Put a copy of a broker's folder in place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


# -- hangs ------------------------------------------------------------------------------------------------------


def hang(node: Node) -> None:
    """Stop a broker (SIGSTOP) and wait until none of its threads runs any more."""
    pause(node)
    until(f"{node.id} hangs", lambda: all(state == "T" for state in _states(node)))


def _states(node: Node) -> list[str]:
    assert node.process is not None
    tasks = Path(f"/proc/{node.process.pid}/task")
    return [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]


# -- what the machine must offer --------------------------------------------------------------------------------


def lacks(*programs: str, root: bool = False) -> str:
    """Why a test that needs these cannot run here; "" when it can."""
    if root and os.geteuid() != 0:
        return "needs root"
    missing = [program for program in programs if shutil.which(program) is None]
    return f"{', '.join(missing)} is not installed" if missing else ""


def system(*words: str | Path) -> None:
    """Run a command of the system. Raises Failed with what it said."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def strace(call: str, effect: str, *, follow: int = 0) -> list[str]:
    """The words that make `call` fail as `effect` says: before a command, whose process stays our child, or for a process.

    Without `--seccomp-bpf`, which would be faster: with it strace 6.1 delivers no signals.
    """
    whom = ["-p", str(follow)] if follow else ["-D"]
    return ["strace", *whom, "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:{effect}"]


# -- subscribers ------------------------------------------------------------------------------------------------


class Reader(threading.Thread):
    """A user who reads with the client library, which acknowledges what was taken: `texts` in the order of arrival."""

    def __init__(self, user: str, nodes: Sequence[Node], *, silence: float = 6.0) -> None:
        super().__init__(name=f"reader {user}", daemon=True)
        self.user = user
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.problems: list[object] = []
        self._ending = threading.Event()
        self._subscriber = Subscriber([node.address for node in nodes], user, silence=silence)
        self._subscriber.subscribe(">")

    def run(self) -> None:
        """Read until closed."""
        try:
            with self._subscriber as user, user.stream(stop=self._ending) as stream:
                for item in stream:
                    if isinstance(item, Gap):
                        self.problems.append(item)
                    else:
                        self.ids.append(item.id)
                        self.texts.append(item.data)
        except Exception as error:
            self.problems.append(error)

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join(20.0)

    def check(self, ledger: Ledger, seconds: float = 60.0) -> None:
        """Wait until all that was acknowledged has come; nothing came twice."""
        try:
            until("", lambda: ledger.texts() <= set(self.texts), seconds)
        except Failed:
            lacking = sorted(ledger.texts() - set(self.texts))
            raise Failed(f"{self.user} did not receive {lacking[:20]} ({len(lacking)}); {self.problems}") from None
        assert self.problems == []
        assert len(self.ids) == len(set(self.ids)), f"the library showed {self.user} a message twice"
