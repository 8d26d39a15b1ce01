"""`newswire token`."""

from __future__ import annotations

import json

import pytest

from newswire.cli import main, output
from newswire.cli.commands.tokens import limited
from tests.kit.fake_broker import Fake


def test_a_token_is_shown_once_alone_and_the_rest_said_beside_it(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/tokens"] = (200, {"id": "1001-a.7", "token": "nw_2"})
    fake.answers["/me"] = (200, {"username": "bot", "auth": "required", "grants": [{"verb": "publish", "topic": "a.b"}]})
    assert main.run(["token", "create", "bot", "--label", "backup", "--expires", "1d12h", "--publish", "a.>"]) == 0
    shown = capsys.readouterr()
    assert "may not" not in shown.err
    assert shown.out == "nw_2\n"
    assert "1001-a.7" in shown.err
    assert "shown this once" in shown.err
    assert main.run(["token", "create", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": "1001-a.7", "token": "nw_2", "expires": None}
    assert fake.sent("/tokens") == [
        {"username": "bot", "label": "backup", "expires": str(36 * 3_600), "publish": "a.>", "subscribe": ","},
        {},
    ]
    assert main.run(["token", "create", "--expires", "soon"]) == output.USAGE


def test_what_a_token_cannot_do_now_and_when_it_ends_is_said(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/tokens"] = (200, {"id": "1001-a.7", "token": "nw_2", "expires": "2027-01-01T00:00:00.000Z"})
    fake.answers["/me"] = (200, {"username": "bot", "auth": "required", "grants": [{"verb": "publish", "topic": "a.>"}]})
    assert main.run(["token", "create", "bot", "--publish", "payroll", "--publish", "a.b", "--subscribe", "a.b"]) == 0
    shown = capsys.readouterr().err
    assert "publish payroll, subscribe a.b." in shown
    assert "expires with the token that you are signed in with, at 2027-01-01" in shown


def test_list_and_revoke(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/tokens"] = (200, [])
    assert main.run(["token", "list"]) == 0
    assert capsys.readouterr().out == "There are no tokens.\n"
    row = {"id": "1001-a.7", "username": "bot", "label": "backup", "publish": ["a.>"]}
    fake.answers["/tokens"] = (200, [row])
    assert main.run(["token", "list", "bot"]) == 0
    assert capsys.readouterr().out.split("\n")[1].split() == "1001-a.7 bot backup never publish a.>".split()
    assert main.run(["token", "list", "bot", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row]
    fake.answers["DELETE /tokens/1001-a.7"] = (200, {"message": "Revoked token 1001-a.7"})
    assert main.run(["token", "revoke", "1001-a.7"]) == 0
    assert capsys.readouterr().out == "Revoked token 1001-a.7\n"


def test_limits_in_words() -> None:
    assert limited(None, None) == ""
    assert limited(("a", "b"), ()) == "publish a, b; subscribe nothing"
