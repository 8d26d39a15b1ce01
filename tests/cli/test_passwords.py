"""Where a password comes from."""

from __future__ import annotations

import getpass
import io
import sys
from pathlib import Path

import click
import pytest

from newswire.cli.passwords import read_new_password, read_password
from newswire.errors import BadRequest


class Typed(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def at_terminal(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """Answer prompts without echo; the prompts."""
    prompts: list[str] = []
    rest = iter(words)

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(rest)

    monkeypatch.setattr(sys, "stdin", Typed(io.BytesIO()))
    monkeypatch.setattr(getpass, "getpass", ask)
    return prompts


def piped(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_at_a_terminal_it_is_asked_for_without_echo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at_terminal(monkeypatch, "secret") == []
    assert read_password(None) == "secret"
    prompts = at_terminal(monkeypatch, "new words", "new words")
    assert read_new_password(None, "New password of ann") == "new words"
    assert prompts == ["New password of ann: ", "The same again: "]
    prompts = at_terminal(monkeypatch, "new words", "new word", "too few", "new words", "new words")
    assert read_new_password(None) == "new words", "it is asked for again"
    assert len(prompts) == 5
    shown = capsys.readouterr().err
    assert "not the same" in shown
    assert "at least 8 characters" in shown
    at_terminal(monkeypatch, "too few", "")
    assert read_new_password(None) == ""
    at_terminal(monkeypatch, "")
    assert read_new_password(None) == "", "none was wanted: it is not asked for again"


def test_from_a_pipe_it_is_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, "\ufeff pässword \r\nmore".encode())
    assert read_password(None) == " pässword "
    piped(monkeypatch, b"several words\nb")
    assert read_new_password(Path("-")) == "several words"
    piped(monkeypatch, b"too few\n")
    with pytest.raises(BadRequest, match="at least 8 characters"):
        read_new_password(None)
    piped(monkeypatch, b"the old one\nthe new one\n")
    assert (read_password(None), read_new_password(None)) == ("the old one", "the new one")
    piped(monkeypatch, b"")
    assert read_new_password(None) == ""
    with pytest.raises(click.UsageError, match="No password was given"):
        read_password(None)
    piped(monkeypatch, b"\xff\n")
    with pytest.raises(click.UsageError, match="UTF-8"):
        read_password(None)


def test_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o600)
    assert read_password(file) == "secret"
    file.chmod(0o644)
    with pytest.raises(click.UsageError, match="chmod 600") as refused:
        read_password(file)
    assert "secret" not in str(refused.value)
