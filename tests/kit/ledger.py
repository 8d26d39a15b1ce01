"""What was acknowledged, and whether brokers, disks and readers have it.

The `Ledger` publishes numbered messages, each with a key, and remembers every answer; `check` compares it with what brokers
hold.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from brokers import (
    UNREACHABLE,
    Failed,
    ask,
    until,
    wait_in_sync,
)
from newswire.client import Gap, Subscriber
from tests.kit.asking import pages
from tests.kit.damage import segments
from tests.kit.processes import AUDITOR, Node
from tests.kit.waiting import PATIENCE_SECONDS

TRY_SECONDS: Final = 5.0  # of one publish: more than the 2 s that a hung peer may cost
TRIES_SECONDS: Final = 2 * PATIENCE_SECONDS  # of all its tries: brokers that start on a busy machine serve nobody for long
LATE: Final = 3  # messages whose other copies come late, as nobody is heard in time on a busy machine: more are no chance
SYNC_SECONDS: Final = PATIENCE_SECONDS
IDLE_SECONDS: Final = 0.01  # between two messages of one publisher under load, and between two tries


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
        self._late = 0
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def publish(self, *nodes: Node) -> Acknowledged:
        """Publish one message at the first of `nodes`; no answer or an error: again, with the same key, at the next."""
        entry = self._put(f"{self.prefix}{next(self._numbers)}", nodes)
        with self._lock:
            self.entries.append(entry)
        return entry

    def _put(self, text: str, nodes: Sequence[Node]) -> Acknowledged:
        fields = {"topic": f"news.{len(text)}", "data": text, "key": text.replace(" ", "-")}
        refusals: set[str] = set()
        end = time.monotonic() + TRIES_SECONDS
        for node in itertools.cycle(nodes):
            try:
                answer = ask(node.address, "POST", "/publish", fields, timeout=TRY_SECONDS)
            except UNREACHABLE:
                refusals.add(f"{node.id} does not answer")
            else:
                if answer.status == 200:
                    told = answer.json()
                    return Acknowledged(told["id"], text, told["copies"])
                refusals.add(f"{node.id}: {answer.status} {answer.json().get('detail')}")
            if time.monotonic() > end:
                break
            threading.Event().wait(IDLE_SECONDS)  # nobody sets it: a retry that does not spin
        raise Failed(f"{text} was not taken: {refusals}")

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
        """Publish `count` messages, one after the other; each answer says `copies`.

        A broker that is not heard for two seconds does not count until it is. Who repeats the publish then is told of all.
        """
        for _ in range(count):
            entry = self.publish(*nodes)
            if copies is not None and entry.copies < copies:
                self._late += 1
                assert self._late <= LATE, entry
                entry = until(f"{entry} has {copies} copies", partial(self._repeat, entry, nodes, copies))
            assert copies is None or entry.copies == copies, entry

    def _repeat(self, entry: Acknowledged, nodes: Sequence[Node], copies: int) -> Acknowledged | None:
        again = self._put(entry.text, nodes)
        return again if again.copies >= copies else None

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
                thread.join(TRIES_SECONDS)
        assert not failures, failures
        assert not any(thread.is_alive() for thread in running)

    def wait_more(self, count: int, seconds: float = PATIENCE_SECONDS) -> None:
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
        held = [messages_at(node) for node in nodes]
        for node, found in zip(nodes, held, strict=True):
            self._check_held(node.id, found, copies)
        if any(found != held[0] for found in held):
            wait_alike("what is shown", nodes, messages_at)
        wait_alike("the files", nodes, on_disk)

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


def wait_alike(what: str, nodes: Sequence[Node], look: Callable[[Node], Mapping[str, str]]) -> None:
    """Wait until `look` finds the same at all: a broker may still take what somebody asked for who waits no longer."""

    def differences() -> list[list[tuple[str, str]]]:
        first, *others = map(look, nodes)
        return [sorted(first.items() ^ other.items())[:6] for other in others if other != first]

    try:
        until("", lambda: not differences(), SYNC_SECONDS)
    except Failed:
        raise Failed(f"{what} of {[node.id for node in nodes]} differ: {differences()}") from None


def messages_at(node: Node) -> dict[str, str]:
    """Everything that a broker shows the auditor: message id -> text. Raises Failed for an id shown twice."""
    messages: dict[str, str] = {}
    for message in pages(node.address, AUDITOR):
        if messages.setdefault(message["id"], message["data"]) != message["data"]:
            raise Failed(f"{message['id']} has two values at {node.id}")
    return messages


def on_disk(node: Node) -> dict[str, str]:
    """The messages in a broker's files: message id -> text. An id with two values fails."""
    found: dict[str, str] = {}
    for line in itertools.chain.from_iterable(data.splitlines() for data in _read(node)):
        with_id = read_record(line)
        if with_id:
            name, text = with_id
            assert found.setdefault(name, text) == text, f"{name} has two values on the disk of {node.id}"
    return found


def _read(node: Node) -> list[bytes]:
    """What its files hold; once more where one was removed meanwhile, as something was compacted."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            return [path.read_bytes() for path in segments(node.folder)]
    raise Failed(f"the files of {node.id} do not stay")


def read_record(line: bytes) -> tuple[str, str] | None:
    """Message id and text of a record that is a whole message."""
    try:
        op = json.loads(line[9:])
    except ValueError:
        return None
    return (f"{op['o']}.{op['s']}", op["data"]) if isinstance(op, dict) and "data" in op else None


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
        self.join(PATIENCE_SECONDS)

    def check(self, ledger: Ledger, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all that was acknowledged has come; nothing came twice."""
        try:
            until("", lambda: ledger.texts() <= set(self.texts), seconds)
        except Failed:
            lacking = sorted(ledger.texts() - set(self.texts))
            raise Failed(f"{self.user} did not receive {lacking[:20]} ({len(lacking)}); {self.problems}") from None
        assert self.problems == []
        assert len(self.ids) == len(set(self.ids)), f"the library showed {self.user} a message twice"
