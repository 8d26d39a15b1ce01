"""`newswire user`."""

from __future__ import annotations

import io
import json
import sys

import pytest

from newswire.cli import main, output
from tests.kit.fake_broker import Fake


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_add(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/users"] = (200, {"message": "Added user ann"})
    typed(monkeypatch, "secret words\n")
    assert main.run(["user", "add", "ann", "--admin"]) == 0
    assert capsys.readouterr().out == "Added user ann\n"
    typed(monkeypatch, "")
    assert main.run(["user", "add", "bot"]) == 0
    assert fake.sent("/users") == [{"username": "ann", "password": "secret words", "admin": "true"}, {"username": "bot"}]
    typed(monkeypatch, "short\n")
    assert main.run(["user", "add", "ben"]) == output.FAILED
    assert "at least 8 characters" in capsys.readouterr().err
    typed(monkeypatch, "")
    assert main.run(["user", "add", "no name"]) == output.FAILED


def test_list_remove_and_password(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"username": "ann", "admin": True, "since": "2026-11-27T21:00:00.000Z"},
        {"username": "bot", "admin": False, "since": ""},
    ]
    fake.answers["/users"] = (200, rows)
    assert main.run(["user", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main.run(["user", "list"]) == 0
    assert capsys.readouterr().out.split() == "User Since ann admin 2026-11-27 21:00:00 UTC bot".split()
    fake.answers["DELETE /users/ann"] = (200, {"message": "Removed user ann"})
    typed(monkeypatch, "")
    assert main.run(["user", "remove", "ann"]) == 0
    assert capsys.readouterr().out == "Removed user ann\n"
    fake.answers["/me"] = (200, {"username": "bob", "auth": "required"})
    fake.answers["/users/bob/password"] = (200, {"message": "Set the password of bob"})
    typed(monkeypatch, "old words\nnew words\n")
    assert main.run(["user", "password"]) == 0
    assert fake.sent("/users/bob/password") == [{"password": "new words"}]
    typed(monkeypatch, "")
    assert main.run(["user", "password", "bob"]) == output.USAGE
    fake.answers["/users/ann/password"] = (200, {"message": "Set the password of ann"})
    typed(monkeypatch, "new words\n")
    assert main.run(["user", "password", "ann"]) == 0, "another's needs no other"


def test_the_group_alone_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["user"]) == output.USAGE
    assert "password" in capsys.readouterr().err
