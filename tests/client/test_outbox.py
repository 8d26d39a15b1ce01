"""Threads that share one Publisher: whose turn it is, which messages go together, and who leaves while it waits."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from newswire.client import MessageReceipt, Publisher
from newswire.client.outbox import Outbox
from newswire.client.posts import LaterPost, Post, settle_all
from newswire.client.transport import BrokerAnswer, Call
from newswire.core import limits
from newswire.errors import BadRequest
from tests.kit.client_fakes import LIMIT_SECONDS, Asked, FakeBroker, FakeTime, Reply, hooks, problem, stored, taking_batches
from tests.kit.desk import Desk, bad_words, data, gather, receipts, results, waiting
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
    told = receipts(gather(pool, desk, Publisher(a.address, in_flight=1), *data(*words)))
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

    publisher = Publisher(a.address, in_flight=1)
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


# -- several requests at once


def test_another_request_begins_when_enough_wait_and_no_more_than_told_are_in_flight(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIENT_GATHER_LEAST", 2)
    go = threading.Event()
    desk.go.set()

    def hold(lines: list[dict[str, Any]]) -> None:
        assert go.wait(LIMIT_SECONDS)

    desk.refuse = hold
    publisher = Publisher(a.address, in_flight=2)
    calls = []
    for number, (bodies, behind) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]):
        calls.append(pool.submit(publisher.publish, "t", str(number)))
        wait_until(lambda told=(bodies, behind): (len(desk.bodies), waiting(publisher)) == told)  # type: ignore[misc]
    go.set()
    assert [receipt.id for receipt in receipts(calls)] == [f"id of {number}" for number in range(6)]
    assert desk.bodies == [["0"], ["1", "2"], ["3", "4", "5"]]


def test_messages_do_not_wait_for_a_long_batch(pool: ThreadPoolExecutor, a: FakeBroker) -> None:
    go = threading.Event()

    def answer(asked: Asked) -> Reply:
        if b"long" in asked.body:
            assert go.wait(LIMIT_SECONDS)
            return taking_batches(asked)
        return stored("short")

    a.on("POST", "/publish", answer)
    publisher = Publisher(a.address)
    publisher.nodes()
    long = pool.submit(publisher.publish_batch, [{"topic": "t", "data": "long"}] * 2)
    a.wait_for("POST", "/publish")
    assert publisher.publish("t", "x").id == "short"
    go.set()
    assert long.result(LIMIT_SECONDS).count == 2


class Ticks:
    """A clock that a request moves on, and nothing else."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_was_just_told_goes_together_in_the_next_request(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a moment's wait the first that is back would go by itself, each second time."""
    monkeypatch.setattr(limits, "CLIENT_LINGER_SECONDS", LIMIT_SECONDS)
    clock, sizes, go = Ticks(), list[int](), threading.Event()

    def send(posts: list[Post], until: float) -> None:
        sizes.append(len(posts))
        assert go.wait(LIMIT_SECONDS)
        clock.now += 2 * LIMIT_SECONDS
        settle_all(posts, [MessageReceipt(post.text, 2, "m", "b") for post in posts])

    outbox = Outbox(send, clock)

    def publish(who: str, rounds: int) -> None:
        for number in range(rounds):
            post = Post(math.inf, None, b"x", text=f"{who} {number}")
            outbox.deliver(post)
            assert isinstance(post.outcome, MessageReceipt)
            assert post.outcome.id == f"{who} {number}"

    calls = [pool.submit(publish, "first", 11)]
    wait_until(lambda: sizes == [1])
    calls += [pool.submit(publish, str(who), 10) for who in range(7)]
    wait_until(lambda: len(outbox._waiting) == 7)
    go.set()
    for call in calls:
        call.result(LIMIT_SECONDS)
    assert sizes == [1] + 10 * [8]


# -- published later


def senders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "newswire-publish"]


