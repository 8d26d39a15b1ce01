"""A slim path through Flask: the same views, hooks and error handlers, without what this application does not use.

Of what Flask does for a request, more than half is for others: an adapter for host and subdomain, contexts with `g`, a session,
signals, functions at teardown, a look for coroutines, headers that might have to be made absolute. `SlimApp` calls what is
left, in Flask's order: hooks of the application and the blueprint, the view, the handler of its error, hooks afterwards from
the last to the first. `flask.request` and templates work as ever. Whatever else goes on is Flask's own function: matching where
the path is no fixed one, errors, answers that are no plain bytes.

What would be left out silently is refused: `SlimApp` raises when it is built over an application that uses it, and after that
Flask itself lets nothing more be added. What is only seen when it is used (`g`, `session`, `url_for`, `after_this_request`)
raises there. Flask's own path is untouched: the test client and other servers take it, and `tests/web/test_slim.py` compares
the two, route by route. (docs/decisions.md, Requests take a slim path through Flask)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import flask.signals
from blinker import Signal
from flask import Flask, Request, Response
from flask.ctx import AppContext, RequestContext, _AppCtxGlobals
from flask.globals import _cv_app, _cv_request
from flask.sessions import NullSession, SessionInterface
from msgspec import Struct
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from newswire.web.request_fields import Environ
from newswire.web.responses import ReadyResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

Hooks = tuple[Callable[..., Any], ...]


class UsesMore(Exception):
    """An application cannot be served slim; the text says what it uses."""


class _NoSessions(SessionInterface):
    """There are none: nothing is read from or written to cookies."""

    def __init__(self) -> None:
        self.none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self.none

    def save_session(self, app: Flask, session: Any, response: Response) -> None:
        pass


_SESSIONS: Final = _NoSessions()


class PlainFlask(Flask):
    """Flask for an application that may be served slim: both paths do what this class does."""

    session_interface = _SESSIONS

    def wsgi_app(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve `/publish/` as `/publish`, before anything looks at the path."""
        _drop_last_slash(environ)
        return super().wsgi_app(environ, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing here is a coroutine, so nothing is asked whether it is one: 5 µs a request."""
        return func


def _drop_last_slash(environ: Environ) -> None:
    path = environ["PATH_INFO"]
    if path.endswith("/") and path != "/":
        environ["PATH_INFO"] = path[:-1]


class _Route(Struct, frozen=True):
    """What answers an endpoint; `rule` is None where nothing does."""

    rule: Rule | None
    view: Callable[..., Any]
    before: Hooks
    after: Hooks


class _LazyRequest(Request):
    """A request that reads its environ when it is first asked for more than that."""

    def __init__(self, environ: Environ) -> None:
        self.environ = environ

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: werkzeug sets all of it at once."""
        if "headers" in self.__dict__:
            raise AttributeError(name)
        super().__init__(self.environ, populate_request=False)
        return getattr(self, name)


class _Unused:
    """Stands where Flask has something that the slim path has not."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, name: str, *value: object) -> NoReturn:
        raise RuntimeError(f"{self.__dict__['_name']}.{name} is not there on the slim path (web/slim.py)")

    __setattr__ = __delattr__ = __getattr__


class _SlimAppContext:
    """What `current_app` looks at. One for all requests: it holds nothing of any."""

    url_adapter = None

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.g = _Unused("g")


class _SlimContext:
    """What `request` looks at, and what Flask's own functions for errors need."""

    __slots__ = ("request",)
    url_adapter = None
    session = _Unused("session")
    _session = _SESSIONS.none
    _after_request_functions = ()  # not a list: nobody can add to it

    def __init__(self, request: Request) -> None:
        self.request = request

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"the request context has no {name} on the slim path (web/slim.py)")


class SlimApp:
    """A WSGI application that serves what `app` serves. Any thread, any number at once."""

    def __init__(self, app: PlainFlask) -> None:
        """Raises UsesMore. Afterwards `app` takes no further routes, hooks or handlers."""
        if more := uses(app):
            raise UsesMore("the slim path would leave out " + "; ".join(more))
        app._got_first_request = True  # Flask refuses to be set up any further
        self._app = app
        self._context = cast(AppContext, _SlimAppContext(app))
        self._no_route = _route(app, None)
        self._of_endpoint = {rule.endpoint: _route(app, rule) for rule in app.url_map.iter_rules()}
        self._by_path = dict(self._match_paths())

    def _match_paths(self) -> Iterable[tuple[tuple[str, str], _Route]]:
        """Routes of paths that are matched by comparing, by method and path; as Flask matches them."""
        adapter = self._app.url_map.bind("")
        for path, method in {(rule.rule, method) for rule in self._app.url_map.iter_rules() for method in rule.methods or ()}:
            if "<" in path:
                continue
            try:
                rule, arguments = adapter.match(path, method, return_rule=True)
            except HTTPException:  # a redirect
                continue
            if rule.rule == path and not arguments:
                yield (method, path), _route(self._app, rule)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        _drop_last_slash(environ)
        request = _LazyRequest(environ)
        app_token = _cv_app.set(self._context)
        token = _cv_request.set(cast(RequestContext, _SlimContext(request)))
        try:
            try:
                response = self._respond(request)
            except Exception as error:
                response = self._app.handle_exception(error)
            return _send(response, environ, start_response)
        finally:
            if "files" in vars(request):
                request.close()
            _cv_request.reset(token)
            _cv_app.reset(app_token)

    def _respond(self, request: _LazyRequest) -> Response:
        """The answer, finished. Raises what neither a view nor a handler has caught."""
        route = self._route_of(request)
        answer: Any = None
        try:
            for hook in route.before:
                answer = hook()
                if answer is not None:
                    break
            if answer is None:
                answer = route.view(**(request.view_args or {}))
        except Exception as error:
            answer = self._app.handle_user_exception(error)
        response = answer if isinstance(answer, self._app.response_class) else self._app.make_response(answer)
        for hook in route.after:
            response = hook(response)
        return response

    def _route_of(self, request: _LazyRequest) -> _Route:
        """Match, and let the request know."""
        environ = request.environ
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        route = self._by_path.get((method, path))
        if route is not None:
            request.method, request.path, request.url_rule, request.view_args = method, path, route.rule, {}
            return route
        try:
            adapter = self._app.create_url_adapter(request)
            assert adapter is not None  # there is a request
            request.url_rule, request.view_args = adapter.match(return_rule=True)  # type: ignore[assignment]
        except HTTPException as error:
            request.routing_exception = error
            return self._no_route
        return self._of_endpoint[request.url_rule.endpoint]


