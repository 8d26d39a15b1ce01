"""What a publisher sends, and what it makes of the answers."""

from __future__ import annotations

import json

import pytest

import newswire
from newswire.client import Message, Publisher, Subscriber
from newswire.core import limits
from newswire.errors import (
    BadRequest,
    FewerCopies,
    NewswireError,
    Unknown,
)
from tests.kit.client_fakes import (
    FakeBroker,
    FakeTime,
    Reply,
    problem,
    publisher,
    row,
    stored,
    taking_batches,
)


def test_the_package_offers_both() -> None:
    assert newswire.Publisher is Publisher
    assert newswire.Subscriber is Subscriber


# -- publish


def test_publish_sends_what_was_given_and_nothing_else(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: stored())
    with publisher(FakeTime(), a, new_key=lambda: "k1", token="secret") as p:
        receipt = p.publish("Google", "Hello Google")
        p.publish(
            "Google",
            "",
            title="t",
            priority=4,
            tags=("x", "y"),
            click="http://c/",
            key="mine",
            expires=60,
            confirm=9,
            escalate="late",
            copies=2,
        )
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
        "confirm": 9,
        "escalate": "late",
    }
    assert full.query == {"copies": "2"}


def test_each_publish_has_a_key_of_its_own(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: stored())
    p = publisher(FakeTime(), a)
    p.publish("Google", "1")
    p.publish("Google", "2")
    first, second = (x.json["key"] for x in a.came("POST", "/publish"))
    assert first != second


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


def test_perhaps_stored_is_unknown_and_tells_the_key(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: None)  # took it, died before the answer
    with pytest.raises(Unknown) as raised:
        publisher(FakeTime(), a, new_key=lambda: "k1").publish("Google", "Hello")
    assert raised.value.extra["key"] == "k1"
    assert {x.json["key"] for x in a.asked} == {"k1"}
    assert len(a.asked) > 1


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


def test_a_batch_goes_on_elsewhere_with_the_same_lines(a: FakeBroker, b: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: None)
    b.on("POST", "/publish", taking_batches)
    assert publisher(FakeTime(), a, b).publish_batch([{"topic": "Google", "data": "1"}]).count == 1
    assert a.came("POST", "/publish")[0].body == b.came("POST", "/publish")[0].body


def test_what_an_earlier_try_of_a_batch_scheduled_is_not_said_to_be_published(a: FakeBroker, b: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: None)
    told = {
        "message": "m",
        "count": 1,
        "copies": 2,
        "first": "x.1",
        "last": "x.4",
        "duplicates": 3,
        "waiting": 1,
        "withdrawn": 1,
    }
    b.on("POST", "/publish", lambda asked: Reply(told))
    receipt = publisher(FakeTime(), a, b).publish_batch([{"topic": "Google", "data": str(n)} for n in range(4)])
    assert (receipt.count, receipt.scheduled, receipt.duplicates, receipt.waiting) == (3, 1, 1, 0)
    assert receipt.message == "Published 2 messages, scheduled 1, 1 not published, withdrawn before or over"


@pytest.mark.parametrize("field", ["at", "delay", "replaces"])
def test_what_says_when_or_instead_of_what_is_not_left_out_where_it_is_empty(a: FakeBroker, field: str) -> None:
    a.on("POST", "/publish", lambda asked: stored())
    publisher(FakeTime(), a).publish("Google", "Hello", title="", **{field: ""})  # type: ignore[arg-type]
    (asked,) = a.came("POST", "/publish")
    assert asked.json[field] == ""  # a broker refuses it, and publishes nothing in its place
    assert "title" not in asked.json


def test_a_refused_batch_tells_its_line_of_all_and_what_is_stored(a: FakeBroker) -> None:
    bad = problem(400, "bad-line", "line 3: a topic is 1 to 128 characters", line=3)
    a.on("POST", "/publish", lambda asked: taking_batches(asked) if len(asked.body.splitlines()) > 5 else bad)
    with pytest.raises(BadRequest, match=rf"^line {limits.BATCH_MESSAGES + 3}: a topic") as raised:
        publisher(FakeTime(), a).publish_batch({"topic": "Google", "data": "x"} for _ in range(limits.BATCH_MESSAGES + 5))
    assert raised.value.extra == {"published": limits.BATCH_MESSAGES, "line": limits.BATCH_MESSAGES + 3}


def test_an_empty_batch_asks_nobody(a: FakeBroker) -> None:
    assert publisher(FakeTime(), a).publish_batch([]).count == 0
    assert a.asked == []


def test_nodes_and_primary(a: FakeBroker, b: FakeBroker) -> None:
    a.rows = [row(b, state="down"), row(a, is_primary=True, self=True, seconds=1.5)]
    p = publisher(FakeTime(), a)
    assert [(r.id, r.state) for r in p.nodes()] == [("1001", "up"), ("1002", "down")]
    assert p.primary() == a.address


def test_none_sends_what_came_before_it(a: FakeBroker) -> None:
    a.on("POST", "/publish", taking_batches)
    told: list[int] = []
    messages = [None, {"topic": "t", "data": "1"}, {"topic": "t", "data": "2"}, None, None, {"topic": "t", "data": "3"}]
    with publisher(FakeTime(), a) as p:
        assert p.publish_batch(messages, progress=told.append).count == 3
        assert told == [2, 3]
        with pytest.raises(TypeError, match="message 2 must be a mapping"):
            p.publish_batch([{"topic": "t", "data": "1"}, None, 5])  # type: ignore[list-item]


def test_a_message_is_withdrawn_and_replaced_by_its_id(a: FakeBroker) -> None:
    path = "/messages/1001-a.7"
    a.on("DELETE", path, lambda asked: Reply({"message": "Withdrew message 1001-a.7"}))
    a.on("POST", "/publish", lambda asked: stored())
    with publisher(FakeTime(), a) as p:
        assert p.withdraw("1001-a.7") == "Withdrew message 1001-a.7"
        p.publish("Google", "newer", replaces="1001-a.7")
        with pytest.raises(TypeError):
            p.withdraw(7)  # type: ignore[arg-type]
    assert len(a.came("DELETE", path)) == 1
    assert a.came("POST", "/publish")[0].json["replaces"] == "1001-a.7"


@pytest.mark.parametrize("strange", [{}, [], {"message": 7}, {"ok": True}])
def test_nothing_is_withdrawn_by_who_says_nothing_of_it(a: FakeBroker, strange: object) -> None:
    a.on("DELETE", "/messages/1001-a.7", lambda asked: Reply(strange))
    with publisher(FakeTime(), a) as p, pytest.raises(NewswireError, match="is no newswire broker"):
        p.withdraw("1001-a.7")


@pytest.mark.parametrize("id", ["", "..", "1001-a.7/x", "e~1001-a.7"])
def test_what_is_no_id_is_not_withdrawn(id: str) -> None:
    with Publisher("127.0.0.1:1") as publisher, pytest.raises(BadRequest, match="must be an id"):
        publisher.withdraw(id)
