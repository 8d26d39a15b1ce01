"""Threads that share one Publisher: what is gathered, and that each call gets its own receipt or error."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from newswire.client import MessageReceipt, Publisher
from newswire.client.gathering import late
from newswire.client.outbox import Outbox, Post
from newswire.client.transport import BrokerAnswer, Call
from newswire.core import limits
from newswire.errors import (
    BadRequest,
    FewerCopies,
    KeyReused,
    NewswireError,
    NoBroker,
    NotEnoughCopies,
    Refused,
    TooLarge,
    Unknown,
)
from tests.kit.client_fakes import LIMIT_SECONDS, Asked, FakeBroker, FakeTime, Reply, problem
from tests.kit.waiting import wait_until


class Desk:
    """Answers POST /publish as a broker does, by the messages' data; holds the first request until it is told to go on."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.go = threading.Event()
        self.known: set[str] = set()  # data of what is stored already
        self.refuse: Callable[[list[dict[str, Any]]], Reply | None] = lambda lines: None  # None: store
        self.lost = 0  # requests that are stored and not answered
        self.bodies: list[list[str]] = []
        broker.on("POST", "/publish", self.publish)

    def publish(self, asked: Asked) -> Reply | None:
        lines = [json.loads(line) for line in asked.body.splitlines()]
        self.bodies.append([line["data"] for line in lines])
        if len(self.bodies) == 1:
            assert self.go.wait(LIMIT_SECONDS)
        refused = self.refuse(lines)
        if refused is not None:
            return refused
        again = [number for number, line in enumerate(lines, 1) if line["data"] in self.known]
        self.known |= {line["data"] for line in lines}
        if self.lost:
            self.lost -= 1
            return None
        ids = [f"id of {line['data']}" for line in lines]
        if asked.headers["content-type"] == "application/json":
            told = {"message": "m", "id": ids[0], "copies": 2} | ({"duplicate": True} if again else {})
        else:
            assert asked.query["ids"] == "1"
            told = {"message": "m", "count": len(lines) - len(again), "copies": 2, "ids": ids}
            told |= {"duplicates": len(again), "duplicate_lines": again} if again else {}
        return Reply(told)


@pytest.fixture
def desk(a: FakeBroker) -> Desk:
    return Desk(a)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(80) as pool:
        yield pool


def waiting(publisher: Publisher) -> int:
    """How many calls wait for the one that is in flight."""
    return len(publisher._outbox()._waiting)


def gather(pool: ThreadPoolExecutor, desk: Desk, publisher: Publisher, *calls: dict[str, Any]) -> list[Future[MessageReceipt]]:
    """One call of its own that is held in flight, and `calls`, in this order, which wait for it; then all go on."""
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    futures = []
    for number, call in enumerate(calls, 1):
        futures.append(pool.submit(publisher.publish, **{"topic": "t", **call}))
        wait_until(lambda number=number: waiting(publisher) == number)  # type: ignore[misc]
    desk.go.set()
    first.result(LIMIT_SECONDS)
    return futures


def results(futures: list[Future[MessageReceipt]]) -> list[MessageReceipt | BaseException]:
    return [future.exception(LIMIT_SECONDS) or future.result() for future in futures]


def receipts(futures: list[Future[MessageReceipt]]) -> list[MessageReceipt]:
    return [future.result(LIMIT_SECONDS) for future in futures]


def data(*words: str) -> list[dict[str, Any]]:
    return [{"data": word} for word in words]


# -- what is gathered


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


# -- to each its own


