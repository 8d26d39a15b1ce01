"""The slim path through Flask: it answers what Flask's own path answers, and refuses what it would leave out."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import flask
import pytest
from flask import Blueprint, Response, abort, g, redirect, request, session, url_for
from flask.signals import request_finished
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response as OtherResponse

from newswire.web.slim import PlainFlask, SlimApp, UsesMore
from tests.kit.web_fakes import Web

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
SAMPLES = {
    "<name>": ("feed.js", "feed.css", "nothing.js", "..%2Fapp.py"),
    "<version>": ("0123456789ab",),
    "<id>": ("1001-a.7", "x"),
    "<topic>": ("news.x", "no topic"),
    "<topics>": ("news.x,news.y",),
}
JSON, FORM, LINES = "application/json", "application/x-www-form-urlencoded", "application/x-ndjson"
REQUESTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a user and a topic": {"query_string": "username=Alice&topic=Google"},
    "a message": {"query_string": "topic=Google&data=x"},
    "JSON": {"data": b'{"topic": "Google", "data": "x", "key": "k"}', "content_type": JSON},
    "broken JSON": {"data": b'{"topic": ', "content_type": JSON},
    "a form": {"data": b"username=Alice&topic=Google&id=x", "content_type": FORM},
    "a broker": {"data": b"broker_ip=127.0.0.1:5055", "content_type": FORM},
    "lines": {"data": b'{"topic": "Google", "data": "x"}\n{"topic": "t"}\n', "content_type": LINES},
    "a type that nobody reads": {"data": b"<a/>", "content_type": "text/xml"},
    "a field that nobody knows": {"query_string": "username=Alice&topick=Google"},
    "text that is not UTF-8": {"query_string": "username=%ff"},
    "a browser": {"query_string": "username=Alice", "headers": {"Accept": "text/html", "User-Agent": "Mozilla/5.0"}},
    "a stream": {"query_string": "username=Alice&format=json", "headers": {"Last-Event-ID": "1001-a.7"}},
    "a page of this broker": {"query_string": "username=Alice&topic=t", "headers": {"Origin": "http://localhost"}},
    "a page of a member": {"query_string": "username=Alice&topic=t", "headers": {"Origin": "http://10.0.0.2:5054"}},
    "a page of another site": {"query_string": "username=Alice&topic=t", "headers": {"Origin": "http://evil.example"}},
    "what a browser asks first": {
        "headers": {"Origin": "http://10.0.0.2:5054", "Access-Control-Request-Method": "POST"},
    },
    "another host": {"headers": {"Host": "evil.example"}},
    "a host that is none": {"headers": {"Host": "a b<c>"}},
    "what it has already": {"headers": {"If-Modified-Since": "Fri, 27 Nov 2099 00:00:00 GMT"}},
    "a part of it": {"headers": {"Range": "bytes=0-3"}},
    "a cookie": {"headers": {"Cookie": "session=x"}},
}


def sample(rule: str) -> list[str]:
    """Paths that a rule takes."""
    paths = [rule]
    for name, values in SAMPLES.items():
        paths = [path.replace(name, value) for path in paths for value in values]
    assert "<" not in paths[0], f"{rule}: SAMPLES has no values for it"
    return list(dict.fromkeys(paths))


PATHS = [path for rule in Web().app.url_map.iter_rules() for path in sample(rule.rule)]
ODD_PATHS = [odd for path in PATHS for odd in (f"{path}/", f"/{path}", f"{path}//", path.upper(), f"{path}/x")]


class Both:
    """One application twice, over two engines that are alike: by Flask's own path, and by the slim one."""

    def __init__(self) -> None:
        self.webs = Web(), Web()
        self.clients = Client(self.webs[0].app), Client(SlimApp(self.webs[1].app))

    def ask(self, method: str, path: str, **options: Any) -> tuple[object, ...]:
        """The answer, if both give the same one."""
        one, other = (answered(client.open(path, method=method, **options)) for client in self.clients)
        assert one == other, f"{method} {path} {options}"
        return one


def answered(response: TestResponse) -> tuple[object, ...]:
    """Status, headers and body; a moment, the time that a process took, and the name of an engine's run, are one word."""
    body = response.get_data()
    plain = re.sub(rb"100[12]-[a-z0-9]+", b"RUN", body)
    plain = re.sub(rb"(newswire_cpu_seconds_total) [0-9.e+-]+", rb"\1 MOMENT", plain)
    words = {"Date": "MOMENT", "Expires": "MOMENT"}
    if response.headers.get("Content-Length") == str(len(body)):
        words["Content-Length"] = str(len(plain))
    return response.status, sorted((name, words.get(name, value)) for name, value in response.headers), plain


