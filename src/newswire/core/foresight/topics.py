"""Topics that are busier or quieter than they usually are at this hour. Pure: times are handed in.

Of each topic that is watched an hour of the day and an hour of the week know what is usual, as moving averages; and how much
more than chance alone (Poisson's) hours differ. Unusual is what lies several such deviations from the usual, and is three times
it or a third of it: so a topic is told once in months by chance (docs/results.md, Forecasts), and not for what nobody would
call a change.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import sqrt
from typing import Final

from newswire.core.model.forecasts import UnusualTopic

TOPICS_COUNT: Final = 1_000  # watched, those with most messages: about 1.3 kB each
_NEW_TOPICS_COUNT: Final = 4_000  # beside them, counted until the hour is over
_WEEK: Final = 168
_SLOTS: Final = 6  # of ten minutes, in an hour
SLOT_MINUTES: Final = 60 // _SLOTS
_GAIN: Final = 0.2  # of an hour: what is usual is half learnt after three of the same
_SPREAD_GAIN: Final = 0.05
_LEAST_HOURS: Final = 48  # of a topic, before anything of it is unusual
_WEEK_HOURS: Final = 2 * _WEEK  # before an hour of the week is known better than one of the day
_DEVIATIONS: Final = 5.0
_FACTOR: Final = 3.0
_LEAST_BUSY: Final = 30  # messages in ten minutes: fewer disturb nobody
_LEAST_USUAL: Final = 30.0  # messages an hour: of a topic with fewer an hour without any is no news


class _Watched:
    """What is usual of one topic."""

    def __init__(self) -> None:
        self._day, self._week = array("f", bytes(4 * 24)), array("f", bytes(4 * _WEEK))
        self._hours = 0
        self.slots = array("I", bytes(4 * _SLOTS))  # the last ones, the oldest first
        self._spread = 1.0  # of the counts of hours about the usual one, as a multiple of Poisson's
        self.weight = 0.0  # messages of a day or so: who is watched
        self.is_unusual = False

    def usual(self, hour: int) -> float | None:
        """Messages in that hour (since 1970), as a rule; None before enough is known."""
        if self._hours < _LEAST_HOURS:
            return None
        return float(self._week[hour % _WEEK] if self._hours >= _WEEK_HOURS else self._day[hour % 24])

    def learn(self, hour: int, count: int) -> None:
        """That hour is over, and had so many."""
        if (usual := self.usual(hour)) is not None and self.is_unusual:
            count = min(count, int(_FACTOR * usual) + 1)  # one flood is not what is usual
        elif usual is not None:
            self._spread += _SPREAD_GAIN * ((count - usual) ** 2 / max(usual, 1.0) - self._spread)
        for column, turns in ((self._day, self._hours // 24), (self._week, self._hours // _WEEK)):
            place = hour % len(column)
            column[place] += max(_GAIN, 1 / (turns + 1)) * (count - column[place])
        self._hours += 1
        self.weight += (count - self.weight) / 24

    def deviation(self, usual: float) -> float:
        """By how much counts about `usual` differ from it."""
        return sqrt(max(1.0, self._spread) * max(usual, 1.0))


class Topics:
    """The watched topics, and what is unusual now. One thread."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._hour: Counter[str] = Counter()  # of the hour that runs
        self._slot: Counter[str] = Counter()  # of the ten minutes that run
        self._ended: tuple[UnusualTopic, ...] = ()  # what was unusual when the last ten minutes were over
        self.unusual: tuple[UnusualTopic, ...] = ()

    def __len__(self) -> int:
        return len(self._watched)

    def take(self, counts: Mapping[str, int]) -> None:
        """Count messages that came now."""
        for topic, count in counts.items():
            if topic in self._watched or topic in self._hour or len(self._hour) < TOPICS_COUNT + _NEW_TOPICS_COUNT:
                self._hour[topic] += count
                self._slot[topic] += count

    def look(self, hour: int) -> None:
        """While ten minutes run: who has more than usual already. What was unusual before is looked at when they are over."""
        topics = {one.topic: one for one in (*self._ended, *self._busy(hour, self._slot))}
        self.unusual = _in_order(topics.values())

    def end_slot(self, hour: int) -> None:
        """Ten minutes of `hour` are over."""
        quiet: list[UnusualTopic] = []
        busy = list(self._busy(hour, {name: self._slot[name] for name in self._watched}))
        for name, topic in self._watched.items():
            topic.slots = topic.slots[1:]
            topic.slots.append(self._slot[name])
            usual = self._about(topic, hour, least=True)
            if usual is None or usual < _LEAST_USUAL:
                continue
            count = sum(topic.slots)
            if count < usual - _DEVIATIONS * topic.deviation(usual) and count * _FACTOR <= usual:
                quiet.append(UnusualTopic(topic=name, count=count, usual=round(usual, 1), minutes=60))
        self.unusual = self._ended = _in_order([*quiet, *busy])
        names = {one.topic for one in self.unusual}
        for name, topic in self._watched.items():
            topic.is_unusual = name in names
        self._slot.clear()

    def end_hour(self, hour: int) -> None:
        """That hour is over: learn from it, and watch those that have most messages."""
        self.learn(hour, self._hour)
        self._hour.clear()

    def learn(self, hour: int, counts: Mapping[str, int]) -> None:
        """Learn of an hour, also of one before the start."""
        for name, topic in self._watched.items():
            topic.learn(hour, counts.get(name, 0))
        for name, count in counts.items():
            if name not in self._watched:
                self._watched[name] = _Watched()
                self._watched[name].learn(hour, count)
        if len(self._watched) > TOPICS_COUNT:
            heaviest = sorted(self._watched, key=lambda name: -self._watched[name].weight)[:TOPICS_COUNT]
            self._watched = {name: self._watched[name] for name in heaviest}

    def _busy(self, hour: int, slot: Mapping[str, int]) -> Iterator[UnusualTopic]:
        for name, count in slot.items():
            topic = self._watched.get(name)
            usual = None if topic is None or count < _LEAST_BUSY else self._about(topic, hour, least=False)
            if topic is None or usual is None:
                continue
            usual /= _SLOTS
            if count > usual + _DEVIATIONS * topic.deviation(usual) and count >= _FACTOR * usual:
                yield UnusualTopic(topic=name, count=count, usual=round(usual, 1), minutes=SLOT_MINUTES)

    @staticmethod
    def _about(topic: _Watched, hour: int, *, least: bool) -> float | None:
        """What is usual of an hour that lies about this one: the least, or the most, of it and its neighbours."""
        usual = [one for near in (hour - 1, hour, hour + 1) if (one := topic.usual(near)) is not None]
        return (min if least else max)(usual, default=None)


def _in_order(topics: Iterable[UnusualTopic]) -> tuple[UnusualTopic, ...]:
    """The most unusual first."""
    return tuple(sorted(topics, key=lambda one: (-abs(one.count - one.usual), one.topic)))
