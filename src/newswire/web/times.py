"""Times as people give them: `now`, `earliest`, a duration back from now, or RFC 3339. Pure: now is an argument."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from newswire.core import limits
from newswire.errors import BadRequest

FORMS: Final = "`earliest`, a duration back from now like 10m, 1h30m or 2d, or a time like 2026-11-24T09:41:00Z"

_DURATION: Final = re.compile(r"(?=.)(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_UNIX: Final = re.compile(r"[0-9]{1,11}", re.ASCII)
_UNITS: Final = (7 * 86_400, 86_400, 3_600, 60, 1)
# RFC 3339, 5.6. A `+` that nobody escaped in a query arrives as a space, so one stands for it
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)


def moment(text: str, now: float) -> int | None:
    """The time in milliseconds since 1970 that `text` names; 0 for `earliest`, None if it is none of the forms.

    `now` in seconds since 1970. Raises `bad-time` for a time that has not come: a typing error that would be silent.
    """
    if text == "earliest":
        return 0
    match = _DURATION.fullmatch(text)
    if match:
        seconds = sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS, strict=True))
        return max(0, int((now - seconds) * 1000))
    at = _rfc3339(text)
    if at is not None and at > (now + limits.CLOCK_SKEW_SECONDS) * 1000:
        raise BadRequest("that time has not come yet: give one that lies in the past", code="bad-time")
    return at


def length(text: str) -> int | None:
    """The ms of a duration like 1h30m, or of a whole number of seconds; None if it is neither."""
    match = _DURATION.fullmatch(f"{text}s" if _SECONDS.fullmatch(text) else text)
    if not match:
        return None
    return 1000 * sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS, strict=True))


def moment_to_come(text: str) -> int | None:
    """The time in ms since 1970 that `text` names: RFC 3339, or seconds since 1970; None if it is neither."""
    return int(text) * 1000 if _UNIX.fullmatch(text) else _rfc3339(text)


def _rfc3339(text: str) -> int | None:
    match = _TIME.fullmatch(text) if len(text) <= limits.TIME_CHARS else None
    if not match:
        return None
    day, time, fraction, zone = match.groups()
    zone = zone.upper().replace(" ", "+")
    try:
        at = datetime.fromisoformat(f"{day}T{time}{zone}").timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, int(at) * 1000 + int((fraction or ".0")[1:4].ljust(3, "0")))
