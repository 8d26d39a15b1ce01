"""Keys for one purpose each, made of one secret (RFC 5869, with SHA-256): what signs one thing is of no use for another."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_HASH: Final = hashlib.sha256


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for `purpose`."""
    extracted = hmac.digest(bytes(_HASH().digest_size), secret, _HASH)
    return hmac.digest(extracted, purpose.encode() + b"\x01", _HASH)
