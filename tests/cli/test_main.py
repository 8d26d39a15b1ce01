"""The commands against a scripted broker: what is sent, what is printed, how they end."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from newswire import errors, escape
from newswire.cli import exits, main, tables
from newswire.cli.commands import publish, status, stream
from newswire.client import Message, Row, publisher
from newswire.core import limits
from tests.kit.fake_broker import DOWN, PUBLISHED, Fake, message
from tests.kit.waiting import wait_until


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    made = Fake()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSWIRE_BROKERS", made.address)
    yield made
    made.close()


# -- publish ---------------------------------------------------------------------------------------------------------
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
    assert main.run(["publish", "--ndjson", str(batch)]) == exits.FAILED
    assert "line 2: not a JSON object" in capsys.readouterr().err
    assert not fake.sent("/publish")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon: for commands that find nobody who serves."""
    monkeypatch.setattr(limits, "CLI_CALL_SECONDS", 1.0)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((503, {"code": "not-ready", "detail": "starting"}), exits.UNKNOWN),  # it is not as if nothing had been done
        ((503, {"code": "unknown-outcome", "detail": "no answer"}), exits.UNKNOWN),
        ((400, {"code": "bad-line", "detail": "line 1: no", "line": 1}), exits.FAILED),
        ((507, {"code": "storage-full", "detail": "the disk is full"}), exits.FAILED),
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
    assert main.run(["publish", "--ndjson", str(batch), "--key", "k"]) == exits.FAILED
    said = capsys.readouterr().err
    assert "line 4: not a JSON object" in said
    assert "the 2 messages before are stored; to go on add --key k to the command" in said


# -- exit codes ------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("status_code", "code", "exit_code"),
    [
        (400, "bad-field", exits.FAILED),
        (403, "forbidden", exits.FAILED),
        (413, "too-large", exits.FAILED),
        (503, "not-enough-copies", exits.FAILED),
        (507, "storage-full", exits.FAILED),
        (503, "fewer-copies-than-asked", exits.FEWER_COPIES),
        (503, "not-ready", exits.NO_BROKER),
    ],
)
def test_exit_codes(fake: Fake, capsys: pytest.CaptureFixture[str], status_code: int, code: str, exit_code: int) -> None:
    fake.answers["/publish"] = (status_code, {"code": code, "detail": "the reason", "status": status_code, "title": "T"})
    assert main.run(["publish", "Google", "Hi"]) == exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("newswire: ")
    assert said.err.count("\n") == 1
    assert "the reason" in said.err


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "command",
    [
        "publish Google Hi",
        "subscribe Alice Google",
        "unsubscribe Alice Google",
        "subscriptions Alice",
        "stream Alice",
        "status",
    ],
)
def test_no_broker_is_4(fake: Fake, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main.run([*command.split(), "--brokers", DOWN]) == exits.NO_BROKER
    assert capsys.readouterr().err.startswith("newswire: no broker")


@pytest.mark.parametrize(
    "command",
    [
        "publish",
        "publish Google Hi --priority 9",
        "publish Google Hi --ndjson x",
        "publish --ndjson nowhere",
        "publish Google --ndjson nowhere --key k",
        "nonsense",
        "broker --prot 1",
        "broker --auth required",
        "broker --host 0.0.0.0",
        "broker --peer nowhere",
        "broker --id 10/01",
        "publish Google Hi --brokers nowhere",
        "stream",
    ],
)
def test_usage_is_2_and_one_sentence(fake: Fake, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main.run(command.split()) == exits.USAGE
    said = capsys.readouterr().err
    assert said.startswith("newswire: ")
    assert said.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == exits.USAGE
    assert "Commands:" in capsys.readouterr().err
    assert main.run(["--help"]) == 0
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.endswith("newswire 0.1.0\n")


def test_every_error_class_has_an_exit_code() -> None:
    for code, (_, title) in errors.TABLE.items():
        error = errors.from_problem({"code": code, "detail": "why"}, 400)
        assert exits.exit_code(error) in (exits.FAILED, exits.NO_BROKER, exits.FEWER_COPIES, exits.UNKNOWN, exits.USAGE), title
    assert exits.exit_code(errors.BadRequest("when?", code="bad-time")) == exits.USAGE
    assert exits.exit_code(errors.NoBroker("none")) == exits.NO_BROKER
    assert exits.exit_code(errors.Unknown("perhaps")) == exits.UNKNOWN


def test_a_sentence_is_safe_and_ends() -> None:
    assert exits.sentence(errors.BadRequest("a\x1b[2Jb\nc")) == "a\\x1b[2Jb\\x0ac."
    assert exits.sentence(errors.BadRequest("Done.")) == "Done."
    assert exits.sentence(errors.BadRequest("")) == "The request cannot be read."


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("publish t -5", "Text that begins with - goes behind --: newswire publish TOPIC -- DATA."),
        ("publish t -x=5", "goes behind --"),
        ("subscribe -ann t", "goes behind --: newswire subscribe USER -- TOPIC."),
        ("publish t hello world", "Put quotes around text with blanks."),
        ("--brokers a:1 publish t x", "It goes behind the command: newswire "),
    ],
)
def test_what_was_likely_meant_is_told(fake: Fake, capsys: pytest.CaptureFixture[str], command: str, hint: str) -> None:
    assert main.run(command.split()) == exits.USAGE
    assert hint in capsys.readouterr().err
    assert not fake.asked


