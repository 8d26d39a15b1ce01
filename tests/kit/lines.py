"""What code costs in executed lines: no clock, the same on each machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from newswire.core.read.pieces import Pieces


class Lines:
    """Counts the lines that are executed within `with`."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Lines:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        self.count += event == "line"
        return self._trace


def lines_of(run: Callable[[], object]) -> int:
    """How many lines `run` executes."""
    with Lines() as lines:
        run()
    return lines.count


def longest_piece(pieces: Pieces[Any]) -> int:
    """How many lines the longest piece under the lock executes. What runs beside it does not count."""
    longest, beside = 0, None
    while True:
        result = beside() if beside is not None else None
        with Lines() as lines:
            try:
                beside = pieces.send(result)
            except StopIteration:
                return max(longest, lines.count)
        longest = max(longest, lines.count)
