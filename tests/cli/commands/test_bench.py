"""`newswire bench`: whom it asks before it loads brokers that are in use. The load itself: tests/e2e/test_command_line.py."""

from __future__ import annotations

import pytest

from newswire.cli import main, output
from newswire.cli.commands.bench import living_first
from newswire.client import Row
from tests.kit.fake_broker import Fake


@pytest.fixture
def in_use(fake: Fake) -> Fake:
    fake.answers["/topics"] = (200, [{"topic": "news", "messages": 3}, {"topic": "bench.1", "messages": 9}])
    fake.answers["/readyz"] = (200, {"ready": True, "copies": 2, "streams": 4})
    fake.answers["/me"] = (200, {"username": None, "admin": False, "auth": "none", "grants": []})
    return fake


def test_brokers_in_use_are_not_loaded_unasked(in_use: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["bench"]) == output.FAILED
    told = capsys.readouterr().err
    assert "These brokers are in use (topics: 1, streams: 4)." in told
    assert told.endswith("To go on say --yes.\n")
    assert in_use.sent("/publish") == []


def test_one_user_has_so_many_streams(in_use: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    in_use.answers["/me"] = (200, {"username": "ann", "admin": False, "auth": "required", "grants": []})
    assert main.run(["bench", "--readers", "21"]) == output.USAGE
    assert "where brokers ask who one is, one has 20 at most" in capsys.readouterr().err


def test_who_hangs_is_asked_last() -> None:
    rows = [Row(id="1002", ip="b:1"), Row(id="1003", ip="c:1")]
    assert living_first(("a:1", "b:1", "c:1"), rows) == ("b:1", "c:1", "a:1")
    assert living_first(("proxy:1",), rows) == ("proxy:1",), "under a name of its own it stays as it was named"
