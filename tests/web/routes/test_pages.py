"""The pages: which template gets what, and what the browser is allowed to do with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from jinja2 import DictLoader

from newswire import web as package
from newswire.core import limits
from newswire.errors import NewswireError
from newswire.web.route import routes_of
from newswire.web.routes import pages
from tests.kit.access import PASSWORD, GuardedWeb, basic
from tests.kit.web_fakes import OTHER, OWN, Web

NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
CONTEXT = "{{ {'username': username, 'notice': notice, 'broker': broker, 'address': address, 'brokers': brokers} | tojson }}"


@pytest.fixture
def web() -> Web:
    """An application whose page shows what it was given, and no more."""
    web = Web()
    web.app.jinja_loader = DictLoader({"feed.html": CONTEXT})  # type: ignore[misc,assignment]  # a cached property
    return web


def test_the_page_is_the_feed_of_a_user(web: Web) -> None:
    for path in (
        "/?username=Alice",
        "/stream?username=Alice",
        "/stream?username=Alice&utm_source=mail",
        "/?username=Alice&a=b",
    ):
        response = web.client.get(path, headers=NAVIGATION)
        assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
        assert json.loads(response.data) == {
            "username": "Alice", "notice": "", "broker": "1001", "address": OWN, "brokers": [OWN, OTHER],
        }  # fmt: skip
        assert "Accept" in response.headers["Vary"]
    assert web.orders == []


def test_without_a_name_or_with_one_that_cannot_be_it_asks(web: Web) -> None:
    given = json.loads(web.client.get("/").data)
    assert (given["username"], given["notice"]) == ("", "")
    for path in ("/?username=%3Cscript%3E", "/stream?username=%3Cscript%3E"):
        response = web.client.get(path, headers=NAVIGATION)
        given = json.loads(response.data)
        assert given["username"] == ""
        assert "letters" in given["notice"]
        assert b"<script>" not in response.data


def test_the_page_is_shown_by_a_broker_that_does_not_serve(web: Web) -> None:
    web.engine.change_view(serves=False, why_not="this broker is catching up: use another one")
    assert web.client.get("/stream?username=Alice", headers=NAVIGATION).status_code == 200


def test_what_the_page_may_load(web: Web) -> None:
    headers = web.client.get("/").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' http://{OTHER}"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_member_in_tls_is_named_as_one(web: Web) -> None:
    rows = web.engine.describe().rows
    at = "https://news2.example.org"
    web.engine.change_view(rows=tuple(row if row.self else msgspec.structs.replace(row, ip=at) for row in rows))
    response = web.client.get("/?username=Alice")
    assert f"connect-src 'self' {at};" in response.headers["Content-Security-Policy"]
    assert f'"{at}"' in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "ip", ["x:1; script-src *", "x:1\r\nSet-Cookie: a=b", "x:1 http://evil.example", "'unsafe-inline'", ""]
)
def test_what_is_no_address_stands_in_no_policy(web: Web, ip: str) -> None:
    rows = web.engine.describe().rows
    web.engine.change_view(rows=tuple(row if row.self else msgspec.structs.replace(row, ip=ip) for row in rows))
    response = web.client.get("/?username=Alice")
    assert response.status_code == 200
    assert "connect-src 'self';" in response.headers["Content-Security-Policy"]
    assert "evil" not in response.get_data(as_text=True)


def test_head_of_a_page(web: Web) -> None:
    response = web.client.head("/")
    assert (response.status_code, response.data) == (200, b"")


def test_the_real_page() -> None:
    """Holds of whatever the page is: it renders, and a name cannot become markup in it."""
    if not (Path(package.__file__).parent / "templates" / "feed.html").exists():
        pytest.skip("the page is not there")
    web = Web()
    page = web.client.get("/?username=Alice").get_data(as_text=True)
    assert "Alice" in page
    assert OTHER in page
    assert "<script>" not in page, "the policy forbids inline scripts"
    assert " style=" not in page, "the policy forbids inline styles"
    assert " onclick=" not in page


def test_static_files_are_kept_for_a_while_and_taken_for_what_they_are() -> None:
    folder = Path(package.__file__).parent / "static"
    files = (
        sorted(file for file in folder.glob("*") if file.suffix in (".js", ".css") and file.name != "worker.js")
        if folder.exists()
        else []
    )
    if not files:
        pytest.skip("the page has no static files")
    web = Web()
    for file in files:
        response = web.client.get(f"/static/{file.name}")
        assert response.status_code == 200
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "max-age=300" in response.headers["Cache-Control"]
        assert response.content_type.partition(";")[0] in ("text/javascript", "text/css")
    assert web.client.get("/static/no.js").status_code == web.client.get("/static/x/../pages.py").status_code == 404


def test_a_page_is_made_of_one_version() -> None:
    """What a page loads is named after what it holds, and modules name one another by relative addresses."""
    web = Web()
    page = web.client.get("/?username=Alice").get_data(as_text=True)
    script = re.search(r'src="(/static/[0-9a-f]{12}/)feed.js"', page)
    assert script is not None
    assert f'href="{script[1]}feed.css"' in page
    served = web.client.get(f"{script[1]}feed.js").get_data(as_text=True)
    assert served == web.client.get("/static/feed.js").get_data(as_text=True)
    for file in (Path(package.__file__).parent / "static").glob("*.js"):
        assert all(found.startswith("./") for found in re.findall(r'^import .* from "(.*)";$', file.read_text(), re.M)), file


# -- signing in, and the pages of whoever is signed in


@pytest.fixture
def asking() -> GuardedWeb:
    """An application that asks who one is."""
    return GuardedWeb()


def test_where_nobody_is_asked_there_is_nothing_to_sign_in_to(web: Web) -> None:
    response = web.client.get("/login")
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    for path in ("/account", "/admin"):
        response = Web().client.get(path, headers=NAVIGATION)
        assert response.status_code == 409
        assert "everybody may do everything" in response.get_data(as_text=True)


def test_the_page_of_the_cluster_is_for_admins_and_for_all_where_nobody_is_asked(asking: GuardedWeb) -> None:
    refused = asking.client.get("/cluster", headers=NAVIGATION | basic("ann"))
    assert refused.status_code == 403
    assert "cluster.js" not in refused.get_data(as_text=True)
    for response in (asking.client.get("/cluster", headers=NAVIGATION | basic("root")), Web().client.get("/cluster")):
        html = response.get_data(as_text=True)
        assert response.status_code == 200
        assert "/cluster.js" in html
        assert '<a href="/cluster" aria-current="page">Cluster</a>' in html
        assert "'unsafe-inline'" not in response.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*(?:src=|application/json))|style=|\son[a-z]+=", html)


def test_the_page_where_one_signs_in_works_without_a_script(asking: GuardedWeb) -> None:
    response = asking.client.get("/login?next=/stream?username%3DAnn%26topic%3Da", headers=NAVIGATION)
    html = response.get_data(as_text=True)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert '<form class="enter" action="/login" method="post">' in html
    assert 'name="next" value="/stream?username=Ann&amp;topic=a"' in html
    assert "<script" not in html


def test_what_went_wrong_there_is_one_sentence_and_what_was_typed_stays_but_the_password(asking: GuardedWeb) -> None:
    with asking.app.test_request_context("/login"):
        response = pages.sign_in(
            asking.engine, "/", typed='"><b>Ann', refusal=NewswireError("wrong user or password", code="unauthenticated")
        )
    html = response.get_data(as_text=True)
    assert response.status_code == 401
    assert "Wrong user or password.</p>" in html
    assert 'value="&#34;&gt;&lt;b&gt;Ann"' in html
    assert "<b>Ann" not in html


def test_an_account_and_the_page_of_admins(asking: GuardedWeb) -> None:
    account = asking.client.get("/account", headers=NAVIGATION | basic("ann"))
    assert account.status_code == 200
    assert "/account.js" in account.get_data(as_text=True)
    assert "/admin" not in account.get_data(as_text=True)
    refused = asking.client.get("/admin", headers=NAVIGATION | basic("ann"))
    assert refused.status_code == 403
    assert "This page is for admins" in refused.get_data(as_text=True)
    assert "admin.js" not in refused.get_data(as_text=True)
    admin = asking.client.get("/admin", headers=NAVIGATION | basic("root"))
    assert admin.status_code == 200
    assert "/admin.js" in admin.get_data(as_text=True)
    for response in (account, refused, admin):
        assert "'unsafe-inline'" not in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script(?![^>]*(?:src=|application/json))|style=|\son[a-z]+=", response.get_data(as_text=True))


def test_of_many_streams_the_page_is_told_where_there_is_room() -> None:
    web, many = Web(), limits.SPREAD_STREAMS
    me, other = web.engine.describe().rows

    def seat(mine: int, theirs: int) -> str:
        counts = {me: mine, other: theirs}
        shown = [
            msgspec.structs.replace(row, streams=count, streams_limit=max(counts.values())) for row, count in counts.items()
        ]
        web.engine.change_view(rows=tuple(shown))
        html = web.client.get("/?username=Bob", headers=NAVIGATION).get_data(as_text=True)
        return str(json.loads(html.partition('type="application/json">')[2].partition("</script>")[0])["seat"])

    assert seat(many, 0) == other.ip
    assert seat(0, many) == ""
    assert seat(many - 1, 0) == ""


def test_the_feed_is_that_of_whoever_is_signed_in_and_says_who_that_is(asking: GuardedWeb) -> None:
    html = asking.client.get("/", headers=NAVIGATION | basic("ann")).get_data(as_text=True)
    assert '"username": "ann"' in html
    assert '<a href="/account" title="Your account">ann</a>' in html
    assert 'action="/logout"' in html
    html = asking.client.get("/?username=Bob", headers=NAVIGATION | basic("root")).get_data(as_text=True)
    assert "root</a> <span>reads the news of Bob</span>" in html
    assert '"acknowledges": false' in html
    for path, headers in (("/", basic("root")), ("/?username=root", basic("root"))):
        assert '"acknowledges": true' in asking.client.get(path, headers=NAVIGATION | headers).get_data(as_text=True)
    assert '"acknowledges": true' in Web().client.get("/?username=Bob", headers=NAVIGATION).get_data(as_text=True)
    for path in ("/?username=ben", "/stream?username=ben"):
        response = asking.client.get(path, headers=NAVIGATION | basic("ann"))
        assert response.status_code == 403
        assert "This is the news of ben" in response.get_data(as_text=True)
        assert "feed.js" not in response.get_data(as_text=True)
    assert "/logout" not in Web().client.get("/?username=Bob", headers=NAVIGATION).get_data(as_text=True)


def test_who_is_not_signed_in_is_led_to_where_one_signs_in(asking: GuardedWeb) -> None:
    for path, place in (
        ("/admin", "/admin"),
        ("/stream?username=ann&topic=a", "/stream%3Fusername%3Dann%26topic%3Da"),
        ("/", "/"),
    ):
        response = asking.client.get(path, headers=NAVIGATION)
        assert (response.status_code, response.headers["Location"]) == (303, f"/login?next={place}")


def test_a_form_that_is_refused_comes_back_with_the_reason(asking: GuardedWeb) -> None:
    headers = NAVIGATION | {"Origin": "http://localhost"}
    form = {"username": "ann", "password": "wrong", "next": "/stream?username=ann"}
    response = asking.client.post("/login", data=form, headers=headers)
    html = response.get_data(as_text=True)
    assert response.status_code == 401
    assert "Wrong user or password" in html
    assert 'name="next" value="/stream?username=ann"' in html
    assert 'name="username" value="ann"' in html
    assert "wrong" not in html.replace("Wrong", "")
    foreign = asking.client.post("/login", data=form | {"next": "https://evil.example/"}, headers=headers)
    assert 'name="next" value="/"' in foreign.get_data(as_text=True)
    strange = asking.client.post("/login", data=form | {"username": "Jörg <b>"}, headers=headers)
    assert strange.status_code == 400
    assert "Jörg &lt;b&gt;" in strange.get_data(as_text=True)
    for _ in range(8):
        asking.client.post("/login", data=form, headers=headers)
    late = asking.client.post("/login", data=form | {"password": PASSWORD}, headers=headers)
    assert (late.status_code, late.headers["Retry-After"]) == (429, "60")
    assert 'role="alert" id="notice"' in late.get_data(as_text=True)


def test_every_page_has_a_policy_and_nothing_in_it_that_the_policy_forbids() -> None:
    """Each answer of each route that is HTML, as nobody, somebody and an admin get it; a new page is looked at by itself."""
    web = GuardedWeb()
    looked_at = set()
    for route in routes_of(web.app):
        if not any(success.media == "text/html" for success in route.answers):
            continue
        for who in (None, "ann", "root"):
            headers = NAVIGATION | ({"Cookie": web.sign_in(who)} if who else {}) | {"Sec-Fetch-Site": "same-origin"}
            response = web.client.open(f"{route.path}?username={who or 'ann'}", method=route.method, headers=headers)
            if response.content_type.partition(";")[0] != "text/html" or response.status_code == 303:
                continue
            looked_at.add((route.method, route.path))
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy, route.path
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            page = response.get_data(as_text=True)
            assert not re.findall(r'<script(?![^>]*(?: src="/static/| type="application/json"))[^>]*>', page), route.path
            assert not re.findall(r"<[a-z][^>]*\s(?:style|on[a-z]+)\s*=|<style|javascript:", page), route.path
    assert {("GET", "/"), ("GET", "/stream"), ("GET", "/login"), ("GET", "/account"), ("GET", "/admin")} <= looked_at
