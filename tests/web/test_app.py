"""What holds for every route: methods, errors as problems, headers, who is served."""

from __future__ import annotations

import logging
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.web.route import PEER, PUBLIC, Route, routes_of
from tests.kit.access import GuardedWeb, bearer
from tests.kit.samples import ask
from tests.kit.web_fakes import Web

ROUTES: Final = routes_of(Web().app)


METHODS: Final = {
    path: {m for route in ROUTES if route.path == path for m in route.methods} for path in (r.path for r in ROUTES)
}
GETS: Final = [path for path, methods in METHODS.items() if methods == {"GET"}]
EACH_ROUTE: Final = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")


def web_for(route: Route) -> tuple[Web, dict[str, str]]:
    """A web that serves the route, and what to show there."""
    if "auth-is-off" in route.codes or (route.wire and route.rights != (PUBLIC,)):
        web: Web = GuardedWeb()
        assert isinstance(web, GuardedWeb)
        return web, bearer(web.token("root"))
    web = Web()
    web.post("/subscribe?username=ann&topic=news.x")
    return web, {}


@pytest.fixture
def web() -> Web:
    return Web()


@EACH_ROUTE
def test_an_address_takes_the_methods_that_it_declares(web: Web, route: Route) -> None:
    allow = ", ".join(sorted(METHODS[route.path]))
    for method in {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} - METHODS[route.path]:
        response = ask(web, route, method=method)
        if route.path == "/<topic>":  # which is looked at nowhere
            assert response.status_code == 404
            continue
        assert (response.status_code, response.headers["Allow"]) == (405, allow)
        assert method == "HEAD" or response.get_json(force=True)["code"] == "wrong-method"
    assert web.engine.submitted == []


@pytest.mark.parametrize("route", [route for route in ROUTES if route.takes_head], ids=lambda route: route.path)
def test_head_is_get_without_the_body(web: Web, route: Route) -> None:
    whole, head = ask(web, route), ask(web, route, method="HEAD")
    assert (head.status_code, head.data, head.headers["Content-Type"]) == (
        whole.status_code,
        b"",
        whole.headers["Content-Type"],
    )


@EACH_ROUTE
def test_what_nobody_knows_is_refused_unless_others_add_it(route: Route) -> None:
    web, headers = web_for(route)
    before = len(web.engine.submitted)
    response = ask(web, route, headers, more="utm_source")
    if route.rights == (PEER,) or route.is_lenient:
        assert response.status_code in (200, 303, 409)
        return
    assert (response.status_code, response.get_json(force=True)["code"]) == (400, 40000 if route.wire else "unknown-field")
    assert len(web.engine.submitted) == before


@EACH_ROUTE
def test_what_is_required_is_missed(route: Route) -> None:
    for field in route.fields:
        if field.is_required and field.place == "field":
            web, headers = web_for(route)
            problem = ask(web, route, headers, left_out=field.name).get_json(force=True)
            assert (problem["code"], f"`{field.name}` is missing" in problem["detail"]) == ("missing-field", True)


@EACH_ROUTE
def test_a_slash_at_the_end_changes_nothing(route: Route) -> None:
    answers = []
    for end in ("", "/"):
        web, headers = web_for(route)
        answers.append(ask(web, route, headers, end=end if route.path != "/" else "").status_code)
    assert answers[0] == answers[1] != 404 or "no-token" in {code for field in route.fields for code in field.codes}


@pytest.mark.parametrize("path", ["/nowhere", "/nowhere/", "/Publish", "/static/../app.py", "/static/", "/static/%00"])
def test_nothing_there(web: Web, path: str) -> None:
    web.get(path, "not-found")


@pytest.mark.parametrize("path", ["/publish//", "/./publish", "/publish/.."])
def test_a_path_is_taken_as_it_is(web: Web, path: str) -> None:
    web.post("/", "not-found", environ_overrides={"PATH_INFO": path, "QUERY_STRING": "topic=t&data=x"})


