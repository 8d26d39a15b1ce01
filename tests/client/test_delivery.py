"""What came, what of it was taken, and what follows for acknowledgement and resumption. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from newswire.client import Gap, Message, Withdrawal
from newswire.client.delivery import Delivery, Moved, Opened, UnreadableEvent
from newswire.core import limits
from newswire.sse import Event


def event(id: str, event_id: str = "", name: str = "message", **fields: Any) -> Event:
    event_id = event_id or f"e-{id}"
    return Event(json.dumps({"id": id, "event_id": event_id, "topic": "Google", "data": "x", **fields}), event_id, name)


def test_a_message_is_given_once_and_taken_when_the_next_is_asked_for() -> None:
    delivery = Delivery()
    assert delivery.receive(event("1", later_field=1)) == Message("1", "e-1", topic="Google", data="x")
    assert delivery.resume == delivery.due(0) == ""
    delivery.next()
    assert delivery.resume == delivery.due(0) == "e-1"
    assert delivery.receive(event("1", "again")) is None
    assert delivery.resume == "again"


def test_the_place_given_at_the_start_holds_until_something_is_taken() -> None:
    delivery = Delivery("e-0")
    delivery.next()
    assert delivery.resume == "e-0"
    assert delivery.due(0) == ""


def test_acknowledgements_are_spaced_and_say_the_latest() -> None:
    delivery = Delivery()
    for id in ("1", "2"):
        delivery.receive(event(id))
        delivery.next()
    assert delivery.due(0) == "e-2"
    delivery.acked("e-2", 0)
    assert delivery.due(0) == ""
    delivery.receive(event("3"))
    delivery.next()
    assert delivery.due(limits.CLIENT_ACK_EVERY_SECONDS - 0.01) == ""
    assert delivery.due(limits.CLIENT_ACK_EVERY_SECONDS) == "e-3"
    delivery.not_acked(1)
    assert delivery.due(1) == ""
    assert delivery.due(1 + limits.CLIENT_SIDE_SECONDS) == "e-3"


def test_by_hand_only_what_is_said_counts() -> None:
    delivery = Delivery(ack="manual")
    first = delivery.receive(event("1"))
    delivery.next()
    delivery.receive(event("2"))
    delivery.next()
    assert delivery.resume == ""
    assert isinstance(first, Message)
    delivery.taken(first)
    assert delivery.resume == delivery.due(0) == "e-1"
    assert delivery.receive(event("2", "again")) is None
    assert delivery.resume == "e-1"


def test_without_acknowledgement_nothing_is_ever_said() -> None:
    delivery = Delivery(ack=False)
    delivery.receive(event("1"))
    delivery.next()
    delivery.receive(event("1", "again"))
    second = delivery.receive(event("2"))
    assert isinstance(second, Message)
    delivery.taken(second)
    assert delivery.resume == delivery.due(0) == ""


def test_the_memory_of_ids_is_bounded_and_forgets_the_oldest() -> None:
    delivery = Delivery(remember=2)
    for id in ("1", "2"):
        assert delivery.receive(event(id)) is not None
    assert delivery.receive(event("1")) is None  # and is young again
    assert delivery.receive(event("3")) is not None
    assert delivery.receive(event("1")) is None
    assert delivery.receive(event("2")) is not None


def test_other_kinds() -> None:
    delivery = Delivery()
    assert delivery.receive(Event("Listening", "", "open")) == Opened()
    assert delivery.receive(Event('{"topic":"Google","dropped":7}', "e-9", "gap")) == Gap("Google", 7, "e-9")
    assert delivery.receive(Event("{}", "", "of-a-later-version")) is None
    assert delivery.receive(Event('{"to":"b:2"}', "", "moved")) == Moved("b:2")
    assert delivery.receive(Event('{"ip":"b:2"}', "", "moved")) == Moved("b:2")
    assert delivery.receive(Event("b:2", "", "moved")) == Moved("b:2")
    assert delivery.receive(Event("{}", "", "moved")) == Moved("")
    for unreadable in ("", "[]", "{", '{"id":1}', '{"id":' * 100_000):
        with pytest.raises(UnreadableEvent):
            delivery.receive(Event(unreadable, "", "message"))


def test_a_withdrawal_moves_the_place_only_where_all_before_it_counts_as_taken() -> None:
    told = Event('{"topic":"Google","id":"m-1","original":"m-0"}', "e-9", "withdrawn")
    for ack, place in ((True, "e-9"), ("manual", ""), (False, "")):
        delivery = Delivery(ack=ack)  # type: ignore[arg-type]
        assert delivery.receive(told) == Withdrawal("Google", "m-1", "m-0", "e-9")
        assert delivery.resume == place
    assert Delivery().receive(Event('{"topic":"Google","id":"m-0","original":"m-0","by":"m-1"}', "", "replaced")) is None
