"""What a program may give the client library, and what it is told where Python would make something else of it."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from newswire.client import BrokerPool, Message, Publisher, Subscriber
from newswire.errors import BadRequest
from tests.kit.client_fakes import Asked, FakeBroker, FakeTime, Reply, hooks


@pytest.fixture
def a() -> Iterator[FakeBroker]:
    broker = FakeBroker("1001")
    broker.on("POST", "/publish", _taking)
    broker.on("POST", "/subscribe", lambda asked: Reply({"message": "ok"}))
    broker.on("GET", "/messages", lambda asked: Reply({"messages": [], "more": False}))
    yield broker
    broker.down()


def _taking(asked: Asked) -> Reply:
    count = len(asked.body.splitlines())
    return Reply({"message": "m", "id": "x.1", "count": count, "first": "x.1", "last": "x.2", "copies": 2})


@pytest.fixture
def publisher(a: FakeBroker) -> Publisher:
    return Publisher(a.address)


@pytest.fixture
def alice(a: FakeBroker) -> Subscriber:
    return Subscriber(a.address, "alice")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"data": b"x"}, "`data` must be a str, not bytes: decode it"),
        ({"data": bytearray(b"x")}, "`data` must be a str, not bytearray"),
        ({"data": None}, "`data` is None: give a str"),
        ({"data": 5}, "`data` must be a str, not int: str"),
        ({"data": Path("x")}, r"`data` must be a str, not PosixPath: path\.read_text"),
        ({"data": {"a": 1}}, r"`data` must be a str, not dict: json\.dumps"),
        ({"data": ["a"]}, r"`data` must be a str, not list: json\.dumps"),
        ({"data": datetime.now(timezone.utc)}, "`data` must be a str, not datetime"),
        ({"topic": None}, "`topic` is None"),
        ({"topic": b"t"}, "`topic` must be a str, not bytes"),
        ({"title": 5}, "`title` must be a str"),
        ({"click": Path("x")}, "`click` must be a str"),
        ({"key": 5}, "`key` must be a str"),
        ({"key": b"k"}, "`key` must be a str"),
        ({"priority": True}, "`priority` must be an int, not bool"),
        ({"priority": "4"}, "`priority` must be an int, not str: int"),
        ({"priority": 4.0}, "`priority` must be an int, not float"),
        ({"expires": timedelta(hours=1)}, "`expires` must be an int, not timedelta"),
        ({"expires": Decimal(5)}, "`expires` must be an int, not Decimal"),
        ({"copies": True}, "`copies` must be an int, not bool"),
        ({"copies": "2"}, "`copies` must be an int, not str"),
        ({"tags": "a,b"}, r'`tags` must be a list of words, not one str: \["a,b"\], or tags\.split'),
        ({"tags": b"a"}, "`tags` must be a list of str, not bytes"),
        ({"tags": {"a": 1}}, "`tags` must be a list of str, not dict"),
        ({"tags": 5}, "`tags` must be a list of str, not int"),
        ({"tags": ["a", 5]}, r"`tags\[1\]` must be a str, not int"),
        ({"tags": [None]}, r"`tags\[0\]` is None"),
    ],
)
def test_what_is_not_meant_is_told_and_not_sent(a: FakeBroker, publisher: Publisher, given: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        publisher.publish(**({"topic": "t", "data": "x"} | given))
    assert not a.asked


class Eleven:
    """A whole number of somebody else's type, as numpy has."""

    def __index__(self) -> int:
        return 11


