"""`newswire add-replica` and `remove-replica`: what is asked and printed."""

from __future__ import annotations

import pytest

from newswire.cli import main
from tests.kit.fake_broker import Fake


def test_add_and_remove(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/add_replica"] = (200, {"message": "Added replica 127.0.0.1:5055"})
    fake.answers["/remove_replica"] = (200, {"message": "Removed replica 1003"})
    assert main.run(["add-replica", "127.0.0.1:5055"]) == 0
    assert main.run(["remove-replica", "1003"]) == 0
    assert capsys.readouterr().out == "Added replica 127.0.0.1:5055\nRemoved replica 1003\n"
    assert fake.sent("/add_replica") == [{"broker_ip": "127.0.0.1:5055"}]
    assert fake.sent("/remove_replica") == [{"broker_ip": "1003"}]


def test_a_refusal_is_a_sentence(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/remove_replica"] = (404, {"code": "no-broker", "detail": "no member is 1009"})
    assert main.run(["remove-replica", "1009"]) == 1
    assert capsys.readouterr().err == "newswire: No member is 1009.\n"
    assert main.run(["add-replica", "nonsense"]) == 1
    assert "HOST:PORT" in capsys.readouterr().err
    assert fake.sent("/add_replica") == []
