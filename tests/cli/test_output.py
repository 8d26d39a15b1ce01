"""Output that cannot be written changes nothing of what a command did, and is never taken for it.

Each command runs in a process of its own, with descriptors closed, full, or led to a pipe that nobody reads.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich.progress  # noqa: F401  # before a test holds the clock, which its modules look at
from rich.console import Console

from newswire import errors
from newswire.cli import output
from newswire.cli.output import Table, print_tables, rendered
from tests.kit.fake_broker import DOWN, PUBLISHED, Fake, message
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

NEWSWIRE = f'"{sys.executable}" -m newswire'
# how a shell leads standard output astray
ASTRAY = {"full": ">/dev/full", "closed": ">&-", "read-only": "1</dev/null", "left": "| true", "both": ">/dev/full 2>&1"}
COMMANDS = [
    "publish Google Hi",
    "publish Google Hi --json",
    "publish --ndjson batch.ndjson",
    "subscribe Alice Google",
    "unsubscribe Alice Google",
    "subscriptions Alice",
    "subscriptions Alice --json",
    "status",
    "status --json",
    "--help",
    "--version",
    "publish --help",
]
# each command with the one that fails latest, and each other one with what prints a text, JSON, and a help
PRINTED = [(command, "full") for command in COMMANDS] + [
    (command, astray) for astray in ASTRAY if astray != "full" for command in ("publish Google Hi", "status --json", "--help")
]
NO_ERRORS = ">/dev/full 2>/dev/full"
ENDINGS = {
    "publish Google Hi": output.DONE,
    "publish 'no topic' Hi": output.FAILED,
    "publish --no-such-option": output.USAGE,
    f"publish Google Hi --brokers {DOWN} --timeout 0.1": output.NO_BROKER,
    "unsubscribe Alice Nothing": output.FAILED,
    "nonsense": output.USAGE,
    "": output.USAGE,
}
TOLD_NOWHERE = [(command, NO_ERRORS) for command in ENDINGS] + [
    (command, astray) for astray in ("2>/dev/full", "2>&-", ">&- 2>&- <&-") for command in ("publish 'no topic' Hi", "nonsense")
]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    made = Fake()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSWIRE_BROKERS", made.address)
    (tmp_path / "batch.ndjson").write_text('{"topic": "Google", "data": "Hi"}\n')
    made.answers |= {
        "/publish": (200, PUBLISHED | {"count": 1, "first": "a-1", "last": "a-1"}),
        "/subscribe": (200, {"message": "Successfully subscribed Alice to topic Google"}),
        "/unsubscribe": (200, {"message": "Successfully unsubscribed Alice from topic Google"}),
        "/subscriptions": (200, [{"topic": "Google", "since": None, "index": 1, "unread": 0}]),
        "/readyz": (200, {"ready": True, "degraded": []}),
        "/topics": (200, []),
    }
    yield made
    made.close()


def run(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; a pipe's status is that of its first command."""
    told = f"{line}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", told], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.mark.parametrize(("command", "astray"), PRINTED)
def test_what_is_done_is_done(fake: Fake, command: str, astray: str) -> None:
    done = run(f"{NEWSWIRE} {command} {ASTRAY[astray]}")
    assert done.returncode == output.DONE, done.stderr
    assert "Traceback" not in done.stderr
    if astray == "full":
        assert done.stderr.startswith("newswire: The output could not be written (No space left on device)")

    else:
        assert done.stderr == ""
    if command.startswith(("publish Google", "publish --ndjson")):
        assert len(fake.sent("/publish")) == 1


@pytest.mark.parametrize(("command", "astray"), TOLD_NOWHERE)
def test_an_error_that_cannot_be_told_keeps_its_code(fake: Fake, command: str, astray: str) -> None:
    fake.answers["/unsubscribe"] = (404, {"code": "no-subscription", "detail": "no such subscription"})
    assert run(f"{NEWSWIRE} {command} {astray}").returncode == ENDINGS[command]


def test_closed_standard_input_is_no_empty_text(fake: Fake) -> None:
    for command in ("publish Google", "publish Google -", "publish --ndjson -"):
        done = run(f"{NEWSWIRE} {command} <&-")
        assert (done.returncode, done.stdout) == (output.USAGE, "")
        assert done.stderr.startswith("newswire: Standard input is closed")
    assert not fake.sent("/publish")


