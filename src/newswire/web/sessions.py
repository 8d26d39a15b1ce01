"""Sessions of browsers: a signed cookie that says who signed in, and how. Nothing of it is kept here.

It is signed with a key that all brokers of the cluster have, so a session goes on at another one and over a restart. It says
no more than what the state of any broker can confirm: this user, with this password (or this token), until then; and an id,
by which it can be ended.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from itsdangerous import BadSignature, URLSafeSerializer

from newswire.core import limits

COOKIE: Final = "newswire_session"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"  # in TLS: no other host of the domain, and no page in plain HTTP, can set it
_PURPOSE: Final = "newswire session"
_COOKIE_CHARS: Final = 1_024  # of one that is ours: two names, two ids, a digest, a signature


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a cookie says. `until`: seconds since 1970; `password`, `token`: the id or digest of what the user showed, or "".

    `feed`: the account whose news it reads, and nothing else, where a ticket was shown; else "".
    """

    id: str
    username: str
    account: str
    until: int
    password: str = ""
    token: str = ""
    feed: str = ""


class Cookies:
    """Writes and reads cookies. Any thread."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: the first signs, all verify."""
        self._serializer = URLSafeSerializer(
            list(reversed(keys)), salt=_PURPOSE, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )

    def write(self, session: Session) -> str:
        """The value of the cookie for `session`."""
        value = self._serializer.dumps(msgspec.to_builtins(session))
        return value if isinstance(value, str) else value.decode()

    def read(self, value: str) -> Session | None:
        """What the cookie says; None if it was not signed with one of the keys."""
        if len(value) > _COOKIE_CHARS:
            return None
        try:
            return msgspec.convert(self._serializer.loads(value), Session)
        except (BadSignature, msgspec.ValidationError):
            return None


def new_id() -> str:
    """An id for a session."""
    return secrets.token_urlsafe(12)


def cookie_of(environ: Mapping[str, Any]) -> str:
    """The value of the session's cookie, "" if the request has none. In TLS only one counts that was set in TLS."""
    return cookie_named(SECURE_COOKIE if is_secure(environ) else COOKIE, environ)


def cookie_named(name: str, environ: Mapping[str, Any]) -> str:
    """The value of the first cookie of this name, "" if the request has none."""
    for part in environ.get("HTTP_COOKIE", "").split(";"):
        own, _, value = part.strip().partition("=")
        if own == name:
            return str(value)
    return ""


def is_secure(environ: Mapping[str, Any]) -> bool:
    """Say whether the client speaks TLS, with this broker or a proxy that it trusts."""
    return environ.get("wsgi.url_scheme") == "https"


def set_cookie(value: str, *, secure: bool, seconds: int = limits.SESSION_SECONDS) -> tuple[str, str]:
    """The header that has a browser keep the cookie so long; with "", forget it. `secure`: send it over TLS only."""
    age = seconds if value else 0
    name, end = (SECURE_COOKIE, "; Secure") if secure else (COOKIE, "")
    return "Set-Cookie", f"{name}={value}; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax{end}"
