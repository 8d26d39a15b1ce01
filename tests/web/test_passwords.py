"""Passwords: argon2id, bounded at once, nobody is told by time or words whether a user is there."""

from __future__ import annotations

import threading

import pytest

from newswire.core import limits
from newswire.errors import BadRequest, NotStored, TooLarge
from newswire.threads import MustNotWait, never_waits
from newswire.web.passwords import Passwords, check_password


def test_a_password_is_stored_as_argon2id_and_checked() -> None:
    passwords = Passwords()
    stored = passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "correct" not in stored
    assert passwords.verify("correct horse", stored)
    assert not passwords.verify("correct horsE", stored)
    assert stored != passwords.hash("correct horse")  # a salt of its own


def test_a_user_who_is_not_there_costs_a_hash_too_and_is_never_let_in() -> None:
    passwords = Passwords()
    assert not passwords.verify("x", None)
    assert not passwords.verify("x", "no hash")
    assert passwords.hash_count == 2


def test_a_verified_one_is_remembered_for_a_time_for_this_hash_only() -> None:
    now = 100.0
    passwords = Passwords(lambda: now)
    assert not passwords.is_verified("secret", "hash1")
    passwords.remember("secret", "hash1")
    assert passwords.is_verified("secret", "hash1")
    assert not passwords.is_verified("secret2", "hash1")
    assert not passwords.is_verified("secret", "hash2")  # the password was changed
    now += limits.PASSWORD_CACHE_SECONDS
    assert not passwords.is_verified("secret", "hash1")


def test_memory_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords()
    monkeypatch.setattr(limits, "CALLERS_CACHE_COUNT", 3)
    for number in range(5):
        passwords.remember(f"secret{number}", "hash")
    assert "secret" not in str(vars(passwords))
    assert [passwords.is_verified(f"secret{number}", "hash") for number in range(5)] == [False, False, True, True, True]


def test_so_many_are_hashed_at_once_and_a_crowd_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASSWORD_WAIT_SECONDS", 0.0)
    passwords = Passwords()
    with passwords._turn(), passwords._turn(), pytest.raises(NotStored):
        passwords.hash("x")
    passwords.hash("x")


def test_never_in_a_thread_that_serves_everybody() -> None:
    outcome: list[BaseException] = []

    def run() -> None:
        never_waits()
        try:
            Passwords().hash("x")
        except MustNotWait as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert outcome


def test_what_can_be_one() -> None:
    assert check_password("ä" * (limits.PASSWORD_BYTES // 2)) == "ä" * (limits.PASSWORD_BYTES // 2)
    with pytest.raises(BadRequest):
        check_password("")
    with pytest.raises(TooLarge):
        check_password("ä" * limits.PASSWORD_BYTES)
