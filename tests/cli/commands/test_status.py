"""`newswire status`: what is printed of it, and how it ends."""

from __future__ import annotations

import json

import pytest

from newswire.cli import main, output
from newswire.cli.main import run
from tests.kit.fake_broker import DOWN, Fake

READY = {"ready": True, "copies": 2, "time": "2026-11-24T21:54:12.345Z"}


@pytest.fixture
def fake(fake: Fake) -> Fake:
    """A broker that is ready, and knows no topic."""
    fake.answers |= {"/readyz": (200, READY), "/topics": (200, [])}
    return fake


def test_a_broker_that_was_removed_says_so_and_the_command_fails(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row(state="down", is_primary=False)])
    fake.answers["/readyz"] = (503, {"ready": False, "detail": "this broker was removed from the cluster"})
    fake.answers["/topics"] = (503, {"code": "not-ready", "detail": "removed"})
    assert run(["status", "--brokers", fake.address, "--json"]) == output.FAILED
    told = capsys.readouterr()
    assert told.err == f"newswire: {fake.address}: this broker was removed from the cluster.\n"
    assert json.loads(told.out)["brokers"][0]["state"] == "down"


def test_a_time_that_is_none_is_a_wrong_option(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/subscribe"] = (400, {"code": "bad-time", "detail": "`from` must be a time"})
    assert run(["subscribe", "ann", "news", "--from", "yesterday", "--brokers", fake.address]) == output.USAGE
    assert "`from` must be a time" in capsys.readouterr().err


def test_status(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"id": "1002", "ip": DOWN, "is_primary": False, "state": "down", "lag": 1500, "self": False, "detail": "no answer"}
    fake.answers["/list_replicas"] = (200, [other, fake.row()])
    fake.answers["/readyz"] = (200, {"message": "ready", "ready": True, "degraded": ["peer down"]})
    fake.answers["/topics"] = (200, [{"topic": "Google", "messages": 12, "last": "2026-11-24T21:54:12.345Z"}])
    assert main.run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["copies"] == 1
    assert [(b["id"], b["role"], b["state"], b["lag"], b["ready"]) for b in told["brokers"]] == [
        ("1001", "primary", "up", 0, True),
        ("1002", "secondary", "down", 1500, None),
    ]
    assert told["topics"][0]["topic"] == "Google"
    assert main.run(["status"]) == 0
    shown = capsys.readouterr().out
    for text in ("1001", "primary", "peer down", "1,500", "no answer; does not answer here", "1 broker would hold", "Google"):
        assert text in shown


def test_status_of_a_broker_that_does_not_serve_yet(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    starting = (503, {"code": "not-ready", "detail": "starting", "ready": False, "degraded": []})
    fake.answers |= {"/readyz": starting, "/topics": starting, "/list_replicas": (200, [fake.row(state="catching-up")])}
    assert main.run(["status"]) == 0
    shown = capsys.readouterr().out
    for text in ("catching-up", "starting", "no broker would take a message published now."):
        assert text in shown


def test_status_tells_what_an_operator_needs(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    down = "2026-11-24T09:12:03.000Z"
    other = {"id": "1002", "ip": DOWN, "is_primary": False, "state": "down", "lag": 3, "self": False, "down_since": down}
    fake.answers["/list_replicas"] = (200, [other, fake.row()])
    fake.answers["/readyz"] = (
        200,
        {
            "ready": True, "degraded": [], "streams": 2, "copies": 1, "version": "0.1.0",
            "disk_free_bytes": 81_620_393_984, "time": "2026-11-24T10:00:00.000Z",
        },
    )  # fmt: skip
    fake.answers["/topics"] = (200, [])
    assert main.run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    one, two = told["brokers"]
    assert (one["copies"], one["version"], one["streams"], one["disk_free_bytes"]) == (1, "0.1.0", 2, 81_620_393_984)
    assert abs(one["clock_seconds"]) > 2
    assert (two["down_since"], two["copies"], two["version"]) == (down, None, None)
    assert main.run(["status"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "Copies",
        "Streams",
        "Free",
        "81 GB",
        "Version",
        "0.1.0",
        "down since 2026-11-24 09:12:03 UTC",
        "its clock is",
        "this machine's",
    ):
        assert text in shown