def test_what_is_meant_is_taken(a: FakeBroker, publisher: Publisher) -> None:
    tags: list[Any] = [("a", "b"), (word for word in "ab"), ["a", "b"], {"a": 1, "b": 2}.keys()]
    for one in tags:
        publisher.publish("t", "x", tags=one, title=None, priority=None, click=None, key=None, expires=None, copies=None)
    publisher.publish("t", "x", expires=Eleven())  # type: ignore[arg-type]
    sent = [asked.json for asked in a.came("POST", "/publish")]
    assert [one["tags"] for one in sent[:-1]] == [["a", "b"]] * len(tags)
    assert all(one.keys() == {"topic", "data", "tags", "key"} for one in sent[:-1])
    assert sent[-1]["expires"] == 11


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ("text", "`messages` must be a list of messages, not str"),
        (b"text", "`messages` must be a list of messages, not bytes"),
        ({"topic": "t", "data": "x"}, "`messages` must be a list of messages, not dict: put it into a list"),
        (Message("a", "e", topic="t"), "`messages` must be a list of messages, not Message"),
        (None, "`messages` must be a list of messages, not NoneType"),
        (["text"], "message 1 must be a mapping .* not str"),
        ([{"topic": "t", "data": "x"}, ("t", "x")], "message 2 must be a mapping"),
        ([{"topic": "t", "data": b"x"}], "message 1: `data` must be a str, not bytes"),
        ([{"topic": "t", "data": "x"}, {"topic": "t", "data": Path("x")}], "message 2: `data` must be a str"),
        ([{"topic": "t", "data": "x", "tags": {"a"}}], "message 1: `tags` must be a str, not set"),
        ([{"topic": "t", "data": "x", "tags": [b"a"]}], "message 1: `tags` must be a str"),
        ([{"topic": "t", "data": datetime.now()}], "message 1: `data` must be a str, not datetime"),
        ([{"topic": "t", "data": float("nan")}], "message 1: `data` must be a str, not float"),
    ],
)
def test_a_batch_is_checked_too(a: FakeBroker, publisher: Publisher, messages: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        publisher.publish_batch(messages)
    assert not a.came("POST", "/publish")


def test_a_batch_may_come_from_a_generator(a: FakeBroker, publisher: Publisher) -> None:
    assert publisher.publish_batch({"topic": "t", "data": str(n)} for n in range(3)).count == 3


def test_half_a_character_is_refused(a: FakeBroker, publisher: Publisher) -> None:
    with pytest.raises(BadRequest, match="half of a character"):
        publisher.publish("t", "\ud800")
    with pytest.raises(BadRequest, match=r"message 1: .*half of a character"):
        publisher.publish_batch([{"topic": "t", "data": "\ud800"}])


CASES: list[tuple[Callable[[str], Any], str]] = [
    (lambda at: Publisher(None), "`brokers` must be a list of str, not NoneType"),  # type: ignore[arg-type]
    (lambda at: Publisher(at.encode()), "`brokers` must be a list of str, not bytes"),  # type: ignore[arg-type]
    (lambda at: Publisher([at, 5]), r"`brokers\[1\]` must be a str, not int"),  # type: ignore[list-item]
    (lambda at: Publisher(Path(at)), "`brokers` must be a list of str, not PosixPath"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, timeout="5"), "`timeout` must be a number of seconds, not str"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, timeout=None), "`timeout` must be a number of seconds, not NoneType"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, timeout=True), "`timeout` must be a number of seconds, not bool"),
    (lambda at: Publisher(at, timeout=timedelta(1)), r"timeout\.total_seconds\(\)"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, copies=True), "`copies` must be an int, not bool"),
    (lambda at: Publisher(at, token=b"x"), "`token` must be a str, not bytes"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, password=b"x"), "`password` must be a str, not bytes"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, password="x"), "without `user`"),
    (lambda at: Publisher(at, user="ann"), "without `password`"),
    (lambda at: Publisher(at, token="x", user="ann", password="y"), "one is enough"),
    (lambda at: Publisher({at}), "not a set: the first is the one to try first"),  # type: ignore[arg-type]
    (lambda at: Publisher(at, verify=None), "`verify` must be True, False or the path"),  # type: ignore[arg-type]
    (lambda at: BrokerPool(at, clock=5), "`clock` must be a function, not int"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, b"alice"), "`username` must be a str, not bytes"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, None), "`username` is None"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, 5), "`username` must be a str, not int"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").subscribe(None), "`topic` is None"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").subscribe(["t"]), "`topic` must be a str, not list"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").unsubscribe(b"t"), "`topic` must be a str, not bytes"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").subscribe("t", datetime.now()), r"without a time zone: since\.astimezone\(\)"),
    (lambda at: Subscriber(at, "a").subscribe("t", date.today()), "`since` must be a str .* not date"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").subscribe("t", 90), "`since` must be a str .* not int"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").messages(since=5), "`since` must be a str"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").messages(limit="5"), "`limit` must be an int, not str"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").messages(limit=True), "`limit` must be an int, not bool"),
    (lambda at: Subscriber(at, "a").messages(topic=5), "`topic` must be a str"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").ack(None), "`event_id` is None"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").ack(5), "`event_id` must be a str"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").stream(last_event_id=5), "`last_event_id` must be a str"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").stream(stop=True), r"`stop` must be a threading\.Event, not bool"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").stream(on_state="x"), "`on_state` must be a function, not str"),  # type: ignore[arg-type]
    (lambda at: Subscriber(at, "a").stream().taken("id"), "`item` must be what the stream gave"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("use", "told"), CASES, ids=[told for _, told in CASES])
