"""`/login`, `/logout`, `/me`, `/tickets`."""

from __future__ import annotations

import pytest

from tests.kit.access import PASSWORD, GuardedWeb, basic, bearer
from tests.kit.web_fakes import Web

PAGE = {"Accept": "text/html,*/*", "Origin": "http://localhost"}


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def test_signing_in_sets_a_cookie_that_no_script_reads(web: GuardedWeb) -> None:
    client = web.app.test_client(use_cookies=False)
    response = client.post("/login", data={"username": "ann", "password": PASSWORD})
    assert (response.status_code, response.get_json()) == (200, {"message": "Signed in as ann"})
    assert response.headers["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax")
    secure = client.post("/login", data={"username": "ann", "password": PASSWORD}, base_url="https://localhost")
    assert secure.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")
    cookie = {"Cookie": response.headers["Set-Cookie"].partition(";")[0]}
    me = {"username": "ann", "admin": False, "auth": "required", "by": "session"}
    grants = [{"verb": verb, "topic": "news.>"} for verb in ("publish", "subscribe")]
    assert client.get("/me", headers=cookie).get_json() == {**me, "grants": grants}
    assert [row.what for row in web.engine.audit(None, 2)] == ["signed-in", "signed-in"]


def test_wrong_user_and_wrong_password_are_answered_alike(web: GuardedWeb) -> None:
    details = {web.post("/login", "unauthenticated", json={"username": name, "password": "x"}) for name in ("ann", "nobody")}
    assert len(details) == 1
    web.post("/login", "bad-field", json={"username": "ann", "password": ""})
    web.post("/login", "missing-field", json={"username": "ann"})
    web.post("/login", "cross-site", json={"username": "ann", "password": PASSWORD}, headers={"Origin": "http://evil.example"})


def test_who_guesses_is_told_when_to_come_again(web: GuardedWeb) -> None:
    for _ in range(10):
        web.post("/login", "unauthenticated", json={"username": "ann", "password": "x"})
    response = web.client.post("/login", json={"username": "ann", "password": PASSWORD})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "60")


def test_signing_out_ends_the_session_everywhere(web: GuardedWeb) -> None:
    client = web.app.test_client(use_cookies=False)
    cookie = {"Cookie": web.sign_in("ann")}
    response = client.post("/logout", headers=cookie)
    assert response.get_json() == {"message": "Signed out ann"}
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    web.get("/me", "unauthenticated", headers=cookie)
    assert client.post("/logout", headers=basic("ann")).status_code == 200  # there is none to end


def test_a_form_of_a_page_is_answered_by_page(web: GuardedWeb) -> None:
    client = web.app.test_client(use_cookies=False)
    for place, expected in (("/stream?username=ann", "/stream?username=ann"), ("//evil.example", "/"), ("", "/")):
        form = {"username": "ann", "password": PASSWORD, "next": place}
        response = client.post("/login", data=form, headers=PAGE)
        assert (response.status_code, response.headers["Location"]) == (303, expected)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    response = client.post("/logout", headers={**PAGE, "Cookie": cookie})
    assert (response.status_code, response.headers["Location"]) == (303, "/login")


def test_me(web: GuardedWeb) -> None:
    assert web.get("/me", headers=basic("root")) == {
        "username": "root",
        "admin": True,
        "auth": "required",
        "by": "password",
        "grants": [{"verb": "publish", "topic": ">"}, {"verb": "subscribe", "topic": ">"}],
    }
    narrow = bearer(web.token("ann", publish=["news.x"], subscribe=[]))
    assert web.get("/me", headers=narrow) == {
        "username": "ann",
        "admin": False,
        "auth": "required",
        "by": "token",
        "grants": [{"verb": "publish", "topic": "news.x"}],
    }


def test_where_nobody_is_asked_these_are_off_and_me_says_so() -> None:
    web = Web()
    for method, path in (
        ("POST", "/login"),
        ("POST", "/logout"),
        ("POST", "/tickets"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("DELETE", "/users/ann"),
        ("POST", "/users/ann/password"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
        ("DELETE", "/tokens/1001-a.7"),
        ("GET", "/grants"),
        ("POST", "/grants"),
        ("DELETE", "/grants"),
        ("GET", "/audit"),
    ):
        web.ask(method, path, "auth-is-off")
    assert web.get("/me") == {"username": "", "admin": True, "auth": "none", "by": "none", "grants": []}
