"""Signatures between brokers: HMAC-SHA-256 with the cluster secret. Pure: time and nonces are arguments.

A push is signed over its method, path, the digest of its body, sender, receiver, cluster id, time and nonce; an answer over the
nonce of the push that it answers, its status and body. So what is changed on the way, or sent to another broker, cluster or
route, is refused; a push that is sent again is refused for its nonce, or for its time once the nonce may be forgotten;
a push that is thrown back to its sender is refused, as it is its own; an answer fits one push only.

The digest stands in the header, so that all of the signature is checked when the head is there: a stranger's body is not taken
at all (docs/rules.md, HEAD FIRST).

A sender that knows no more than an address (the first push of a link) names that as the receiver. Names are what the
caller makes them: an *origin* as sender tells a broker's own push from that of another process with the same id.

Without a secret nothing is signed and everything passes: brokers on one machine, or in a network of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from typing import Final

import msgspec

from newswire.core import limits
from newswire.errors import LinkRefused

HEADER: Final = "Newswire-Signature"
_SKEW_MS: Final = limits.CLOCK_SKEW_SECONDS * 1000
_NAME: Final = r"[A-Za-z0-9._:/\[\]%-]"
_FORM: Final = re.compile(
    rf"v2;from=({_NAME}{{1,{limits.ADDRESS_CHARS}}});to=({_NAME}{{1,{limits.ADDRESS_CHARS}}});cluster=({_NAME}{{0,64}});"
    r"time=([0-9]{1,16});nonce=([A-Za-z0-9_-]{16,64});body=([0-9a-f]{64});mac=([0-9a-f]{64})"
)


class Signed(msgspec.Struct, frozen=True):
    """What a signature says beside method, path and body. `time` in ms; `nonce` 16 to 64 random URL-safe characters.

    `sender` and `receiver`: broker ids, origins or addresses. `cluster` may be "": not known yet.
    """

    sender: str
    receiver: str
    cluster: str
    time: int
    nonce: str


def sign(secrets: Sequence[bytes], method: str, path: str, body: bytes, signed: Signed) -> dict[str, str]:
    """The header to send with a push; none without a secret. The first secret signs."""
    if not secrets:
        return {}
    digest = _digest(body)
    text = ";".join(("v2", f"from={signed.sender}", f"to={signed.receiver}", f"cluster={signed.cluster}",
                     f"time={signed.time}", f"nonce={signed.nonce}", f"body={digest}"))  # fmt: skip
    value = f"{text};mac={_mac(secrets[0], _push(method, path, digest, signed))}"
    if not _FORM.fullmatch(value):
        raise ValueError(f"a name in {text!r} can't be signed")
    return {HEADER: value}


class Verifier:
    """Checks what arrives and remembers nonces. Any thread; a body is read without holding up others."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = tuple(secrets)  # all are good: two during a rotation
        self._seen: dict[str, _Nonces] = {}
        self._lock = threading.Lock()  # of that

    def verify(
        self, method: str, path: str, body: bytes, value: str | None, *, own: str, names: Collection[str], now: int
    ) -> Signed | None:
        """Check a push; None without a secret. Raises LinkRefused (`unauthenticated`).

        `own`: the name that this broker signs with; `names`: what others may call it as a receiver (id, origin,
        addresses); `now` in ms, wall clock. The cluster id is proved here, and compared by the caller.
        """
        result = self._check(method, path, value, own, names, now)
        if result is None:
            return None
        signed, digest = result
        if digest != _digest(body):
            raise _refused("its body is not what was signed")
        with self._lock:
            if len(self._seen) > limits.PEERS_COUNT:  # of a silent one nothing can be replayed: each run of a broker is new
                self._seen = {sender: nonces for sender, nonces in self._seen.items() if nonces.newest >= now - _SKEW_MS}
            if not self._seen.setdefault(signed.sender, _Nonces()).take(signed.time, signed.nonce, now):
                raise _refused("it was received before")
        return signed

    def check_head(self, method: str, path: str, value: str | None, *, own: str, names: Collection[str], now: int) -> None:
        """Check all of a push but its body; nothing is remembered. Raises LinkRefused (`unauthenticated`)."""
        result = self._check(method, path, value, own, names, now)
        if result is None:
            return
        signed = result[0]
        with self._lock:
            nonces = self._seen.get(signed.sender)
            is_new = nonces is None or nonces.is_new(signed.time, signed.nonce, now)
        if not is_new:
            raise _refused("it was received before")

    def _check(
        self, method: str, path: str, value: str | None, own: str, names: Collection[str], now: int
    ) -> tuple[Signed, str] | None:
        """What is signed, and the digest of its body; None without a secret."""
        if not self._secrets:
            return None
        match = _FORM.fullmatch(value or "")
        if match is None:
            raise _refused("it is not signed: give every broker the same cluster secret, and the same version")
        digest, signature = match[6], match[7]
        signed = Signed(sender=match[1], receiver=match[2], cluster=match[3], time=int(match[4]), nonce=match[5])
        if not _fits(self._secrets, _push(method, path, digest, signed), signature):
            raise _refused("its signature is wrong: give every broker the same cluster secret")
        if signed.sender == own:
            raise _refused("it is this broker's own push, thrown back")
        if signed.receiver not in names:
            raise _refused(f"it was made for {signed.receiver}, not for this broker: check --advertise and --peer")
        if abs(now - signed.time) > _SKEW_MS:
            raise _refused(f"the clocks differ by {abs(now - signed.time) // 1000} s: set them (NTP)")
        return signed, digest


