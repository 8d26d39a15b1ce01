"""`/tokens`: made, shown once, listed without their text, revoked."""

from __future__ import annotations

import hashlib
import re

import pytest

from newswire.core import limits
from tests.kit.access import GuardedWeb, basic, bearer

ANN, BEN, ROOT = basic("ann"), basic("ben"), basic("root")


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def test_a_token_is_shown_once_and_stored_as_its_digest(web: GuardedWeb) -> None:
    answer = web.post("/tokens", headers=ANN, json={"label": "my program", "expires": 3600, "publish": ["news.x"]})
    assert isinstance(answer, dict)
    assert re.fullmatch(r"nw_[A-Za-z0-9_-]{27}", answer["token"])
    assert web.get("/tokens", headers=ANN) == [
        {
            "id": answer["id"],
            "username": "ann",
            "label": "my program",
            "since": "2026-11-24T10:00:00.000Z",
            "expires": "2026-11-24T11:00:00.000Z",
            "publish": ["news.x"],
        }
    ]
    log = b"".join(web.engine.log.raws)
    assert answer["token"].encode() not in log
    assert hashlib.sha256(answer["token"].encode()).hexdigest().encode() in log


def test_patterns_may_be_repeated_or_a_list(web: GuardedWeb) -> None:
    for options in (
        {"data": {"publish": ["news.a", "news.b"]}},
        {"data": {"publish": "news.a, news.b"}},
        {"json": {"publish": ["news.a", "news.b"]}},
        {"query_string": "publish=news.a&publish=news.b"},
    ):
        token = web.post("/tokens", headers=ANN, **options)
        assert isinstance(token, dict)
        me = web.get("/me", headers=bearer(token["token"]))
        assert isinstance(me, dict)
        assert [grant["topic"] for grant in me["grants"] if grant["verb"] == "publish"] == ["news.a", "news.b"]


def test_what_is_no_token_is_refused(web: GuardedWeb) -> None:
    many = [f"t{number}" for number in range(limits.TOKEN_PATTERNS + 1)]
    for fields, code in (
        ({"publish": ["a b"]}, "bad-pattern"),
        ({"publish": [1]}, "bad-field"),
        ({"publish": 1}, "bad-field"),
        ({"subscribe": many}, "bad-field"),
        ({"expires": 0}, "bad-field"),
        ({"label": "a\nb"}, "bad-field"),
        ({"label": "x" * 200}, "bad-field"),
    ):
        web.post("/tokens", code, headers=ANN, json=fields)


def test_a_token_with_patterns_is_not_told_of_others_nor_of_what_its_user_may(web: GuardedWeb) -> None:
    narrow = bearer(web.token("ann", publish=["news.x"]))
    for path in ("/tokens", "/grants", "/grants?who=*"):
        assert "GET /me" in str(web.get(path, "forbidden", headers=narrow))
        web.get(path, headers=bearer(web.token("ann")))
    web.get("/tokens", "forbidden", headers=bearer(web.token("root", subscribe=["news.x"])))


def test_tokens_are_ones_own_and_another_users_are_for_admins(web: GuardedWeb) -> None:
    web.post("/tokens?username=ben", "forbidden", headers=ANN)
    web.get("/tokens?username=ben", "forbidden", headers=ANN)
    token = web.post("/tokens?username=ben", headers=ROOT)
    assert isinstance(token, dict)
    rows = web.get("/tokens?username=ben", headers=ROOT)
    assert isinstance(rows, list)
    assert [row["username"] for row in rows] == ["ben"]
    web.ask("DELETE", f"/tokens/{token['id']}", "no-token", headers=ANN)
    assert web.ask("DELETE", f"/tokens/{token['id']}", headers=BEN) == {"message": f"Revoked token {token['id']}"}
    web.get("/me", "unauthenticated", headers=bearer(token["token"]))
    for id in (token["id"], "x", "1001-zz.9"):
        web.ask("DELETE", f"/tokens/{id}", "no-token", headers=ROOT)


def test_a_narrow_token_makes_no_wider_one(web: GuardedWeb) -> None:
    narrow = bearer(web.token("ann", publish=["news.x"]))
    web.post("/tokens", "forbidden", headers=narrow)
    web.post("/tokens?username=ann", "forbidden", headers=bearer(web.token("root", publish=["news.x"])))
