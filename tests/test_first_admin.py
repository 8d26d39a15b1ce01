"""The first admin: made once, when the broker serves and there is none."""

from __future__ import annotations

import logging
import threading

import pytest

from newswire.config import Settings
from newswire.core.model.commands import AddUser
from newswire.core.model.conditions import condition_of
from newswire.first_admin import FirstAdmin
from tests.kit.access import basic
from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web(Settings(auth="required"))


def first_admin(web: Web, password: str, *, resets: bool = False) -> FirstAdmin:
    assert web.auth is not None
    return FirstAdmin(web.engine, web.auth, password, threading.Event(), lambda error: None, resets=resets)


def test_it_is_made_once(web: Web) -> None:
    assert first_admin(web, "one word").try_once()
    assert first_admin(web, "two words").try_once()
    me = web.get("/me", headers=basic("admin", "one word"))
    assert isinstance(me, dict)
    assert me["admin"]
    web.get("/me", "unauthenticated", headers=basic("admin", "two words"))


def test_while_the_broker_does_not_serve_it_does_not_know_whether_there_is_one(web: Web) -> None:
    web.engine.change_view(serves=False)
    assert not first_admin(web, "one word").try_once()
    web.engine.change_view()
    assert first_admin(web, "one word").try_once()


def test_another_admin_is_one_too_and_the_password_is_said_to_be_of_no_use(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    web.engine.submit([AddUser(name="root", admin=True)])
    with caplog.at_level(logging.INFO):
        assert first_admin(web, "one word").try_once()
    assert "there is an admin (root), so NEWSWIRE_ADMIN_PASSWORD_FILE is not used" in caplog.text
    assert [account.username for account in web.engine.accounts()] == ["root"]


def test_without_a_password_it_says_what_is_missing(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert first_admin(web, "").try_once()
    assert "NEWSWIRE_ADMIN_PASSWORD_FILE" in caplog.text
    assert web.engine.accounts() == []


def test_a_password_that_is_too_short_makes_nobody(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert first_admin(web, "short").try_once()
    assert "at least 8" in caplog.text
    assert web.engine.accounts() == []


def test_who_has_the_machine_sets_the_password_of_an_admin_anew_and_that_is_told(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    assert first_admin(web, "one word").try_once()
    for _ in range(2):  # a start again changes nothing
        assert first_admin(web, "two words", resets=True).try_once()
    rows = [(row.what, row.who, row.detail) for row in web.engine.audit(None, 100)]
    web.get("/me", "unauthenticated", headers=basic("admin", "one word"))
    web.get("/me", headers=basic("admin", "two words"))
    assert rows[-2:] == [("set-password", "admin", ""), ("reset-admin-password", "admin", "broker 1001")]
    assert "from now on" in caplog.text


@pytest.mark.parametrize(("others", "name"), [(("root",), "admin"), (("root", "admin"), "admin-2")])
def test_where_no_admin_is_called_so_one_is_made(web: Web, others: tuple[str, ...], name: str) -> None:
    for other in others:
        web.engine.submit([AddUser(name=other, admin=other == "root")])
    assert first_admin(web, "two words", resets=True).try_once()
    me = web.get("/me", headers=basic(name, "two words"))
    assert isinstance(me, dict)
    assert me["admin"]


def test_before_there_is_an_admin_the_broker_says_so(web: Web) -> None:
    def degraded() -> list[str]:
        told = web.get("/readyz")
        assert isinstance(told, dict)
        return list(told["degraded"])

    (sentence,) = degraded()
    condition = condition_of(sentence)
    assert condition is not None
    assert condition.code == "no-admin"
    first_admin(web, "one word").try_once()
    assert degraded() == []
