from __future__ import annotations

import json
import threading
from typing import Any

import pytest

import newswire
from newswire.client import BrokerPool, Message, Publisher, Subscriber
from newswire.client.publisher import batches
from newswire.client.transport import BrokerAnswer, Call, Unreached
from newswire.core import limits
from newswire.errors import (
    BadRequest,
    FewerCopies,
    NewswireError,
    NoBroker,
    NotEnoughCopies,
    NotFound,
    Refused,
    TooLarge,
    Unknown,
)
from tests.kit.client_fakes import LIMIT_SECONDS, Asked, FakeBroker, FakeTime, Reply, problem, row


def publisher(time: FakeTime, *brokers: FakeBroker, **more: Any) -> Publisher:
    return Publisher([x.address for x in brokers], clock=time.clock, sleep=time.sleep, chance=lambda: 0.0, **more)


def subscriber(time: FakeTime, *brokers: FakeBroker, **more: Any) -> Subscriber:
    return Subscriber([x.address for x in brokers], "Alice", clock=time.clock, sleep=time.sleep, chance=lambda: 0.0, **more)


def stored(id: str = "1001-a.1", copies: int = 2) -> Reply:
    return Reply({"message": "Published topic Google data Hello Google", "id": id, "copies": copies})


def taking_batches(asked: Asked) -> Reply:
    count = len(asked.body.splitlines())
    return Reply({"message": f"Published {count} messages", "count": count, "first": "x.1", "last": f"x.{count}", "copies": 2})


def test_the_package_offers_both() -> None:
    assert newswire.Publisher is Publisher
    assert newswire.Subscriber is Subscriber


# -- publish


def test_publish_sends_what_was_given_and_nothing_else(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: stored())
    with publisher(FakeTime(), a, new_key=lambda: "k1", token="secret") as p:
        receipt = p.publish("Google", "Hello Google")
        p.publish("Google", "", title="t", priority=4, tags=("x", "y"), click="http://c/", key="mine", expires=60, copies=2)
    assert (receipt.id, receipt.copies, receipt.broker) == ("1001-a.1", 2, a.address)
    assert receipt.message == "Published topic Google data Hello Google"
    plain, full = a.came("POST", "/publish")
    assert plain.json == {"topic": "Google", "data": "Hello Google", "key": "k1"}
    assert plain.query == {}
    assert plain.headers["authorization"] == "Bearer secret"
    assert full.json == {
        "topic": "Google",
        "data": "",
        "title": "t",
        "priority": 4,
        "tags": ["x", "y"],
        "click": "http://c/",
        "key": "mine",
        "expires": 60,
    }
    assert full.query == {"copies": "2"}


def test_each_publish_has_a_key_of_its_own(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: stored())
    p = publisher(FakeTime(), a)
    p.publish("Google", "1")
    p.publish("Google", "2")
    first, second = (x.json["key"] for x in a.came("POST", "/publish"))
    assert first != second


@pytest.mark.parametrize(
    "broken",
    [
        None,
        problem(500, "internal"),
        problem(502, "unreachable"),
        problem(503, "not-ready"),
        problem(503, "unknown-outcome"),
        problem(408, "timeout"),
        Reply(b"<html>Bad gateway</html>", 502),
        problem(507, "storage-full"),
    ],
)
def test_what_another_broker_may_do_better_goes_there_with_the_same_key(
    a: FakeBroker, b: FakeBroker, broken: Reply | None
) -> None:
    a.on("POST", "/publish", lambda asked: broken)
    b.on("POST", "/publish", lambda asked: stored(copies=1))
    receipt = publisher(FakeTime(), a, b).publish("Google", "Hello")
    assert receipt.broker == b.address
    assert a.came("POST", "/publish")[0].body == b.came("POST", "/publish")[0].body
    assert a.came("POST", "/publish")[0].json["key"]


def test_a_dead_primary(a: FakeBroker, b: FakeBroker) -> None:
    a.down()
    b.on("POST", "/publish", lambda asked: stored(copies=1))
    time = FakeTime()
    assert publisher(time, a, b).publish("Google", "Family Event").broker == b.address
    assert time.slept == []


