"""POST /publish: every way to say it, and every way to say it wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.config import Settings
from newswire.core import limits
from newswire.core.model.commands import Publish, Request, Withdraw
from newswire.core.model.names import ROUTES
from newswire.core.model.ops import split_op_id
from newswire.engine.seam import TopicRow
from newswire.errors import FewerCopies, StorageFull, Unknown
from newswire.web import request_fields
from newswire.web.turn import Turn
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.web_fakes import Web

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
HELLO = Publish("Google", "Hello Google")
TOLD = "Published topic Google data Hello Google"


@pytest.fixture
def web() -> Web:
    return Web()


# -- one message --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/publish?topic=Google&data=Hello%20Google", {}),
        ("/publish?topic=Google&data=Hello+Google", {}),
        ("/publish?topic=Google&data=Hello+Google", {"headers": {"Content-Type": "text/plain"}}),
        ("/publish", {"data": "topic=Google&data=Hello+Google", "headers": FORM}),
        ("/publish", {"data": b'{"topic": "Google", "data": "Hello Google"}', "headers": JSON}),
        ("/publish", {"data": b'{"topic": "Google", "data": "Hello \\u0047oogle"}', "headers": JSON}),
        (
            "/publish",
            {
                "data": b'{"topic":"Google","data":"Hello Google"}',
                "headers": {"Content-Type": "Application/JSON; charset=UTF-8"},
            },
        ),
        ("/publish?topic=Google", {"data": "data=Hello+Google", "headers": FORM}),
        ("/publish?topic=Google", {"data": b'{"data": "Hello Google"}', "headers": JSON}),
    ],
)
def test_the_same_message_in_every_form(web: Web, path: str, options: dict[str, Any]) -> None:
    told = web.post(path, **options)
    newest = web.engine.shell.read(lambda state: f"{state.log.names[0]}.{state.log.held(state.log.names[0])}")
    assert told == {"message": TOLD, "id": newest, "copies": 2}
    assert web.engine.published() == [HELLO]


def test_all_fields_as_text_and_as_json(web: Web) -> None:
    wanted = Publish(
        "a.b",
        "x",
        key="k 1",
        publisher="",
        title="T: ü",
        priority=5,
        tags=("sale", "shop"),
        click="https://example.org/a?b=c",
        expires=60,
    )
    web.post(
        "/publish?topic=a.b&data=x&key=k+1&title=T:+%C3%BC&priority=5&tags=sale,+shop,&click=https://example.org/a?b%3Dc&expires=60"
    )
    body = {
        "topic": "a.b", "data": "x", "key": "k 1", "title": "T: ü", "priority": 5, "tags": ["sale", "shop"],
        "click": "https://example.org/a?b=c", "expires": 60,
    }  # fmt: skip
    web.post("/publish", json=body)
    assert web.engine.published() == [wanted, wanted]


def test_a_title_may_stand_without_data(web: Web) -> None:
    told: Any = web.post("/publish?topic=Google&title=Party&data=")
    assert told["message"] == "Published topic Google data Party"
    web.post("/publish?topic=Google&title=Party")
    assert web.engine.published() == [Publish("Google", "", title="Party")] * 2


def test_raw_utf8_in_the_query_is_what_a_terminal_sends(web: Web) -> None:
    environ = {"QUERY_STRING": "topic=Google&data=Grüße".encode().decode("latin-1")}
    web.post("/publish", environ_overrides=environ)
    assert web.engine.published()[0].data == "Grüße"


def test_message_of_exactly_64_kib_and_one_byte_more(web: Web) -> None:
    web.post("/publish", json={"topic": "t", "data": "ü" * (limits.MESSAGE_BYTES // 2)})
    web.post("/publish", data={"topic": "t", "data": "%" * limits.MESSAGE_BYTES})
    detail = web.post("/publish", "too-large", json={"topic": "t", "data": "ü" * (limits.MESSAGE_BYTES // 2) + "x"})
    assert "64 KiB" in str(detail)
    web.post("/publish", "too-large", json={"topic": "t", "data": "x" * 65 * 1024})
    web.post("/publish", "too-large", data={"topic": "t", "data": "x" * (limits.FORM_BYTES + 1)})


@pytest.mark.parametrize(
    ("query", "code", "word"),
    [
        ("data=x", "missing-field", "`topic`"),
        ("topic=t", "missing-field", "`data`"),
        ("", "missing-field", "`topic`"),
        ("topic=&data=x", "bad-topic", "empty"),
        ("topic=a.*&data=x", "bad-topic", "subscriptions only"),
        ("topic=>&data=x", "bad-topic", "subscriptions only"),
        ("topic=a b&data=x", "bad-topic", "letters"),
        ("topic=caf%C3%A9&data=x", "bad-topic", "letters"),
        ("topic=stream&data=x", "bad-topic", "kept"),
        (f"topic={'t' * 129}&data=x", "bad-topic", "128"),
        ("topic=t&data=", "bad-field", "`title`"),
        ("topic=t&data=&title=", "bad-field", "`title`"),
        ("topic=t&data=x&data=y", "double-field", "`data`"),
        (
            "topic=t&data=x&titel=y",
            "unknown-field",
            "`titel` is not a field of this request, perhaps `title` is meant; it takes",
        ),
        ("topic=t&message=x", "unknown-field", "perhaps `data` is meant"),
        ("topic=t&Soup", "unknown-field", "a text is sent as data=TEXT"),
        ("topic=t&data=x&publisher=Boss", "unknown-field", "`publisher`"),
        ("topic=t&data=x&%1b%5b2J=y", "unknown-field", "\\x1b"),
        ("topic=t&data=%FF", "bad-body", "UTF-8"),
        ("topic=t&data=%ED%A0%80", "bad-body", "UTF-8"),
        ("topic=t&data=x&priority=6", "bad-field", "`priority`"),
        ("topic=t&data=x&priority=high", "bad-field", "`priority`"),
        ("topic=t&data=x&priority=-1", "bad-field", "`priority`"),
        ("topic=t&data=x&priority=٣", "bad-field", "`priority`"),
        ("topic=t&data=x&expires=0", "bad-field", "`expires`"),
        ("topic=t&data=x&expires=1e9", "bad-field", "`expires`"),
        ("topic=t&data=x&expires=999999999999", "bad-field", "`expires`"),
        ("topic=t&data=x&title=a%0Ab", "bad-field", "`title`"),
        (f"topic=t&data=x&title={'t' * 257}", "bad-field", "`title`"),
        (f"topic=t&data=x&tags={','.join('abcdefghijklmnopq')}", "bad-field", "`tags`"),
        (f"topic=t&data=x&tags={'a' * 65}", "bad-field", "`tags`"),
        ("topic=t&data=x&tags=a%00", "bad-field", "`tags`"),
        ("topic=t&data=x&click=javascript:alert(1)", "bad-field", "`click`"),
        ("topic=t&data=x&click=https://", "bad-field", "`click`"),
        ("topic=t&data=x&click=https://a/%20b", "bad-field", "`click`"),
        ("topic=t&data=x&click=https://a/%0Ab", "bad-field", "`click`"),
        ("topic=t&data=x&click=https://[::1/", "bad-field", "`click`"),
        ("topic=t&data=x&click=https://bank.example%40evil.example/", "bad-field", "`click`"),
        ("topic=t&data=x&key=", "bad-field", "`key`"),
        (f"topic=t&data=x&key={'k' * 65}", "bad-field", "`key`"),
        ("topic=t&data=x&key=%C3%BC", "bad-field", "`key`"),
        ("topic=t&data=x&copies=0", "bad-field", "`copies`"),
        ("topic=t&data=x&copies=17", "bad-field", "`copies`"),
        ("topic=t&data=x&copies=two", "bad-field", "`copies`"),
        ("topic=t&data=x&copies=", "bad-field", "`copies`"),
        ("&".join(f"f{i}=1" for i in range(33)), "bad-request", "fields"),
    ],
)
def test_refused_in_query_and_in_form_alike(web: Web, query: str, code: str, word: str) -> None:
    assert word in str(web.post("/publish", code, environ_overrides={"QUERY_STRING": query.encode().decode("latin-1")}))
    assert word in str(web.post("/publish", code, data=query.encode(), headers=FORM))


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        (b'{"topic": "t", "data": "x"', "bad-body", "valid JSON"),
        (b"topic=t&data=x", "bad-body", "valid JSON"),
        (b'["t", "x"]', "bad-body", "JSON object"),
        (b"null", "bad-body", "JSON object"),
        (b'{"topic": "t", "data": "x"} {}', "bad-body", "valid JSON"),
        (b'{"topic": "t", "data": NaN}', "bad-body", "valid JSON"),
        (b'{"topic": "t", "data": "x", "priority": -Infinity}', "bad-body", "valid JSON"),
        (b'{"topic": "t", "data": 1e999}', "bad-body", "JSON"),
        (b'{"topic": "t", "data": "\xff"}', "bad-body", "UTF-8"),
        (b'{"topic": "t", "data": "\xed\xa0\x80"}', "bad-body", "UTF-8"),
        (b'{"topic": "t", "data": "\\ud800"}', "bad-body", "valid JSON"),
        (b'{"topic": "t", "data": "\\ud800x"}', "bad-body", "valid JSON"),
        (b'{"topic": "t", "data": "\\udc00"}', "bad-body", "valid JSON"),
        (b'{"topic": "t", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad-body", "nested"),
        (b'{"topic": "t", "data": ' + b"[" * 20 + b"]" * 20 + b"}", "bad-field", "`data`"),
        (b'{"topic": "t", "data": ' + b"9" * 5000 + b"}", "bad-body", "JSON"),
        (b'{"topic": "t", "data": "x", "data": "y"}', "double-field", "`data`"),
        (b'{"topic": "t", "data": "x:y", "data": ":"}', "double-field", "`data`"),
        (b'{"topic": "t", "data": ":\\u003a", "d\\u0061ta": ""}', "double-field", "`data`"),
        (b'{"topic": "t", "data": "x", "tags": ["a"], "tags": []}', "double-field", "`tags`"),
        (b'{"topic": "t", "data": 42}', "bad-field", "quotes"),
        (b'{"topic": "t", "data": null}', "bad-field", "quotes"),
        (b'{"topic": "t", "data": {"a": 1}}', "bad-field", "quotes"),
        (b'{"topic": 1, "data": "x"}', "bad-field", "`topic`"),
        (b'{"topic": null, "data": "x"}', "missing-field", "`topic`"),
        (b'{"topic": "t", "data": "x", "priority": "3"}', "bad-field", "`priority`"),
        (b'{"topic": "t", "data": "x", "priority": true}', "bad-field", "`priority`"),
        (b'{"topic": "t", "data": "x", "expires": 99999999999999999999999999}', "bad-field", "`expires`"),
        (b'{"topic": "t", "data": "x", "tags": "a,b"}', "bad-field", "`tags`"),
        (b'{"topic": "t", "data": "x", "tags": ["a", 1]}', "bad-field", "`tags`"),
        (b'{"topic": "t", "data": "x", "title": 1}', "bad-field", "`title`"),
        (b'{"topic": "t", "data": "x", "click": 1}', "bad-field", "`click`"),
        (b'{"topic": "t", "data": "x", "key": 1}', "bad-field", "`key`"),
        (b'{"topic": "t", "data": "x", "publisher": "Boss"}', "unknown-field", "`publisher`"),
        (b'{"topic": "t", "data": "x", "": ""}', "unknown-field", "``"),
    ],
)
def test_refused_in_json(web: Web, body: bytes, code: str, word: str) -> None:
    assert word in str(web.post("/publish", code, data=body, headers=JSON))
    line = web.post("/publish", "bad-line" if code == "bad-body" else code, data=b"\n" + body, headers=NDJSON)
    assert str(line).startswith("line 2: ")
    assert word in str(line)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/xml"},
        {},
        {**JSON, "Content-Encoding": "deflate"},
        {**JSON, "Content-Encoding": "gzip, gzip"},
        {"Content-Type": "application/json; charset=latin-1"},
    ],
)
def test_other_types_are_refused_with_what_is_taken(web: Web, headers: dict[str, str]) -> None:
    detail = str(web.post("/publish", "wrong-type", data=b'{"topic": "t", "data": "x"}', headers=headers))
    assert "application/json" in detail or "UTF-8" in detail or "compressed" in detail


@pytest.mark.parametrize("kind", [{}, FORM, {"Content-Type": "text/json"}])
@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b'{"topic": "t", "data": "x=1&y"}', "'Content-Type: application/json'"),
        (b"\xef\xbb\xbf\r\n {}", "'Content-Type: application/json'"),
        (b'{"topic": "t",\n "data": "x"}\n', "'Content-Type: application/json'"),
        (b'{"topic": "t", "data": "x"}\n{"topic": "t", "data": "y"}\n', "'Content-Type: application/x-ndjson'"),
        (b'{"topic": "t", "data": "x"}{"topic": "t", "data": "y"}', "'Content-Type: application/x-ndjson'"),
        (b'[{"topic": "t"}]', "'Content-Type: application/json'"),
    ],
)
def test_json_under_another_type_is_told_its_header(web: Web, body: bytes, header: str, kind: dict[str, str]) -> None:
    assert header in str(web.post("/publish", "wrong-type", data=body, headers=kind))


def test_a_byte_order_mark_is_no_part_of_a_body(web: Web) -> None:
    mark = b"\xef\xbb\xbf"
    line = mark + b'{"topic": "t", "data": "' + mark + b'x"}'
    web.post("/publish", data=line, headers=JSON)
    web.post("/publish", data=mark + b"topic=t&data=" + mark + b"x", headers=FORM)
    web.post("/publish", data=line + b"\r\n" + line + b"\n" + mark + b"\n", headers=NDJSON)
    assert [(m.topic, m.data) for m in web.engine.published()] == [("t", "\ufeffx")] * 4
    web.post("/publish", "bad-body", data=mark, headers=NDJSON)


def test_a_field_in_query_and_body_is_refused(web: Web) -> None:
    web.post("/publish?topic=t", "double-field", data="topic=t&data=x", headers=FORM)
    web.post("/publish?topic=t", "double-field", json={"topic": "t", "data": "x"})
    web.post("/publish?copies=1", "double-field", json={"topic": "t", "data": "x", "copies": 1})
    web.post("/publish?topic=t", "double-field", data=b'{"topic": "t", "data": "x"}', headers=NDJSON)


def test_key_may_come_in_its_header(web: Web) -> None:
    web.post("/publish?topic=t&data=x", headers={"Idempotency-Key": "k"})
    web.post("/publish?topic=t&data=x&key=k", headers={"Idempotency-Key": "k"})
    assert [message.key for message in web.engine.published()] == ["k", "k"]
    web.post("/publish?topic=t&data=x&key=other", "double-field", headers={"Idempotency-Key": "k"})
    web.post("/publish?topic=t&data=x", "bad-field", headers={"Idempotency-Key": "k" * 65})
    web.post("/publish?topic=t&data=x", "bad-field", headers={"Idempotency-Key": ""})


# -- copies -------------------------------------------------------------------------------------------------------
def test_copies_that_cannot_be_had(web: Web) -> None:
    told: Any = web.post("/publish?topic=Google&data=Hello+Google&copies=2")
    assert (told["message"], told["copies"]) == (TOLD, 2)
    response = web.client.post("/publish?topic=t&data=x&copies=3")
    assert (response.status_code, response.json["code"], response.json["copies"]) == (503, "not-enough-copies", 2)
    assert response.headers["Retry-After"] == "1"
    web.post("/publish", "not-enough-copies", json={"topic": "t", "data": "x", "copies": 3})
    web.post("/publish?copies=3", "not-enough-copies", data=b'{"topic": "t", "data": "x"}', headers=NDJSON)


def test_the_broker_may_ask_for_more_copies_than_the_client() -> None:
    web = Web(Settings(min_copies=3))
    web.post("/publish?topic=t&data=x", "not-enough-copies")
    web.post("/publish?topic=t&data=x&copies=1", "not-enough-copies")
    web.post("/publish", "not-enough-copies", data=b'{"topic": "t", "data": "x"}', headers=NDJSON)


def test_stored_on_fewer_brokers_says_where_it_is(web: Web) -> None:
    web.engine.fails = FewerCopies("stored on one broker: retry with the same key to see it grow", id="1001-a.7", copies=1)
    response = web.client.post("/publish?topic=t&data=x&copies=2")
    assert (response.status_code, response.json["id"], response.json["copies"]) == (503, "1001-a.7", 1)
    assert response.json["code"] == "fewer-copies-than-asked"


def test_which_messages_are_on_fewer_brokers_is_said_to_who_asks(web: Web) -> None:
    def publish(path: str, body: bytes, headers: dict[str, str]) -> Any:
        web.engine.fails = FewerCopies("stored on one broker", id="1001-a.8", copies=1, ids=("1001-a.7", "1001-a.8"))
        return web.client.post(path, data=body, headers=headers).json

    line = b'{"topic": "t", "data": "x"}'
    assert publish("/publish?ids=1", line + b"\n" + line, NDJSON)["ids"] == ["1001-a.7", "1001-a.8"]
    assert "ids" not in publish("/publish", line + b"\n" + line, NDJSON)
    assert "ids" not in publish("/publish", line, JSON)


def test_full_disk_and_unknown_outcome(web: Web) -> None:
    web.engine.fails = StorageFull("the disk of this broker is full: make room")
    response = web.client.post("/publish?topic=t&data=x")
    assert (response.status_code, response.headers["Retry-After"]) == (507, "10")
    web.engine.fails = Unknown("no answer in time: retry with the same key")
    web.post("/publish?topic=t&data=x", "unknown-outcome")


# -- batches ------------------------------------------------------------------------------------------------------
def test_a_batch_is_stored_as_one(web: Web) -> None:
    lines = [json.dumps({"topic": "t", "data": f"line\n{i} ü", "tags": ["a"]}, ensure_ascii=i % 2 == 0) for i in range(1000)]
    body = "\n".join(lines).encode()
    told: Any = web.post("/publish", data=body, headers=NDJSON)
    (origin, first), (_, last) = split_op_id(told.pop("first")), split_op_id(told.pop("last"))
    assert (origin, last - first) == (web.engine.shell.broker.state.log.names[0], 999)
    assert told == {"message": "Published 1000 messages", "count": 1000, "copies": 2}
    assert [m.data for m in web.engine.published()] == [f"line\n{i} ü" for i in range(1000)]


def test_what_of_a_batch_is_delivered_later_is_not_said_to_be_published(web: Web) -> None:
    body = b'{"topic": "t", "data": "one", "delay": "1h"}\n{"topic": "t", "data": "two"}\n'
    told: Any = web.post("/publish", data=body, headers=NDJSON)
    assert (told["message"], told["count"], told["scheduled"]) == ("Published 1 message, scheduled 1", 2, 1)


def test_a_retry_of_what_was_withdrawn_says_so(web: Web) -> None:
    fields = {"topic": "t", "data": "x", "key": "k", "delay": "1h"}
    first: Any = web.post("/publish", data=fields)
    web.engine.submit([Withdraw(first["id"], "t")])
    told: Any = web.post("/publish", data=fields)
    assert told["message"] == "Not published, as it was withdrawn or is over: topic t data x"
    assert (told["id"], told["duplicate"], told["withdrawn"]) == (first["id"], True, True)


def test_a_batch_says_what_became_of_what_is_not_stored_again(web: Web) -> None:
    lines = [{"topic": "t", "data": data, "key": data} for data in ("one", "two", "three")]
    lines.append({"topic": "t", "data": "four", "key": "four", "delay": "1h"})
    ids: list[str] = [web.post("/publish", json=line)["id"] for line in lines]  # type: ignore[index,misc]
    web.engine.submit([Withdraw(ids[1], "t")])
    newer: Any = web.post("/publish", json={"topic": "t", "data": "3", "replaces": ids[2]})
    assert newer["id"]
    body = "\n".join(map(json.dumps, [*lines, {"topic": "t", "data": "five"}])).encode()
    told: Any = web.post("/publish?ids=1", data=body, headers=NDJSON)
    assert (
        told["message"]
        == "Published 1 message, 2 were published before, 1 waits already, 1 not published, withdrawn before or over"
    )
    assert [told[name] for name in ("count", "duplicates", "waiting", "withdrawn")] == [1, 4, 1, 1]
    assert (told["duplicate_lines"], told["withdrawn_lines"]) == ([1, 2, 3, 4], [2])
    assert "withdrawn_lines" not in web.post("/publish", data=body, headers=NDJSON)  # type: ignore[operator]


def test_the_query_stands_for_every_line_and_empty_lines_for_nothing(web: Web) -> None:
    body = b'\n\n{"data": "one"}\r\n   \n{"data": "two", "priority": 1}\n\n'
    assert web.post("/publish?topic=t&title=News", data=body, headers=NDJSON)["count"] == 2  # type: ignore[index]
    assert web.engine.published() == [Publish("t", "one", title="News"), Publish("t", "two", title="News", priority=1)]
    assert web.post("/publish?topic=t", data=b'{"data": "x"}', headers=NDJSON)["message"] == "Published 1 message"  # type: ignore[index]


def test_a_bad_700th_line_refuses_all_and_is_named(web: Web) -> None:
    lines = [b'{"topic": "t", "data": "x"}'] * 1000
    lines[699] = b'{"topic": "t", "data": }'
    response = web.client.post("/publish", data=b"\n".join(lines), headers=NDJSON)
    assert response.json["detail"].startswith("line 700: ")
    assert (response.json["code"], response.json["line"]) == ("bad-line", 700)
    web.post("/publish", "bad-line", data=b"\n".join(lines), headers=NDJSON)
    lines[699] = b'{"topic": "t.*", "data": "x"}'
    assert str(web.post("/publish", "bad-topic", data=b"\n".join(lines), headers=NDJSON)).startswith("line 700: ")
    lines[699] = json.dumps({"topic": "t", "data": "x" * 65 * 1024}).encode()
    assert str(web.post("/publish", "too-large", data=b"\n".join(lines), headers=NDJSON)).startswith("line 700: ")
    assert web.engine.published() == []


def test_too_many_lines_too_many_bytes_and_none(web: Web) -> None:
    line = b'{"topic": "t", "data": "x"}\n\n'
    assert web.post("/publish", data=line * 10_000, headers=NDJSON)["count"] == 10_000  # type: ignore[index]
    detail = web.post("/publish", "too-large", data=line * 10_001, headers=NDJSON)
    assert "10000" in str(detail)
    assert "line" not in str(detail)
    web.post("/publish", "too-large", data=b" " * (limits.BATCH_BYTES + 1), headers=NDJSON)
    web.post("/publish", "bad-body", data=b"\n\n", headers=NDJSON)
    web.post("/publish", "bad-body", data=b"", headers=NDJSON)


def test_one_key_cannot_stand_for_a_batch(web: Web) -> None:
    line = b'{"topic": "t", "data": "x"}'
    web.post("/publish?key=k", "bad-field", data=line, headers=NDJSON)
    web.post("/publish", "bad-field", data=line, headers={**NDJSON, "Idempotency-Key": "k"})
    web.post("/publish", data=b'{"topic": "t", "data": "x", "key": "k"}', headers=NDJSON)


# -- anything -----------------------------------------------------------------------------------------------------
_WORDS = ["", *"topic data title priority tags click key expires copies Google https://a/b other".split()]
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(_WORDS)
_NESTED = st.lists(_PLAIN, max_size=3) | st.lists(st.tuples(st.text(max_size=3), _PLAIN), max_size=3).map(dict)
_VALUES = _PLAIN | _NESTED | st.lists(_NESTED, max_size=2)
_OBJECTS = st.lists(st.tuples(st.sampled_from(_WORDS) | st.text(max_size=5), _VALUES), max_size=5).map(dict)
_BODIES = (
    st.binary(max_size=200)
    | _OBJECTS.map(lambda o: json.dumps(o).encode())
    | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
_TYPES = st.sampled_from([FORM, JSON, NDJSON, {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json;charset"}])


@pytest.fixture(scope="module")
def shared() -> Web:
    return Web()


@given(body=_BODIES, headers=_TYPES, query=st.text(st.characters(max_codepoint=255), max_size=60))
def test_no_bytes_make_the_broker_fail(shared: Web, body: bytes, headers: dict[str, str], query: str) -> None:
    for path in ("/publish", "/subscribe", "/unsubscribe", "/ack", "/add_replica", "/remove_replica"):
        response = shared.client.post(path, data=body, headers=headers, environ_overrides={"QUERY_STRING": query})
        if response.status_code in (502, 503):
            assert response.json["code"] in ("unreachable", "not-enough-copies")
        else:
            assert response.status_code in (200, 400, 403, 404, 409, 413, 415), response.data
        assert (response.status_code == 200) == (response.content_type == "application/json")


@given(fields=_OBJECTS)
def test_an_object_is_taken_whole_or_refused(shared: Web, fields: dict[str, Any]) -> None:
    before = len(shared.engine.published())
    response = shared.client.post("/publish", data=json.dumps(fields).encode(), headers=JSON)
    taken = shared.engine.published()[before:]
    assert len(taken) == (response.status_code == 200)
    for message in taken:
        assert {"topic": message.topic, "data": message.data}.items() <= ({"data": ""} | fields).items()


@given(
    topic=st.from_regex(r"[a-z0-9_-]{1,9}(\.[a-z]{1,9})?", fullmatch=True).filter(lambda t: t not in ROUTES),
    data=st.text(min_size=1),
    way=st.sampled_from(["query", "form", "json", "lines"]),
)
def test_any_text_arrives_as_it_was(shared: Web, topic: str, data: str, way: str) -> None:
    fields = {"topic": topic, "data": data}
    options: dict[str, dict[str, Any]] = {
        "query": {"query_string": fields},
        "form": {"data": fields},
        "json": {"json": fields},
        "lines": {"data": json.dumps(fields), "headers": NDJSON},
    }
    shared.post("/publish", **options[way])
    assert shared.engine.published()[-1] == Publish(topic, data)


# -- keys ---------------------------------------------------------------------------------------------------------
def test_the_same_key_and_content_is_told_as_a_duplicate(web: Web) -> None:
    first: Any = web.post("/publish?topic=nightly&data=all+well&key=backup")
    assert "duplicate" not in first
    again = web.post("/publish", json={"topic": "nightly", "data": "all well"}, headers={"Idempotency-Key": "backup"})
    assert again == {**first, "duplicate": True}


def test_a_key_reused_for_something_else_is_refused_with_the_first_id(web: Web) -> None:
    first: Any = web.post("/publish?topic=nightly&data=all+well&key=backup")
    detail = web.post("/publish?topic=nightly&data=FAILED&key=backup", "key-reused")
    assert first["id"] in str(detail)
    problem = web.client.post("/publish?topic=nightly&data=FAILED&key=backup").get_json()
    assert (problem["status"], problem["id"]) == (409, first["id"])
    assert set(problem) == {"title", "status", "detail", "code", "id"}
    web.post("/publish?topic=nightly&data=all+well&key=backup&expires=60", "key-reused")
    web.post("/publish?topic=weekly&data=FAILED&key=backup")


def test_a_batch_counts_what_it_stored(web: Web) -> None:
    first: Any = web.post("/publish?topic=t&data=old&key=k")
    lines = [
        {"topic": "t", "data": "old", "key": "k"},
        {"topic": "t", "data": "new", "key": "l"},
        {"topic": "t", "data": "new", "key": "l"},
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    told: Any = web.post("/publish?ids=1", data=body, headers=NDJSON)
    assert (told["message"], told["count"], told["duplicates"]) == ("Published 1 message, 2 were published before", 1, 2)
    assert (told["first"], told["ids"]) == (first["id"], [first["id"], told["last"], told["last"]])
    assert told["duplicate_lines"] == [1, 3]
    again: Any = web.post("/publish", data=body, headers=NDJSON)
    assert (again["message"], again["count"], again["duplicates"]) == ("Published 0 messages, 3 were published before", 0, 3)
    assert not {"ids", "duplicate_lines"} & again.keys()
    spaced: Any = web.post("/publish?ids=1", data=b"\n\n" + body, headers=NDJSON)
    assert spaced["duplicate_lines"] == [3, 4, 5], "as an error counts them"
    fresh: Any = web.post("/publish?ids=1", data=b'{"topic": "t", "data": "x"}', headers=NDJSON)
    assert "duplicate_lines" not in fresh
    web.post("/publish?ids=2", "bad-field", data=body, headers=NDJSON)


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (['{"topic": "t", "data": "new"}', "", '{"topic": "t", "data": "other", "key": "k"}'], 3),
        (['{"topic": "t", "data": "one", "key": "n"}', '{"topic": "t", "data": "two", "key": "n"}'], 2),
    ],
)
def test_a_batch_with_a_key_reused_names_the_line_and_stores_nothing(web: Web, lines: list[str], number: int) -> None:
    first: Any = web.post("/publish?topic=t&data=old&key=k")
    body = "\n".join(lines)
    detail = str(web.post("/publish", "key-reused", data=body, headers=NDJSON))
    assert detail.startswith(f"line {number}: the key ")
    problem = web.client.post("/publish", data=body, headers=NDJSON).get_json()
    assert problem["line"] == number
    assert problem.get("id", first["id"]) == first["id"]
    rows: list[TopicRow] = []
    web.engine.topics(0, rows.extend)
    assert [row.messages for row in rows] == [1]


def test_a_batch_gives_way_between_its_steps(web: Web) -> None:
    web.post("/publish", data=b'{"topic": "t", "data": "x"}\n' * (3 * limits.STEP_LINES + 1), headers=NDJSON)
    assert web.gave_way == 4
    web.post("/publish", data={"topic": "t", "data": "x"})
    assert web.gave_way == 4


def test_while_others_publish_long_batches_are_stored_one_at_a_time_and_short_ones_do_not_wait_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BATCH_QUIET_SECONDS", 3600.0)  # however long it takes to read the batches
    monkeypatch.setattr(limits, "RECEIPT_SECONDS", PATIENCE_SECONDS)  # that the others wait for their turn
    web = Web()
    entered, go_on = threading.Semaphore(0), threading.Event()
    inside, most = [0], [0]
    submit = web.engine.submit_later

    def slow(requests: Sequence[Request], then: Any, **options: Any) -> None:
        if len(requests) == 1:
            return submit(requests, then, **options)
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        entered.release()
        assert go_on.wait(PATIENCE_SECONDS)
        inside[0] -= 1
        return submit(requests, then, **options)

    monkeypatch.setattr(web.engine, "submit_later", slow)
    bodies = [
        b'{"topic": "t", "data": "%s"}\n' % (b"\\u0001" * 20_000) * 5,  # 600 KB where it is stored
        b'{"topic": "t", "data": "x"}\n' * (limits.STEP_LINES + 1),
        b'{"topic": "t", "data": "%s"}\n' % (b"x" * 60_000) * 10,
    ]

    def post(body: bytes) -> None:
        web.app.test_client().post("/publish", data=body, headers=NDJSON)

    post(b'{"topic": "t", "data": "before"}\n')
    threads = [threading.Thread(target=post, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=PATIENCE_SECONDS)
    assert not entered.acquire(timeout=0.2), "the other one waits"
    post(b'{"topic": "t", "data": "short"}\n')
    assert [message.data for message in web.engine.published()] == ["before", "short"]
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert most == [1]
    assert len(web.engine.published()) == 5 + limits.STEP_LINES + 1 + 10 + 2


def test_a_message_that_is_long_only_where_it_is_stored_takes_its_turn_among_batches(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control character is six characters on the disk and between brokers."""
    turns = [0]
    take = Turn.take

    def counted(turn: Turn) -> Any:
        turns[0] += 1
        return take(turn)

    monkeypatch.setattr(Turn, "take", counted)
    for text, count in (
        ("x" * 65_536, 0),
        ("a\n" * 32_768, 0),
        ("\u00e9" * 32_768, 0),
        ("\x01" * 20_000, 0),
        ("\x01" * 65_536, 1),
    ):
        response = web.app.test_client().post("/publish", json={"topic": "t", "data": text})
        assert (response.status_code, turns) == (200, [count])
    assert web.engine.published()[-1].data == "\x01" * 65_536


def test_a_form_that_says_too_much_is_refused_before_its_escapes_are_decoded(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = list[int]()
    parse = request_fields.parse_qsl

    def counted(encoded: str, **options: Any) -> Any:
        decoded.append(len(encoded))
        return parse(encoded, **options)

    monkeypatch.setattr(request_fields, "parse_qsl", counted)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for escapes, code in ((160_000, "too-large"), (limits.FORM_TEXT_BYTES, "too-large"), (65_537, "too-large"), (65_536, "")):
        web.post("/publish", code, data=b"topic=t&data=" + b"%61" * escapes, headers=headers)
    assert len(decoded) == 2, "the last two: that a text is too long is found when it is there"
