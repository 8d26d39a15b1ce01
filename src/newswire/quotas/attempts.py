"""How often a secret may be tried in vain: so many failures a minute from a source, and for a name. Pure.

A *source* is an address, or a browser that signed in before (`web/devices.py`). An attempt counts as a failure when it begins,
so that a hundred at once are no more than ten one after the other; what went well is taken back.

Somebody who tries one name from everywhere must neither have a guess for each address that there is, nor lock out whose name
it is. So a name has failures of its own, over all sources; when it has had ten, a source that failed for it waits, and when it
has had sixty, all do. A source from which the name signed in well before is *trusted* for it: it counts by itself alone.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from newswire.core import limits


class _Failure(NamedTuple):
    at: float
    source: str


_Failures = OrderedDict[str, deque[_Failure]]
_REMEMBERED_COUNT: Final = 256  # failures of a name or source: more than any limit of them


class Attempts:
    """Failures of the last minute by name and by source. Bounded memory, one thread at a time."""

    def __init__(
        self,
        most: int = limits.FAILED_SIGN_INS_COUNT,
        seconds: float = limits.FAILED_SIGN_INS_SECONDS,
        most_of_name: int = limits.FAILED_SIGN_INS_OF_NAME,
    ) -> None:
        """`most` failures of a source in `seconds`, `most_of_name` of a name from all sources that are not trusted."""
        self._most, self._seconds, self._most_of_name = most, seconds, most_of_name
        self._of_name: _Failures = OrderedDict()  # longest unseen first
        self._of_source: _Failures = OrderedDict()
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()  # name and source, since when; longest unseen first

    def begin(self, name: str, source: str, now: float) -> int:
        """Count an attempt; returns 0, or in how many seconds there may be one (then none is counted). `now` in seconds."""
        if wait := self.wait(name, source, now):
            return wait
        self._recent(self._of_source, source, now).append(_Failure(now, source))
        if not self._is_trusted(name, source, now):
            self._recent(self._of_name, name, now).append(_Failure(now, source))
        return 0

    def wait(self, name: str, source: str, now: float) -> int:
        """In how many seconds there may be an attempt, 0: now. Nothing is counted."""
        if source in self._of_source:
            of_source = self._recent(self._of_source, source, now)
            if len(of_source) >= self._most:
                return self._seconds_until(of_source, self._most, now)
        if name not in self._of_name or self._is_trusted(name, source, now):
            return 0
        of_name = self._recent(self._of_name, name, now)
        if len(of_name) >= self._most_of_name:
            return self._seconds_until(of_name, self._most_of_name, now)
        if len(of_name) >= self._most and any(failure.source == source for failure in of_name):
            return self._seconds_until(of_name, self._most, now)
        return 0

    def went_well(self, name: str, source: str, now: float) -> None:
        """Take the last attempt back, and trust the source for the name."""
        self.take_back(name, source)
        self.trust(name, source, now)

    def trust(self, name: str, source: str, now: float) -> None:
        """Have a source count for this name by itself alone."""
        self._trusted.pop((name, source), None)
        self._trusted[name, source] = now
        if len(self._trusted) > limits.RATE_CALLERS_COUNT:
            self._trusted.popitem(last=False)

    def take_back(self, name: str, source: str) -> None:
        """Take the last attempt back: nothing was tried."""
        for failures in (self._of_name.get(name), self._of_source.get(source)):
            for at in range(len(failures or ()) - 1, -1, -1):
                if failures and failures[at].source == source:
                    del failures[at]
                    break

    def __len__(self) -> int:
        return max(len(self._of_name), len(self._of_source))

    def _is_trusted(self, name: str, source: str, now: float) -> bool:
        since = self._trusted.get((name, source))
        return since is not None and now < since + limits.TRUSTED_SOURCE_SECONDS

    def _recent(self, of: _Failures, key: str, now: float) -> deque[_Failure]:
        failures = of.pop(key, None) or deque(maxlen=_REMEMBERED_COUNT)
        while failures and not now - self._seconds < failures[0].at <= now:  # later than now: by a clock that was ahead then
            failures.popleft()
        of[key] = failures
        oldest = next(iter(of))
        while oldest != key and (len(of) > limits.RATE_CALLERS_COUNT or self._is_over(of[oldest], now)):
            del of[oldest]
            oldest = next(iter(of))
        return failures

    def _is_over(self, failures: deque[_Failure], now: float) -> bool:
        return not failures or not now - self._seconds < failures[-1].at <= now

    def _seconds_until(self, failures: deque[_Failure], most: int, now: float) -> int:
        return max(1, math.ceil(failures[max(0, len(failures) - most)].at + self._seconds - now))
