"""The file of tokens: who can read it, which token a command finds, and that nothing of it is lost."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from newswire.cli import credentials
from newswire.cli.credentials import SavedToken
from newswire.errors import BadRequest

A, B = "127.0.0.1:5053", "127.0.0.1:5054"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("NEWSWIRE_TOKEN", raising=False)
    return tmp_path


def test_where_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert credentials.path() == home / "config" / "newswire" / "credentials.toml"
    monkeypatch.setenv("HOME", str(home))
    assert credentials.path({}) == home / ".config" / "newswire" / "credentials.toml"
    assert credentials.path({"XDG_CONFIG_HOME": "relative"}) == home / ".config" / "newswire" / "credentials.toml"


def test_a_token_is_kept_for_its_brokers_and_nobody_else_can_read_it() -> None:
    assert credentials.find((A, B)) is None
    token = SavedToken((A, B), "ann", "1001-a.7", "nw_1")
    file = credentials.save(token)
    assert credentials.find((A, B)) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [one.name for one in file.parent.iterdir()] == ["credentials.toml"]
    assert "nw_1" not in repr(token)


def test_a_command_that_names_some_of_the_brokers_finds_it_and_one_that_names_another_does_not() -> None:
    both, one = SavedToken((A, B), "ann", "1", "nw_1"), SavedToken((B,), "bob", "2", "nw_2")
    credentials.save(both)
    assert credentials.find((B, A)) == credentials.find((B,)) == both
    credentials.save(one)
    assert credentials.find((B,)) == one
    assert credentials.find((A,)) == both
    assert credentials.find((A, "10.0.0.1:5053")) is None
    credentials.save(SavedToken((B, A), "cleo", "3", "nw_3"))
    assert credentials.find((A, B)) == SavedToken((B, A), "cleo", "3", "nw_3"), "in place of the other for these brokers"
    credentials.forget(one)
    assert credentials.find((B,)) == SavedToken((B, A), "cleo", "3", "nw_3")


def test_one_that_others_can_read_is_refused_with_what_mends_it() -> None:
    file = credentials.save(SavedToken((A,), "ann", "1", "nw_1"))
    for mode in (0o640, 0o604, 0o620, 0o602):
        file.chmod(mode)
        with pytest.raises(BadRequest, match=f"chmod 600 {file}") as refused:
            credentials.signature((A,))
        assert "nw_1" not in str(refused.value)


@pytest.mark.parametrize("text", ["[", '["127.0.0.1:5053"]\nusername = "ann"\n', "a = 1\n"])
def test_one_that_is_no_such_file_is_a_sentence(text: str) -> None:
    file = credentials.save(SavedToken((A,), "ann", "1", "nw_1"))
    file.write_text(text)
    with pytest.raises(BadRequest, match="delete it and sign in again"):
        credentials.find((A,))


def test_a_folder_that_cannot_be_used_is_a_sentence(home: Path) -> None:
    (home / "config").write_text("")
    with pytest.raises(BadRequest, match="cannot"):
        credentials.save(SavedToken((A,), "ann", "1", "nw_1"))


def test_many_at_once_lose_nothing() -> None:
    tokens = [SavedToken((f"10.0.0.{number}:5053",), "ann", str(number), f"nw_{number}") for number in range(20)]
    threads = [threading.Thread(target=credentials.save, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [credentials.find(token.brokers) for token in tokens] == tokens


def test_what_a_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert credentials.signature((A,)) == {}
    assert credentials.to_credential({}) is None
    credentials.save(SavedToken((A,), "ann", "1", 'nw_"\\1'))
    assert credentials.signature((A,)) == {"token": 'nw_"\\1'}
    signed = credentials.to_credential({"user": "ann", "password": "x"})
    assert signed is not None
    assert signed.kind == "password"