def test_an_error_that_nobody_foresaw_is_logged_and_not_shown(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    web.engine.fails = ZeroDivisionError("within")
    with caplog.at_level(logging.ERROR):
        detail = web.post("/publish?topic=t&data=secret", "internal")
    assert "within" not in str(detail)
    assert "ZeroDivisionError: within" in caplog.text
    assert "'/publish'" in caplog.text
    assert "secret" not in caplog.text


def test_answers_are_not_kept_and_are_taken_for_what_they_are(web: Web) -> None:
    for path in ("/topics", "/nowhere", "/livez", "/list_replicas"):
        response = web.client.get(path)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in response.headers
        assert "Server" not in response.headers
        assert "charset" not in response.headers["Content-Type"]


def test_a_cookie_is_not_looked_at(web: Web) -> None:
    assert web.client.get("/livez", headers={"Cookie": "session=x"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/publish?topic=t&data=x"),
        ("POST", "/publish"),
        ("POST", "/subscribe?username=Alice&topic=t"),
        ("POST", "/unsubscribe?username=Alice&topic=t"),
        ("POST", "/ack?username=Alice&id=x"),
        ("GET", "/subscriptions?username=Alice"),
        ("GET", "/messages?username=Alice"),
        ("GET", "/topics"),
    ],
)
def test_a_broker_that_does_not_serve_sends_clients_on(web: Web, method: str, path: str) -> None:
    web.engine.change_view(serves=False, why_not="this broker is catching up: use another one")
    assert "catching up" in str(web.ask(method, path, "not-ready"))
    assert web.client.open(path, method=method).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/livez"), ("GET", "/list_replicas"), ("POST", "/add_replica?broker_ip=127.0.0.1:5055")]
)
def test_and_answers_what_the_cluster_needs(web: Web, method: str, path: str) -> None:
    web.engine.change_view(serves=False)
    web.ask(method, path)


def test_a_body_without_a_length_is_none(web: Web) -> None:
    response = web.client.post("/publish?topic=t&data=x", environ_overrides={"CONTENT_LENGTH": ""}, data=b"a=b")
    assert response.status_code in (200, 400)
    for wrong in ("-1", "x", "1_0"):
        assert web.client.post("/topics", environ_overrides={"CONTENT_LENGTH": wrong}).status_code == 405


def test_problems_are_small_whatever_was_sent(web: Web) -> None:
    response = web.client.post(f"/publish?topic=t&data=x&{'u' * 5000}=x")
    assert response.status_code == 400
    assert len(response.data) < 500
    assert msgspec.json.decode(response.data)["code"] == "unknown-field"


_LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
_NAMED = st.sampled_from("username topic since limit format ack raw last_event_id lastEventId broker_ip".split())
_SAID = (
    st.sampled_from(["Alice", "Google", ">", "earliest", "1h", "1", "json", "client", "e~~~", "p~~~", "1001-a.7", ""]) | _LATIN
)


@pytest.fixture(scope="module")
def shared() -> Web:
    web = Web()
    web.post("/subscribe?username=Alice&topic=Google")
    return web


@given(
    path=st.sampled_from((*GETS, "/", "/livez", "/readyz", "/static/x", "/%00")),
    fields=st.dictionaries(_NAMED, _SAID, max_size=4),
    headers=st.dictionaries(st.sampled_from(["ACCEPT", "ORIGIN", "HOST", "LAST_EVENT_ID", "COOKIE", "IF_NONE_MATCH"]), _LATIN),
)
def test_no_request_makes_the_broker_fail(shared: Web, path: str, fields: dict[str, str], headers: dict[str, str]) -> None:
    environ = {"QUERY_STRING": "&".join(f"{name}={value}" for name, value in fields.items())}
    environ |= {f"HTTP_{name}": value for name, value in headers.items()}
    if "text/html" not in environ.get("HTTP_ACCEPT", "") and path != "/":
        assert shared.client.get(path, environ_overrides=environ).status_code < 500
