"""What routes declare is what they do; which views the listener runs in its loop."""

from __future__ import annotations

import threading
from typing import Any, Final

import pytest
from flask import Blueprint
from werkzeug.exceptions import MethodNotAllowed, NotFound

from newswire.core import limits
from newswire.core.model import names
from newswire.errors import NewswireError
from newswire.listener import http_head
from newswire.threads import NeedsThread, never_waits
from newswire.web import SlimApp, light_routes
from newswire.web.responses import Confirmation
from newswire.web.route import PEER, PUBLIC, SELF_OR_ADMIN, Route, Success, routes_of
from newswire.web.routes.messages import LIMIT
from newswire.web.routes.pages import NAME
from newswire.web.routes.streams import LAST_EVENT_ID
from newswire.web.usual_fields import USERNAME, required
from tests.kit.web_fakes import Web

ROUTES: Final = routes_of(Web().app)
LIGHT_REQUESTS: Final = [
    ("/publish", "topic=t&data=x", "", True),
    ("/subscribe", "username=Bob&topic=t", "", True),
    ("/unsubscribe", "username=Ann&topic=t", "", True),
    ("/ack", "username=Ann&id=e~~~", "", True),
    ("/confirm", "username=Ann&id=1001-a.2", "", True),
    ("/replicate", "", "", True),
    ("/heartbeat/receive", "", "", True),
    ("/livez", "", "", True),
    ("/readyz", "", "", True),
    ("/openapi.json", "", "", False),  # once, to make it
    ("/stream", "username=Ann", "text/event-stream", True),
    ("/stream", "username=Ann", "text/html", False),
]


def declare(**changes: Any) -> Route:
    declaration: dict[str, Any] = {
        "method": "GET",
        "path": "/x",
        "words": "Something.",
        "rights": (PUBLIC,),
        "answers": (Success(Confirmation),),
    }
    return Route(**declaration | changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"path": "/x/<name>"}, "fields of the path"),
        ({"fields": (NAME,)}, "fields of the path"),
        ({"rights": (SELF_OR_ADMIN,)}, "username"),
        ({"rights": ()}, "right"),
        ({"codes": ("nonsense",)}, "nonsense"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        declare(**changes)


def test_a_route_without_a_declaration_is_refused() -> None:
    blueprint = Blueprint("more", __name__)
    blueprint.get("/more")(lambda: "")
    with pytest.raises(ValueError, match="/more is not declared"):
        Web().app.register_blueprint(blueprint)


def test_a_rule_takes_the_methods_that_are_declared() -> None:
    web = Web()
    assert {(rule.rule, *sorted(rule.methods or ())) for rule in web.app.url_map.iter_rules()} == {
        (route.path, *sorted(route.methods)) for route in ROUTES
    }
    assert len(ROUTES) == len(list(web.app.url_map.iter_rules()))


def test_no_address_is_made_from_a_rule() -> None:
    adapter = Web().app.url_map.bind("here")
    assert adapter.match("/livez", method="GET")
    with pytest.raises(NotImplementedError):
        adapter.build(adapter.match("/livez", method="GET")[0])


def test_what_is_read_is_what_is_declared() -> None:
    environ = {"QUERY_STRING": "username=Ann&limit=7"}
    route = declare(fields=(required(USERNAME), LIMIT))
    fields = route.read(environ)
    assert (fields[USERNAME], fields[LIMIT], fields.get(LAST_EVENT_ID, None)) == ("Ann", 7, None)
    assert LIMIT in fields
    assert LAST_EVENT_ID not in fields
    for query, code in (
        ("limit=7", "missing-field"),
        ("username=Ann&topic=t", "unknown-field"),
        ("username=%20", "bad-username"),
    ):
        with pytest.raises(NewswireError) as refused:
            route.read({"QUERY_STRING": query})
        assert refused.value.code == code
    lenient = declare(fields=(USERNAME,), is_lenient=True)
    assert lenient.read({"QUERY_STRING": "username=Ann&utm_source=x"})[USERNAME] == "Ann"


def test_the_first_word_of_each_path_is_no_topic() -> None:
    assert {route.path.split("/")[1] for route in ROUTES} - {"", "<topic>", "<topics>"} <= names.ROUTES


def test_the_listener_knows_peers_and_what_is_short_by_their_paths() -> None:
    """It sees the path before there is a route."""
    assert {route.path for route in ROUTES if route.rights == (PEER,)} == http_head.PEER_PATHS
    mine = [route for route in ROUTES if not route.wire]
    short = [route.path for route in mine if route.method != "GET" and not route.takes_lines and route.rights != (PEER,)]
    for path in short:
        assert "<id>" in path or http_head.body_limit_bytes(path.replace("<name>", "ann")) == limits.CHANGE_BYTES, path


def test_each_light_route_is_tried() -> None:
    assert {path for path, *_ in LIGHT_REQUESTS} == {path for _, path in light_routes(Web().app)}


@pytest.mark.parametrize(
    ("path", "query", "accept", "is_light"),
    LIGHT_REQUESTS,
)
def test_they_never_wait(path: str, query: str, accept: str, *, is_light: bool) -> None:
    """Each is run as the loop does. What needs a thread for a certain request says so, through Flask and all."""
    web = Web()
    web.post("/subscribe?username=Ann&topic=t")
    app = SlimApp(web.app)
    outcome: list[object] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": next(method for method, light in light_routes(web.app) if light == path and method != "HEAD"),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_ACCEPT": accept,
        "SERVER_NAME": "here",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "newswire.defer": outcome.append,
    }

    def main() -> None:
        never_waits()
        try:
            app(environ, lambda status, headers: outcome.append(status))
        except NeedsThread:
            outcome.append("needs a thread")

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert len(outcome) == 1
    assert (outcome != ["needs a thread"]) == is_light
    assert not str(outcome[0]).startswith("5")


@pytest.mark.parametrize("path", ["/publish/json", "/stream/publish", "/v1/ws", "/users/auth", "/./json", "/../publish", "/v1"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_topic_shadows_no_other_address(method: str, path: str) -> None:
    """What begins like a route is none of ntfy's wire, and so are dots."""
    adapter = Web().app.url_map.bind("")
    with pytest.raises((NotFound, MethodNotAllowed)):
        adapter.match(path, method)
