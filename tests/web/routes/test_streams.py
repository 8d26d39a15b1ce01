"""GET /stream: what is handed over, what is final and what is only not now."""

from __future__ import annotations

import pytest
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

from newswire.config import Settings
from newswire.core import limits
from newswire.core.model.coverage import Coverage, write
from newswire.stream_order import StreamOrder
from newswire.web import SlimApp
from newswire.web.routes.streams import ENVIRON_KEY
from tests.kit.web_fakes import Web

PLACE = write(Coverage("1001-a.7", {"1001-a": 7}))
OTHER_PLACE = write(Coverage("1001-a.9", {"1001-a": 9}))
ELSEWHERE = write(Coverage("1001-a.9", {"1001-a": 9})).for_page()


@pytest.fixture
def web() -> Web:
    web = Web()
    web.post("/subscribe?username=Alice&topic=Google")
    return web


def test_the_connection_is_handed_over_after_the_head(web: Web) -> None:
    with web.app.test_request_context("/stream?username=Alice") as context:
        response = web.app.full_dispatch_request()
        assert callable(context.request.environ[ENVIRON_KEY])
    assert web.orders == [StreamOrder("Alice")]
    assert response.status_code == 200
    assert "Content-Length" not in response.headers
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert "Accept" in response.headers["Vary"]
    assert response.get_data() == b""


def test_a_stream_is_opened_without_an_answer_of_werkzeugs(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("10,000 streams that come back wait for it")

    for name in ("__init__", "__call__", "get_wsgi_headers"):
        monkeypatch.setattr(Response, name, refuse)
    started: list[str] = []
    environ = create_environ("/stream?username=Alice")
    assert list(SlimApp(web.app)(environ, lambda status, headers: started.append(status))) == []
    assert started == ["200 OK"]
    assert callable(environ[ENVIRON_KEY])


def test_without_anybody_to_hand_over_to() -> None:
    web = Web(adopts=False)
    web.post("/subscribe?username=Alice&topic=Google")
    response = web.client.get("/stream?username=Alice")
    assert (response.status_code, response.content_type, response.data) == (200, "text/event-stream", b"")


@pytest.mark.parametrize(
    ("query", "headers", "order"),
    [
        ("format=json&ack=client", {}, StreamOrder("Alice", None, "json", "client")),
        ("follow=yes", {}, StreamOrder("Alice", follows=True)),
        ("follow=0", {}, StreamOrder("Alice")),
        ("raw=true", {"Accept": "text/html,*/*;q=0.8"}, StreamOrder("Alice")),
        ("format=text&ack=auto&raw=1&utm_source=x", {}, StreamOrder("Alice")),
        (f"last_event_id={PLACE}", {}, StreamOrder("Alice", PLACE)),
        (f"lastEventId={PLACE}", {}, StreamOrder("Alice", PLACE)),
        ("", {"Last-Event-ID": str(PLACE)}, StreamOrder("Alice", PLACE)),
        (f"last_event_id={OTHER_PLACE}", {"Last-Event-ID": str(PLACE)}, StreamOrder("Alice", PLACE)),
        (f"last_event_id={OTHER_PLACE}", {"Last-Event-ID": ""}, StreamOrder("Alice", OTHER_PLACE)),
        ("last_event_id=garbage", {}, StreamOrder("Alice")),
        ("", {"Last-Event-ID": "gärbage"}, StreamOrder("Alice")),
        (f"last_event_id={ELSEWHERE}", {}, StreamOrder("Alice")),
        ("last_event_id=1001-a.7", {}, StreamOrder("Alice")),
        ("", {"Accept": "text/event-stream"}, StreamOrder("Alice")),
        ("", {"Accept": "*/*"}, StreamOrder("Alice")),
        ("raw=1", {"Accept": "text/html,*/*;q=0.8"}, StreamOrder("Alice")),
        ("format=json", {"Accept": "text/html,*/*;q=0.8"}, StreamOrder("Alice", format="json")),
    ],
)
def test_what_is_asked_for(web: Web, query: str, headers: dict[str, str], order: StreamOrder) -> None:
    assert web.client.get(f"/stream?username=Alice&{query}", headers=headers).status_code == 200
    assert web.orders == [order]


@pytest.mark.parametrize(
    ("query", "accepts", "gzip"),
    [
        ("", "gzip, deflate, br", False),
        ("&gzip=1", "gzip, deflate, br", True),
        ("&gzip=1", "identity", False),
        ("&gzip=1", None, False),
        ("&gzip=0", "gzip", False),
    ],
)
def test_a_stream_is_compressed_for_who_asks_for_it_and_takes_it(web: Web, query: str, accepts: str | None, gzip: bool) -> None:
    """Browsers take gzip always: that alone asks for nothing."""
    headers = {} if accepts is None else {"Accept-Encoding": accepts}
    response = web.client.get(f"/stream?username=Alice{query}", headers=headers)
    assert [order.gzip for order in web.orders] == [gzip]
    assert response.headers.get("Content-Encoding") == ("gzip" if gzip else None)
    assert ("Accept-Encoding" in response.headers["Vary"]) == gzip
    assert "Content-Length" not in response.headers


def test_a_stream_that_is_later_is_not_compressed(web: Web) -> None:
    web.no_room = "this broker serves as many streams as it may"
    response = web.client.get("/stream?username=Alice&gzip=1", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in response.headers
    assert b"as many streams" in response.data


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing-field"),
        ("username=", "bad-username"),
        ("username=A B", "bad-username"),
        ("username=Alice&username=Bob", "double-field"),
        ("username=Alice&format=xml", "bad-field"),
        ("username=Alice&ack=never", "bad-field"),
        ("username=Alice&follow=perhaps", "bad-field"),
        ("username=Alice&gzip=2", "bad-field"),
        ("username=Alice&raw=", "bad-field"),
        ("username=Alice&x=%FF", "bad-body"),
        ("username=Gita", "not-registered"),
    ],
)
def test_what_is_final_is_refused(web: Web, query: str, code: str) -> None:
    web.get(f"/stream?{query}", code)
    assert web.orders == []


