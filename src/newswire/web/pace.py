"""How often may be asked by or for one user: whoever asks for more is told when to ask again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from newswire.core import limits
from newswire.errors import Refused
from newswire.quotas.rate import Rate

READS: Final = "more is read for {} than one user may: ask less often, or hold a stream open"
REQUESTS: Final = "{} asks more often than one user may, from whatever addresses: ask less often, or send batches"


class Pace:
    """So many requests a second of each user. Any thread."""

    def __init__(self, per_second: float, clock: Callable[[], float], words: str = READS) -> None:
        """`per_second`: 0 for any number; `clock`: seconds; `words`: the sentence of a refusal, with a place for the user."""
        self._rate = Rate(per_second, per_second * limits.RATE_BURST_SECONDS)
        self._clock = clock
        self._words = words
        self._lock = threading.Lock()

    def refusal(self, user: str) -> str:
        """Why nothing is done for `user` now, "" if it is."""
        return self._words.format(user) if self._take(user) else ""

    def check(self, user: str) -> None:
        """Raise `too-many`, which says when to ask again, while nothing is done for `user`."""
        if seconds := self._take(user):
            raise Refused(self._words.format(user), code="too-many", retry_after=seconds)

    def _take(self, user: str) -> int:
        with self._lock:
            return self._rate.take(user, self._clock())
