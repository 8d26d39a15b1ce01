"""A stream of topics without a subscription: what it brings, and where it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from newswire.client import BrokerPool, Gap, Message
from newswire.client.topic_stream import TopicStream
from newswire.errors import Refused
from tests.kit.client_fakes import FakeBroker, FakeTime, Reply, Wire, hooks


def opens(*ids: str, then: Callable[[Wire], None] = Wire.stay) -> Callable[[Wire], None]:
    def script(wire: Wire) -> None:
        wire.start()
        wire.send('event: open\ndata: {"event": "open"}\n\n')
        for id in ids:
            fields = {"id": id, "time": 1795858452, "event": "message", "topic": "t", "message": f"text {id}", "tags": ["x"]}
            wire.send(f"id: e-{id}\ndata: {json.dumps(fields)}\n\n")
        then(wire)

    return script


def topics(time: FakeTime, broker: FakeBroker, *names: str, since: str | None = None) -> TopicStream:
    return TopicStream(BrokerPool(broker.address, **hooks(time)), names, since=since, pause=time.sleep)


def test_it_goes_on_behind_what_came_and_acknowledges_nothing(a: FakeBroker) -> None:
    a.stream(opens("1", "2", then=Wire.end), opens("2", "3"))
    with topics(FakeTime(), a, "t", "u", since="1h") as stream:
        items = [next(stream) for _ in range(3)]
    first, second = a.came("GET", "/t,u/sse")
    assert [item.data for item in items if isinstance(item, Message)] == ["text 1", "text 2", "text 3"]
    assert items[0] == Message("1", "e-1", topic="t", data="text 1", time="2026-11-28T09:34:12.000Z", tags=("x",))
    assert first.query == {"since": "1h"}
    assert "last-event-id" not in first.headers
    assert (second.query, second.headers["last-event-id"]) == ({}, "e-2")
    assert a.came("POST", "/ack") == []


def test_before_anything_came_it_goes_on_where_the_connection_was(a: FakeBroker) -> None:
    time = FakeTime()

    def ends(wire: Wire) -> None:
        time.now += 30
        wire.end()

    a.stream(opens(then=ends), opens("1"))
    with topics(time, a, "t") as stream:
        assert isinstance(next(stream), Message)
    first, second = a.came("GET", "/t/sse")
    assert first.query == {}
    assert int(second.query["since"].removesuffix("s")) >= 2


def test_what_is_missing_is_told(a: FakeBroker) -> None:
    def gap(wire: Wire) -> None:
        wire.send('event: keepalive\ndata: {"topic": "t", "dropped": 3}\n\nevent: keepalive\ndata: {"topic": "t"}\n\n')
        wire.stay()

    a.stream(opens(then=gap))
    with topics(FakeTime(), a, "t", since="all") as stream:
        assert next(stream) == Gap(topic="t", dropped=3)


def test_a_refusal_is_in_words(a: FakeBroker) -> None:
    a.on("GET", "/t/sse", lambda asked: Reply({"code": 40301, "http": 403, "error": "you may not read t"}, 403))
    with pytest.raises(Refused, match="you may not read t"):
        next(topics(FakeTime(), a, "t"))
