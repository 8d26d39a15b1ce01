"""On whose word a GET of a stream moves cursors (docs/rules.md, WHO MAY ACT)."""

from __future__ import annotations

import pytest

from newswire.core.model.coverage import Coverage, write
from newswire.stream_order import StreamOrder
from newswire.web.askers import Asker, is_in_background, is_reader, who_asks
from tests.kit.web_fakes import OWN, Web

PLACE = write(Coverage("1001-a.7", {"1001-a": 7}))
MEMBER = "http://10.0.0.2:5054"
FOREIGN = "http://evil.example"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"}
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
CLICK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html,*/*;q=0.8"}

READERS = {
    "curl": {"User-Agent": "curl/8.5.0", "Accept": "*/*"},
    "a library": {"User-Agent": "python-requests/2.32.3"},
    "no headers": {},
    "our page": BROWSER | FETCH | {"Sec-Fetch-Site": "same-origin"},
    "our page, no word of the browser": BROWSER | {"Referer": "http://localhost/stream?username=Alice"},
    "a member's page": BROWSER | FETCH | {"Sec-Fetch-Site": "cross-site", "Origin": MEMBER},
    "a member's page on this machine": BROWSER | FETCH | {"Sec-Fetch-Site": "same-site", "Origin": f"http://{OWN}"},
    "a member's page, no word of the browser": BROWSER | {"Origin": MEMBER, "Accept": "text/event-stream"},
    "typed": BROWSER | CLICK | {"Sec-Fetch-Site": "none"},
    "reloaded by our page": BROWSER | CLICK | {"Sec-Fetch-Site": "same-origin"},
}
IN_THE_BACKGROUND = {
    "EventSource": BROWSER | FETCH | {"Sec-Fetch-Site": "cross-site", "Origin": FOREIGN, "Accept": "text/event-stream"},
    "EventSource, no word of the browser": BROWSER | {"Origin": FOREIGN, "Accept": "text/event-stream"},
    "a sandboxed frame": BROWSER | {"Origin": "null", "Accept": "text/event-stream"},
    "fetch without CORS": BROWSER | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "img": BROWSER | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "script": BROWSER | {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "iframe": BROWSER | CLICK | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    "img, no word of the browser": BROWSER | {"Referer": f"{FOREIGN}/page", "Accept": "image/avif,*/*;q=0.8"},
    "another port of this machine": BROWSER | {"Referer": "http://localhost:8000/", "Accept": "*/*"},
}
NO_READERS = {
    "a link on another site": BROWSER | CLICK | {"Sec-Fetch-Site": "cross-site"},
    "a link on another port": BROWSER | CLICK | {"Sec-Fetch-Site": "same-site"},
    "a link, no word of the browser": BROWSER | {"Referer": f"{FOREIGN}/page", "Accept": "text/html,*/*;q=0.8"},
    "typed or anything else, no word of the browser": BROWSER | {"Accept": "text/html,*/*;q=0.8"},
    "a script, no word of the browser and no referrer": BROWSER | {"Accept": "*/*"},
    "an EventSource or anything else without referrer": BROWSER | {"Accept": "text/event-stream"},
    "prerendered": BROWSER | CLICK | {"Sec-Fetch-Site": "none", "Sec-Purpose": "prefetch;prerender"},
    "prefetched by our page": BROWSER | FETCH | {"Sec-Fetch-Site": "same-origin", "Sec-Purpose": "prefetch"},
    "prefetched by an old browser": BROWSER | {"Referer": "http://localhost/", "Purpose": "prefetch"},
    "a preview of an old Safari": BROWSER | {"Referer": "http://localhost/", "X-Purpose": "preview"},
    "an img of our page": BROWSER | {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "a style of our page": BROWSER | {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "style"},
    "a preview in a chat": {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Accept": "*/*"},
    "another": {"User-Agent": "facebookexternalhit/1.1"},
    "and another": {"User-Agent": "WhatsApp/2.23.20.0"},
    "a search engine": {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
}


@pytest.fixture
def web() -> Web:
    web = Web()
    web.post("/subscribe?username=Alice&topic=Google")
    return web


def ordered(web: Web, headers: dict[str, str]) -> list[StreamOrder]:
    """What is handed over for a stream that names where it was."""
    response = web.client.get(f"/stream?username=Alice&raw=1&last_event_id={PLACE}", headers=headers)
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    return web.orders


@pytest.mark.parametrize("headers", READERS.values(), ids=READERS)
def test_a_reader_acknowledges(web: Web, headers: dict[str, str]) -> None:
    assert ordered(web, headers) == [StreamOrder("Alice", PLACE)]


@pytest.mark.parametrize("headers", NO_READERS.values(), ids=NO_READERS)
def test_whoever_may_be_no_reader_reads_and_acknowledges_nothing(web: Web, headers: dict[str, str]) -> None:
    assert ordered(web, headers) == [StreamOrder("Alice", PLACE, ack="none")]


@pytest.mark.parametrize("headers", IN_THE_BACKGROUND.values(), ids=IN_THE_BACKGROUND)
def test_a_page_of_another_site_opens_no_stream(web: Web, headers: dict[str, str]) -> None:
    for query in ("raw=1", "raw=1&ack=client", "format=json", f"raw=1&last_event_id={PLACE}"):
        web.get(f"/stream?username=Alice&{query}", "cross-site", headers=headers)
    assert web.orders == []


def test_none_is_no_word_of_the_query(web: Web) -> None:
    web.get("/stream?username=Alice&ack=none", "bad-field")


def test_a_preview_of_the_page_is_the_page(web: Web) -> None:
    response = web.client.get("/stream?username=Alice", headers=NO_READERS["a link on another site"])
    assert (response.status_code, response.mimetype, web.orders) == (200, "text/html", [])


def test_it_is_all_read_from_the_headers() -> None:
    assert who_asks({}, lambda origin: False) is Asker.OURS
    assert who_asks({"HTTP_REFERER": "http://[evil"}, lambda origin: origin == "") is Asker.OURS
    assert who_asks({"HTTP_REFERER": "http://a.example/b"}, lambda origin: origin == "http://a.example") is Asker.OURS
    assert is_reader({"HTTP_SEC_PURPOSE": ""})
    assert is_in_background({"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "frame"})
