"""What a subscriber asks brokers, beside its stream."""

from __future__ import annotations

import pytest

from newswire.client import Message, Subscriber
from newswire.errors import (
    BadRequest,
    NotFound,
)
from tests.kit.client_fakes import (
    FakeBroker,
    FakeTime,
    Reply,
    problem,
    subscriber,
)

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
