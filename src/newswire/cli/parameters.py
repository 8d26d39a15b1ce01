"""Types of options that are numbers or lengths of time, in the words of one who does not program."""

from __future__ import annotations

import re
from typing import Any, Final

import click

_DURATION: Final = re.compile(r"(?=.)(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
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

        return to_moment_to_come(str(value), datetime.now().astimezone())


DURATION: Final = Duration()
MOMENT_TO_COME: Final = ComingTime()
MOMENT: Final = PastTime()
