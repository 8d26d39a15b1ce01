"""What a stream says that is no news."""

from __future__ import annotations

import json

import pytest

from newswire import sse
from newswire.core import limits
from newswire.core.broker.values import BrokerStatus
from newswire.streams import notices
from newswire.streams.notices import successor


def row(broker: str, *, primary: bool = False, state: str = "up", self_: bool = False) -> BrokerStatus:
    return BrokerStatus(broker, f"127.0.0.1:{broker}", primary, state, 0, self_)


def test_the_successor_is_the_primary_that_is_up() -> None:
    assert successor([row("1001", primary=True, self_=True)]) == ""
    assert successor([row("1", primary=True, state="down"), row("3"), row("2")]) == "127.0.0.1:2"
    assert successor([row("1", primary=True, state="catching-up"), row("2")]) == "127.0.0.1:2"


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
    (event,) = sse.EventReader().feed(notices.moved([row("1001", self_=True), row("1002")]))
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1002"})
