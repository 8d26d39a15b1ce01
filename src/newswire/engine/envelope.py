"""Signed pushes: what of a request proves that a broker of this cluster sent it (RELIABILITY 2, peers)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from newswire.core.events import Header
from newswire.engine import exchange
from newswire.errors import BadRequest


class Signer:
    """Signs pushes and opens those that come. Any thread."""

    def __init__(self, secrets: tuple[bytes, ...], broker: str) -> None:
        self._secrets, self._broker = secrets, broker

    def sign(self, path: str, body: bytes, address: str, time: float, nonce: str) -> Mapping[str, str]:
        """Headers for a push of `body` to the peer at `address`."""
        return {}

    def opened(self, path: str, headers: Mapping[str, str], body: bytes, time: float) -> tuple[Header, list[bytes]]:
        """Header and ops of a push. Raises Refused (`unauthenticated`), BadRequest (`bad-body`)."""
        try:
            return exchange.read(body)
        except msgspec.DecodeError as error:
            raise BadRequest(f"no push of a newswire broker: {error}", code="bad-body") from None
