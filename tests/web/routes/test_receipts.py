"""/receipts and /confirm."""

from __future__ import annotations

import pytest

from newswire.core.model.commands import AddGrant, Confirm
from tests.kit.access import GuardedWeb, basic, bearer
from tests.kit.web_fakes import NOW, Web


@pytest.fixture
def web() -> Web:
    web = Web()
    for user in ("ann", "ben"):
        web.post(f"/subscribe?username={user}&topic=news")
    return web


def publish(web: Web, **fields: object) -> str:
    told = web.post("/publish", json={"topic": "news", "data": "Leave", **fields})
    assert isinstance(told, dict)
    return str(told["id"])


def test_a_report_counts_each_reader_once(web: Web) -> None:
    name = publish(web, confirm=60, escalate="late")
    assert web.post("/confirm", data={"username": "ben", "id": name}) == {"message": "Confirmed by ben"}
    assert web.engine.submitted[-1] == Confirm("ben", name)
    assert web.get(f"/receipts?id={name}") == {
        "id": name,
        "topic": "news",
        "delivered": 0,
        "pending": 1,
        "confirmed": 1,
        "subscribers": [
            {"username": "ann", "state": "pending", "at": None},
            {"username": "ben", "state": "confirmed", "at": "2026-11-24T10:00:00.000Z"},
        ],
    }
    assert NOW == 1_795_514_400.0


def test_what_is_refused(web: Web) -> None:
    web.get("/receipts", "missing-field")
    web.get("/receipts?id=news", "bad-field")
    assert "1001-a.99" in str(web.get("/receipts?id=1001-a.99", "no-message"))
    assert "waits" in str(web.get(f"/receipts?id={publish(web, delay='1h')}", "no-message"))
    web.post("/confirm", "no-message", data={"username": "ann", "id": "1001-a.99"})
    web.post("/confirm", "confirm-not-asked", data={"username": "ann", "id": publish(web)})
    web.post("/confirm", "not-registered", data={"username": "carl", "id": publish(web, confirm=5)})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"confirm": 0}, "seconds"),
        ({"confirm": "soon"}, "seconds"),
        ({"confirm": 5, "escalate": "no topic"}, "topic"),
        ({"escalate": "late"}, "goes with `confirm`"),
        ({"about": "1001-a.2"}, "about"),
    ],
)
def test_what_may_not_be_published(web: Web, fields: dict[str, object], words: str) -> None:
    code = "unknown-field" if "about" in fields else "bad-field"
    assert words in str(web.post("/publish", code, json={"topic": "news", "data": "x", **fields}))
    line = b'{"topic": "news", "data": "x", "escalate": "late"}\n'
    assert web.client.post("/publish", data=line * 2, content_type="application/x-ndjson").status_code == 400


def test_a_reader_is_told_whether_he_has_confirmed(web: Web) -> None:
    name = publish(web, confirm=60)
    assert web.get(f"/confirm?username=ben&id={name}") == {"id": name, "confirmed": False, "at": None}
    web.post("/confirm", data={"username": "ben", "id": name})
    assert web.get(f"/confirm?username=ben&id={name}") == {"id": name, "confirmed": True, "at": "2026-11-24T10:00:00.000Z"}
    web.get(f"/confirm?username=carl&id={name}", "no-message")
    web.get("/confirm?username=ben&id=1001-a.99", "no-message")


def test_a_token_that_may_not_know_of_a_topic_is_not_told_who_reads_it() -> None:
    web = GuardedWeb()
    web.do(AddGrant("ann", "publish", "staff"))
    told = web.post("/publish", headers=basic("ann"), json={"topic": "staff", "data": "x"})
    assert isinstance(told, dict)
    whole, narrow = web.token("ann"), web.token("ann", publish=["news.a"], subscribe=["news.a"])
    assert web.get(f"/receipts?id={told['id']}", headers=bearer(whole))
    assert web.get(f"/receipts?id={told['id']}", "no-message", headers=bearer(narrow))
    assert web.get(f"/receipts?id={told['id']}", headers=basic("root"))
