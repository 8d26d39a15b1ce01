"""The names under which a broker answers while it asks nobody who he is.

A page of another site whose name suddenly means this machine (DNS rebinding) is of the same origin as this broker to its
browser. What gives it away is the name that it asks for. (docs/rules.md, WHO MAY ACT)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from newswire.core.model.addresses import HTTPS

_CACHE_COUNT: Final = 64  # headers: a broker is asked for by a few names, and reading an address takes 3 µs
_CACHE_CHARS: Final = 100  # of a header; longer ones are no name that anybody has

ANY: Final = "*"  # of --allow-host: a proxy before the broker looks at names
_WITH_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")


class Hosts:
    """The names that are a broker's own. `host`, `advertise`: as it was told; `allowed`: further names, or `*` for all."""

    def __init__(self, host: str, advertise: str, allowed: Iterable[str]) -> None:
        names = [name for name in (host, _without_port(advertise.removeprefix(HTTPS)), *map(_without_port, allowed)) if name]
        self._names = {"localhost", *map(_plain, names)}
        address = _address(host)
        self._everywhere = not host or (address is not None and address.is_unspecified)
        self._any = ANY in self._names
        self._cache: Callable[[str], bool] = lru_cache(_CACHE_COUNT)(self._is_own)

    def own(self, header: str) -> bool:
        """Say whether the value of a `Host` header names this broker. The port is not looked at: a forwarded one is another.

        Where it listens at every address, each address will do: behind NAT it does not know its own, and it takes a name to
        make a browser ask a machine that it did not mean.
        """
        if self._any or not header:  # a browser always sends one
            return True
        return self._cache(header) if len(header) <= _CACHE_CHARS else self._is_own(header)

    def _is_own(self, header: str) -> bool:
        name = _plain(_without_port(header))
        if name in self._names:
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or self._everywhere)


def _without_port(header: str) -> str:
    match = _WITH_PORT.fullmatch(header)
    return match[1] if match else header


def _plain(name: str) -> str:
    """One spelling of a name or address."""
    name = name.lower().removesuffix(".")
    address = _address(name)
    return name if address is None else str(address)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip
