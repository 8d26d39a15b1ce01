"""Proxies before this broker: whose `X-Forwarded-*` headers count, and who the caller behind them is. Pure.

Anybody can send such headers. They count where the connection comes from an address that the operator named
(`--trusted-proxy`), and then as far as trusted proxies wrote them: a list is read from its end.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from newswire.listener.http_head import is_host

_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]*)?|([0-9.]+):[0-9]*")


class Forwarded(NamedTuple):
    """What a request is behind its proxies; `host` and `scheme` are "" where they do not say."""

    caller: str  # the address of who asks
    host: str = ""
    scheme: str = ""


class Proxies:
    """The proxies that are trusted: addresses and networks in CIDR notation. Any thread."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """Raises ValueError for what is neither."""
        self._networks = [ipaddress.ip_network(one, strict=False) for one in trusted]

    def trusts(self, address: str) -> bool:
        """Say whether a proxy is at `address`."""
        ip = _parse(address) if self._networks else None
        return ip is not None and any(ip in network for network in self._networks)

    def caller(self, address: str, headers: Mapping[str, str]) -> str:
        """The address of who asks: of the connection, or the last in `X-Forwarded-For` that is no trusted proxy.

        `headers`: as waitress keeps them, `X_FORWARDED_FOR`. What is no address ends the list: nobody vouches for it.
        """
        if not self.trusts(address):
            return address
        for part in reversed(headers.get("X_FORWARDED_FOR", "").split(",")):
            match = _PORT.fullmatch(part.strip())
            ip = _parse((match[1] or match[2] or "") if match else part.strip())
            if ip is None:
                break
            address = str(ip)
            if not self.trusts(address):
                break
        return address

    def forwarded(self, address: str, headers: Mapping[str, str]) -> Forwarded:
        """What the request of a connection from `address` is."""
        if not self.trusts(address):
            return Forwarded(address)
        host, scheme = (headers.get(name, "").rpartition(",")[2].strip() for name in ("X_FORWARDED_HOST", "X_FORWARDED_PROTO"))
        scheme = scheme.lower()
        return Forwarded(
            self.caller(address, headers), host if is_host(host) else "", scheme if scheme in ("http", "https") else ""
        )


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip
