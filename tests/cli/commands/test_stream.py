"""`newswire stream`: what is printed or handed to a command, and what is acknowledged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from newswire.cli import main, output
from newswire.cli.commands import stream
from newswire.client import Message
from tests.kit.fake_broker import Fake, message
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


def test_stream_prints_and_acknowledges(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.events = [message(1), message(2, "two\nlines", title="T"), message(3)]
    assert main.run(["stream", "Alice", "--count", "2"]) == 0
    assert capsys.readouterr().out == "Google\tHello Google\nGoogle\ttwo\\nlines\tT\n"
    assert fake.sent("/ack")[-1] == {"username": "Alice", "id": "e2"}
    assert fake.sent("/stream")[0] == {"username": "Alice", "format": "json", "ack": "client", "follow": "1"}


def test_stream_as_json(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.events = [message(1, "a\u202e\x1b\n\x9bb", tags=["x"])]
    assert main.run(["stream", "Alice", "--count", "1", "--json"]) == 0
    (line,) = capsys.readouterr().out.removesuffix("\n").split("\n")
    told = json.loads(line)
    assert told["data"] == "a\u202e\x1b\n\x9bb"
    assert told["tags"] == ["x"]
    assert "title" not in told
    assert "\x1b" not in line


def test_stream_of_somebody_unknown_is_refused(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/stream"] = (403, {"code": "not-registered", "detail": "Gita is not registered for any topic"})
    assert main.run(["stream", "Gita"]) == output.FAILED
    assert capsys.readouterr().err.endswith("newswire: Gita is not registered for any topic.\n")


def test_a_gap_is_told(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.events = [b'event: gap\nid: e0\ndata: {"topic": "Google", "dropped": 7}\n\n', message(1)]
    assert main.run(["stream", "Alice", "--count", "1"]) == 0
    assert "7 messages of topic Google were removed by retention" in capsys.readouterr().err


def test_exec_acknowledges_what_exits_0(fake: Fake, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_TITLE", "of the caller")
    fake.events = [message(1, "a b;$(c)", tags=["x", "y"])]
    monkeypatch.setenv("NEWSWIRE_MESSAGE_TITLE", "of an older message")
    shown = "$NEWSWIRE_MESSAGE_ID|$NEWSWIRE_MESSAGE_TOPIC|$NEWSWIRE_MESSAGE_DATA|${NEWSWIRE_MESSAGE_TITLE-none}"
    command = f'echo "{shown}|$NEWSWIRE_MESSAGE_TAGS|$NEWSWIRE_TITLE"; cat'
    assert main.run(["stream", "Alice", "--count", "1", "--exec", command]) == 0
    shown, _, body = capfd.readouterr().out.partition("\n")
    assert shown == "a-1|Google|a b;$(c)|none|x,y|of the caller"
    assert json.loads(body)["event_id"] == "e1"
    assert fake.sent("/ack")[-1]["id"] == "e1"


def test_exec_stops_at_what_fails(fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    fake.events = [message(1, "good"), message(2, "bad"), message(3, "never")]
    assert (
        main.run(["stream", "Alice", "--exec", 'echo "$NEWSWIRE_MESSAGE_DATA"; test "$NEWSWIRE_MESSAGE_DATA" = good'])
        == output.FAILED
    )
    said = capfd.readouterr()
    assert said.out == "good\nbad\n"
    assert "The command exited 1 at message a-2: it stays unacknowledged" in said.err
    assert [fields["id"] for fields in fake.sent("/ack")] == ["e1"]


def test_the_environment_holds_no_nul() -> None:
    assert stream.environment(Message("a", "e", topic="G", data="x\0y"), {})["NEWSWIRE_MESSAGE_DATA"] == "x\ufffdy"


def test_an_interrupted_stream_ends_well(fake: Fake) -> None:
    fake.events = [message(1)]
    child = subprocess.Popen([sys.executable, "-m", "newswire", "stream", "Alice"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"Google\tHello Google\n"
    wait_until(lambda: bool(fake.sent("/ack")))
    child.send_signal(signal.SIGTERM)
    assert child.wait(PATIENCE_SECONDS) == 0
    child.stdout.close()
    assert {fields["id"] for fields in fake.sent("/ack")} == {"e1"}


def on(number: int, topic: str, **more: str) -> bytes:
    return message(number, f"text {number}", topic=topic, **more)


def test_of_chosen_topics_only_what_was_shown_counts(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscriptions"] = (200, [{"topic": name} for name in ("kitchen", "garden", "team.>")])
    fake.events = [on(1, "garden"), on(2, "kitchen"), on(3, "team.red"), on(4, "team.blue"), on(5, "kitchen")]
    command = ["stream", "Alice", "--topic", "kitchen", "--topic", "team.red", "--count", "3"]
    assert main.run(command) == 0
    shown = capsys.readouterr()
    assert shown.out == "kitchen\ttext 2\nteam.red\ttext 3\nkitchen\ttext 5\n"
    assert "What is shown of team.> does not count as delivered" in shown.err
    assert {(fields["id"], fields["topic"]) for fields in fake.sent("/ack")} <= {("e2", "kitchen"), ("e5", "kitchen")}
    assert fake.sent("/ack")[-1]["id"] == "e5"
    assert "follow" not in fake.sent("/stream")[0]  # it starts at the cursor each time


def test_all_that_somebody_has_is_a_stream_like_any(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscriptions"] = (200, [{"topic": "team.red"}])
    fake.events = [on(1, "team.red")]
    assert main.run(["stream", "Alice", "--topic", "team.*", "--count", "1"]) == 0
    assert fake.sent("/ack") == [{"username": "Alice", "id": "e1"}]
    assert capsys.readouterr() == ("team.red\ttext 1\n", "")


def test_a_topic_that_is_not_subscribed_to_is_refused(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscriptions"] = (200, [{"topic": "garden"}])
    assert main.run(["stream", "Alice", "--topic", "kitchen"]) == output.FAILED
    assert "User Alice is not subscribed to kitchen: newswire subscribe Alice kitchen" in capsys.readouterr().err
    assert fake.sent("/stream") == []


def test_since_shows_once_more_what_has_come(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    old = [json.loads(one.partition(b"data: ")[2]) for one in (on(1, "kitchen"), on(2, "kitchen"))]
    pages = [(200, {"messages": [old[0]], "more": True}), (200, {"messages": [old[1]], "more": False})]
    fake.answers["/messages"] = pages
    fake.events = [on(2, "kitchen"), on(3, "kitchen")]
    assert main.run(["stream", "Alice", "--since", "all", "--count", "3"]) == 0
    assert capsys.readouterr().out == "kitchen\ttext 1\nkitchen\ttext 2\nkitchen\ttext 3\n"
    assert [fields["since"] for fields in fake.sent("/messages")] == ["earliest", "e1"]
    assert fake.sent("/ack")[-1]["id"] == "e3"


def test_topics_without_a_user_need_no_subscription(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    wire = {"id": "a-1", "time": 1795858452, "event": "message", "topic": "kitchen", "message": "soup", "priority": 4}
    fake.events = [
        b'event: keepalive\ndata: {"id": "k", "event": "keepalive", "topic": "kitchen", "dropped": 7}\n\n',
        f"id: e1\ndata: {json.dumps(wire)}\n\n".encode(),
    ]
    command = ["stream", "--topic", "kitchen", "--topic", "garden", "--since", "all", "--count", "1", "--json"]
    assert main.run(command) == 0
    shown = capsys.readouterr()
    fields = {
        "id": "a-1",
        "event_id": "e1",
        "topic": "kitchen",
        "data": "soup",
        "time": "2026-11-28T09:34:12.000Z",
        "priority": 4,
    }
    assert json.loads(shown.out) == fields
    assert "7 messages of topic kitchen were removed" in shown.err
    assert fake.sent("/kitchen,garden/sse") == [{"since": "all"}]
    assert fake.sent("/ack") == []


def test_what_brokers_say_of_reading_topics_is_told(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/kitchen/sse"] = (403, {"code": 40301, "http": 403, "error": "first POST /subscribe, then GET /stream"})
    assert main.run(["stream", "--topic", "kitchen"]) == output.FAILED
    assert "newswire subscribe USER TOPIC, then newswire stream USER" in capsys.readouterr().err
    assert main.run(["stream", "--topic", "kitchen.>"]) == output.FAILED
    assert "is a pattern, which needs a subscription" in capsys.readouterr().err
    assert stream.to_unix("2026-11-28T09:41:00+01:00") == "1795855260"
    assert stream.to_unix("10m") == "10m"
