"""Where a call goes, how often and how long it is tried, and what ends it (docs/rules.md, TRY); what menus are shown."""

from __future__ import annotations

import threading

import pytest

from newswire.client import BrokerPool, Publisher
from newswire.client.transport import BrokerAnswer, Call
from newswire.client.unreached import Unreached
from newswire.core import limits
from newswire.errors import (
    BadRequest,
    Forbidden,
    NewswireError,
    NoBroker,
    NotEnoughCopies,
    Refused,
    TooLarge,
    Unknown,
)
from tests.kit.client_fakes import (
    LIMIT_SECONDS,
    Asked,
    FakeBroker,
    FakeTime,
    Reply,
    hooks,
    problem,
    publisher,
    row,
    stored,
)


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


def test_a_primary_that_hangs_is_left_when_its_share_of_the_time_is_over(
    a: FakeBroker, b: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIENT_TRY_SECONDS", 0.3)  # of a real clock: the time-out is the socket's
    release = threading.Event()

    def hang(asked: Asked) -> None:
        release.wait(LIMIT_SECONDS)

    a.on("POST", "/publish", hang)
    b.on("POST", "/publish", lambda asked: stored())
    p = Publisher([a.address, b.address])
    assert p.publish("Google", "Hello").broker == b.address
    release.set()


def test_tries_grow_longer_since_all_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_TRY_SECONDS", 2.8)
    time, given = FakeTime(), []

    def send(address: str, call: Call, seconds: float) -> BrokerAnswer:
        given.append(seconds)
        time.now += seconds
        raise Unreached("no answer in time", silent=True)

    p = Publisher("a:1,b:2", timeout=100, **hooks(time))
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
        (403, "forbidden", Forbidden),
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


def test_a_url_is_that_of_the_broker_s_own_scheme() -> None:
    c = BrokerPool(["https://news.example.org", "10.0.0.2:5054"])
    assert c.url_for("/stream") == "https://news.example.org/stream"
    assert c.transport.url("10.0.0.2:5054", "/stream") == "http://10.0.0.2:5054/stream"
