"""A page of another site acts for nobody: whatever it opens in a real browser, no cursor moves (docs/rules.md, WHO MAY ACT)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from brokers import Stream, get, until
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.kit.asking import delivered
from tests.kit.processes import Pair
from tests.kit.windows import SECONDS, Hand, patient

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = "MAP evil.example 127.0.0.1, MAP broker.example 127.0.0.1"  # plain HTTP to a name: the browser says nothing of itself
MARK = "by"  # in the address: the way; brokers look past fields that they do not know
WAYS = {
    "img": "const i = new Image(); i.onload = i.onerror = done; i.src = url",
    "script": "const s = document.createElement('script'); s.onload = s.onerror = done; s.src = url; document.head.append(s)",
    "style": "const l = document.createElement('link'); l.rel = 'stylesheet'; l.onload = l.onerror = done; l.href = url;"
    " document.head.append(l)",
    "iframe": "const f = document.createElement('iframe'); f.onload = done; f.src = url; document.body.append(f)",
    "EventSource": "new EventSource(url).onerror = done",
    "fetch": "fetch(url, {mode: 'no-cors', headers: {Accept: 'text/event-stream'}}).then(done, done)",
    "fetch with CORS": "fetch(url).then(done, done)",
    "link": "location.assign(url)",
    "window": "open(url)",
}


class Site(ThreadingHTTPServer):
    """Another site: one page, that does what its address says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><meta charset=utf-8><title>another site</title><body>Win a prize"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if "no-referrer" in self.path:
            self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """Another site, on this machine."""
    made = Site()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def renamed(driver: "Playwright") -> Iterator["Browser"]:  # noqa: F821, UP037
    """A browser that takes two names for this machine."""
    rules = f"--host-resolver-rules={NAMES}"
    chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, rules], timeout=SECONDS * 1000)
    yield chromium
    chromium.close()


def end_of(url: str, ends: dict[str, list[str]]) -> list[str]:
    """The list of ends of the way by which an address was asked; one of no matter for any other address."""
    return ends.get(parse_qs(urlsplit(url).query).get(MARK, [""])[0], [])


def unread(pair: Pair, user: str) -> int:
    """What the first broker counts as undelivered."""
    return sum(row["unread"] for row in get(pair.first.address, "/subscriptions", username=user))


def cursors_are_written(pair: Pair, hand: Hand) -> None:
    """Wait until the broker has written whatever cursors there were to write: that of a reader who came later, too."""
    hand.publish("later", "for one who came later")
    with Stream("Later", [pair.first.address]):
        delivered("Later", pair.first)


@pytest.mark.parametrize("pair", [["--allow-host", "broker.example"]], indirect=True)
@pytest.mark.parametrize(
    ("own", "other", "referrer"),
    [
        ("127.0.0.1", "evil.localhost", ""),  # the browser says: cross-site
        ("127.0.0.1", "127.0.0.1", ""),  # same-site: another port of the machine
        ("broker.example", "evil.example", ""),  # nothing but Origin and Referer
        ("broker.example", "evil.example", "no-referrer"),  # not even that
    ],
)
def test_another_site_moves_no_cursor(
    renamed: "Browser",  # noqa: F821, UP037
    pair: Pair,
    hand: Hand,
    site: Site,
    own: str,
    other: str,
    referrer: str,
) -> None:
    hand.subscribe("Ann", "news")
    hand.subscribe("Later", "later")
    hand.publish("news", "for Ann")
    context = renamed.new_context()
    context.set_default_timeout(SECONDS * 1000)
    ends: dict[str, list[str]] = {name: [] for name in WAYS}  # how each request ended; what a page may not see fails
    context.on("response", lambda response: end_of(response.url, ends).append(str(response.status)))
    context.on("requestfailed", lambda request: end_of(request.url, ends).append(str(request.failure)))
    together = context.new_page()  # it stays open: whoever were answered with a stream would go on reading it
    for page, names in ((together, [name for name in WAYS if name != "link"]), (context.new_page(), ["link"])):
        page.goto(f"http://{other}:{site.server_port}/{referrer}")
        for name in names:
            url = f"http://{own}:{pair.first.port}/stream?{urlencode({'username': 'Ann', 'raw': '1', MARK: name})}"
            page.evaluate("([act, url]) => { new Function('url', 'done', act)(url, () => {}) }", [WAYS[name], url])

    def ended() -> bool:
        together.wait_for_timeout(20)  # lets playwright hand over what it heard
        return all(ends.values())

    until("the broker answers each", ended, SECONDS)
    missed = [(name, end) for name, all_of in ends.items() for end in all_of if "CONNECTION" in end or "NAME" in end]
    assert missed == [], "did not reach the broker"
    cursors_are_written(pair, hand)
    assert unread(pair, "Ann") == 1
    context.close()


@pytest.mark.parametrize("pair", [["--allow-host", "broker.example"]], indirect=True)
@pytest.mark.parametrize("own", ["127.0.0.1", "broker.example"])
def test_the_reader_s_own_page_does(renamed: "Browser", pair: Pair, hand: Hand, own: str) -> None:  # noqa: F821, UP037
    """What is refused above is not refused for nothing: the same request of a page of the broker moves the cursor."""
    hand.subscribe("Ann", "news")
    hand.publish("news", "for Ann")
    page = patient(renamed.new_page())
    page.goto(f"http://{own}:{pair.first.port}/")
    page.evaluate("url => { window.source = new EventSource(url) }", "/stream?username=Ann")
    delivered("Ann", pair.first)
    page.close()


def test_a_name_that_comes_to_mean_this_machine_gets_nothing(renamed: "Browser", pair: Pair, hand: Hand) -> None:  # noqa: F821, UP037
    """DNS rebinding: the page's own name now leads to the broker, and its requests are of the same origin."""
    page = patient(renamed.new_page())
    answer = page.goto(f"http://evil.example:{pair.first.port}/")
    assert answer is not None
    assert (answer.status, answer.json()["code"]) == (421, "misdirected")
    told = page.evaluate(
        "fetch('/publish', {method: 'POST', body: new URLSearchParams({topic: 't', data: 'x'})}).then(a => a.status)"
    )
    assert told == 421
    assert get(pair.first.address, "/topics") == []
    page.close()
