"""Who is let in, before any view is asked."""

from __future__ import annotations

import pytest

from newswire.config import Settings
from newswire.core import limits
from newswire.web.auth import NOBODY, caller_of
from newswire.web.entrance import is_local
from newswire.web.route import PEER, PUBLIC, routes_of
from tests.kit.access import GuardedWeb, basic, bearer
from tests.kit.web_fakes import Web

PAGE = {"Accept": "text/html,*/*", "User-Agent": "Mozilla/5.0"}
OPEN = {("GET", "/livez"), ("GET", "/readyz"), ("POST", "/login"), ("GET", "/login"), ("GET", "/v1/health")}


@pytest.fixture
def web() -> GuardedWeb:
    return GuardedWeb()


def test_every_route_but_these_needs_a_credential(web: GuardedWeb) -> None:
    for route in routes_of(web.app):
        path = route.path.replace("<name>", "ann").replace("<id>", "1001-a.7").replace("<version>", "v")
        path = path.replace("<topic>", "news.x").replace("<topics>", "news.x")
        response = web.client.open(f"{path}?username=ann&topic=news.x&data=x", method=route.method)
        if route.rights == (PEER,):
            continue  # signed by brokers: the engine checks it
        is_open = (route.method, route.path) in OPEN or route.path.startswith("/static/")
        assert is_open == (PUBLIC in route.rights)
        assert (response.status_code == 401) == (not is_open), route.path
    for path in ("/nowhere", "/users/ann", "/static"):
        web.get(path, "unauthenticated")  # nor is anybody told what there is not


def test_where_nobody_is_asked_everybody_is_let_in() -> None:
    web = Web()
    with web.app.test_request_context("/topics", headers=bearer("nw_" + "x" * 27)):
        assert web.app.preprocess_request() is None
        from flask import request

        assert caller_of(request.environ) is NOBODY


def test_programs_are_told_how_to_say_who_they_are_and_pages_are_not_asked_by_the_browser(web: GuardedWeb) -> None:
    assert web.client.get("/topics").headers["WWW-Authenticate"] == 'Bearer, Basic realm="newswire"'
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}):
        response = web.client.get("/topics", headers=headers)
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", "/login?next=/"),
        ("/stream?username=ann", "/login?next=/stream%3Fusername%3Dann"),
        ("/topics", "/login?next=/topics"),
    ],
)
def test_a_browser_is_sent_to_where_one_signs_in(web: GuardedWeb, path: str, place: str) -> None:
    response = web.client.get(path, headers=PAGE)
    assert (response.status_code, response.headers["Location"]) == (303, place)
    assert web.client.post("/publish?topic=news.x&data=x", headers=PAGE).status_code == 401


@pytest.mark.parametrize("place", ["/", "/stream?username=ann", "/a//b"])
def test_where_a_browser_goes_on_to(place: str) -> None:
    assert is_local(place)


@pytest.mark.parametrize("place", ["", "//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\nb", "/a\\b"])
def test_it_never_goes_on_to_another_site(place: str) -> None:
    assert not is_local(place)


def test_what_is_for_admins(web: GuardedWeb) -> None:
    for method, path in (
        ("POST", "/add_replica?broker_ip=127.0.0.1:5055"),
        ("GET", "/backup"),
        ("GET", "/audit"),
        ("GET", "/users"),
    ):
        assert "admin" in str(web.ask(method, path, "forbidden", headers=basic("ann")))
    web.post("/add_replica?broker_ip=127.0.0.1:5055", headers=basic("root"))


def test_what_a_browser_changes_by_its_cookie_comes_from_a_page_of_ours(web: GuardedWeb) -> None:
    cookie = {"Cookie": web.sign_in("ann")}
    path = "/publish?topic=news.x&data=x"
    web.post(path, "cross-site", headers={**cookie, "Origin": "http://evil.example"})
    web.post(path, "cross-site", headers={**cookie, "Sec-Fetch-Site": "cross-site"})
    web.post(path, "cross-site", headers={**cookie, "User-Agent": "Mozilla/5.0"})  # a browser that does not say for which page
    web.post(path, headers={**cookie, "Origin": "http://localhost", "User-Agent": "Mozilla/5.0"})
    web.post(path, headers={**cookie, "Sec-Fetch-Site": "same-origin"})
    web.post(path, headers={**cookie, "Origin": "http://10.0.0.2:5054"})  # of a member
    web.post(path, headers=cookie)  # a program that keeps cookies


def test_pages_of_members_may_send_the_cookie_and_no_others(web: GuardedWeb) -> None:
    for method in ("GET", "OPTIONS"):
        for origin, is_ours in (("http://10.0.0.2:5054", True), ("http://evil.example", False)):
            headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            response = web.client.open("/topics", method=method, headers=headers)
            assert response.headers.get("Access-Control-Allow-Origin") == (origin if is_ours else None)
            assert response.headers.get("Access-Control-Allow-Credentials") == ("true" if is_ours else None)


def test_a_broker_that_does_not_know_yet_does_not_say_that_somebody_is_nobody(web: GuardedWeb) -> None:
    web.engine.change_view(serves=False, why_not="it is catching up")
    web.get("/topics", "not-ready", headers=bearer("nw_" + "x" * 27))
    assert web.client.get("/", headers=PAGE).status_code == 503


