"""Waiting for what must come. Nothing is asserted about how long it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 120.0  # of every wait: only a failing test takes that long, however slow the machine is


def wait_until(condition: Callable[[], object], what: str = "it", seconds: float = PATIENCE_SECONDS) -> None:
    """Poll `condition` until it holds. Raises AssertionError with `what` after `seconds`."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        pause.wait(0.002)
