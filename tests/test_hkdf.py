"""Keys of one secret: RFC 5869."""

from __future__ import annotations

import hashlib
import hmac

from newswire.hkdf import derive


def test_it_is_the_rfcs_with_no_salt() -> None:
    """Appendix A.3: no salt, no info; its first 32 bytes."""
    assert derive(b"\x0b" * 22, "").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert len({derive(b"s" * 32, "a"), derive(b"s" * 32, "b"), derive(b"t" * 32, "a")}) == 3
    assert derive(b"s" * 32, "a") != hmac.digest(b"s" * 32, b"a", hashlib.sha256)
