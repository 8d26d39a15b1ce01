"""`newswire publish`: what is sent, what is printed, and what is said where a batch stops halfway."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from newswire import errors
from newswire.cli import main, output
from newswire.cli.commands import publish
from newswire.client import publisher
from newswire.core import limits
from tests.kit.fake_broker import PUBLISHED, Fake
from tests.kit.waiting import wait_until


def test_publish(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    assert main.run(["publish", "Google", "Hello Google"]) == 0
    assert capsys.readouterr().out == "Published topic Google data Hello Google (id a-1, copies 2)\n"
    (sent,) = fake.sent("/publish")
    assert (sent["topic"], sent["data"]) == ("Google", "Hello Google")


def test_publish_with_everything(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    flags = "--title T --priority 4 --tags a,b --click http://x/ --key k --copies 2 --json".split()
    assert main.run(["publish", "Google", "Hi", *flags]) == 0
    assert json.loads(capsys.readouterr().out) == PUBLISHED
    (sent,) = fake.sent("/publish")
    assert sent == {
        "topic": "Google",
        "data": "Hi",
        "title": "T",
        "priority": 4,
        "tags": ["a", "b"],
        "click": "http://x/",
        "key": "k",
        "copies": "2",
    }


def test_publish_later(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    due = "2026-11-28T09:41:07.000Z"
    fake.answers["/publish"] = (200, PUBLISHED | {"message": f"Scheduled topic a data b for {due}", "due": due})
    assert main.run(["publish", "a", "b", "--delay", "30m"]) == 0
    assert re.match(r"Scheduled topic a data b for 2026-11-2\d \d\d:\d1:07 \S+ \(id a-1", capsys.readouterr().out)
    assert main.run(["publish", "a", "b", "--at", "2026-11-28T09:41:07Z"]) == 0
    assert [(sent.get("delay"), sent.get("at")) for sent in fake.sent("/publish")] == [
        ("30m", None),
        (None, "2026-11-28T09:41:07Z"),
    ]
    capsys.readouterr()
    assert main.run(["publish", "a", "b", "--delay", "30m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["due"] == due


@pytest.mark.parametrize("arguments", [["Google"], ["Google", "-"]])
@pytest.mark.parametrize(
    ("typed", "data"), [("two\nlines\n", "two\nlines"), ("no end", "no end"), ("crlf\r\n", "crlf"), ("a\n\n", "a\n")]
)
def test_publish_reads_standard_input(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, arguments: list[str], typed: str, data: str
) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    assert main.run(["publish", *arguments]) == 0
    assert fake.sent("/publish")[0]["data"] == data


def test_what_standard_input_may_not_hold() -> None:
    most = b"x" * limits.MESSAGE_BYTES
    assert publish.read_data(io.BytesIO(most + b"\r\n")) == most.decode()
    with pytest.raises(errors.TooLarge):
        publish.read_data(io.BytesIO(most + b"x"))
    with pytest.raises(errors.BadRequest, match="UTF-8"):
        publish.read_data(io.BytesIO(b"\xff"))
    with pytest.raises(errors.BadRequest, match="UTF-16: save it as UTF-8"):
        publish.read_data(io.BytesIO("\ufeffHi\r\n".encode("utf-16-le")))


def test_a_byte_order_mark_is_no_part_of_what_is_read() -> None:
    mark, most = b"\xef\xbb\xbf", b"x" * limits.MESSAGE_BYTES
    assert publish.read_data(io.BytesIO(mark + most + b"\r\n")) == most.decode()
    assert publish.read_data(io.BytesIO(mark + mark + b"Hi\n")) == "\ufeffHi"
    lines = [mark + b'{"data": "one"}\r\n', mark + b"\r\n", mark + b'{"data": "two"}']
    assert [line["data"] for line in publish.messages_in(lines, {}, "k")] == ["one", "two"]


def test_publish_a_batch(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"message": "Published 2 messages", "count": 2, "first": "a-1", "last": "a-2", "copies": 2}
    fake.answers["/publish"] = (200, told)
    batch = tmp_path / "batch.ndjson"
    batch.write_text('{"data": "one"}\n\n{"topic": "Meta", "data": "two", "key": "k"}\n')
    assert main.run(["publish", "Google", "--ndjson", str(batch), "--tags", "x"]) == 0
    assert capsys.readouterr().out == "Published 2 messages (copies 2)\n"
    first, second = fake.sent("/publish")[0]["lines"]
    assert (first["topic"], first["data"], first["tags"]) == ("Google", "one", ["x"])
    assert (second["topic"], second["data"], second["key"]) == ("Meta", "two", "k")


@pytest.mark.parametrize("line", ["not json", "[1]", '"text"', "[" * 100_000])
def test_a_bad_line_is_named(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    batch = tmp_path / "batch.ndjson"
    batch.write_text(f'{{"topic": "a", "data": "b"}}\n{line}\n')
    assert main.run(["publish", "--ndjson", str(batch)]) == output.FAILED
    assert "Line 2: not a JSON object" in capsys.readouterr().err
    assert not fake.sent("/publish")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((503, {"code": "not-ready", "detail": "starting"}), output.UNKNOWN),  # it is not as if nothing had been done
        ((503, {"code": "unknown-outcome", "detail": "no answer"}), output.UNKNOWN),
        ((400, {"code": "bad-line", "detail": "line 1: no", "line": 1}), output.FAILED),
        ((507, {"code": "storage-full", "detail": "the disk is full"}), output.FAILED),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_a_batch_that_stops_halfway_names_what_is_stored_and_its_key(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: Any, code: int
) -> None:
    monkeypatch.setattr(publisher.batches, "__defaults__", (2, limits.BATCH_BYTES))
    told = {"message": "Published 2 messages", "count": 2, "first": "a-1", "last": "a-2", "copies": 2}
    fake.answers["/publish"] = [(200, told), *[answer] * 50]
    batch = tmp_path / "batch.ndjson"
    batch.write_text('{"topic": "t", "data": "x"}\n' * 3)
    assert main.run(["publish", "--ndjson", str(batch)]) == code
    said = capsys.readouterr().err
    assert "the 2 messages before are stored" in said
    keys = [line["key"] for sent in fake.sent("/publish") for line in sent["lines"]]
    (key,) = re.findall(r"add --key (\S+) to the command", said)
    assert keys[:3] == [f"{key}-1", f"{key}-2", f"{key}-3"]


def test_a_bad_line_behind_what_is_stored(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher.batches, "__defaults__", (2, limits.BATCH_BYTES))
    told = {"message": "Published 2 messages", "count": 2, "first": "a-1", "last": "a-2", "copies": 2}
    fake.answers["/publish"] = (200, told)
    batch = tmp_path / "batch.ndjson"
    batch.write_text('{"topic": "t", "data": "x"}\n' * 3 + "nonsense\n")
    assert main.run(["publish", "--ndjson", str(batch), "--key", "k"]) == output.FAILED
    said = capsys.readouterr().err
    assert "Line 4: not a JSON object" in said
    assert "the 2 messages before are stored; to go on add --key k to the command" in said


def test_text_behind_two_hyphens(fake: Fake) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    assert main.run(["publish", "Google", "--", "-5 degrees"]) == 0
    assert main.run(["publish", "--title", "-t", "--", "Google", "--json"]) == 0
    assert [sent["data"] for sent in fake.sent("/publish")] == ["-5 degrees", "--json"]


def test_a_mistyped_topic_is_noticed() -> None:
    assert publish.new_topic_note("kitchn", {"kitchn": 1, "kitchm": 1, "kitchen": 7, "garden": 1}) == (
        "This is the first message of topic kitchn: did you mean kitchen?"
    )
    assert publish.new_topic_note("zoo", {"zoo": 1, "kitchen": 7}) == "This is the first message of topic zoo."
    assert publish.new_topic_note("kitchen", {"kitchen": 2, "kitchn": 1}) == ""


def test_what_a_pipe_brings_is_published_as_it_comes(fake: Fake) -> None:
    fake.answers["/publish"] = (200, {"message": "m", "count": 1, "first": "x.1", "last": "x.1", "copies": 2})
    command = [sys.executable, "-m", "newswire", "publish", "--ndjson", "-", "--key", "k"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.write(b'{"topic": "Google", "data": "first"}\n')
    child.stdin.flush()
    wait_until(lambda: len(fake.sent("/publish")) == 1)
    assert child.communicate()[0] == b"Published 1 message (copies 2)\n"  # which ends what it reads
    assert fake.sent("/publish")[0]["lines"] == [{"key": "k-1", "topic": "Google", "data": "first"}]