@pytest.mark.parametrize("options", REQUESTS.values(), ids=REQUESTS)
def test_every_route_answers_the_same_on_both_paths(options: dict[str, Any]) -> None:
    both = Both()
    for path in PATHS:
        for method in METHODS:
            both.ask(method, path, **options)


def test_requests_and_routes_are_many_kinds() -> None:
    both = Both()
    statuses = {
        both.ask(method, path, **REQUESTS[name])[0] for name in REQUESTS for path in PATHS for method in ("GET", "POST")
    }
    assert {str(status)[:3] for status in statuses} >= {"200", "206", "304", "400", "403", "404", "405", "415", "421"}


def test_what_is_nearly_a_route_is_answered_the_same() -> None:
    both = Both()
    for path in ODD_PATHS:
        for method in ("GET", "POST", "OPTIONS"):
            both.ask(method, path, query_string="username=Alice&topic=t")


def test_and_so_do_a_broker_that_does_not_serve_and_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    both = Both()
    for web in both.webs:
        web.engine.change_view(serves=False, why_not="this broker is catching up: use another one")
    statuses = {both.ask(method, path, query_string="username=Alice&topic=t")[0] for path in PATHS for method in METHODS}
    assert "503 SERVICE UNAVAILABLE" in statuses
    for web in both.webs:
        web.engine.change_view()
        web.engine.fails = ZeroDivisionError("within")
    with caplog.at_level(logging.ERROR):
        assert both.ask("POST", "/publish", query_string="topic=t&data=x")[0] == "500 INTERNAL SERVER ERROR"
    assert caplog.text.count("ZeroDivisionError: within") == 2


def test_a_stream_is_handed_over_on_both_paths() -> None:
    both = Both()
    for web in both.webs:
        web.post("/subscribe?username=Alice&topic=t")
    both.ask("GET", "/stream", query_string="username=Alice")
    assert both.webs[0].orders == both.webs[1].orders != []


# -- an application that does all that is supported -------------------------------------------------------------------


