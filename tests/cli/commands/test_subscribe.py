"""`newswire subscribe`, `unsubscribe` and `subscriptions`: what is sent and printed."""

from __future__ import annotations

import json

import pytest

from newswire.cli import main
from tests.kit.fake_broker import Fake


def test_subscribe_and_unsubscribe(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed Alice to topic Google"})
    fake.answers["/unsubscribe"] = (200, {"message": "Successfully unsubscribed Alice from topic Google"})
    assert main.run(["subscribe", "Alice", "Google", "--from", "7d"]) == 0
    assert main.run(["unsubscribe", "Alice", "Google"]) == 0
    assert (
        capsys.readouterr().out
        == "Successfully subscribed Alice to topic Google\nSuccessfully unsubscribed Alice from topic Google\n"
    )
    assert fake.sent("/subscribe") == [{"username": "Alice", "topic": "Google", "from": "7d"}]


def test_subscriptions(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"topic": "Google", "since": "2026-11-24T21:54:12.345Z", "index": 1234, "unread": 5}]
    fake.answers["/subscriptions"] = (200, rows)
    assert main.run(["subscriptions", "Alice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main.run(["subscriptions", "Alice"]) == 0
    assert capsys.readouterr().out.split() == "Topic Since Delivered Unread Google 2026-11-24 21:54:12 UTC 1,234 5".split()
    fake.answers["/subscriptions"] = (200, [])
    assert main.run(["subscriptions", "Alice"]) == 0
    assert capsys.readouterr().out == "Alice is not subscribed to any topic.\n"
