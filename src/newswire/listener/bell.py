"""What wakes the loop: any thread may ring, also when the loop has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Bell:
    """Rings once for all that comes until the loop is awake. After `end` nothing is rung, and nobody is hurt.

    Who tells of a receipt after the listener has stopped must not write to a descriptor that is another's by then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_rung = self._has_ended = False

    def ring(self, pull: Callable[[], object]) -> None:
        """Call `pull`, unless that was done since the loop woke. Any thread."""
        with self._lock:
            if not (self._is_rung or self._has_ended):
                self._is_rung = True
                pull()

    def heard(self) -> None:
        """The loop is awake: what comes from here on rings again. Loop thread, before it looks at what came."""
        self._is_rung = False

    def end(self) -> None:
        """Nothing is rung any more when this returns. Any thread."""
        with self._lock:
            self._has_ended = True