def test_somebody_unknown_waits_while_a_broker_is_away(web: Web) -> None:
    web.engine.change_view(all_in_sync=False)
    _is_later(web, "Gita", "may know better")
    assert web.client.get("/stream?username=Alice").data == b""
    assert web.orders == [StreamOrder("Alice")]


def test_without_room_a_stream_is_later(web: Web) -> None:
    web.no_room = "this broker serves as many streams as it may"
    _is_later(web, "Alice", "as many streams as it may")
    web.get("/stream?username=Gita", "not-registered")  # final all the same


def test_a_stream_is_known_by_its_callers_network(web: Web) -> None:
    for address in ("192.0.2.7", "2001:db8:1:2:3:4:5:6", ""):
        web.client.get("/stream?username=Alice", environ_overrides={"REMOTE_ADDR": address})
    assert web.callers == ["192.0.2.7", "2001:db8:1:2::/64", ""]


def test_one_user_reads_so_often(web: Web) -> None:
    """What is not a stream is refused, a stream is later; both again when time has passed."""
    slow = Web(Settings(requests_per_user=0.2))
    slow.post("/subscribe", data={"username": "Alice", "topic": "news"})
    slow.post("/subscribe", data={"username": "Bob", "topic": "news"})
    slow.get("/messages?username=Alice")
    slow.get("/subscriptions?username=Alice")
    for path in ("/messages", "/subscriptions"):
        assert "ask less often" in str(slow.get(f"{path}?username=Alice", "too-many"))
    assert slow.client.get("/messages?username=Alice").headers["Retry-After"] == "5"
    _is_later(slow, "Alice", "ask less often")
    slow.post("/ack", "bad-event-id", data={"username": "Alice", "id": "x"})  # what changes something is not meant
    slow.get("/messages?username=Bob")
    slow.engine.now += 5
    slow.get("/messages?username=Alice")


def test_a_broker_that_does_not_serve_says_so_in_the_stream(web: Web) -> None:
    web.engine.change_view(serves=False, why_not="this broker is catching up: use another one")
    _is_later(web, "Alice", "catching up")
    web.get("/stream?username=A/B", "bad-username")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_get_only(web: Web, method: str) -> None:
    response = web.client.open("/stream?username=Alice", method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")
    assert web.orders == []


def _is_later(web: Web, user: str, why: str) -> None:
    before = len(web.orders)
    response = web.client.get(f"/stream?username={user}")
    assert (response.status_code, response.content_type) == (200, "text/event-stream")
    text = response.get_data(as_text=True)
    assert text.startswith(f"retry: {limits.RETRY_LATER_MILLISECONDS}\n: ")
    assert text.endswith("\n\n")
    assert why in text
    assert len(web.orders) == before
