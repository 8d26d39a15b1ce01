"""What is foreseen, and what it follows from, as plain values: above the seam, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class Band(msgspec.Struct, frozen=True):
    """A forecast: what is most likely, and between what it lies nine times in ten."""

    low: float
    middle: float
    high: float


class LoadForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a load is to be. `peak`: the most of the next day; `hours`: of each of its hours, from the next one on.

    `limit`: what there may be of it, None while that is not measured. `error`: by what share of the usual forecasts of a day
    ahead were off until now. `hours` is empty, and `peak` and `error` are None, before two days were seen.
    """

    peak: Band | None = None
    hours: Sequence[Band] = ()
    limit: float | None = None
    error: float | None = None


class UnusualTopic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic with far more or far fewer messages in so many minutes than is usual at this hour."""

    topic: str
    count: int
    usual: float
    minutes: int


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Samples, one each `step` seconds: `times` in ms since 1970, and columns of the same length, None where unknown."""

    step: int
    times: Sequence[int]
    columns: Mapping[str, Sequence[float | None]]


class ClusterEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: `time` in ms since 1970; `is_warning`: somebody should look."""

    time: int
    text: str
    is_warning: bool = False


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What one broker foresees. `warnings`: sentences of `core.model.conditions`.

    `disk_full_seconds`: in how long its disk is full, at the earliest and at the latest (None: perhaps never); None where it is
    not, or too little is known. `topics`: that are watched. `hours`: the busiest minute of each of the last hours, messages a
    second, the newest last.
    """

    disk_full_seconds: tuple[int, int | None] | None = None
    publish: LoadForecast = LoadForecast()
    streams: LoadForecast = LoadForecast()
    unusual: Sequence[UnusualTopic] = ()
    topics: int = 0
    hours: Sequence[float] = ()
    warnings: tuple[str, ...] = ()


class ArrivalPlace(msgspec.Struct, frozen=True):
    """How far a log was looked at. Opaque above the core."""

    generation: int
    offset: int


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that came between two places of a log, by topic; `place` is the later one."""

    place: ArrivalPlace
    counts: Mapping[str, int]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What the stamps in a log tell of the hours before now, the oldest first; the last one is not over.

    `first`: the first hour, counted since 1970. `hours`: messages by topic. `peaks`: messages a second in the busiest minute.
    `sizes`: the bytes of the log at the end of each hour; () where something was dropped from it, as what it was is not known.
    """

    first: int
    hours: Sequence[Mapping[str, int]] = ()
    peaks: Sequence[float] = ()
    sizes: Sequence[int] = ()


class Trends(msgspec.Struct, frozen=True, kw_only=True):
    """What one broker measured: each few seconds of the last hour, each minute of the last day; and what follows."""

    recent: Series
    day: Series | None
    outlook: Outlook
    events: tuple[ClusterEvent, ...] = ()
