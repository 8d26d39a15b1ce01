"""Types of options that are numbers or lengths of time, in the words of one who does not program."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import click

from newswire.core import limits

_DURATION: Final = re.compile(r"(?=.)(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_UNITS: Final = (7 * 86_400, 86_400, 3_600, 60, 1)  # seconds


def _in_words(bounds: WholeNumber | Number) -> str:
    if bounds.max is None:
        return f"above {bounds.min:g}" if bounds.min_open else f"{bounds.min:g} or more"
    return f"{bounds.min:g} to {bounds.max:g}"


class WholeNumber(click.IntRange):
    """A whole number between bounds, in the words of one who does not program."""

    name = "whole number"

    _describe_range = _in_words


class Number(click.FloatRange):
    """A number between bounds, in the same words."""

    name = "number"

    _describe_range = _in_words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. NaN is within no bounds, though it is below none and above none."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{str(value)!r} is not a valid number.", param, ctx)
        return number


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A length of time, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        match = _DURATION.fullmatch(str(value).strip())
        if not match:
            self.fail(f"{str(value)!r} is no length of time: say 90d, 12h or 30m", param, ctx)
        return sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS, strict=True))


class PastTime(click.ParamType):  # type: ignore[type-arg]
    """A moment in the past, as brokers read it; without a zone it is the reader's time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as text."""
        from datetime import datetime

        from newswire.cli.local_time import to_moment

        return to_moment(str(value), datetime.now().astimezone())


class ComingTime(click.ParamType):  # type: ignore[type-arg]
    """A moment to come, as brokers read it; without a zone it is the reader's time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as text."""
        from datetime import datetime

        from newswire.cli.local_time import to_moment_to_come

        moment = to_moment_to_come(str(value), datetime.now().astimezone())
        try:
            is_time = moment.isdecimal() or datetime.fromisoformat(moment.upper()).tzinfo is not None
        except ValueError:
            is_time = False
        return (
            moment
            if is_time
            else self.fail(f"{str(value)!r} is no time: say 17:45, 2026-11-28 or 2026-11-28 17:45", param, ctx)
        )


class Delay(Duration):
    """How long from now a message is delivered; a number alone is seconds. As brokers read it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it as text."""
        text = str(value).strip()
        seconds = int(text) if _SECONDS.fullmatch(text) else super().convert(text, param, ctx)
        if not 0 < seconds <= limits.SCHEDULE_AHEAD_SECONDS:
            self.fail(f"{text} is not between a second and {limits.SCHEDULE_AHEAD_SECONDS // _UNITS[1]} days", param, ctx)
        return text


DELAY: Final = Delay()
DURATION: Final = Duration()
MOMENT_TO_COME: Final = ComingTime()
MOMENT: Final = PastTime()