class LoudResponse(Response):
    """An answer of a class of its own, as one that comes later is."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["calls"].append("the answer")
        return super().__call__(environ, start_response)


class Unhandled(Exception):
    """Nobody handles it."""


def large_app() -> PlainFlask:
    """Hooks, blueprints within blueprints, handlers and every kind of answer; who is called says so in the environ."""
    app = PlainFlask("large", static_folder=None)

    def say(word: str) -> None:
        request.environ["calls"].append(f"{word} {request.path} {request.endpoint} {request.blueprints}")

    def note(place: Any, name: str) -> None:
        for number in (1, 2):

            def before(word: str = f"before {name} {number}") -> Any:
                say(word)
                if request.args.get("stop") == word:
                    return "stopped"
                if request.args.get("fail") == word:
                    raise KeyError(word)
                return None

            def after(response: Response, word: str = f"after {name} {number}") -> Response:
                say(word)
                if request.args.get("fail") == word:
                    raise Unhandled(word)
                response.headers.add("Called", word)
                return response

            place.before_request(before)
            place.after_request(after)

    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__, url_prefix="/inner")
    for place, name in ((app, "app"), (outer, "outer"), (inner, "inner")):
        note(place, name)
    kinds: dict[str, Callable[[], Any]] = {
        "text": lambda: "text",
        "bytes": lambda: Response(b"bytes"),
        "pieces": lambda: Response([b"a", b"b"]),
        "iterator": lambda: Response(iter([b"a", b"b"])),
        "dict": lambda: {"a": 1},
        "tuple": lambda: ("made", 201, {"X": "y"}),
        "empty": lambda: Response(b"", 204),
        "unchanged": lambda: Response(b"", 304),
        "other": lambda: OtherResponse(b"other"),
        "none": lambda: None,
        "own": lambda: LoudResponse(b"own"),
        "closed": lambda: _closing(request.environ["calls"]),
        "location": lambda: redirect("/é?ü"),
        "abort": lambda: abort(418),
        "found": lambda: NotFound("nothing"),
        "key": lambda: {}["key"],
        "unhandled": lambda: _raise(Unhandled("unhandled")),
    }
    for name, view in kinds.items():
        app.add_url_rule(f"/{name}", f"app_{name}", view)
        inner.add_url_rule(f"/{name}", name, view)
    app.add_url_rule("/n/<int:number>", "number", lambda number: str(number), methods=["GET", "POST"])
    app.add_url_rule("/first", "first", str, defaults={"object": 1})
    app.add_url_rule("/folder/", "folder", lambda: request.full_path)
    app.add_url_rule("/all/", "all", str, defaults={"object": 1})
    app.add_url_rule("/all/<int:object>", "all", str)
    app.register_error_handler(KeyError, lambda error: (f"no {error}", 400))
    app.register_error_handler(HTTPException, lambda error: Response(f"http {error.code}", error.code or 500))
    inner.register_error_handler(KeyError, lambda error: (f"no inner {error}", 409))
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    for rule in app.url_map.iter_rules():
        rule.provide_automatic_options = False  # type: ignore[attr-defined]
        assert rule.methods is not None
        rule.methods -= {"OPTIONS"}
    return app


def _closing(calls: list[str]) -> Response:
    response = Response(b"closed")
    response.call_on_close(lambda: calls.append("the close"))
    return response


def _raise(error: Exception) -> None:
    raise error


def test_hooks_handlers_and_answers_of_all_kinds_are_the_same_and_in_the_same_order() -> None:
    own, slim = large_app(), SlimApp(large_app())
    hooks = [
        f"{when} {name} {number}" for when in ("before", "after") for name in ("app", "outer", "inner") for number in (1, 2)
    ]
    queries = [{}, *({"stop": hook} for hook in hooks), *({"fail": hook} for hook in hooks)]
    rules = [rule.rule for rule in own.url_map.iter_rules() if "<" not in rule.rule]
    seen = set()
    for path in [*rules, "/n/7", "/n/x", "/folder", "/all/1", "/all/2", "/inner", "/nowhere"]:
        for method in METHODS:
            several = path in ("/inner/text", "/inner/key", "/n/7", "/nowhere") and method in ("GET", "POST")
            for query in queries if several else queries[:1]:
                answers, calls = [], []
                for app in (own, slim):
                    environ: dict[str, Any] = {"calls": []}
                    response = Client(app).open(path, method=method, query_string=query, environ_overrides=environ)
                    answers.append((response.status, [*response.headers], response.get_data()))
                    response.close()
                    calls.append(environ["calls"])
                assert answers[0] == answers[1], f"{method} {path} {query}"
                assert calls[0] == calls[1] != [], f"{method} {path} {query}"
                seen.add(answers[0][0][:3])
    assert seen >= {"200", "201", "204", "304", "302", "308", "400", "404", "405", "409", "418", "500"}


def test_the_request_is_there_while_it_is_served_and_nowhere_else() -> None:
    app = PlainFlask("small", static_folder=None)
    app.add_url_rule("/stop", "stop", lambda: _raise_to_the_server())
    app.add_url_rule(
        "/read", "read", lambda: request.headers["X"] + request.form["a"] + flask.current_app.name, methods=["POST"]
    )
    files: list[Any] = []
    app.add_url_rule("/take", "take", lambda: files.append(request.files["a"].stream) or "", methods=["POST"])
    _close(app)
    client = Client(SlimApp(app))
    assert client.post("/read", headers={"X": "y"}, data={"a": "b"}).get_data() == b"ybsmall"
    assert client.post("/take", data={"a": (io.BytesIO(b"b"), "a.txt")}).status_code == 200
    assert files[0].closed
    with pytest.raises(KeyboardInterrupt):
        client.get("/stop")
    assert not flask.has_request_context()
    assert not flask.has_app_context()


def _raise_to_the_server() -> str:
    raise KeyboardInterrupt


def _close(app: PlainFlask) -> None:
    for rule in app.url_map.iter_rules():
        rule.provide_automatic_options = False  # type: ignore[attr-defined]


# -- what is refused --------------------------------------------------------------------------------------------------


class OwnDispatch(PlainFlask):
    def dispatch_request(self) -> Any:
        return "own"


async def later() -> str:
    return "later"


def _set_config(app: PlainFlask) -> None:
    app.config["TRUSTED_HOSTS"] = ["a"]


def _set_instance(app: PlainFlask) -> None:
    app.wsgi_app = lambda environ, start_response: []  # type: ignore[method-assign]


def _set_sessions(app: PlainFlask) -> None:
    app.session_interface = flask.sessions.SecureCookieSessionInterface()


def _add_to_blueprint(app: PlainFlask) -> None:
    blueprint = Blueprint("b", __name__)
    blueprint.teardown_request(lambda error: None)
    app.register_blueprint(blueprint)


def _set_request_class(app: PlainFlask) -> None:
    app.request_class = type("OwnRequest", (flask.Request,), {})


def _set_globals(app: PlainFlask) -> None:
    app.app_ctx_globals_class = type("OwnGlobals", (), {})


def _add_options(app: PlainFlask) -> None:
    app.add_url_rule("/options", "options", lambda: "")


def _match_hosts(app: PlainFlask) -> None:
    app.url_map.host_matching = True


UNSUPPORTED: dict[str, tuple[Callable[[PlainFlask], object], str]] = {
    "a teardown function": (lambda app: app.teardown_request(lambda error: None), "teardown_request"),
    "a blueprint's": (_add_to_blueprint, "teardown_request"),
    "one of the application context": (lambda app: app.teardown_appcontext(lambda error: None), "teardown_appcontext"),
    "what looks at values of a URL": (lambda app: app.url_value_preprocessor(lambda *_: None), "url_value_preprocessor"),
    "defaults of URLs": (lambda app: app.url_defaults(lambda *_: None), "url_defaults"),
    "a session": (_set_sessions, "sessions"),
    "a setting": (_set_config, "TRUSTED_HOSTS"),
    "middleware": (_set_instance, "wsgi_app"),
    "a class of requests": (_set_request_class, "request_class"),
    "a class of globals": (_set_globals, "app_ctx_globals_class"),
    "an automatic OPTIONS": (_add_options, "OPTIONS /options"),
    "hosts": (_match_hosts, "hosts"),
    "a coroutine": (lambda app: app.add_url_rule("/later", "later", later, provide_automatic_options=False), "coroutine later"),
    "a coroutine before": (lambda app: app.before_request(later), "coroutine later"),
}


@pytest.mark.parametrize(("add", "word"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_would_be_left_out_is_refused(add: Callable[[PlainFlask], object], word: str) -> None:
    app = PlainFlask("small", static_folder=None)
    SlimApp(app)
    app = PlainFlask("small", static_folder=None)
    add(app)
    with pytest.raises(UsesMore, match=word):
        SlimApp(app)


def test_a_class_that_changes_what_is_left_out_is_refused() -> None:
    with pytest.raises(UsesMore, match="dispatch_request of its own"):
        SlimApp(OwnDispatch("small", static_folder=None))
    with pytest.raises(UsesMore, match="not PlainFlask"):
        SlimApp(flask.Flask("small", static_folder=None))  # type: ignore[arg-type]


def test_a_receiver_of_a_signal_that_is_not_sent_is_refused() -> None:
    def receive(sender: object, **_: object) -> None:
        pass

    with request_finished.connected_to(receive), pytest.raises(UsesMore, match="request_finished"):
        SlimApp(PlainFlask("small", static_folder=None))


def test_nothing_can_be_added_afterwards() -> None:
    app = PlainFlask("small", static_folder=None)
    SlimApp(app)
    adds: list[Callable[[], object]] = [
        lambda: app.before_request(lambda: None),
        lambda: app.teardown_request(lambda error: None),
        lambda: app.add_url_rule("/", "home", lambda: ""),
        lambda: app.register_error_handler(ValueError, lambda error: ""),
        lambda: app.register_blueprint(Blueprint("late", __name__)),
    ]
    for add in adds:
        with pytest.raises(AssertionError, match="setup method"):
            add()


USED: dict[str, Callable[[], object]] = {
    "g": lambda: setattr(g, "user", "Alice"),
    "what g holds": lambda: g.user,
    "a session": lambda: session["user"],
    "what it is set to": lambda: session.update(user="Alice"),
    "url_for": lambda: url_for("home"),
    "after_this_request": lambda: flask.after_this_request(lambda response: response),
    "a copy of the context": lambda: flask.copy_current_request_context(lambda: None),
    "a flash": lambda: flask.get_flashed_messages(),
}


@pytest.mark.parametrize("use", USED.values(), ids=USED)
def test_what_is_only_seen_when_it_is_used_raises_there(use: Callable[[], object]) -> None:
    app = PlainFlask("small", static_folder=None)
    raised: list[Exception] = []

    def home() -> str:
        try:
            use()
        except Exception as error:
            raised.append(error)
        return ""

    app.add_url_rule("/", "home", home, provide_automatic_options=False)
    assert Client(SlimApp(app)).get("/").status_code == 200
    assert raised
