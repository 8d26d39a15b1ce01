"""Which views the listener runs in its loop."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from newswire.threads import NeedsThread, never_waits
from newswire.web import SlimApp, light_routes
from tests.kit.web_fakes import Web


def test_these_views_are_light_and_no_others() -> None:
    assert light_routes(Web().app) == {
        ("POST", "/publish"),
        ("POST", "/subscribe"),
        ("POST", "/unsubscribe"),
        ("POST", "/ack"),
        ("POST", "/replicate"),
        ("POST", "/heartbeat/receive"),
        ("GET", "/livez"),
        ("HEAD", "/livez"),
        ("GET", "/readyz"),
        ("HEAD", "/readyz"),
        ("GET", "/stream"),
    }


@pytest.mark.parametrize(
    ("path", "query", "accept", "is_light"),
    [
        ("/publish", "topic=t&data=x", "", True),
        ("/subscribe", "username=Bob&topic=t", "", True),
        ("/unsubscribe", "username=Ann&topic=t", "", True),
        ("/replicate", "", "", True),
        ("/livez", "", "", True),
        ("/readyz", "", "", True),
        ("/stream", "username=Ann", "text/event-stream", True),
        ("/stream", "username=Ann", "text/html", False),
    ],
)
def test_they_never_wait(path: str, query: str, accept: str, *, is_light: bool) -> None:
    """Each is run as the loop does. What needs a thread for a certain request says so, through Flask and all."""
    web = Web()
    web.post("/subscribe?username=Ann&topic=t")
    app = SlimApp(web.app)
    outcome: list[object] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET" if path in ("/stream", "/livez", "/readyz") else "POST",
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
