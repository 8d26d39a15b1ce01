"""`/audit`: who did what, the newest last; no message text, no secret."""

from __future__ import annotations

import pytest

from tests.kit.access import GuardedWeb, basic

ROOT = basic("root")


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def test_what_was_done_and_by_whom(web: GuardedWeb) -> None:
    web.sign_in("ann")
    web.post("/publish?topic=news.x&data=hush", headers=basic("ann"))
    web.post("/users?username=new&password=some+words", headers=ROOT)
    web.post("/grants?who=new&verb=publish&topic=news.>", headers=ROOT)
    rows = web.get("/audit", headers=ROOT)
    assert isinstance(rows, list)
    said = [(row["what"], row.get("by", ""), row.get("who", ""), row.get("topic", "")) for row in rows]
    assert ("signed-in", "", "ann", "") in said
    assert any(row[1:] == ("ann", "", "news.x") or row[1:] == ("ann", "ann", "news.x") for row in said), said
    assert any(row[1] == "root" and row[2] == "new" and row[3] == "news.>" for row in said), said
    assert "hush" not in str(rows)
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("get", "/backup", "asked-for-backup"),
        ("post", "/compact", "asked-to-compact"),
        ("post", "/accept_loss", "asked-to-accept-loss"),
        ("post", "/add_replica", "asked-to-add-broker"),
        ("post", "/remove_replica", "asked-to-remove-broker"),
    ],
)
def test_what_an_admin_asks_of_the_brokers_is_told_and_what_is_refused_to_others_is_not(
    web: GuardedWeb, method: str, path: str, what: str
) -> None:
    for asker in ("ann", "root"):
        getattr(web.client, method)(path, headers=basic(asker))
    rows = [(row.what, row.who) for row in web.engine.audit(0, 100) if row.what.startswith("asked")]
    assert rows == [(what, "root")]


def test_a_part_of_it(web: GuardedWeb) -> None:
    web.engine.now += 60
    web.post("/publish?topic=news.x&data=1", headers=basic("ann"))
    rows = web.get("/audit?since=30s", headers=ROOT)
    assert isinstance(rows, list)
    assert len(rows) == 1
    assert web.get("/audit?limit=1", headers=ROOT) == rows
    assert web.get("/audit?since=earliest&limit=1", headers=ROOT) != rows
    web.get("/audit?since=yesterday", "bad-time", headers=ROOT)
    web.get("/audit?limit=0", "bad-field", headers=ROOT)
