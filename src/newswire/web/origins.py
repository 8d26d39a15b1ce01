"""Which pages may do what here: names of this broker, CSRF and CORS in one place (docs/rules.md, WHO MAY ACT).

A page of one broker goes on at another when its own is gone, so the members' own pages may use what the feed needs
(`Route.is_shared`) at any member, and no other page may. Whatever changes something is refused to a page of a foreign origin
altogether, and so is what reads everything (`Route.reads_all`): a browser sends such requests without asking first, with the
network access of the person before it.
Programs send no `Origin` and are not meant here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Flask, Response

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model.addresses import url_of
from newswire.engine.seam import Engine
from newswire.errors import Refused
from newswire.web.askers import Asker, who_asks
from newswire.web.hosts import Hosts
from newswire.web.request_fields import Environ, request_now
from newswire.web.responses import shown
from newswire.web.route import routes_of

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"


def install(app: Flask, engine: Engine, settings: ServiceSettings) -> None:
    """Check each request's name and origin before it is served, and tell the browser afterwards who may see the answer."""
    check_host, check_page = host_check(settings), page_check(app, engine)
    shared = {route.path: route.method for route in routes_of(app) if route.is_shared}

    @app.before_request
    def check() -> Response | None:
        environ = request_now().environ
        check_host(environ)
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and environ["REQUEST_METHOD"] == "OPTIONS":
            method = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "")
            if shared.get(environ["PATH_INFO"]) == method:
                return _preflight(method) if is_member(engine, origin) else None  # None: 405, which no browser takes for a yes
        check_page(environ)
        return None

    @app.after_request
    def tell(response: Response) -> Response:
        environ = request_now().environ
        if environ["PATH_INFO"] in shared:
            origin = environ.get("HTTP_ORIGIN")
            response.headers.add("Vary", "Origin")
            if origin is not None and is_member(engine, origin):
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Allow-Credentials"] = "true"
        return response


def host_check(settings: ServiceSettings) -> Callable[[Environ], None]:
    """A check whether a request names this broker. It raises `misdirected`."""
    hosts = Hosts(settings.host, settings.advertise, settings.allowed_hosts)

    def check(environ: Environ) -> None:
        if settings.auth == "none" and not hosts.own(host := environ.get("HTTP_HOST", "")):
            raise Refused(
                f"{shown(host)} is no name of this broker: use an address of GET /list_replicas,"
                " or start the broker with --allow-host and this name",
                code="misdirected",
            )

    return check


def page_check(app: Flask, engine: Engine) -> Callable[[Environ], None]:
    """A check whether a page of another site would change something. It raises `cross-site`.

    Also for what has everything read, and then for a browser that does not say for which page it asks, too.
    """
    whole = frozenset(route.path for route in routes_of(app) if route.reads_all)

    def check(environ: Environ) -> None:
        reads_all = environ["PATH_INFO"] in whole
        if not reads_all and environ["REQUEST_METHOD"] in _SAFE:
            return
        who = asker(engine, environ)
        if who is Asker.FOREIGN or (reads_all and who is Asker.UNKNOWN):
            detail = "a backup is for programs, and no page of another site may ask for it: use `newswire backup`, or curl"
            if not reads_all:
                detail = (
                    "a page of another site may not do this here: use the page of this broker; behind a proxy, have it pass on"
                    " the header Host"
                )
            raise Refused(detail, code="cross-site")

    return check


def asker(engine: Engine, environ: Environ) -> Asker:
    """Say whose word a request is."""
    return who_asks(environ, lambda origin: _is_own(environ, origin) or is_member(engine, origin))


def is_member(engine: Engine, origin: str) -> bool:
    """Say whether `origin` is the address of a broker of this cluster."""
    page = _split(origin)
    return any(page == _split(url_of(row.ip)) for row in engine.describe().rows)


def _is_own(environ: Environ, origin: str) -> bool:
    """Say whether the page came from this very host, under whatever name.

    A proxy may end TLS and not say so; where one says so, what came in plain HTTP is another's.
    """
    scheme, address = _split(origin)
    if environ.get("wsgi.url_scheme") == "https" and scheme != "https":
        return False
    return bool(address) and address == _plain(environ.get("HTTP_HOST", ""), scheme)


def _split(origin: str) -> tuple[str, str]:
    scheme, _, address = origin.partition("://")
    return scheme, _plain(address, scheme)


def _plain(address: str, scheme: str) -> str:
    """`localhost` is what people type for 127.0.0.1; the port that the scheme implies need not be written."""
    address = address.lower().removesuffix(":443" if scheme == "https" else ":80")
    return "127.0.0.1" + address[9:] if address.startswith("localhost") and address[9:10] in ("", ":") else address


def _preflight(method: str) -> Response:
    headers = {
        "Access-Control-Allow-Methods": method,
        "Access-Control-Allow-Headers": _HEADERS,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Max-Age": str(limits.PREFLIGHT_CACHE_SECONDS),
    }
    return Response(b"", 204, headers)
