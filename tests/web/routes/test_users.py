"""`/users`: added, listed, removed by admins; one's own password."""

from __future__ import annotations

import pytest

from tests.kit.access import PASSWORD, GuardedWeb, basic, bearer

ROOT = basic("root")


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def test_an_admin_adds_lists_and_removes_users(web: GuardedWeb) -> None:
    assert web.post("/users", headers=ROOT, json={"username": "Alice", "password": "pass word"}) == {
        "message": "Added user Alice"
    }
    web.post("/users?username=Bob&password=pass+word&admin=1", headers=ROOT)
    web.post("/users", headers=ROOT, json={"username": "program"})
    rows = web.get("/users", headers=ROOT)
    assert isinstance(rows, list)
    assert [(row["username"], row["admin"]) for row in rows][:3] == [("Alice", False), ("Bob", True), ("ann", False)]
    assert rows[0]["since"].startswith("2026-11-24T10:00:00")
    web.get("/me", headers=basic("Alice", "pass word"))
    web.get("/me", "unauthenticated", headers=basic("program", ""))  # no password is not an empty one
    web.post("/users", "user-exists", headers=ROOT, json={"username": "Alice", "password": "pass word"})
    assert web.ask("DELETE", "/users/Alice", headers=ROOT) == {"message": "Removed user Alice"}
    web.get("/me", "unauthenticated", headers=basic("Alice", "pass word"))
    web.ask("DELETE", "/users/Alice", "no-user", headers=ROOT)
    web.ask("DELETE", "/users/no%20name", "bad-username", headers=ROOT)
    for field in ({"username": "x y"}, {"username": "x", "admin": "perhaps"}, {"username": "x", "password": ""}):
        assert web.client.post("/users", headers=ROOT, json=field).status_code == 400


def test_a_password_has_eight_characters_and_none_that_was_set_before_is_looked_at(web: GuardedWeb) -> None:
    for word in ("seven 7", "ß" * 7):
        assert "at least 8" in str(web.post("/users", "bad-field", headers=ROOT, json={"username": "x", "password": word}))
        web.post("/users/ann/password", "bad-field", headers=ROOT, json={"password": word})
    web.post("/users/ann/password", headers=ROOT, json={"password": "ß" * 8})
    web.get("/me", headers=basic("ann", "ß" * 8))


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_no_address_can_have_is_nobody_s(web: GuardedWeb, name: str) -> None:
    assert "stands for a folder" in str(web.post("/users", "bad-username", headers=ROOT, json={"username": name}))


def test_passwords_are_kept_as_argon2id_and_shown_to_nobody(web: GuardedWeb) -> None:
    web.post("/users", headers=ROOT, json={"username": "Alice", "password": "hush hush"})
    log = b"".join(web.engine.log.raws)
    assert b"$argon2id$" in log
    assert b"hush" not in log
    assert b"argon2" not in web.client.get("/users", headers=ROOT).data + web.client.get("/audit", headers=ROOT).data


def test_one_sets_ones_own_password_and_an_admin_anybodys(web: GuardedWeb) -> None:
    assert web.post("/users/ann/password", headers=basic("ann"), json={"password": "new word"}) == {
        "message": "Set the password of ann"
    }
    web.get("/me", "unauthenticated", headers=basic("ann"))
    web.get("/me", headers=basic("ann", "new word"))
    web.post("/users/ann/password", headers=ROOT, json={"password": "newer word"})
    web.get("/me", headers=basic("ann", "newer word"))
    web.post("/users/ben/password", "forbidden", headers=basic("ann", "newer word"), json={"password": "xxxx xxxx"})
    web.post("/users/nobody/password", "no-user", headers=ROOT, json={"password": "xxxx xxxx"})
    narrow = bearer(web.post("/tokens", headers=basic("ann", "newer word"), json={"publish": []})["token"])  # type: ignore[index]
    web.post("/users/ann/password", "forbidden", headers=narrow, json={"password": "xxxx xxxx"})


def test_who_sets_a_password_stays_signed_in_and_nobody_else_does(web: GuardedWeb) -> None:
    mine, other = ({"Cookie": web.sign_in("ann")} for _ in range(2))
    client = web.app.test_client(use_cookies=False)
    response = client.post("/users/ann/password", headers=mine, json={"password": PASSWORD + "!"})
    next_one = {"Cookie": response.headers["Set-Cookie"].partition(";")[0]}
    assert client.get("/me", headers=next_one).status_code == 200
    for cookie in (mine, other):
        assert client.get("/me", headers=cookie).status_code == 401
