"""What a password has to be where one is set."""

from __future__ import annotations

import pytest

from newswire.core.model.passwords import check_new_password
from newswire.errors import BadRequest


def test_it_has_eight_characters_of_whatever_kind() -> None:
    for word in ("12345678", "ßßßßßßßß", "        ", "x" * 5_000):
        assert check_new_password(word) == word
    for word in ("", "1234567", "ß" * 7):
        with pytest.raises(BadRequest, match="at least 8 characters") as raised:
            check_new_password(word)
        assert raised.value.code == "bad-field"
