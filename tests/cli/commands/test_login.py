"""`newswire login`, `logout` and `whoami`, and that all other commands use what login keeps."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import pytest

from newswire.cli import credentials, main, output
from tests.kit.fake_broker import DOWN, PUBLISHED, Fake

ME = {"username": "ann", "admin": False, "auth": "required", "grants": [{"verb": "publish", "topic": "a.>"}]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def sign_in(fake: Fake, monkeypatch: pytest.MonkeyPatch, token: str = "nw_1", id: str = "1001-a.7") -> int:
    fake.answers["/me"] = (200, ME)
    fake.answers["/tokens"] = (200, {"id": id, "token": token})
    typed(monkeypatch, "secret\n")
    return main.run(["login", "ann"])


def test_login_keeps_a_token_and_shows_neither_it_nor_the_password(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sign_in(fake, monkeypatch) == 0
    shown = capsys.readouterr()
    assert shown.out == f"Signed in as ann at {fake.address} for 90 days; the token is in {credentials.path()}.\n"
    assert set(fake.shown) == {f"Basic {base64.b64encode(b'ann:secret').decode()}"}
    (fields,) = fake.sent("/tokens")
    assert fields["expires"] == str(90 * 86_400)
    assert fields["label"].startswith("newswire login at ")
    text = credentials.path().read_text()
    assert "nw_1" in text
    assert "secret" not in text


def test_all_other_commands_use_it(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(fake, monkeypatch)
    fake.let_in = lambda path, shown: shown == "Bearer nw_1"
    fake.answers |= {
        "/publish": (200, PUBLISHED),
        "/subscribe": (200, {"message": "ok"}),
        "/subscriptions": (200, []),
        "/unsubscribe": (200, {"message": "ok"}),
        "/readyz": (200, {"ready": True, "degraded": [], "holes": []}),
        "/topics": (200, []),
        "/users": (200, []),
        "/grants": (200, []),
        "/audit": (200, []),
    }
    for command in (
        "publish t x", "subscribe ann t", "subscribe t", "subscriptions", "unsubscribe t", "status", "whoami", "user list",
        "grants", "audit", "doctor", "accept-loss",
    ):  # fmt: skip
        assert main.run(command.split()) == 0, command
    assert fake.sent("/subscribe") == [{"username": "ann", "topic": "t"}, {"topic": "t"}]


def test_a_token_of_the_environment_comes_first(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sign_in(fake, monkeypatch)
    monkeypatch.setenv("NEWSWIRE_TOKEN", "nw_environment")
    assert main.run(["whoami"]) == 0
    assert fake.shown[-1] == "Bearer nw_environment"
    monkeypatch.delenv("NEWSWIRE_TOKEN")
    (tmp_path / "newswire.toml").write_text('token = "nw_settings"\n')
    (tmp_path / "newswire.toml").chmod(0o600)
    assert main.run(["whoami"]) == 0
    assert fake.shown[-1] == "Bearer nw_settings"


def test_a_token_is_no_argument(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["publish", "t", "x", "--token", "nw_1"]) == output.USAGE
    assert "NEWSWIRE_TOKEN_FILE" in capsys.readouterr().err


def test_who_is_not_signed_in_is_told_what_to_do(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.let_in = lambda path, shown: False
    for command in (["publish", "t", "x"], ["status"], ["whoami"], ["stream", "ann"], ["doctor"]):
        assert main.run(command) == output.FAILED
        assert "`newswire login`" in capsys.readouterr().err, command
    monkeypatch.setenv("NEWSWIRE_TOKEN", "nw_old")
    assert main.run(["publish", "t", "x"]) == output.FAILED
    assert "do not take your token" in capsys.readouterr().err
    assert main.run(["subscriptions"]) == output.FAILED
    monkeypatch.delenv("NEWSWIRE_TOKEN")
    assert main.run(["subscriptions"]) == output.USAGE
    typed(monkeypatch, "wrong\n")
    capsys.readouterr()
    assert main.run(["login", "ann"]) == output.FAILED
    assert capsys.readouterr().err == "newswire: The name or the password is wrong.\n"
    assert not credentials.path().exists()


def test_a_second_login_ends_the_first(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(fake, monkeypatch)
    fake.answers["DELETE /tokens/1001-a.7"] = (200, {"message": "Revoked token 1001-a.7"})
    sign_in(fake, monkeypatch, "nw_2", "1001-a.8")
    assert fake.shown[fake.asked.index(("/tokens/1001-a.7", {}))] == "Bearer nw_1"
    token = credentials.find((fake.address,))
    assert token is not None
    assert token.token == "nw_2"


def test_logout_revokes_and_forgets(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["logout"]) == 0
    assert "Nobody is signed in" in capsys.readouterr().out
    sign_in(fake, monkeypatch)
    fake.answers["DELETE /tokens/1001-a.7"] = (200, {"message": "Revoked token 1001-a.7"})
    assert main.run(["logout"]) == 0
    assert capsys.readouterr().out.endswith(f"Signed out ann at {fake.address}.\n")
    assert fake.shown[-1] == "Bearer nw_1"
    assert credentials.find((fake.address,)) is None


def test_logout_without_a_broker_forgets_and_says_what_still_counts(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hurried: None
) -> None:
    credentials.save(credentials.SavedToken((DOWN,), "ann", "1001-a.7", "nw_1"))
    assert main.run(["logout", "--brokers", DOWN]) == output.NO_BROKER
    assert "newswire token revoke 1001-a.7" in capsys.readouterr().err
    assert credentials.find((DOWN,)) is None


def test_whoami(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["/me"] = (200, ME)
    assert main.run(["whoami"]) == 0
    assert capsys.readouterr().out == "ann\nmay publish to a.>\nmay not subscribe to anything: an admin can grant it\n"
    assert main.run(["whoami", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ME
    fake.answers["/me"] = (200, {"username": "ann", "admin": True, "auth": "required", "grants": []})
    assert main.run(["whoami"]) == 0
    assert capsys.readouterr().out == "ann, an admin: may do everything\n"
    fake.answers["/me"] = (200, {"username": None, "admin": True, "auth": "none", "grants": []})
    assert main.run(["whoami"]) == 0
    assert "--auth none" in capsys.readouterr().out
    typed(monkeypatch, "x\n")
    assert main.run(["login", "ann"]) == output.FAILED
    assert "--auth none" in capsys.readouterr().err
