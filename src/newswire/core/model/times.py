"""Times as people and programs read them. Pure: a time is an argument."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import Final

from newswire.core import limits

_UNITS: Final = (("years", 365 * 86_400), ("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))


def stamp(wall: int) -> int:
    """The time stamp of what is taken at `wall`, ms since 1970: that, or the nearest that a stamp can be."""
    return max(0, min(wall, limits.TIME_MILLISECONDS))


def rfc3339(milliseconds: int) -> str:
    """`milliseconds` since 1970 as a time stamp for people and programs: `2026-11-24T21:54:12.345Z`. Never raises."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(1_024)
def _second(seconds: int) -> str:
    """A time up to its second: the messages of a page and the topics of a list share few."""
    try:
        when = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):  # a foreign stamp may be anything; showing it must not fail
        when = datetime.fromtimestamp(0, timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}"


def span(milliseconds: int) -> str:
    """A length of time for people, in one unit, rounded."""
    seconds = (abs(milliseconds) + 500) // 1000
    unit, size = next((unit, size) for unit, size in _UNITS if seconds >= 2 * size or size == 1)
    return f"{(seconds + size // 2) // size} {unit}"
