"""Passwords: hashed with argon2id, a few at once, and a verified one remembered for a short time.

A hash takes 20 MB and some 30 ms of a processor on purpose (RFC 9106; OWASP's parameters for argon2id), so whoever needs one
waits for its turn in a thread that may wait, and the number at once is bounded. Memory holds a verified password only as a
keyed digest, whose key is this process's own.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from newswire.core import limits
from newswire.errors import BadRequest, NotStored, TooLarge
from newswire.threads import check_may_wait

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_PARAMETERS: Final[dict[str, Any]] = {"time_cost": 2, "memory_cost": 19 * 1024, "parallelism": 1}


def check_password(password: str) -> str:
    """`password` if it can be one that was set. Raises `bad-field`, TooLarge."""
    if not password:
        raise BadRequest("`password` is empty: choose one", code="bad-field")
    if len(password) > limits.PASSWORD_BYTES or len(password.encode()) > limits.PASSWORD_BYTES:
        raise TooLarge(f"`password` is over {limits.PASSWORD_BYTES} bytes: a sentence is enough")
    return password


class Passwords:
    """Hashes passwords and checks them. Any thread that may wait, `is_verified` any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._turns = threading.BoundedSemaphore(limits.PASSWORD_CHECKS_COUNT)
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._verified: OrderedDict[bytes, float] = OrderedDict()  # digest: until when; oldest first
        self.hash_count = 0  # hashes made, to check or to store

    def hash(self, password: str) -> str:
        """The hash to store, with its salt and parameters. Raises NotStored when too many wait."""
        with self._turn():
            return self._hasher.hash(password)

    def verify(self, password: str, stored: str | None) -> bool:
        """Say whether `password` is that of the hash `stored`; None, of a user who is not there, takes as long.

        Raises NotStored when too many wait.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        with self._turn():
            try:
                return self._hasher.verify(stored or self._nobodys, password) and stored is not None
            except (VerificationError, InvalidHashError):
                return False

    def is_verified(self, password: str, stored: str) -> bool:
        """Say whether `verify` said yes to these a short time ago."""
        until = self._verified.get(self._digest(password, stored))
        return until is not None and self._clock() < until

    def remember(self, password: str, stored: str) -> None:
        """Note that `verify` said yes."""
        with self._lock:
            digest = self._digest(password, stored)
            self._verified.pop(digest, None)
            self._verified[digest] = self._clock() + limits.PASSWORD_CACHE_SECONDS
            if len(self._verified) > limits.CALLERS_CACHE_COUNT:
                self._verified.popitem(last=False)

    @cached_property
    def _hasher(self) -> PasswordHasher:
        from argon2 import PasswordHasher  # on first use: a broker that asks nobody loads no library for it

        return PasswordHasher(**_PARAMETERS)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_hex(16))

    def _digest(self, password: str, stored: str) -> bytes:
        return hmac.digest(self._key, stored.encode() + b"\0" + password.encode(), hashlib.sha256)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        check_may_wait("a password")
        if not self._turns.acquire(timeout=limits.PASSWORD_WAIT_SECONDS):
            raise NotStored("too many sign in at this broker: try again in a moment")
        try:
            _ = self._nobodys  # made now, whoever asks: else the first who is not there would take longer
            self.hash_count += 1
            yield
        finally:
            self._turns.release()
