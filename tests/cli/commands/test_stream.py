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
    assert capsys.readouterr().out == "Hello Google\nT\ntwo\nlines\n"
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


def test_a_terminal_is_shown_no_controls() -> None:
    hostile = Message(
        "a-1", "e1", topic="Google", data="\x1b[2Jtwo\nlines\u202e", time="2026-11-24T21:54:12.345Z", title="\x07T"
    )
    assert stream.terminal_text(hostile) == "21:54:12 Google  \\x07T: \\x1b[2Jtwo\n    lines\\u202e"
    assert (
        stream.terminal_text(Message("a-1", "e1", topic="G", data="", time="2026-11-24T21:54:12.345Z", title="T"))
        == "21:54:12 G  T"
    )
    assert stream.environment(Message("a", "e", topic="G", data="x\0y"), {})["NEWSWIRE_MESSAGE_DATA"] == "x\ufffdy"


def test_an_interrupted_stream_ends_well(fake: Fake) -> None:
    fake.events = [message(1)]
    child = subprocess.Popen([sys.executable, "-m", "newswire", "stream", "Alice"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"Hello Google\n"
    wait_until(lambda: bool(fake.sent("/ack")))
    child.send_signal(signal.SIGTERM)
    assert child.wait(PATIENCE_SECONDS) == 0
    child.stdout.close()
    assert {fields["id"] for fields in fake.sent("/ack")} == {"e1"}
