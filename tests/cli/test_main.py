"""What holds for every command: exit codes, usage errors in one sentence, help, and how little a start loads."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from newswire import escape
from newswire.cli import main, output
from newswire.cli.command import CommandGroup
from tests.kit.fake_broker import DOWN, Fake


# -- exit codes ------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("status_code", "code", "exit_code"),
    [
        (400, "bad-field", output.FAILED),
        (403, "forbidden", output.FAILED),
        (413, "too-large", output.FAILED),
        (503, "not-enough-copies", output.FAILED),
        (507, "storage-full", output.FAILED),
        (503, "fewer-copies-than-asked", output.FEWER_COPIES),
        (503, "not-ready", output.NO_BROKER),
    ],
)
def test_exit_codes(fake: Fake, capsys: pytest.CaptureFixture[str], status_code: int, code: str, exit_code: int) -> None:
    fake.answers["/publish"] = (status_code, {"code": code, "detail": "the reason", "status": status_code, "title": "T"})
    assert main.run(["publish", "Google", "Hi"]) == exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("newswire: ")
    assert said.err.count("\n") == 1
    assert "the reason" in said.err.lower()


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
    assert main.run([*command.split(), "--brokers", DOWN]) == output.NO_BROKER
    assert capsys.readouterr().err.startswith("newswire: No broker")


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
        "broker --auth perhaps",
        "broker --host 0.0.0.0",
        "broker --peer nowhere",
        "broker --id 10/01",
        "publish Google Hi --brokers nowhere",
        "stream",
    ],
)
def test_usage_is_2_and_one_sentence(fake: Fake, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main.run(command.split()) == output.USAGE
    said = capsys.readouterr().err
    assert said.startswith("newswire: ")
    assert said.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == output.USAGE
    assert "Publish and read:" in capsys.readouterr().err
    assert main.run(["--help"]) == 0
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.endswith("newswire 0.2.0.dev0\n")


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
    assert main.run(command.split()) == output.USAGE
    assert hint in capsys.readouterr().err
    assert not fake.asked


# -- fast starts -----------------------------------------------------------------------------------------------------
def test_nothing_heavy_is_loaded_to_start() -> None:
    heavy = "requests rich flask msgspec waitress"
    code = f"import sys, newswire.cli.main; print([m for m in {heavy!r}.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_foreign_text_in_usage_errors_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["\x1b[2J"]) == output.USAGE
    assert "\x1b" not in capsys.readouterr().err
    assert escape.line("\x1b") == "\\x1b"
    assert isinstance(main.newswire, click.Group)


def leaves(group: click.Group, path: str = "newswire") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, and how it is called."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_the_help_of_every_command_has_an_example_of_it() -> None:
    for path, command in leaves(main.newswire):
        assert re.search(rf"Examples?\b[^:]*: .*{path}\b", command.epilog or ""), path


def test_every_command_that_says_something_says_it_as_json() -> None:
    silent = {  # they talk with people, or what they print is a format of its own
        "broker", "publisher", "subscriber", "menu", "forward", "opsfile show", "completion",
    }  # fmt: skip
    for path, command in leaves(main.newswire):
        has_json = any(param.name == "as_json" for param in command.params)
        assert has_json == (path.removeprefix("newswire ") not in silent), path


def test_the_help_lists_each_command_once_by_what_people_come_for(capsys: pytest.CaptureFixture[str]) -> None:
    group = main.newswire
    assert isinstance(group, CommandGroup)
    assert sorted(name for names in group.sections.values() for name in names) == sorted(group.commands)
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^Publish and read:\n  publish         Publish a message", shown, re.MULTILINE)


def test_examples_stand_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["stream", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\nExamples:\n  newswire stream ann\n  newswire stream ann --topic 'alarms.>' --notify\n" in shown
