"""Whose request may begin: what callers have in flight, and when those who ask for much at once may go on. Pure.

Who asks for one thing after the other begins at once. Who asks for several at a time joins in when such a one begins, and so
many of them: then they share its commit, its push to the other broker, and its answer. Begun at any other time each would be
a commit and a push of its own, which the one after the other waits for. Disk schedulers do so between one who reads in
sequence and many who write: they wait for a moment for the reader's next request (`slice_idle` of CFQ and BFQ), as what would
be begun instead takes longer than the wait; and they wait only for one who came within such a moment the last time, too.

A caller is *here* while it waits, has something in flight, or is expected. Who is alone here is not held.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from itertools import chain

from newswire.core import limits


class InFlight:
    """What waits and what is begun, of each caller. Constant time for each request; one thread at a time. `now` in seconds."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()
        self._single: set[str] = set()  # callers of which one request waits, and nothing is in flight
        self._asked: OrderedDict[str, float] = OrderedDict()  # callers of the last second, and when they asked last
        self._answered: OrderedDict[str, float] = OrderedDict()  # callers that wait for nothing, and since when: a moment ago
        self._quick: set[str] = set()  # callers that asked again within a moment, the last time
        self._expected: set[str] = set()  # of those answered who are quick
        self._opened = 0.0  # when the last round began
        self._room = 0  # how many requests may join in

    def ask(self, caller: str, now: float) -> None:
        """Note that one more request of `caller` waits."""
        self._expected.discard(caller)
        if now - self._answered.pop(caller, -math.inf) <= limits.LIGHT_NEXT_SECONDS:
            self._quick.add(caller)
        elif not self._waiting[caller] and not self._begun[caller]:
            self._quick.discard(caller)
        self._waiting[caller] += 1
        self._note_single(caller)
        self._asked[caller] = now
        self._asked.move_to_end(caller)
        while next(iter(self._asked.values())) < now - limits.LIGHT_RECENT_SECONDS:
            self._quick.discard(self._asked.popitem(last=False)[0])

    def look(self, now: float) -> None:
        """Begin a round, if those who ask for several at a time have waited for long, or have nobody to wait for."""
        while self._answered and next(iter(self._answered.values())) < now - limits.LIGHT_NEXT_SECONDS:
            self._expected.discard(self._answered.popitem(last=False)[0])
        if not (self._begun or self._expected or self._single) or now - self._opened >= limits.LIGHT_ROUND_SECONDS:
            self._opened, self._room = now, limits.LIGHT_IN_FLIGHT_COUNT

    def may(self, caller: str) -> bool:
        """Say whether a request of `caller`, which waits, may begin."""
        if caller in self._single or len(self._asked) < 2:
            return True
        if any(other != caller for other in chain(self._begun, self._expected, self._waiting)):
            return self._room > 0 and self._begun[caller] < limits.LIGHT_ROUND_COUNT
        return self._begun[caller] < limits.LIGHT_IN_FLIGHT_OF_CALLER

    def begin(self, caller: str, now: float) -> None:
        """Note that a request of `caller` that waited has begun."""
        if caller not in self._single:
            self._room -= 1
        elif self._room <= 0:
            self._opened, self._room = now, limits.LIGHT_ROUND_COUNT
        _take_one(self._waiting, caller)
        self._begun[caller] += 1
        self._note_single(caller)

    def end(self, caller: str, now: float) -> None:
        """Note that one that had begun is answered, or that nobody waits for its answer any more."""
        _take_one(self._begun, caller)
        self._note_single(caller)
        if caller not in self._waiting and caller not in self._begun:
            self._answered[caller] = now
            self._answered.move_to_end(caller)
            if caller in self._quick:
                self._expected.add(caller)

    def close(self) -> None:
        """End the round: who joins in has done so."""
        self._room = 0

    def _note_single(self, caller: str) -> None:
        if self._waiting[caller] == 1 and not self._begun[caller]:
            self._single.add(caller)
        else:
            self._single.discard(caller)


def _take_one(of: Counter[str], caller: str) -> None:
    of[caller] -= 1
    if not of[caller]:
        del of[caller]
