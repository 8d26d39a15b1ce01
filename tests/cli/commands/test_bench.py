"""`newswire bench`: whom it asks before it loads brokers that are in use. The load itself: tests/e2e/test_command_line.py."""

from __future__ import annotations

import pytest

from newswire.cli import main, output
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
