"""Who may withdraw or replace a message: its publisher with the right to the topic, and admins (docs/rules.md, WITHDRAW)."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.core.access import Principal
from newswire.core.model.commands import AddGrant, AddUser, Publish, RemoveUser, RevokeGrant, Withdraw
from newswire.threads import NeedsThread, never_waits
from newswire.web.ownership import check_replaced
from tests.kit.access import GuardedWeb, basic, bearer, password_hash
from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> GuardedWeb:
    web = GuardedWeb()
    web.do(AddGrant("ben", "publish", "news.>"))
    return web


def publish(web: Web, who: str, code: str = "", **fields: object) -> Any:
    told: Any = web.post("/publish", code, headers=basic(who), json={"topic": "news.x", "data": "x", **fields})
    return told if code else told["id"]


def withdraw(web: Web, who: str, name: str) -> tuple[int, str]:
    response = web.client.delete(f"/messages/{name}", headers=basic(who))
    body = response.get_json()
    return response.status_code, str(body.get("code", body.get("message")))


def test_its_publisher_and_admins_may_and_nobody_else(web: GuardedWeb) -> None:
    first, second = publish(web, "ann"), publish(web, "ann")
    assert withdraw(web, "ben", first) == (404, "no-message")
    assert "another one's" in publish(web, "ben", "no-message", replaces=first)
    assert withdraw(web, "ann", first) == withdraw(web, "ann", first) == (200, f"Withdrew message {first}")
    assert withdraw(web, "root", second) == (200, f"Withdrew message {second}")
    assert web.engine.submitted.count(Withdraw(first, "news.x")) == 2
    assert publish(web, "root", replaces=publish(web, "ann"))


def test_the_right_to_the_topic_is_needed_still(web: GuardedWeb) -> None:
    name = publish(web, "ben")
    web.do(AddGrant("ben", "subscribe", "news.>"), RevokeGrant("ben", "publish", "news.>"))
    assert withdraw(web, "ben", name) == (403, "forbidden")
    publish(web, "ben", "forbidden", replaces=name)
    web.do(RevokeGrant("ben", "subscribe", "news.>"))
    assert withdraw(web, "ben", name) == (404, "no-message")


def test_a_token_that_may_not_know_of_a_topic_learns_nothing_of_its_messages(web: GuardedWeb) -> None:
    name = publish(web, "ann")
    narrow = bearer(web.token("ann", publish=["other"], subscribe=["other"]))
    for path in (f"/messages/{name}", f"/messages/{name[:-1]}99", f"/news.x/{name}"):
        assert web.client.delete(path, headers=narrow).status_code == 404
    reads = bearer(web.token("ann", publish=["other"], subscribe=["news.x"]))
    assert web.client.delete(f"/messages/{name}", headers=reads).status_code == 403
    assert withdraw(web, "ann", name)[0] == 200


def test_a_later_user_of_the_name_inherits_no_message(web: GuardedWeb) -> None:
    name = publish(web, "ann")
    web.engine.now += 60
    web.do(RemoveUser("ann"), AddUser("ann", password=password_hash()), AddGrant("ann", "publish", "news.>"))
    web.engine.now += 60
    assert withdraw(web, "ann", name) == (404, "no-message")


def test_a_line_of_a_batch_is_named(web: GuardedWeb) -> None:
    name = publish(web, "ann")
    lines = b'{"topic":"news.x","data":"a"}\n{"topic":"news.x","data":"b","replaces":"%b"}\n' % name.encode()
    kind = {"Content-Type": "application/x-ndjson"}
    detail: Any = web.post("/publish", "no-message", headers={**basic("ben"), **kind}, data=lines)
    assert detail.startswith("line 2: ")
    told: Any = web.post("/publish?ids=1", headers={**basic("ann"), **kind}, data=lines)
    assert told["count"] == 2
    detail = web.post("/publish", "replaced", headers={**basic("ann"), **kind}, data=lines)
    assert detail.startswith(f"line 2: the message {name} was replaced by {told['ids'][1]}")


def test_of_a_batch_each_is_looked_up_once(web: GuardedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    name, kind, asked = publish(web, "ann"), {"Content-Type": "application/x-ndjson"}, list[str]()
    own_message = web.engine.own_message
    monkeypatch.setattr(web.engine, "own_message", lambda name, by: asked.append(name) or own_message(name, by))
    lines = "\n".join([f'{{"topic": "news.x", "data": "x", "replaces": "{name}"}}'] * 500)
    told: Any = web.post("/publish", "bad-field", headers={**basic("ann"), **kind}, data=lines)
    assert "line 2: " in str(told)
    assert asked == [name]


def test_where_nobody_is_asked_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web()
    told: Any = web.post("/publish", json={"topic": "news", "data": "x"})
    monkeypatch.setattr(web.engine, "own_message", lambda name, by: pytest.fail("its record is read"))
    web.post("/publish", "no-message", json={"topic": "news", "data": "y", "replaces": "1001-a.7"})
    assert web.post("/publish", json={"topic": "news", "data": "y", "replaces": told["id"]})


def test_a_thread_that_never_waits_hands_it_on() -> None:
    import threading

    raised: list[BaseException] = []

    def run() -> None:
        never_waits()
        engine = Web().engine
        check_replaced(engine, Publish("news", "x"), None)
        try:
            check_replaced(engine, Publish("news", "x", replaces="1001-a.7"), Principal("root"))
        except NeedsThread as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(raised) == 1
