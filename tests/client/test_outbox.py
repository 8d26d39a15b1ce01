"""Threads that share one Publisher: whose turn it is, which messages go together, and who leaves while it waits."""

from __future__ import annotations

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from newswire.client import MessageReceipt, Publisher
from newswire.client.outbox import Outbox, Post
from newswire.client.transport import BrokerAnswer, Call
from newswire.core import limits
from tests.kit.client_fakes import LIMIT_SECONDS, FakeBroker, FakeTime, Reply, problem
from tests.kit.desk import Desk, data, gather, receipts, results, waiting
from tests.kit.waiting import wait_until


def test_what_waits_while_a_request_is_in_flight_is_the_next_one(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    publisher = Publisher(a.address)
    words = [f"w{number}" for number in range(63)]
    told = receipts(gather(pool, desk, publisher, *data(*words)))
    assert desk.bodies == [["first"], words]
    assert [receipt.id for receipt in told] == [f"id of {word}" for word in words]
    assert told[5] == MessageReceipt("id of w5", 2, "Published topic t data w5", a.address)
    single, batch = a.came("POST", "/publish")
    assert (single.headers["content-type"], single.query) == ("application/json", {})
    assert (batch.headers["content-type"], batch.query) == ("application/x-ndjson", {"ids": "1"})


def test_a_caller_by_itself_sends_at_once_and_as_ever(desk: Desk, a: FakeBroker) -> None:
    desk.go.set()
    publisher = Publisher(a.address)
    for word in ("x", "y"):
        publisher.publish("t", word)
    assert desk.bodies == [["x"], ["y"]]
    assert {asked.headers["content-type"] for asked in a.came("POST", "/publish")} == {"application/json"}


def test_calls_that_ask_for_other_copies_go_apart(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    calls = [{"data": f"{copies} {n}", "copies": copies} for n in range(3) for copies in (None, 2, 1)]
    told = receipts(gather(pool, desk, Publisher(a.address), *calls))
    assert [receipt.id for receipt in told] == [f"id of {call['data']}" for call in calls]
    _, *batches = a.came("POST", "/publish")
    assert [asked.query.get("copies") for asked in batches] == [None, "2", "1"]
    assert [[json.loads(line)["data"] for line in asked.body.splitlines()] for asked in batches] == [
        [f"{copies} {n}" for n in range(3)] for copies in (None, 2, 1)
    ]


def test_no_request_is_longer_than_told(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIENT_GATHER_MESSAGES", 3)
    monkeypatch.setattr(limits, "CLIENT_GATHER_BYTES", 1000)
    words = ["a", "b", "c", "d", "x" * 990, "e", "f"]
    told = receipts(gather(pool, desk, Publisher(a.address), *data(*words)))
    assert [receipt.id for receipt in told] == [f"id of {word}" for word in words]
    assert desk.bodies[1:] == [["a", "b", "c"], ["d"], ["x" * 990], ["e", "f"]]


def test_each_thread_keeps_its_order(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.go.set()
    publisher = Publisher(a.address)

    def publish(who: int) -> list[str]:
        return [publisher.publish("t", f"{who} {number}").id for number in range(50)]

    for who, ids in enumerate(pool.map(publish, range(8))):
        assert ids == [f"id of {who} {number}" for number in range(50)]
    stored = [word for body in desk.bodies for word in body]
    assert len(stored) == 400
    for who in range(8):
        assert [word for word in stored if word.startswith(f"{who} ")] == [f"{who} {number}" for number in range(50)]


def test_batches_and_questions_take_turns_with_messages(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: desk.publish(asked) if "ids" in asked.query or b"\n" not in asked.body else batch())

    def batch() -> Reply:
        return Reply({"message": "m", "count": 2, "copies": 2, "first": "x", "last": "y"})

    publisher = Publisher(a.address)
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    many = pool.submit(publisher.publish_batch, [{"topic": "t", "data": "1"}, {"topic": "t", "data": "2"}])
    wait_until(lambda: waiting(publisher) == 1)
    nodes = pool.submit(publisher.nodes)
    wait_until(lambda: waiting(publisher) == 2)
    rest = [pool.submit(publisher.publish, "t", word) for word in ("x", "y")]
    wait_until(lambda: waiting(publisher) == 4)
    assert len(a.asked) == 1
    desk.go.set()
    assert many.result(LIMIT_SECONDS).count == 2
    assert [row.id for row in nodes.result(LIMIT_SECONDS)] == ["1001"]
    assert sorted(receipt.id for receipt in receipts(rest)) == ["id of x", "id of y"]
    assert first.result(LIMIT_SECONDS).id == "id of first"
    assert [(asked.path, asked.body.count(b"\n")) for asked in a.asked] == [
        ("/publish", 0),
        ("/list_replicas", 0),  # the first answer is followed by a look at who is there
        ("/publish", 2),
        ("/list_replicas", 0),
        ("/publish", 1),
    ]


def interrupting(monkeypatch: pytest.MonkeyPatch, publisher: Publisher, data: bytes) -> None:
    """Interrupt the thread that sends `data` for the first time, when the broker has got it."""
    send, hits = publisher.pool.transport.send, list[bytes]()

    def interrupt(address: str, call: Call, seconds: float) -> BrokerAnswer:
        answer = send(address, call, seconds)
        if data in (call.body or b"") and not hits:
            hits.append(data)
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(publisher.pool.transport, "send", interrupt)


def test_an_interrupt_of_the_caller_that_sends_is_its_own(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(a.address)
    interrupting(monkeypatch, publisher, b'"c"')
    one, two, three = results(gather(pool, desk, publisher, *data("a", "b", "c")))
    assert isinstance(three, KeyboardInterrupt)
    for receipt, word in ((one, "a"), (two, "b")):
        assert isinstance(receipt, MessageReceipt)
        assert (receipt.id, receipt.duplicate) == (f"id of {word}", False)
    assert desk.bodies[1:] == [["a", "b", "c"], ["a", "b"]]
    keys = [[json.loads(line)["key"] for line in asked.body.splitlines()] for asked in a.came("POST", "/publish")]
    assert keys[2] == keys[1][:2]
    assert publisher.publish("t", "next").id == "id of next"


def test_a_caller_that_is_interrupted_while_it_waits_takes_its_message_out(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(a.address)
    wait, stop = Post.wait, threading.Event()

    def interrupted(post: Post, seconds: float) -> None:
        if post.text == "b":
            assert stop.wait(LIMIT_SECONDS)
            raise KeyboardInterrupt
        wait(post, seconds)

    monkeypatch.setattr(Post, "wait", interrupted)
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    calls = [pool.submit(publisher.publish, "t", word) for word in ("a", "b", "c")]
    wait_until(lambda: waiting(publisher) == 3)
    stop.set()
    assert isinstance(calls[1].exception(LIMIT_SECONDS), KeyboardInterrupt)
    desk.go.set()
    first.result(LIMIT_SECONDS)
    assert sorted(receipt.id for receipt in receipts([calls[0], calls[2]])) == ["id of a", "id of c"]
    assert sorted(desk.bodies[1]) == ["a", "c"]


def test_a_turn_that_comes_to_one_who_is_interrupted_goes_on_to_the_next(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(a.address)
    wait = Post.wait

    def interrupted(post: Post, seconds: float) -> None:
        wait(post, seconds)
        if post.text == "c":
            raise KeyboardInterrupt

    monkeypatch.setattr(Post, "wait", interrupted)
    one, two, three = results(gather(pool, desk, publisher, *data("a", "b", "c")))
    assert isinstance(one, MessageReceipt)
    assert isinstance(two, MessageReceipt)
    assert isinstance(three, KeyboardInterrupt)
    assert desk.bodies[1:] == [["a", "b"]]


def test_closing_waits_for_nobody_and_cuts_nobody_off(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(a.address)
    closed: list[int] = []
    close = publisher.pool.close
    monkeypatch.setattr(publisher.pool, "close", lambda: (closed.append(len(desk.bodies)), close()))
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    calls = [pool.submit(publisher.publish, "t", word) for word in ("a", "b")]
    wait_until(lambda: waiting(publisher) == 2)
    publisher.close()
    assert closed == []
    desk.go.set()
    assert sorted(receipt.id for receipt in receipts([first, *calls])) == ["id of a", "id of b", "id of first"]
    wait_until(lambda: closed == [2])
    assert publisher.publish("t", "later").id == "id of later"
    publisher.close()
    assert closed == [2, 3]


# -- calls within calls, other processes


def test_a_call_within_a_call_does_not_wait_for_itself(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    clock = FakeTime()
    nested: list[str] = []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if not nested:
            nested.append("")
            nested[0] = publisher.publish("t", "nested").id

    publisher = Publisher(a.address, clock=clock.clock, sleep=sleep)
    slow_down = iter([problem(429, "too-many", headers={"Retry-After": "1"})])
    desk.refuse = lambda lines: next(slow_down, None) if lines[0]["data"] == "a" else None
    (receipt,) = receipts(gather(pool, desk, publisher, {"data": "a"}))
    assert (receipt.id, nested) == ("id of a", ["id of nested"])


def test_records_that_threads_publish_are_published_once(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.go.set()
    publisher = Publisher(a.address)

    class Handler(logging.Handler):
        def createLock(self) -> None:  # so that the threads meet in the publisher, not before
            self.lock = None

        def emit(self, record: logging.LogRecord) -> None:
            publisher.publish("log", record.getMessage())

    root, handler = logging.getLogger(), Handler(logging.DEBUG)
    level, before = root.level, root.handlers[:]
    root.setLevel(logging.DEBUG)
    root.handlers[:] = [handler]
    try:
        list(pool.map(lambda who: [logging.getLogger("app").debug("%d %d", who, n) for n in range(20)], range(16)))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    published = [word for body in desk.bodies for word in body]
    assert sorted(published) == sorted(f"{who} {n}" for who in range(16) for n in range(20))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_does_not_wait_for_threads_of_its_parent(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    publisher = Publisher(a.address, timeout=LIMIT_SECONDS)
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    call = pool.submit(publisher.publish, "t", "parent")
    wait_until(lambda: waiting(publisher) == 1)
    pid = os.fork()
    if pid == 0:
        try:
            told = publisher.publish("t", "child")
            os._exit(0 if told.id == "id of child" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    desk.go.set()
    assert [receipt.id for receipt in receipts([first, call])] == ["id of first", "id of parent"]
    assert desk.bodies == [["first"], ["child"], ["parent"]]


def test_an_outbox_whose_calls_have_ended_holds_nothing(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    publisher = Publisher(a.address)
    results(gather(pool, desk, publisher, *data("a", "b", "c")))
    outbox: Outbox = publisher._outbox()
    wait_until(lambda: not outbox._within)
    assert (outbox._waiting, outbox._leader) == ([], None)
