"""Who counts as one caller, as far as limits and turns are concerned. Pure."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

_UNKNOWN: Final = ""
_OF_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", _UNKNOWN})


@lru_cache(4096)
def network_of(address: str) -> str:
    """The address, or of IPv6 the /64 that one caller has all of."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return "::1" if ip.is_loopback else str(ipaddress.ip_network((ip, 64), strict=False))


def is_counted(caller: str, *, own: bool) -> bool:
    """Say whether a limit of one caller counts for it; `own`: for this machine's own address, too.

    By default it does not: behind that stands a proxy that has many callers. An operator who sets the limit knows of none.
    """
    return caller not in _OF_THIS_MACHINE or (own and caller != _UNKNOWN)
