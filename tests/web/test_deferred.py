"""Answers that come later: to a server that offers to take them, and to one that does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from newswire.engine.seam import Receipt
from newswire.errors import FewerCopies, NewswireError, Refused, StorageFull
from newswire.threads import MustNotWait, never_waits
from newswire.web import SlimApp
from newswire.web.deferred import OFFER, DeferredResponse
from tests.kit.access import GuardedWeb, basic
from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web()


class Server:
    """A WSGI server that offers to take answers that come later; the engine tells when the test says so."""

    def __init__(self, web: Web, monkeypatch: pytest.MonkeyPatch, *, slim: bool) -> None:
        self.app: Any = SlimApp(web.app) if slim else web.app
        self.offered: list[DeferredResponse[Any]] = []
        self.thens: list[Callable[[Any], None]] = []
        self.started: list[tuple[str, list[tuple[str, str]]]] = []
        monkeypatch.setattr(web.engine, "submit_later", self._submit_later)

    def _submit_later(self, requests: object, then: Callable[[Any], None], **options: object) -> None:
        self.thens.append(then)

    def post(self, path: str, query: str, **headers: str) -> list[bytes]:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "here",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            OFFER: self.offered.append,
            **headers,
        }
        return list(self.app(environ, lambda status, headers: self.started.append((status, headers))))


@pytest.fixture(params=[True, False], ids=["slim", "flask"])
def server(request: pytest.FixtureRequest, web: Web, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(web, monkeypatch, slim=request.param)


def test_the_server_is_given_the_answer_and_starts_nothing_before_it_is_settled(server: Server) -> None:
    assert server.post("/publish", "topic=t&data=x") == []
    (later,) = server.offered
    rings: list[int] = []
    later.when_settled(lambda: rings.append(1))
    assert (server.started, rings, later.needs_thread) == ([], [], False)
    server.thens[0](Receipt("1001-a.2", "1001-a.2", 1, 2))
    assert rings == [1]
    status, headers, body = later.finish()
    assert status == "200 OK"
    assert msgspec.json.decode(body) == {"message": "Published topic t data x", "id": "1001-a.2", "copies": 2}
    assert dict(headers)["Content-Length"] == str(len(body))
    assert len(dict(headers)) == len(headers), "each once"


def test_hooks_run_once_on_the_headers_whatever_the_answer_becomes(server: Server) -> None:
    for outcome in (Receipt("1001-a.2", "1001-a.2", 1, 2), StorageFull("the disk is full: make room")):
        server.post("/publish", "topic=t&data=x", HTTP_ORIGIN="http://127.0.0.1:5053", HTTP_HOST="127.0.0.1:5053")
        server.thens[-1](outcome)
        status, headers, body = server.offered[-1].finish()
        names = [name for name, _ in headers]
        assert sorted(names) == sorted(set(names))
        assert dict(headers)["Vary"] == "Origin"
        assert dict(headers)["Access-Control-Allow-Origin"] == "http://127.0.0.1:5053"
        assert dict(headers)["X-Content-Type-Options"] == "nosniff"
        assert dict(headers)["Cache-Control"] == "no-store"
    assert status == "507 INSUFFICIENT STORAGE"
    assert dict(headers)["Content-Type"] == "application/problem+json"
    assert dict(headers)["Retry-After"] == "10"
    assert msgspec.json.decode(body)["code"] == "storage-full"


def test_errors_that_are_raised_and_told_are_answered_alike(
    server: Server, web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(requests: object, then: object, **options: object) -> None:
        raise StorageFull("no room: make some")

    server.post("/publish", "topic=t&data=x")
    server.thens[0](StorageFull("no room: make some"))
    told = server.offered[0].finish()
    monkeypatch.setattr(web.engine, "submit_later", refuse)
    (body,) = server.post("/publish", "topic=t&data=x")
    status, headers = server.started[0]
    assert (status, sorted(headers), body) == (told[0], sorted(told[1]), told[2])


def test_what_nobody_foresaw_is_logged_and_answered_as_internal(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.post("/publish", "topic=t&data=x")
    server.thens[0]("no receipt at all")  # type: ignore[arg-type]
    status, _, body = server.offered[0].finish()
    assert status.startswith("500")
    assert msgspec.json.decode(body)["code"] == "internal"
    assert "unforeseen error in POST '/publish'" in caplog.text


def test_one_message_s_error_names_no_batch(server: Server) -> None:
    server.post("/publish", "topic=t&data=x")
    server.thens[0](FewerCopies("stored on one", id="1001-a.2", copies=1, ids=("1001-a.2",)))
    assert "ids" not in msgspec.json.decode(server.offered[0].finish()[2])


def test_who_gives_up_gets_an_answer_and_what_is_told_then_is_dropped(server: Server) -> None:
    server.post("/publish", "topic=t&data=x")
    (later,) = server.offered
    later.give_up()
    server.thens[0](Receipt("1001-a.2", "1001-a.2", 1, 2))
    status, _, body = later.finish()
    assert status.startswith("503")
    assert msgspec.json.decode(body)["code"] == "unknown-outcome"


def test_what_is_settled_already_rings_at_once(server: Server) -> None:
    server.post("/publish", "topic=t&data=x")
    server.thens[0](Receipt("1001-a.2", "1001-a.2", 1, 2))
    rings: list[int] = []
    server.offered[0].when_settled(lambda: rings.append(1))
    assert rings == [1]


def test_without_an_offer_it_waits(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(requests: object, then: Callable[[Receipt | NewswireError], None], **options: object) -> None:
        threading.Thread(target=then, args=(Receipt("1001-a.2", "1001-a.2", 1, 2),)).start()

    monkeypatch.setattr(web.engine, "submit_later", later)
    assert web.post("/publish?topic=t&data=x") == {"message": "Published topic t data x", "id": "1001-a.2", "copies": 2}


def test_a_thread_that_never_waits_does_not_wait_for_it(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.engine, "submit_later", lambda requests, then, **options: None)
    raised: list[BaseException] = []

    def main() -> None:
        never_waits()
        try:
            web.client.post("/publish?topic=t&data=x")
        except MustNotWait as error:
            raised.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_a_refusal_that_comes_later_says_what_to_show() -> None:
    """What the engine finds out only where it stores: that a credential ended meanwhile."""
    web = GuardedWeb()
    web.engine.fails = Refused("what this was asked with is good no more", code="unauthenticated")
    response = web.client.post("/publish?topic=news.x&data=x", headers=basic("ann"))
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer, Basic realm="newswire"')