class _Nonces:
    """The nonces of one sender. What is forgotten raises a floor for times, so that forgetting allows no replay."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._known: set[str] = set()
        self._floor = -1
        self.newest = 0

    def is_new(self, time: int, nonce: str, now: int) -> bool:
        """Say whether it was never taken. Where the clock was ahead, and is set back, all that is older than now was."""
        if self._floor > now + _SKEW_MS:
            self._floor = now
        return time > self._floor and nonce not in self._known

    def take(self, time: int, nonce: str, now: int) -> bool:
        """Say whether this is the first time, and remember it."""
        if not self.is_new(time, nonce, now):
            return False
        heappush(self._heap, (time, nonce))
        self._known.add(nonce)
        self.newest = max(self.newest, time)
        while self._heap[0][0] < now - _SKEW_MS or len(self._heap) > limits.NONCES_COUNT:
            self._floor, oldest = heappop(self._heap)
            self._known.remove(oldest)
        return True


def seal(secrets: Sequence[bytes], nonce: str, status: int, body: bytes) -> bytes:
    """The body of an answer, with its signature as the first line; as it is without a secret."""
    return body if not secrets else b"%b\n%b" % (_mac(secrets[0], _answer(nonce, status, body)).encode(), body)


def unseal(secrets: Sequence[bytes], nonce: str, status: int, sealed: bytes) -> bytes:
    """The body of the answer to the push with this nonce. Raises LinkRefused (`unauthenticated`)."""
    if not secrets:
        return sealed
    mac, _, body = sealed.partition(b"\n")
    if not _fits(secrets, _answer(nonce, status, body), mac.decode("latin-1")):
        raise _refused("the answer's signature is wrong: give every broker the same cluster secret")
    return body


def _push(method: str, path: str, digest: str, signed: Signed) -> bytes:
    """What is signed. A JSON array: no two requests have the same one."""
    return msgspec.json.encode(
        ("push", method, path, signed.sender, signed.receiver, signed.cluster, signed.time, signed.nonce, digest)
    )


def _answer(nonce: str, status: int, body: bytes) -> bytes:
    return msgspec.json.encode(("answer", nonce, status, _digest(body)))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _mac(secret: bytes, text: bytes) -> str:
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


def _fits(secrets: Sequence[bytes], text: bytes, mac: str) -> bool:
    """Compare with every secret in constant time."""
    digest = mac.encode("latin-1")
    fits = [hmac.compare_digest(_mac(secret, text).encode(), digest) for secret in secrets]  # all are tried
    return any(fits)


def _refused(why: str) -> LinkRefused:
    return LinkRefused(f"the push is refused: {why}", code="unauthenticated")
