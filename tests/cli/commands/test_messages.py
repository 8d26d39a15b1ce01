"""`newswire topics`, `messages` and `ack`: what is asked and printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from newswire.cli import main
from tests.kit.fake_broker import Fake


def message(number: int, **more: Any) -> dict[str, Any]:
    event = {"id": f"a-1.{number}", "event_id": f"e{number}", "topic": "news", "data": f"text {number}"}
    return event | {"time": "2026-11-28T10:00:00.000Z"} | more


def test_topics(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"topic": "news", "messages": 1234, "last": "2026-11-28T10:00:00.000Z"},
        {"topic": "to", "messages": 0, "last": None},
    ]
    fake.answers["/topics"] = (200, rows)
    assert main.run(["topics", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main.run(["topics"]) == 0
    assert capsys.readouterr().out.split() == "Topic Messages Last news 1,234 2026-11-28 10:00:00 UTC to 0".split()
    fake.answers["/topics"] = (200, [])
    assert main.run(["topics"]) == 0
    assert capsys.readouterr().out == "There are no topics yet: the first message to one makes it.\n"


def test_messages_are_printed_as_a_stream_prints_them(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/messages"] = (200, {"messages": [message(1), message(2, title="Up")], "more": False})
    assert main.run(["messages", "ann", "--topic", "news", "--since", "1d"]) == 0
    assert capsys.readouterr().out == "news\ttext 1\nnews\ttext 2\tUp\n"
    assert fake.sent("/messages") == [{"username": "ann", "topic": "news", "since": "1d", "limit": "100"}]
    assert main.run(["messages", "ann", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [message(1), message(2, title="Up")]
    assert fake.sent("/ack") == []


def test_messages_go_on_page_by_page_up_to_the_limit(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [([message(n) for n in range(1000)], True), ([message(n) for n in range(1000, 1200)], True)]
    fake.answers["/messages"] = [(200, {"messages": found, "more": more}) for found, more in pages]
    assert main.run(["messages", "ann", "--limit", "1200"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1200
    assert [(asked["limit"], asked.get("since")) for asked in fake.sent("/messages")] == [("1000", None), ("200", "e999")]


def test_messages_end_where_there_are_no_more(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/messages"] = (200, {"messages": [], "more": False})
    assert main.run(["messages", "ann", "--limit", "5000"]) == 0
    assert capsys.readouterr().out == ""
    assert len(fake.sent("/messages")) == 1


def test_a_search_goes_on_until_there_is_nothing_to_look_at(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [([message(9)], "p1"), ([], "p2"), ([message(3)], "")]
    fake.answers["/messages"] = [(200, {"messages": one, "more": bool(go_on), "next": go_on}) for one, go_on in pages]
    assert main.run(["messages", "ann", "--search", "text up", "--topic", "news"]) == 0
    assert capsys.readouterr().out == "news\ttext 9\nnews\ttext 3\n"
    asked = fake.sent("/messages")
    assert [(one["q"], one["topic"], one["limit"], one.get("before")) for one in asked] == [
        ("text up", "news", limit, before) for limit, before in (("100", None), ("99", "p1"), ("99", "p2"))
    ]


def test_ack(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/ack"] = (200, {"message": "Acknowledged"})
    assert main.run(["ack", "ann", "e5", "--topic", "news"]) == 0
    assert capsys.readouterr().out == "Acknowledged\n"
    assert fake.sent("/ack") == [{"username": "ann", "id": "e5", "topic": "news"}]
    assert main.run(["ack", "e5"]) == 2
    assert "EVENT_ID" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["messages", "stream"])
def test_a_topic_in_the_place_of_a_user_is_known_for_one(command: str, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = (403, {"code": "not-registered", "detail": "user news is not registered for any topic"})
    fake.answers |= {"/messages": refusal, "/stream": refusal}
    fake.answers["/topics"] = (200, [{"topic": "news", "messages": 1, "last": None}])
    assert main.run([command, "news"]) == 1
    assert "news is a topic: name who reads it, then the topic, USER --topic news." in capsys.readouterr().err
    fake.answers["/topics"] = (200, [])
    assert main.run([command, "news"]) == 1
    assert capsys.readouterr().err == "newswire: User news is not registered for any topic.\n"


def test_what_waits_is_listed(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "id": "a-1.7",
        "topic": "news",
        "data": "Doors\nclose",
        "time": "2026-11-28T10:00:00.000Z",
        "due": "2026-11-28T17:45:00.000Z",
    }
    fake.answers["/messages"] = (200, {"messages": [row], "more": True})
    assert main.run(["messages", "--scheduled"]) == 0
    out = capsys.readouterr().out
    assert "2026-11-28 17:45:00 UTC" in out
    assert "news" in out
    assert "a-1.7" in out
    assert "Doors" in out
    assert "There are more" in out
    assert fake.sent("/messages") == [{"scheduled": "1", "limit": "100"}]
    assert main.run(["messages", "ann", "--scheduled", "--json", "--limit", "9"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == row
    assert told.err == "newswire: There are more, which are due later.\n"
    assert fake.sent("/messages")[-1] == {"scheduled": "1", "limit": "9", "username": "ann"}
    fake.answers["/messages"] = (200, {"messages": [], "more": False})
    assert main.run(["messages", "--scheduled"]) == 0
    assert capsys.readouterr().out == "Nothing waits to be published.\n"


def test_what_waits_is_read_to_the_limit_page_by_page(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    def page(first: int, last: int, **more: object) -> tuple[int, dict[str, object]]:
        return 200, {"messages": [{"id": f"a-1.{at}", "topic": "news", "data": "x"} for at in range(first, last + 1)], **more}

    fake.answers["/messages"] = [page(1, 1000, more=True, next="17~a-1.1000"), page(1001, 1002, more=True, next="18~a-1.1002")]
    assert main.run(["messages", "--scheduled", "--json", "--limit", "1002"]) == 0
    told = capsys.readouterr()
    assert [json.loads(line)["id"] for line in told.out.splitlines()] == [f"a-1.{at}" for at in range(1, 1003)]
    assert told.err == "newswire: There are more, which are due later.\n"
    assert fake.sent("/messages") == [
        {"scheduled": "1", "limit": "1000"},
        {"scheduled": "1", "limit": "2", "since": "17~a-1.1000"},
    ]


def test_what_waits_is_not_selected(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["messages", "--scheduled", "--topic", "news"]) == 2
    assert "leave --topic" in capsys.readouterr().err
    assert fake.sent("/messages") == []
