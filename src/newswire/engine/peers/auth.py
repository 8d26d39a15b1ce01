"""This broker's side of signed pushes: what it signs with, under which names it takes them (docs/http.md, Between brokers)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence

import msgspec

from newswire.core.broker.events import Header
from newswire.core.broker.values import Identity
from newswire.engine.peers import push_codec, signing
from newswire.errors import BadRequest


class Passport:
    """Signs and checks in this broker's name. Any thread."""

    def __init__(self, shared: Sequence[bytes], identity: Identity) -> None:
        """`shared`: the cluster secrets; the first signs, all verify; none: nothing is signed."""
        self._shared, self._origin = shared, identity.origin
        self._names = frozenset((identity.id, identity.origin, identity.address))
        self._verifier = signing.Verifier(shared)

    def sign(self, path: str, body: bytes, receiver: str, cluster: str) -> tuple[str, Mapping[str, str]]:
        """The nonce and the headers of a push to the peer at address `receiver`."""
        nonce = secrets.token_hex(16)
        signed = signing.Signed(sender=self._origin, receiver=receiver, cluster=cluster, time=_now_ms(), nonce=nonce)
        return nonce, signing.sign(self._shared, "POST", path, body, signed)

    def check_head(self, path: str, headers: Mapping[str, str]) -> None:
        """Check what a push says before its body is there. Raises LinkRefused (`unauthenticated`)."""
        self._verifier.check_head("POST", path, headers.get(signing.HEADER), own=self._origin, names=self._names, now=_now_ms())

    def open_push(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Header, list[bytes]]:
        """Nonce, header and ops of a push. Raises LinkRefused (`unauthenticated`), BadRequest (`bad-body`)."""
        signed = self._verifier.verify(
            "POST", path, body, headers.get(signing.HEADER), own=self._origin, names=self._names, now=_now_ms()
        )
        try:
            header, raws = push_codec.read(body)
        except msgspec.DecodeError as error:
            raise BadRequest(f"no push of a newswire broker: {error}", code="bad-body") from None
        return signed.nonce if signed else "", header, raws

    def seal(self, nonce: str, status: int, body: bytes) -> bytes:
        """The body of the answer to the push with this nonce."""
        return signing.seal(self._shared, nonce, status, body)

    def open_answer(self, nonce: str, status: int, body: bytes) -> tuple[Header, list[bytes]]:
        """Header and ops of an answer. Raises LinkRefused (`unauthenticated`), msgspec.DecodeError."""
        return push_codec.read(signing.unseal(self._shared, nonce, status, body))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
