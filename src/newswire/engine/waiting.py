"""Waiting for what the engine tells later: for threads that may wait."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TypeVar

from newswire.errors import NewswireError
from newswire.threads import check_may_wait

T = TypeVar("T")


def wait_for(begin: Callable[[Callable[[T | NewswireError], None]], None], seconds: float, late: NewswireError) -> T:
    """What `begin` is told later: it gets the `then` to tell it to. Raises it, if it is an error; `late` after `seconds`.

    Threads that may wait; what is told after `late` is dropped.
    """
    check_may_wait("an answer of the engine")
    results: queue.SimpleQueue[T | NewswireError] = queue.SimpleQueue()
    begin(results.put)
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise late from None
    if isinstance(result, NewswireError):
        raise result
    return result