def test_a_primary_that_hangs_is_left_when_its_share_of_the_time_is_over(a: FakeBroker, b: FakeBroker) -> None:
    release = threading.Event()

    def hang(asked: Asked) -> None:
        release.wait(LIMIT_SECONDS)

    a.on("POST", "/publish", hang)
    b.on("POST", "/publish", lambda asked: stored())
    p = Publisher([a.address, b.address], timeout=0.6)  # a real clock: the time-out is the socket's
    assert p.publish("Google", "Hello").broker == b.address
    release.set()


def test_tries_grow_longer_since_all_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    time, given = FakeTime(), []

    def send(address: str, call: Call, seconds: float) -> BrokerAnswer:
        given.append(seconds)
        time.now += seconds
        raise Unreached("no answer in time", silent=True)

    p = Publisher("a:1,b:2", timeout=100, clock=time.clock, sleep=time.sleep, chance=lambda: 0.0)
    monkeypatch.setattr(p.pool.transport, "send", send)
    with pytest.raises(Unknown):
        p.publish("Google", "Hello")
    first = limits.CLIENT_TRY_SECONDS
    assert given[:4] == [first, 2 * first, 4 * first, 8 * first]
    assert time.now == pytest.approx(1100, abs=limits.BACKOFF_MOST_SECONDS)


def test_back_at_the_primary_when_it_is_back(a: FakeBroker, b: FakeBroker) -> None:
    b.on("POST", "/publish", lambda asked: stored(copies=1))
    a.on("POST", "/publish", lambda asked: stored())
    time = FakeTime()
    p = publisher(time, a, b)
    a.down()
    b.rows = [row(a, state="down"), row(b, is_primary=True, self=True)]
    assert p.publish("Google", "1").broker == b.address
    assert p.publish("Google", "2").broker == b.address
    a.up()
    time.now += 3600  # A's rest is over, but B still calls it down
    assert p.publish("Google", "3").broker == b.address
    b.rows = [row(a, is_primary=True), row(b, self=True)]
    assert p.publish("Google", "4").broker == b.address  # told less than 5 s ago
    time.now += limits.CLIENT_LOOK_AWAY_SECONDS
    assert p.publish("Google", "5").broker == a.address


def test_learned_brokers_stand_in_for_the_configured_one(a: FakeBroker, b: FakeBroker) -> None:
    for broker in (a, b):
        broker.on("POST", "/publish", lambda asked: stored())
    a.rows = [row(a, is_primary=True, self=True), row(b)]
    p = publisher(FakeTime(), a)
    p.publish("Google", "1")
    assert a.came("GET", "/list_replicas") == []  # one publish is one request
    p.publish("Google", "2")
    a.down()
    assert p.publish("Google", "3").broker == b.address


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad-field", BadRequest),
        (401, "unauthenticated", Refused),
        (403, "forbidden", Refused),
        (409, "other-cluster", NewswireError),
        (413, "too-large", TooLarge),
        (405, "wrong-method", Refused),
    ],
)
def test_a_refusal_is_raised_at_once(a: FakeBroker, b: FakeBroker, status: int, code: str, kind: type[NewswireError]) -> None:
    a.on("POST", "/publish", lambda asked: problem(status, code, "do this instead"))
    with pytest.raises(kind, match="do this instead") as raised:
        publisher(FakeTime(), a, b).publish("Google", "Hello")
    assert raised.value.code == code
    assert b.asked == []


def test_a_redirect_is_not_followed(a: FakeBroker, b: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: Reply(b"", 302, {"Location": f"http://{b.address}/publish"}))
    with pytest.raises(Refused, match="302"):
        publisher(FakeTime(), a).publish("Google", "Hello")
    assert b.asked == []


def test_a_bad_topic_costs_no_request(a: FakeBroker) -> None:
    with pytest.raises(BadRequest):
        publisher(FakeTime(), a).publish("no topic", "x")
    with pytest.raises(BadRequest):
        publisher(FakeTime(), a).publish("Google", "\ud800")
    assert a.asked == []


def test_fewer_copies_is_raised_with_what_was_stored(a: FakeBroker, b: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: problem(503, "fewer-copies-than-asked", id="1001-a.7", copies=1))
    with pytest.raises(FewerCopies) as raised:
        publisher(FakeTime(), a, b).publish("Google", "Hello", copies=2)
    assert raised.value.extra == {"id": "1001-a.7", "copies": 1}
    assert b.asked == []