def test_a_ticket_opens_one_stream_for_a_program(web: GuardedWeb) -> None:
    web.post("/subscribe?topic=news.>", headers=basic("ann"))
    answer = web.post("/tickets", headers=basic("ann"))
    assert isinstance(answer, dict)
    path = f"/stream?ticket={answer['ticket']}"
    assert web.client.get(path).status_code == 200
    assert (web.orders[0].user, web.orders[0].by) != ("ann", None)
    web.get(path, "unauthenticated")
    web.get(f"/topics?ticket={answer['ticket']}", "unauthenticated")


def test_a_ticket_signs_a_browser_in_and_leaves_the_address(web: GuardedWeb) -> None:
    def ticket() -> str:
        answer = web.post("/tickets", headers=basic("ann"))
        assert isinstance(answer, dict)
        return str(answer["ticket"])

    client = web.app.test_client(use_cookies=False)
    used = ticket()
    response = client.get(f"/stream?ticket={used}", headers=PAGE)
    assert (response.status_code, response.headers["Location"]) == (303, "/stream?username=ann")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert f"; Max-Age={limits.TICKET_SESSION_SECONDS};" in response.headers["Set-Cookie"]
    assert client.get("/me", headers={"Cookie": cookie}).get_json()["username"] == "ann"
    assert client.get(f"/stream?ticket={used}", headers=PAGE).headers["Location"] == "/login?next=/"
    response = client.get(f"/stream?ticket={ticket()}", headers={**PAGE, "Referer": "http://evil.example/"})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers
    signed_in = web.sign_in("ann")
    response = client.get(f"/stream?ticket={ticket()}", headers={**PAGE, "Cookie": signed_in})
    assert (response.status_code, "Set-Cookie" in response.headers) == (303, False), "who is signed in stays so"
    response = client.get(f"/stream?ticket={ticket()}", headers={**PAGE, "Cookie": web.sign_in("ben")})
    assert "newswire_session" in response.headers["Set-Cookie"]
    response = client.get("/account", headers={**PAGE, "Cookie": cookie})
    assert (response.status_code, response.headers["Location"]) == (303, "/login?next=/account")


def test_a_ticket_is_for_the_stream_of_one_user(web: GuardedWeb) -> None:
    answer = web.post("/tickets?username=ann", headers=basic("root"))
    assert isinstance(answer, dict)
    web.get(f"/stream?ticket={answer['ticket']}&username=root", "forbidden")
    web.post("/tickets?username=root", "forbidden", headers=basic("ann"))


def test_an_admin_who_reads_what_is_anothers_acknowledges_nothing(web: GuardedWeb) -> None:
    web.post("/subscribe?topic=news.>", headers=basic("ann"))
    web.post("/subscribe?topic=news.>", headers=basic("root"))
    ticket = web.post("/tickets?username=ann", headers=basic("root"))
    assert isinstance(ticket, dict)
    for path, who in (
        ("/stream?username=ann", "root"),
        ("/stream?username=ann&ack=client", "root"),
        ("/stream?username=root", "root"),
        ("/stream?ack=client", "ann"),
    ):
        assert web.client.get(path, headers=basic(who)).status_code == 200
    assert web.client.get(f"/stream?ticket={ticket['ticket']}").status_code == 200
    assert [(order.user, order.asker, order.ack) for order in web.orders] == [
        ("ann", "root", "none"),
        ("ann", "root", "none"),
        ("root", "root", "auto"),
        ("ann", "ann", "client"),
        ("ann", "root", "none"),
    ]


def test_a_large_body_of_a_stranger_is_refused_by_its_head(web: GuardedWeb) -> None:
    def head(**more: str) -> dict[str, str]:
        about = {"REQUEST_METHOD": "POST", "PATH_INFO": "/publish", "QUERY_STRING": "", "HTTP_HOST": "localhost"}
        return {**about, "CONTENT_TYPE": "application/x-ndjson", "CONTENT_LENGTH": "8000000", **more}

    refusal = web.admission(head())
    assert refusal is not None
    assert refusal.code == "unauthenticated"
    assert web.admission(head(HTTP_AUTHORIZATION=bearer(web.token("ann"))["Authorization"])) is None
    assert Web(Settings()).admission(head()) is None


def test_a_user_asks_so_often_from_whatever_addresses_and_is_told_when_again() -> None:
    web = GuardedWeb(Settings(auth="required", requests_per_address=0.2))
    for number in range(int(0.2 * limits.RATE_BURST_SECONDS)):
        assert (
            web.client.get("/me", headers=basic("ann"), environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"}).status_code
            == 200
        )
    refused = web.client.get("/me", headers=basic("ann"), environ_overrides={"REMOTE_ADDR": "192.0.2.99"})
    assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (429, "too-many", "5")
    assert web.client.get("/me", headers=basic("root")).status_code == 200, "others are not counted with ann"


def test_a_browser_that_comes_by_localhost_is_sent_to_where_all_brokers_of_this_machine_are(web: GuardedWeb) -> None:
    """A cookie of one name is not sent to the other, and the page goes on at 127.0.0.1."""
    headers = {**PAGE, "Host": "localhost:5053"}
    for path in ("/login?next=/account", "/stream?username=ann", "/"):
        response = web.client.get(path, headers=headers)
        assert (response.status_code, response.headers["Location"]) == (303, f"http://127.0.0.1:5053{path}")
    for host in ("localhost:8000", "127.0.0.1:5053", "news.example.org"):  # a forwarded port is another way to here
        assert web.client.get("/login", headers={**PAGE, "Host": host}).status_code == 200
    assert web.client.get("/topics", headers={"Host": "localhost:5053"}).status_code == 401  # a program stays
