"""Several messages in one batch: each call gets its own receipt or error, whatever the batch is answered."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from newswire.client import MessageReceipt, Publisher
from newswire.client.gathering import late
from newswire.client.posts import Post
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
from tests.kit.client_fakes import LIMIT_SECONDS, FakeBroker, FakeTime, Reply, hooks, problem
from tests.kit.desk import DUE, Desk, bad_words, data, gather, receipts, results, waiting
from tests.kit.waiting import wait_until


def test_what_was_stored_before_is_told_to_those_who_sent_it(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.known = {"b", "d"}
    told = receipts(gather(pool, desk, Publisher(a.address), *data("a", "b", "c", "d")))
    assert [receipt.duplicate for receipt in told] == [False, True, False, True]


def test_a_retry_of_what_was_withdrawn_says_so_beside_others(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    desk.known, desk.withdrawn = {"b", "d"}, {"d"}
    told = receipts(gather(pool, desk, Publisher(a.address), *data("a", "b", "c", "d")))
    assert [receipt.withdrawn for receipt in told] == [False, False, False, True]
    assert told[1].message == "Published topic t data b"
    assert told[3].message == "Not published, as it was withdrawn or is over: topic t data d"


def test_what_is_scheduled_goes_by_itself_and_is_told_when(pool: ThreadPoolExecutor, desk: Desk, a: FakeBroker) -> None:
    calls = [{"data": "a"}, {"data": "b"}, {"data": "later", "delay": 60}, {"data": "c"}]
    told = receipts(gather(pool, desk, Publisher(a.address), *calls))
    assert [receipt.due for receipt in told] == ["", "", DUE, ""]
    assert desk.bodies[1:] == [["a", "b"], ["later"], ["c"]]


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
    publisher = Publisher(a.address, **hooks(time))
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
    publisher = Publisher(a.address, **hooks(time))

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
    time = FakeTime()
    publisher = Publisher(a.address, clock=time.clock, sleep=time.sleep)
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    release = threading.Event()

    def hold(lines: list[dict[str, Any]]) -> None:
        if lines[0]["data"] != "first":
            release.wait(LIMIT_SECONDS)

    desk.refuse = hold
    # it looks at the clock, which stands still, this often
    short = Post(time.now + 0.01, None, b'{"topic": "t", "data": "short"}', key="k")

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
    time.now += 1.0
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


def test_what_waited_until_its_time_was_over_is_not_sent(desk: Desk, a: FakeBroker) -> None:
    time = FakeTime()
    publisher = Publisher(a.address, in_flight=1, **hooks(time))
    first = publisher.publish_later("t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    waits = publisher.publish_later("t", "waits")
    time.now += 2 * publisher.pool.timeout
    last = publisher.publish_later("t", "last")
    desk.go.set()
    publisher.close()
    assert (first.result(0).id, last.result(0).id) == ("id of first", "id of last")
    assert isinstance(waits.exception(0), NoBroker)
    assert desk.bodies == [["first"], ["last"]]
