"""Who asks: each way to say it, what it is worth when something changes, and that guessing gets nobody far."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from newswire.core.access import Rights
from newswire.core.model.commands import AddGrant, AddUser, EndSession, RemoveUser, RevokeToken, SetPassword
from newswire.errors import NewswireError
from newswire.threads import NeedsThread, never_waits
from newswire.web import auth as module
from newswire.web.auth import NOBODY, Caller, subject_of
from tests.kit.access import PASSWORD, GuardedWeb, basic, bearer, password_hash


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def asks(web: GuardedWeb, headers: dict[str, str], address: str = "192.0.2.1") -> Caller:
    assert web.auth is not None
    environ: dict[str, Any] = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return web.auth.identify({**environ, "REMOTE_ADDR": address})


def code_of(web: GuardedWeb, headers: dict[str, str], address: str = "192.0.2.1") -> str:
    with pytest.raises(NewswireError) as refused:
        asks(web, headers, address)
    return refused.value.code


def test_each_way_to_say_who_one_is(web: GuardedWeb) -> None:
    token = web.token("ann")
    for headers, by in (
        (basic("ann"), "password"),
        (bearer(token), "token"),
        (basic("ann", token), "token"),
        ({"Cookie": web.sign_in("ann")}, "session"),
    ):
        caller = asks(web, headers)
        assert (caller.username, caller.admin, caller.by) == ("ann", False, by)
        assert caller.rights is not None
        assert caller.rights.may("publish", "news.x")
        assert asks(web, headers) is caller  # remembered
    assert asks(web, basic("root")).admin


def test_whose_turn_it_is_shows_what_was_good_before(web: GuardedWeb) -> None:
    assert web.auth is not None
    authorization, cookie = bearer(web.token("ann"))["Authorization"], web.sign_in("ben")
    assert (web.auth.user_of(authorization, ""), web.auth.user_of("", cookie), web.auth.user_of("", "")) == ("", "", "")
    for headers in ({"Authorization": authorization}, {"Cookie": cookie}):
        asks(web, headers)
    assert (web.auth.user_of(authorization, cookie), web.auth.user_of("", f"a=b; {cookie}")) == ("ann", "ben")
    assert web.auth.user_of("Bearer nw_" + "x" * 27, cookie) == ""


def test_what_shows_nothing_good(web: GuardedWeb) -> None:
    token = web.token("ann")
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer x"},
        bearer("nw_" + "x" * 27),
        basic("ann", "wrong"),
        basic("nobody"),
        basic("no name!"),
        basic("ben", token),  # somebody else's
        {"Cookie": "newswire_session=x.y"},
    ):
        assert code_of(web, headers) == "unauthenticated"
    # a header beats a cookie, also when it is wrong
    assert code_of(web, {"Cookie": web.sign_in("ann"), **bearer("nw_" + "x" * 27)}) == "unauthenticated"


def test_a_cookie_holds_no_token_and_a_header_no_session(web: GuardedWeb) -> None:
    authorization, cookie = bearer(web.token("ann"))["Authorization"], web.sign_in("ann")
    value = cookie.partition("=")[2]
    swapped: tuple[dict[str, str], ...] = ({"Cookie": f"newswire_session={authorization}"}, {"Authorization": value})
    for headers in swapped:
        assert code_of(web, headers) == "unauthenticated"
    asks(web, {"Authorization": authorization})
    asks(web, {"Cookie": cookie})
    for headers in swapped:  # nor when the same is remembered from its own place
        assert code_of(web, headers) == "unauthenticated"


def test_what_changes_counts_at_once(web: GuardedWeb) -> None:
    token, cookie = web.token("ann"), {"Cookie": web.sign_in("ann")}
    assert asks(web, bearer(token)).rights == asks(web, cookie).rights == asks(web, basic("ann")).rights
    web.do(AddGrant(who="ann", verb="publish", pattern="sport"))
    for headers in (bearer(token), cookie, basic("ann")):
        rights = asks(web, headers).rights
        assert rights is not None
        assert rights.may("publish", "sport")
    web.do(SetPassword(name="ann", password=password_hash()))
    assert code_of(web, cookie) == "unauthenticated"  # a session ends when the password is set
    assert asks(web, bearer(token)).username == "ann"
    web.do(RevokeToken(token=web.engine.tokens("ann")[0].id))
    assert code_of(web, bearer(token)) == "unauthenticated"
    web.do(RemoveUser(name="ann"))
    assert code_of(web, basic("ann")) == "unauthenticated"
    web.do(AddUser(name="ann", password=password_hash()))
    rights = asks(web, basic("ann")).rights
    assert rights is not None
    assert not rights.may("publish", "news.x")  # a user of that name inherits nothing
    assert code_of(web, cookie) == "unauthenticated"


def test_a_session_that_was_ended_is_over_and_so_is_an_old_one(web: GuardedWeb) -> None:
    first, second = ({"Cookie": web.sign_in("ann")} for _ in range(2))
    principal = asks(web, first).principal
    assert principal is not None
    web.do(EndSession(session=principal.session, account=principal.account))
    assert code_of(web, first) == "unauthenticated"
    assert asks(web, second).username == "ann"
    web.engine.now += module.limits.SESSION_SECONDS - 1
    assert asks(web, second).username == "ann"
    web.engine.now += 1
    assert code_of(web, second) == "unauthenticated"


def test_a_token_expires_and_is_never_wider_than_its_user(web: GuardedWeb) -> None:
    token = web.token("ann", expires=60, publish=["news.sport", "secret"], subscribe=[])
    caller = asks(web, bearer(token))
    assert caller.rights is not None
    assert caller.until == web.engine.now + 60
    assert [caller.rights.may("publish", topic) for topic in ("news.sport", "news.x", "secret")] == [True, False, False]
    assert not caller.rights.may("subscribe", "news.sport")
    assert not asks(web, bearer(web.token("root", publish=["news.x"]))).admin
    web.engine.now += 60
    assert code_of(web, bearer(token)) == "unauthenticated"


def test_ten_wrong_passwords_a_minute_and_the_right_user_elsewhere_signs_in(web: GuardedWeb) -> None:
    outcomes = [code_of(web, basic("ann", "wrong"), "192.0.2.9") for _ in range(12)]
    assert outcomes == ["unauthenticated"] * 10 + ["too-many"] * 2
    assert code_of(web, basic("ann"), "192.0.2.9") == "too-many"  # also with the right one
    assert asks(web, basic("ann"), "192.0.2.1").username == "ann"
    assert code_of(web, basic("ben", "wrong"), "192.0.2.9") == "too-many"
    web.engine.now += 60
    assert asks(web, basic("ann"), "192.0.2.9").username == "ann"


def test_a_password_that_is_remembered_does_not_tell_who_guesses_it(web: GuardedWeb) -> None:
    """Else the refusal of all wrong ones, and the answer to the right one, are a limit of requests and no limit of guesses."""
    asks(web, basic("ann"), "192.0.2.1")
    for _ in range(10):
        code_of(web, basic("ann", "wrong"), "192.0.2.9")
    assert code_of(web, basic("ann"), "192.0.2.9") == "too-many"
    web.post(
        "/login", "too-many", json={"username": "ann", "password": PASSWORD}, environ_overrides={"REMOTE_ADDR": "192.0.2.9"}
    )
    assert asks(web, basic("ann"), "192.0.2.1").username == "ann"
    for number in range(10, 20):  # from many addresses, of which each has failed a few times
        code_of(web, basic("ann", "wrong"), f"192.0.2.{number}")
    assert code_of(web, basic("ann"), "192.0.2.12") == "too-many"
    web.engine.now += 61
    assert asks(web, basic("ann"), "192.0.2.9").username == "ann"


def test_a_name_is_guessed_so_often_from_all_addresses_and_its_owner_signs_in(
    web: GuardedWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one whom it is known at, or with a browser that it is known in; a browser of another name is no such."""

    def login(who: str, address: str, cookie: str = "", password: str = PASSWORD) -> Any:
        fields = {"username": who, "password": password}
        headers = {"Cookie": cookie} if cookie else {}
        return web.client.post("/login", json=fields, headers=headers, environ_overrides={"REMOTE_ADDR": address})

    def device_of(response: Any) -> str:
        return next(text.partition(";")[0] for text in response.headers.getlist("Set-Cookie") if "newswire_device" in text)

    home, bens = (device_of(login(who, "192.0.2.1")) for who in ("ann", "ben"))
    assert web.auth is not None
    verify = web.auth.passwords.verify
    monkeypatch.setattr(
        web.auth.passwords, "verify", lambda password, stored: password == PASSWORD and verify(password, stored)
    )
    statuses = [login("ann", f"198.51.100.{number}", password="wrong").status_code for number in range(100)]
    assert (statuses.count(401), statuses.count(429)) == (60, 40)
    assert login("ann", "203.0.113.1").status_code == 429
    assert login("ann", "203.0.113.1", bens).status_code == 429
    assert login("ann", "203.0.113.1", home).status_code == 200
    assert asks(web, basic("ann"), "192.0.2.1").username == "ann"
    statuses = [login("ann", "198.51.100.250", home, "wrong").status_code for _ in range(12)]
    assert (statuses.count(401), statuses.count(429)) == (10, 2)
    assert login("ben", "198.51.100.250").status_code == 200, "the browser counted in place of the address"


