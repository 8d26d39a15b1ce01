"""Brokers answer as `/openapi.json` says, whatever they are asked (`scripts/fuzz` asks for longer)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from schemathesis import Response
from werkzeug.test import Client

import fuzz
from brokers import get, until
from newswire.config import Settings
from newswire.core import limits
from newswire.web import SlimApp
from newswire.web.route import Route, routes_of
from tests.kit.access import GuardedWeb, bearer
from tests.kit.processes import Pair
from tests.kit.web_fakes import Web

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]
CASES = 40  # of a route, where it takes so many that differ
CASES_OF_BROKERS = 6


def part(web: Web, is_of: Callable[[Route], bool], **options: Any) -> Any:
    """The description of the routes that `is_of` takes."""
    document: Any = web.get("/openapi.json", **options)
    names = {(re.sub(r"<(\w+)>", r"{\1}", route.path), route.method.lower()) for route in routes_of(web.app) if is_of(route)}
    for path, operations in document["paths"].items():
        document["paths"][path] = {method: one for method, one in operations.items() if (path, method) in names}
    return document


def ask_all(document: Any, send: fuzz.Send, cases: int = CASES) -> Counter[int]:
    """Ask every route of `document`; how often each status came."""
    statuses, of_route, with_fields = Counter[int](), Counter[str](), set[str]()
    for name, counts in fuzz.fuzz(document, send, cases=cases, start=1):
        route, _, mode = name.partition(" (")
        statuses += counts
        of_route[route] += counts.total()
        with_fields |= {route} if mode.startswith("negative") else set()
    assert of_route.keys() == {f"{method.upper()} {path}" for path, one in document["paths"].items() for method in one}
    assert sum(of_route[route] for route in with_fields) > 0.9 * cases * len(with_fields), of_route
    return statuses


def sender(app: Any, headers: Mapping[str, str] | None = None) -> fuzz.Send:
    """Asks an application in this process, with the bytes that go to a broker."""
    client = Client(app)

    def send(case: fuzz.AnyCase) -> Response:
        options = case.as_transport_kwargs(base_url="http://localhost", headers=dict(headers or {}))
        names = ("method", "url", "headers", "params", "data", "json", "files", "cookies")
        sent = requests.Request(**{name: options[name] for name in names if name in options}).prepare()
        sent.headers["Accept-Encoding"] = "identity"  # what answers in this process is not decompressed by anybody
        body = sent.body.encode() if isinstance(sent.body, str) else sent.body
        return Response.from_any(client.open(sent.path_url, method=sent.method, headers=list(sent.headers.items()), data=body))

    return send


def is_of_access(route: Route) -> bool:
    return "auth-is-off" in route.codes


def test_the_application_answers_as_it_describes() -> None:
    web = Web()
    app = SlimApp(web.app)
    document = part(web, lambda route: not is_of_access(route) and not route.wire)
    statuses = ask_all(document, sender(app))
    # chance hardly ever makes one that is too long, or that is right in all but its copies
    for message in ({"data": "x" * (limits.MESSAGE_BYTES + 1)}, {"data": "x", "copies": 9}):
        refusal = Client(app).post("/publish", json={"topic": "t", **message})
        assert str(refusal.status_code) in document["paths"]["/publish"]["post"]["responses"]
        assert refusal.content_type == "application/problem+json"
        statuses[refusal.status_code] += 1
    assert {200, 400, 403, 404, 409, 413, 503} <= statuses.keys(), "some answers were not asked for"
    assert web.engine.published()


def test_what_is_in_the_shapes_of_ntfy_is_answered_as_it_describes() -> None:
    """It has few fields, and the same at many addresses."""
    web = Web(Settings(open_reading=True))
    statuses = ask_all(part(web, lambda route: bool(route.wire)), sender(SlimApp(web.app)), CASES_OF_BROKERS * 3)
    assert {200, 400, 403, 404} <= statuses.keys(), "some answers were not asked for"
    assert web.engine.published()


def test_an_admin_is_answered_as_it_describes() -> None:
    web = GuardedWeb()
    headers = bearer(web.token("root"))
    app = SlimApp(web.app)
    statuses = ask_all(part(web, is_of_access, headers=headers), sender(app, headers))
    assert {200, 400, 401, 404, 409} <= statuses.keys(), "some answers were not asked for"


def test_brokers_answer_as_they_describe(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    try:
        pair.start()
        document = get(pair.first.address, "/openapi.json")
        for _ in fuzz.fuzz(document, fuzz.sender(pair.first.address), cases=CASES_OF_BROKERS, start=1):
            pass
        for broker in pair.brokers:  # all that lasts; a peer may have been slow for a moment
            until("nothing is wrong", lambda at=broker.address: get(at, "/readyz")["degraded"] == [])  # type: ignore[misc]
    finally:
        pair.end()


def test_a_fault_is_found() -> None:
    """An answer that is not as described, of each kind that there is."""
    web = Web()
    app = SlimApp(web.app)
    document: Any = web.get("/openapi.json")

    def ask(change: dict[str, Any], only: str) -> None:
        def send(case: fuzz.AnyCase) -> Response:
            response = case.call(app=app)
            for name, value in change.items():
                setattr(response, name, value)
            return response

        with pytest.raises(fuzz.Finding, match="curl"):
            for _ in fuzz.fuzz(document, send, cases=20, start=1, only=only):
                pass

    ask({"status_code": 500}, "GET /topics")
    ask({"status_code": 418}, "GET /topics")
    ask({"content": b'[{"topic": 1}]'}, "GET /topics")
    ask({"headers": {"content-type": ["text/plain"]}}, "GET /topics")
    ask({"status_code": 200, "content": b'{"message": ""}'}, "POST /subscribe (negative, body)")
