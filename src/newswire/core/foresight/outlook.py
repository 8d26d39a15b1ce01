"""What is to come, worked out of samples: loads against their limits, the disk, topics. Pure: times are handed in.

Samples come each few seconds. A minute makes a row of the day, ten minutes show which topics are unusual, an hour is one
value of the series that are forecast. What the log's stamps tell of the past (`Past`) is learnt first, so that a start
forgets no more than the load of streams.

All of it takes some 2 MB with 1,000 topics, and a few milliseconds of a processor a minute (docs/results.md, Forecasts).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.foresight.capacity import Capacity
from newswire.core.foresight.growth import Growth
from newswire.core.foresight.samples import MINUTES_COUNT, RECENT_COUNT, SECONDS, Ring
from newswire.core.foresight.seasons import WEEK_HOURS, Seasons
from newswire.core.foresight.topics import SLOT_MINUTES, Topics
from newswire.core.model import conditions
from newswire.core.model.forecasts import LoadForecast, Outlook, Past

COLUMNS: Final = ("messages", "deliveries", "commit_ms", "streams", "disk_free", "ops_file", "processor")
_DAY: Final = 86_400.0
_OVER: Final = 0.9  # of a limit: what was told ends below it, so that what goes up and down about it makes two lines of the log
_TOPICS_TOLD: Final = 3  # in sentences: what makes all topics busy is one thing
_NOBODY: Final = 10.0  # messages a second at the least before a limit that is measured is told


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured over the last few `seconds`. `clock`: in seconds, only runs; `wall`: ms since 1970.

    `counts`: messages that came to the cluster meanwhile, by topic; `deliveries`: of messages to streams here; `commits` and
    `commit_seconds`: of rounds, and what they took; `processor_seconds`: what this process used. Bytes are of the disk of the
    ops file, None where there is none.
    """

    clock: float
    wall: int
    seconds: float
    counts: Mapping[str, int]
    deliveries: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    processor_seconds: float = 0.0
    streams: int = 0
    streams_limit: int = 0
    free_bytes: int | None = None
    reserve_bytes: int = 0
    log_bytes: int = 0


