"""Streams of topics, without a subscription, as ntfy's wire has them (docs/rules.md, TOPICS)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from newswire.config import Settings
from newswire.core.access import Principal
from newswire.core.model import event_ids
from newswire.core.model.commands import AddGrant, AddUser, RevokeGrant
from newswire.engine.seam import LATEST
from newswire.ntfy import Filters, NtfyWire
from newswire.stream_order import StreamOrder
from tests.kit.stream_fakes import Client, Clock, Newsroom
from tests.kit.waiting import wait_until


@pytest.fixture
def room(make: Callable[..., Newsroom]) -> Newsroom:
    """Where time stands still, so that no keepalive, which is a line here, comes between."""
    return make(clock=Clock())


def reading(*topics: str, user: str = "", **fields: Any) -> StreamOrder:
    return StreamOrder(user, asker=user, ack="none", topics=topics, **{"wire": NtfyWire("json"), **fields})


def lines(client: Client, count: int) -> list[dict[str, Any]]:
    """The next `count` lines."""
    while client.plain.count(b"\n") < count:
        assert not client.closed
        client.receive()
    *whole, rest = client.plain.split(b"\n")
    client.plain = b"\n".join([*whole[count:], rest])
    return [json.loads(line) for line in whole[:count]]


def texts(client: Client, count: int) -> list[str]:
    return [line["message"] for line in lines(client, count)]


def opened(room: Newsroom, order: StreamOrder) -> Client:
    client = room.connect(order=order)
    (first,) = lines(client, 1)
    assert (first["event"], first["topic"]) == ("open", ",".join(order.topics))
    return client


def test_it_brings_what_comes_and_what_there_was_if_asked(room: Newsroom) -> None:
    room.desk.publish("news", "1")
    room.desk.publish("sport", "2")
    room.desk.publish("news", "3")
    now = opened(room, reading("news"))
    everything = opened(room, reading("news", "sport", since=0))
    latest = opened(room, reading("news", "sport", since=LATEST))
    room.desk.publish("other", "x")
    room.desk.publish("news", "4")
    assert texts(now, 1) == ["4"]
    assert texts(everything, 4) == ["1", "2", "3", "4"]
    assert texts(latest, 3) == ["2", "3", "4"]
    assert room.desk.posts == [], "nothing is acknowledged"


def test_who_wants_the_same_shares_what_is_read_and_encoded(room: Newsroom) -> None:
    clients = [opened(room, reading("news", user=user)) for user in ("Alice", "Bob", "", "")]
    picky = opened(room, reading("news", wire=NtfyWire("json", Filters(priorities=(5,)))))
    room.settle()
    before = room.hub.pages.encoding_count
    room.desk.publish("news", "1")
    assert [texts(client, 1) for client in clients] == [["1"]] * 4
    room.settle()
    assert room.hub.pages.encoding_count - before <= 4, "two encodings, and for each the empty page behind it"
    room.desk.publish("news", "2")
    assert texts(clients[0], 1) == ["2"]
    room.settle()
    assert picky.plain == b""
    assert room.hub.message_count == 2 * len(clients), "what a filter keeps back is not delivered"


def test_a_poll_ends_when_there_is_no_more(room: Newsroom) -> None:
    room.desk.publish("news", *(str(number) for number in range(700)))
    poll = room.connect(order=reading("news", since=0, polls=True))
    assert poll.end() == []
    assert [json.loads(line)["message"] for line in poll.plain.splitlines()] == [str(number) for number in range(700)]
    empty = room.connect(order=reading("nothing", since=0, polls=True))
    empty.end()
    assert empty.plain == b""
    wait_until(lambda: not room.hub.count)


def test_a_poll_that_is_refused_ends_before_its_end(make: Callable[..., Newsroom]) -> None:
    """Nobody takes it for all there is."""
    room = make(settings=Settings(streams=1, streams_per_user=1), clock=Clock())
    opened(room, reading("news"))
    poll = room.connect(order=reading("news", since=0, polls=True))
    while not poll.closed:
        poll.receive()
    assert poll.dechunker is not None
    assert not poll.dechunker.finished


def test_a_right_that_is_revoked_ends_it_and_another_leaves_it_where_it_is(room: Newsroom) -> None:
    room.desk.submit_access(AddUser("Alice"), AddGrant("Alice", "subscribe", "news"), AddGrant("Alice", "subscribe", "x"))
    by = Principal(room.desk.state.accounts.account_of("Alice"))
    client = opened(room, reading("news", user="Alice", by=by))
    room.desk.submit_access(RevokeGrant("Alice", "subscribe", "x"))
    room.desk.publish("news", "1")
    assert texts(client, 1) == ["1"]
    room.desk.submit_access(AddGrant("Alice", "subscribe", "x"))
    room.desk.publish("news", "2")
    assert texts(client, 1) == ["2"]
    room.desk.submit_access(RevokeGrant("Alice", "subscribe", "news"))
    assert client.end() == []
    assert client.plain == b""
    room.connect(order=reading("news", user="Alice", by=by)).end()


def test_it_goes_on_behind_a_place_that_was_shown(room: Newsroom) -> None:
    room.desk.publish("news", "1", "2", "3")
    first, *_ = lines(opened(room, reading("news", since=0)), 3)
    event_id = event_ids.parse(first["event_id"])
    assert event_id is not None
    again = opened(room, reading("news", event_id=event_id))
    assert texts(again, 2) == ["2", "3"]


def test_silence_is_broken_in_its_shape(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(clock=clock)
    client = opened(room, reading("news"))
    room.pass_time(clock, 6.0)
    (line,) = lines(client, 1)
    assert (line["event"], line["topic"]) == ("keepalive", "news")


def test_messages_that_are_gone_are_told_of_where_nobody_stumbles(room: Newsroom) -> None:
    room.desk.publish("news", "1", "2")
    room.desk.drop("news")
    room.desk.publish("news", "3")
    gap, message = lines(opened(room, reading("news", since=0)), 2)
    assert (gap["event"], gap["dropped"], message["message"]) == ("keepalive", 2, "3")


def test_streams_of_nobody_count_for_their_address_and_all(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams=100, streams_per_user=2, streams_per_address=3), clock=Clock())
    clients = [opened(room, reading("news", caller="10.0.0.1")) for _ in range(3)]
    room.connect(order=reading("news", caller="10.0.0.1")).end()
    assert room.hub.count == 3
    opened(room, reading("news", caller="10.0.0.2"))
    clients[0].reset()
    wait_until(lambda: room.hub.count == 3)