def test_text_behind_two_hyphens(fake: Fake) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    assert main.run(["publish", "Google", "--", "-5 degrees"]) == 0
    assert main.run(["publish", "--title", "-t", "--", "Google", "--json"]) == 0
    assert [sent["data"] for sent in fake.sent("/publish")] == ["-5 degrees", "--json"]


def test_the_command_line_advises_commands() -> None:
    gita = errors.NotRegistered(
        "Gita is not registered for any topic: subscribe first, POST /subscribe?username=Gita&topic=..."
    )
    assert exits.sentence(gita) == "Gita is not registered for any topic: subscribe first, newswire subscribe Gita TOPIC."
    ann = errors.NotFound("ann has no subscription to x: GET /subscriptions?username=ann lists what there is")
    assert exits.sentence(ann) == "ann has no subscription to x: newswire subscriptions ann lists what there is."


# -- subscriptions ---------------------------------------------------------------------------------------------------
def test_subscribe_and_unsubscribe(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed Alice to topic Google"})
    fake.answers["/unsubscribe"] = (200, {"message": "Successfully unsubscribed Alice from topic Google"})
    assert main.run(["subscribe", "Alice", "Google", "--from", "7d"]) == 0
    assert main.run(["unsubscribe", "Alice", "Google"]) == 0
    assert (
        capsys.readouterr().out
        == "Successfully subscribed Alice to topic Google\nSuccessfully unsubscribed Alice from topic Google\n"
    )
    assert fake.sent("/subscribe") == [{"username": "Alice", "topic": "Google", "from": "7d"}]


def test_subscriptions(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"topic": "Google", "since": "2026-11-24T21:54:12.345Z", "index": 1234, "unread": 5}]
    fake.answers["/subscriptions"] = (200, rows)
    assert main.run(["subscriptions", "Alice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main.run(["subscriptions", "Alice"]) == 0
    assert capsys.readouterr().out.split() == "Topic Since Delivered Unread Google 2026-11-24T21:54:12.345Z 1,234 5".split()
    fake.answers["/subscriptions"] = (200, [])
    assert main.run(["subscriptions", "Alice"]) == 0
    assert capsys.readouterr().out == "Alice is not subscribed to any topic.\n"


# -- stream ----------------------------------------------------------------------------------------------------------
def test_stream_prints_and_acknowledges(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.events = [message(1), message(2, "two\nlines", title="T"), message(3)]
    assert main.run(["stream", "Alice", "--count", "2"]) == 0
    assert capsys.readouterr().out == "Hello Google\nT\ntwo\nlines\n"
    assert fake.sent("/ack")[-1] == {"username": "Alice", "id": "e2"}
    assert fake.sent("/stream")[0] == {"username": "Alice", "format": "json", "ack": "client"}


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
    assert main.run(["stream", "Gita"]) == exits.FAILED
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
        == exits.FAILED
    )
    said = capfd.readouterr()
    assert said.out == "good\nbad\n"
    assert "the command exited 1 at message a-2: it stays unacknowledged" in said.err
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
    assert child.wait(10) == 0
    child.stdout.close()
    assert {fields["id"] for fields in fake.sent("/ack")} == {"e1"}


# -- status ----------------------------------------------------------------------------------------------------------
def test_status(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"id": "1002", "ip": DOWN, "is_primary": False, "state": "down", "lag": 1500, "self": False, "detail": "no answer"}
    fake.answers["/list_replicas"] = (200, [other, fake.row()])
    fake.answers["/readyz"] = (200, {"message": "ready", "ready": True, "degraded": ["peer down"]})
    fake.answers["/topics"] = (200, [{"topic": "Google", "messages": 12, "last": "2026-11-24T21:54:12.345Z"}])
    assert main.run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["copies"] == 1
    assert [(b["id"], b["role"], b["state"], b["lag"], b["ready"]) for b in told["brokers"]] == [
        ("1001", "primary", "up", 0, True),
        ("1002", "secondary", "down", 1500, None),
    ]
    assert told["topics"][0]["topic"] == "Google"
    assert main.run(["status"]) == 0
    shown = capsys.readouterr().out
    for text in ("1001", "primary", "peer down", "1,500", "no answer; does not answer here", "1 broker would hold", "Google"):
        assert text in shown


def test_status_of_a_broker_that_does_not_serve_yet(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    starting = (503, {"code": "not-ready", "detail": "starting", "ready": False, "degraded": []})
    fake.answers |= {"/readyz": starting, "/topics": starting, "/list_replicas": (200, [fake.row(state="catching-up")])}
    assert main.run(["status"]) == 0
    shown = capsys.readouterr().out
    for text in ("catching-up", "starting", "no broker would take a message published now."):
        assert text in shown


def test_status_combines_what_is_told() -> None:
    rows = [Row("1002", "b:2", False, "catching-up", 3), Row("1001", "a:1", True, "up", 0)]
    made = status.combine(
        rows,
        {"a:1": {"ready": True, "degraded": [], "streams": 4}, "b:2": {"ready": False, "detail": "starting", "degraded": []}},
        [{"topic": "old", "messages": 1, "last": "2026-01-01"}, {"topic": "new", "messages": 1, "last": "2026-02-01"}],
    )
    assert [(b.id, b.ready, b.streams, b.notes) for b in made.brokers] == [
        ("1001", True, 4, ()),
        ("1002", False, None, ("starting",)),
    ]
    assert [t["topic"] for t in made.topics] == ["new", "old"]
    assert made.copies == 1
    assert status.row_line(rows[0]) == "b:2  broker 1002, secondary, catching-up, lacks 3 operations"


def test_status_tells_what_an_operator_needs(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    down = "2026-11-24T09:12:03.000Z"
    other = {"id": "1002", "ip": DOWN, "is_primary": False, "state": "down", "lag": 3, "self": False, "down_since": down}
    fake.answers["/list_replicas"] = (200, [other, fake.row()])
    fake.answers["/readyz"] = (
        200,
        {
            "ready": True, "degraded": [], "streams": 2, "copies": 1, "version": "0.1.0",
            "disk_free_bytes": 81_620_393_984, "time": "2026-11-24T10:00:00.000Z",
        },
    )  # fmt: skip
    fake.answers["/topics"] = (200, [])
    assert main.run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    one, two = told["brokers"]
    assert (one["copies"], one["version"], one["streams"], one["disk_free_bytes"]) == (1, "0.1.0", 2, 81_620_393_984)
    assert abs(one["clock_seconds"]) > 2
    assert (two["down_since"], two["copies"], two["version"]) == (down, None, None)
    assert main.run(["status"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "Copies",
        "Streams",
        "Free",
        "81 GB",
        "Version",
        "0.1.0",
        f"down since {down}",
        "its clock is",
        "this machine's",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("told", "ahead"),
    [
        ("1970-01-01T00:16:40Z", 0.0),  # between the question and the answer
        ("1970-01-01T00:16:50Z", 9.0),
        ("1970-01-01T00:16:30.500+00:00", -9.5),
        ("soon", None),
        (None, None),
    ],
)
def test_a_clock_is_compared_with_the_one_here(told: object, ahead: float | None) -> None:
    assert status.clock_ahead(told, 1000.0, 1001.0) == ahead


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (81_620_393_984, "81 GB"), (5_000_000_000_000_000, "5,000 TB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert status._size(count) == shown


def test_tables_take_cells_as_they_are() -> None:
    out = io.StringIO()
    tables.print_tables([tables.Table(("A", "[b]"), [("[red]x[/red]", "\x1b[2J")], note="[bold]n")], out)
    assert out.getvalue() == "A             [b]    \n[red]x[/red]  \\x1b[2J\n[bold]n\n"


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 400])
def test_a_narrow_terminal_gets_whole_words(columns: int) -> None:
    rows = [("1001", "127.0.0.1:5053", "up", "peer down"), ("1002", "b:1", "down", "")]
    made = tables.Table(("Broker", "Address", "State", ""), rows)
    console = Console(file=io.StringIO(), width=columns)
    console.print(tables.rendered([made], columns))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "127.0.0.1:5053" in shown
    assert "peer down" in " ".join(shown.split())
    if columns < 40:
        assert shown.splitlines()[:5] == ["Broker: 1001", "Address: 127.0.0.1:5053", "State: up", "peer down", ""]
    else:
        assert shown.splitlines()[0].split() == ["Broker", "Address", "State"]


def test_healthy_brokers_are_a_table_on_80_columns() -> None:
    one = {"address": "127.0.0.1:5053", "state": "up", "lag": 0, "copies": 2, "streams": 1_000, "version": "0.1.0"}
    rows = tuple(
        status.BrokerSummary(id=broker, role=role, ready=True, disk_free_bytes=999 * 10**9, clock_seconds=0.0, **one)
        for broker, role in (("1001", "primary"), ("1002", "secondary"))
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(tables.rendered(status.as_tables(status.Status(rows, 2, ())), console.width))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.startswith("Broker  Address")


# -- fast starts -----------------------------------------------------------------------------------------------------
def test_nothing_heavy_is_loaded_to_start() -> None:
    heavy = "requests rich flask msgspec waitress"
    code = f"import sys, newswire.cli.main; print([m for m in {heavy!r}.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_foreign_text_in_usage_errors_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["\x1b[2J"]) == exits.USAGE
    assert "\x1b" not in capsys.readouterr().err
    assert escape.line("\x1b") == "\\x1b"
    assert isinstance(main.newswire, click.Group)