def test_what_is_published_later_goes_in_few_requests_and_in_order_where_that_is_asked(desk: Desk, a: FakeBroker) -> None:
    with Publisher(a.address, in_flight=1) as publisher:
        told = [publisher.publish_later("t", str(number), copies=1 if number == 600 else None) for number in range(1000)]
        wait_until(lambda: len(desk.bodies) == 1)
        desk.go.set()
        last = publisher.publish("t", "last")
    first = len(desk.bodies[0])  # that had come when the thread began to send
    whole, part = divmod(600 - first, 256)
    assert [len(body) for body in desk.bodies] == [first, *whole * [256], *([part] if part else []), 1, 256, 144]
    assert [word for body in desk.bodies for word in body] == [*map(str, range(1000)), "last"]
    assert [future.result(0).id for future in told] == [f"id of {number}" for number in range(1000)]
    assert last.id == "id of last"
    wait_until(lambda: not senders())


def test_requests_of_what_is_published_later_are_in_flight_together(desk: Desk, a: FakeBroker) -> None:
    publisher, others = Publisher(a.address, in_flight=2), senders()
    told = [publisher.publish_later("t", str(number)) for number in range(500)]
    # others are answered while the first is held; fewer than so many wait for it
    wait_until(lambda: sum(map(len, desk.bodies)) > 500 - limits.CLIENT_GATHER_LEAST)
    assert len(set(senders()) - set(others)) <= 2
    desk.go.set()
    assert [future.result(LIMIT_SECONDS).id for future in told] == [f"id of {number}" for number in range(500)]
    publisher.close()
    assert len(desk.bodies) <= 12


def test_each_message_that_is_published_later_has_its_own_error(desk: Desk, a: FakeBroker) -> None:
    desk.refuse = bad_words("b", "d")
    with Publisher(a.address) as publisher:
        one, two, three, four = (publisher.publish_later("t", word) for word in ("a", "b", "c", "d"))
        desk.go.set()
    assert [one.result(0).id, three.result(0).id] == ["id of a", "id of c"]
    for future in (two, four):
        assert isinstance(future.exception(0), BadRequest)
    with pytest.raises(BadRequest):
        publisher.publish_later("no topic", "x")
    with pytest.raises(TypeError, match="decode it"):
        publisher.publish_later("t", b"x")  # type: ignore[arg-type]


