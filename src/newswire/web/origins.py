"""Which pages may do what here: CSRF and CORS in one place.

A page of one broker goes on at another when its own is gone, so the members' own pages may use what the feed needs
(`_SHARED`) at any member, and no other page may. Whatever changes something is refused to a page of a foreign origin
altogether: a browser sends such requests without asking first, with the network access of the person before it.
Programs send no `Origin` and are not meant here.
"""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, request

from newswire.core import limits
from newswire.engine.seam import Engine
from newswire.errors import Refused
from newswire.web.bodies import Environ

_SHARED: Final = {
    "/stream": "GET",
    "/subscriptions": "GET",
    "/messages": "GET",
    "/topics": "GET",
    "/list_replicas": "GET",
    "/publish": "POST",
    "/subscribe": "POST",
    "/unsubscribe": "POST",
    "/ack": "POST",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = "Content-Type, Idempotency-Key, Last-Event-ID"


def install(app: Flask, engine: Engine) -> None:
    """Check each request's origin before it is served, and tell the browser afterwards who may see the answer."""

    @app.before_request
    def check() -> Response | None:
        origin = request.environ.get("HTTP_ORIGIN")
        if origin is None:
            return None
        if _is_preflight(request.environ):
            return _preflight() if is_member(engine, origin) else None  # None: 405, which no browser takes for a yes
        if request.method not in _SAFE and not _is_own(request.environ, origin) and not is_member(engine, origin):
            raise Refused("a page of another site may not do this here: use the page of this broker", code="forbidden")
        return None

    @app.after_request
    def tell(response: Response) -> Response:
        environ = request.environ
        if environ["PATH_INFO"] in _SHARED:
            origin = environ.get("HTTP_ORIGIN")
            response.headers.add("Vary", "Origin")
            if origin is not None and is_member(engine, origin):
                response.headers["Access-Control-Allow-Origin"] = origin
        return response


def is_member(engine: Engine, origin: str) -> bool:
    """Say whether `origin` is the address of a broker of this cluster."""
    scheme, _, address = origin.partition("://")
    return scheme == "http" and _plain(address) in {_plain(row.ip) for row in engine.describe().rows}


def _is_own(environ: Environ, origin: str) -> bool:
    """Say whether the page came from this very host, under whatever name and scheme (a proxy may end TLS)."""
    return bool(origin.partition("://")[2]) and origin.partition("://")[2].lower() == environ.get("HTTP_HOST", "").lower()


def _plain(address: str) -> str:
    """`localhost` is what people type for 127.0.0.1; a port that HTTP implies is not written in an origin."""
    address = address.lower().removesuffix(":80")
    return "127.0.0.1" + address[9:] if address.startswith("localhost") and address[9:10] in ("", ":") else address


def _is_preflight(environ: Environ) -> bool:
    wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
    return environ["REQUEST_METHOD"] == "OPTIONS" and wanted is not None and _SHARED.get(environ["PATH_INFO"]) == wanted


def _preflight() -> Response:
    headers = {
        "Access-Control-Allow-Methods": _SHARED[request.path],
        "Access-Control-Allow-Headers": _HEADERS,
        "Access-Control-Max-Age": str(limits.PREFLIGHT_CACHE_SECONDS),
    }
    return Response(b"", 204, headers)
