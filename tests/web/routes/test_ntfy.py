"""The routes of ntfy's wire: what a reader orders, who may read, errors in its shape. With real clients: tests/e2e."""

from __future__ import annotations

import base64

import pytest

from newswire.config import Settings
from newswire.core.model.commands import Publish, Withdraw
from newswire.errors import NotEnoughCopies
from newswire.ntfy import Filters, NtfyWire
from newswire.stream_order import StreamOrder
from tests.kit.access import GuardedWeb, basic
from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web(Settings(open_reading=True))


def test_a_message_is_published_and_answered_as_there(web: Web) -> None:
    answer = web.client.post("/news", data="Soup", headers={"Title": "Lunch", "Idempotency-Key": "k"})
    assert answer.json == {**answer.json, "event": "message", "topic": "news", "message": "Soup", "title": "Lunch"}
    assert web.engine.published() == [Publish(topic="news", data="Soup", title="Lunch", key="k")]
    again = web.client.put("/news", data="Soup", headers={"Title": "Lunch", "Idempotency-Key": "k"})
    assert again.json["id"] == answer.json["id"]


def test_a_message_is_withdrawn_by_its_topic_and_id(web: Web) -> None:
    name = web.client.post("/news", data="Soup").json["id"]
    other = web.client.delete(f"/kitchen/{name}")
    assert (other.status_code, other.json["http"]) == (404, 404)
    assert "it is in another topic" in other.json["error"]
    answer = web.client.delete(f"/news/{name}")
    assert answer.json == {**answer.json, "event": "message_delete", "topic": "news", "id": name, "sequence_id": name}
    assert web.engine.submitted[-1] == Withdraw(name, "news")
    assert web.client.delete("/news/x").status_code == 404  # no id, and no address


def test_a_retry_of_what_was_withdrawn_says_so(web: Web) -> None:
    key = {"Idempotency-Key": "k", "Delay": "1h"}
    first = web.client.post("/news", data="Soup", headers=key).json
    assert "withdrawn" not in web.client.post("/news", data="Soup", headers=key).json
    web.client.delete(f"/news/{first['id']}")
    again = web.client.post("/news", data="Soup", headers=key).json
    assert (again["id"], again["withdrawn"]) == (first["id"], True)


def test_a_retry_has_the_time_of_the_first(web: Web) -> None:
    key = {"Idempotency-Key": "k"}
    first = web.client.post("/news", data="Soup", headers=key).json
    late = {**key, "Delay": "1h"}
    waits = web.client.post("/late", data="Soup", headers=late).json
    web.engine.now += 60
    again = web.client.post("/news", data="Soup", headers=key).json
    assert (again["id"], again["time"]) == (first["id"], first["time"])
    assert web.client.post("/late", data="Soup", headers=late).json["time"] == waits["time"]
    web.client.delete(f"/news/{first['id']}")
    web.client.delete(f"/late/{waits['id']}")
    assert web.client.post("/news", data="Soup", headers=key).json["time"] == first["time"]
    assert web.client.post("/late", data="Soup", headers=late).json["time"] == waits["time"]
    other = web.client.post("/news", data="Soup").json
    assert other["time"] > first["time"]


def test_errors_have_the_shape_of_there(web: Web) -> None:
    answer = web.client.post("/news", data=b"\xff")
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json == {"code": 40011, "http": 400, "error": answer.json["error"]}
    web.engine.fails = NotEnoughCopies("too few")
    answer = web.client.post("/", json={"topic": "t", "message": "x"})
    assert answer.json == {"code": 50300, "http": 503, "error": "too few"}
    assert answer.headers["Retry-After"]
    web.engine.fails = ZeroDivisionError()
    assert web.client.post("/news", data="x").json["code"] == 50001
    web.engine.change_view(serves=False)
    assert web.client.get("/news/json").json["http"] == 503
    assert (web.client.get("/v1/health").status_code, web.client.get("/v1/health").json) == (503, {"healthy": False})


def test_a_reader_orders_a_stream(web: Web) -> None:
    answer = web.client.get("/a,b/sse?since=latest&priority=high", headers={"Last-Event-ID": "e~1001-a.2~1001-a.2~"})
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    (order,) = web.orders
    wire = NtfyWire("sse", Filters(priorities=(4,)))
    assert str(order.event_id) == "e~1001-a.2~1001-a.2~"
    assert order == StreamOrder("", order.event_id, ack="none", wire=wire, topics=("a", "b"), since="latest")
    web.client.get("/a/raw?poll=1")
    assert web.orders[1] == StreamOrder("", ack="none", wire=NtfyWire("raw"), topics=("a",), since=0, polls=True)


def test_without_room_it_is_refused_with_a_number(web: Web) -> None:
    web.no_room = "there is none"
    answer = web.client.get("/a/json")
    assert (answer.status_code, answer.json["code"]) == (429, 42903)


def test_nobody_reads_unless_that_is_open() -> None:
    web = Web()
    assert web.client.post("/news", data="x").status_code == 200
    for path in ("/news/json", "/news/sse", "/news/raw", "/news/auth", "/news/ws"):
        answer = web.client.get(path)
        assert answer.status_code == 403
        assert "--open-reading" in answer.json["error"]
    assert web.orders == []


def test_each_topic_needs_a_grant() -> None:
    web = GuardedWeb()
    assert web.client.get("/news.a,news.b/json", headers=basic("ann")).status_code == 200
    assert web.orders[0].user == web.orders[0].asker == "ann"
    for path in ("/news.a,other/json", "/other/auth"):
        answer = web.client.get(path, headers=basic("ann"))
        assert (answer.status_code, answer.json["code"]) == (403, 40301)
    assert web.client.get("/news.a/json").json["code"] == 40101
    assert web.client.post("/other", data="x", headers=basic("ann")).json["code"] == 40301


def test_a_credential_in_the_address_is_for_readers_alone() -> None:
    web = GuardedWeb()
    shown = base64.b64encode(basic("ann")["Authorization"].encode()).decode().rstrip("=")
    assert web.client.get(f"/news.a/json?auth={shown}").status_code == 200
    assert web.client.get("/news.a/json?auth=nonsense").status_code == 401
    assert web.client.post(f"/news.a?auth={shown}", data="x").status_code == 401
    assert web.client.get(f"/topics?auth={shown}").status_code == 401


def test_publishing_by_get_needs_a_credential_in_a_header_and_no_page() -> None:
    web = GuardedWeb()
    path = "/news.a/publish?message=x"
    assert web.client.get(path, headers=basic("ann")).json["message"] == "x"
    for headers in (
        {"Cookie": web.sign_in("ann")},
        {**basic("ann"), "Origin": "http://evil.example"},
        {**basic("ann"), "Sec-Fetch-Site": "cross-site"},
        {**basic("ann"), "User-Agent": "Mozilla/5.0"},
    ):
        assert web.client.get(path, headers=headers).status_code == 403
    assert len(web.engine.published()) == 1
    assert Web().client.get(path).status_code == 403


def test_a_page_of_another_site_reads_and_publishes_nothing(web: Web) -> None:
    for method, path in (("POST", "/news"), ("GET", "/news/json")):
        answer = web.client.open(path, method=method, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403
    assert (web.orders, web.engine.published()) == ([], [])


def test_web_sockets_are_refused_with_a_sentence(web: Web) -> None:
    answer = web.client.get("/news/ws", headers={"Upgrade": "websocket"})
    assert answer.json == {"code": 40016, "http": 400, "error": answer.json["error"]}
    assert "/json" in answer.json["error"]
