"""`newswire grant`, `revoke`, `grants` and `audit`."""

from __future__ import annotations

import json

import pytest

from newswire.cli import main, output
from tests.kit.fake_broker import Fake


def test_grant_revoke_and_list(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["POST /grants"] = (200, {"message": "Granted ann publish on a.>"})
    fake.answers["DELETE /grants"] = (200, {"message": "Revoked ann publish on a.>"})
    assert main.run(["grant", "ann", "publish", "a.>"]) == 0
    assert main.run(["revoke", "ann", "publish", "a.>"]) == 0
    assert capsys.readouterr().out == "Granted ann publish on a.>\nRevoked ann publish on a.>\n"
    assert main.run(["grant", "*", "subscribe", "a.*"]) == 0
    assert fake.sent("/grants")[-1] == {"who": "*", "verb": "subscribe", "topic": "a.*"}
    assert main.run(["grant", "ann", "write", "a"]) == output.USAGE
    assert main.run(["grant", "ann", "publish", "a b"]) == output.USAGE
    capsys.readouterr()
    rows = [{"who": "*", "verb": "subscribe", "topic": "a.*"}]
    fake.answers["GET /grants"] = (200, rows)
    assert main.run(["grants"]) == 0
    assert capsys.readouterr().out.split() == "Who May To everybody (*) subscribe a.*".split()
    assert main.run(["grants", "ann", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    fake.answers["GET /grants"] = (200, [])
    assert main.run(["grants"]) == 0
    assert capsys.readouterr().out == "There are no grants.\n"


def test_audit_escapes_what_strangers_typed(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/audit"] = (200, [])
    assert main.run(["audit", "--since", "2d"]) == 0
    assert capsys.readouterr().out == "Nothing happened.\n"
    fake.answers["/audit"] = (
        200,
        [{"id": "a.1", "time": "2026", "what": "granted", "by": "ann", "who": "bob\x1b[31m", "verb": "publish", "topic": "t"}],
    )
    assert main.run(["audit"]) == 0
    assert capsys.readouterr().out.split() == r"Time By What 2026 ann granted bob\x1b[31m publish t".split()
    assert main.run(["audit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["who"] == "bob\x1b[31m"
