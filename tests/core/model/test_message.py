"""One struct of a message's fields: what is derived of it, and the bytes on disk and on the wire, which are older than it."""

from __future__ import annotations

import inspect
import json

import msgspec

from newswire.cli.main import newswire
from newswire.client import Publisher
from newswire.client.answers import read_message
from newswire.core import limits
from newswire.core.model import ops
from newswire.core.model.commands import RULES, Publish
from newswire.core.model.event_ids import EventId
from newswire.core.model.message import SHOWN_FIELDS, Message, without_bounds
from newswire.core.model.ops import Published
from newswire.core.state import keys
from newswire.sse import message_event, message_object

# A record of every field, as the first version wrote it
RECORD = (
    b'{"op":"msg","o":"1001-a","s":7,"t":1764021252345,"topic":"news.a","data":"two\\nlines","key":"k 1","publisher":"Ann",'
    b'"title":"T","priority":3,"tags":["a","b"],"click":"https://example.org/","expires":1764021312345,"again":"1002-b.9"}'
)


OP = Published(
    "1001-a", 7, 1764021252345, topic="news.a", data="two\nlines", key="k 1", publisher="Ann", title="T", priority=3,
    tags=("a", "b"), click="https://example.org/", expires=1764021312345, again="1002-b.9",
)  # fmt: skip


FULL = msgspec.structs.replace(
    OP, markdown=True, confirm=60, escalate="late", about="1001-a.3", replaces="1001-a.4", original="1001-a.2"
)  # with what came later
SHOWN = (
    '{"id":"1001-a.7","event_id":"e","topic":"news.a","data":"two\\nlines","time":"2025-11-24T21:54:12.345Z","title":"T",'
    '"priority":3,"tags":["a","b"],"click":"https://example.org/","markdown":true,"publisher":"Ann","confirm":60,"about":"1001-a.3",'
    '"replaces":"1001-a.4","original":"1001-a.2"}'
)


def test_a_record_of_the_first_version_is_read_and_written_to_the_byte() -> None:
    assert ops.decode(RECORD) == OP
    assert ops.encode(OP) == RECORD
    bare = b'{"op":"msg","o":"1001-a","s":7,"t":1,"topic":"news","data":"x"}'
    assert ops.encode(Published("1001-a", 7, 1, topic="news", data="x")) == bare


def test_what_readers_are_shown_is_the_same_to_the_byte() -> None:
    event_id = EventId("e")
    assert msgspec.json.encode(message_object(FULL, "e")).decode() == SHOWN
    assert (
        message_event(FULL, event_id, as_json=True)
        == (
            'event: replaced\ndata: {"topic":"news.a","id":"1001-a.4","original":"1001-a.2","by":"1001-a.7"}\n\n'
            f"id: e\ndata: {SHOWN}\n\n"
        ).encode()
    )
    bare = Published("1001-a", 7, 0, topic="news", data="x", key="k", expires=5)
    assert list(message_object(bare, "e")) == ["id", "event_id", "topic", "data", "time"]


def test_a_reader_has_each_field_that_is_shown() -> None:
    assert tuple(json.loads(SHOWN)) == SHOWN_FIELDS
    message = read_message(SHOWN)
    assert all(getattr(message, name) for name in SHOWN_FIELDS)
    assert {name for name in Message.__struct_fields__ if not getattr(message, name)} == {"key", "expires", "escalate", "again"}


def test_a_struct_without_bounds_has_the_same_fields() -> None:
    assert without_bounds(Message).__struct_fields__ == Message.__struct_fields__


def test_each_field_with_help_is_an_option() -> None:
    options = {param.name: param for param in newswire.commands["publish"].params}
    assert {name for name, rule in RULES.items() if rule.help} == {
        "key",
        "title",
        "priority",
        "tags",
        "click",
        "markdown",
        "confirm",
        "escalate",
        "replaces",
    }
    for name, rule in RULES.items():
        if rule.help:
            assert getattr(options[name], "help", "") == rule.help
    assert (RULES["priority"].least, RULES["priority"].most) == (1, 5)
    assert RULES["expires"].most == limits.EXPIRES_SECONDS


def test_the_library_takes_each_field_that_a_client_may_give() -> None:
    """`newswire publish` hands the values of its options to it by name."""
    for publish in (Publisher.publish, Publisher.publish_later):
        assert RULES.keys() <= inspect.signature(publish).parameters.keys()


def test_each_field_that_says_something_counts_as_content_of_a_key() -> None:
    """Two messages under one key are one only if they say the same."""
    plain = Publish("t", "x")
    others = {"title": "T", "priority": 1, "tags": ("a",), "click": "https://example.org", "expires": 60, "data": "y"}
    others |= {"confirm": 60, "escalate": "late", "markdown": True, "replaces": "1001-a.4"}
    assert others.keys() == RULES.keys() - {"topic", "key"}
    for name, value in others.items():
        assert keys.content(msgspec.structs.replace(plain, **{name: value})) != keys.content(plain), name
