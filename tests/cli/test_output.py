"""Output that cannot be written changes nothing of what a command did, and is never taken for it.

Each command runs in a process of its own, with descriptors closed, full, or led to a pipe that nobody reads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.cli import exits
from tests.kit.fake_broker import DOWN, PUBLISHED, Fake, message
from tests.kit.waiting import wait_until

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
    return subprocess.run(["bash", "-c", told], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("astray", ASTRAY)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_done_is_done(fake: Fake, command: str, astray: str) -> None:
    done = run(f"{NEWSWIRE} {command} {ASTRAY[astray]}")
    assert done.returncode == exits.DONE, done.stderr
    assert "Traceback" not in done.stderr
    if astray == "full":
        assert done.stderr.startswith("newswire: the output could not be written (No space left on device)")

    else:
        assert done.stderr == ""
    if command.startswith(("publish Google", "publish --ndjson")):
        assert len(fake.sent("/publish")) == 1


@pytest.mark.parametrize("astray", ["2>/dev/full", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("publish Google Hi", exits.DONE),
        ("publish 'no topic' Hi", exits.FAILED),
        ("publish --no-such-option", exits.USAGE),
        (f"publish Google Hi --brokers {DOWN} --timeout 0.1", exits.NO_BROKER),
        ("unsubscribe Alice Nothing", exits.FAILED),
        ("nonsense", exits.USAGE),
        ("", exits.USAGE),
    ],
)
def test_an_error_that_cannot_be_told_keeps_its_code(fake: Fake, command: str, code: int, astray: str) -> None:
    fake.answers["/unsubscribe"] = (404, {"code": "no-subscription", "detail": "no such subscription"})
    assert run(f"{NEWSWIRE} {command} {astray}").returncode == code


def test_closed_standard_input_is_no_empty_text(fake: Fake) -> None:
    for command in ("publish Google", "publish Google -", "publish --ndjson -"):
        done = run(f"{NEWSWIRE} {command} <&-")
        assert (done.returncode, done.stdout) == (exits.USAGE, "")
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
    assert (done.returncode, done.stdout, done.stderr) == (0, "number 1\nnumber 2\n", "")


def test_a_quiet_stream_whose_reader_leaves_ends_too(fake: Fake) -> None:
    fake.events = [message(1)]
    done = run(f"{NEWSWIRE} stream Alice | head -n 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello Google\n", "")
    assert fake.sent("/ack")[-1]["id"] == "e1"


@pytest.mark.parametrize("astray", [">/dev/full", ">&-", "1</dev/null"])
def test_what_cannot_be_printed_is_not_acknowledged(fake: Fake, astray: str) -> None:
    fake.events = [message(1)]
    done = run(f"{NEWSWIRE} stream Alice {astray}")
    assert done.returncode == exits.FAILED
    assert "message a-1 stays unacknowledged and comes again: the output cannot be written (" in done.stderr
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
    assert (done.returncode, "Traceback" in done.stderr) == (exits.FAILED, False)


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
        process.wait(20)


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
        assert pipe.read() == ("x" * 60_000 + "\n") * 5
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (0, "")