@pytest.mark.parametrize("charset", ["latin-1", "cp1252"])
def test_what_a_terminal_cannot_show_is_escaped(fake: Fake, monkeypatch: pytest.MonkeyPatch, charset: str) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", charset)
    fake.answers["/publish"] = (200, PUBLISHED | {"message": "Published topic Google data 新聞"})
    done = run(f"{NEWSWIRE} publish Google x")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u65b0\u805e" in done.stdout


# -- streams -------------------------------------------------------------------------------------------------------
def test_a_stream_whose_reader_leaves_ends_quietly(fake: Fake) -> None:
    fake.events = [message(n, f"number {n}") for n in range(1, 100)]
    done = run(f"{NEWSWIRE} stream Alice | head -n 2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Google\tnumber 1\nGoogle\tnumber 2\n", "")


def test_a_quiet_stream_whose_reader_leaves_ends_too(fake: Fake) -> None:
    fake.events = [message(1)]
    done = run(f"{NEWSWIRE} stream Alice | head -n 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Google\tHello Google\n", "")
    assert fake.sent("/ack")[-1]["id"] == "e1"


@pytest.mark.parametrize("astray", [">/dev/full", ">&-", "1</dev/null"])
def test_what_cannot_be_printed_is_not_acknowledged(fake: Fake, astray: str) -> None:
    fake.events = [message(1)]
    done = run(f"{NEWSWIRE} stream Alice {astray}")
    assert done.returncode == output.FAILED
    assert "Message a-1 stays unacknowledged and comes again: the output cannot be written (" in done.stderr
    assert not fake.sent("/ack")


def test_a_command_needs_no_output(fake: Fake, tmp_path: Path) -> None:
    fake.events = [message(1)]
    command = "cat >got; test ! -S /dev/stdout"
    done = run(f"{NEWSWIRE} stream Alice --count 1 --exec '{command}' >&- 2>&- <&-")
    assert done.returncode == 0
    assert '"Hello Google"' in (tmp_path / "got").read_text()
    assert fake.sent("/ack")[-1]["id"] == "e1"


@pytest.mark.parametrize("flags", ["", "--json"])
def test_a_watch_whose_reader_leaves_ends(fake: Fake, flags: str) -> None:
    done = run(f"{NEWSWIRE} status --watch {flags} | head -n 1")
    assert (done.returncode, done.stderr) == (0, "")


# -- menus ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("astray", [*ASTRAY.values(), "2>&-"])
def test_a_menu_that_cannot_show_itself_does_what_it_is_told(fake: Fake, astray: str) -> None:
    done = run(f"printf '1\\nGoogle\\nHi\\n2\\n' >typed; {NEWSWIRE} publisher <typed {astray}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert [sent["data"] for sent in fake.sent("/publish")] == ["Hi"]


def test_a_question_without_input_is_no_fault(fake: Fake) -> None:
    hole = {"broker": "1001", "origin": "1001-a", "first": 1, "last": 2}
    fake.answers["/readyz"] = (200, {"ready": True, "degraded": [], "holes": [hole]})
    done = run(f"{NEWSWIRE} accept-loss <&-")
    assert (done.returncode, "Traceback" in done.stderr) == (output.FAILED, False)


def test_a_menu_without_input_leaves(fake: Fake) -> None:
    done = run(f"{NEWSWIRE} menu <&-")
    assert (done.returncode, done.stderr) == (0, "")


# -- a broker ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("astray", [">/dev/full 2>/dev/full", ">&- 2>&- <&-", "2>&1 | true", ">/dev/full 2>&-"])
def test_a_broker_serves_without_a_log(tmp_path: Path, astray: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from brokers import ask, free_ports

    monkeypatch.delenv("NEWSWIRE_BROKERS", raising=False)
    (port,) = free_ports(1)
    command = f"cd {tmp_path}; {NEWSWIRE} broker --port {port} {astray}"
    process = subprocess.Popen(["bash", "-c", command], start_new_session=True)
    try:

        def ready() -> bool:
            try:
                return ask(f"127.0.0.1:{port}", "GET", "/readyz").status == 200
            except OSError:
                return False

        wait_until(ready)
        for descriptor in ("1", "2"):
            for seen in _descriptors(process.pid, descriptor):
                assert "socket" not in seen
                assert ".ops" not in seen
        assert ask(f"127.0.0.1:{port}", "POST", "/publish", {"topic": "t", "data": "x"}).status == 200
    finally:
        os.killpg(process.pid, 15)
        process.wait(PATIENCE_SECONDS)


def _descriptors(group: int, number: str) -> Iterator[str]:
    """Where a descriptor of each Python process of a group leads."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == group and b"newswire" in (entry / "cmdline").read_bytes():
                yield os.readlink(entry / "fd" / number)
        except OSError:
            pass


def test_a_pipe_that_somebody_made_non_blocking_gets_all_the_same(fake: Fake) -> None:
    """As a shell's parent may: a write then fails where it would wait."""
    fake.events = [message(n, "x" * 60_000) for n in range(1, 6)]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    child = subprocess.Popen(
        [sys.executable, "-m", "newswire", "stream", "Alice", "--count", "5"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    wait_until(lambda: bool(fake.sent("/stream")))
    with os.fdopen(reader) as pipe:
        assert pipe.read() == ("Google\t" + "x" * 60_000 + "\n") * 5
    _, said = child.communicate(timeout=PATIENCE_SECONDS)
    assert (child.returncode, said) == (0, "")


# -- exit codes, sentences, tables, the bar --------------------------------------------------------------------------
def test_every_error_class_has_an_exit_code() -> None:
    for code, (_, title) in errors.TABLE.items():
        error = errors.from_problem({"code": code, "detail": "why"}, 400)
        assert output.exit_code(error) in (
            output.FAILED,
            output.NO_BROKER,
            output.FEWER_COPIES,
            output.UNKNOWN,
            output.USAGE,
        ), title
    assert output.exit_code(errors.BadRequest("when?", code="bad-time")) == output.USAGE
    assert output.exit_code(errors.NoBroker("none")) == output.NO_BROKER
    assert output.exit_code(errors.Unknown("perhaps")) == output.UNKNOWN


def test_a_sentence_is_safe_and_ends() -> None:
    assert output.sentence(errors.BadRequest("a\x1b[2Jb\nc")) == "a\\x1b[2Jb\\x0ac."
    assert output.sentence(errors.BadRequest("Done.")) == "Done."
    assert output.sentence(errors.BadRequest("")) == "The request cannot be read."


def test_the_command_line_advises_commands() -> None:
    gita = errors.NotRegistered(
        "Gita is not registered for any topic: subscribe first, POST /subscribe?username=Gita&topic=..."
    )
    assert output.sentence(gita) == "Gita is not registered for any topic: subscribe first, newswire subscribe Gita TOPIC."
    ann = errors.NotFound("user ann has no subscription to x: GET /subscriptions?username=ann lists what there is")
    assert output.sentence(ann) == "User ann has no subscription to x: newswire subscriptions ann lists what there is."


def test_tables_take_cells_as_they_are() -> None:
    out = io.StringIO()
    output.print_tables([output.Table(("A", "[b]"), [("[red]x[/red]", "\x1b[2J")], note="[bold]n")], out)
    assert out.getvalue() == "A             [b]    \n[red]x[/red]  \\x1b[2J\n[bold]n\n"


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 400])
def test_a_narrow_terminal_gets_whole_words(columns: int) -> None:
    rows = [("1001", "127.0.0.1:5053", "up", "peer down"), ("1002", "b:1", "down", "")]
    made = output.Table(("Broker", "Address", "State", ""), rows)
    console = Console(file=io.StringIO(), width=columns)
    console.print(output.rendered([made], columns))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "127.0.0.1:5053" in shown
    assert "peer down" in " ".join(shown.split())
    if columns < 40:
        assert shown.splitlines()[:5] == ["Broker: 1001", "Address: 127.0.0.1:5053", "State: up", "peer down", ""]
    else:
        assert shown.splitlines()[0].split() == ["Broker", "Address", "State"]


ROWS = [("1001", "127.0.0.1:5053", "12"), ("1002", "127.0.0.1:5054", "3")]


def shown(*tables: Table, columns: int = 80) -> list[str]:
    """The lines on a terminal so wide."""
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    console.print(rendered(tables, columns))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_columns_stand_side_by_side_and_numbers_to_the_right() -> None:
    assert shown(Table(("Broker", "Address", "Lag"), ROWS, "2 brokers")) == [
        "Broker  Address         Lag",
        "  1001  127.0.0.1:5053   12",
        "  1002  127.0.0.1:5054    3",
        "2 brokers",
    ]


def test_a_number_that_is_not_known_moves_no_column() -> None:
    """A broker that is down has none, and the others' stay where they were."""
    assert shown(Table(("Lag", "Copies"), [("12", "2"), ("-", "-")])) == ["Lag  Copies", " 12       2", "  -       -"]


def test_a_last_column_without_a_word_is_left_out() -> None:
    assert shown(Table(("Broker", ""), [("one", ""), ("two", "")])) == ["Broker", "one", "two"]
    assert shown(Table(("Broker", ""), [("one", ""), ("two", "down")])) == ["Broker", "one", "two     down"]


def test_on_a_narrow_terminal_each_cell_has_its_line() -> None:
    assert shown(Table(("Broker", "Address", ""), [(*ROWS[0][:2], "down"), (*ROWS[1][:2], "")]), columns=24) == [
        "Broker: 1001", "Address: 127.0.0.1:5053", "down", "", "Broker: 1002", "Address: 127.0.0.1:5054",
    ]  # fmt: skip
    assert shown(Table(("Broker", "Address"), [ROWS[0][:2]], "1 broker would hold it"), columns=20) == [
        "Broker: 1001", "Address:", "127.0.0.1:5053", "", "1 broker would hold", "it",
    ]  # fmt: skip


def test_cells_are_no_markup_and_move_no_terminal() -> None:
    assert shown(Table(("Topic",), [("[red]x[/red]",), ("\x1b[2J",)], "\x07")) == ["Topic", "[red]x[/red]", r"\x1b[2J", r"\x07"]


def test_a_pipe_has_no_edge() -> None:
    file = io.StringIO()
    print_tables([Table(("Topic", "Last"), [("t" * 128, "now")])], file)
    assert file.getvalue().splitlines()[1].rstrip() == f"{'t' * 128}  now"


def test_the_bar_waits_a_second_and_for_a_terminal() -> None:
    hidden = output.Bar("Restoring", is_visible=False)
    hidden(1, 10)
    early = output.Bar("Restoring", is_visible=True)
    early(1, 10)
    late = output.Bar("Restoring", is_visible=True)
    late._start -= 2
    late(5, 10)
    assert (hidden._bar, early._bar) == (None, None)
    assert late._bar is not None
    assert late._bar.tasks[0].completed == 5
    late.close()
    late(6, 10)
    assert late._bar is None


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    now = iter((0.0, 0.5, 1.5))
    monkeypatch.setattr(time, "monotonic", lambda: next(now, 2.0))
    monkeypatch.setenv("FORCE_COLOR", "1")
    with output.Bar("Checking [it]\x1b") as bar:
        bar(1, 4)
        assert "Checking" not in capsys.readouterr().err
        bar(2, 4)
        bar(3, 4)
    assert "Checking [it]\\x1b" in capsys.readouterr().err


def test_no_bar_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Bar("Checking", after_seconds=0) as bar:
        bar(1, 4)
    assert capsys.readouterr().err == ""


def test_a_bar_may_be_there_at_once_without_an_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with output.Bar("Publishing", after_seconds=0, is_visible=True) as bar:
        bar(0, None)
    assert "Publishing" in capsys.readouterr().err


def test_an_answer_is_a_sentence_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_answer("Added\x1b user", as_json=False, more=1)
    output.print_answer("Added\x1b user", as_json=True, more=1)
    output.print_answer("Wrote", as_json=True, to_stderr=True)
    shown = capsys.readouterr()
    assert shown.out == 'Added\\x1b user\n{"message": "Added\\u001b user", "more": 1}\n'
    assert shown.err == '{"message": "Wrote"}\n'