def test_not_enough_copies_is_raised_after_one_round(a: FakeBroker, b: FakeBroker) -> None:
    for broker in (a, b):
        broker.on("POST", "/publish", lambda asked: problem(503, "not-enough-copies"))
    time = FakeTime()
    with pytest.raises(NotEnoughCopies):
        publisher(time, a, b, copies=2).publish("Google", "Hello")
    assert len(a.asked) == len(b.asked) == 1
    assert a.asked[0].query == {"copies": "2"}
    assert time.slept == []


def test_slow_down_waits_as_long_as_it_is_told_and_does_not_go_round(a: FakeBroker, b: FakeBroker) -> None:
    replies = iter([problem(429, "too-many", headers={"Retry-After": "3"}), stored()])
    a.on("POST", "/publish", lambda asked: next(replies))
    time = FakeTime()
    assert publisher(time, a, b).publish("Google", "Hello").broker == a.address
    assert time.slept == [3.0]
    assert b.asked == []


def test_slow_down_for_longer_than_there_is_time_is_raised(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: problem(429, "too-many", headers={"Retry-After": "600"}))
    time = FakeTime()
    with pytest.raises(Refused) as raised:
        publisher(time, a).publish("Google", "Hello")
    assert raised.value.code == "too-many"
    assert time.slept == []


def test_not_ready_rests_as_long_as_it_says(a: FakeBroker) -> None:
    replies = iter([problem(503, "not-ready", headers={"Retry-After": "2"}), stored()])
    a.on("POST", "/publish", lambda asked: next(replies))
    time = FakeTime()
    publisher(time, a).publish("Google", "Hello")
    assert time.slept == [2.0]


def test_nobody_there_ends_at_the_deadline_and_says_that_nothing_was_stored(a: FakeBroker, b: FakeBroker) -> None:
    a.down()
    b.down()
    time = FakeTime()
    start = time.now
    with pytest.raises(NoBroker, match=rf"{a.address}: no connection.*{b.address}: no connection"):
        publisher(time, a, b, timeout=10).publish("Google", "Hello")
    assert len(time.slept) > 3
    assert time.now - start < 10
    assert sum(time.slept) > 10 - limits.BACKOFF_MOST_SECONDS


def test_perhaps_stored_is_unknown_and_tells_the_key(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: None)  # took it, died before the answer
    with pytest.raises(Unknown) as raised:
        publisher(FakeTime(), a, new_key=lambda: "k1").publish("Google", "Hello")
    assert raised.value.extra["key"] == "k1"
    assert {x.json["key"] for x in a.asked} == {"k1"}
    assert len(a.asked) > 1


@pytest.mark.parametrize(
    "body", [b"<html>It works!</html>", b'{"id": ' * 100_000, b'{"id": "\xff"}'], ids=["html", "deep", "no UTF-8"]
)
def test_an_answer_that_is_no_brokers(a: FakeBroker, body: bytes) -> None:
    a.on("POST", "/publish", lambda asked: Reply(body))
    with pytest.raises(NewswireError, match="no newswire broker"):
        publisher(FakeTime(), a).publish("Google", "Hello")


# -- batches


def test_a_batch_is_lines_with_keys(a: FakeBroker) -> None:
    a.on("POST", "/publish", taking_batches)
    keys = iter(["k1", "k2"])
    message = Message("1001-a.1", "e", topic="Meta", data="again", time="2026-11-24T21:54:12.345Z", tags=("x",))
    p = publisher(FakeTime(), a, new_key=lambda: next(keys))
    receipt = p.publish_batch([{"topic": "Google", "data": "1"}, {"topic": "G", "data": "2", "key": "mine"}, message])
    (asked,) = a.came("POST", "/publish")
    assert asked.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in asked.body.splitlines()] == [
        {"topic": "Google", "data": "1", "key": "k1"},
        {"topic": "G", "data": "2", "key": "mine"},
        {"topic": "Meta", "data": "again", "tags": ["x"], "key": "k2"},
    ]
    assert (receipt.count, receipt.copies, receipt.first, receipt.last) == (3, 2, "x.1", "x.3")


