"""How brokers are reached: `HOST:PORT` in plain HTTP, `https://HOST` or `https://HOST:PORT` in TLS. Pure.

An https address is spelt as browsers spell an origin (lower case, no port where it is 443), so that one broker has one
spelling in options, operations, rows, pages and what a browser says of its page.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HTTPS: Final = "https://"
_HTTP: Final = "http://"
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_PORT: Final = r"0*(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
FORM: Final = rf"(?:{_HOST}:{_PORT}|{HTTPS}{_HOST}(?::{_PORT})?)"  # also of those in replicated ops

_ADDRESS: Final = re.compile(FORM)
_URL: Final = re.compile(rf"{_HTTP}({_HOST})(?::({_PORT}))?")


class Place(NamedTuple):
    """Where to connect. `host` is without the brackets of an IPv6 address."""

    host: str
    port: int
    is_tls: bool


def is_address(text: str) -> bool:
    """Say whether `text` has the form of an address."""
    return _ADDRESS.fullmatch(text) is not None


def spell(address: str) -> str:
    """The one spelling of an address, also of one that is written as a URL of plain HTTP."""
    if match := _URL.fullmatch(address):
        return f"{match[1]}:{match[2] or _HTTP_PORT}"
    if is_tls(address):
        return address.lower().removesuffix(f":{_HTTPS_PORT}")
    return address


def is_tls(address: str) -> bool:
    """Say whether a broker is reached there in TLS."""
    return address.startswith(HTTPS)


def url_of(address: str) -> str:
    """The URL of the broker at `address`, without a path."""
    return address if is_tls(address) else _HTTP + address


def place_of(address: str) -> Place:
    """Where to connect for `address`. Raises ValueError for what is none."""
    rest = address.removeprefix(HTTPS)
    host, colon, port = rest.rpartition(":")
    if is_tls(address) and (not colon or rest.endswith("]")):
        host, port = rest, str(_HTTPS_PORT)
    return Place(host.strip("[]"), int(port), is_tls(address))
