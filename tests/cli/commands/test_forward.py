"""`newswire forward`: its options, what it says, and what is acknowledged. Over real servers: tests/e2e/test_forwarding.py."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from newswire.cli import main, output
from newswire.cli.commands import forward
from newswire.client.transport import Transport
from tests.kit.fake_broker import DOWN, Fake, message
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Paper:
    """Takes all, or refuses as long as it has answers."""

    name = "target 1 (paper)"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.bodies: list[str] = []

    def hand_over(self, notice: Any) -> str:
        self.bodies.append(notice.body)
        return self.answers.pop(0) if self.answers else ""


def terminate_when(condition: Any) -> threading.Thread:
    """End this process's command by a signal, as systemd does."""

    def wait() -> None:
        try:
            wait_until(condition)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_what_was_handed_over_is_acknowledged_one_by_one(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = Paper()
    monkeypatch.setattr(forward, "targets_of", lambda lines: [paper])
    fake.events = [message(1, "one"), b'event: gap\nid: e2\ndata: {"topic": "Google", "dropped": 7}\n\n', message(3, "three")]
    ender = terminate_when(lambda: len(fake.sent("/ack")) == 3)
    assert main.run(["forward", "Alice", "--to", "json://x", "--template", "{topic}: {data}"]) == output.DONE
    ender.join()
    assert paper.bodies == ["Google: one", "Google: three"]
    assert [fields["id"] for fields in fake.sent("/ack")] == ["e1", "e2", "e3"]
    said = capsys.readouterr().err
    assert "--to-file" in said, "others see what stands on a command line"
    assert "7 messages of topic Google" in said


def test_what_is_not_taken_is_not_acknowledged(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper(*["no"] * 1_000)
    monkeypatch.setattr(forward, "targets_of", lambda lines: [paper])
    fake.events = [message(1, "one")]
    ender = terminate_when(lambda: paper.bodies)
    assert main.run(["forward", "Alice", "--to", "json://x"]) == output.DONE
    ender.join()
    assert fake.sent("/ack") == []


def test_addresses_come_from_a_file_that_is_private(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "to"
    file.write_text("# mail\n\njson://127.0.0.1:1/x\n")
    file.chmod(0o644)
    assert main.run(["forward", "Alice", "--to-file", str(file)]) == output.USAGE
    file.chmod(0o600)
    given: list[str] = []

    def targets_of(lines: Any) -> Any:
        given.extend(lines)
        raise forward.click.UsageError("enough")

    monkeypatch.setattr(forward, "targets_of", targets_of)
    monkeypatch.setenv("NEWSWIRE_TO_FILE", str(file))
    monkeypatch.setenv("NEWSWIRE_TO", "json://a json://b")
    assert main.run(["forward", "Alice"]) == output.USAGE
    assert given[:2] == ["json://a", "json://b"]
    assert "json://127.0.0.1:1/x" in given


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--to", "nonsense"],
        ["--to", "nothing://s3cret"],
        ["--to", "json://x", "--template", "{secret}"],
        ["--to", "json://x", "--dead-letter", "a.>"],
        ["--to", "json://x", "--tries", "0"],
    ],
)
def test_what_is_wrong_is_said_at_once(fake: Fake, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["forward", "Alice", *arguments]) == output.USAGE
    assert "s3cret" not in capsys.readouterr().err


def test_without_apprise_it_says_what_to_install(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert main.run(["forward", "Alice", "--to", "json://x"]) == output.FAILED
    assert "pip install 'newswire[forward]'" in capsys.readouterr().err


def test_a_broker_is_primary_while_it_says_so() -> None:
    fake, clock = Fake(), [0.0]
    beside = forward.Beside(fake.address, Transport(), clock=lambda: clock[0])
    try:
        assert beside.is_primary()
        fake.answers["/list_replicas"] = (200, [fake.row(is_primary=False), fake.row(id="1002") | {"self": False}])
        assert beside.is_primary(), "it was asked a moment ago"
        for rows in (fake.answers["/list_replicas"], (200, [fake.row(state="down")]), (503, {}), (200, "nonsense")):
            clock[0] += 1.5
            fake.answers["/list_replicas"] = rows
            assert not beside.is_primary()
    finally:
        fake.close()
    assert not forward.Beside(DOWN, Transport()).is_primary()
