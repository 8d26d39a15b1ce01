"""How messages and errors stand on ntfy's wire."""

from __future__ import annotations

import json

import pytest

from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import Published
from newswire.errors import BadRequest, NewswireError, Refused
from newswire.ntfy import Filters, NtfyWire, Shape, error_object, read_priority

EVENT_ID = write(Coverage("1001-a.2", {"1001-a": 2}))
MESSAGE = Published(
    "1001-a",
    2,
    1_795_514_400_999,
    topic="news",
    data="two\nlines",
    title="T",
    priority=4,
    tags=("a", "b"),
    expires=1_795_514_500_000,
)
PLAIN = Published("1001-a", 3, 1_795_514_400_999, topic="news", data="plain")


def test_a_message_has_the_fields_that_it_has_and_a_place() -> None:
    assert json.loads(NtfyWire("json").message(MESSAGE, EVENT_ID)) == {
        "id": "1001-a.2",
        "time": 1_795_514_400,
        "expires": 1_795_514_500,
        "event": "message",
        "topic": "news",
        "message": "two\nlines",
        "title": "T",
        "priority": 4,
        "tags": ["a", "b"],
        "event_id": str(EVENT_ID),
    }


def test_each_shape_has_its_frames() -> None:
    line = NtfyWire("json").message(PLAIN, EVENT_ID)
    assert line.endswith(b"}\n")
    assert NtfyWire("sse").message(PLAIN, EVENT_ID) == b"id: " + str(EVENT_ID).encode() + b"\ndata: " + line + b"\n"
    assert NtfyWire("raw").message(MESSAGE, EVENT_ID) == b"two lines\n"
    assert NtfyWire("raw").keepalive("news", 1.0) == NtfyWire("raw").opening("news", 1.0) == b"\n"
    assert NtfyWire("sse").keepalive("news", 1.0).startswith(b'event: keepalive\ndata: {"id":')
    assert json.loads(NtfyWire("json").opening("a,b", 7.5)) == {"id": "open7500", "time": 7, "event": "open", "topic": "a,b"}


def test_a_gap_is_an_event_that_every_client_skips() -> None:
    assert json.loads(NtfyWire("json").gap("news", 3, "lost"))["event"] == "keepalive"
    assert json.loads(NtfyWire("json").gap("news", 3, ""))["dropped"] == 3


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (Filters(), (True, True)),
        (Filters(id="1001-a.3"), (False, True)),
        (Filters(message="plain"), (False, True)),
        (Filters(title="T"), (True, False)),
        (Filters(priorities=(3,)), (False, True)),  # which is what has none
        (Filters(priorities=(3, 4)), (True, True)),
        (Filters(tags=("b", "a")), (True, False)),
        (Filters(tags=("a", "c")), (False, False)),
        (Filters(title="T", priorities=(5,)), (False, False)),
    ],
)
def test_each_filter_has_to_fit(filters: Filters, passes: tuple[bool, bool]) -> None:
    shapes: tuple[Shape, ...] = ("json", "sse", "raw")
    for shape in shapes:
        wire = NtfyWire(shape, filters)
        assert (bool(wire.message(MESSAGE, EVENT_ID)), bool(wire.message(PLAIN, EVENT_ID))) == passes


def test_priorities_have_names() -> None:
    words = ("", "1", "min", "low", "DEFAULT", " high ", "max", "urgent", "u=1, i", "i")
    assert [read_priority(word) for word in words] == [0, 1, 1, 2, 3, 4, 5, 5, 0, 0]
    for word in ("0", "6", "loud"):
        with pytest.raises(NewswireError, match="priority"):
            read_priority(word)


def test_an_error_has_a_number() -> None:
    assert error_object(BadRequest("x", code="bad-topic")) == {"code": 40009, "http": 400, "error": "x"}
    assert error_object(Refused("x", code="too-many", ntfy=42903))["code"] == 42903
    assert error_object(NewswireError("x", code="not-enough-copies"))["code"] == 50300
