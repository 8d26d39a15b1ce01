"""`/grants`: what admins give and take, and who sees it."""

from __future__ import annotations

import pytest

from tests.kit.access import GuardedWeb, basic

ANN, ROOT = basic("ann"), basic("root")
MINE = [{"who": "ann", "verb": "publish", "topic": "news.>"}, {"who": "ann", "verb": "subscribe", "topic": "news.>"}]
ALL = {"who": "*", "verb": "publish", "topic": "canteen"}


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def test_a_right_is_given_and_taken(web: GuardedWeb) -> None:
    path = "/grants?who=ben&verb=publish&topic=finance.>"
    web.post("/publish?topic=finance.x&data=1", "forbidden", headers=basic("ben"))
    assert web.post(path, headers=ROOT) == {"message": "Granted ben publish on finance.>"}
    web.post("/publish?topic=finance.x&data=1", headers=basic("ben"))
    assert web.ask("DELETE", path, headers=ROOT) == {"message": "Revoked ben publish on finance.>"}
    web.post("/publish?topic=finance.x&data=1", "forbidden", headers=basic("ben"))
    web.ask("DELETE", path, "no-grant", headers=ROOT)
    for query, code in (
        ("who=nobody&verb=publish&topic=t", "no-user"),
        ("who=a b&verb=publish&topic=t", "bad-username"),
        ("who=ann&verb=read&topic=t", "bad-field"),
        ("who=ann&verb=publish&topic=a b", "bad-pattern"),
        ("who=ann&verb=publish", "missing-field"),
    ):
        web.post(f"/grants?{query}", code, headers=ROOT)


def test_one_sees_ones_own_and_those_of_everybody(web: GuardedWeb) -> None:
    web.post("/grants", headers=ROOT, json=ALL)
    web.post("/publish?topic=canteen&data=soup", headers=basic("ben"))
    assert web.get("/grants", headers=ANN) == web.get("/grants?who=ann", headers=ROOT) == [*MINE, ALL]
    assert web.get("/grants?who=*", headers=ANN) == [ALL]
    rows = web.get("/grants", headers=ROOT)
    assert isinstance(rows, list)
    assert sorted(map(str, rows)) == sorted(map(str, [*MINE, ALL]))
    web.get("/grants?who=ben", "forbidden", headers=ANN)
    web.post("/grants", "forbidden", headers=ANN, json=ALL)
    web.ask("DELETE", "/grants?who=*&verb=publish&topic=canteen", "forbidden", headers=ANN)
