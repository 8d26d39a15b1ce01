"""How often a secret may be tried in vain: so many failures a minute from an address, and for a name. Pure.

An attempt counts as a failure when it begins, so that a hundred at once are no more than ten one after the other; what went
well is taken back. Somebody who tries one name from everywhere must not lock out whose name it is: when a name has had its
failures, an address that has not failed for it gets one attempt more.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from newswire.core import limits


class _Failure(NamedTuple):
    at: float
    address: str


_Failures = OrderedDict[str, deque[_Failure]]
_REMEMBERED_COUNT: Final = 256  # failures of a name: the addresses that tried it within a minute


class Attempts:
    """Failures of the last minute by name and by address. Bounded memory, one thread at a time."""

    def __init__(self, most: int = limits.FAILED_SIGN_INS_COUNT, seconds: float = limits.FAILED_SIGN_INS_SECONDS) -> None:
        """`most` failures in `seconds`."""
        self._most, self._seconds = most, seconds
        self._of_name: _Failures = OrderedDict()  # longest unseen first
        self._of_address: _Failures = OrderedDict()

    def begin(self, name: str, address: str, now: float) -> int:
        """Count an attempt; returns 0, or in how many seconds there may be one (then none is counted). `now` in seconds."""
        if wait := self.wait(name, address, now):
            return wait
        for failures in (self._recent(self._of_name, name, now), self._recent(self._of_address, address, now)):
            failures.append(_Failure(now, address))
        return 0

    def wait(self, name: str, address: str, now: float) -> int:
        """In how many seconds there may be an attempt, 0: now. Nothing is counted."""
        if address not in self._of_address:
            return 0
        of_name, of_address = self._recent(self._of_name, name, now), self._recent(self._of_address, address, now)
        if len(of_address) >= self._most:
            return self._seconds_until(of_address, now)
        if len(of_name) >= self._most and any(failure.address == address for failure in of_name):
            return self._seconds_until(of_name, now)
        return 0

    def went_well(self, name: str, address: str) -> None:
        """Take the last attempt back."""
        for failures in (self._of_name.get(name), self._of_address.get(address)):
            for at in range(len(failures or ()) - 1, -1, -1):
                if failures and failures[at].address == address:
                    del failures[at]
                    break

    def __len__(self) -> int:
        return max(len(self._of_name), len(self._of_address))

    def _recent(self, of: _Failures, key: str, now: float) -> deque[_Failure]:
        failures = of.pop(key, None) or deque(maxlen=_REMEMBERED_COUNT)
        while failures and failures[0].at <= now - self._seconds:
            failures.popleft()
        of[key] = failures
        oldest = next(iter(of))
        while oldest != key and (len(of) > limits.RATE_CALLERS_COUNT or self._is_over(of[oldest], now)):
            del of[oldest]
            oldest = next(iter(of))
        return failures

    def _is_over(self, failures: deque[_Failure], now: float) -> bool:
        return not failures or failures[-1].at <= now - self._seconds

    def _seconds_until(self, failures: deque[_Failure], now: float) -> int:
        return max(1, math.ceil(failures[max(0, len(failures) - self._most)].at + self._seconds - now))