class Foresight:
    """Takes samples, and says what follows. One thread."""

    def __init__(self) -> None:
        self.recent = Ring(COLUMNS, SECONDS, RECENT_COUNT)
        self.minutes = Ring(COLUMNS, 60, MINUTES_COUNT)
        self.outlook = Outlook()  # as of the last minute; any thread
        self._growth, self._capacity, self._topics = Growth(), Capacity(), Topics()
        self._publish, self._streams = Seasons(), Seasons()
        self._minute: int | None = None  # since 1970, that runs
        self._rows = self._messages = 0  # of the minute that runs
        self._busiest, self._most_streams = 0.0, 0  # of the hour that runs
        self._hours: deque[float] = deque(maxlen=WEEK_HOURS)
        self._told: set[str] = set()  # codes of what is told
        self._forecasts = (LoadForecast(), LoadForecast())  # of the last hour: publish, streams

    def restore(self, past: Past, clock: float, wall: int) -> None:
        """Learn of the hours before now, before the first sample. The last one is not over: it goes on."""
        this_hour = wall // 3_600_000
        for at, counts in enumerate(past.hours):
            hour = past.first + at
            if hour < this_hour:
                self._topics.learn(hour, counts)
                self._publish.take(past.peaks[at])
                self._hours.append(round(past.peaks[at], 2))
            else:
                self._busiest = past.peaks[at]
        for at, size in enumerate(past.sizes):
            end = (past.first + at + 1) * 3_600_000
            if end <= wall:
                self._growth.note(clock - (wall - end) / 1000, size)
        self._forecast()

    def take(self, sample: Sample) -> None:
        """Take what was measured."""
        minute = sample.wall // 60_000
        if self._minute is None or minute < self._minute:  # the first one, or the clock was set back
            self._minute = minute
        if minute > self._minute:
            self._end_minutes(minute, sample)
        messages = sum(sample.counts.values())
        self.recent.add(
            sample.wall,
            {
                "messages": messages / sample.seconds,
                "deliveries": sample.deliveries / sample.seconds,
                "commit_ms": 1000 * sample.commit_seconds / sample.commits if sample.commits else None,
                "streams": sample.streams,
                "disk_free": sample.free_bytes,
                "ops_file": sample.log_bytes if sample.free_bytes is not None else None,
                "processor": sample.processor_seconds / sample.seconds,
            },
        )
        self._topics.take(sample.counts)
        self._rows += 1
        self._messages += messages
        self._most_streams = max(self._most_streams, sample.streams)
        if sample.free_bytes is not None:
            self._growth.note(sample.clock, sample.log_bytes)

    def _end_minutes(self, minute: int, sample: Sample) -> None:
        assert self._minute is not None
        row = self.minutes_row()
        self.minutes.add(self._minute * 60_000, row)
        rate = row["messages"] or 0.0
        self._busiest = max(self._busiest, rate)
        if row["processor"] is not None and self._rows * SECONDS > 45:  # a whole one
            self._capacity.take(rate, row["processor"])
        hour = self._minute // 60
        if minute // SLOT_MINUTES > self._minute // SLOT_MINUTES:
            self._topics.end_slot(hour)
        else:
            self._topics.look(hour)
        for over in range(hour, min(minute // 60, hour + WEEK_HOURS)):  # more than one where the machine slept
            self._end_hour(over)
        self._minute, self._rows, self._messages = minute, 0, 0
        self.outlook = self._look(sample)

    def minutes_row(self) -> dict[str, float | None]:
        """The means of the minute that runs."""
        return self.recent.last(self._rows)

    def _end_hour(self, hour: int) -> None:
        self._topics.end_hour(hour)
        self._publish.take(self._busiest)
        self._streams.take(self._most_streams)
        self._hours.append(round(self._busiest, 2))
        self._busiest, self._most_streams = 0.0, 0
        self._forecast()

    def _forecast(self) -> None:
        self._forecasts = _forecast(self._publish), _forecast(self._streams)

    def _look(self, sample: Sample) -> Outlook:
        full = None if sample.free_bytes is None else self._growth.full_in(sample.free_bytes - sample.reserve_bytes)
        publish, streams = self._forecasts
        publish = msgspec.structs.replace(publish, limit=self._capacity.limit())
        streams = msgspec.structs.replace(streams, limit=float(sample.streams_limit) if sample.streams_limit else None)
        warnings = [
            *self._disk(full),
            *self._load(conditions.LOAD_NEARS, publish, _NOBODY),
            *self._load(conditions.STREAMS_NEAR, streams, 0.0),
            *self._of_topics(),
        ]
        return Outlook(
            disk_full_seconds=None if full is None else (int(full[0]), None if full[1] is None else int(full[1])),
            publish=publish,
            streams=streams,
            unusual=self._topics.unusual,
            topics=len(self._topics),
            hours=tuple(self._hours),
            warnings=tuple(warnings),
        )

    def _tells(self, condition: conditions.Condition, *, begins: bool, goes_on: bool) -> bool:
        """Whether to tell it: from where it begins to where it does not go on."""
        yes = begins or (goes_on and condition.code in self._told)
        (self._told.add if yes else self._told.discard)(condition.code)
        return yes

    def _disk(self, full: tuple[float, float | None] | None) -> list[str]:
        latest = None if full is None else full[1]
        days = None if latest is None else latest / _DAY
        begins = days is not None and days < limits.DISK_FILLS_DAYS
        goes_on = days is not None and days < limits.DISK_FILLS_DAYS + 1
        if not self._tells(conditions.DISK_FILLS, begins=begins, goes_on=goes_on) or days is None:
            return []
        return [conditions.DISK_FILLS.say(days=int(days) + 1)]

    def _load(self, condition: conditions.Condition, forecast: LoadForecast, least: float) -> list[str]:
        peak, limit = forecast.peak, forecast.limit
        high = 0.0 if peak is None or limit is None or peak.high < least else peak.high / max(limit, 1.0)
        if not self._tells(condition, begins=high >= 1, goes_on=high >= _OVER) or peak is None or limit is None:
            return []
        return [condition.say(high=round(peak.high), middle=round(peak.middle), limit=round(limit))]

    def _of_topics(self) -> list[str]:
        unusual = self._topics.unusual
        told = [
            (conditions.TOPIC_BUSY if one.count > one.usual else conditions.TOPIC_QUIET).say(
                topic=one.topic, count=one.count, usual=round(one.usual)
            )
            for one in unusual[:_TOPICS_TOLD]
        ]
        more = len(unusual) - _TOPICS_TOLD
        return [*told, conditions.MORE_TOPICS.say(count=more)] if more > 0 else told


def _forecast(seasons: Seasons) -> LoadForecast:
    hours = seasons.ahead()
    return LoadForecast(peak=max(hours, key=lambda band: band.high, default=None), hours=hours, error=seasons.error())
