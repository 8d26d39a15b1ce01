"""`newswire doctor` against scripted brokers: whom it asks, what it prints, how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire import tls
from newswire.cli import examination, main, output
from tests.kit.fake_broker import DOWN, Fake
from tests.kit.waiting import PATIENCE_SECONDS

WELL = {"message": "ready", "ready": True, "degraded": [], "version": "1.0", "disk_free_bytes": 10**12, "streams": 0}


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Fake, Fake]]:
    """Two brokers that are well; the first is the one that is named."""
    monkeypatch.chdir(tmp_path)
    one, two = Fake(), Fake()
    monkeypatch.setenv("NEWSWIRE_BROKERS", one.address)
    rows = [
        {"id": "1001", "ip": one.address, "is_primary": True, "state": "up", "lag": 0, "self": True},
        {"id": "1002", "ip": two.address, "is_primary": False, "state": "up", "lag": 0, "self": False},
    ]
    for fake, own in ((one, "1001"), (two, "1002")):
        fake.answers["/readyz"] = (200, WELL)
        fake.answers["/list_replicas"] = (200, [row | {"self": row["id"] == own} for row in rows])
    yield one, two
    one.close()
    two.close()


def test_all_is_well(pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor"]) == output.DONE
    assert capsys.readouterr().out.splitlines() == [
        "2 of 2 brokers answered; nothing is wrong.",
        "Whether a proxy holds streams back was not looked at: name a registered user with --user.",
    ]
    for fake in pair:
        assert len(fake.sent("/readyz")) == 1, "each is asked once, also the one that was not named"


@pytest.mark.parametrize("auth", ["required", "none"])
def test_a_broker_tells_whether_it_asks_who_one_is(pair: tuple[Fake, Fake], auth: str) -> None:
    for fake in pair:
        fake.answers["/me"] = (200, {"username": "", "admin": True, "auth": auth, "grants": []})
    examined = list(examination.examine([pair[0].address], None))
    assert [one.asks for one in examined] == [auth == "required"] * 2


def test_what_is_wrong_ends_with_1_and_says_what_to_do(pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str]) -> None:
    pair[1].answers["/readyz"] = (503, WELL | {"code": "not-ready", "ready": False, "detail": "starting\x1b[2J"})
    assert main.run(["doctor"]) == output.FAILED
    out = capsys.readouterr().out
    assert "WRONG  broker 1002, " in out
    assert "serves no clients: starting\\x1b[2J" in out
    assert "1 thing is wrong." in out
    assert main.run(["doctor", "--json"]) == output.FAILED
    told = json.loads(capsys.readouterr().out)
    assert told["brokers"] == [pair[0].address, pair[1].address]
    (finding,) = told["findings"]
    assert (finding["code"], finding["severity"]) == ("not-ready", "wrong")
    assert finding["advice"]


def test_a_broker_that_does_not_answer_is_found_by_what_the_other_says(
    pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [pair[0].row(), pair[0].row() | {"id": "1002", "ip": DOWN, "state": "down", "self": False}]
    pair[0].answers["/list_replicas"] = (200, rows)
    assert main.run(["doctor"]) == output.FAILED
    out = capsys.readouterr().out
    assert f"broker 1002, {DOWN}, cannot be reached (no connection (nobody listens there))" in out
    assert "1 of 2 brokers answered" in out


def test_what_answers_may_be_no_broker(pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str]) -> None:
    pair[1].answers["/readyz"] = (200, ["something else"])
    assert main.run(["doctor"]) == output.FAILED
    assert f"broker 1002, {pair[1].address}, cannot be reached from here (what answers there" in capsys.readouterr().out


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSWIRE_BROKERS", DOWN)
    assert main.run(["doctor"]) == output.NO_BROKER
    assert "nobody listens there" in capsys.readouterr().err


def test_one_under_two_addresses_is_one(pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str]) -> None:
    """A public name in --brokers, the advertised address in the rows."""
    named = pair[0].address.replace("127.0.0.1", "localhost")
    assert main.run(["doctor", "--brokers", named]) == output.DONE
    assert "2 of 2 brokers answered" in capsys.readouterr().out


def test_a_stream_that_arrives(
    pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "_STREAM_SECONDS", PATIENCE_SECONDS)
    assert main.run(["doctor", "--user", "ann"]) == output.DONE
    assert "was not looked at" not in capsys.readouterr().out
    for fake in pair:
        assert fake.sent("/stream") == [{"username": "ann", "ack": "client"}]


def test_a_stream_of_which_nothing_arrives(
    pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "_STREAM_SECONDS", 0.2)
    monkeypatch.setattr(pair[0], "_stream", lambda request: pair[0].done.wait(PATIENCE_SECONDS))
    assert main.run(["doctor", "--user", "ann"]) == output.FAILED
    assert "collects answers before it passes them on" in capsys.readouterr().out


def test_a_user_who_is_not_registered_is_told_so(pair: tuple[Fake, Fake], capsys: pytest.CaptureFixture[str]) -> None:
    pair[0].answers["/stream"] = (403, {"code": "not-registered", "detail": "ann is not registered", "title": "T"})
    assert main.run(["doctor", "--user", "ann"]) == output.FAILED
    assert "opens no stream for this user: ann is not registered" in capsys.readouterr().out
    detail = "user ann is not registered for any topic: subscribe first, POST /subscribe?username=ann&topic=..."
    pair[0].answers["/stream"] = (403, {"code": "not-registered", "detail": detail, "title": "T"})
    assert main.run(["doctor", "--user", "ann"]) == output.FAILED
    assert "for any topic: subscribe first, newswire subscribe ann TOPIC\n" in capsys.readouterr().out


def test_ops_files_are_looked_at(pair: tuple[Fake, Fake], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ops_logs" / "1001"
    folder.mkdir(parents=True)
    (folder / "LOCK").touch()  # a broker ran on it, and its segments are gone
    assert main.run(["doctor", "--ops-dir", "ops_logs"]) == output.FAILED
    out = capsys.readouterr().out
    assert "WRONG  ops_logs/1001: " in out
    assert "newswire opsfile check ops_logs/1001" in out


def test_how_long_a_certificate_is_good_is_asked_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = time.time(), list[tuple[str, int]]()

    def validity(host: str, port: int, ca_file: str, seconds: float) -> tls.Validity:
        asked.append((host, port))
        if host == "gone.example":
            raise ConnectionRefusedError
        return tls.Validity(now - 60 * 86_400, now + 30 * 86_400)

    monkeypatch.setattr(tls, "validity", validity)
    assert examination.certificate_of("news1.example:5053") is None
    assert examination.certificate_of("https://gone.example") is None
    found = examination.certificate_of("https://news1.example")
    assert found is not None
    assert (found.seconds, round(found.seconds_left / 86_400)) == (90 * 86_400, 30)
    assert asked == [("gone.example", 443), ("news1.example", 443)]
