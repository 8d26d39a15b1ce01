"""The Authorization header: Bearer, Basic with a password, Basic with a token; anything else shows nothing."""

from __future__ import annotations

import base64
import hashlib

import pytest

from newswire.web.credentials import PasswordShown, TokenShown, digest_of, is_token, new_token, read


def basic(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


def test_a_token_is_160_bits_of_chance_and_stored_as_its_digest() -> None:
    token = new_token()
    assert is_token(token)
    assert len(token) == len("nw_") + 27
    assert token != new_token()
    assert digest_of(token) == hashlib.sha256(token.encode()).hexdigest()


def test_bearer() -> None:
    token = new_token()
    shown = TokenShown(digest_of(token))
    assert read(f"Bearer {token}") == read(f"bearer   {token}") == shown


def test_basic() -> None:
    token = new_token()
    assert read(basic("ann:a:b")) == PasswordShown("ann", "a:b")
    assert read(basic("ann:")) == PasswordShown("ann", "")
    assert read(basic("ann:geheim ü")) == PasswordShown("ann", "geheim ü")
    assert read(basic(f"ann:{token}")) == TokenShown(digest_of(token), "ann")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer nw_short", "Bearer a b", "Basic", "Basic !", "Basic YQ", "Basic ü", basic("no colon")]
    + [basic("ann:ü", "latin-1"), "Digest x", "nw_" + "a" * 27, "Bearer nw_" + "a" * 200],
)
def test_anything_else_shows_nothing(header: str) -> None:
    assert read(header) is None


def test_no_log_shows_a_password() -> None:
    assert "hush" not in repr(PasswordShown("ann", "hush"))
