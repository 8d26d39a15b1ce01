"""`newswire receipts` and `confirm`: what is asked and printed."""

from __future__ import annotations

import json

import pytest

from newswire.cli import main
from tests.kit.fake_broker import Fake

REPORT = {
    "id": "1001-a.7",
    "topic": "alarms",
    "delivered": 1,
    "pending": 0,
    "confirmed": 1,
    "subscribers": [
        {"username": "ann", "state": "delivered", "at": None},
        {"username": "ben", "state": "confirmed", "at": "2026-11-28T10:00:00.000Z"},
    ],
}


def test_receipts(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/receipts"] = (200, REPORT)
    assert main.run(["receipts", "1001-a.7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == REPORT
    assert main.run(["receipts", "1001-a.7"]) == 0
    expected = "Reader State At ann delivered ben confirmed 2026-11-28 10:00:00 UTC 1 confirmed, 1 delivered, 0 pending."
    assert capsys.readouterr().out.split() == expected.split()
    assert fake.sent("/receipts") == [{"id": "1001-a.7"}] * 2


def test_confirm(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/confirm"] = [
        (200, {"message": "Confirmed by ann"}),
        (404, {"code": "no-message", "detail": "there is none"}),
    ]
    assert main.run(["confirm", "ann", "1001-a.7"]) == 0
    assert capsys.readouterr().out == "Confirmed by ann\n"
    assert fake.sent("/confirm") == [{"username": "ann", "id": "1001-a.7"}]
    assert main.run(["confirm", "ann", "1001-a.7"]) == 1
    assert main.run(["confirm", "1001-a.7"]) == 2
