"""How many messages came, by topic: lately, and in the hours before now, as the stamps of the log tell. Pure over the state."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Final

from newswire.core import limits
from newswire.core.model.forecasts import ArrivalPlace, Arrivals, Past
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.core.state.op_index import MARKS

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
PAST_ROWS: Final = 1_000_000  # of a log, the newest, that are looked at for the past: some 0.4 s of a processor
PAST_HOURS: Final = 8 * 168  # what is older changes no forecast


def arrivals(state: State, since: ArrivalPlace | None, oldest: int) -> Pieces[Arrivals]:
    """What was stored since that place, but for what is stamped before `oldest` (ms): another broker has had it for long.

    Nothing, and the end of the log, without a place, or where the log was written anew since.
    """
    log, names, end = state.log, state.messages.names, len(state.log)
    start = since.offset if since is not None and since.generation == state.generation else end
    counts: Counter[str] = Counter()
    while start < end:
        stop = min(end, start + limits.SCAN_ROWS)
        part = yield partial(_count, log.topics[start:stop], log.times[start:stop], oldest)
        for number, count in part.items():
            counts[names[number]] += count
        start = stop
        if start < end:
            yield None
    return Arrivals(place=ArrivalPlace(state.generation, end), counts=counts)


def _count(topics: Sequence[int], times: Sequence[int], oldest: int) -> Counter[int]:
    if min(times) < oldest:
        topics = [topic for topic, time in zip(topics, times, strict=True) if time >= oldest]
    counts = Counter(topics)
    for mark in MARKS:
        counts.pop(mark, None)
    return counts


def past(state: State, now: int) -> Pieces[Past]:
    """What the newest records tell of the hours up to `now` (ms). Stamps from beyond it are not believed."""
    log, end = state.log, len(state.log)
    last = now // _HOUR
    start = oldest = max(0, end - PAST_ROWS)
    by_hour: Counter[int] = Counter()  # hour and topic in one number
    minutes: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    while start < end:
        stop = min(end, start + limits.SCAN_ROWS)
        columns = log.topics[start:stop], log.times[start:stop], log.lengths[start:stop]
        yield partial(_add, by_hour, minutes, sizes, columns)
        start = stop
    hours = [hour for hour in {pair >> 32 for pair in by_hour} if last - PAST_HOURS < hour <= last]
    if not hours:
        return Past(first=last)
    first = min(hours)
    names = state.messages.names
    counts: list[dict[str, int]] = [{} for _ in range(first, last + 1)]
    for pair, count in by_hour.items():
        if first <= pair >> 32 <= last and (number := pair & 0xFFFFFFFF) not in MARKS:
            counts[(pair >> 32) - first][names[number]] = count
    peaks = [max(minutes[minute] for minute in range(hour * 60, hour * 60 + 60)) / 60 for hour in range(first, last + 1)]
    is_whole = not (oldest or log.void_reach or state.messages.horizons)
    before = sum(size for hour, size in sizes.items() if hour < first)
    grown = list(accumulate((sizes[hour] for hour in range(first, last + 1)), initial=before))[1:]
    return Past(first=first, hours=counts, peaks=peaks, sizes=grown if is_whole else ())


def _add(
    by_hour: Counter[int],
    minutes: Counter[int],
    sizes: Counter[int],
    columns: tuple[array[int], array[int], array[int]],
) -> None:
    topics, times, lengths = columns
    by_hour.update([(time // _HOUR) << 32 | topic for topic, time in zip(topics, times, strict=True)])
    minutes.update([time // _MINUTE for topic, time in zip(topics, times, strict=True) if topic not in MARKS])
    for time, length in zip(times, lengths, strict=True):
        sizes[time // _HOUR] += length
