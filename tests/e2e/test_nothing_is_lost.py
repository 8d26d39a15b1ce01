"""Publishers and subscribers go on while a broker is killed and comes back: what was answered is at both, and was received."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from brokers import UNREACHABLE, Answer, Broker, Stream, ask, post, until, wait_in_sync
from tests.kit.asking import texts_at
from tests.kit.processes import Pair, pause, resume
from tests.kit.waiting import PATIENCE_SECONDS

MESSAGES = 2_000
THREADS = 8
TRIES = 200
USERS = ("Alice", "Bob", "Carlos")


class Publishers:
    """Eight threads that publish numbered messages; no answer or an error: again, with the same key, at the other broker."""

    def __init__(self, addresses: list[str], first: int, count: int) -> None:
        self.addresses = addresses
        self.answered: dict[str, int] = {}  # text: copies
        self.given_up: list[str] = []
        self._numbers: Iterator[int] = iter(range(first, first + count))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def start(self) -> Publishers:
        """Start all."""
        for thread in self._threads:
            thread.start()
        return self

    def wait(self) -> None:
        """Wait until all are done, as long as they go on."""
        for thread in self._threads:
            while thread.is_alive():
                before = len(self.answered)
                thread.join(PATIENCE_SECONDS)
                assert not thread.is_alive() or len(self.answered) > before

    def _run(self) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            self._publish(f"message {number}")

    def _publish(self, text: str) -> None:
        pause_between = threading.Event()
        for turn in range(TRIES):
            answer = self._try(self.addresses[turn % 2], text)
            if answer is not None and answer.status == 200:
                self.answered[text] = answer.json()["copies"]
                return
            pause_between.wait(0.05)  # nobody sets it: a retry that does not spin
        self.given_up.append(text)

    def _try(self, address: str, text: str) -> Answer | None:
        try:
            return ask(address, "POST", "/publish", {"topic": "news", "data": text, "key": text.replace(" ", "-")}, timeout=5)
        except UNREACHABLE:
            return None


def check_all(pair: Pair, publishers: list[Publishers], streams: list[Stream]) -> None:
    """Both brokers hold what was answered, each once, and every subscriber got it."""
    answered = {text for p in publishers for text in p.answered}
    assert [p.given_up for p in publishers] == [[] for _ in publishers]
    wait_in_sync(pair.brokers)
    for broker in pair.brokers:
        texts = texts_at(broker, "Auditor")
        assert answered - set(texts) == set(), f"answered and missing at {broker.id}"
        assert len(texts) == len(set(texts)), f"a key is shown twice at {broker.id}"
    for stream in streams:
        until(f"{stream.user} has received all", lambda s=stream: answered <= set(s.texts))  # type: ignore[misc]


@pytest.mark.parametrize("victim", ["1001", "1002"])
def test_a_broker_is_killed_and_comes_back(pair: Pair, victim: str) -> None:
    wait_in_sync(pair.brokers)
    dying = next(b for b in pair.brokers if b.id == victim)
    post(pair.first.address, "/subscribe", username="Auditor", topic=">")
    with ExitStack() as opened:
        streams = [open_stream(opened, pair, user) for user in USERS]
        before = Publishers(pair.addresses, 0, 100).start()
        before.wait()
        assert set(before.answered.values()) == {2}  # both up and in sync: on both disks, each

        during = Publishers(pair.addresses, 100, MESSAGES).start()
        until("a fourth is published", lambda: len(during.answered) > MESSAGES // 4)
        dying.kill9()
        until("half is published", lambda: len(during.answered) > MESSAGES // 2)
        dying.start()
        during.wait()
        check_all(pair, [before, during], streams)

        after = Publishers(pair.addresses, 100 + MESSAGES, 100).start()
        after.wait()
        assert set(after.answered.values()) == {2}
        check_all(pair, [before, during, after], streams)


def test_both_are_killed_at_once(pair: Pair) -> None:
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Auditor", topic=">")
    with ExitStack() as opened:
        streams = [open_stream(opened, pair, "Alice")]
        during = Publishers(pair.addresses, 0, 600).start()
        until("a third is published", lambda: len(during.answered) > 200)
        for broker in pair.brokers:
            broker.kill9()
        pair.start()
        during.wait()
        check_all(pair, [during], streams)


def test_a_hung_peer_costs_one_time_out(pair: Pair) -> None:
    """A peer that answers nothing (SIGSTOP) stops counting; publishing goes on with one copy, and catches up after it."""
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Auditor", topic=">")
    pause(pair.second)
    during = Publishers([pair.first.address] * 2, 0, 200).start()
    during.wait()
    assert set(during.answered.values()) == {1}
    resume(pair.second)
    check_all(pair, [during], [])


def test_each_restores_itself_alone(pair: Pair) -> None:
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Auditor", topic=">")
    publishers = Publishers(pair.addresses, 0, 100).start()
    publishers.wait()
    wait_in_sync(pair.brokers)
    for broker in pair.brokers:
        broker.kill9()
    for broker in pair.brokers:
        broker.start()
        assert set(texts_at(broker, "Auditor")) == set(publishers.answered)
        broker.kill9()


def test_an_orderly_stop_answers_what_it_took(pair: Pair) -> None:
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Auditor", topic=">")
    with ExitStack() as opened:
        streams = [open_stream(opened, pair, "Alice")]
        during = Publishers(pair.addresses, 0, 400).start()
        until("a quarter is published", lambda: len(during.answered) > 100)
        assert pair.first.stop() == 0
        pair.first.start()
        during.wait()
        check_all(pair, [during], streams)


def open_stream(opened: ExitStack, pair: Pair, user: str) -> Stream:
    """Subscribe `user` to everything and open a stream."""
    post(pair.first.address, "/subscribe", username=user, topic="news")
    stream = opened.enter_context(Stream(user, pair.addresses))
    stream.wait_open()
    return stream


def test_a_lost_disk_is_filled_again(pair: Pair, tmp_path: Path) -> None:
    """An empty folder under an old broker id: a new origin, and all ops come from the other."""
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Auditor", topic=">")
    publishers = Publishers(pair.addresses, 0, 100).start()
    publishers.wait()
    lose_disk(pair.second)
    pair.second.start()
    check_all(pair, [publishers], [])


def lose_disk(broker: Broker) -> None:
    """Kill a broker and take its folder away."""
    broker.kill9()
    (broker.ops_dir / broker.id).rename(broker.home / "lost")
