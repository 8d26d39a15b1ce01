"""What brokers answer, typed, also where a later version says more."""

from __future__ import annotations

import json

import msgspec
import pytest

from newswire.client.answers import MessagePage, PageBody, Row, page_of, read_message
from newswire.core.model.message import Message


def test_what_a_later_broker_allows_is_read() -> None:
    """A wider bound there must not end a reader's stream; a value of another type is no message."""
    for field, value in (("title", "t" * 1_000), ("data", "x" * 100_000), ("priority", 9), ("tags", ["a" * 100] * 20)):
        message = read_message(json.dumps({"id": "a", "event_id": "e", "topic": "t", field: value, "later": 1}))
        assert type(message) is Message
        assert getattr(message, field) == (tuple(value) if isinstance(value, list) else value)
    with pytest.raises(msgspec.DecodeError):
        read_message('{"id": "a", "event_id": "e", "topic": 5}')


def test_a_page_is_read_without_bounds_too() -> None:
    rows = [{"id": f"a.{n}", "event_id": "e", "topic": "t", "priority": n, "later": 1} for n in (5, 9)]
    page = page_of(msgspec.json.decode(json.dumps({"messages": rows, "more": True}), type=PageBody))
    assert page == MessagePage(tuple(Message(f"a.{n}", "e", topic="t", priority=n) for n in (5, 9)), more=True)
    assert page_of(msgspec.json.decode('{"messages": []}', type=PageBody)) == MessagePage(())


def test_a_row_says_whether_it_is_the_broker_that_answered() -> None:
    row = msgspec.json.decode('{"id": "1001", "ip": "a:1", "self": true, "later": {}}', type=Row)
    assert row == Row("1001", "a:1", itself=True)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode('{"id": "1001"}', type=Row)
