"""What headers, queries and JSON of ntfy's wire say, and what is refused with a sentence."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from newswire.core.model.commands import Publish
from newswire.core.model.event_ids import EventId
from newswire.errors import NewswireError
from newswire.ntfy import Filters
from newswire.web import ntfy_fields
from newswire.web.ntfy_fields import READER_NAMES, REFUSED, SCHEDULED

NOW = 1_795_514_400.0


def environ(body: bytes = b"", query: str = "", **headers: str) -> dict[str, Any]:
    return {
        "QUERY_STRING": quote(query, safe="=&%"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **{f"HTTP_{name}": value for name, value in headers.items()},
    }


def read(*args: Any, **headers: str) -> Publish:
    return ntfy_fields.of_body(environ(*args, **headers), "news", "ann")


def json(**fields: object) -> Publish:
    return ntfy_fields.of_json(environ(msgspec.json.encode(fields)), "ann")


def test_the_body_is_the_text() -> None:
    assert read(b" x \n") == Publish(topic="news", data="x", publisher="ann")
    assert read(b"").data == "triggered"


@pytest.mark.parametrize("name", ["X_TITLE", "TITLE", "T", "X_T"])
def test_a_header_has_several_names(name: str) -> None:
    assert read(b"x", **{name: "T"}).title == "T"


def test_a_header_beats_the_query() -> None:
    assert read(b"x", "title=Q&p=5&x-tags=a", TITLE="H") == Publish(
        topic="news", data="x", title="H", priority=5, tags=("a",), publisher="ann"
    )


def test_a_header_is_utf_8_or_as_rfc_2047_has_it() -> None:
    assert read(b"x", TITLE="Köln".encode().decode("latin-1")).title == "Köln"
    assert read(b"x", TITLE="K\xf6ln").title == "Köln"
    assert read(b"x", TITLE="=?UTF-8?Q?K=C3=B6ln?= =?UTF-8?B?8J+YgA==?=").title == "Köln😀"
    for broken in (
        "=?UTF-8?B?8J+?=",
        "=?nocharset?B?8J+YgA==?=",
        "=?UTF-8?B?/w==?=",
        "=?UTF-8?B?!!!?=",
        "=?UTF-8?b?8J+Y!gA==?=",
    ):
        with pytest.raises(NewswireError):
            read(b"x", TITLE=broken)


def test_two_headers_of_one_field_that_differ_are_refused() -> None:
    for headers in ({"TITLE": "a", "X_TITLE": "b"}, {"DELAY": "30m", "IN": "40m"}, {"TAGS": "a", "TA": "b"}):
        with pytest.raises(NewswireError, match="given twice"):
            read(b"x", **headers)
    assert read(b"x", TITLE="a", X_TITLE="a", T="a").title == "a"
    assert read(b"x", X_PRIORITY="5", PRIORITY="u=1, i").priority == 5


def test_a_line_end_in_a_message_of_a_header_is_written_out() -> None:
    assert read(b"", MESSAGE="one\\ntwo").data == "one\ntwo"


def test_json_has_the_same_fields() -> None:
    assert json(
        topic="t", message="m", title="T", priority=3, tags=["a", "b"], click="https://x.org", icon="http://i", delay=""
    ) == (Publish(topic="t", data="m", title="T", priority=3, tags=("a", "b"), click="https://x.org", publisher="ann"))
    nothing = {"attach": None, "actions": [], "email": "", "markdown": False, "priority": 0, "tags": None}
    assert json(topic="t", message="m", **nothing) == Publish(topic="t", data="m", publisher="ann")


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "cache"])
def test_what_does_not_happen_here_is_refused_with_a_sentence(name: str) -> None:
    header = name.upper().replace("-", "_")
    number, sentence = REFUSED[name]
    for given in (environ(b"x", f"{name}=10m"), environ(b"x", **{header: "10m"})):
        with pytest.raises(NewswireError) as raised:
            ntfy_fields.of_body(given, "news", "")
        assert (raised.value.detail, raised.value.extra["ntfy"]) == (sentence, number)
    assert len(sentence.split()) > 5


def test_what_only_looks_is_taken_and_has_no_effect() -> None:
    message = read(b"x", ICON="https://x/i.png", FIREBASE="no", CACHE="yes")
    assert message == Publish(topic="news", data="x", publisher="ann")


def test_a_text_is_markdown_by_its_header_or_its_type() -> None:
    assert read(b"*x*", MARKDOWN="yes").markdown
    assert not read(b"*x*", MARKDOWN="no").markdown
    assert ntfy_fields.of_body({**environ(b"*x*"), "CONTENT_TYPE": "text/markdown; charset=utf-8"}, "news", "").markdown
    assert ntfy_fields.of_json(environ(b'{"topic":"news","message":"*x*","markdown":true}'), "").markdown


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("titel=x", "unknown-field"),
        ("title=x&t=y", "double-field"),
        ("title=x&title=x", "double-field"),
        ("message=x", "double-field"),
        ("priority=9", "bad-field"),
        ("markdown=perhaps", "bad-field"),
        ("cache=no", "bad-field"),
        ("click=ftp://x", "bad-field"),
        ("template=yes", "bad-field"),
        ("template=alertmanager", "bad-body"),
        ("at=tomorrow", "bad-field"),
    ],
)
def test_what_is_wrong_is_refused(query: str, code: str) -> None:
    with pytest.raises(NewswireError) as raised:
        read(b"body", query)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"message": "x"}, "missing-field"),
        ({"topic": "a b"}, "bad-topic"),
        ({"topic": "publish"}, "bad-topic"),
        ({"topic": "t", "titel": "x"}, "unknown-field"),
        ({"topic": "t", "tags": "a"}, "bad-field"),
        ({"topic": "t", "tags": ["a,b"]}, "bad-field"),
        ({"topic": "t", "tags": [7]}, "bad-field"),
        ({"topic": "t", "message": 7}, "bad-field"),
        ({"topic": "t", "actions": [{"action": "view"}]}, "bad-field"),
        ({"topic": "t", "delay": "tomorrow"}, "bad-field"),
    ],
)
def test_what_is_wrong_with_json_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(NewswireError) as raised:
        json(**fields)
    assert raised.value.code == code


def test_files_and_long_texts_are_refused() -> None:
    for body, code in ((b"\xff\xd8\xff", "bad-field"), (b"x" * 65_537, "too-large"), (b"x" * 600_000, "too-large")):
        with pytest.raises(NewswireError) as raised:
            read(body)
        assert raised.value.code == code


def test_fields_of_ours_at_an_address_with_a_typing_error_are_no_text() -> None:
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    with pytest.raises(NewswireError) as raised:
        ntfy_fields.of_body({**environ(b"username=ann&topic=x"), **form}, "subscirbe", "")
    assert raised.value.code == "not-found"
    assert ntfy_fields.of_body({**environ(b"Backup done"), **form}, "backups", "").data == "Backup done"


def test_readers_say_from_where_on() -> None:
    def since(text: str, *, poll: bool = False) -> object:
        return ntfy_fields.since_of(text, NOW, of_poll=poll)

    assert since("") is None
    assert since("", poll=True) == 0
    assert since("none", poll=True) is None
    assert [since(word) for word in ("all", "latest", "1795514400", "10m", "1h30m")] == [
        0,
        "latest",
        1_795_514_400_000,
        int(NOW * 1000) - 600_000,
        int(NOW * 1000) - 5_400_000,
    ]
    assert since("1001-k3b9.7") == "1001-k3b9.7"
    assert isinstance(since("e~1001-k3b9.7~1001-k3b9.7~"), EventId)
    assert since("SLiKI64DOtaB") == "SLiKI64DOtaB", "an id of a server of ntfy: nothing here"
    for wrong in ("yesterday", "-5m", "x" * 13):
        with pytest.raises(NewswireError):
            since(wrong)


def test_readers_have_filters() -> None:
    given = ntfy_fields.texts(environ(b"", "p=high,urgent&ta=b,a&t=T&m=M&id=1001-a.7&poll=1&sched=1"), READER_NAMES)
    assert ntfy_fields.filters_of(given) == Filters(id="1001-a.7", message="M", title="T", priorities=(4, 5), tags=("a", "b"))
    assert ntfy_fields.polls(given)
    assert not ntfy_fields.polls({})


def test_paths_name_topics() -> None:
    assert ntfy_fields.topics_of("a,b.c,a,") == ("a", "b.c")
    for wrong in (",", "a b", "a,publish", ",".join(map(str, range(101)))):
        with pytest.raises(NewswireError) as raised:
            ntfy_fields.topics_of(wrong)
        assert raised.value.code == "bad-topic"


@pytest.mark.parametrize(
    ("words", "at", "delay"),
    [
        ("30m", 0, 1_800_000),
        ("1h30m", 0, 5_400_000),
        ("in 2 hours", 0, 7_200_000),
        ("30 min", 0, 1_800_000),
        ("1 Day", 0, 86_400_000),
        ("10 seconds", 0, 10_000),
        ("1639194738", 1_639_194_738_000, 0),
        ("2026-11-24T09:41:00Z", 1_795_513_260_000, 0),
    ],
)
def test_what_is_delivered_later_says_when(words: str, at: int, delay: int) -> None:
    for name in ("Delay", "At", "In"):
        message = ntfy_fields.of_body({**environ(b"x"), f"HTTP_{name.upper()}": words}, "t", "")
        assert (message.at, message.delay) == (at, delay)


@pytest.mark.parametrize("words", ["tomorrow, 10am", "2 months", "8:30pm", "in an hour", "next tuesday", "31d"])
def test_other_words_for_a_time_are_refused(words: str) -> None:
    with pytest.raises(NewswireError) as raised:
        json(topic="t", delay=words)
    assert raised.value.detail == SCHEDULED or "30 days" in raised.value.detail
