"""Which pages may do what: the members' own what the feed needs, others nothing that changes anything."""

from __future__ import annotations

import msgspec
import pytest

from newswire.config import Settings
from tests.kit.web_fakes import Web

MEMBER = "http://10.0.0.2:5054"
FOREIGN = (
    "http://evil.example",
    "http://10.0.0.2:5055",
    "https://10.0.0.2:5054",
    "http://10.0.0.2:5054.evil.example",
    "http://localhost.evil.example:5053",
    "http://localhost:5054",
    "null",
    "",
    "http://",
    "10.0.0.2:5054",
)
CHANGES = (
    "/publish?topic=t&data=x",
    "/subscribe?username=Alice&topic=t",
    "/unsubscribe?username=Alice&topic=t",
    "/ack?username=Alice&id=x",
    "/add_replica?broker_ip=127.0.0.1:5055",
    "/remove_replica?broker_ip=1002",
)


@pytest.fixture
def web() -> Web:
    return Web(Settings(allowed_hosts=("10.0.0.9", "news.example.org")))


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_changes_nothing_and_sees_nothing(web: Web, origin: str) -> None:
    for path in CHANGES:
        assert "another site" in str(web.post(path, "cross-site", headers={"Origin": origin}))
    assert (web.engine.submitted, web.cluster.left) == ([], [])
    for path in ("/topics", "/list_replicas", "/subscriptions?username=Alice", "/stream?username=Alice"):
        assert "Access-Control-Allow-Origin" not in web.client.get(path, headers={"Origin": origin}).headers


def secure(web: Web, address: str) -> None:
    """Let the other member be at this address."""
    rows = web.engine.describe().rows
    web.engine.change_view(rows=tuple(row if row.self else msgspec.structs.replace(row, ip=address) for row in rows))


def test_a_page_of_a_member_in_tls_is_one_and_no_page_in_plain_http_under_its_name(web: Web) -> None:
    for address, origin in (
        ("https://news2.example.org", "https://news2.example.org"),
        ("https://news2.example.org:8443", "https://news2.example.org:8443"),
    ):
        secure(web, address)
        response = web.client.post("/publish?topic=t&data=x", headers={"Origin": origin})
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, origin)
        for other in (
            origin.replace("https:", "http:"), MEMBER, f"{origin}.evil.example", "https://news2.example.org:9", "https://",
        ):  # fmt: skip
            web.post("/publish?topic=t&data=x", "cross-site", headers={"Origin": other})


def test_a_page_that_came_in_plain_http_is_not_of_a_host_that_is_asked_in_tls(web: Web) -> None:
    """A trusted proxy says by which scheme it was asked; where none says so, either may be meant."""
    for scheme, origin, code in (
        ("https", "https://news.example.org", ""),
        ("https", "http://news.example.org", "cross-site"),
        ("http", "https://news.example.org", ""),
        ("http", "http://news.example.org", ""),
    ):
        headers = {"Origin": origin, "Host": "news.example.org"}
        told = web.client.post("/publish?topic=t&data=x", headers=headers, environ_overrides={"wsgi.url_scheme": scheme})
        assert told.json.get("code", "") == code, (scheme, origin)


@pytest.mark.parametrize("origin", [MEMBER, "http://127.0.0.1:5053", "http://localhost:5053"])
def test_a_page_of_a_member_does_what_the_feed_needs(web: Web, origin: str) -> None:
    for method, path in (
        ("POST", "/publish?topic=t&data=x"),
        ("POST", "/subscribe?username=Bob&topic=t"),
        ("POST", "/ack?username=Alice&id=x"),
        ("GET", "/stream?username=Alice"),
        ("GET", "/subscriptions?username=Alice"),
        ("GET", "/messages?username=Alice"),
        ("GET", "/topics"),
        ("GET", "/list_replicas"),
    ):
        response = web.client.open(path, method=method, headers={"Origin": origin, "Host": "10.0.0.9:5053"})
        assert response.status_code != 403 or response.json["code"] == "not-registered"
        assert response.headers["Access-Control-Allow-Origin"] == origin, path
        assert "Origin" in response.headers["Vary"]


def test_the_host_itself_under_any_name(web: Web) -> None:
    headers = {"Origin": "https://News.example.org", "Host": "news.example.org"}
    response = web.client.post("/publish?topic=t&data=x", headers=headers)
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_port_that_a_scheme_implies_need_not_be_written(web: Web) -> None:
    for origin, host in (
        ("http://news.example.org", "news.example.org:80"),
        ("https://news.example.org", "news.example.org:443"),
        ("https://news.example.org:8443", "news.example.org:8443"),
    ):
        web.post("/publish?topic=t&data=x", headers={"Origin": origin, "Host": host})
    for origin, host in (
        ("http://news.example.org:443", "news.example.org"),
        ("https://news.example.org", "news.example.org:80"),
    ):
        web.post("/publish?topic=t&data=x", "cross-site", headers={"Origin": origin, "Host": host})


def test_behind_a_proxy_that_rewrites_the_name_the_browser_s_word_counts(web: Web) -> None:
    headers = {"Origin": "https://news.example.org", "Host": "127.0.0.1:5053", "Sec-Fetch-Site": "same-origin"}
    web.post("/publish?topic=t&data=x", headers=headers)
    for site in ("same-site", "cross-site", "none"):
        web.post("/publish?topic=t&data=x", "cross-site", headers=headers | {"Sec-Fetch-Site": site})
    web.post("/publish?topic=t&data=x", "cross-site", headers={"Sec-Fetch-Site": "cross-site"})  # a form, without Origin


def test_a_program_has_no_origin(web: Web) -> None:
    web.post("/publish?topic=t&data=x")
    response = web.client.get("/topics")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in response.headers["Vary"]  # or a cache gives this answer to a member's page


def _preflight(web: Web, path: str, origin: str, method: str) -> tuple[int, str | None]:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
    response = web.client.options(path, headers=headers)
    return response.status_code, response.headers.get("Access-Control-Allow-Origin")


def test_preflights(web: Web) -> None:
    assert _preflight(web, "/publish", MEMBER, "POST") == (204, MEMBER)
    assert _preflight(web, "/stream", MEMBER, "GET") == (204, MEMBER)
    assert _preflight(web, "/publish", MEMBER, "DELETE")[0] == 405
    assert _preflight(web, "/publish", "http://evil.example", "POST") == (405, None)
    assert _preflight(web, "/subscribe", MEMBER, "POST") == (204, MEMBER)
    assert _preflight(web, "/unsubscribe", MEMBER, "POST") == (204, MEMBER)
    assert _preflight(web, "/add_replica", MEMBER, "POST") == (405, None)
    assert _preflight(web, "/replicate", MEMBER, "POST") == (405, None)
    assert web.engine.submitted == []
