"""How often may be read for one user: whoever asks for more is told when to ask again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from newswire.core import limits
from newswire.errors import Refused
from newswire.quotas.rate import Rate


class Pace:
    """So many reads a second of each user. Any thread."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """`per_second`: 0 for any number; `clock`: seconds."""
        self._rate = Rate(per_second, per_second * limits.RATE_BURST_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()

    def refusal(self, user: str) -> str:
        """Why nothing is read for `user` now, "" if it is."""
        with self._lock:
            wait = self._rate.take(user, self._clock())
        return f"more is read for {user} than one user may: ask less often, or hold a stream open" if wait else ""

    def check(self, user: str) -> None:
        """Raise `too-many` when nothing is read for `user` now."""
        if why := self.refusal(user):
            raise Refused(why, code="too-many")
