"""What a stream says that is no news."""

from __future__ import annotations

import json

import pytest

from newswire import sse
from newswire.core import limits
from newswire.core.broker.values import BrokerStatus
from newswire.streams import notices
from newswire.streams.notices import successor


def row(broker: str, *, primary: bool = False, state: str = "up", self_: bool = False, streams: int = 0) -> BrokerStatus:
    return BrokerStatus(broker, f"127.0.0.1:{broker}", primary, state, 0, self_, streams=streams, streams_limit=20_000)


def test_the_successor_is_the_primary_that_is_up() -> None:
    assert successor([row("1001", primary=True, self_=True)]) == ""
    assert successor([row("1", primary=True, state="down"), row("3"), row("2")]) == "127.0.0.1:2"
    assert successor([row("1", primary=True, state="catching-up"), row("2")]) == "127.0.0.1:2"


def test_of_many_streams_each_goes_where_there_is_room() -> None:
    many = limits.SPREAD_STREAMS
    rows = [row("1", streams=many, self_=True), row("2", primary=True), row("3"), row("4", state="catching-up")]
    assert [successor(rows, chance) for chance in (0.0, 0.4, 0.6, 1.0)] == ["127.0.0.1:2"] * 2 + ["127.0.0.1:3"] * 2
    rows[0] = row("1", streams=many - 1, self_=True)
    assert successor(rows, 1.0) == "127.0.0.1:2"


@pytest.mark.parametrize("as_json", [True, False])
def test_the_greeting_says_who_greets_and_how_soon_to_come_again(as_json: bool) -> None:
    reader = sse.EventReader()
    (event,) = reader.feed(notices.greeting("1001", as_json=as_json))
    assert reader.retry == limits.RETRY_MILLISECONDS
    if as_json:
        assert (event.name, json.loads(event.data)) == ("open", {"message": sse.GREETING, "broker": "1001"})
    else:
        assert (event.name, event.data) == ("message", sse.GREETING)


def test_not_now_is_a_comment_with_a_time() -> None:
    reader = sse.EventReader()
    assert reader.feed(notices.not_now("nobody is here")) == []
    assert (reader.comment, reader.retry) == ("nobody is here", limits.RETRY_LATER_MILLISECONDS)
    reader.feed(notices.not_now("there was no room", 20.0))
    assert (reader.comment, reader.retry) == ("there was no room", 20_000)


def test_moved_names_the_successor() -> None:
    (event,) = sse.EventReader().feed(notices.moved("127.0.0.1:1002"))
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1002"})


def test_a_stream_that_goes_on_is_told_why_it_might_move() -> None:
    reader = sse.EventReader()
    (event,) = reader.feed(notices.move("127.0.0.1:1002"))
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1002", "reason": "load"})
    assert reader.retry is None