def _route(app: Flask, rule: Rule | None) -> _Route:
    """How `rule` is answered. None: with the error of matching, after the hooks of the application."""

    def raise_why() -> NoReturn:
        app.raise_routing_exception(flask.request)

    request = _LazyRequest({})
    request.url_rule = rule
    blueprints = request.blueprints
    return _Route(
        rule=rule,
        view=raise_why if rule is None else app.view_functions[rule.endpoint],
        before=tuple(hook for name in (None, *reversed(blueprints)) for hook in app.before_request_funcs.get(name, ())),
        after=tuple(hook for name in (*blueprints, None) for hook in reversed(app.after_request_funcs.get(name, ()))),
    )


_PLAIN: Final = (Response, ReadyResponse)  # types of answers that only say what they were given
_NO_BODY: Final = ("1", "204", "304")  # how the statuses begin that have none (RFC 9110, 6.4.1)
_URL_HEADERS: Final = frozenset({"location", "content-location"})


def _send(response: Response, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Start the answer; itself where it is bytes of a known length or a stream, which is what werkzeug would come to."""
    body, status = response.response, response.status
    has_body = environ["REQUEST_METHOD"] != "HEAD" and not status.startswith(_NO_BODY)
    if type(response) in _PLAIN and has_body and not response._on_close:
        headers = response.headers.to_wsgi_list()
        names = {name.lower() for name, _ in headers}
        is_whole = type(body) is list and len(body) == 1 and type(body[0]) is bytes and "content-length" in names
        is_stream = type(response) is ReadyResponse and type(body) is not list
        if (is_whole or is_stream) and _URL_HEADERS.isdisjoint(names):
            start_response(status, headers)
            return cast("Iterable[bytes]", body)
    return response(environ, start_response)


# -- what is refused ------------------------------------------------------------------------------------------------
_METHODS: Final = (  # of Flask: the slim path does not come by here
    "__call__ wsgi_app request_context app_context full_dispatch_request dispatch_request preprocess_request finalize_request"
    " process_response do_teardown_request do_teardown_appcontext make_default_options_response should_ignore_error"
    " make_response create_url_adapter"
).split()
_SIGNALS: Final = (
    "appcontext_pushed appcontext_popped appcontext_tearing_down request_started request_finished request_tearing_down".split()
)
_FUNCTIONS: Final = {  # registries that nobody looks into
    "url_value_preprocessors": "a url_value_preprocessor",
    "url_default_functions": "url_defaults",
    "teardown_request_funcs": "a teardown_request function",
}
_FREE_SETTINGS: Final = frozenset({"DEBUG", "TESTING"})  # read by Flask's own functions alone


def uses(app: Flask) -> list[str]:
    """What `app` uses that the slim path leaves out, in words; nothing where it may be served slim."""
    return [*_changes(app), *_registrations(app), *_coroutines(app)]


def _changes(app: Flask) -> Iterable[str]:
    """What is another than in PlainFlask."""
    if not isinstance(app, PlainFlask):
        yield "what is not PlainFlask"
    for name in _METHODS:
        if getattr(type(app), name) is not getattr(PlainFlask, name) or name in vars(app):
            yield f"a {name} of its own"
    if app.session_interface is not _SESSIONS:
        yield "sessions"
    if app.request_class is not Request:
        yield "a request_class of its own"
    if app.app_ctx_globals_class is not _AppCtxGlobals:
        yield "an app_ctx_globals_class of its own"
    if app.url_map.host_matching or app.subdomain_matching:
        yield "hosts or subdomains in its routes"
    for name, value in app.config.items():
        if name not in _FREE_SETTINGS and (name not in Flask.default_config or Flask.default_config[name] != value):
            yield f"the setting {name}"


def _registrations(app: Flask) -> Iterable[str]:
    """What is registered and would not be called."""
    for registry, words in _FUNCTIONS.items():
        if any(getattr(app, registry).values()):
            yield words
    if app.teardown_appcontext_funcs:
        yield "a teardown_appcontext function"
    for name in _SIGNALS:
        signal: Signal = getattr(flask.signals, name)
        if signal.receivers:
            yield f"a receiver of {name}"
    for rule in app.url_map.iter_rules():
        if getattr(rule, "provide_automatic_options", False) and "OPTIONS" in (rule.methods or ()):
            yield f"an automatic answer to OPTIONS {rule.rule}"


def _coroutines(app: Flask) -> Iterable[str]:
    registries: tuple[Any, ...] = (app.before_request_funcs, app.after_request_funcs)
    hooks = [hook for registry in registries for row in registry.values() for hook in row]
    for function in (*app.view_functions.values(), *hooks):
        if iscoroutinefunction(function):
            yield f"the coroutine {function.__name__}"
