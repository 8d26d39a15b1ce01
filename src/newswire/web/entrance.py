"""Who is let in: before each request, its caller is found and its route's right is checked (docs/rules.md, ACCESS).

What a right needs of the fields (whose, which topic) is checked where they are read, and by the engine where it stores or
reads; here stands what needs the caller alone. A browser that navigates is sent to the page where one signs in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from flask import Flask, Response

from newswire.core import limits
from newswire.core.model.commands import Audit
from newswire.core.model.names import SIGN_IN
from newswire.engine.seam import Engine
from newswire.errors import NewswireError, Refused
from newswire.threads import NeedsThread, must_not_wait
from newswire.web import auth as callers
from newswire.web import credentials, request_fields, sessions
from newswire.web.askers import Asker, is_navigation
from newswire.web.auth import ANONYMOUS, NOBODY, Authenticator, Caller
from newswire.web.availability import serving
from newswire.web.origins import asker
from newswire.web.pace import Pace
from newswire.web.request_fields import Environ, request_now
from newswire.web.responses import see_other
from newswire.web.route import ADMIN, PEER, PUBLIC, DeclaredRule, Right

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE_OF_PAGES: Final = "Bearer"  # a browser would ask for a password by itself, for a page that can do so better
_TICKET: Final = "ticket"


def install(app: Flask, engine: Engine, auth: Authenticator | None, pace: Pace) -> None:
    """Find the caller before each request, and count it. `auth`: None where nobody is asked."""
    if auth is None:
        app.before_request(lambda: callers.note_caller(request_now().environ, NOBODY))
        return
    check_serves = serving(engine)
    open_to_all, for_admins = _endpoints(app, PUBLIC, PEER), _endpoints(app, ADMIN)
    by_query = frozenset(rule.endpoint for rule in _rules(app) if rule.declared.takes_auth_field)
    audited = {rule.endpoint: rule.declared.audited for rule in _rules(app) if rule.declared.audited}

    @app.before_request
    def check() -> Response | None:
        request = request_now()
        environ = request.environ
        if is_navigation(environ) and (place := _same_host(engine, environ)):
            return see_other(place)
        endpoint = request.url_rule.endpoint if request.url_rule is not None else ""  # of what is not there: nobody's
        if endpoint in open_to_all:
            callers.note_caller(environ, ANONYMOUS)
            return None
        if (ticket := _ticket_of(environ)) is not None:
            return _use_ticket(engine, auth, environ, ticket)
        if endpoint in by_query and "HTTP_AUTHORIZATION" not in environ:
            credentials.take_from_query(environ)
        try:
            caller = auth.identify(environ)
        except NewswireError as error:
            if error.code != "unauthenticated":
                raise
            check_serves()  # while this broker starts or catches up, it does not know
            if is_navigation(environ):
                return see_other("/login?next=" + quote(_here(environ), safe="/"))
            raise
        if caller.by == "session" and environ["REQUEST_METHOD"] not in _SAFE and asker(engine, environ) is not Asker.OURS:
            raise Refused("what a browser changes has to come from a page of this broker", code="cross-site")
        pace.check(caller.username)
        if endpoint in for_admins and not caller.admin:
            raise Refused(f"this is for admins, and {caller.username} is not one: ask an admin")
        if endpoint in audited:
            engine.post([Audit(what=audited[endpoint], who=caller.username, at=environ.get("REMOTE_ADDR", ""))])
        callers.note_caller(environ, caller)
        return None

    @app.after_request
    def challenge(response: Response) -> Response:
        if response.status_code == 401 and not {"HTTP_SEC_FETCH_SITE", "HTTP_ORIGIN"}.isdisjoint(request_now().environ):
            response.headers["WWW-Authenticate"] = _CHALLENGE_OF_PAGES
        return response


def caller_check(app: Flask, auth: Authenticator | None) -> Callable[[Environ, str], None]:
    """A check of a request's head, and its endpoint, before its body is taken. It raises `unauthenticated`, `too-many`.

    What it would have to wait for is checked where the request is served.
    """
    open_to_all = _endpoints(app, PUBLIC, PEER)

    def check(environ: Environ, endpoint: str) -> None:
        if auth is None or endpoint in open_to_all:
            return
        try:
            auth.identify(environ)
        except NeedsThread:
            pass

    return check


def is_local(place: str) -> bool:
    """Say whether `place` is an address of our own, to go on to after signing in: never one of another site."""
    return place.startswith("/") and place[1:2] not in ("/", "\\") and place.isprintable() and "\\" not in place


def _endpoints(app: Flask, *rights: Right) -> frozenset[str]:
    """The endpoints of the routes that need one of `rights`."""
    return frozenset(rule.endpoint for rule in _rules(app) if not set(rights).isdisjoint(rule.declared.rights))


def _rules(app: Flask) -> list[DeclaredRule]:
    return [rule for rule in app.url_map.iter_rules() if isinstance(rule, DeclaredRule)]


def _here(environ: Environ) -> str:
    query = environ.get("QUERY_STRING", "")
    return str(environ["PATH_INFO"]) + (f"?{query}" if query else "")


def _same_host(engine: Engine, environ: Environ) -> str:
    """Where a browser that came by `localhost` goes, "" if it may stay: cookies of that name are not sent to 127.0.0.1."""
    own = next((row.ip for row in engine.describe().rows if row.self), "")
    name, _, port = own.partition(":")
    return f"http://{own}{_here(environ)}" if name == "127.0.0.1" and environ.get("HTTP_HOST") == f"localhost:{port}" else ""


def _ticket_of(environ: Environ) -> str | None:
    """The ticket that a request for a stream shows, if it shows one."""
    if environ["PATH_INFO"] != "/stream" or _TICKET not in environ.get("QUERY_STRING", ""):
        return None
    return request_fields.query(environ).get(_TICKET)


def _use_ticket(engine: Engine, auth: Authenticator, environ: Environ, ticket: str) -> Response | None:
    """Let in who shows a ticket; a browser that navigates gets a session that reads for it, and an address without it.

    A browser in which the same user is signed in stays so.
    """
    if must_not_wait():
        raise NeedsThread  # it can be used but once, so nothing may ask for another thread after this
    if not is_navigation(environ):
        caller, username = auth.use_ticket(ticket)
        callers.note_caller(environ, caller, username)
        return None
    if asker(engine, environ) is Asker.FOREIGN:
        raise Refused("a page of another site may not sign anybody in here", code="cross-site")
    try:
        caller, username = auth.use_ticket(ticket)
    except NewswireError:
        return see_other("/login?next=/")
    engine.post([Audit(what=SIGN_IN, who=caller.username, at=environ.get("REMOTE_ADDR", ""))])
    response = see_other(f"/stream?username={quote(username)}")
    if not auth.is_signed_in(environ, caller.username):
        value, secure = auth.new_session(caller), sessions.is_secure(environ)
        response.headers.add(*sessions.set_cookie(value, secure=secure, seconds=limits.TICKET_SESSION_SECONDS))
    return response


def caller_now() -> Caller:
    """Who asks in the request that is being served."""
    return callers.caller_of(request_now().environ)
