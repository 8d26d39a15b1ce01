"""One broker dies, the other goes on alone and dies; the first returns alone: stale, says so, and serves. Then they meet."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter

from brokers import UNREACHABLE, Failed, Stream, ask, post, until, wait_in_sync
from tests.kit.damage import segments
from tests.kit.ledger import Ledger, Reader, messages_at
from tests.kit.processes import Cluster, Node
from tests.kit.waiting import PATIENCE_SECONDS


def test_a_stale_survivor(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    with Reader("Alice", pair.nodes) as alice:
        ledger.many(10, first, second, copies=2)
        alice.check(ledger)
        second.kill9()
        ledger.many(10, first, copies=1)
        late = ledger.texts()
        alice.check(ledger)
        first.kill9()

        second.start()
        second.wait_degraded("may be stale", first.address)
        ledger.many(10, second, copies=1)
        alice.check(ledger)
        assert not late <= set(messages_at(second).values())

        first.start()
        second.wait_whole()
        ledger.check(first, second)
        ledger.many(5, first, second, copies=2)
        alice.check(ledger)


def test_messages_that_come_late_are_delivered_although_the_cursor_is_ahead(pair: Cluster, ledger: Ledger) -> None:
    """A subscriber who only knows the stale survivor gets what the other one held, when that returns."""
    first, second = pair.nodes
    post(first.address, "/subscribe", username="Bob", topic=">")
    with Stream("Bob", [second.address]) as bob:
        second.kill9()
        ledger.many(10, first, copies=1)
        first.kill9()
        second.start()
        bob.wait_open()
        ledger.many(10, second, copies=1)
        bob.wait_texts(*(entry.text for entry in ledger.entries[10:]))
        first.start()
        bob.wait_texts(*ledger.texts())
    ledger.check(first, second)


def test_both_are_killed_at_once_under_load(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    with ledger.load(first, second):
        for alone in (first, second):
            ledger.wait_more(20)
            for node in pair.nodes:
                node.kill9()
            ledger.check_copies(first, second)
            alone.start()
            alone.wait_degraded("may be stale")
            ledger.wait_more(20)
            alone.kill9()  # now the other one alone, then both
            other = second if alone is first else first
            other.start()
            ledger.wait_more(20)
            alone.start()
    ledger.check(first, second)


def test_brokers_take_turns_and_never_meet_until_the_end(pair: Cluster, ledger: Ledger) -> None:
    """Each run adds an origin that the other has never heard of."""
    first, second = pair.nodes
    for node in pair.nodes:
        node.kill9()
    for node in (first, second) * 2:
        node.start()
        ledger.many(3, node, copies=1)
        node.kill9()
    pair.start()
    ledger.check(first, second)


def test_a_user_whom_only_the_absent_broker_knows_is_not_refused_for_good(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    second.kill9()
    post(first.address, "/subscribe", username="Alice", topic=">")
    ledger.many(3, first, copies=1)
    first.kill9()
    second.start()
    not_now = ask(second.address, "GET", "/stream?username=Alice")
    assert not_now.status == 200
    assert b"retry:" in not_now.body
    with Stream("Alice", [second.address]) as alice:
        first.start()
        alice.wait_texts(*ledger.texts())
    wait_in_sync(pair.nodes)
    until("nobody knows better", lambda: ask(second.address, "GET", "/stream?username=Nobody").status == 403)


def test_a_broker_is_killed_while_it_catches_up(pair: Cluster, ledger: Ledger) -> None:
    """More than one push can carry; each time it has some of it, and goes on from there."""
    first, second = pair.nodes
    second.kill9()
    for _ in range(3):
        ledger.batch(5_000, first)
    for megabytes in (0.5, 1.2):
        second.launch()
        until("a part has come", lambda mb=megabytes: size(second) > mb * 1e6)  # type: ignore[misc]
        second.kill9()
    ledger.many(10, first, copies=1)
    second.start()
    ledger.many(10, second, copies=2)
    ledger.check(first, second)


def test_a_batch_is_there_whole_or_not_at_all(pair: Cluster) -> None:
    """Killed in the middle of large batches: what was answered is whole, what was not is whole or nothing."""
    first = pair.nodes[0]
    with Batches(first) as running:
        for _ in range(3):
            running.wait_more(2)
            first.kill9()
            first.start()
    wait_in_sync(pair.nodes)
    for node in pair.nodes:
        found = Counter(text.partition(":")[0] + ":" for text in messages_at(node).values())
        assert set(found.values()) <= {BATCH}
        assert {ledger.prefix for ledger in running.ledgers if ledger.entries} <= set(found)


BATCH = 2_000


class Batches:
    """Publishes batch after batch in a thread, whatever comes of each, until the block ends."""

    def __init__(self, node: Node) -> None:
        self.ledgers: list[Ledger] = []  # one a batch
        self._node = node
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Batches:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def wait_more(self, count: int) -> None:
        """Wait until `count` more are acknowledged."""
        enough = self._acknowledged() + count
        until("batches are acknowledged", lambda: self._acknowledged() >= enough)

    def _acknowledged(self) -> int:
        return sum(bool(ledger.entries) for ledger in self.ledgers)

    def _run(self) -> None:
        while not self._ending.wait(0.05):
            ledger = Ledger()
            ledger.prefix = f"batch {len(self.ledgers)}:"
            self.ledgers.append(ledger)
            with contextlib.suppress(Failed, *UNREACHABLE):  # no answer: unknown
                ledger.batch(BATCH, self._node)


def size(node: Node) -> int:
    """The bytes of a broker's files."""
    return sum(path.stat().st_size for path in segments(node.folder))
