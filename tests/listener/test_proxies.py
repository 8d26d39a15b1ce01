"""Whose X-Forwarded-* headers count, and what they make of a request."""

from __future__ import annotations

import pytest

from newswire.listener.proxies import Forwarded, Proxies

NGINX = "10.0.0.5"
TRUSTED = Proxies([NGINX, "10.1.0.0/24", "::1"])


@pytest.mark.parametrize("address", ["203.0.113.7", "10.0.0.6", "10.1.1.1", "::2", "", "localhost"])
def test_anybody_may_send_headers_that_nobody_believes(address: str) -> None:
    headers = {"X_FORWARDED_FOR": "192.0.2.1", "X_FORWARDED_HOST": "news.example.org", "X_FORWARDED_PROTO": "https"}
    assert TRUSTED.forwarded(address, headers) == Forwarded(address)
    assert Proxies().forwarded(NGINX, headers) == Forwarded(NGINX)


@pytest.mark.parametrize("address", [NGINX, "10.1.0.77", "::1", "::ffff:10.0.0.5"])
def test_a_trusted_proxy_names_who_asks(address: str) -> None:
    headers = {"X_FORWARDED_FOR": "192.0.2.1", "X_FORWARDED_HOST": "news.example.org:8443", "X_FORWARDED_PROTO": "HTTPS"}
    assert TRUSTED.forwarded(address, headers) == Forwarded("192.0.2.1", "news.example.org:8443", "https")


@pytest.mark.parametrize(
    ("told", "caller"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),  # what the caller himself sent stands before what the proxy added
        ("6.6.6.6, 192.0.2.1, 10.1.0.9", "192.0.2.1"),  # two proxies
        ("10.1.0.8, 10.1.0.9", "10.1.0.8"),
        ("6.6.6.6, unknown, 10.1.0.9", "10.1.0.9"),
        ("6.6.6.6, _hidden", NGINX),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", NGINX),
        (" , ", NGINX),
        ("evil\\r\\n", NGINX),
    ],
)
def test_a_list_is_read_from_its_end(told: str, caller: str) -> None:
    assert TRUSTED.forwarded(NGINX, {"X_FORWARDED_FOR": told}).caller == caller


@pytest.mark.parametrize("host", ["a b", "http://x", "x/y", "x:y", "\xe4.example", "evil.example, "])
def test_what_is_no_host_is_not_taken(host: str) -> None:
    assert TRUSTED.forwarded(NGINX, {"X_FORWARDED_HOST": host, "X_FORWARDED_PROTO": "gopher"}) == Forwarded(NGINX)


def test_of_several_the_last_was_written_by_the_proxy() -> None:
    headers = {"X_FORWARDED_HOST": "evil.example, news.example.org", "X_FORWARDED_PROTO": "http, https"}
    assert TRUSTED.forwarded(NGINX, headers) == Forwarded(NGINX, "news.example.org", "https")


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError):
        Proxies(["news.example.org"])
