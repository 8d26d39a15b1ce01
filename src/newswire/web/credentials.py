"""What a request shows in its Authorization header to say who asks: a token, a user and a password, or a user and a token."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from newswire.core import limits

TOKEN_PREFIX: Final = "nw_"  # by which scanners of code find one that was published by mistake
_TOKEN: Final = re.compile(r"nw_[A-Za-z0-9_-]{22,128}")


class TokenShown(msgspec.Struct, frozen=True):
    """A token; of `username`, where that is said beside it."""

    digest: str
    username: str = ""


class PasswordShown(msgspec.Struct, frozen=True):
    """A user and a password. `__repr__` and so every log goes without the password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"PasswordShown({self.username!r})"


def read(header: str) -> TokenShown | PasswordShown | None:
    """What an Authorization header (RFC 9110, 11.6.2) shows; None where that is nothing of ours.

    The token of Basic stands as the password (RFC 7617), beside its user's name.
    """
    scheme, _, value = header.partition(" ")
    value = value.strip()
    match scheme.lower():
        case "bearer":
            return TokenShown(digest_of(value)) if is_token(value) else None
        case "basic":
            username, colon, password = _decode(value).partition(":")
            if not colon:
                return None
            return TokenShown(digest_of(password), username) if is_token(password) else PasswordShown(username, password)
        case _:
            return None


def take_from_query(environ: dict[str, Any]) -> None:
    """Take what the query shows as `auth` for the Authorization header: that header's value in base64url (docs/ntfy.md).

    Only where a route says so: an address lands in logs of proxies and in histories.
    """
    with suppress(ValueError):
        fields = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=limits.FIELDS_COUNT)
        for value in (*fields.get("auth", ()), *fields.get("authorization", ())):
            plain = value.rstrip("=").translate(str.maketrans("+/ ", "-_-"))
            with suppress(ValueError, UnicodeError):
                environ["HTTP_AUTHORIZATION"] = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4)).decode("latin-1")


def is_token(text: str) -> bool:
    """Say whether `text` has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def new_token() -> str:
    """A token: the one time that it is there in clear."""
    return TOKEN_PREFIX + secrets.token_urlsafe(limits.TOKEN_BYTES)


def digest_of(token: str) -> str:
    """Its SHA-256: what is stored and looked up. It is all chance, so neither a salt nor a slow hash is needed.

    How long the look-up takes says something of the digest, which leads nobody to a token.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _decode(value: str) -> str:
    """Basic's user and password; "" where they cannot be read. The header is latin-1 to WSGI, its content UTF-8."""
    try:
        return base64.b64decode(value.encode("latin-1"), validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        return ""