def test_many_are_cut_into_bodies_within_the_limits_and_progress_is_told(a: FakeBroker) -> None:
    a.on("POST", "/publish", taking_batches)
    told: list[int] = []
    receipt = publisher(FakeTime(), a).publish_batch(
        ({"topic": "Google", "data": str(n)} for n in range(limits.BATCH_MESSAGES + 5)), progress=told.append
    )
    assert told == [limits.BATCH_MESSAGES, limits.BATCH_MESSAGES + 5]
    assert receipt.count == limits.BATCH_MESSAGES + 5
    assert receipt.message == f"Published {receipt.count} messages"
    sent = [json.loads(line)["data"] for x in a.came("POST", "/publish") for line in x.body.splitlines()]
    assert sent == [str(n) for n in range(limits.BATCH_MESSAGES + 5)]


def test_batches_are_cut_by_lines_and_by_bytes() -> None:
    lines = [b"aa\n", b"bb\n", b"cc\n", b"dddddd\n"]
    assert list(batches(lines, 2, 100)) == [[b"aa\n", b"bb\n"], [b"cc\n", b"dddddd\n"]]
    assert list(batches(lines, 100, 9)) == [[b"aa\n", b"bb\n", b"cc\n"], [b"dddddd\n"]]
    assert list(batches([], 2, 2)) == []
    with pytest.raises(TooLarge, match="line 4"):
        list(batches(lines, 100, 6))


def test_a_batch_goes_on_elsewhere_with_the_same_lines(a: FakeBroker, b: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: None)
    b.on("POST", "/publish", taking_batches)
    assert publisher(FakeTime(), a, b).publish_batch([{"topic": "Google", "data": "1"}]).count == 1
    assert a.came("POST", "/publish")[0].body == b.came("POST", "/publish")[0].body


def test_a_refused_batch_tells_its_line_of_all_and_what_is_stored(a: FakeBroker) -> None:
    bad = problem(400, "bad-line", "line 3: a topic is 1 to 128 characters", line=3)
    a.on("POST", "/publish", lambda asked: taking_batches(asked) if len(asked.body.splitlines()) > 5 else bad)
    with pytest.raises(BadRequest, match=rf"^line {limits.BATCH_MESSAGES + 3}: a topic") as raised:
        publisher(FakeTime(), a).publish_batch({"topic": "Google", "data": "x"} for _ in range(limits.BATCH_MESSAGES + 5))
    assert raised.value.extra == {"published": limits.BATCH_MESSAGES, "line": limits.BATCH_MESSAGES + 3}


def test_an_empty_batch_asks_nobody(a: FakeBroker) -> None:
    assert publisher(FakeTime(), a).publish_batch([]).count == 0
    assert a.asked == []


# -- subscriptions


def test_subscribe_and_unsubscribe(a: FakeBroker) -> None:
    a.on("POST", "/subscribe", lambda asked: Reply({"message": "Successfully subscribed Alice to topic Google"}))
    a.on("POST", "/unsubscribe", lambda asked: Reply({"message": "Successfully unsubscribed Alice from topic Google"}))
    s = subscriber(FakeTime(), a)
    assert s.subscribe("Google") == "Successfully subscribed Alice to topic Google"
    s.subscribe("finance.>", since="earliest")
    assert s.unsubscribe("Google") == "Successfully unsubscribed Alice from topic Google"
    assert [x.form for x in a.came("POST", "/subscribe")] == [
        {"username": "Alice", "topic": "Google"},
        {"username": "Alice", "topic": "finance.>", "from": "earliest"},
    ]
    with pytest.raises(BadRequest):
        s.subscribe("a b")
    with pytest.raises(BadRequest):
        Subscriber(a.address, "not a name")


def test_unsubscribing_nothing_is_refused(a: FakeBroker) -> None:
    a.on("POST", "/unsubscribe", lambda asked: problem(404, "no-subscription"))
    with pytest.raises(NotFound):
        subscriber(FakeTime(), a).unsubscribe("Google")


def test_unsubscribing_twice_by_a_retry_is_not(a: FakeBroker, b: FakeBroker) -> None:
    a.on("POST", "/unsubscribe", lambda asked: None)  # did it, died before the answer
    b.on("POST", "/unsubscribe", lambda asked: problem(404, "no-subscription"))
    told = subscriber(FakeTime(), a, b).unsubscribe("Google")
    assert told == "Alice is not subscribed to topic Google (any more)", "who ended it, or whether there was one, nobody knows"


