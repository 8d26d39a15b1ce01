"""How brokers are reached: one spelling for each address, and where it leads."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.model.addresses import Place, is_address, is_tls, place_of, spell, url_of
from newswire.core.model.names import check_address, check_broker
from newswire.errors import BadRequest

ADDRESSES = [
    ("10.0.0.7:5053", "http://10.0.0.7:5053", Place("10.0.0.7", 5053, is_tls=False)),
    ("[::1]:5053", "http://[::1]:5053", Place("::1", 5053, is_tls=False)),
    ("https://news1.example.org", "https://news1.example.org", Place("news1.example.org", 443, is_tls=True)),
    ("https://news1.example.org:8443", "https://news1.example.org:8443", Place("news1.example.org", 8443, is_tls=True)),
    ("https://[fe80::1]", "https://[fe80::1]", Place("fe80::1", 443, is_tls=True)),
    ("https://[fe80::1]:8443", "https://[fe80::1]:8443", Place("fe80::1", 8443, is_tls=True)),
]


@pytest.mark.parametrize(("address", "url", "place"), ADDRESSES)
def test_an_address_is_a_place_and_a_url(address: str, url: str, place: Place) -> None:
    assert is_address(address)
    assert (url_of(address), place_of(address), is_tls(address)) == (url, place, place.is_tls)
    assert check_address(address) == check_broker(address) == check_broker(url) == spell(url) == address


@pytest.mark.parametrize(
    ("written", "spelt"),
    [
        ("https://News1.Example.ORG", "https://news1.example.org"),
        ("https://news1.example.org:443", "https://news1.example.org"),
        ("https://[fe80::1]:443", "https://[fe80::1]"),
    ],
)
def test_an_https_address_is_spelt_as_a_browser_spells_an_origin(written: str, spelt: str) -> None:
    assert check_address(written) == check_broker(written) == spelt


def test_a_client_may_write_a_url_of_plain_http() -> None:
    assert check_broker("http://news.example.org") == "news.example.org:80"
    assert check_broker("http://[::1]:5053") == "[::1]:5053"


@pytest.mark.parametrize(
    "text",
    ["https://", "https://a b", "https://a/path", "https://a@b", "https://a:0", "https://a:65536", "ftp://a:1", "https://a\n",
     "https://a:1;x", "http://a:1/x", f"https://{'a' * limits.ADDRESS_CHARS}"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    for check in (check_address, check_broker):
        with pytest.raises(BadRequest) as caught:
            check(text)
        assert caught.value.code == "bad-address"


def test_the_nearest_address_keeps_its_tls() -> None:
    with pytest.raises(BadRequest, match=r"perhaps `https://news1.example.org`"):
        check_address("https://news1.example.org/stream")
    with pytest.raises(BadRequest, match=r"perhaps `10.0.0.7:5054`"):
        check_address("http://10.0.0.7:5054/")
