"""What a password has to be where one is set. Pure."""

from __future__ import annotations

from newswire.core import limits
from newswire.errors import BadRequest


def check_new_password(password: str) -> str:
    """`password` if it is long enough to be set. Raises `bad-field`. Any characters will do (NIST SP 800-63B, 5.1.1.2)."""
    if len(password) < limits.PASSWORD_CHARS:
        raise BadRequest(
            f"a password has at least {limits.PASSWORD_CHARS} characters: a few words are easier to keep than signs",
            code="bad-field",
        )
    return password
