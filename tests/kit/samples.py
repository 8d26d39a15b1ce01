"""A request of every route that goes well: with a sample of each field that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from werkzeug.test import TestResponse

from newswire.web.route import Route
from tests.kit.access import PASSWORD
from tests.kit.web_fakes import Web

SAMPLES: Final[Mapping[str, str]] = {
    "username": "ann",
    "name": "ann",
    "who": "ann",
    "topic": "news.x",
    "topics": "news.x",
    "verb": "publish",
    "data": "x",
    "password": PASSWORD,
}
OF_ROUTE: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {  # where a sample of its own is needed
    ("POST", "/add_replica"): {"broker_ip": "127.0.0.1:5055"},
    ("POST", "/remove_replica"): {"broker_ip": "1002"},
    ("POST", "/compact"): {"even_if_away": "1"},
    ("POST", "/users"): {"username": "carl"},
    ("POST", "/grants"): {"who": "ben"},
    ("DELETE", "/grants"): {"topic": "news.>"},
    **{("GET", f"/<topics>/{shape}"): {"id": ""} for shape in ("json", "sse", "raw")},
    ("GET", "/static/<name>"): {"name": "feed.js"},
    ("GET", "/static/<version>/<name>"): {"name": "feed.js", "version": "v"},
}
NAME_MESSAGES: Final = frozenset({"/receipts", "/confirm", "/messages/<id>", "/<topic>/<id>"})
LEFT_OUT: Final = frozenset(  # a request goes well without them
    """from since limit key title priority tags click expires copies ids format ack last_event_id lastEventId raw ticket next
    origin first last even_if_away label publish subscribe admin escalate replaces confirm message poll auth follow
    after gzip before q markdown at delay scheduled""".split()
)


def ask(
    web: Web,
    route: Route,
    headers: Mapping[str, str] | None = None,
    *,
    token: str = "1001-a.7",
    method: str = "",
    more: str = "",
    left_out: str = "",
    end: str = "",
) -> TestResponse:
    """What is answered to a request with a sample of each field. `token`: an id of one.

    `method`: another one; `more`: a field that nobody knows; `left_out`: one that is not given; `end`: of the path.
    """
    own = OF_ROUTE.get((route.method, route.path), {})
    samples = {**SAMPLES, "id": web.engine.notice() if route.path in NAME_MESSAGES else web.engine.place(), **own}
    path = route.path.replace("<id>", samples["id"] if route.path in NAME_MESSAGES else token)
    for field in route.fields:
        path = path.replace(f"<{field.name}>", samples.get(field.name, ""))
    body = {"json": {"topic": samples["topic"], "message": "x"}} if route.path == "/" and not route.is_safe else {}
    names = [field.name for field in route.fields if field.place == "field" and field.name not in LEFT_OUT - own.keys()]
    query = {name: samples[name] for name in names if name != left_out} | ({more: "x"} if more else {})
    return web.client.open(path + end, method=method or route.method, query_string=query, headers=headers or {}, **body)