def test_subscriptions_messages_and_ack(a: FakeBroker) -> None:
    a.on(
        "GET", "/subscriptions", lambda asked: Reply([{"topic": "Google", "since": "2026", "index": 3, "unread": 2, "new": 1}])
    )
    page = {"messages": [{"id": "i.1", "event_id": "p~1", "topic": "Google", "data": "Hello", "time": "t"}], "more": True}
    a.on("GET", "/messages", lambda asked: Reply(page))
    s = subscriber(FakeTime(), a)
    (subscription,) = s.subscriptions()
    assert (subscription.topic, subscription.index, subscription.unread) == ("Google", 3, 2)
    found = s.messages("Google", since="1h", limit=1)
    assert found.more
    assert found.messages == (Message("i.1", "p~1", topic="Google", data="Hello", time="t"),)
    assert a.came("GET", "/messages")[0].query == {"username": "Alice", "topic": "Google", "since": "1h", "limit": "1"}
    s.messages()
    assert a.came("GET", "/messages")[1].query == {"username": "Alice", "limit": "100"}
    s.ack("e~1", topic="Google")
    assert a.came("POST", "/ack")[0].form == {"username": "Alice", "id": "e~1", "topic": "Google"}


def test_taken_without_a_stream_says_so(a: FakeBroker) -> None:
    with pytest.raises(BadRequest, match="no stream"):
        subscriber(FakeTime(), a).taken(Message("i", "e", topic="Google"))


# -- what menus show


def pool(time: FakeTime, *brokers: FakeBroker) -> BrokerPool:
    return BrokerPool([x.address for x in brokers], clock=time.clock, sleep=time.sleep, chance=lambda: 0.0)


def test_look_at_two(a: FakeBroker, b: FakeBroker) -> None:
    a.rows = [row(b), row(a, is_primary=True, self=True)]
    look = pool(FakeTime(), a, b).look()
    assert (look.nodes, look.primary, look.moved) == ((a.address, b.address), a.address, False)


def test_look_with_a_dead_primary_that_its_peer_still_believes_in(a: FakeBroker, b: FakeBroker) -> None:
    a.down()
    b.rows = [row(a, is_primary=True), row(b, self=True)]
    c = pool(FakeTime(), a, b)
    look = c.look()
    assert (look.nodes, look.primary, look.moved) == ((b.address,), b.address, True)
    assert c.url_for("/subscribe", {"username": "Alice", "topic": "Google"}) == (
        f"http://{b.address}/subscribe?username=Alice&topic=Google"
    )


def test_look_asks_the_primary_itself_before_it_calls_it_alive(a: FakeBroker, b: FakeBroker) -> None:
    a.down()
    b.rows = [row(a, is_primary=True), row(b, self=True)]
    look = pool(FakeTime(), b).look()  # A is known from B alone
    assert (look.nodes, look.primary) == ((b.address,), b.address)


def test_look_when_the_primary_is_back(a: FakeBroker, b: FakeBroker) -> None:
    time = FakeTime()
    c = pool(time, a, b)
    a.down()
    b.rows = [row(a, state="down"), row(b, is_primary=True, self=True)]
    assert c.look().moved
    a.up()
    a.rows = b.rows = [row(a, is_primary=True), row(b)]
    time.now += 60
    look = c.look()
    assert (look.nodes, look.primary, look.moved) == ((a.address, b.address), a.address, False)


def test_look_with_nobody(a: FakeBroker) -> None:
    a.down()
    with pytest.raises(NoBroker, match="check that one runs there"):
        pool(FakeTime(), a).look()


def test_nodes_and_primary(a: FakeBroker, b: FakeBroker) -> None:
    a.rows = [row(b, state="down"), row(a, is_primary=True, self=True, seconds=1.5)]
    p = publisher(FakeTime(), a)
    assert [(r.id, r.state) for r in p.nodes()] == [("1001", "up"), ("1002", "down")]
    assert p.primary() == a.address


def test_https_is_kept_for_learned_brokers() -> None:
    c = BrokerPool(["https://news.example.org", "10.0.0.2:5054"])
    assert c.url_for("/stream") == "https://news.example.org/stream"
    assert c.transport.url("10.0.0.2:5054", "/stream") == "https://10.0.0.2:5054/stream"