def test_every_parameter_is_checked(a: FakeBroker, use: Callable[[str], Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        use(a.address)
    assert not a.asked


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_is_above_nothing(a: FakeBroker, seconds: float) -> None:
    with pytest.raises(ValueError, match="`timeout` must be a number of seconds above 0"):
        Publisher(a.address, timeout=seconds)


@pytest.mark.parametrize("ack", ["client", "auto", None, 2, "True"])
def test_ack_is_one_of_three(alice: Subscriber, ack: Any) -> None:
    with pytest.raises(ValueError, match='`ack` must be True, False or "manual"'):
        alice.stream(ack=ack)


def test_times_are_sent_as_brokers_read_them(a: FakeBroker, alice: Subscriber) -> None:
    zone = timezone(timedelta(hours=2))
    alice.subscribe("t", datetime(2026, 11, 24, 9, 41, tzinfo=zone))
    alice.subscribe("t", datetime(2026, 11, 24, 9, 41, 0, 500_000, tzinfo=timezone.utc))
    alice.subscribe("t", timedelta(minutes=90))
    alice.subscribe("t", "earliest")
    alice.messages(since=timedelta(days=2))
    sent = [asked.form["from"] for asked in a.came("POST", "/subscribe")]
    assert sent == ["2026-11-24T09:41:00+02:00", "2026-11-24T09:41:00.500000+00:00", "5400s", "earliest"]
    assert a.came("GET", "/messages")[0].query["since"] == "172800s"


@pytest.mark.parametrize(
    "brokers", ["localhost", ["localhost"], "http://a:1/path", "ftp://a:1", "a:0", "a:b", "tcp://10.0.0.1:5053", "", [], ","]
)
def test_a_broker_is_an_address(brokers: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        Publisher(brokers)
    assert refused.value.code == "bad-address"


def test_brokers_may_be_written_in_several_ways(a: FakeBroker) -> None:
    for brokers in (a.address, [a.address], (a.address,), f" {a.address}, ", [f"{a.address},b:1"], iter([a.address])):
        assert Publisher(brokers).pool.brokers.configured[0] == a.address  # type: ignore[arg-type]
    assert Publisher("https://news.example/").pool.brokers.configured == ("https://news.example",)


def test_a_duplicate_is_passed_on(a: FakeBroker, publisher: Publisher) -> None:
    stored = {"message": "m", "id": "x.1", "copies": 2, "duplicate": True}
    a.on("POST", "/publish", lambda asked: Reply(stored))
    assert publisher.publish("t", "x", key="mine").duplicate
    told = {"message": "m", "count": 1, "first": "x.1", "last": "x.2", "copies": 2, "duplicates": 2}
    a.on("POST", "/publish", lambda asked: Reply(told))
    receipt = publisher.publish_batch([{"topic": "t", "data": "x"}] * 3)
    assert (receipt.count, receipt.duplicates) == (1, 2)
    assert receipt.message == "Published 1 message, 2 were published before"


def test_what_a_try_of_this_very_call_stored_is_no_duplicate(a: FakeBroker) -> None:
    time = FakeTime()
    publisher = Publisher(a.address, **hooks(time))
    replies = iter([None, Reply({"message": "m", "id": "x.1", "copies": 2, "duplicate": True})])
    a.on("POST", "/publish", lambda asked: next(replies))  # took it, and died before the answer
    assert not publisher.publish("t", "x", key="mine").duplicate
    told = {"message": "m", "count": 1, "first": "x.1", "last": "x.3", "copies": 2, "duplicates": 2}
    batches = iter([None, Reply(told)])
    a.on("POST", "/publish", lambda asked: next(batches))
    receipt = publisher.publish_batch([{"topic": "t", "data": "x"}] * 3)
    assert (receipt.count, receipt.duplicates, receipt.message) == (3, 0, "Published 3 messages")


class Colour(enum.StrEnum):
    """A text of a class of its own."""

    RED = "red"


def test_a_text_of_another_class_is_what_it_holds(a: FakeBroker, publisher: Publisher) -> None:
    publisher.publish(Colour.RED, Colour.RED, title=Colour.RED, tags=[Colour.RED])
    publisher.publish_batch([{"topic": Colour.RED, "data": Colour.RED, "tags": [Colour.RED]}])
    one, batch = a.came("POST", "/publish")
    assert (one.json["topic"], one.json["data"], one.json["title"], one.json["tags"]) == ("red", "red", "red", ["red"])
    assert (batch.json["topic"], batch.json["data"], batch.json["tags"]) == ("red", "red", ["red"])


def test_a_call_without_anybody_there_ends_as_soon_as_it_is_told(a: FakeBroker) -> None:
    a.down()
    time = FakeTime()
    publisher = Publisher(a.address, absent=0, **hooks(time, threading.active_count))
    with pytest.raises(Exception, match="no broker is there"):
        publisher.publish("t", "x")
    assert time.slept == []


def test_when_it_is_delivered(a: FakeBroker, publisher: Publisher) -> None:
    zone = timezone(timedelta(hours=1))
    for at in ("2026-11-28T09:41:00Z", datetime(2026, 11, 28, 9, 41, tzinfo=zone)):
        publisher.publish("t", "x", at=at)
    for delay in ("30m", 90, timedelta(seconds=1.5)):
        publisher.publish("t", "x", delay=delay)
    sent = [asked.json for asked in a.came("POST", "/publish")]
    assert [one["at"] for one in sent[:2]] == ["2026-11-28T09:41:00Z", "2026-11-28T09:41:00+01:00"]
    assert [one["delay"] for one in sent[2:]] == ["30m", "90s", "2s"]
    with pytest.raises(TypeError, match="without a time zone"):
        publisher.publish("t", "x", at=datetime(2026, 11, 28))
    for wrong in (1.5, True, b"3m"):
        with pytest.raises(TypeError, match="`delay` must be"):
            publisher.publish("t", "x", delay=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`at` must be"):
        publisher.publish("t", "x", at=1.5)  # type: ignore[arg-type]