def test_wrong_user_and_wrong_password_cost_and_are_answered_alike(web: GuardedWeb) -> None:
    assert web.auth is not None
    details = []
    for headers in (basic("ann", "wrong"), basic("nobody", "wrong"), basic("no name!", "wrong")):
        before = web.auth.passwords.hash_count
        with pytest.raises(NewswireError) as refused:
            asks(web, headers)
        details.append((refused.value.detail, web.auth.passwords.hash_count - before))
    assert len(set(details)) == 1
    assert details[0][1] == 1


def test_a_password_is_hashed_once_and_never_in_the_loop(web: GuardedWeb) -> None:
    assert web.auth is not None
    outcome: list[object] = []

    def run() -> None:
        never_waits()
        try:
            outcome.append(asks(web, basic("ann")).username)
        except NeedsThread:
            outcome.append("needs a thread")

    def loop() -> None:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    loop()
    asks(web, basic("ann"))
    count = web.auth.passwords.hash_count
    loop()
    web.auth.wake({"ann"})  # a right changed somewhere
    loop()
    assert outcome == ["needs a thread", "ann", "ann"]
    assert web.auth.passwords.hash_count == count


def test_what_was_worked_out_while_a_right_changed_is_not_remembered(web: GuardedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    token = web.token("ann")
    resolve = module.Authenticator.resolve

    def resolve_late(*arguments: Any, **more: Any) -> Caller:
        caller = resolve(*arguments, **more)
        web.do(RevokeToken(token=web.engine.tokens("ann")[0].id))
        return caller

    monkeypatch.setattr(module.Authenticator, "resolve", resolve_late)
    assert asks(web, bearer(token)).username == "ann"
    monkeypatch.undo()
    assert code_of(web, bearer(token)) == "unauthenticated"


def test_who_did_not_change_is_not_looked_up_again(web: GuardedWeb) -> None:
    ann, ben = asks(web, basic("ann")), asks(web, basic("ben"))
    web.post("/subscribe?topic=news.x", headers=basic("ann"))
    assert asks(web, basic("ben")) is ben
    assert asks(web, basic("ann")) is not ann
    ann = asks(web, basic("ann"))
    web.do(AddGrant(who="*", verb="publish", pattern="canteen"))
    assert asks(web, basic("ann")) is not ann
    assert asks(web, basic("ben")) is not ben


def test_who_changed_is_remembered_within_bounds(web: GuardedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    assert web.auth is not None
    monkeypatch.setattr(module.limits, "CALLERS_CACHE_COUNT", 3)
    ann = asks(web, basic("ann"))
    for number in range(9):
        web.auth.wake({f"u{number}"})
        assert len(web.auth._changed) <= 3
    assert asks(web, basic("ann")) is not ann  # all were forgotten meanwhile


def test_memory_is_bounded(web: GuardedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    assert web.auth is not None
    monkeypatch.setattr(module.limits, "CALLERS_CACHE_COUNT", 2)
    for _ in range(5):
        asks(web, bearer(web.token("ann")))
        assert len(web.auth._callers) <= 2


def test_a_ticket_is_good_once_and_only_while_what_it_was_made_with_is(web: GuardedWeb) -> None:
    assert web.auth is not None
    token = web.token("ann")
    caller = asks(web, bearer(token))
    ticket, late = (web.auth.new_ticket(caller, subject_of(web.engine, caller, None)) for _ in range(2))
    by, username = web.auth.use_ticket(ticket)
    assert (by.username, by.by, username) == ("ann", "ticket", "ann")
    with pytest.raises(NewswireError, match="ticket"):
        web.auth.use_ticket(ticket)
    web.do(RevokeToken(token=web.engine.tokens("ann")[0].id))
    with pytest.raises(NewswireError, match="no more"):
        web.auth.use_ticket(late)


def test_the_session_of_a_ticket_is_the_one_that_it_was_made_in(web: GuardedWeb) -> None:
    assert web.auth is not None
    maker = asks(web, {"Cookie": web.sign_in("ann")})
    caller, _ = web.auth.use_ticket(web.auth.new_ticket(maker, subject_of(web.engine, maker, None)))
    cookie = {"Cookie": f"newswire_session={web.auth.new_session(caller)}"}
    principal = asks(web, cookie).principal
    assert principal is not None
    web.do(EndSession(session=principal.session, account=principal.account))
    assert code_of(web, cookie) == "unauthenticated"
    assert caller.principal == principal


def test_the_session_of_a_ticket_reads_one_feed_and_ends_within_a_day(web: GuardedWeb) -> None:
    assert web.auth is not None

    def of_ticket(maker: Caller, username: str | None) -> tuple[Caller, dict[str, str]]:
        assert web.auth is not None
        caller, _ = web.auth.use_ticket(web.auth.new_ticket(maker, subject_of(web.engine, maker, username)))
        cookie = {"Cookie": f"newswire_session={web.auth.new_session(caller)}"}
        return asks(web, cookie), cookie

    ann, cookie = of_ticket(asks(web, basic("ann")), None)
    assert ann.rights == Rights(subscribe=("news.>",))
    again, _ = of_ticket(ann, None)
    assert again.until == ann.until == int(web.engine.now + module.limits.TICKET_SESSION_SECONDS), (
        "another ticket is no more time"
    )
    root, _ = of_ticket(asks(web, basic("root")), "ann")
    assert (root.username, root.admin, root.rights) == ("root", False, Rights(subscribe=("news.>",)))
    assert subject_of(web.engine, root, "ann").username == "ann"
    for caller, name in ((root, "root"), (root, None), (root, "nobody"), (ann, "ben")):
        with pytest.raises(NewswireError) as refused:
            subject_of(web.engine, caller, name)
        assert refused.value.code == "forbidden"
    web.engine.now += module.limits.TICKET_SESSION_SECONDS
    assert code_of(web, cookie) == "unauthenticated"


def test_whom_it_is_about(web: GuardedWeb) -> None:
    ann, root = asks(web, basic("ann")), asks(web, basic("root"))
    account = {row.username: row.account for row in web.engine.accounts()}
    assert subject_of(web.engine, ann, None) == subject_of(web.engine, ann, "ann") == ("ann", account["ann"])
    assert subject_of(web.engine, root, "ann") == ("ann", account["ann"])
    assert subject_of(web.engine, NOBODY, "anybody") == ("anybody", "")
    for caller, name, code in ((ann, "ben", "forbidden"), (root, "nobody", "no-user"), (NOBODY, None, "missing-field")):
        with pytest.raises(NewswireError) as refused:
            subject_of(web.engine, caller, name)
        assert refused.value.code == code


def test_failures_are_written_down_and_so_many_at_most(web: GuardedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    def failures() -> int:
        return sum(row.what == "sign-in-failed" for row in web.engine.audit(None, 1_000))

    asks(web, basic("ann"))
    assert failures() == 0
    assert web.auth is not None
    root = bearer(web.token("root"))
    monkeypatch.setattr(web.auth.passwords, "verify", lambda password, stored: False)
    for number in range(150):
        code_of(web, basic(f"u{number}", "wrong"), f"192.0.2.{number}")
    assert failures() == 100
    web.get("/audit", headers=root)
    rows = web.engine.audit(None, 1_000)
    assert [row.detail for row in rows if not row.who and row.what == "sign-in-failed"] == ["and 50 more"]
    assert PASSWORD not in str(web.engine.audit(None, 1_000))