def test_so_many_wait_and_no_more(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_LATER_MESSAGES", 3)
    publisher = Publisher(a.address)
    told = [publisher.publish_later("t", str(number)) for number in range(3)]
    wait_until(lambda: len(desk.bodies) == 1)
    call = pool.submit(publisher.publish_later, "t", "3")
    wait_until(lambda: len(publisher._outbox()._room._waiters) == 1)  # type: ignore[attr-defined]
    assert not any(future.done() for future in (*told, call))
    desk.go.set()
    assert [future.result(LIMIT_SECONDS).id for future in (*told, call.result(LIMIT_SECONDS))] == [
        f"id of {number}" for number in range(4)
    ]
    publisher.close()


def test_who_finds_no_room_in_time_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_LATER_MESSAGES", 1)
    clock, go = Ticks(), threading.Event()

    def send(posts: list[Post], until: float) -> None:
        assert go.wait(LIMIT_SECONDS)
        settle_all(posts, [MessageReceipt(post.text, 2, "m", "b") for post in posts])

    outbox = Outbox(send, clock)
    assert outbox.deliver_later(LaterPost(math.inf, None, b"x"))
    clock.now = 10.0
    assert not outbox.deliver_later(LaterPost(9.0, None, b"x"))
    go.set()
    outbox.flush()


def test_what_is_cancelled_before_it_is_sent_is_not(desk: Desk, a: FakeBroker) -> None:
    with Publisher(a.address, in_flight=1) as publisher:
        first = publisher.publish_later("t", "first")
        wait_until(lambda: len(desk.bodies) == 1)
        one, two = publisher.publish_later("t", "one"), publisher.publish_later("t", "two")
        assert (first.cancel(), one.cancel()) == (False, True)
        desk.go.set()
    assert (first.result(0).id, two.result(0).id, one.cancelled()) == ("id of first", "id of two", True)
    assert desk.bodies == [["first"], ["two"]]
    wait_until(lambda: publisher._outbox()._later == {})  # they are told before it is noted


class SlowSend:
    """Sends when it is told to, and keeps the bodies."""

    def __init__(self) -> None:
        self.go, self.bodies = threading.Event(), list[list[bytes]]()

    def __call__(self, posts: list[Post], until: float) -> None:
        self.bodies.append([post.body for post in posts])
        assert self.go.wait(LIMIT_SECONDS)
        settle_all(posts, [MessageReceipt(post.text, 2, "m", "b") for post in posts])


@pytest.mark.parametrize("in_flight", [1, 2])
def test_work_of_its_own_that_comes_behind_what_was_cancelled_is_no_message(pool: ThreadPoolExecutor, in_flight: int) -> None:
    send = SlowSend()
    outbox = Outbox(send, time.monotonic, in_flight)
    until = time.monotonic() + LIMIT_SECONDS
    outbox.deliver_later(LaterPost(until, None, b"first"))
    wait_until(lambda: send.bodies == [[b"first"]])
    cancelled = LaterPost(until, None, b"x")
    outbox.deliver_later(cancelled)
    assert cancelled.future.cancel()
    work = pool.submit(outbox.run_alone, lambda: "done", until)
    wait_until(lambda: len(outbox._waiting) == 2 or work.done())
    send.go.set()
    assert work.result(2 * LIMIT_SECONDS) == ("done",)
    assert b"" not in [body for bodies in send.bodies for body in bodies]


def test_who_waits_for_room_has_it_when_all_that_waits_was_cancelled(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIENT_LATER_MESSAGES", 2)
    send = SlowSend()
    outbox = Outbox(send, time.monotonic, 1)
    until = time.monotonic() + LIMIT_SECONDS
    call = pool.submit(outbox.deliver, Post(until, None, b"first"))
    wait_until(lambda: send.bodies == [[b"first"]])
    two = [LaterPost(until, None, b"x") for _ in range(2)]
    for post in two:
        outbox.deliver_later(post)
        assert post.future.cancel()
    later = LaterPost(until + 2 * LIMIT_SECONDS, None, b"later")
    has_room = pool.submit(outbox.deliver_later, later)
    wait_until(lambda: len(outbox._room._waiters) == 1)  # type: ignore[attr-defined]
    send.go.set()
    call.result(LIMIT_SECONDS)
    assert has_room.result(LIMIT_SECONDS)
    assert later.future.result(LIMIT_SECONDS).copies == 2


def test_who_is_called_back_may_publish_and_close(desk: Desk, a: FakeBroker) -> None:
    """In the thread that has sent it, whose calls are answered when they return."""
    publisher = Publisher(a.address)
    ids: list[str] = []

    def told(future: Future[MessageReceipt]) -> None:
        ids.append(future.result().id)
        ids.append(publisher.publish("t", "now").id)
        ids.append(publisher.publish_later("t", "later").result(0).id)
        publisher.close()

    publisher.publish_later("t", "x").add_done_callback(told)
    desk.go.set()  # not before: of a future that is done the callback runs in this thread
    publisher.flush()
    wait_until(lambda: ids == ["id of x", "id of now", "id of later"])


def test_without_a_thread_the_caller_sends(desk: Desk, a: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of the interpreter."""
    desk.go.set()

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "newswire-publish":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    publisher = Publisher(a.address)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        publisher._outbox().deliver_later(post := LaterPost(math.inf, None, b'{"data": "x"}'))
    assert post.future.result(0).id == "id of x"


def test_a_fault_of_ours_is_told_to_those_that_it_hits() -> None:
    faults = iter([ValueError("a fault")])

    def send(posts: list[Post], until: float) -> None:
        for fault in faults:
            raise fault
        settle_all(posts, [MessageReceipt(post.text, 2, "m", "b") for post in posts])

    outbox = Outbox(send, Ticks(), 1)
    for expected in (ValueError, type(None)):
        post = LaterPost(math.inf, None, b"x")
        outbox.deliver_later(post)
        assert isinstance(post.future.exception(LIMIT_SECONDS), expected)


# -- interrupts


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

    publisher = Publisher(a.address, **{**hooks(clock), "sleep": sleep})
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
    assert (list(outbox._waiting), outbox._waiting_bytes, outbox._next, outbox._flights) == ([], 0, None, {})
