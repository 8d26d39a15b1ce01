"""Who a client says it is: a token, or a user and a password, as the header of a request; and where a token comes from.

What is secret stands in that header and in private fields alone: no text that is made of these objects, of a pool or of an
error shows it, and no address ever holds it.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from newswire.client import checks
from newswire.core.model import names
from newswire.errors import BadRequest
from newswire.text import decode, read_small

TOKEN_VARIABLE: Final = "NEWSWIRE_TOKEN"
NO_ONE: Final = "nothing"  # the `kind` of a client that says nothing of itself


class Credential:
    """A token, or a user and a password. Shows neither token nor password."""

    def __init__(self, kind: str, header: str) -> None:
        self.kind = kind
        self._header = header

    def __repr__(self) -> str:
        return f"<Credential: {self.kind}>"

    def header(self) -> str:
        """The value of `Authorization`."""
        return self._header


class TokenFile(Credential):
    """The token that a file holds. It is read again once that has changed, so that another token takes no restart. Any thread.

    What cannot be read then, or can be no token, counts as no change.
    """

    def __init__(self, path: str, token: str) -> None:
        """`token`: what was read from it a moment ago."""
        super().__init__("token", bearer(token).header())
        self._path, self._seen = path, (0, 0)

    def header(self) -> str:
        """The value of `Authorization`."""
        with suppress(OSError, BadRequest):
            status = os.stat(self._path)
            seen, self._seen = self._seen, (status.st_ino, status.st_ctime_ns)
            if seen != self._seen:
                self._header = bearer(_token_in(self._path)).header()
        return self._header


def bearer(token: str) -> Credential:
    """The credential that a token is. Raises BadRequest, without a word of it, for what can be none."""
    token = token.strip()
    if not token:
        raise BadRequest("the token is empty: an admin makes one, and so does `newswire token create`", code="bad-field")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise BadRequest("that is no token: one is letters, digits, _ and -, without blanks, in one piece", code="bad-field")
    return Credential("token", f"Bearer {token}")


def basic(user: str, password: str) -> Credential:
    """The credential of a user and a password. Raises BadRequest for what is no username."""
    pair = f"{names.check_username(user)}:{password}"
    try:
        return Credential("password", f"Basic {base64.b64encode(pair.encode()).decode()}")
    except UnicodeEncodeError:
        raise BadRequest("the password is not UTF-8 text", code="bad-field") from None


def choose(token: object, user: object, password: object, environ: Mapping[str, str]) -> Credential | None:
    """The credential that a program gave, else the token of its environment, else None.

    Raises TypeError for a password without a user, or one beside a token; BadRequest for what can be no credential.
    """
    token, password = checks.secret_or_none("token", token), checks.secret_or_none("password", password)
    user = checks.text_or_none("user", user)
    if token is not None and password is not None:
        raise TypeError("`token` and `password` are both given: one is enough")
    if password is not None:
        if user is None:
            raise TypeError("`password` is given without `user`: whose is it?")
        return basic(user, password)
    if user is not None:
        raise TypeError("`user` is given without `password`")
    if token is not None:
        return bearer(token)
    token, path = token_of(environ), environ.get(f"{TOKEN_VARIABLE}_FILE", "").strip()
    return None if token is None else TokenFile(path, token) if path else bearer(token)


def token_of(environ: Mapping[str, str]) -> str | None:
    """The token in NEWSWIRE_TOKEN, or in the file that NEWSWIRE_TOKEN_FILE names; None without either.

    Raises BadRequest for both at once, and for a file that cannot be read or that every user of the machine can read.
    """
    token, path = environ.get(TOKEN_VARIABLE, "").strip(), environ.get(f"{TOKEN_VARIABLE}_FILE", "").strip()
    if token and path:
        raise BadRequest(f"{TOKEN_VARIABLE} and {TOKEN_VARIABLE}_FILE are both set: keep one of them", code="bad-field")
    return _token_in(path) if path else token or None


def _token_in(path: str) -> str:
    """The token in this file. Raises BadRequest as `token_of`."""
    try:
        if stat.S_IMODE(os.stat(path).st_mode) & (stat.S_IROTH | stat.S_IWOTH):
            raise BadRequest(f"{path} holds a token and every user can read or write it: chmod 600 {path}", code="bad-field")
        token = decode(read_small(Path(path))).strip()
    except OSError as error:
        raise BadRequest(f"cannot read the token from {path}: {error.strerror}", code="bad-field") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{path} holds no token: it is not UTF-8 text", code="bad-field") from None
    if not token:
        raise BadRequest(f"{path} is blank: it should hold a token", code="bad-field")
    return token


def refusal(kind: str) -> str:
    """What to do after a 401, by the `kind` of credential that was sent."""
    if kind == "token":
        return "the brokers do not take this token: it is mistyped, has expired, or was revoked; make a new one"
    if kind == "password":
        return "the brokers do not take this name and password: one of them is wrong"
    return f"the brokers ask who you are: give `token=`, or `user=` and `password=`, or set {TOKEN_VARIABLE} (or ..._FILE)"
