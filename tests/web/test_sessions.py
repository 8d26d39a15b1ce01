"""Cookies of sessions: what they say is what was signed, by any broker with one of the keys."""

from __future__ import annotations

import pytest

from newswire.web.sessions import COOKIE, SECURE_COOKIE, Cookies, Session, cookie_of, new_id, set_cookie

OLD, NEW = b"o" * 32, b"n" * 32
SESSION = Session("s1", "Alice", "1001-a.1", 1_800_000_000, password="1001-a.2")


def test_a_cookie_is_read_by_every_broker_that_has_the_key() -> None:
    value = Cookies([NEW]).write(SESSION)
    assert Cookies([NEW]).read(value) == SESSION
    assert Cookies([OLD]).read(value) is None
    assert Cookies([NEW]).read(Cookies([OLD]).write(SESSION)) is None


def test_while_secrets_are_changed_both_are_good() -> None:
    both = Cookies([NEW, OLD])
    assert both.read(Cookies([OLD]).write(SESSION)) == SESSION
    assert Cookies([NEW]).read(both.write(SESSION)) == SESSION  # the first signs


@pytest.mark.parametrize("value", ["", "x", "a.b", "é", ".".join("abc"), "x" * 10_000])
def test_what_is_no_cookie_of_ours_says_nothing(value: str) -> None:
    assert Cookies([NEW]).read(value) is None


def test_a_changed_one_says_nothing() -> None:
    value = Cookies([NEW]).write(SESSION)
    for at in range(len(value)):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        assert Cookies([NEW]).read(changed) in (None, SESSION)  # the last letter of base64 has spare bits


def test_the_cookie_among_others() -> None:
    assert cookie_of({"HTTP_COOKIE": f"a=b; {COOKIE}=x.y==; c={COOKIE}=z"}) == "x.y=="
    assert cookie_of({"HTTP_COOKIE": f"x{COOKIE}=1"}) == ""
    assert cookie_of({}) == ""


def test_in_tls_only_a_cookie_counts_that_was_set_in_tls() -> None:
    """Whoever speaks for another host of the domain, or in plain HTTP, can set one of any other name."""
    both = f"{COOKIE}=planted; {SECURE_COOKIE}=own"
    assert cookie_of({"HTTP_COOKIE": both, "wsgi.url_scheme": "https"}) == "own"
    assert cookie_of({"HTTP_COOKIE": f"{COOKIE}=planted", "wsgi.url_scheme": "https"}) == ""
    assert cookie_of({"HTTP_COOKIE": both, "wsgi.url_scheme": "http"}) == "planted"


def test_no_script_reads_it_and_no_other_site_sends_it() -> None:
    name, value = set_cookie("v", secure=True)
    assert name == "Set-Cookie"
    assert value.split("; ") == [f"{SECURE_COOKIE}=v", "Max-Age=1209600", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    assert set_cookie("v", secure=False)[1].startswith(f"{COOKIE}=v; ")
    assert "Secure" not in set_cookie("v", secure=False)[1]
    assert "Max-Age=0;" in set_cookie("", secure=False)[1]


def test_ids_differ() -> None:
    assert new_id() != new_id()
