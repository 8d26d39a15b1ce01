"""Who counts as one caller, as far as limits and turns are concerned. Pure."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

_OF_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", ""})  # "": unknown


@lru_cache(4096)
def network_of(address: str) -> str:
    """The address, or of IPv6 the /64 that one caller has all of."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return "::1" if found.is_loopback else str(ipaddress.ip_network((found, 64), strict=False))


def is_counted(caller: str) -> bool:
    """Say whether limits of one caller count: not for this machine's own address, behind which a proxy has many callers."""
    return caller not in _OF_THIS_MACHINE