def test_what_was_stored_before_is_told_to_those_who_sent_it(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.known = {"b", "d"}
    told = receipts(gather(pool, desk, Publisher(a.address), *data("a", "b", "c", "d")))
    assert [receipt.duplicate for receipt in told] == [False, True, False, True]


def bad_words(*bad: str, code: str = "bad-field", **extra: Any) -> Callable[[list[dict[str, Any]]], Reply | None]:
    """Refuse as a broker does: a batch with the number of its first bad line, a message by itself without."""

    def refuse(lines: list[dict[str, Any]]) -> Reply | None:
        status = 409 if code == "key-reused" else 400
        for number, line in enumerate(lines, 1):
            if line["data"] in bad and len(lines) > 1:
                return problem(status, code, f"line {number}: mind {line['data']}", line=number, **extra)
            if line["data"] in bad:
                return problem(status, code, f"mind {line['data']}", **extra)
        return None

    return refuse


def test_a_bad_message_fails_its_own_call_only(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.refuse = bad_words("b", "d")
    one, two, three, four, five = results(gather(pool, desk, Publisher(a.address), *data("a", "b", "c", "d", "e")))
    assert [x.id for x in (one, three, five) if isinstance(x, MessageReceipt)] == ["id of a", "id of c", "id of e"]
    for error, word in ((two, "b"), (four, "d")):
        assert isinstance(error, BadRequest)
        assert (error.detail, error.code, error.extra) == (f"mind {word}", "bad-field", {})
    assert desk.bodies[1:] == [["a", "b", "c", "d", "e"], ["a", "c", "d", "e"], ["a", "c", "e"]]


def test_the_caller_that_sends_may_be_the_bad_one(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.refuse = bad_words("c")
    one, two, three = results(gather(pool, desk, Publisher(a.address), *data("a", "b", "c")))
    assert isinstance(one, MessageReceipt)
    assert isinstance(two, MessageReceipt)
    assert isinstance(three, BadRequest)


def test_a_reused_key_names_the_message_that_it_stands_for(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.refuse = bad_words("b", code="key-reused", id="1001-a.7")
    one, two = results(gather(pool, desk, Publisher(a.address), *data("a", "b")))
    assert isinstance(one, MessageReceipt)
    assert isinstance(two, KeyReused)
    assert (two.detail, two.extra) == ("mind b", {"id": "1001-a.7"})
    assert desk.bodies[1:] == [["a", "b"], ["a"]]


def test_what_a_line_cannot_be_told_exactly_is_sent_by_itself(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    """Of one key for two texts, in one batch, the answer has no id: by itself the second one is told which message is first."""

    def refuse(lines: list[dict[str, Any]]) -> Reply | None:
        if len(lines) > 1 and lines[-1]["data"] == "b":
            return problem(409, "key-reused", f"line {len(lines)}: in the same batch", line=len(lines))
        return problem(409, "key-reused", "for the message x", id="x") if lines[0]["data"] == "b" else None

    desk.refuse = refuse
    one, two = results(gather(pool, desk, Publisher(a.address), *data("a", "b")))
    assert isinstance(one, MessageReceipt)
    assert isinstance(two, KeyReused)
    assert (two.detail, two.extra) == ("for the message x", {"id": "x"})
    assert desk.bodies[1:] == [["a", "b"], ["a"], ["b"]]


def test_a_refusal_that_names_no_line_is_told_to_each_as_if_it_were_alone(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker
) -> None:
    desk.refuse = lambda lines: (
        problem(403, "forbidden", f"not {lines[0]['data']}") if len(lines) > 1 or lines[0]["data"] == "b" else None
    )
    one, two, three = results(gather(pool, desk, Publisher(a.address), *data("a", "b", "c")))
    assert isinstance(one, MessageReceipt)
    assert isinstance(three, MessageReceipt)
    assert isinstance(two, Refused)
    assert two.detail == "not b"
    assert desk.bodies[1:] == [["a", "b", "c"], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize("answer", [problem(413, "too-large"), Reply(b"<html>413</html>", 413)])
def test_what_is_too_large_together_is_halved(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, answer: Reply) -> None:
    desk.refuse = lambda lines: answer if sum(len(line["data"]) for line in lines) > 5 else None
    *told, last = results(gather(pool, desk, Publisher(a.address), *data("aa", "bb", "cc", "d", "eeeeee")))
    assert [x.id for x in told if isinstance(x, MessageReceipt)] == ["id of aa", "id of bb", "id of cc", "id of d"]
    assert isinstance(last, TooLarge)
    assert desk.bodies[2:] == [["aa", "bb"], ["cc", "d", "eeeeee"], ["cc"], ["d", "eeeeee"], ["d"], ["eeeeee"]]


def test_slow_down_is_for_all_of_them(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    answer = problem(429, "too-many", headers={"Retry-After": "600"})
    desk.refuse = lambda lines: answer if lines[0]["data"] != "first" else None
    told = results(gather(pool, desk, Publisher(a.address), *data("a", "b")))
    assert [getattr(error, "code", "") for error in told] == ["too-many", "too-many"]
    assert told[0] is not told[1]
    assert len(desk.bodies) == 2


def test_too_few_copies_is_told_to_each_after_one_round(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, b: FakeBroker
) -> None:
    desk.refuse = lambda lines: problem(503, "not-enough-copies") if lines[0]["data"] != "first" else None
    b.on("POST", "/publish", lambda asked: problem(503, "not-enough-copies"))
    told = results(gather(pool, desk, Publisher([a.address, b.address]), *data("a", "b")))
    assert all(isinstance(error, NotEnoughCopies) for error in told)
    assert (len(desk.bodies), len(b.came("POST", "/publish"))) == (2, 1)


def test_fewer_copies_is_told_to_each_with_its_id(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    answer = problem(503, "fewer-copies-than-asked", id="i.2", copies=1, ids=["i.1", "i.2"])
    desk.refuse = lambda lines: answer if lines[0]["data"] != "first" else None
    told = results(gather(pool, desk, Publisher(a.address, copies=2), *data("a", "b")))
    assert [error.extra for error in told if isinstance(error, FewerCopies)] == [
        {"id": "i.1", "copies": 1},
        {"id": "i.2", "copies": 1},
    ]


def test_a_batch_that_is_not_named_is_asked_for_one_by_one(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.refuse = lambda lines: Reply({"message": "m", "count": 2, "copies": 2}) if len(lines) > 1 else None
    desk.known = {"a", "b"}  # as the batch has left it
    told = receipts(gather(pool, desk, Publisher(a.address), *data("a", "b")))
    assert [(receipt.id, receipt.duplicate) for receipt in told] == [("id of a", False), ("id of b", False)]


# -- failures


def test_the_other_broker_gets_the_same_lines(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, b: FakeBroker) -> None:
    other = Desk(b)
    other.go.set()
    desk.refuse = lambda lines: Reply(b"<html>502</html>", 502) if lines[0]["data"] != "first" else None
    told = receipts(gather(pool, desk, Publisher([a.address, b.address]), *data("a", "b")))
    assert [(receipt.id, receipt.broker) for receipt in told] == [("id of a", b.address), ("id of b", b.address)]
    assert a.came("POST", "/publish")[1].body == b.came("POST", "/publish")[0].body


def test_after_a_try_without_an_answer_nothing_counts_as_a_duplicate(
    pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, b: FakeBroker
) -> None:
    other = Desk(b)
    other.go.set()
    other.known = {"a", "b"}
    desk.refuse = lambda lines: Reply(b"", 500) if lines[0]["data"] != "first" else None
    told = receipts(gather(pool, desk, Publisher([a.address, b.address]), *data("a", "b")))
    assert [receipt.duplicate for receipt in told] == [False, False]


def test_nor_when_the_next_try_has_a_bad_line(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, b: FakeBroker) -> None:
    other = Desk(b)
    other.go.set()
    other.known = {"a", "b", "c"}
    other.refuse = bad_words("b")
    desk.refuse = lambda lines: Reply(b"", 500) if lines[0]["data"] != "first" else None
    one, two, three = results(gather(pool, desk, Publisher([a.address, b.address]), *data("a", "b", "c")))
    assert isinstance(two, BadRequest)
    for receipt in (one, three):
        assert isinstance(receipt, MessageReceipt)
        assert not receipt.duplicate


def test_an_unknown_outcome_is_told_to_each_with_its_key(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    time = FakeTime()
    publisher = Publisher(a.address, clock=time.clock, sleep=time.sleep)
    desk.refuse = lambda lines: problem(503, "unknown-outcome") if lines[0]["data"] != "first" else None
    calls = [{"data": word, "key": f"key of {word}"} for word in ("a", "b")]
    told = results(gather(pool, desk, publisher, *calls))
    for error, key in zip(told, ("key of a", "key of b"), strict=True):
        assert isinstance(error, Unknown)
        assert error.extra["key"] == key
        assert key in error.detail
    assert told[0] is not told[1]
    bodies = {asked.body for asked in a.came("POST", "/publish")[1:]}
    assert len(bodies) == 1, "each try has the same lines"


def test_nobody_there_is_told_to_each(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    time = FakeTime()
    publisher = Publisher(a.address, clock=time.clock, sleep=time.sleep)

    def last_word(lines: list[dict[str, Any]]) -> Reply:
        a._server.shutdown()
        a._server.socket.close()
        return Reply({"message": "m", "id": "i"}, headers={"Connection": "close"})

    desk.refuse = last_word
    told = results(gather(pool, desk, publisher, *data("a", "b")))
    assert len(desk.bodies) == 1
    assert [type(error) for error in told] == [NoBroker, NoBroker]


@pytest.mark.parametrize("in_flight", [False, True])
def test_a_call_ends_when_its_time_is_over(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker, in_flight: bool) -> None:
    """One that waits was not sent; one that is in flight may be stored."""
    publisher = Publisher(a.address)
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    release = threading.Event()

    def hold(lines: list[dict[str, Any]]) -> None:
        if lines[0]["data"] != "first":
            release.wait(LIMIT_SECONDS)

    desk.refuse = hold
    short = Post(publisher.pool.clock() + (2.0 if in_flight else 0.3), None, b'{"topic": "t", "data": "short"}', key="k")

    def deliver() -> NewswireError | MessageReceipt:
        publisher._outbox().deliver(short)
        return short.outcome or late(short)

    call = pool.submit(deliver)
    wait_until(lambda: waiting(publisher) == 1)
    if in_flight:
        long = pool.submit(publisher.publish, "t", "long")
        wait_until(lambda: waiting(publisher) == 2)
        desk.go.set()
        wait_until(lambda: len(desk.bodies) == 2)
    error = call.result(LIMIT_SECONDS)
    release.set()
    desk.go.set()
    first.result(LIMIT_SECONDS)
    if in_flight:
        assert isinstance(error, Unknown)
        assert error.extra["key"] == "k"
        assert long.result(LIMIT_SECONDS).id == "id of long"
    else:
        assert isinstance(error, NoBroker)
        assert desk.bodies == [["first"]]
        assert publisher.publish("t", "next").id == "id of next"


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


# -- calls within calls, forks


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
