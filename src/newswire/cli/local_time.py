"""Times in the reader's zone: shown, and as people type them. Programs get what brokers say, in UTC. Pure but for the zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

_STAMP: Final = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_LOCAL: Final = re.compile(r"(?:(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?))?|(\d\d:\d\d(?::\d\d)?))", re.ASCII)


def in_words(stamp: str) -> str:
    """A time stamp (RFC 3339) as date, time and zone: `2026-11-28 09:41:07 CET`; what is none stays as it is."""
    when = _read(stamp)
    return stamp if when is None else f"{when:%Y-%m-%d %H:%M:%S %Z}"


def in_sentence(text: str) -> str:
    """Write all time stamps in `text` as `in_words`."""
    return _STAMP.sub(lambda match: in_words(match[0]), text)


def on_a_line(stamp: str, now: datetime) -> str:
    """A time stamp before a message: of today without the date. `now` with its zone."""
    when = _read(stamp)
    if when is None:
        return stamp
    return f"{when:%H:%M:%S %Z}" if when.date() == now.astimezone().date() else f"{when:%Y-%m-%d %H:%M:%S %Z}"


def to_moment(text: str, now: datetime) -> str:
    """What people type where a moment in the past is asked for, as brokers read it.

    A time without a zone is the reader's, one without a date the last that there was; `all` is `earliest`, as in ntfy. What
    is none of these stays as it is. `now` with its zone.
    """
    word = text.strip()
    match = _LOCAL.fullmatch(word)
    if match is None:
        return "earliest" if word == "all" else word
    day, time, time_alone = match.groups()
    try:
        when = datetime.fromisoformat(f"{day or now.astimezone().date()}T{time or time_alone or '00:00'}")
    except ValueError:  # of no month or hour that there is: the broker says so
        return word
    if time_alone and when.astimezone() > now:
        when -= timedelta(days=1)  # before it has a zone: the day before may have had another one
    return when.astimezone().isoformat(timespec="seconds")


def to_moment_to_come(text: str, now: datetime) -> str:
    """What people type where a moment to come is asked for, as brokers read it: as `to_moment`, a time alone the next one."""
    match = _LOCAL.fullmatch(text.strip())
    if match is None or not match[3]:
        return to_moment(text, now)
    try:
        when = datetime.fromisoformat(f"{now.astimezone().date()}T{match[3]}")
    except ValueError:
        return match[3]
    if when.astimezone() <= now:
        when += timedelta(days=1)
    return when.astimezone().isoformat(timespec="seconds")


def _read(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp).astimezone() if _STAMP.fullmatch(stamp) else None
    except (ValueError, OverflowError):
        return None
