"""The fields of a message that a client publishes: each is checked, and refused with its rule."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.commands import RULES, Publish
from newswire.core.model.message import MessageFields
from newswire.errors import BadRequest, NewswireError, TooLarge
from newswire.web import message_fields, request_fields


def test_each_field_that_a_client_may_give_is_checked_with_its_rule() -> None:
    assert (
        message_fields.FIELDS - message_fields.WHEN.keys()
        == set(RULES)
        == set(MessageFields.__struct_fields__) - {"publisher", "about", "original", "again"}
    )
    bad = {
        "title": "",
        "priority": 6,
        "tags": [""],
        "click": "ftp://x",
        "key": "\n",
        "expires": 0,
        "confirm": 0,
        "markdown": "perhaps",
        "escalate": "a b",
        "replaces": "a b",
    }
    assert bad.keys() == RULES.keys() - {"topic", "data"}, "a new field: give a value here that it refuses"
    for name, value in bad.items():
        with pytest.raises(BadRequest) as caught:
            message_fields.publish({"topic": "t", "data": "x", name: value})
        assert caught.value.detail == f"`{name}` must be {RULES[name].words}"
        assert caught.value.code == "bad-field"


@pytest.mark.parametrize(
    ("name", "value", "milliseconds"),
    [
        ("at", "2026-11-24T09:41:00Z", 1_795_513_260_000),
        ("at", "2026-11-24T10:41:00+01:00", 1_795_513_260_000),
        ("at", 1_795_513_260, 1_795_513_260_000),
        ("at", "1795513260", 1_795_513_260_000),
        ("delay", "30m", 1_800_000),
        ("delay", "1h30m", 5_400_000),
        ("delay", "90", 90_000),
        ("delay", 90, 90_000),
        ("delay", 90.0, 90_000),
        ("delay", "30d", 30 * 86_400_000),
    ],
)
def test_when_it_is_delivered_is_a_time_or_a_length_of_time(name: str, value: object, milliseconds: int) -> None:
    message = message_fields.publish({"topic": "t", "data": "x", name: value})
    assert (message.at, message.delay) == ((milliseconds, 0) if name == "at" else (0, milliseconds))


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("at", "delay") for value in ("", "soon", -1, True, None, [], "1" * 40)]
    + [("delay", 0), ("at", "2026-11-24"), ("at", "earliest"), ("delay", "31d"), ("delay", "2 hours"), ("delay", 0.5)],
)
def test_what_is_neither_is_refused(name: str, value: object) -> None:
    error = refusal(topic="t", data="x", **{name: value})
    assert (error.code, error.detail) == ("bad-field", f"`{name}` must be {message_fields.WHEN[name]}")


@pytest.mark.parametrize("at", [0, "0", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_time_before_1970_is_a_time_that_has_passed(at: object) -> None:
    """So it is refused as one, where it is known what time it is (`core.broker.scheduling`)."""
    assert message_fields.publish({"topic": "t", "data": "x", "at": at}).at == 1


def test_what_takes_the_place_of_another_is_published_now() -> None:
    error = refusal(topic="t", data="x", replaces="1001-a.7", delay="1h")
    assert (error.code, "leave `at` and `delay` out" in error.detail) == ("bad-field", True)


def test_late_confirmations_are_told_on_no_topic_that_names_a_route() -> None:
    error = refusal(topic="t", data="x", confirm=60, escalate="stream")
    assert (error.code, "another topic" in error.detail) == ("bad-field", True)


def test_a_line_that_says_when_is_read_by_itself() -> None:
    """Its numbers are not those of a command."""
    assert message_fields.publish_lines([b'{"topic":"t","data":"x","delay":90}']) is None


def refusal(**fields: object) -> NewswireError:
    with pytest.raises(NewswireError) as caught:
        message_fields.publish(fields)
    return caught.value


def test_text_is_read_as_json_would_have_it() -> None:
    texts = {"topic": "t", "data": "42", "priority": "5", "tags": " a, b,,", "expires": "60", "copies": "2"}
    assert message_fields.from_text(texts) == {
        "topic": "t", "data": "42", "priority": 5, "tags": ["a", "b"], "expires": 60, "copies": 2
    }  # fmt: skip


@pytest.mark.parametrize("number", ["five", "5.0", "-1", "", "٥", "1" * 17])
def test_what_is_no_number_stays_text_and_is_refused(number: str) -> None:
    typed = message_fields.from_text({"topic": "t", "data": "x", "priority": number})
    assert typed["priority"] == number
    assert refusal(**typed).detail == f"`priority` must be {RULES['priority'].words}"


def test_a_list_that_is_too_long_is_not_taken_apart() -> None:
    text = "," * (limits.LIST_BYTES + 1)
    assert message_fields.from_text({"tags": text}) == {"tags": text}


@pytest.mark.parametrize(
    "click",
    [
        "http:///path",
        "https://user@example.org/",
        "http://[::1",
        "http://a:0/",
        "http://a:99999/",
        "http://a b/",
        "http://a/\u2028",
    ],
)
def test_an_address_that_opens_nothing_or_hides_where_is_refused(click: str) -> None:
    assert refusal(topic="t", data="x", click=click).detail == f"`click` must be {RULES['click'].words}"
    assert message_fields.publish({"topic": "t", "data": "x", "click": "https://example.org:8443/a?b#c"}).click


def test_data_may_be_empty_beside_a_title_only() -> None:
    assert message_fields.publish({"topic": "t", "title": "T"}).data == ""
    assert refusal(topic="t", data="").code == "bad-field"
    assert refusal(topic="t").code == "missing-field"
    assert refusal(data="x").code == "missing-field"
    assert "quotes" in refusal(topic="t", data=42).detail
    assert refusal(topic="t", data="x", publisher="Ann").code == "unknown-field"


def test_data_is_measured_in_bytes() -> None:
    text = "€" * (limits.MESSAGE_BYTES // 3)
    assert message_fields.publish({"topic": "t", "data": text}).data == text
    assert isinstance(refusal(topic="t", data=text + "€"), TooLarge)


@pytest.mark.parametrize(
    ("value", "whole"),
    [(3, 3), ("3", 3), (0, None), ("6", None), (True, None), (2.0, 2), (2.5, None), (float("inf"), None), ("x", None)],
)
def test_a_number_that_may_be_text_has_bounds(value: object, whole: int | None) -> None:
    if whole is not None:
        assert message_fields.whole_of_text("copies", value, 1, 5) == whole
        return
    with pytest.raises(BadRequest, match="`copies` must be a whole number from 1 to 5"):
        message_fields.whole_of_text("copies", value, 1, 5)


def as_fields(messages: Sequence[Publish | None]) -> list[dict[str, object]]:
    return [msgspec.structs.asdict(one) if one else {} for one in messages]


_LINES = [
    b'{"topic":"a.b","data":"x"}',
    b' {"data": "says \\"hi\\"", "topic": "a"}\r',
    b'{"topic":"a","title":"T","priority":5,"tags":["x","y"],"key":"k 1","expires":9}',
    b'{"topic":"a","title":"T","data":""}',
    b'{"topic":"a","data":"x","topic":"b"}',
    b'{"topic":"a","data":"x","t\\u006fpic":"a"}',
    b'{"topic":"a","data":"\\u0022\\u0022\\u0022\\u0022"}',
    b'{"topic":"a","data":"\\u0022\\u0022\\u0022\\u0022","data":"\\u0022\\u0022\\u0022\\u0022"}',
    b'{"topic":"a","data":"x","titel":"T"}',
    b'{"topic":"a","data":"x","titel":5}',
    b'{"topic":"a","data":"x","publisher":"Boss"}',
    b'{"topic":"a","data":"x","again":"1001-a.1"}',
    b'{"topic":"a","data":"x","publisher":""}',
    b'{"topic":"a","data":"x","title":""}',
    b'{"topic":"a","data":"x","priority":0}',
    b'{"topic":"a","data":"x","priority":3.0}',
    b'{"topic":"a","data":"x","click":"https://"}',
    b'{"topic":"a","data":"x","click":"https://example.org"}',
    b'{"topic":"a","data":"x","key":"\xc3\xbc"}',
    b'{"topic":"a","data":"x","key":"\\u007f"}',
    b'{"topic":"a","data":"x","key":""}',
    b'{"topic":"a","data":"x","key":"' + b"k" * 65 + b'"}',
    b'{"topic":"stream","data":"x"}',
    b'{"topic":"a"}',
    b'{"data":"x"}',
    b'{"topic":"a","data":"x"} {"topic":"a","data":"x"}',
    b'{"topic":"a","data":"x"',
    b"[]",
    b'{"topic":"a","data":"\xff"}',
    b'{"topic":"a","data":"' + b"x" * limits.MESSAGE_BYTES + b'x"}',
]


@pytest.mark.parametrize("at", range(len(_LINES)))
def test_lines_that_are_read_in_one_pass_say_the_same_as_one_by_one(at: int) -> None:
    try:
        single: Publish | None = message_fields.publish(request_fields.json_object(_LINES[at].strip()), "Ann")
    except NewswireError:
        single = None
    usual = [message_fields.publish(request_fields.json_object(line.strip()), "Ann") for line in _LINES[:3]]
    many = message_fields.publish_lines([*_LINES[:3], _LINES[at]], "Ann")
    assert many is None or as_fields(many) == as_fields([*usual, single])
    assert (many is not None) == (at < 3), "what is usual is read so, too"


@given(
    st.lists(
        st.sampled_from([b'"topic":"a"', b'"data":"x"', b'"data":"\\"\\""', b'"data":"\\u0022"', b'"key":"k"', b'"x":1']),
        max_size=5,
    )
)
def test_no_field_that_is_given_twice_is_overlooked(members: list[bytes]) -> None:
    line = b"{" + b",".join(members) + b"}"
    many = message_fields.publish_lines([line])
    if many is not None:
        assert as_fields(many) == as_fields([message_fields.publish(request_fields.json_object(line))])


def test_a_flag_is_truth_in_json_and_a_word_elsewhere() -> None:
    for text, value in {"1": True, "true": True, "Yes": True, "0": False, "no": False, "False": False}.items():
        assert message_fields.publish(message_fields.from_text({"topic": "t", "data": "x", "markdown": text})).markdown is value
    assert message_fields.publish({"topic": "t", "data": "x", "markdown": True}).markdown
