"""Browsers that signed in before: a signed cookie by which a browser counts by itself when passwords are guessed.

It lets nobody in: it says that somebody signed in under this name with this browser, at whichever broker. Whoever guesses that
name from many addresses has no such cookie, and so does not keep its owner out (`quotas/attempts.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from itsdangerous import BadSignature, URLSafeSerializer

from newswire.core import limits
from newswire.web import sessions

COOKIE: Final = "newswire_device"
_PURPOSE: Final = "newswire device"
_COOKIE_CHARS: Final = 512  # of one that is ours: a name, an id, a signature


class Device(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a cookie says."""

    id: str
    username: str


class Devices:
    """Writes and reads cookies. Any thread."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: the first signs, all verify."""
        self._serializer = URLSafeSerializer(
            list(reversed(keys)), salt=_PURPOSE, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )

    def write(self, username: str) -> str:
        """The value of a cookie for a browser in which `username` signed in."""
        value = self._serializer.dumps(msgspec.to_builtins(Device(sessions.new_id(), username)))
        return value if isinstance(value, str) else value.decode()

    def source_of(self, environ: Mapping[str, Any], username: str) -> str:
        """What stands for the browser that asks, if `username` signed in with it before; else ""."""
        value = sessions.cookie_named(COOKIE, environ)
        if not value or len(value) > _COOKIE_CHARS:
            return ""
        try:
            device = msgspec.convert(self._serializer.loads(value), Device)
        except (BadSignature, msgspec.ValidationError):
            return ""
        return f"device {device.id}" if device.username == username else ""


def set_cookie(value: str, *, secure: bool) -> tuple[str, str]:
    """The header that has a browser keep the cookie, and send it where one signs in, and nowhere else."""
    end = "; Secure" if secure else ""
    return "Set-Cookie", f"{COOKIE}={value}; Max-Age={limits.DEVICE_SECONDS}; Path=/login; HttpOnly; SameSite=Lax{end}"
