"""Why no broker answered: what requests and urllib3 raise, told apart and in words."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import requests
import urllib3

from newswire import tls

_TLS_ALERT: Final = "\x15\x03"  # how a TLS server answers what is not TLS


class Unreached(Exception):
    """No answer of a broker. `perhaps`: one may have got the request. `silent`: it kept silent until the timeout."""

    def __init__(self, reason: str, *, perhaps: bool = True, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.perhaps = perhaps
        self.silent = silent


def judge(error: Exception) -> Unreached:
    """Tell people why nobody was reached, from the innermost cause, which knows it."""
    causes = list(_causes(error))
    for kind, tell in _JUDGES:
        for cause in causes:
            if isinstance(cause, kind):
                return tell(cause)
    return Unreached("the connection broke before an answer came")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what led to it, outermost first: urllib3 and requests hand causes on in three ways."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = [part for part in (*error.args, getattr(error, "reason", None)) if isinstance(part, BaseException)]
        error = inner[0] if inner else error.__cause__ or error.__context__


def _no_tls(error: BaseException) -> Unreached:
    why = tls.reason(error)
    return Unreached(why, perhaps=why != tls.SPEAKS_HTTP and not isinstance(error, ssl.SSLCertVerificationError))


def _no_http(error: BaseException) -> Unreached:
    line = str(error.args[0] if error.args else error)
    if line.strip("'\"").startswith((_TLS_ALERT, repr(_TLS_ALERT)[1:-1])):
        return Unreached(tls.SPEAKS_TLS, perhaps=False)
    return Unreached("what answers there does not speak HTTP: is that the port of a newswire broker?", perhaps=False)


def _no_connection(error: BaseException) -> Unreached:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ConnectionRefusedError):
        return Unreached("no connection (nobody listens there)", perhaps=False)
    return Unreached(f"no connection ({getattr(cause, 'strerror', None) or 'this network does not reach it'})", perhaps=False)


# the first kind that is among the causes decides
_Kinds = type[BaseException] | tuple[type[BaseException], ...]
_JUDGES: Final[tuple[tuple[_Kinds, Callable[[BaseException], Unreached]], ...]] = (
    (
        urllib3.exceptions.NameResolutionError,
        lambda _: Unreached("this name is not known here: check its spelling, or give the address", perhaps=False),
    ),
    (urllib3.exceptions.NewConnectionError, _no_connection),
    (requests.exceptions.ConnectTimeout, lambda _: Unreached("no connection in time", perhaps=False, silent=True)),
    (requests.exceptions.ReadTimeout, lambda _: Unreached("no answer in time", silent=True)),
    (ssl.SSLError, _no_tls),
    (http.client.RemoteDisconnected, lambda _: Unreached("it closed the connection without an answer")),
    (http.client.BadStatusLine, _no_http),
    (
        (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError, UnicodeError),
        lambda _: Unreached("this is no address", perhaps=False),
    ),
)
